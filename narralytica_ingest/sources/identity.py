"""Which video a reference means, decided offline and in milliseconds.

What belongs here: turning a URL or an upload reference into the one `video_id` that every form of it shares. No
network, no yt-dlp: the dispatch sensor and the command line call this for every job.
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urlsplit, urlunsplit

from w3lib.url import canonicalize_url

from narralytica_ingest.failures import permanent

MAX_URL_LENGTH = 8192
_ID_LENGTH = 32  # hex digits: 128 bits of a SHA-256
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtubekids.com")
_YOUTUBE_VIDEO_PATHS = {"watch", "shorts", "embed", "live", "v", "e"}
_YOUTUBE_LIST_PATHS = {"playlist", "channel", "c", "user", "feed", "results", "hashtag"}
_VIMEO_PATH = re.compile(
    r"/(?:(?:channels/[^/]+|groups/[^/]+/videos|(?:album|showcase)/\d+/video|video)/)?(?P<id>\d{5,})(?:/(?P<key>[0-9a-f]{6,}))?/?"
)
_TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid|mc_[ce]id|_hs(?:enc|mi)|_g[al]"
)
_OWN_UPLOAD_KEY = re.compile(r"sha256/(?P<sha256>[0-9a-f]{64})/[^/]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Identity:
    """One video. Exactly one of `source_url` (where to fetch it) and `upload_ref` is set.

    `video_id` holds nothing but letters, digits, `_` and `-`. `host` is what politeness and fairness count by; it is
    empty for uploads.
    """

    video_id: str
    source: str
    source_id: str
    source_url: str | None
    upload_ref: str | None
    host: str


def identify_url(url: str) -> Identity:
    """The video that an http(s) URL means.

    Raises IngestError, all permanent: `unsupported_scheme`, `invalid_url`, `playlist_not_supported`.
    """
    parts = _split(url)
    host = parts.hostname or ""
    if host == "youtu.be" or _is_host(host, *_YOUTUBE_HOSTS):
        found = _youtube(parts, host)
    elif _is_host(host, "vimeo.com"):
        found = _vimeo(parts)
    else:
        found = None
    return found or _web(parts, host)


def identify_upload(ref: str, version: str, upload_bucket: str) -> Identity:
    """The video that an `s3://bucket/key` reference means; `version` is the object's version id or its ETag.

    Keys that `submit FILE` made (`sha256/<64 hex>/<file name>` in `upload_bucket`) carry the content's hash, which is
    then the identity. Any other object is its bucket, key and version, so an overwritten key is a new video. Raises
    IngestError `invalid_upload_ref` (permanent).
    """
    bucket, key = parse_upload_ref(ref)
    own = _OWN_UPLOAD_KEY.fullmatch(key) if bucket == upload_bucket else None
    source_id = own["sha256"][:_ID_LENGTH] if own else _digest("\0".join((bucket, key, version.strip('"'))))
    return Identity(f"upload-{source_id}", "upload", source_id, None, f"s3://{bucket}/{key}", "")


def parse_upload_ref(ref: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`, the key taken literally. Raises IngestError `invalid_upload_ref`."""
    scheme, separator, rest = ref.strip().partition("://")
    bucket, _, key = rest.partition("/")
    good_bucket = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket)
    if scheme.lower() != "s3" or not separator or not good_bucket or not key or not _encodable(key) or "\0" in key:
        raise permanent(
            "invalid_upload_ref", "An upload reference must have the form s3://bucket/key: correct the job."
        )
    return bucket, key


def alias_of(extractor: str, source_id: str) -> str:
    """The `video_id` form of a name that extraction learned: extractor key and the site's own id."""
    safe = source_id if _SAFE_ID.fullmatch(source_id) else _digest(source_id)
    return f"{re.sub(r'[^a-z0-9]', '', extractor.lower()) or 'site'}-{safe}"


def _split(url: str) -> SplitResult:
    """The URL's parts: scheme and host in lower case, no default port, no fragment that only scrolls."""
    text = url.strip()
    scheme = text.partition(":")[0].lower()
    if scheme == "s3":
        raise permanent(
            "unsupported_scheme", "An s3:// reference is an upload: put it into upload_ref, not source_url."
        )
    if scheme not in _DEFAULT_PORTS or ":" not in text:
        raise permanent(
            "unsupported_scheme",
            "The source must be an http, https or s3 URL; for a local file use `narralytica-ingest submit FILE`.",
        )
    if len(text) > MAX_URL_LENGTH or re.search(r"[\x00-\x20\x7f\\]", text) or not _encodable(text):
        raise _invalid_url()
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise _invalid_url() from None
    if not host or not re.fullmatch(r"[a-z0-9._:%-]+", host) or parts.netloc.count("@") > 1:
        raise _invalid_url()
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc += f":{port}"
    if "@" in parts.netloc:
        netloc = f"{parts.netloc.rpartition('@')[0]}@{netloc}"
    fragment = parts.fragment if parts.fragment.startswith(("!", "/")) else ""
    return SplitResult(scheme, netloc, parts.path or "/", parts.query, fragment)


def _youtube(parts: SplitResult, host: str) -> Identity | None:
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    query = parse_qs(parts.query)
    first = segments[0].lower() if segments else ""
    if host == "youtu.be":
        named = segments[0] if segments else None
    elif "v" in query and first in ("watch", "watch_popup", "playlist", ""):
        named = query["v"][0]
    elif first in _YOUTUBE_VIDEO_PATHS and len(segments) > 1 and segments[1] != "videoseries":
        named = segments[1]
    elif "list" in query or first in _YOUTUBE_LIST_PATHS or first.startswith("@"):
        raise permanent(
            "playlist_not_supported",
            "This is a YouTube playlist or channel, not a video: submit the URLs of its videos one by one.",
        )
    else:
        return None
    if named is None or not _YOUTUBE_ID.fullmatch(named):
        raise permanent("invalid_url", "This YouTube URL holds no valid video id (11 characters): check the URL.")
    return Identity(
        f"youtube-{named}", "youtube", named, f"https://www.youtube.com/watch?v={named}", None, "www.youtube.com"
    )


def _vimeo(parts: SplitResult) -> Identity | None:
    match = _VIMEO_PATH.fullmatch(parts.path)
    if match is None:
        return None
    key = match["key"] or next(iter(parse_qs(parts.query).get("h", [])), "")  # opens an unlisted video
    key = key if re.fullmatch(r"[0-9a-f]{6,}", key) else ""
    url = f"https://vimeo.com/{match['id']}" + (f"/{key}" if key else "")
    return Identity(f"vimeo-{match['id']}", "vimeo", match["id"], url, None, "vimeo.com")


def _web(parts: SplitResult, host: str) -> Identity:
    """A URL of no known site: the hash of its canonical form. What is fetched is the URL as it was given."""
    kept = [
        pair for pair in parts.query.split("&") if not _TRACKING.fullmatch(unquote_plus(pair.partition("=")[0]).lower())
    ]
    try:
        canonical = canonicalize_url(urlunsplit(parts._replace(query="&".join(kept))), keep_fragments=True)
    except (ValueError, UnicodeError):
        raise _invalid_url() from None
    source_id = _digest(canonical)
    return Identity(f"web-{source_id}", "web", source_id, urlunsplit(parts), None, host)


def _is_host(host: str, *domains: str) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_LENGTH]


def _invalid_url() -> Exception:
    return permanent("invalid_url", "This is not a valid URL: it must look like https://host/path, without spaces.")
