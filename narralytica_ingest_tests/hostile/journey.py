"""The way of a file through a run, in a process of its own, with everything that it costs.

What belongs here: the product's own steps in their order (`resources/fetcher.py`, `assets/audio_track.py`,
`resources/preview.py`, `assets/video_metadata.py`), and the measuring. A process for each file tells what its tools
took (`RUSAGE_CHILDREN`), and what kills it kills no test.
"""

import json
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.findings import judge
from narralytica_ingest.media.integrity import inspect
from narralytica_ingest.media.preview import preview_of_video
from narralytica_ingest.media.probe import probe, stored_probe
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.shown import INLINE_BYTES, shown_audio, shown_metadata, shown_original
from narralytica_ingest.sources.formats import refuse_too_long

LONGEST = 86_400.0  # seconds: the default of NARRALYTICA_MAX_DURATION_SECONDS
_MODULE = __name__


@dataclass
class Journey:
    """How it went. `end` is `succeeded` or the code of a failure; `seconds` those of the track. Times are seconds on
    the wall, memory is bytes: of the greatest tool, and what this process grew by. `said` is all that came out: what
    would be stored and shown, and the message. `strays` are files that nobody wanted."""

    end: str = "succeeded"
    failure_class: str = ""
    seconds: float = 0.0
    took: float = 0.0
    tools_memory: int = 0
    own_memory: int = 0
    bytes_out: int = 0
    said: str = ""
    steps: dict[str, float] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)


def travel(path: Path, folder: Path, tools: MediaTools) -> Journey:
    """Sends a file the way, in a process of its own; what comes out is written to `folder`, which is empty."""
    with ProcessPoolExecutor(1, mp_context=_context()) as pool:
        return pool.submit(_travel, path, folder, tools).result()


@cache
def _context() -> Any:
    """A server that has loaded everything forks the processes: a new interpreter for each would cost seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_MODULE, "numpy", "langcodes"])
    return context


def _travel(path: Path, folder: Path, tools: MediaTools) -> Journey:
    journey, home = Journey(), folder / "home"
    home.mkdir()
    os.chdir(home)
    os.environ.update(HOME=str(home), TMPDIR=str(home))
    before, began = _peak(resource.RUSAGE_SELF), time.monotonic()
    try:
        _steps(path, folder, tools, journey)
    except IngestError as error:
        journey.end, journey.failure_class, journey.said = error.code, error.failure_class, journey.said + str(error)
    except Exception:
        journey.end, journey.said = "crashed", traceback.format_exc()
    journey.took = time.monotonic() - began
    journey.tools_memory, journey.own_memory = _peak(resource.RUSAGE_CHILDREN), _peak(resource.RUSAGE_SELF) - before
    left = [each for each in folder.rglob("*") if each.is_file()]
    journey.bytes_out = sum(each.stat().st_size for each in left)
    wanted = ["0-flac.flac", "1-flac.flac"] if journey.end == "succeeded" else []
    journey.strays = [each.name for each in left if each.name not in wanted]
    return journey


def _peak(whose: int) -> int:
    return resource.getrusage(whose).ru_maxrss << 10


def _steps(path: Path, folder: Path, tools: MediaTools, journey: Journey) -> None:
    measured = _timed(journey, "probe", lambda: probe(path, tools, audio_needed=True))
    refuse_too_long(measured.duration_seconds, LONGEST)
    found = judge(_timed(journey, "inspect", lambda: inspect(path, measured, tools)))
    stored = json.loads(json.dumps(asdict(measured)))
    facts = {"findings": [asdict(each) for each in found]}
    picture = _timed(journey, "preview", lambda: preview_of_video(path, stored, folder, tools, INLINE_BYTES))
    assert picture is None or len(picture) <= INLINE_BYTES
    again = stored_probe(stored)
    files = _timed(journey, "extract", lambda: extract_audio(path, again, choose(again)[0], ("flac",), folder, tools))
    journey.seconds = files[0].facts["duration_seconds"]
    row = _timed(journey, "normalize", lambda: normalize(Reading("upload-1", probe=stored, file_name="x/y.mp4")))
    shown = [shown_original(stored, facts), shown_audio(asdict(files[0].probe), files[0].facts), shown_metadata(row)]
    journey.said += json.dumps([stored, files[0].facts, row, str(shown)], default=str)


def _timed(journey: Journey, name: str, step: Callable[[], Any]) -> Any:
    began = time.monotonic()
    try:
        return step()
    finally:
        journey.steps[name] = round(time.monotonic() - began, 2)
