"""Other ways to the forbidden: proxies, the environment, headers, other libraries, other downloaders."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from narralytica_ingest_tests.egress_lab.vector import Document, Vector
from narralytica_ingest_tests.egress_lab.vectors import addresses, beside, lookups, manifests, pages, redirects

_HERE = "http://media.example.com"
_CANARY = "http://127.0.0.1:8080"
_ENCRYPTED = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="/one.key"\n#EXTINF:11,\n/one.enc.ts\n#EXT-X-ENDLIST\n'
_UPSTREAM = ("10.9.9.9", 8080)

_ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "no proxy for anything": {"NO_PROXY": "*", "no_proxy": "*"},
    "no proxy for the target": {"NO_PROXY": "ELSEWHERE", "no_proxy": "ELSEWHERE"},
    "no proxy for private networks": {"NO_PROXY": "10.0.0.0/8,.local", "no_proxy": "10.0.0.0/8,.local"},
    "a proxy for http": {"HTTP_PROXY": _CANARY, "http_proxy": _CANARY},
    "a proxy for https": {"HTTPS_PROXY": _CANARY, "https_proxy": _CANARY},
    "a proxy for all": {"ALL_PROXY": _CANARY, "all_proxy": _CANARY},
    "a SOCKS proxy for all": {"ALL_PROXY": "socks5h://127.0.0.1:8080", "all_proxy": "socks5h://127.0.0.1:8080"},
}


def _said(name: str, said: Mapping[str, Any], **more: Any) -> Vector:
    return Vector(f"way: {name}", f"{_HERE}/site/one", said={"ext": "mp4", **said}, **more)


def _impersonated(vector: Vector) -> Vector:
    return replace(vector, name=f"as a browser: {vector.name}", access={"impersonate": "chrome"})


def _through_upstream(vector: Vector) -> Vector:
    host, port = _UPSTREAM
    return replace(
        vector, name=f"upstream: {vector.name}", access={"proxy": f"http://{host}:{port}"}, needs=(_UPSTREAM,)
    )


def _of(group: tuple[Vector, ...], *names: str) -> list[Vector]:
    found = {each.name: each for each in group}
    return [found[name] for name in names]


_OF_ALL = [
    *_of(addresses.VECTORS, "address 127.0.0.1", "address ::1", "private address, port 22", "public address, port 22"),
    *_of(lookups.VECTORS, "name: private", "name: public, then private", "name: public at first, private later"),
    *_of(redirects.VECTORS, "redirect: status 302", "redirect: status 307", "redirect: to file", "redirect: to gopher"),
    *_of(redirects.VECTORS, "redirect: from https to http", "redirect: from http to https", "redirect: the fifth"),
    *_of(pages.VECTORS, "page: video"),
    *_of(manifests.VECTORS, "HLS: segment", "HLS: AES-128 key", "DASH: SegmentTemplate"),
    *_of(beside.VECTORS, "beside: thumbnail by address", "beside: captions by redirect"),
]
_RARE = {
    "rtmp": {"url": "rtmp://10.1.2.3/live", "protocol": "rtmp"},
    "rtmp through ffmpeg": {"url": "rtmp://10.1.2.3/live", "protocol": "rtmp_ffmpeg"},
    "rtsp": {"url": "rtsp://10.1.2.3/one", "protocol": "rtsp"},
    "mms": {"url": "mms://10.1.2.3/one", "protocol": "mms"},
    "ftp": {"url": "ftp://10.1.2.3/clip.mp4", "protocol": "ftp"},
    "file": {"url": "file:///etc/hostname", "protocol": "file"},
    "gopher": {"url": "gopher://10.1.2.3:6379/_PING"},
    "websocket": {"url": "ws://10.1.2.3/one", "protocol": "websocket_frag"},
}

VECTORS = (
    *(
        Vector(f"environment: {name}, private target", "http://ELSEWHERE/clip.mp4", environment=environment)
        for name, environment in _ENVIRONMENTS.items()
    ),
    *(
        Vector(f"environment: {name}, public target", f"{_HERE}/clip.mp4", environment=each, code=None, control=None)
        for name, each in _ENVIRONMENTS.items()
    ),
    *(_said(name, said, control=None, code="blocked_scheme") for name, said in _RARE.items()),
    _said("another Host", {"url": "http://ELSEWHERE/clip.mp4", "http_headers": {"Host": "media.example.com"}}),
    _said("a forbidden Host", {"url": f"{_HERE}/clip.mp4", "http_headers": {"Host": "ELSEWHERE"}}, code=None),
    _said("a proxy by header", {"url": "http://ELSEWHERE/clip.mp4", "http_headers": {"Ytdl-request-proxy": _CANARY}}),
    _said("a proxy by header to a public one", {"url": f"{_HERE}/clip.mp4",
          "http_headers": {"Ytdl-request-proxy": _CANARY}}, code=None, control=None),
    _said("no proxy by header", {"url": "http://ELSEWHERE/clip.mp4",
          "http_headers": {"Ytdl-request-proxy": "__noproxy__"}}),
    _said("headers of a proxy", {"url": "http://ELSEWHERE/clip.mp4",
          "http_headers": {"Proxy-Authorization": "Basic Og==", "Proxy-Connection": "keep-alive"}}),
    _said("a format", {"formats": [{"url": "http://ELSEWHERE/clip.mp4", "format_id": "a", "ext": "mp4"}]}),
    _said("picture and sound apart", {"formats": [
        {"url": f"{_HERE}/clip.mp4", "format_id": "v", "ext": "mp4", "vcodec": "avc1", "acodec": "none"},
        {"url": "http://ELSEWHERE/clip.m4a", "format_id": "a", "ext": "m4a", "vcodec": "none", "acodec": "mp4a"}]}),
    _said("fragments", {"url": f"{_HERE}/list.mpd", "protocol": "http_dash_segments",
          "fragments": [{"url": "http://ELSEWHERE/one.m4s"}]}),
    _said("fragments below a base", {"url": f"{_HERE}/list.mpd", "protocol": "http_dash_segments",
          "fragment_base_url": "http://ELSEWHERE/", "fragments": [{"path": "one.m4s"}]}),
    _said("a playlist by ffmpeg's protocol", {"url": "http://ELSEWHERE/list.m3u8", "protocol": "m3u8"}),
    _said("a playlist as data", {"url": f"{_HERE}/list.m3u8", "protocol": "m3u8_native",
          "hls_media_playlist_data": "#EXTM3U\n#EXTINF:11,\nhttp://ELSEWHERE/one.ts\n#EXT-X-ENDLIST\n"}),
    _said("a key outside the playlist", {"url": f"{_HERE}/list.m3u8", "protocol": "m3u8_native",
          "hls_aes": {"uri": "http://ELSEWHERE/one.key", "iv": f"0x{0:032x}"}},
          documents={"/list.m3u8": Document(_ENCRYPTED, "application/vnd.apple.mpegurl")}),
    _said("a live stream by ffmpeg", {"url": "http://ELSEWHERE/list.m3u8", "protocol": "m3u8", "is_live": True},
          control=None, code="live"),
    _said("a link to another extractor", {"_type": "url", "url": "http://ELSEWHERE/clip.mp4"}),
    _said("a transparent link", {"_type": "url_transparent", "url": "http://ELSEWHERE/clip.mp4"}),
    _said("a list of one", {"_type": "playlist", "entries": [{"_type": "url", "url": "http://ELSEWHERE/clip.mp4"}]}),
    _said("a list of two", {"_type": "playlist", "entries": [
        {"_type": "url", "url": "http://ELSEWHERE/clip.mp4"}, {"_type": "url", "url": "http://ELSEWHERE/other.mp4"}]}),
    # libcurl does not take the laboratory's certificate, and cannot ask a proxy for a literal IPv6 address.
    *(_impersonated(each) for each in _OF_ALL if "https" not in each.name and "::1" not in each.name),
    replace(_impersonated(_of(addresses.VECTORS, "address ::1")[0]), code="connection_lost"),
    *map(_through_upstream, _OF_ALL),
)  # fmt: skip
