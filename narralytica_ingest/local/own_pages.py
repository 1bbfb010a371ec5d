"""Which requests to the Dagster UI come from its own pages. Pure; `webserver.py` asks."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

OWN_NAMES = frozenset({"127.0.0.1", "localhost"})


def names(given: str | None) -> frozenset[str]:
    """The names in a comma-separated list, as hosts are compared."""
    return frozenset(name.strip().lower() for name in (given or "").split(",") if name.strip())


def refusal(headers: Mapping[str, str], method: str, path: str, query: str, proxied: frozenset[str]) -> str | None:
    """Why the request is refused; None if it may pass. `proxied` are the names under which a proxy shows the UI.

    A browser says from where a page sends (`Origin`) with every request that could change something, WebSockets
    included; programs that are no browser say nothing, and pass. A GET says nothing either, so it must change nothing:
    Dagster would take a mutation in its query.
    """
    origin = headers.get("origin")
    if origin is not None and not _is_ours(origin, headers.get("host", ""), proxied):
        return "This request comes from another site's page: NARRALYTICA_UI_HOSTS names the sites that may send any.\n"
    if method in ("GET", "HEAD") and path.endswith("/graphql") and "query" in dict(parse_qsl(query)):
        return "GraphQL is taken by POST only.\n"
    return None


def _is_ours(origin: str, host: str, proxied: frozenset[str]) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return bool(parts.netloc) and (parts.netloc.lower() == host.lower() or parts.hostname in proxied)
