"""How a video is to be fetched: what its job wishes, else what the settings say."""

from typing import Any, TypeVar
from urllib.parse import urlsplit

from narralytica_ingest.config import Settings
from narralytica_ingest.sources.fetching import Access, FetchOptions
from narralytica_ingest.store.database import Row

N = TypeVar("N", int, float)


def fetch_options(settings: Settings, video: Row) -> FetchOptions:
    """The options for the video of this row in `videos`. A job's limit may only lower the settings' own."""
    wished: dict[str, Any] = video["options"]
    return FetchOptions(
        max_height=wished.get("max_height") or settings.max_height,
        format=wished.get("format") or settings.format,
        max_duration=_at_most(settings.max_duration_seconds, wished.get("max_duration_seconds")),
        max_bytes=_at_most(settings.max_bytes, wished.get("max_bytes")),
        min_rate=settings.min_rate_bytes,
        max_entries=_at_most(settings.playlist_limit, wished.get("playlist_limit")),
        uploaded_captions=settings.uploaded_captions,
        automatic_captions=settings.automatic_captions,
        socket_timeout=settings.socket_timeout_seconds,
        access=access(settings, urlsplit(video["source_url"]).hostname or ""),
    )


def _at_most(limit: N, wished: N | None) -> N:
    return limit if wished is None else min(limit, wished)


def access(settings: Settings, host: str) -> Access:
    """What opens the sources of a host, in plain text: keep it out of logs."""
    return Access(
        cookies_file=settings.cookies_file,
        cookies_from_browser=settings.cookies_from_browser,
        proxy=_proxy(settings, host),
        impersonate=settings.impersonate,
        pot_provider_url=settings.pot_provider_url,
        extractor_args=settings.extractor_args,
    )


def _proxy(settings: Settings, host: str) -> str | None:
    """The proxy of the longest domain that the host belongs to, else that of `*`."""
    domains = [domain for domain in settings.proxies if host == domain or host.endswith(f".{domain}")]
    best = max(domains, key=len, default="*")
    secret = settings.proxies.get(best)
    return secret.get_secret_value() if secret else None
