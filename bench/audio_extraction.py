"""How long it takes to make and measure an audio track, against the bare ffmpeg command that only makes one.

The bare command is `ffmpeg -i in -vn -ar 16000 -ac 1 -sample_fmt s16 out.flac`. Ours writes the same sound and measures
loudness, true peak, silence, clipping and the outline in the same pass; then it probes and hashes the result. Both read
the same file: the bundled clip again and again, as AAC in stereo at 48 kHz beside its picture. Runs take turns, so that
a busy moment of the machine hits both.

Run with `make bench` or `python -m bench.audio_extraction --minutes 30 --runs 7`. Prints the medians of both and their
ratio, the ratio of each pair of neighbours, and the machine.
"""

import argparse
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.integrity import sha256_file
from narralytica_ingest.media.probe import Probe, probe
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.source_server import SAMPLE

LIMIT = 1.15


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    tools = find_tools()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = _make(folder / "in.mp4", options.minutes, tools)
        measured = probe(source, tools)  # the asset before this one has done that
        pairs = [
            (_seconds(lambda: _bare(source, folder, tools)), _seconds(lambda: _ours(source, measured, folder, tools)))
            for _ in range(options.runs + 1)
        ][1:]  # the first pair warms up
    bare, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"{options.minutes:g} minutes of AAC, {options.runs} runs each, in turns, on {_machine(tools)}")
    print(f"  bare ffmpeg  {bare:7.2f} s")
    print(f"  ours         {ours:7.2f} s")
    print(f"  ratio        {ours / bare:7.2f}  (at most {LIMIT})")
    print("  of each pair", " ".join(f"{mine / other:.2f}" for other, mine in pairs))


def _make(target: Path, minutes: float, tools: MediaTools) -> Path:
    sound = ["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-ar", "48000"]
    looped = ["-stream_loop", "-1", "-i", str(SAMPLE), "-t", str(minutes * 60), "-c:v", "copy", *sound]
    _run([str(tools.ffmpeg), "-v", "error", "-y", *looped, str(target)])
    return target


def _bare(source: Path, folder: Path, tools: MediaTools) -> None:
    flac = ["-vn", "-ar", "16000", "-ac", "1", "-sample_fmt", "s16", str(folder / "bare.flac")]
    _run([str(tools.ffmpeg), "-v", "error", "-y", "-i", str(source), *flac])


def _ours(source: Path, measured: Probe, folder: Path, tools: MediaTools) -> None:
    (chosen,) = choose(measured)
    (file,) = extract_audio(source, measured, chosen, ["flac"], folder, tools)
    sha256_file(file.path)


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _machine(tools: MediaTools) -> str:
    version = subprocess.run([tools.ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), load {load:.1f}, ffmpeg {version}"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
