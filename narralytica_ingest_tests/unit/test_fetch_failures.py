"""Every failure of yt-dlp has a class, a code and a sentence: the table, with yt-dlp's own exceptions."""

import errno
import io
import socket
from datetime import UTC, datetime, timedelta

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    ProxyError,
    SSLError,
    TransportError,
)
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    RegexNotFoundError,
    UnsupportedError,
    UserNotLive,
)

from narralytica_ingest.failures import FailureClass, IngestError, permanent
from narralytica_ingest.sources.remote_file import retry_after
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error

URL = "https://media.example.com/clip?signature=secret"
P, OP, N = FailureClass.PERMANENT, FailureClass.NEEDS_OPERATOR, FailureClass.NOT_YET
R, T, RESTART, L = FailureClass.RATE_LIMITED, FailureClass.TRANSIENT, FailureClass.RESTART, FailureClass.LOCAL


def http(status: int, **headers: str) -> HTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = HTTPError(Response(io.BytesIO(), URL, named, status))
    error.close()
    return error


def reported(error: Exception) -> DownloadError:
    """As yt-dlp hands out most failures: a message, with the cause in `exc_info`."""
    return DownloadError(f"ERROR: {error}", (type(error), error, None))


def said(message: str, expected: bool = True) -> DownloadError:
    return reported(ExtractorError(message, expected=expected))


TABLE: list[tuple[Exception, FailureClass, str]] = [
    *[(http(status), P, "not_found") for status in (404, 410, 451)],
    (http(401), OP, "login_required"),
    (http(403), T, "forbidden"),
    (http(407), OP, "proxy_login_required"),
    (http(408), T, "timed_out"),
    (http(416), RESTART, "range_refused"),
    (http(418), P, "refused"),
    (http(425), T, "server_error"),
    (http(429), R, "rate_limited"),
    (http(500), T, "server_error"),
    (http(502), T, "server_error"),
    (http(503), R, "rate_limited"),
    (ExtractorError("Unable to download webpage", cause=http(404)), P, "not_found"),
    (TransportError(cause=TimeoutError("timed out")), T, "timed_out"),
    (TransportError("The read operation timed out"), T, "timed_out"),
    (TransportError(cause=ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), T, "connection_lost"),
    (TransportError(cause=ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), T, "connection_lost"),
    (TransportError("something else on the way"), T, "connection_lost"),
    (TransportError(cause=socket.gaierror(-2, "Name or service not known")), T, "dns_failed"),
    (TransportError("[Errno -3] Temporary failure in name resolution"), T, "dns_failed"),
    (CertificateVerifyError("certificate verify failed: self-signed certificate"), OP, "tls_verification"),
    (SSLError("EOF occurred in violation of protocol"), T, "tls_failed"),
    (ProxyError("no route"), T, "proxy_failed"),
    (IncompleteRead(1000, 2000), T, "incomplete_read"),
    (ContentTooShortError(1000, 3000), T, "incomplete_read"),
    (
        DownloadError("ERROR: [download] Got error: 1000 bytes read, 2000 more expected. Giving up"),
        T,
        "incomplete_read",
    ),
    (UnsupportedError(URL), P, "unsupported_url"),
    (said(f"'{URL}' is not a valid URL. Set --default-search"), P, "unsupported_url"),
    (GeoRestrictedError("not here", countries=["CH", "AT"]), OP, "geo_blocked"),
    (said("The uploader has not made this video available in your country"), OP, "geo_blocked"),
    (said("This video is DRM protected"), P, "drm_protected"),
    (said("Private video. Sign in if you've been granted access to this video. Use --cookies"), P, "private"),
    (said("Video unavailable. This video has been removed by the uploader"), P, "removed"),
    (said("This video is no longer available because the account has been terminated"), P, "removed"),
    (
        said("Sign in to confirm your age. This video may be inappropriate for some users. Use --cookies"),
        OP,
        "age_restricted",
    ),
    (said("Join this channel to get access to members-only content like this video"), OP, "members_only"),
    (said("Sign in to confirm you\u2019re not a bot. Use --cookies-from-browser or --cookies"), OP, "bot_check"),
    (said("Please complete the CAPTCHA"), OP, "captcha"),
    (said("Fresh cookies (not necessarily logged in) are needed"), OP, "cookies_needed"),
    (said("This video is only available for registered users. Use --username"), OP, "login_required"),
    (said("This live event will begin in 3 hours"), N, "upcoming"),
    (said("Premieres in 20 minutes"), N, "upcoming"),
    (UserNotLive(), N, "upcoming"),
    (said("We're processing this video. Check back later"), N, "processing"),
    (said("This content isn't available, try again later. Your session has been rate-limited"), R, "rate_limited"),
    (said("Requested format is not available"), OP, "no_formats"),
    (RegexNotFoundError("Unable to extract player"), OP, "extractor_broken"),
    (said("JSON has no such key", expected=False), OP, "extractor_broken"),
    (OSError(errno.ENOSPC, "No space left on device"), L, "disk_full"),
    (reported(OSError(errno.ENOSPC, "No space left on device")), L, "disk_full"),
    (DownloadError("ERROR: unable to write data: [Errno 28] No space left on device"), L, "disk_full"),
    (DownloadError("ERROR: fragment 3 not found, unable to continue"), T, "empty_response"),
    (DownloadError("ERROR: Did not get any data blocks"), T, "empty_response"),
    (RuntimeError("no idea"), T, "unknown"),
]


@pytest.mark.parametrize(
    ("error", "failure_class", "code"), TABLE, ids=[f"{row[2]}-{n}" for n, row in enumerate(TABLE)]
)
@pytest.mark.parametrize("wrap", [lambda error: error, reported], ids=["bare", "reported"])
def test_every_failure_has_its_verdict(error: Exception, failure_class: FailureClass, code: str, wrap: object) -> None:
    assert callable(wrap)
    verdict = as_ingest_error(wrap(error))
    assert (verdict.failure_class, verdict.code) == (failure_class, code)
    assert verdict.message.endswith((".", ".)"))
    assert "secret" not in verdict.message
    assert "--" not in verdict.message, "advice for users of yt-dlp's command line is none for ours"


def test_the_time_that_the_source_names_is_kept() -> None:
    verdict = as_ingest_error(reported(http(429, Retry_After="120")))
    assert verdict.retry_at is not None
    assert abs(verdict.retry_at - datetime.now(UTC) - timedelta(seconds=120)) < timedelta(seconds=5)


def test_the_countries_of_a_geo_block_are_named() -> None:
    assert "CH, AT" in as_ingest_error(GeoRestrictedError("not here", countries=["CH", "AT"])).message


def test_a_verdict_inside_is_kept() -> None:
    inner = permanent("inner", "The verdict.")
    outer = DownloadError("wrapped", (IngestError, inner, None))
    assert as_ingest_error(outer) is inner


NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "when"),
    [
        (None, None),
        ("120", NOW + timedelta(seconds=120)),
        ("Sun, 22 Nov 2026 08:05:00 GMT", NOW + timedelta(minutes=5)),
        ("999999999", NOW + timedelta(days=1)),
        ("soon", None),
        ("-3", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, when: datetime | None) -> None:
    assert retry_after(value, NOW) == when
