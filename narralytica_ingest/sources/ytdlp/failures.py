"""What yt-dlp's exceptions mean: the failure taxonomy, applied to it.

What belongs here: from an exception to its code, by type and attribute first, by words last (`phrases.py`). The types
of yt-dlp and of the HTTP libraries under it (requests, urllib, curl_cffi) are known by their names, so that nothing
here imports them. A verdict's sentence is the catalogue's; the source's own words follow it, made safe.
"""

import logging
import math
import re
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from narralytica_ingest.failures import IngestError, code_of_machine, failure
from narralytica_ingest.redaction import safe_words
from narralytica_ingest.sources.remote_file import retry_after
from narralytica_ingest.sources.ytdlp import phrases
from narralytica_ingest.sources.ytdlp.causes import chain_of, met_before, named, places

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS = 400

# What is announced is looked at again when its time has come, but neither at once nor later than this: premieres move.
SOONEST_LOOK = timedelta(minutes=1)
LATEST_LOOK = timedelta(days=1)
SESSION_LIMIT = timedelta(hours=1)

BY_TYPE = {
    # of yt-dlp
    "GeoRestrictedError": "geo_blocked",
    "UnsupportedError": "unsupported_url",
    "UserNotLive": "channel_not_live",
    "RegexNotFoundError": "extractor_broken",
    "CookieLoadError": "cookies_unusable",
    "ThrottledDownload": "too_slow",
    "ReExtractInfo": "forbidden",  # the links became stale during the download
    "ContentTooShortError": "incomplete_read",
    # of the networks
    "CertificateVerifyError": "tls_verification",
    "SSLCertVerificationError": "tls_verification",
    "SSLError": "tls_failed",
    "IncompleteRead": "incomplete_read",
    "NameResolutionError": "dns_failed",
    "DNSError": "dns_failed",
    "gaierror": "dns_failed",
    "ConnectTimeoutError": "timed_out",
    "ReadTimeoutError": "timed_out",
    "TimeoutError": "timed_out",
    "Timeout": "timed_out",
    "ConnectionError": "connection_lost",
    "TooManyRedirects": "redirect_loop",
    "ImpersonateError": "impersonation_missing",
    "LocationParseError": "invalid_url",
    "InvalidURL": "invalid_url",
}

BY_STATUS = {
    401: "login_required",
    404: "not_found",
    407: "proxy_login_required",
    408: "timed_out",
    410: "not_found",
    416: "range_refused",
    425: "server_error",
    429: "rate_limited",
    451: "legally_blocked",
    503: "rate_limited",
}

# How the guards before many sites mark an answer that is theirs and not the site's.
BY_GUARD = {
    ("cf-mitigated", "challenge"): "bot_check",
    ("x-amzn-waf-action", "challenge"): "bot_check",
    ("x-amzn-waf-action", "captcha"): "captcha",
    ("x-datadome", "protected"): "bot_check",
}

# A request that yt-dlp cannot even make, by what it says of it.
BY_REQUEST = {
    "proxy": "proxy_unusable",
    "impersonat": "impersonation_missing",
    "url scheme": "blocked_scheme",
    "urls are disabled": "blocked_scheme",
    "websocket": "blocked_scheme",
    "no connection adapters": "blocked_scheme",  # a redirect to another scheme, as requests says it
}

_NO_SUCH_HOST = {-2, -5}  # EAI_NONAME and EAI_NODATA; a resolver that is away answers EAI_AGAIN (-3)
_SOCKS_LOGIN = {0xFE, 0xFF}
_PROXY_LOGIN = re.compile(r"(?:tunnel|connect|proxy)\D{0,40}\b407\b|http code 407 from proxy")
_TLS_TOO_OLD = re.compile(
    r"(?i)unsafe.legacy.renegotiation|handshake.failure|unsupported.protocol|no.protocols.available|wrong.version.number"
)
_DECORATION = re.compile(r"^(?:ERROR:\s*)*(?:\[[\w:+.-]+\]\s*(?:[\w-]+:\s)?)?(?:Got error:\s*)?")
_FOR_OTHERS = re.compile(
    r"(?i)[;.(,\s]*(?:please report this issue|caused by (?:<|\w+\()|use --|you (?:may|might) want to|also see "
    r"|(?:see|refer to) +\(url\)|try again with).*"
)
# What a message quotes may be a title; what it quotes as said is what was said.
_QUOTED = re.compile(r"""(?<!said: )(?<!says: )(?<!\S)(?:"[^"]*"|'[^']*'(?!\w))""")
_WITH_OPTION = re.compile(r"[^.;,(]*--[a-z][^.;,)]*")


def as_ingest_error(error: BaseException, warnings: Sequence[str] = ()) -> IngestError:
    """The verdict on an exception that came out of yt-dlp. `warnings` are what yt-dlp warned of before."""
    chain = chain_of(error)
    before = met_before(chain)
    for each in (*chain, *before):
        if isinstance(each, IngestError):
            return each
    said = _said(chain)
    code = _decide(chain, before, said.lower())
    if code in ("no_formats", "extractor_broken"):
        code = phrases.code_of_warnings(" ".join(warnings).lower()) or code
    if code == "unknown":
        log.warning("yt-dlp failed in a way that is not known:\n%s", places(chain))
    return _verdict(code, chain, said)


def refuse_unfinished(info: Mapping[str, Any]) -> None:
    """Raises IngestError `live`, `upcoming` or `processing` (not yet) where yt-dlp's information says so.

    `retry_at` of what is upcoming is its announced time, but within `SOONEST_LOOK` and `LATEST_LOOK` from now.
    """
    status = info.get("live_status") or ("is_live" if info.get("is_live") else None)
    if status == "is_live":
        raise failure("live")
    if status == "is_upcoming":
        raise failure("upcoming", retry_at=_next_look(info.get("release_timestamp")))
    if status == "post_live":
        raise failure("processing")


def _next_look(starts: object) -> datetime | None:
    """When to look again at what starts then (epoch seconds); None where no time is named."""
    if not isinstance(starts, int | float) or isinstance(starts, bool) or math.isnan(starts):
        return None
    now = datetime.now(UTC)
    ahead = min(max(starts - now.timestamp(), SOONEST_LOOK.total_seconds()), LATEST_LOOK.total_seconds())
    return now + timedelta(seconds=ahead)


# ---- the decision ---------------------------------------------------------------------------------------------------


def _decide(chain: list[BaseException], before: list[BaseException], said: str) -> str:
    extracting = any(named(each, "ExtractorError") for each in chain)
    on_the_way = any(named(each, "TransportError") for each in chain)
    return (
        next((code for each in chain if (code := code_of_machine(each))), None)
        or _by_type(chain)
        or _by_status(chain, extracting)
        or (None if on_the_way else phrases.code_of_words(" ".join(_QUOTED.sub("…", said).split())))
        or _by_type(before)
        or _by_status(before, extracting)
        or phrases.code_of_network_words(" ".join([said, *(str(each).lower() for each in chain if _is_network(each))]))
        or ("connection_lost" if on_the_way else None)
        or ("extractor_broken" if _is_extractors_fault(chain) else "unknown")
    )


def _by_type(errors: list[BaseException]) -> str | None:
    if any(named(each, "ProxyError") for each in errors):
        return "proxy_login_required" if any(map(_wants_proxy_login, errors)) else "proxy_failed"
    codes = [code for each in reversed(errors) if (code := _of_one(each))]
    if "tls_verification" in codes:  # the libraries wrap it in errors that say less
        return "tls_verification"
    return next(iter(codes), None)  # the innermost knows best


def _of_one(error: BaseException) -> str | None:
    if named(error, "RequestError") and not named(error, "TransportError", "HTTPError"):
        words = str(error).lower()
        return next((code for word, code in BY_REQUEST.items() if word in words), None)
    if type(error) is UnicodeError:  # the codec of host names; what cannot be decoded is of a subclass
        return "invalid_url"
    code = next((BY_TYPE[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in BY_TYPE), None)
    if code == "dns_failed" and getattr(error, "errno", None) in _NO_SUCH_HOST:
        return "no_such_host"
    if code == "tls_failed" and _TLS_TOO_OLD.search(str(error)):
        return "tls_unsupported"
    return code


def _by_status(errors: list[BaseException], extracting: bool) -> str | None:
    answer = next((each for each in reversed(errors) if named(each, "HTTPError") and _status(each)), None)
    if answer is None:
        return None
    if getattr(answer, "redirect_loop", False):
        return "redirect_loop"
    headers = getattr(getattr(answer, "response", None), "headers", None) or {}
    for (name, value), code in BY_GUARD.items():
        if str(headers.get(name) or "").strip().lower() == value:
            return code
    status = _status(answer)
    if status == 403:
        return "access_denied" if extracting else "forbidden"  # the page, or the media behind it
    return BY_STATUS.get(status) or ("server_error" if status >= 500 else "refused")


def _status(error: BaseException) -> int:
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else 0


def _wants_proxy_login(error: BaseException) -> bool:
    by_socks = named(error, "Socks5Error") and getattr(error, "errno", None) in _SOCKS_LOGIN
    return by_socks or bool(_PROXY_LOGIN.search(str(error).lower()))


def _is_network(error: BaseException) -> bool:
    return named(error, "RequestError")


def _is_extractors_fault(chain: list[BaseException]) -> bool:
    """Whether an extractor met what it did not expect, by its own word or by where a plain exception was raised."""
    if any(getattr(each, "expected", None) is False for each in chain):
        return True
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(chain[0].__traceback__)]
    return not named(chain[0], "YoutubeDLError") and any(each.startswith("yt_dlp.extractor.") for each in modules)


# ---- the sentence ---------------------------------------------------------------------------------------------------


def _verdict(code: str, chain: list[BaseException], said: str) -> IngestError:
    sentence = failure(code).message
    if countries := _countries(chain):
        sentence = f"{sentence} It is shown in: {countries}."
    # The name of an unsupported URL is the URL, and of a proxy's its password.
    words = "" if code in ("unsupported_url", "proxy_unusable") else said
    words = safe_words(words, MESSAGE_CHARACTERS - len(sentence) - len(" (Said: .)")).strip(" .")
    return failure(code, f"{sentence} (Said: {words}.)" if words else sentence, retry_at=_retry_at(code, chain, said))


def _retry_at(code: str, chain: list[BaseException], said: str) -> datetime | None:
    for each in chain:
        headers = getattr(getattr(each, "response", None), "headers", None)
        if headers is not None and (when := retry_after(headers.get("Retry-After"))):
            return when
    if code == "session_limited":
        return datetime.now(UTC) + SESSION_LIMIT
    if code == "upcoming" and (seconds := phrases.announced_seconds(said.lower())):
        return _next_look(datetime.now(UTC).timestamp() + seconds)
    return None


def _said(chain: list[BaseException]) -> str:
    """The words of whoever gave up, without decoration, links, the video's id, and advice for yt-dlp's own users."""
    speaker = next((each for each in chain if named(each, "ExtractorError")), None)
    speaker = speaker or next((each for each in chain if named(each, "YoutubeDLError")), chain[0])
    text = safe_words(str(getattr(speaker, "orig_msg", None) or speaker), 2000).replace("\u2019", "'")
    video_id = str(getattr(speaker, "video_id", None) or "")
    text = text.removeprefix(f"{video_id}: ")
    if " " in video_id:  # an id made of a file's name may be a whole sentence
        text = text.replace(video_id, "…")
    text = _WITH_OPTION.sub("", _FOR_OTHERS.sub("", _DECORATION.sub("", text)))
    return " ".join(text.split()).strip(" .:")


def _countries(chain: list[BaseException]) -> str:
    listed = next((found for each in chain if (found := getattr(each, "countries", None))), None) or ()
    codes = [str(each) for each in listed if re.fullmatch(r"[A-Z]{2}", str(each))]
    return ", ".join(codes[:20]) + (f" and {len(codes) - 20} more" if len(codes) > 20 else "")
