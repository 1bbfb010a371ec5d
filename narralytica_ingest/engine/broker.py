"""Whether the broker answers: a stack whose broker is away looks healthy and does nothing."""

from narralytica_ingest.failures import failure


def require_broker(url: str, seconds: float = 5.0) -> None:
    """Connects once. Raises IngestError `broker_away` (local)."""
    from kombu.connection import Connection

    try:
        with Connection(  # type: ignore[no-untyped-call]
            url, connect_timeout=seconds, transport_options={"socket_connect_timeout": seconds}
        ) as broker:
            broker.ensure_connection(max_retries=1, timeout=seconds)
    except Exception as error:
        raise failure(
            "broker_away",
            f"The broker cannot be reached ({type(error).__name__}): check NARRALYTICA_BROKER_URL, or unset it to use "
            "Postgres.",
        ) from error
