"""Every failure of yt-dlp has a class, a code and a sentence: the table, with yt-dlp's own exceptions."""

import errno
import http.client as http_client
import io
import logging
import math
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import curl_cffi.requests.exceptions as curl
import pytest
import yt_dlp
from curl_cffi.const import CurlECode
from requests.exceptions import InvalidSchema
from yt_dlp.cookies import CookieLoadError
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    NoSupportingHandlers,
    ProxyError,
    RequestError,
    SSLError,
    TransportError,
    UnsupportedRequest,
)
from yt_dlp.socks import Socks5Error
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadCancelled,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
    MaxDownloadsReached,
    ReExtractInfo,
    RegexNotFoundError,
    ThrottledDownload,
    UnsupportedError,
    UserNotLive,
)

from narralytica_ingest.failures import CATALOGUE, FailureClass, IngestError, failure
from narralytica_ingest.sources.remote_file import retry_after
from narralytica_ingest.sources.ytdlp import phrases
from narralytica_ingest.sources.ytdlp.failures import (
    BY_GUARD,
    BY_REQUEST,
    BY_STATUS,
    BY_TYPE,
    LATEST_LOOK,
    MESSAGE_CHARACTERS,
    SOONEST_LOOK,
    as_ingest_error,
    refuse_unfinished,
)

URL = "https://media.example.com/clip?signature=secret"


def http(status: int, *, redirect_loop: bool = False, reason: str | None = None, **headers: str) -> HTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    error = HTTPError(Response(io.BytesIO(), URL, named, status, reason), redirect_loop=redirect_loop)
    error.close()
    return error


def reported(error: BaseException) -> DownloadError:
    """As yt-dlp's downloaders hand out a failure: a message, with the cause in `exc_info`."""
    return DownloadError(f"ERROR: {error}", (type(error), error, None))


def raised(error: BaseException) -> DownloadError:
    """As yt-dlp's extraction hands out a failure: while it is being handled."""
    try:
        try:
            raise error
        except BaseException as handled:
            behind = getattr(handled, "exc_info", None)
            known = behind if behind and behind[0] else (type(error), error, None)
            raise DownloadError(f"ERROR: {handled}", known)  # noqa: B904
    except DownloadError as outer:
        return outer


def said(message: str, expected: bool = True, **more: Any) -> ExtractorError:
    return ExtractorError(message, expected=expected, **more)


def page(error: HTTPError | TransportError) -> ExtractorError:
    """A page that could not be had, as yt-dlp says it."""
    return ExtractorError(f"Unable to download webpage: {error}", cause=error, video_id="abc", ie="Site")


def second_way(first: BaseException, message: str, expected: bool = True) -> ExtractorError:
    """What an extractor says after its first way failed, and its second too."""
    try:
        try:
            raise first
        except BaseException:  # extractors name no cause
            raise ExtractorError(message, expected=expected)  # noqa: B904
    except ExtractorError as error:
        return error


def caused(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


def unsupported(message: str) -> NoSupportingHandlers:
    return NoSupportingHandlers([UnsupportedRequest(message, handler=SimpleNamespace(RH_NAME="requests"))], [])


def refused_by_proxy(message: str) -> ProxyError:
    return ProxyError(cause=OSError(message))


LOGIN_HINT = " Use --cookies-from-browser or --cookies for the authentication. See  https://github.com/x/y  for how to"
BUG = "please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the template"

BY_ATTRIBUTE: list[tuple[BaseException, str]] = [
    # ---- statuses, of a page and of media
    *[(http(status), code) for status, code in BY_STATUS.items()],
    *[(page(http(status)), code) for status, code in BY_STATUS.items()],
    (http(403), "forbidden"),
    (page(http(403)), "access_denied"),
    (http(400), "refused"),
    (http(418), "refused"),
    (http(304), "refused"),
    (http(500), "server_error"),
    (http(502), "server_error"),
    (http(599), "server_error"),
    (http(302, redirect_loop=True), "redirect_loop"),
    (page(http(403, cf_mitigated="challenge")), "bot_check"),
    (http(503, cf_mitigated="challenge"), "bot_check"),
    (page(http(405, x_amzn_waf_action="captcha")), "captcha"),
    (page(http(202, x_amzn_waf_action="challenge")), "bot_check"),
    (page(http(403, x_datadome="protected")), "bot_check"),
    # ---- the network
    (TransportError(cause=TimeoutError("timed out")), "timed_out"),
    (TransportError("The read operation timed out"), "timed_out"),
    (page(TransportError("The read operation timed out")), "timed_out"),
    (TransportError(cause=ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")), "connection_lost"),
    (TransportError(cause=ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")), "connection_lost"),
    (TransportError(cause=OSError(errno.EHOSTUNREACH, "No route to host")), "connection_lost"),
    (TransportError(cause=http_client.RemoteDisconnected("Remote end closed")), "connection_lost"),
    (TransportError("something else on the way"), "connection_lost"),
    (page(TransportError("something else on the way")), "connection_lost"),
    (TransportError(cause=socket.gaierror(-2, "Name or service not known")), "no_such_host"),
    (TransportError(cause=socket.gaierror(-5, "No address associated with hostname")), "no_such_host"),
    (page(TransportError(cause=socket.gaierror(-2, "Name or service not known"))), "no_such_host"),
    (TransportError(cause=socket.gaierror(-3, "Temporary failure in name resolution")), "dns_failed"),
    (TransportError("[Errno -3] Temporary failure in name resolution"), "dns_failed"),
    (IncompleteRead(1000, 2000), "incomplete_read"),
    (said("A network error has occurred.", cause=IncompleteRead(1000, 2000)), "incomplete_read"),
    (ContentTooShortError(1000, 3000), "incomplete_read"),
    (DownloadError("ERROR: \r[download] Got error: 1000 bytes read, 2000 more expected. Giving up"), "incomplete_read"),
    (DownloadError("ERROR: [download] Got error: The read operation timed out. Giving up"), "timed_out"),
    (DownloadError("ERROR: fragment 3 not found, unable to continue"), "empty_response"),
    (DownloadError("ERROR: Did not get any data blocks"), "empty_response"),
    (DownloadError("ERROR: The downloaded file is empty"), "empty_response"),
    # ---- encryption
    (CertificateVerifyError("certificate verify failed: self-signed certificate"), "tls_verification"),
    (CertificateVerifyError(cause=ssl.SSLCertVerificationError(1, "certificate verify failed")), "tls_verification"),
    (SSLError("EOF occurred in violation of protocol"), "tls_failed"),
    (SSLError(cause=ssl.SSLSyscallError(5, "Some I/O error occurred")), "tls_failed"),
    (SSLError("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] ssl/tls alert handshake failure"), "tls_unsupported"),
    (
        RequestError("UNSAFE_LEGACY_RENEGOTIATION_DISABLED: Try using --legacy-server-connect",
                     cause=SSLError("[SSL: UNSAFE_LEGACY_RENEGOTIATION_DISABLED] x")),
        "tls_unsupported",
    ),
    # ---- proxies
    (ProxyError("no route"), "proxy_failed"),
    (caused(ProxyError("Cannot connect to proxy"), ConnectionRefusedError(111, "Connection refused")), "proxy_failed"),
    (refused_by_proxy("Tunnel connection failed: 502 Bad Gateway"), "proxy_failed"),
    (refused_by_proxy("Tunnel connection failed: 407 Proxy Authentication Required"), "proxy_login_required"),
    (page(refused_by_proxy("CONNECT tunnel failed, response 407")), "proxy_login_required"),
    (ProxyError(cause=Socks5Error(0x05)), "proxy_failed"),
    (ProxyError(cause=Socks5Error(0xFE)), "proxy_login_required"),
    (ProxyError(cause=Socks5Error(0xFF)), "proxy_login_required"),
    (unsupported('Proxy "bob:secret@host" missing scheme'), "proxy_unusable"),
    (unsupported('Unsupported proxy type: "gopher"'), "proxy_unusable"),
    # ---- requests that cannot be made
    (unsupported('Unsupported url scheme: "ftp"'), "blocked_scheme"),
    (unsupported("Unsupported impersonate target: chrome-99"),
     "impersonation_missing"),
    (NoSupportingHandlers([], [ConnectionResetError("reset")]), "connection_lost"),
    (RequestError("file:// URLs are disabled by default in yt-dlp for security reasons"), "blocked_scheme"),
    (RequestError("This request requires WebSocket support."), "blocked_scheme"),
    (RequestError(cause=InvalidSchema("No connection adapters were found for 'ftp://h/x'")), "blocked_scheme"),
    (TransportError(cause=failure("blocked_address")), "blocked_address"),
    (page(TransportError(cause=failure("blocked_port"))), "blocked_port"),
    (second_way(TransportError(cause=failure("blocked_host")), "Unable to download JSON"), "blocked_host"),
    (RequestError('Impersonate target "chrome-1" is not available. See --list-impersonate-targets'),
     "impersonation_missing"),
    (RequestError(cause=http_client.InvalidURL("URL can't contain control characters")), "invalid_url"),
    (RequestError(cause=UnicodeError("encoding with 'idna' codec failed: label too long")), "invalid_url"),
    # ---- curl_cffi
    (TransportError(cause=curl.Timeout("Operation timed out", CurlECode.OPERATION_TIMEDOUT)), "timed_out"),
    (TransportError(cause=curl.DNSError("Could not resolve host", CurlECode.COULDNT_RESOLVE_HOST)), "dns_failed"),
    (TransportError(cause=curl.ConnectionError("Failed to connect", CurlECode.COULDNT_CONNECT)), "connection_lost"),
    (TransportError(cause=curl.ConnectionError("Recv failure", CurlECode.RECV_ERROR)), "connection_lost"),
    (TransportError(cause=curl.HTTPError("HTTP/2 stream was not closed", CurlECode.HTTP2_STREAM)), "connection_lost"),
    (IncompleteRead(10, cause=curl.IncompleteRead("partial", CurlECode.PARTIAL_FILE)), "incomplete_read"),
    (SSLError(cause=curl.SSLError("TLS connect error", CurlECode.SSL_CONNECT_ERROR)), "tls_failed"),
    (CertificateVerifyError(cause=curl.CertificateVerifyError("no", CurlECode.PEER_FAILED_VERIFICATION)),
     "tls_verification"),
    (ProxyError(cause=curl.ProxyError("CONNECT tunnel failed, response 407", CurlECode.RECV_ERROR)),
     "proxy_login_required"),
    (TransportError(cause=curl.ImpersonateError("Impersonating chrome999 is not supported")), "impersonation_missing"),
    # ---- the worker itself
    (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
    (DownloadError("ERROR: unable to write data: [Errno 28] No space left on device"), "disk_full"),
    (OSError(errno.EROFS, "Read-only file system"), "disk_unusable"),
    (TransportError(cause=OSError(errno.EMFILE, "Too many open files")), "too_many_open_files"),
    (MemoryError(), "out_of_memory"),
    (CookieLoadError("failed to load cookies"), "cookies_unusable"),
    # ---- yt-dlp's own
    (UnsupportedError(URL), "unsupported_url"),
    (GeoRestrictedError("not here", countries=["CH", "AT"]), "geo_blocked"),
    (UserNotLive(), "channel_not_live"),
    (RegexNotFoundError("Unable to extract player"), "extractor_broken"),
    (said("An extractor error has occurred.", expected=False, cause=KeyError("x")), "extractor_broken"),
    (said("Failed to parse JSON", expected=False, cause=ValueError("<html>")), "extractor_broken"),
    (said("Something new", expected=False), "extractor_broken"),
    (ThrottledDownload(), "too_slow"),
    (ReExtractInfo("the stream needs to be re-extracted", expected=True), "forbidden"),
    (MaxDownloadsReached(), "unknown"),  # nothing here asks yt-dlp to stop by itself
    (DownloadCancelled(), "unknown"),
    (RuntimeError("no idea"), "unknown"),
    (said("Something that nobody knows"), "unknown"),
    # ---- a second way of an extractor: what it says counts, then what it had met before
    (second_way(page(http(403)), "This request has been blocked due to its TLS fingerprint. Install a required "
                "impersonation dependency. If you are using a VPN/proxy, your IP may be blocked."),
     "impersonation_missing"),
    (second_way(http(429), "Private video"), "private"),
    (second_way(page(http(403)), "You must be logged into an account that has access to this subscriber-only content"),
     "members_only"),
    (second_way(page(http(404)), "None of the ways worked"), "not_found"),
    (second_way(page(http(403)), "None of the ways worked"), "access_denied"),
    (second_way(page(TransportError("The read operation timed out")), "No luck", expected=False), "extractor_broken"),
]  # fmt: skip

BY_WORDS: list[tuple[str, str]] = [
    # ---- YouTube
    ("Sign in to confirm you\u2019re not a bot." + LOGIN_HINT, "bot_check"),
    ("Sign in to confirm your age. This video may be inappropriate for some users." + LOGIN_HINT, "age_restricted"),
    ("Join this channel to get access to members-only content like this video, and other perks.", "members_only"),
    ("This video is available to this channel's members on level: Gold (or any higher level).", "members_only"),
    ("This video requires payment to watch", "members_only"),
    ("Private video. Sign in if you've been granted access to this video." + LOGIN_HINT, "private"),
    ("YouTube said: This playlist is private", "private"),
    ("Please sign in." + LOGIN_HINT, "login_required"),
    ("Login details are needed to download this content." + LOGIN_HINT, "login_required"),
    ("Video unavailable. This video has been removed by the uploader", "removed"),
    ("This video has been removed for violating YouTube's Terms of Service", "removed"),
    ("Video unavailable. This video is no longer available because the YouTube account associated with this video has "
     "been terminated.", "removed"),
    ("This video isn't available anymore", "removed"),
    ("YouTube said: The playlist does not exist.", "removed"),
    ("Video unavailable", "unavailable"),
    ("Video unavailable. This video is not available", "unavailable"),
    ("Video unavailable. This video contains content from Some Label, who has blocked it on copyright grounds",
     "copyright_blocked"),
    ("Video unavailable. This video contains content from Some Label, who has blocked it in your country on copyright "
     "grounds", "geo_blocked"),
    ("The uploader has not made this video available in your country", "geo_blocked"),
    ("This live event will begin in 3 hours.", "upcoming"),
    ("Premieres in 20 minutes", "upcoming"),
    ("Premiere will begin shortly", "upcoming"),
    ("We're processing this video. Check back later.", "processing"),
    ("This live stream recording is not available.", "no_recording"),
    ("This content isn't available, try again later. The current session has been rate-limited by YouTube for up to an "
     "hour. It is recommended to use `-t sleep` to add a delay", "session_limited"),
    ("Video unavailable. YouTube is requiring a captcha challenge before playback", "captcha"),
    ("The following content is not available on this app.. Watch on the latest version of YouTube.",
     "extractor_broken"),
    ("All player responses are invalid. Your IP is likely being blocked by Youtube", "ip_blocked"),
    ("Requested format is not available. Use --list-formats for a list of available formats", "no_formats"),
    ("Incomplete YouTube ID abc. URL https://x looks truncated.", "invalid_url"),
    # ---- Vimeo
    ("This video is protected by a password, use the --video-password option", "password_required"),
    ("Wrong password", "password_required"),
    ("Cannot download embed-only video without embedding URL. Please call yt-dlp with the URL of the page that embeds "
     "this video.", "embed_only"),
    ('Got HTTP Error 403 when using impersonate target "chrome-136". If you are using a data center IP or VPN/proxy, '
     "your IP may be blocked", "ip_blocked"),
    ("This live event is scheduled for 2027-01-01", "upcoming"),
    # ---- others
    ("This VOD is for subscribers only", "members_only"),
    ("Video v123 does not exist", "removed"),
    ("This clip is no longer available", "removed"),
    ("Your IP address is blocked from accessing this post", "ip_blocked"),
    ("You do not have permission to view this post. Log into an account that has access", "login_required"),
    ("TikTok is requiring login for access to this content", "login_required"),
    ("This post may not be comfortable for some audiences. Log in for access", "age_restricted"),
    ("The webpage request was redirected to the login page. You have exceeded the rate-limit for accessing posts "
     "anonymously", "rate_limited"),
    ("This content is only available for registered users who follow this account", "login_required"),
    ("Instagram sent an empty media response. Check if this post is accessible in your browser without being "
     "logged-in.", "login_required"),
    ("NSFW tweet requires authentication", "age_restricted"),
    ("You are not authorized to view this protected tweet", "login_required"),
    ("Twitter API says: This Post is from a suspended account", "removed"),
    ("Twitter Space ended but not downloadable yet", "processing"),
    ("Twitter Space ended and replay is disabled", "no_recording"),
    ("No video could be found in this tweet", "no_video_found"),
    ("There is no video in this post", "no_video_found"),
    ('The video is not available, Facebook said: "You must log in to continue."', "login_required"),
    ("Your IP address is unable to access the Reddit API", "ip_blocked"),
    ("This video is processing", "processing"),
    ("You have exceeded the rate limit. Try again later", "rate_limited"),
    ("Request is blocked by server (412), please wait and try later.", "rate_limited"),
    ("You are rate-limited. Try again later.", "rate_limited"),
    ("Some service error. Please try again later.", "rate_limited"),
    ("This video is for premium members only", "members_only"),
    ("This video may be deleted or geo-restricted. You might want to try a VPN or a proxy server (with --proxy)",
     "geo_blocked"),
    ("This video is not available from your location due to geo restriction", "geo_blocked"),
    ("This video is only available in Sweden", "geo_blocked"),
    ("This video is DRM protected", "drm_protected"),
    ("This video is either unavailable in your region or is DRM protected", "geo_blocked"),
    ("Got HTTP Error 403 caused by Cloudflare anti-bot challenge; try again with  --extractor-args "
     '"generic:impersonate"', "bot_check"),
    ("Got HTTP Error 403 caused by Cloudflare anti-bot challenge; see  https://github.com/yt-dlp/yt-dlp#impersonation  "
     "for how to install the required impersonation dependency, and try again", "bot_check"),
    ("The extractor is attempting impersonation, but no impersonate target is available. See  https://x  for more",
     "impersonation_missing"),
    ("You are suspected as a bot. Wait, or pass the captcha on the site and provide cookies.", "bot_check"),
    ("Udemy asks you to solve a CAPTCHA. Login with browser, solve CAPTCHA, then export cookies", "captcha"),
    ("Fresh cookies (not necessarily logged in) are needed", "cookies_needed"),
    ("Cookies (not necessarily logged in) are needed to download from this website", "cookies_needed"),
    ("This video is only available for registered users." + LOGIN_HINT, "login_required"),
    ("This livestream has not yet started", "upcoming"),
    ("This livestream has ended", "no_recording"),
    ("Streamer is not live", "channel_not_live"),
    ("Stream is offline.", "channel_not_live"),
    ("Access to this webpage has been blocked by Indian censorship. Use a VPN", "network_blocked"),
    ("This website is no longer supported since it has been determined to be primarily used for piracy.",
     "site_unsupported"),
    ("pycryptodomex not found. Please install", "dependency_missing"),
    ("PhantomJS not found, Please download it from https://phantomjs.org/download.html", "site_unsupported"),
    (f"'{URL}' is not a valid URL. Set --default-search", "unsupported_url"),
    # ---- what yt-dlp's downloaders say
    ("m3u8 download detected but ffmpeg could not be found. Please install", "stream_unsupported"),
    ("This format is DRM protected; Try selecting another format with --format", "drm_protected"),
]  # fmt: skip

TITLES = ["captcha", "How I deleted my private video", "Sign in to confirm your age", "members-only content like this",
          "this video is private", "You are rate-limited", "content isn't available, try again later"]  # fmt: skip

HOSTILE: list[tuple[BaseException, str]] = [
    # A title or a name in a message is no verdict.
    *[(said(f'Unsupported manifest type "{title}"', expected=False), "extractor_broken") for title in TITLES],
    *[(said(f"Cannot parse {title!r}"), "unknown") for title in TITLES],
    *[(said("Unable to find the player", video_id=title, ie="generic"), "unknown") for title in TITLES],
    *[(said(f"{title}: Something new", video_id=title, ie="generic"), "unknown") for title in TITLES],
    *[(said(f"Cannot play https://x.example/{title.replace(' ', '-')}"), "unknown") for title in TITLES],
    *[(http(404, reason=title), "not_found") for title in TITLES],
    (said("Captcha lessons are fun, said the cookie, and the drm was deleted"), "unknown"),
    (said("Unable to download webpage: HTTP Error 404: Sign in to confirm you're not a bot", cause=http(404)),
     "not_found"),
    (TransportError("HTTPSConnectionPool(host='this-video-is-private.example'): odd"), "connection_lost"),
    (said("\x1b]0;owned\x07\x1b[31mPrivate video\x1b[0m"), "private"),
    (said("x" * 100_000), "unknown"),
    (said("a " * 50_000), "unknown"),
    (said(""), "unknown"),
    (OSError(), "unknown"),
]  # fmt: skip

TABLE = [*BY_ATTRIBUTE, *[(said(words), code) for words, code in BY_WORDS], *HOSTILE]


def bare(error: BaseException) -> BaseException:
    return error


@pytest.mark.parametrize(("error", "code"), TABLE, ids=[f"{code}-{n}" for n, (_, code) in enumerate(TABLE)])
@pytest.mark.parametrize("wrap", [bare, reported, raised])
def test_every_failure_has_its_verdict(
    error: BaseException, code: str, wrap: Callable[[BaseException], BaseException]
) -> None:
    verdict = as_ingest_error(wrap(error))
    assert (verdict.code, verdict.failure_class) == (code, CATALOGUE[code].failure_class)
    assert verdict.message.startswith(CATALOGUE[code].sentence)
    assert verdict.message.endswith((".", ".)"))
    assert len(verdict.message) <= MESSAGE_CHARACTERS
    assert verdict.message.isprintable()
    assert "secret" not in verdict.message.lower()
    assert "--" not in verdict.message, "advice for users of yt-dlp's command line is none for ours"


def test_every_code_of_the_tables_is_tried() -> None:
    told = {*BY_TYPE.values(), *BY_STATUS.values(), *BY_GUARD.values(), *BY_REQUEST.values(), *phrases.codes()}
    assert told <= CATALOGUE.keys()
    by_warnings = {"javascript_runtime_missing", "po_token_needed"}
    assert told - by_warnings <= {code for _, code in TABLE}


# ---- through the real yt-dlp ----------------------------------------------------------------------------------------


class OddIE(InfoExtractor):  # type: ignore[misc]
    """A site whose extractor fails in every way."""

    IE_NAME = "odd"
    _VALID_URL = r"http://odd\.example/(?P<id>[\w-]+)"

    def _real_extract(self, url: str) -> dict[str, Any]:
        video_id = self._match_id(url)
        away = "http://127.0.0.1:9/x"
        if video_id == "unicode":
            b"\xff".decode()
        if video_id == "type":
            len(None)  # type: ignore[arg-type]
        if video_id == "key":
            dict[str, str]()["missing"]
        if video_id == "json":
            self._parse_json("<title>this video is private</title>", video_id)
        if video_id == "away":
            self._download_webpage(away, video_id)
        if video_id == "fallback":
            try:
                self._download_webpage(away, video_id)
            except ExtractorError:
                self.raise_login_required("Log in to watch this")
        if video_id == "geo":
            self.raise_geo_restricted(countries=["CH", "not a country", "LI"])
        if video_id == "drm":
            self.report_drm(video_id)
        if video_id == "login":
            self.raise_login_required()
        if video_id == "field":
            self._search_regex("(nothing)", "page", "player")
        if video_id == "host":
            self._download_webpage("http://" + "x" * 70 + "/", video_id)
        if video_id == "scheme":
            self._download_webpage("gopher://x.example/", video_id)
        return {"id": video_id, "title": "captcha, private video, deleted", "formats": []}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unicode", "extractor_broken"),
        ("type", "extractor_broken"),
        ("key", "extractor_broken"),
        ("json", "extractor_broken"),
        ("field", "extractor_broken"),
        ("away", "connection_lost"),
        ("fallback", "login_required"),
        ("geo", "geo_blocked"),
        ("drm", "drm_protected"),
        ("login", "login_required"),
        ("host", "invalid_url"),
        ("scheme", "blocked_scheme"),
        ("nothing", "no_formats"),
    ],
)
def test_what_an_extractor_raises_has_its_verdict(name: str, code: str) -> None:
    with yt_dlp.YoutubeDL({"quiet": True, "noprogress": True, "logger": logging.getLogger("test")}) as downloader:
        downloader.add_info_extractor(OddIE())
        with pytest.raises(Exception) as caught:  # noqa: PT011 (whatever yt-dlp raises)
            downloader.extract_info(f"http://odd.example/{name}", download=False, ie_key="Odd")
    assert as_ingest_error(caught.value).code == code


# ---- what comes with a verdict --------------------------------------------------------------------------------------


def test_the_time_that_the_source_names_is_kept() -> None:
    verdict = as_ingest_error(reported(http(429, Retry_After="120")))
    assert verdict.retry_at is not None
    assert abs(verdict.retry_at - datetime.now(UTC) - timedelta(seconds=120)) < timedelta(seconds=5)


def test_a_limited_session_rests_for_an_hour() -> None:
    verdict = as_ingest_error(said("This content isn't available, try again later."))
    assert verdict.retry_at is not None
    assert abs(verdict.retry_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Premieres in 20 minutes", 1200),
        ("This live event will begin in 3 hours.", 10_800),
        ("Premieres in 1 minute", 60),
        ("Premieres in 9999 days", 86_400),
        ("Premiere will begin shortly", None),
    ],
)
def test_a_premiere_without_a_date_is_looked_at_when_it_is_announced_for(words: str, seconds: int | None) -> None:
    when = as_ingest_error(said(words)).retry_at
    if seconds is None:
        assert when is None
    else:
        assert when is not None
        assert abs(when - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_the_countries_of_a_geo_block_are_named() -> None:
    assert "CH, AT" in as_ingest_error(GeoRestrictedError("not here", countries=["CH", "AT"])).message


def test_what_is_no_country_is_not_named() -> None:
    names = ["CH", "\x1b[31m", "https://x.example/secret", *(f"A{chr(65 + n)}" for n in range(26))]
    message = as_ingest_error(GeoRestrictedError("not here", countries=names)).message
    assert "CH, AA, AB" in message
    assert "and 7 more" in message
    assert "secret" not in message


def test_a_verdict_inside_is_kept() -> None:
    inner = failure("too_large")
    assert as_ingest_error(DownloadError("wrapped", (IngestError, inner, None))) is inner
    assert as_ingest_error(raised(inner)) is inner


@pytest.mark.parametrize(
    ("warning", "code"),
    [
        (
            "[youtube] No supported JavaScript runtime could be found. Only deno is enabled",
            "javascript_runtime_missing",
        ),
        ("[youtube] abc: n challenge solving failed: Some formats may be missing.", "javascript_runtime_missing"),
        ("[youtube] abc: web client https formats require a GVS PO Token which was not provided.", "po_token_needed"),
        ("[youtube] Something else", "no_formats"),
    ],
)
def test_missing_formats_are_explained_by_what_yt_dlp_warned_of(warning: str, code: str) -> None:
    missing = said("Requested format is not available")
    assert as_ingest_error(missing, ["An other one", warning]).code == code
    assert as_ingest_error(said("Private video"), [warning]).code == "private", "a warning explains nothing else"


def test_the_traceback_of_an_unknown_failure_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def somewhere() -> None:
        raise RuntimeError(URL)

    with pytest.raises(RuntimeError) as caught:
        somewhere()
    assert as_ingest_error(caught.value).code == "unknown"
    assert "in somewhere" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("starts", "ahead"),
    [
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(hours=-1), SOONEST_LOOK),
        (timedelta(seconds=10), SOONEST_LOOK),
        (timedelta(days=30), LATEST_LOOK),
        (0, SOONEST_LOOK),
        (-1e30, SOONEST_LOOK),
        (10**30, LATEST_LOOK),
        (math.inf, LATEST_LOOK),
        (math.nan, None),
        (True, None),
        ("tomorrow", None),
        (None, None),
    ],
)
def test_what_is_announced_is_looked_at_in_time_but_neither_at_once_nor_too_late(
    starts: object, ahead: timedelta | None
) -> None:
    if isinstance(starts, timedelta):
        starts = (datetime.now(UTC) + starts).timestamp()
    with pytest.raises(IngestError) as caught:
        refuse_unfinished({"live_status": "is_upcoming", "release_timestamp": starts})
    assert (caught.value.failure_class, caught.value.code) == (FailureClass.NOT_YET, "upcoming")
    if ahead is None:
        assert caught.value.retry_at is None
    else:
        assert caught.value.retry_at is not None
        assert abs(caught.value.retry_at - datetime.now(UTC) - ahead) < timedelta(seconds=5)


RETRY_NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "when"),
    [
        (None, None),
        ("120", RETRY_NOW + timedelta(seconds=120)),
        ("Sun, 22 Nov 2026 08:05:00 GMT", RETRY_NOW + timedelta(minutes=5)),
        ("999999999", RETRY_NOW + timedelta(days=1)),
        ("soon", None),
        ("-3", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, when: datetime | None) -> None:
    assert retry_after(value, RETRY_NOW) == when
