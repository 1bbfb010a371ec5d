"""What yt-dlp's exceptions mean: the failure taxonomy, applied to it.

What belongs here: the tables from type, attribute and (last) message to a verdict. yt-dlp's types are known by their
names, so that nothing here imports it. A verdict's sentence is ours; the source's own words follow it, without URLs.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.remote_file import retry_after

_PERMANENT, _OPERATOR = FailureClass.PERMANENT, FailureClass.NEEDS_OPERATOR
_NOT_YET, _LIMITED = FailureClass.NOT_YET, FailureClass.RATE_LIMITED
_TRANSIENT, _RESTART, _LOCAL = FailureClass.TRANSIENT, FailureClass.RESTART, FailureClass.LOCAL

Verdict = tuple[FailureClass, str, str]

_BY_STATUS: dict[int, Verdict] = {
    401: (_OPERATOR, "login_required", "The source asks for a login: give the worker access, then retry the job."),
    403: (_TRANSIENT, "forbidden", "The source refused access (403), mostly an expired link: it is tried again."),
    404: (_PERMANENT, "not_found", "There is nothing at this URL (404): check the URL."),
    407: (_OPERATOR, "proxy_login_required", "The proxy asks for a login: correct its settings, then retry the job."),
    408: (_TRANSIENT, "timed_out", "The source did not answer in time: it is tried again."),
    410: (_PERMANENT, "not_found", "The source says that the video is gone (410)."),
    416: (_RESTART, "range_refused", "The file at the source became shorter (416): the download starts again."),
    425: (_TRANSIENT, "server_error", "The source is not ready to answer (425): it is tried again."),
    429: (_LIMITED, "rate_limited", "The source asks to be called less often (429): the job waits."),
    451: (_PERMANENT, "not_found", "The source may not show the video for legal reasons (451)."),
    503: (_LIMITED, "rate_limited", "The source is overloaded (503): the job waits."),
}
_SERVER_ERROR: Verdict = (_TRANSIENT, "server_error", "The source failed to answer (a 5xx status): it is tried again.")
_REFUSED: Verdict = (_PERMANENT, "refused", "The source refused the request (a 4xx status): check the URL.")

_BROKEN: Verdict = (
    _OPERATOR,
    "extractor_broken",
    "yt-dlp no longer understands this site: update the worker's yt-dlp, then retry the job.",
)
_GEO: Verdict = (
    _OPERATOR,
    "geo_blocked",
    "The source does not show the video in the worker's country: use a proxy elsewhere, then retry the job.",
)
_DISK_FULL: Verdict = (_LOCAL, "disk_full", "The worker's disk is full: free some space; the job waits.")
_INCOMPLETE: Verdict = (_TRANSIENT, "incomplete_read", "The source cut the transfer: it is tried again.")
_TIMED_OUT = _BY_STATUS[408]
_DNS: Verdict = (_TRANSIENT, "dns_failed", "The host's name could not be resolved: it is tried again; check the URL.")
_TLS: Verdict = (
    _OPERATOR,
    "tls_verification",
    "The source's TLS certificate is not valid: nothing is fetched until the source mends it; then retry the job.",
)
_UNSUPPORTED: Verdict = (
    _PERMANENT,
    "unsupported_url",
    "No video was found behind this URL: check that it is the page of a video or a media file.",
)
_LOST: Verdict = (_TRANSIENT, "connection_lost", "The connection to the source failed: it is tried again.")
_UPCOMING: Verdict = (_NOT_YET, "upcoming", "The video is announced but not published yet: it is ingested later.")

_BY_TYPE: dict[str, Verdict] = {
    "GeoRestrictedError": _GEO,
    "UnsupportedError": _UNSUPPORTED,
    "UserNotLive": _UPCOMING,
    "CertificateVerifyError": _TLS,
    "SSLCertVerificationError": _TLS,
    "ContentTooShortError": _INCOMPLETE,
    "IncompleteRead": _INCOMPLETE,
    "RegexNotFoundError": _BROKEN,
    "gaierror": _DNS,
    "TimeoutError": _TIMED_OUT,
    "ConnectionError": _LOST,
    "ProxyError": (_TRANSIENT, "proxy_failed", "The proxy failed: it is tried again; check the proxy's settings."),
    "SSLError": (_TRANSIENT, "tls_failed", "The encrypted connection to the source failed: it is tried again."),
    "NoSupportingHandlers": (_PERMANENT, "unsupported_scheme", "The source needs a protocol other than http or https."),
}

# Read from top to bottom; the first that is found decides. The site's words, so in the order of how much they say.
_BY_MESSAGE: list[tuple[str, Verdict]] = [
    (r"\bdrm\b", (_PERMANENT, "drm_protected", "The video is protected by DRM and cannot be ingested.")),
    (
        r"not a bot|unusual traffic",
        (
            _OPERATOR,
            "bot_check",
            "The source takes the worker for a bot: give it cookies or another address, then retry the job.",
        ),
    ),
    (
        r"captcha",
        (
            _OPERATOR,
            "captcha",
            "The source shows a captcha: give the worker cookies or another address, then retry the job.",
        ),
    ),
    (
        r"confirm your age|age.restricted|inappropriate for some",
        (
            _OPERATOR,
            "age_restricted",
            "The source asks for a proof of age: give the worker cookies of an adult's account, then retry the job.",
        ),
    ),
    (
        r"members.only|join this channel|channel's members|subscribers? only|premium members",
        (
            _OPERATOR,
            "members_only",
            "The video is for members only: give the worker cookies of a member, then retry the job.",
        ),
    ),
    (
        r"private video|video is private|is a private",
        (_PERMANENT, "private", "The video is private: ask its owner to publish it, then submit it again."),
    ),
    (
        r"not (?:made this video )?available (?:in|from|to) your (?:country|location|region)|geo.?(?:restrict|block)",
        _GEO,
    ),
    (r"begin in|premieres? (?:in|will)|is upcoming|will be available|will begin|has not started", _UPCOMING),
    (
        r"still processing|being processed|processing this video",
        (_NOT_YET, "processing", "The source still processes the video: it is ingested later."),
    ),
    (r"rate.?limit|too many requests|try again later", _BY_STATUS[429]),
    (
        r"removed|deleted|no longer available|terminated|does not exist|video unavailable|not exist",
        (_PERMANENT, "removed", "The video was removed at its source."),
    ),
    (
        r"fresh cookies|use --cookies|cookies? (?:are|is) (?:needed|required|no longer valid)",
        (
            _OPERATOR,
            "cookies_needed",
            "The source wants cookies of a browser: give them to the worker, then retry the job.",
        ),
    ),
    (r"log ?in|sign in|registered users|account credentials|password", _BY_STATUS[401]),
    (r"unable to (?:write data|open for writing)|no space left", _DISK_FULL),
    (r"certificate.verify|certificate is not valid", _TLS),
    (r"name or service not known|name resolution|getaddrinfo|nodename nor", _DNS),
    (r"bytes read|more expected|content too short|downloaded \d+ bytes, expected", _INCOMPLETE),
    (r"timed? ?out", _TIMED_OUT),
    (r"connection (?:reset|refused|aborted|broken)|broken pipe|remote end closed|network is unreachable", _LOST),
    (
        r"fragment \d+ not found|did not get any data|file is empty",
        (_TRANSIENT, "empty_response", "The source sent no data where media was announced: it is tried again."),
    ),
    (
        r"requested format is not available|no video formats|no formats",
        (
            _OPERATOR,
            "no_formats",
            "The source offers no format that can be fetched: update the worker's yt-dlp, then retry the job.",
        ),
    ),
    (r"unsupported url|no suitable extractor|is not a valid url|no video (?:could be )?found", _UNSUPPORTED),
]

_UNKNOWN: Verdict = (
    _TRANSIENT,
    "unknown",
    "The fetch failed in a way that is not known: it is tried again a few times.",
)


def as_ingest_error(error: BaseException) -> IngestError:
    """The verdict on an exception that came out of yt-dlp."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, IngestError):
            return cause
    failure_class, code, sentence = _decide(causes)
    if countries := next((c for each in causes if (c := getattr(each, "countries", None))), None):
        sentence = f"{sentence} It is shown in: {', '.join(map(str, countries))}."
    message = " ".join(filter(None, [sentence, _own_words(causes) if code != "unsupported_url" else None]))
    return IngestError(failure_class, code, message, retry_at=_retry_at(causes))


def refuse_unfinished(info: Mapping[str, Any]) -> None:
    """Raises IngestError `live`, `upcoming` or `processing` (not yet) where yt-dlp's information says so."""
    status = info.get("live_status") or ("is_live" if info.get("is_live") else None)
    if status == "is_live":
        raise _not_yet("live", "The video is live now: it is ingested once the broadcast is over.")
    if status == "is_upcoming":
        starts = info.get("release_timestamp")
        when = datetime.fromtimestamp(starts, UTC) if isinstance(starts, int | float) else None
        raise _not_yet("upcoming", "The video is announced but not published yet: it is ingested later.", when)
    if status == "post_live":
        raise _not_yet("processing", "The source still processes the broadcast: it is ingested later.")


def _not_yet(code: str, message: str, retry_at: datetime | None = None) -> IngestError:
    return IngestError(_NOT_YET, code, message, retry_at=retry_at)


def _decide(causes: list[BaseException]) -> Verdict:
    for decide in (_by_errno, _by_type, _by_status):
        for cause in reversed(causes):  # the innermost knows best
            if verdict := decide(cause):
                return verdict
    text = re.sub(r"\w+://\S+", "", " ".join(str(cause) for cause in causes).lower()).replace("\u2019", "'")
    for pattern, verdict in _BY_MESSAGE:
        if re.search(pattern, text):
            return verdict
    if any(getattr(cause, "expected", None) is False for cause in causes):
        return _BROKEN
    return _LOST if any(_named(cause, "TransportError") for cause in causes) else _UNKNOWN


def _by_errno(cause: BaseException) -> Verdict | None:
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return _DISK_FULL if full else None


def _by_type(cause: BaseException) -> Verdict | None:
    return next((_BY_TYPE[kind.__name__] for kind in type(cause).__mro__ if kind.__name__ in _BY_TYPE), None)


def _by_status(cause: BaseException) -> Verdict | None:
    status = getattr(cause, "status", None)
    if not _named(cause, "HTTPError") or not isinstance(status, int):
        return None
    return _BY_STATUS.get(status) or (_SERVER_ERROR if status >= 500 else _REFUSED if status >= 400 else None)


def _named(cause: BaseException, name: str) -> bool:
    return any(kind.__name__ == name for kind in type(cause).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that is behind it, each once, from the outside in."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < 20:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        exc_info = getattr(cause, "exc_info", None)
        waiting += [exc_info[1]] if isinstance(exc_info, tuple) and len(exc_info) > 1 else []
        waiting += [getattr(cause, "cause", None), cause.__cause__, cause.__context__]


def _retry_at(causes: list[BaseException]) -> Any:
    for cause in causes:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers is not None and (when := retry_after(headers.get("Retry-After"))):
            return when
    return None


def _own_words(causes: list[BaseException]) -> str | None:
    """What was said, short, without yt-dlp's decoration, addresses and advice for its own users."""
    text = str(getattr(causes[0], "orig_msg", None) or causes[0])
    text = re.sub(r"\x1b\[[0-9;]*m|^\s*ERROR:\s*|\[[\w:+.-]+\]\s*(?:[\w-]+:\s)?", "", text).strip()
    text = re.split(r"\s*[;.(]*\s*(?:please report this issue|caused by|Use --|See  ?https?:)", text)[0]
    text = re.sub(r"\w+://\S+", "(URL)", text)
    text = re.sub(r"\s+", " ", text)[:200].strip(" .")
    return f"(Said: {text}.)" if text else None
