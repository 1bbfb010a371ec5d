"""What yt-dlp is given to open sources that a stranger cannot read, and how all of it is kept out of sight.

What belongs here: `Access` as parameters of yt-dlp, checked beforehand, because yt-dlp's own complaints quote what they
complain about.
"""

import io
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources.cookies_file import cookies_unusable, read_cookies
from narralytica_ingest.sources.fetching import Access

PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_BROWSER = re.compile(r"(?P<name>[^+:]+)(?:\+(?P<keyring>[^:]+))?(?::(?!:)(?P<profile>.+?))?(?:::(?P<container>.+))?")
_SHORTEST_SECRET = 6  # shorter words would be hidden wherever they occur


@dataclass(frozen=True)
class Opened:
    """Parameters for yt-dlp, and the words in them that nobody may see."""

    parameters: dict[str, Any]
    secrets: frozenset[str]

    def __repr__(self) -> str:
        return "Opened(...)"


def opened(access: Access) -> Opened:
    """`access` as yt-dlp takes it.

    Raises IngestError: `cookies_unusable`, `proxy_unusable` (local), `impersonation_missing` (needs_operator).
    """
    parameters: dict[str, Any] = {"extractor_args": _extractor_args(access)}
    secrets = {word for names in parameters["extractor_args"].values() for words in names.values() for word in words}
    if access.cookies_file is not None:
        cookies = read_cookies(access.cookies_file)
        # In memory: yt-dlp writes its cookies back when it closes, and many workers read this file.
        parameters["cookiefile"] = io.StringIO(cookies.text)
        secrets |= set(cookies.values)
    if access.cookies_from_browser is not None:
        parameters["cookiesfrombrowser"] = browser(access.cookies_from_browser)
    # The guard goes through it, and for yt-dlp's helpers it is said here. Empty: the environment is not asked.
    parameters["proxy"] = access.proxy or ""
    if access.proxy is not None:
        secrets |= _proxy_secrets(access.proxy)
    if access.impersonate is not None:
        parameters["impersonate"] = impersonation(access.impersonate)
    return Opened(parameters, frozenset(word for word in secrets if len(word) >= _SHORTEST_SECRET))


def browser(named: str) -> tuple[str, str | None, str | None, str | None]:
    """`BROWSER[+KEYRING][:PROFILE][::CONTAINER]` as yt-dlp takes it. Raises IngestError `cookies_unusable`."""
    from yt_dlp.cookies import SUPPORTED_BROWSERS, SUPPORTED_KEYRINGS

    match = _BROWSER.fullmatch(named)
    name = match["name"].strip().lower() if match else ""
    keyring = match["keyring"].upper() if match and match["keyring"] else None
    if match is None or name not in SUPPORTED_BROWSERS or keyring not in (None, *SUPPORTED_KEYRINGS):
        raise cookies_unusable(
            "NARRALYTICA_COOKIES_FROM_BROWSER names no browser that is supported",
            f"name one of {', '.join(sorted(SUPPORTED_BROWSERS))}, with `:PROFILE` where there are several",
        )
    return name, match["profile"], keyring, match["container"]


def count_browser_cookies(named: str) -> int:
    """How many cookies the browser has. Raises IngestError `cookies_unusable`."""
    from yt_dlp.cookies import extract_cookies_from_browser

    name, profile, keyring, container = browser(named)
    try:
        return len(extract_cookies_from_browser(name, profile, _Quiet(), keyring=keyring, container=container))
    except Exception:
        raise _browser_unreadable() from None


def load_cookies(downloader: Any) -> int:
    """Makes yt-dlp read its cookies now. Returns how many there are. Raises IngestError `cookies_unusable`."""
    try:
        return len(downloader.cookiejar)
    except Exception:
        if downloader.params.get("cookiesfrombrowser") is None:
            raise
        raise _browser_unreadable() from None


def impersonation(name: str) -> Any:
    """The browser to impersonate, as yt-dlp takes it. Raises IngestError `impersonation_missing`."""
    from yt_dlp.networking.impersonate import ImpersonateTarget

    try:
        from yt_dlp.networking._curlcffi import CurlCFFIRH

        target = ImpersonateTarget.from_str(name.strip().lower())
        known = any(target in each for each in CurlCFFIRH._SUPPORTED_IMPERSONATE_TARGET_MAP)
    except (ImportError, ValueError):
        known = False
    if not known:
        raise failure(
            "impersonation_missing",
            "NARRALYTICA_IMPERSONATE names no browser that can be impersonated: use chrome, edge, firefox or safari. "
            "Then retry the job.",
        )
    return target


def _browser_unreadable() -> IngestError:
    return cookies_unusable(
        "The browser's cookies cannot be read",
        "check NARRALYTICA_COOKIES_FROM_BROWSER, and that the worker runs as the browser's user; or use a file",
    )


class _Quiet:
    """A logger for yt-dlp's reader of browsers' cookies: it tells paths and progress."""

    def debug(self, *_: Any, **__: Any) -> None: ...

    info = warning = error = debug

    def progress_bar(self) -> None:
        return None


def _extractor_args(access: Access) -> dict[str, dict[str, list[str]]]:
    args = {
        extractor.lower(): {name.replace("-", "_"): list(words) for name, words in names.items()}
        for extractor, names in access.extractor_args.items()
    }
    if access.pot_provider_url is not None:
        args["youtubepot-bgutilhttp"] = {"base_url": [access.pot_provider_url.rstrip("/")]}
    return args


def _proxy_secrets(proxy: str) -> set[str]:
    """What of the proxy's URL nobody may see. Raises IngestError `proxy_unusable`: libraries quote a URL that they
    cannot read, password and all."""
    try:
        parts = urlsplit(proxy)
        good = parts.scheme.lower() in PROXY_SCHEMES and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise failure(
            "proxy_unusable",
            "The proxy for this source has no valid URL: correct NARRALYTICA_PROXIES "
            f"(scheme://user:password@host:port, scheme one of {', '.join(PROXY_SCHEMES)}). The job goes on by itself.",
        )
    login = parts.netloc.rpartition("@")[0]
    words = [proxy, login, parts.username, parts.password]
    return {form for word in words if word for form in (word, unquote(word))}
