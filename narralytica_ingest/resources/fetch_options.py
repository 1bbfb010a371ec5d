"""How a video is to be fetched: what its job wishes, else what the settings say."""

from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from narralytica_ingest.config import Settings
from narralytica_ingest.egress import EgressPolicy, parse_allow, parse_hosts, parse_ports, parse_words
from narralytica_ingest.sources.fetching import Access, FetchOptions
from narralytica_ingest.store.database import Row

N = TypeVar("N", int, float)


def fetch_options(settings: Settings, video: Row) -> FetchOptions:
    """The options for the video of this row in `videos`. A job's limit may only lower the settings' own."""
    wished: dict[str, Any] = video["options"]
    source = urlsplit(video["source_url"])
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
        access=access(settings, source.hostname or "", source.scheme),
        egress=egress(settings),
        allowed_extractors=parse_words(settings.allowed_extractors or ""),
        denied_extractors=parse_words(settings.denied_extractors or ""),
    )


def egress(settings: Settings) -> EgressPolicy:
    """What a run may reach."""
    return EgressPolicy(
        allow=parse_allow(settings.egress_allow or ""),
        ports=parse_ports(settings.egress_ports),
        allowed_hosts=parse_hosts(settings.allowed_hosts or ""),
        denied_hosts=parse_hosts(settings.denied_hosts or ""),
        max_bytes=settings.egress_max_bytes,
        max_seconds=settings.egress_max_seconds,
        max_connections=settings.egress_max_connections,
    )


def _at_most(limit: N, wished: N | None) -> N:
    return limit if wished is None else min(limit, wished)


def access(settings: Settings, host: str, scheme: str = "https") -> Access:
    """What opens the sources of a host, in plain text: keep it out of logs."""
    return Access(
        cookies_file=settings.cookies_file,
        cookies_from_browser=settings.cookies_from_browser,
        proxy=_proxy(settings, host) or _usual_proxy(scheme, host),
        impersonate=settings.impersonate,
        pot_provider_url=settings.pot_provider_url.get_secret_value() if settings.pot_provider_url else None,
        extractor_args={
            extractor: {name: [word.get_secret_value() for word in words] for name, words in names.items()}
            for extractor, names in settings.extractor_args.items()
        },
    )


def _proxy(settings: Settings, host: str) -> str | None:
    """The proxy of the longest domain that the host belongs to, else that of `*`."""
    domains = [domain for domain in settings.proxies if host == domain or host.endswith(f".{domain}")]
    best = max(domains, key=len, default="*")
    secret = settings.proxies.get(best)
    return secret.get_secret_value() if secret else None


def _usual_proxy(scheme: str, host: str) -> str | None:
    """What `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say of a host. It is the way of the whole fetch, of
    which the guard takes the part up to that proxy."""
    listed = getproxies()
    proxy = listed.get(scheme) or listed.get("http") or listed.get("all")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
