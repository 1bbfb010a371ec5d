"""Thumbnails and captions that lie elsewhere: the video is ingested all the same, without them."""

from collections.abc import Mapping
from typing import Any

from narralytica_ingest_tests.egress_lab.vector import Document, Vector

_HERE = "http://media.example.com"
_HLS = "application/vnd.apple.mpegurl"


def _beside(
    name: str, said: Mapping[str, Any], side_code: str = "blocked_address", control: str | None = "8.8.4.4",
    documents: Mapping[str, Document] | None = None, names: Mapping[str, tuple[str, ...]] | None = None,
    **more: Any,
) -> Vector:  # fmt: skip
    media = {"url": f"{_HERE}/clip.mp4", "ext": "mp4"}
    return Vector(
        f"beside: {name}", f"{_HERE}/site/one", documents or {}, control=control, code=None, side_code=side_code,
        said=media | dict(said), names=names or {}, **more,
    )  # fmt: skip


def _thumbnail(url: str) -> dict[str, Any]:
    return {"thumbnails": [{"url": url}]}


def _captions(url: str, ext: str = "vtt", **more: str) -> dict[str, Any]:
    return {"subtitles": {"en": [{"url": url, "ext": ext, **more}]}}


def _moved(what: str) -> Document:
    return Document("", "text/plain", 302, {"Location": f"http://ELSEWHERE/{what}"})


_NAMES = {"evil.example.com": ("ELSEWHERE",)}
_PAGE = (
    '<html><head><title>A talk</title><script type="application/ld+json">{"@context": "https://schema.org", '
    f'"@type": "VideoObject", "name": "A talk", "contentUrl": "{_HERE}/clip.mp4", '
    '"thumbnailUrl": "http://ELSEWHERE/t.jpg"}</script></head><body></body></html>'
)
_TRACK = (
    '<html><head><title>A talk</title></head><body><video src="/clip.mp4">'
    '<track kind="subtitles" srclang="en" src="http://ELSEWHERE/en.vtt"></video></body></html>'
)
_MASTER = (
    '#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="http://ELSEWHERE/words.m3u8"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=240000,SUBTITLES="s"\n/variant.m3u8\n'
)
_WORDS = "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:11.7,\nhttp://ELSEWHERE/one.vtt\n#EXT-X-ENDLIST\n"

VECTORS = (
    _beside("thumbnail by address", _thumbnail("http://ELSEWHERE/t.jpg")),
    _beside("thumbnail on loopback", _thumbnail("http://ELSEWHERE/t.jpg"), target="127.0.0.1"),
    _beside("thumbnail by https", _thumbnail("https://ELSEWHERE/t.jpg")),
    _beside("thumbnail by redirect", _thumbnail(f"{_HERE}/t.jpg"), documents={"/t.jpg": _moved("other.jpg")}),
    _beside("thumbnail by name", _thumbnail("http://evil.example.com/t.jpg"), names=_NAMES),
    _beside("thumbnail of a local file", _thumbnail("file:///etc/hostname"), "blocked_scheme", None),
    _beside("thumbnail by ftp", _thumbnail("ftp://10.1.2.3/t.jpg"), "blocked_scheme", None),
    _beside("thumbnail on port 22", _thumbnail("http://8.8.4.4:22/t.jpg"), "blocked_port", None),
    _beside("thumbnail on a private port 22", _thumbnail("http://10.1.2.3:22/t.jpg"), control=None),
    _beside("thumbnail of a denied host", _thumbnail("http://ELSEWHERE/t.jpg"), "blocked_host", target="a.example.net",
            policy={"denied_hosts": ("example.net",)}),
    _beside("captions by address", _captions("http://ELSEWHERE/en.vtt")),
    _beside("captions of metadata", _captions("http://ELSEWHERE/latest/en.vtt"), target="169.254.169.254"),
    _beside("captions by redirect", _captions(f"{_HERE}/en.vtt"), documents={"/en.vtt": _moved("other.vtt")}),
    _beside("captions by name", _captions("http://evil.example.com/en.vtt"), names=_NAMES),
    _beside("captions of a local file", _captions("file:///etc/hostname"), "blocked_scheme", None),
    _beside("captions on port 22", _captions("http://8.8.4.4:22/en.vtt"), "blocked_port", None),
    _beside("captions by a playlist", _captions("http://ELSEWHERE/words.m3u8")),
    _beside("captions by a playlist's segment", _captions(f"{_HERE}/en.m3u8"),
            documents={"/en.m3u8": Document(_WORDS, _HLS)}),
    _beside("captions by a playlist's segment by name", _captions(f"{_HERE}/en.m3u8"),
            documents={"/en.m3u8": Document(_WORDS.replace("ELSEWHERE", "evil.example.com"), _HLS)}, names=_NAMES),
    _beside("automatic captions", {"automatic_captions": {"en": [{"url": "http://ELSEWHERE/en.vtt", "ext": "vtt"}]},
                                   "language": "en"}),
    _beside("captions with another Host", {
        "subtitles": {"en": [{"url": "http://ELSEWHERE/en.vtt", "ext": "vtt", "http_headers": {"Host": "8.8.4.4"}}]}}),
    Vector("beside: thumbnail of a page", f"{_HERE}/page.html", {"/page.html": Document(_PAGE)},
           code=None, side_code="blocked_address"),
    Vector("beside: track of a page", f"{_HERE}/page.html", {"/page.html": Document(_TRACK)},
           code=None, side_code="blocked_address"),
    Vector("beside: subtitles rendition of a master", f"{_HERE}/list.m3u8", {"/list.m3u8": Document(_MASTER, _HLS)},
           code=None, side_code="blocked_address"),
)  # fmt: skip
