"""What test, internet and worker tell each other."""

from dataclasses import dataclass, field

from narralytica_ingest_tests.egress_lab.vector import Vector


@dataclass(frozen=True)
class Ask:
    """Fetch the vector; or run a script in yt-dlp's JavaScript runtime; or measure a media file of this content;
    without any, reach every canary.

    `unguarded`: with the guard's judgement switched off, or with the program's leave to use the network.
    """

    vector: Vector | None = None
    script: str | None = None
    file: str | None = None
    unguarded: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a fetch ended: the failure's code (None: it succeeded), its message, the codes of the side files that could
    not be had, bytes of media. `unreachable` are the canaries that could not be reached, where that was asked."""

    code: str | None = None
    message: str = ""
    side_codes: tuple[str, ...] = ()
    size: int = 0
    seconds: float = 0.0
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """`leaks`: whom the worker turned to though nobody may (`address port/protocol`). `proxied`: the targets that an
    upstream proxy was asked for."""

    outcome: Outcome
    leaks: tuple[str, ...] = field(default=())
    proxied: tuple[str, ...] = field(default=())
