"""Which video a reference means, decided offline and in milliseconds.

What belongs here: turning a URL or an upload reference into the one `video_id` that every form of it shares. No
network, no yt-dlp: the dispatch sensor and the command line call this for every job. A playlist has an identity as a
video has one; what a URL really holds is found out by extraction.
"""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, unquote_plus, urljoin, urlsplit, urlunsplit

from w3lib.url import canonicalize_url

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources.sites import SAFE_ID, TRACKING, known_site, unique_anywhere

MAX_URL_LENGTH = 8192
_ID_LENGTH = 32  # hex digits: 128 bits of a SHA-256
_LONGEST_SOURCE = 90  # with an id of at most 100 characters it makes a video's name, which has at most 200
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}(?![A-Za-z0-9_-])")
_YOUTUBE_VIDEO = re.compile(r"youtube-([A-Za-z0-9_-]{11})")
_YOUTUBE_HOSTS = ("youtube.com", "youtube-nocookie.com", "youtubekids.com", "youtubeeducation.com")
_YOUTUBE_WATCH_PATHS = {"", "watch", "watch.php", "watch_popup", "movie", "playlist"}
_YOUTUBE_VIDEO_PATHS = {"watch", "shorts", "embed", "live", "v", "e"}
_YOUTUBE_NO_VIDEOS = {"videoseries", "live_stream"}  # they stand where an id stands, and are 11 characters, too
_YOUTUBE_CHANNEL_PATHS = {"channel", "c", "user"}
_YOUTUBE_TABS = {"videos", "shorts", "streams", "live", "featured", "podcasts", "releases", "playlists", "courses"}
_YOUTUBE_WRAPPERS = {"attribution_link": "u", "m": "continue", "signin": "next"}  # path: the parameter that counts
_VIMEO_PATH = re.compile(
    r"/(?:(?:channels/[^/]+|groups/[^/]+/videos|(?:album|showcase)/\d+/video|video)/)?(?P<id>\d{5,20})(?:/(?P<key>[0-9a-f]{6,}))?/?"
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
    """The video (or the playlist) that an http(s) URL means. Where several URLs are one video, this may not know it.

    Raises IngestError, both permanent: `blocked_scheme`, `invalid_url`.
    """
    parts = _split(url)
    host = parts.hostname or ""
    if _is_host(host, "youtu.be", *_YOUTUBE_HOSTS):
        found = _youtube(parts, host)
    elif _is_host(host, "vimeo.com"):
        found = _vimeo(parts)
    else:
        found = _site(parts, host)
    return found or _web(parts, host)


def identify_upload(ref: str, version: str, upload_bucket: str, upload_prefix: str = "") -> Identity:
    """The video that an `s3://bucket/key` reference means; `version` is the object's version id or its ETag.

    Keys that `submit FILE` made (`sha256/<64 hex>/<file name>` in `upload_bucket`, below `upload_prefix` if there is
    one) carry the content's hash, which is then the identity. Any other object is its bucket, key and version, so an
    overwritten key is a new video. Raises IngestError `invalid_upload_ref` (permanent).
    """
    bucket, key = parse_upload_ref(ref)
    place = key.removeprefix(f"{upload_prefix}/") if upload_prefix else key
    within = bucket == upload_bucket and (not upload_prefix or place != key)
    own = _OWN_UPLOAD_KEY.fullmatch(place) if within else None
    source_id = own["sha256"][:_ID_LENGTH] if own else _digest("\0".join((bucket, key, version.strip('"'))))
    return Identity(f"upload-{source_id}", "upload", source_id, None, f"s3://{bucket}/{key}", "")


def parse_upload_ref(ref: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`, the key taken literally. Raises IngestError `invalid_upload_ref`."""
    scheme, separator, rest = ref.strip().partition("://")
    bucket, _, key = rest.partition("/")
    good_bucket = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket)
    if scheme.lower() != "s3" or not separator or not good_bucket or not key or not _encodable(key) or "\0" in key:
        raise failure("invalid_upload_ref", "An upload reference must have the form s3://bucket/key: correct the job.")
    return bucket, key


def alias_of(extractor: str, source_id: str) -> str:
    """The `video_id` form of an extractor's key and the site's own id."""
    safe = source_id if SAFE_ID.fullmatch(source_id) else _digest(source_id)
    return f"{_source_of(extractor)}-{safe}"


def revealed_alias(extractor: str, source_id: str, page: str | None) -> str | None:
    """The name that extraction learned, if it can mean nothing else; None if another video might have it, too.

    Extractors serve many sites, and sites number several things from 1 on: Newgrounds' audio 7 is not its video 7. So
    an id counts if the site is known to have one numbering, if nobody else could have it by chance, or if `page` (the
    URL of the video's page) names it by itself.
    """
    if not source_id:
        return None
    alias = alias_of(extractor, source_id)
    if _source_of(extractor) in ("youtube", "vimeo") or unique_anywhere(source_id):
        return alias
    try:
        return alias if page and identify_url(page).video_id == alias else None
    except IngestError:
        return None


def only_video(video_id: str, url: str, alias: str) -> str | None:
    """The URL of the video that a list on YouTube, or a channel's live page, holds now and alone, which is `alias`.

    None where `alias` is just another name of the video itself. A list with one video today has two tomorrow, so the
    list's identity (`video_id`, at `url`) must never become that video's.
    """
    host = urlsplit(url).hostname or ""
    if not _is_host(host, *_YOUTUBE_HOSTS) or _YOUTUBE_VIDEO.fullmatch(video_id):
        return None
    found = _YOUTUBE_VIDEO.fullmatch(alias)
    return f"https://www.youtube.com/watch?v={found[1]}" if found else None


def _source_of(extractor: str) -> str:
    return re.sub(r"[^a-z0-9]", "", extractor.lower())[:_LONGEST_SOURCE] or "site"


def _split(url: str) -> SplitResult:
    """The URL's parts: scheme and host in lower case, no default port, no fragment that only scrolls."""
    text = _without_place(url.strip())
    scheme = text.partition(":")[0].lower()
    if scheme == "s3":
        raise failure("blocked_scheme", "An s3:// reference is an upload: put it into upload_ref, not source_url.")
    if scheme not in _DEFAULT_PORTS or ":" not in text:
        raise failure(
            "blocked_scheme",
            "The source must be an http, https or s3 URL; for a local file use `narralytica-ingest submit FILE`.",
        )
    if len(text) > MAX_URL_LENGTH or re.search(r"[\x00-\x20\x7f\\\s]", text) or not _encodable(text):
        raise _invalid_url()
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode().rstrip(".")  # there are other full stops than `.`
    except (ValueError, UnicodeError):
        raise _invalid_url() from None
    if not host or not re.fullmatch(r"[a-z0-9._:%-]+", host) or parts.netloc.count("@") > 1:
        raise _invalid_url()
    netloc = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc += f":{port}"
    if "@" in parts.netloc:
        netloc = f"{parts.netloc.rpartition('@')[0]}@{netloc}"
    return SplitResult(scheme, netloc, parts.path or "/", parts.query, parts.fragment)


def _without_place(text: str) -> str:
    """Without a fragment that only scrolls; then no blank that stood before it may end the URL either."""
    page, _, fragment = text.partition("#")
    return text if fragment.startswith(("!", "/")) else page.rstrip()


def _youtube(parts: SplitResult, host: str) -> Identity | None:
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    query = parse_qs(parts.query or parts.fragment.removeprefix("!"))
    first = segments[0].lower() if segments else ""
    if _is_host(host, "youtu.be"):
        return _youtube_video(segments[0] if segments else "")
    if "v" in query and first in _YOUTUBE_WATCH_PATHS:
        return _youtube_video(query["v"][0])
    if first in _YOUTUBE_VIDEO_PATHS and len(segments) > 1 and segments[1] not in _YOUTUBE_NO_VIDEOS:
        return _youtube_video(segments[1])
    if "list" in query:
        return _youtube_list(query["list"][0])
    if _YOUTUBE_WRAPPERS.get(first) in query:
        return _youtube_wrapped(query[_YOUTUBE_WRAPPERS[first]][0])
    if segments[1:2] == ["live_stream"]:
        return _youtube_channel(["channel", query.get("channel", [""])[0], "live"])
    return _youtube_channel(segments)


def _youtube_video(named: str) -> Identity | None:
    found = _YOUTUBE_ID.match(named)
    if found is None:
        raise failure("invalid_url", "This YouTube URL holds no valid video id (11 characters): check the URL.")
    return _on_youtube(found[0], f"watch?v={found[0]}", found[0])


def _youtube_list(named: str) -> Identity | None:
    return _on_youtube(f"list-{named}", f"playlist?list={named}", named) if SAFE_ID.fullmatch(named) else None


def _youtube_channel(segments: list[str]) -> Identity | None:
    """`/@handle`, `/channel/UC…`, `/c/name`, `/user/name`, each perhaps with a tab, which is a list of its own."""
    kind = "handle" if segments and segments[0].startswith("@") else segments[0].lower() if segments else ""
    names = [segments[0][1:], *segments[1:]] if kind == "handle" else segments[1:]
    tab = f"{names[1].lower()}-of-" if len(names) > 1 else ""
    if kind not in (*_YOUTUBE_CHANNEL_PATHS, "handle") or not names or len(names) > 2:
        return None
    if not SAFE_ID.fullmatch(names[0]) or (tab and names[1].lower() not in _YOUTUBE_TABS):
        return None
    where = "/".join([f"@{names[0]}" if kind == "handle" else f"{kind}/{names[0]}", *names[1:]])
    return _on_youtube(f"{tab}{kind}-{names[0]}", where, names[0])


def _youtube_wrapped(target: str) -> Identity | None:
    """The video of a link that leads on to one, as mails and consent pages have them; one layer, not any number."""
    try:
        inner = urljoin("https://www.youtube.com/", target)
        if any(f"/{wrapper}?" in inner for wrapper in _YOUTUBE_WRAPPERS):
            return None
        found = identify_url(inner)
    except (ValueError, IngestError):  # it leads nowhere: the link is a page like any other
        return None
    return found if found.source == "youtube" else None


def _on_youtube(name: str, where: str, source_id: str) -> Identity | None:
    if name != source_id and len(name) == 11:  # it would look like a video's
        return None
    return Identity(
        f"youtube-{name}", "youtube", source_id, f"https://www.youtube.com/{where}", None, "www.youtube.com"
    )


def _vimeo(parts: SplitResult) -> Identity | None:
    match = _VIMEO_PATH.fullmatch(parts.path)
    if match is None:
        return None
    key = match["key"] or next(iter(parse_qs(parts.query).get("h", [])), "")  # opens an unlisted video
    key = key if re.fullmatch(r"[0-9a-f]{6,}", key) else ""
    url = f"https://vimeo.com/{match['id']}" + (f"/{key}" if key else "")
    return Identity(f"vimeo-{match['id']}", "vimeo", match["id"], url, None, "vimeo.com")


def _site(parts: SplitResult, host: str) -> Identity | None:
    """A site whose URLs name the video. What is fetched is the URL as it was given."""
    named = known_site(parts)
    if named is None:
        return None
    extractor, source_id = named
    return Identity(alias_of(extractor, source_id), _source_of(extractor), source_id, urlunsplit(parts), None, host)


def _web(parts: SplitResult, host: str) -> Identity:
    """A URL of no known site: the hash of its canonical form. What is fetched is the URL as it was given."""
    kept = [
        pair for pair in parts.query.split("&") if not TRACKING.fullmatch(unquote_plus(pair.partition("=")[0]).lower())
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
    return failure("invalid_url", "This is not a valid URL: it must look like https://host/path, without spaces.")
