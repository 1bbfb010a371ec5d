"""What a hostile file is: how it is made, and what may become of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from narralytica_ingest.media.run import run_tool

SECRET = "the-content-of-another-file-0451"
"""What stands in the file beside: it must come out nowhere."""


@dataclass(frozen=True)
class Ground:
    """What makers work with. `url` is the canary's, which must never be asked; `secret` a file of somebody else's;
    `material` a folder of clips that an ordinary ffmpeg makes."""

    ffmpeg: Path
    material: Path
    url: str
    secret: Path

    def clip(self, name: str, *options: str) -> bytes:
        """A second of picture and sound in the container that the name says, encoded with these options."""
        target = self.material / name
        if not target.exists():
            drawn = ("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=10", "-f", "lavfi", "-i", "sine=330:r=16000")
            fresh = target.with_name(f"fresh-{name}")
            quiet = ("-v", "error", "-y")
            result = run_tool(
                [self.ffmpeg, *quiet, *drawn, "-t", "1", *options, "-fflags", "+bitexact", fresh], timeout=60
            )
            assert result.returncode == 0, result.stderr
            fresh.replace(target)
        return target.read_bytes()


Make = Callable[[Ground], bytes]


@dataclass(frozen=True, eq=False)
class Hostile:
    """One file. `name` tells its kind, `attack` what it tries; `ends` are the codes with which it may end, of which
    `succeeded` means that a track of at most `seconds` came out. What is `slow` takes longer than the others."""

    name: str
    attack: str
    make: Make = field(repr=False)
    ends: tuple[str, ...]
    seconds: float = 3.0
    slow: bool = False


def content(body: bytes) -> Make:
    """A file of just these bytes."""
    return lambda _: body
