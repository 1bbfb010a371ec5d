"""Pages, feeds and lists on public servers that name media elsewhere."""

from collections.abc import Mapping

from narralytica_ingest_tests.egress_lab.vector import Document, Vector

_HERE = "http://media.example.com"
_CLIP = "http://ELSEWHERE/clip.mp4"
_BODIES = {
    "video": f'<video src="{_CLIP}"></video>',
    "audio": f'<audio src="{_CLIP}"></audio>',
    "source": f'<video><source src="{_CLIP}" type="video/mp4"></video>',
    "video of a playlist": '<video><source src="http://ELSEWHERE/list.m3u8" type="application/x-mpegURL"></video>',
    "video of a DASH manifest": '<video><source src="http://ELSEWHERE/list.mpd" type="application/dash+xml"></video>',
    "jwplayer": f'<script>jwplayer("p").setup({{"file": "{_CLIP}", "title": "A talk"}});</script>',
    "jwplayer playlist": f'<script>jwplayer("p").setup({{"playlist": [{{"file": "{_CLIP}"}}]}});</script>',
    "embedded object": f'<object><param name="flashvars" value="file={_CLIP}"></object>',
    "flowplayer": f'<script>flowplayer("p", {{src: "p.swf"}}, {{ clip: {{url: "{_CLIP}"}}}});</script>',
    "cinerama": f"<script>cinerama.embedPlayer('p', '{_CLIP}')</script>",
    "escaped in a script": "<script>cinerama.embedPlayer('p', 'http:\\x2f\\x2fELSEWHERE\\x2fclip.mp4')</script>",
    "video without a scheme": '<video src="//ELSEWHERE/clip.mp4"></video>',
}
_RELATIVE = '<body><video src="clip.mp4"></video></body>'
_HEADS = {
    "og:video": f'<meta property="og:video" content="{_CLIP}">',
    "twitter:player": f'<meta name="twitter:player" content="{_CLIP}">',
    "twitter:player:stream": f'<meta name="twitter:player:stream" content="{_CLIP}">',
    "contentUrl": '<script type="application/ld+json">{"@context": "https://schema.org", "@type": "VideoObject", '
    f'"name": "A talk", "contentUrl": "{_CLIP}"}}</script>',
}
_RSS = (
    '<?xml version="1.0"?><rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"><channel><title>A list</title>'
    "%s</channel></rss>"
)
_FEEDS: Mapping[str, tuple[str, str, str]] = {
    "enclosure": (
        "feed.xml",
        "application/rss+xml",
        _RSS % f'<item><title>One</title><enclosure url="{_CLIP}"/></item>',
    ),
    "item's link": ("feed.xml", "application/rss+xml", _RSS % f"<item><title>One</title><link>{_CLIP}</link></item>"),
    "list of two": (
        "feed.xml",
        "application/rss+xml",
        _RSS % "".join(f"<item><title>{n}</title><link>{_CLIP}?{n}</link></item>" for n in "12"),
    ),
    "SMIL": (
        "list.smil",
        "application/smil+xml",
        '<smil xmlns="http://www.w3.org/2001/SMIL20/Language"><head/><body><switch>'
        f'<video src="{_CLIP}" system-bitrate="90000"/></switch></body></smil>',
    ),
    "XSPF": (
        "list.xspf",
        "application/xspf+xml",
        '<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><title>One</title>'
        f"<location>{_CLIP}</location></track></trackList></playlist>",
    ),
    "f4m": (
        "list.f4m",
        "application/f4m+xml",
        '<manifest xmlns="http://ns.adobe.com/f4m/1.0"><id>x</id><duration>11</duration><baseURL>http://ELSEWHERE/</baseURL>'
        '<bootstrapInfo profile="named" id="b" url="boot.abst"/>'
        '<media url="media" bitrate="90" bootstrapInfoId="b"/></manifest>',
    ),
    "f4m of another f4m": (
        "list.f4m",
        "application/f4m+xml",
        '<manifest xmlns="http://ns.adobe.com/f4m/2.0"><id>x</id>'
        '<media href="http://ELSEWHERE/inner.f4m" bitrate="90"/></manifest>',
    ),
}


def _page(name: str, html: str, control: str | None = "8.8.4.4") -> Vector:
    return Vector(f"page: {name}", f"{_HERE}/page.html", {"/page.html": Document(html)}, control=control)


VECTORS = (
    Vector(
        "page: base is not followed",
        f"{_HERE}/page.html",
        {"/page.html": Document(f'<html><head><base href="http://ELSEWHERE/"></head>{_RELATIVE}</html>')},
        code=None,
        control=None,
    ),
    *(
        _page(name, f"<html><head><title>A talk</title></head><body>{body}</body></html>")
        for name, body in _BODIES.items()
    ),
    *(
        _page(name, f"<html><head><title>A talk</title>{head}</head><body></body></html>")
        for name, head in _HEADS.items()
    ),
    *(
        Vector(
            f"feed: {name}",
            f"{_HERE}/{file}",
            {f"/{file}": Document(body, kind)},
            control=None if "f4m" in name else "8.8.4.4",
        )
        for name, (file, kind, body) in _FEEDS.items()
    ),
)
