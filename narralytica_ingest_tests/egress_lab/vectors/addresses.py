"""Every forbidden address in the job's own URL, as it is usually written; and the ports."""

from narralytica_ingest_tests.egress_lab import places
from narralytica_ingest_tests.egress_lab.vector import Vector

_EVERY = (*places.FORBIDDEN, *places.OWN, *places.UNREACHABLE)


def _literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


VECTORS = (
    *(Vector(f"address {each}", f"http://{_literal(each)}/clip.mp4", control=None) for each in _EVERY),
    *(Vector(f"loopback port {port}", f"http://127.0.0.1:{port}/clip.mp4", control=None) for port in (22, 5432, 8080)),
    Vector("private address by https", "https://ELSEWHERE/clip.mp4"),
    Vector("public address, port 22", "http://8.8.4.4:22/clip.mp4", control=None, code="blocked_port"),
    Vector("public address, port 8080", "http://8.8.4.4:8080/clip.mp4", control=None, code="blocked_port"),
    Vector("public IPv6 address, port 6379", "http://[2600:1f18::5]:6379/x.mp4", control=None, code="blocked_port"),
    Vector("public name, port 5432", "http://media.example.com:5432/x.mp4", control=None, code="blocked_port"),
    Vector("private address, port 22", "http://10.1.2.3:22/clip.mp4", control=None),
    Vector("private name, port 22", "http://inhouse:22/clip.mp4", control=None),
    Vector(
        "a denied host",
        "http://ELSEWHERE/clip.mp4",
        target="media.example.net",
        control="media.example.com",
        code="blocked_host",
        policy={"denied_hosts": ("example.net",)},
    ),
    Vector(
        "a host that is not among the allowed ones",
        "http://ELSEWHERE/clip.mp4",
        target="media.example.net",
        control="media.example.com",
        code="blocked_host",
        policy={"allowed_hosts": ("example.com",)},
    ),
    Vector(
        "an allowed host with a private address",
        "http://media.example.com/clip.mp4",
        names={"media.example.com": ("ELSEWHERE",)},
        policy={"allowed_hosts": ("example.com",)},
    ),
)
