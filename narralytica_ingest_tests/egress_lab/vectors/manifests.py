"""Playlists and manifests on public servers, whose parts lie elsewhere."""

from narralytica_ingest_tests.egress_lab.vector import Document, Vector

_HERE = "http://media.example.com"
_HLS, _DASH = "application/vnd.apple.mpegurl", "application/dash+xml"
_HEAD, _END = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:12\n", "#EXT-X-ENDLIST\n"
_SEGMENT = "#EXTINF:11.7,\n"


def _media(text: str) -> str:
    return f"{_HEAD}{text}{_END}"


def _master(text: str, variant: str = "/variant.m3u8") -> str:
    return f'#EXTM3U\n{text}#EXT-X-STREAM-INF:BANDWIDTH=240000,CODECS="avc1.640015,mp4a.40.2",AUDIO="a"\n{variant}\n'


def _key(method: str, uri: str, more: str = "") -> str:
    return f'#EXT-X-KEY:METHOD={method},URI="{uri}",IV=0x{0:032x}{more}\n'


_ENCRYPTED = f"{_SEGMENT}/one.enc.ts\n"
_PLAYLISTS = {
    "variant": _master("", "http://ELSEWHERE/variant.m3u8"),
    "variant without a scheme": _master("", "//ELSEWHERE/variant.m3u8"),
    "segment": _media(f"{_SEGMENT}http://ELSEWHERE/one.ts\n"),
    "second segment": _media(f"{_SEGMENT}/one.ts\n{_SEGMENT}http://ELSEWHERE/two.ts\n"),
    "segment by https": _media(f"{_SEGMENT}https://ELSEWHERE/one.ts\n"),
    "byte range": _media(f"#EXT-X-BYTERANGE:9000@100\n{_SEGMENT}http://ELSEWHERE/one.ts\n"),
    "initialization": _media(f'#EXT-X-MAP:URI="http://ELSEWHERE/init.mp4"\n{_SEGMENT}/one.m4s\n'),
    "initialization by range": _media(
        f'#EXT-X-MAP:URI="http://ELSEWHERE/i.mp4",BYTERANGE="900@0"\n{_SEGMENT}/one.m4s\n'
    ),
    "AES-128 key": _media(_key("AES-128", "http://ELSEWHERE/one.key") + _ENCRYPTED),
    "second AES-128 key": _media(
        _key("AES-128", "/one.key") + _ENCRYPTED + _key("AES-128", "http://ELSEWHERE/two.key") + _ENCRYPTED
    ),
    "picture rendition": _master(
        '#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID="a",NAME="b",URI="http://ELSEWHERE/video.m3u8"\n',
        "http://ELSEWHERE/variant.m3u8",
    ),
}
_MPD = (
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" xmlns:xlink="http://www.w3.org/1999/xlink" type="static" '
    'mediaPresentationDuration="PT11.7S">%s</MPD>'
)
_SET = (
    '<Period>%s<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9">%s</Representation>'
    "</AdaptationSet></Period>"
)
_LIST = '<SegmentList duration="2"><Initialization sourceURL="%s"/><SegmentURL media="%s"/></SegmentList>'
_TEMPLATE = '<SegmentTemplate duration="12" timescale="1" startNumber="1" initialization="%s" media="%s"/>'
_TARGET = "http://ELSEWHERE"
_MANIFESTS = {
    "BaseURL of the manifest": _MPD % (f"<BaseURL>{_TARGET}/</BaseURL>" + _SET % ("", "<BaseURL>clip.mp4</BaseURL>")),
    "BaseURL of a period": _MPD % (_SET % (f"<BaseURL>{_TARGET}/</BaseURL>", "<BaseURL>clip.mp4</BaseURL>")),
    "BaseURL of a representation": _MPD % (_SET % ("", f"<BaseURL>{_TARGET}/clip.mp4</BaseURL>")),
    "SegmentTemplate": _MPD % (_SET % ("", _TEMPLATE % ("/init.mp4", f"{_TARGET}/$Number$.m4s"))),
    "initialization of a SegmentTemplate": _MPD % (_SET % ("", _TEMPLATE % (f"{_TARGET}/init.mp4", "/$Number$.m4s"))),
    "SegmentList": _MPD % (_SET % ("", _LIST % ("/init.mp4", f"{_TARGET}/1.m4s"))),
    "initialization of a SegmentList": _MPD % (_SET % ("", _LIST % (f"{_TARGET}/init.mp4", "/1.m4s"))),
    "BaseURL without a scheme": _MPD % (_SET % ("", "<BaseURL>//ELSEWHERE/clip.mp4</BaseURL>")),
}
# What an honest reader never follows: the rest of the manifest is public, and the fetch succeeds without it.
_IGNORED = {
    "Location": _MPD % (f"<Location>{_TARGET}/other.mpd</Location>" + _SET % ("", "<BaseURL>/clip.mp4</BaseURL>")),
    "xlink": _MPD % (f'<Period xlink:href="{_TARGET}/p.xml"/>' + _SET % ("", "<BaseURL>/clip.mp4</BaseURL>")),
}
# Segments of other schemes: ffmpeg would read them all, and the local ones, too.
_SCHEMES = {
    "file": "file:///etc/hostname",
    "data": "data:video/mp2t;base64,AAAA",
    "concat": "concat:http://10.1.2.3/one.ts|http://10.1.2.3/two.ts",
    "crypto": "crypto+http://10.1.2.3/one.ts",
    "ftp": "ftp://10.1.2.3/one.ts",
    "gopher": "gopher://10.1.2.3:6379/_PING",
    "tcp": "tcp://10.1.2.3:6379",
    "udp": "udp://10.1.2.3:6379",
    "rtp": "rtp://239.255.255.250:5004",
}


def _hls(name: str, text: str, code: str | None = "blocked_address", control: str | None = "8.8.4.4") -> Vector:
    return Vector(
        f"HLS: {name}", f"{_HERE}/list.m3u8", {"/list.m3u8": Document(text, _HLS)}, control=control, code=code
    )


def _dash(name: str, text: str, code: str | None = "blocked_address") -> Vector:
    return Vector(f"DASH: {name}", f"{_HERE}/list.mpd", {"/list.mpd": Document(text, _DASH)}, code=code)


def _moved(what: str) -> Document:
    return Document("", "text/plain", 302, {"Location": f"http://ELSEWHERE/{what}"})


VECTORS = (
    *(_hls(name, text) for name, text in _PLAYLISTS.items()),
    *(_hls(f"{name} segment", _media(f"{_SEGMENT}{url}\n"), "blocked_scheme", None) for name, url in _SCHEMES.items()),
    _hls("subfile segment is a path", _media(f"{_SEGMENT}subfile,,start,0,end,0,,:/etc/hostname\n"), None, None),
    *(
        _hls(f"{name} key", _media(_key("AES-128", url) + _ENCRYPTED), "blocked_scheme", None)
        for name, url in {"file": "file:///etc/hostname", "data": "data:,0123456789abcdef"}.items()
    ),
    _hls("SAMPLE-AES key", _media(_key("SAMPLE-AES", "http://ELSEWHERE/one.key") + _ENCRYPTED),
         "encryption_not_supported", None),
    _hls("SAMPLE-AES key of a license server",
         _media(_key("SAMPLE-AES", "skd://ELSEWHERE/one", ',KEYFORMAT="com.apple.streamingkeydelivery"') + _ENCRYPTED),
         "drm_protected", None),
    _hls("session key of a master is not followed",
         _master('#EXT-X-SESSION-KEY:METHOD=AES-128,URI="http://ELSEWHERE/one.key"\n'), None),
    _hls("audio rendition",
         _master('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",DEFAULT=YES,URI="http://ELSEWHERE/audio.m3u8"\n')),
    Vector(
        "HLS: private entry behind a public master",
        f"{_HERE}/list.m3u8",
        {
            "/list.m3u8": Document(_master(""), _HLS),
            "/variant.m3u8": Document(_media(f"{_SEGMENT}http://ELSEWHERE/one.ts\n"), _HLS),
        },
    ),
    Vector(
        "HLS: redirect of a segment",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(_media(f"{_SEGMENT}/gone.ts\n"), _HLS), "/gone.ts": _moved("one.ts")},
    ),
    Vector(
        "HLS: redirect of a variant",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(_master(""), _HLS), "/variant.m3u8": _moved("other.m3u8")},
    ),
    Vector(
        "HLS: redirect of a key",
        f"{_HERE}/list.m3u8",
        {
            "/list.m3u8": Document(_media(_key("AES-128", "/gone.key") + _ENCRYPTED), _HLS),
            "/gone.key": _moved("one.key"),
        },
    ),
    Vector(
        "HLS: segment of a private name",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(_media(f"{_SEGMENT}http://evil.example.com/one.ts\n"), _HLS)},
        names={"evil.example.com": ("ELSEWHERE",)},
    ),
    Vector(
        "HLS: segment on another port",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(_media(f"{_SEGMENT}http://8.8.4.4:6379/one.ts\n"), _HLS)},
        control=None,
        code="blocked_port",
    ),
    Vector(
        "HLS: segment of a denied host",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(_media(f"{_SEGMENT}http://ELSEWHERE/one.ts\n"), _HLS)},
        target="media.example.net",
        control="8.8.4.4",
        code="blocked_host",
        policy={"denied_hosts": ("example.net",)},
    ),
    Vector(
        "HLS: live",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": Document(f"{_HEAD}{_SEGMENT}http://ELSEWHERE/one.ts\n", _HLS)},
        control=None,
        code="live",
    ),
    *(_dash(name, text) for name, text in _MANIFESTS.items()),
    *(_dash(f"{name} is not followed", text, None) for name, text in _IGNORED.items()),
    Vector(
        "DASH: redirect of a segment",
        f"{_HERE}/list.mpd",
        {
            "/list.mpd": Document(_MPD % (_SET % ("", _TEMPLATE % ("/init.mp4", "/gone-$Number$.m4s"))), _DASH),
            "/gone-1.m4s": _moved("1.m4s"),
        },
    ),
    Vector(
        "ISM: manifest",
        f"{_HERE}/list.ism/Manifest",
        {
            "/list.ism/Manifest": Document(
                '<?xml version="1.0"?><SmoothStreamingMedia MajorVersion="2" MinorVersion="0" Duration="117000000">'
                '<StreamIndex Type="video" Chunks="1" Url="http://ELSEWHERE/q({bitrate})/f({start time})">'
                '<QualityLevel Index="0" Bitrate="90000" FourCC="H264" MaxWidth="256" MaxHeight="144" '
                'CodecPrivateData="0000000167640015ACD9417085A1000003000100000300320F162D960000000168EBE3CB22C0"/>'
                '<c t="0" d="117000000"/></StreamIndex></SmoothStreamingMedia>',
                "text/xml",
            )
        },
        control=None,  # the canaries serve no Smooth Streaming
    ),
)  # fmt: skip
