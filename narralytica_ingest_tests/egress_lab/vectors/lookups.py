"""Names that lead to forbidden addresses, at once or later."""

from narralytica_ingest_tests.egress_lab.vector import Document, Vector

_URL = "http://evil.example.com/clip.mp4"
_PAGE = Document('<html><head><title>A talk</title></head><body><video src="/clip.mp4"></video></body></html>')


def _named(name: str, *answers: str, target: str = "10.1.2.3", control: str | None = "8.8.4.4") -> Vector:
    names = {"evil.example.com": answers, "forbidden.example.com": ("ELSEWHERE",)}
    return Vector(f"name: {name}", _URL, target=target, control=control, names=names)


VECTORS = (
    _named("private", "ELSEWHERE"),
    _named("loopback", "ELSEWHERE", target="127.0.0.1"),
    _named("another loopback", "ELSEWHERE", target="127.0.0.2"),
    _named("metadata", "ELSEWHERE", target="169.254.169.254"),
    _named("CGNAT", "ELSEWHERE", target="100.64.0.9"),
    _named("this network", "ELSEWHERE", target="0.0.0.0"),
    _named("the worker itself", "ELSEWHERE", target="10.77.0.2"),
    _named("the worker's public address", "ELSEWHERE", target="198.41.0.4"),
    _named("private in IPv6", "ELSEWHERE", target="fd00:ec2::254", control="2600:1f18::5"),
    _named("loopback in IPv6", "ELSEWHERE", target="::1", control="2600:1f18::5"),
    _named("mapped, in IPv6 only", "ELSEWHERE", target="::ffff:10.1.2.3", control="2600:1f18::5"),
    _named("NAT64, in IPv6 only", "ELSEWHERE", target="64:ff9b::a01:203", control="2600:1f18::5"),
    _named("6to4, in IPv6 only", "ELSEWHERE", target="2002:a01:203::1", control="2600:1f18::5"),
    _named("public, then private", "8.8.4.4 ELSEWHERE", control="93.184.215.14"),
    _named("private, then public", "ELSEWHERE 8.8.4.4", control="93.184.215.14"),
    _named("public by IPv4, private by IPv6", "8.8.4.4 ELSEWHERE", target="fc00::7", control="2600:1f18::5"),
    _named("private by IPv4, public by IPv6", "2600:1f18::5 ELSEWHERE"),
    _named("an alias of a private one", "CNAME forbidden.example.com"),
    _named("an alias of loopback", "CNAME forbidden.example.com", target="127.0.0.1"),
    _named("an alias, public at first", "8.8.4.4", "CNAME forbidden.example.com"),
    _named("public at first, private later", "8.8.4.4", "ELSEWHERE", control="93.184.215.14"),
    _named("private at first, public later", "ELSEWHERE", "8.8.4.4", control="93.184.215.14"),
    _named("public at first, loopback later", "8.8.4.4", "ELSEWHERE", target="127.0.0.1", control="93.184.215.14"),
    Vector(
        "name: turns private between page and media",
        "http://evil.example.com/page.html",
        {"/page.html": _PAGE},
        names={"evil.example.com": ("8.8.4.4", "ELSEWHERE")},
    ),
    Vector(
        "name: turns private between playlist and segment",
        "http://evil.example.com/long.m3u8",
        names={"evil.example.com": ("8.8.4.4", "8.8.4.4", "ELSEWHERE")},
    ),
    Vector("name: of the hosts file", "http://inhouse/clip.mp4", control=None),
    Vector("name: of the hosts file, in capitals", "http://INHOUSE/clip.mp4", control=None),
    Vector(
        "name: an address as its first labels",
        "http://127.0.0.1.example.com/clip.mp4",
        target="127.0.0.1",
        names={"127.0.0.1.example.com": ("ELSEWHERE",)},
    ),
    Vector(
        "name: in capitals, with a trailing dot",
        "http://EVIL.example.com./clip.mp4",
        names={"evil.example.com": ("ELSEWHERE",)},
    ),
    Vector(
        "name: international",
        "http://b\u00fccher.example.com/clip.mp4",
        names={"xn--bcher-kva.example.com": ("ELSEWHERE",)},
    ),
    Vector(
        "name: nobody answers",
        _URL,
        names={"evil.example.com": ("silence",)},
        control=None,
        code="dns_failed",
    ),
    Vector("name: there is none", "http://ghost.invalid/clip.mp4", control=None, code="no_such_host"),
)
