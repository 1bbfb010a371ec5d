"""Public servers that send the worker elsewhere."""

from collections.abc import Mapping

from narralytica_ingest_tests.egress_lab.vector import Document, Vector

_HERE = "http://media.example.com"


def _to(location: str, status: int = 302) -> Document:
    return Document("moved\n", "text/plain", status, {"Location": location})


def _redirect(
    name: str, location: str, *, status: int = 302, target: str = "10.1.2.3", code: str | None = "blocked_address",
    control: str | None = "8.8.4.4", url: str = f"{_HERE}/go", names: Mapping[str, tuple[str, ...]] | None = None,
) -> Vector:  # fmt: skip
    documents = {"/go": _to(location, status)}
    return Vector(f"redirect: {name}", url, documents, target, control, code, names=names or {})


_CHAIN = {f"/go{number}": _to(f"/go{number + 1}", 301 + number % 2) for number in range(1, 5)}
_SCHEMES = {
    "ftp": "ftp://10.1.2.3/clip.mp4",
    "file": "file:///etc/hostname",
    "gopher": "gopher://10.1.2.3:6379/_PING",
    "data": "data:video/mp4;base64,AAAA",
    "javascript": "javascript:alert(1)",
    "dict": "dict://10.1.2.3:6379/info",
    "ldap": "ldap://10.1.2.3/",
    "tftp": "tftp://10.1.2.3/clip.mp4",
    "scp": "scp://10.1.2.3/clip.mp4",
    "smb": "smb://10.1.2.3/share/clip.mp4",
    "websocket": "ws://10.1.2.3/clip.mp4",
    "rtmp": "rtmp://10.1.2.3/live/clip",
}

VECTORS = (
    *(
        _redirect(f"status {status}", "http://ELSEWHERE/clip.mp4", status=status)
        for status in (301, 302, 303, 307, 308)
    ),
    _redirect("to loopback", "http://ELSEWHERE/clip.mp4", target="127.0.0.1"),
    _redirect("to metadata", "http://ELSEWHERE/latest/meta-data/", target="169.254.169.254"),
    _redirect("to IPv6 loopback", "http://[ELSEWHERE]/clip.mp4", target="::1", control="2600:1f18::5"),
    _redirect("to a mapped address", "http://[::ffff:7f00:1]/clip.mp4", control=None),
    _redirect("to a decimal address", "http://167838211/clip.mp4", control=None),
    _redirect("to a private name", "http://evil.example.com/clip.mp4", names={"evil.example.com": ("ELSEWHERE",)}),
    _redirect("to the same name, private now", "http://evil.example.com/clip.mp4", url="http://evil.example.com/go",
              names={"evil.example.com": ("8.8.4.4", "ELSEWHERE")}),
    _redirect("without a scheme", "//ELSEWHERE/clip.mp4"),
    _redirect("with a user", "http://media.example.com@ELSEWHERE/clip.mp4"),
    _redirect("with a backslash", "/\\ELSEWHERE/clip.mp4", control=None, code=None),
    _redirect("with a space before it", " http://ELSEWHERE/clip.mp4"),
    _redirect("from https to http", "http://ELSEWHERE/clip.mp4", url="https://media.example.com/go"),
    _redirect("from http to https", "https://ELSEWHERE/clip.mp4"),
    _redirect("to a forbidden address and port", "http://ELSEWHERE:22/clip.mp4", control=None),
    _redirect("to another port", "http://8.8.4.4:8080/clip.mp4", control=None, code="blocked_port"),
    *(_redirect(f"to {name}", url, control=None, code="blocked_scheme") for name, url in _SCHEMES.items()),
    Vector("redirect: the fifth", f"{_HERE}/go1", {**_CHAIN, "/go5": _to("http://ELSEWHERE/clip.mp4")}),
    Vector(
        "redirect: of a playlist",
        f"{_HERE}/list.m3u8",
        {"/list.m3u8": _to("http://ELSEWHERE/other.m3u8")},
    ),
    Vector(
        "redirect: meta refresh",
        f"{_HERE}/page.html",
        {
            "/page.html": Document(
                '<html><head><title>A talk</title><meta http-equiv="refresh" content="0; url=http://ELSEWHERE/clip.mp4">'
                "</head><body></body></html>"
            )
        },
    ),
    Vector(
        "redirect: Refresh header",
        f"{_HERE}/page.html",
        {"/page.html": Document("<html></html>", headers={"Refresh": "0; url=http://ELSEWHERE/clip.mp4"})},
    ),
)  # fmt: skip
