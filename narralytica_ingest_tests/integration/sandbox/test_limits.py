"""A media tool ends at its limits, and the file is to blame."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.limits import Limits
from narralytica_ingest.media.preview import preview_of_video
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.sandbox import Mode, Reach
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.integration.sandbox.lab import PYTHON, Lab
from narralytica_ingest_tests.source_server import SAMPLE

PROJECT = Path(__file__).resolve().parents[3]
RUN = "from narralytica_ingest.media.run import run_tool; print(run_tool("


def refused(lab: Lab, code: str, reach: Reach | None) -> IngestError:
    with pytest.raises(IngestError) as error:
        lab.attack(code, reach)
    return error.value


@pytest.mark.parametrize("mode", ["required", "off"])
def test_an_output_ends_at_its_limit_and_the_file_is_to_blame(mode: Mode, lab: Lab, reach: Reach) -> None:
    """A tool that will not hear of the limit is kept to it all the same."""
    heed = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
    fill = "file = open(output, 'wb', 0)\nfor _ in range({}): file.write(bytes(1 << 18))"
    confined = replace(reach, mode=mode)
    error = refused(lab, heed + fill.format(10**6), confined)
    assert (error.code, error.failure_class) == ("media_limit_exceeded", FailureClass.PERMANENT)
    assert lab.target.output.stat().st_size == 1 << 20
    assert "File too large" in lab.attack(fill.format(10**6), confined).stderr
    assert lab.target.output.stat().st_size == 1 << 20
    assert lab.attack(heed + fill.format(4), confined).stdout == "done\n"


def test_a_tool_that_spins_ends_at_its_limit_and_the_file_is_to_blame(
    lab: Lab, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "of", lambda timeout, size: Limits(1, size))
    spin = "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert refused(lab, spin, reach).code == "media_limit_exceeded"
    assert lab.attack("time.sleep(1.2)", reach).stdout == "done\n"


def test_a_tool_that_somebody_else_kills_is_not_taken_for_one_that_spins(lab: Lab) -> None:
    assert lab.attack("os.kill(os.getpid(), 9)", None).returncode == -9


def test_memory_files_and_dumps_of_a_tool_are_bounded(lab: Lab, reach: Reach) -> None:
    wild = "import mmap; mmap.mmap(-1, 5 << 30)"
    assert "Cannot allocate memory" in lab.attack(wild, reach).stderr
    subprocess.run([PYTHON, "-c", wild], check=True)
    many = "x = [open(input) for _ in range(100)]"
    assert "Too many open files" in lab.attack(many, reach).stderr
    subprocess.run([PYTHON, "-c", many.replace("input", repr(str(lab.target.input)))], check=True)
    said = lab.attack("print(resource.getrlimit(resource.RLIMIT_CORE))", reach).stdout
    assert said == "(0, 0)\ndone\n"


def test_no_limit_is_raised_by_ours(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the machine that are lower stay, and the tool cannot raise any."""
    say = "print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    lower = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50)); {RUN} [{PYTHON!r}, '-c', "
    code = f"{lower}{'import resource; ' + say!r}], timeout=30).stdout)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.stdout.strip() == "(50, 50)", done.stderr


# ---- the real tools ------------------------------------------------------------------------------------------------


def made(target: Path, *options: str) -> Path:
    """A file of ffmpeg's own sounds."""
    command: list[str | Path] = [find_tools().ffmpeg, "-v", "error", "-nostdin", *options, target]
    result = run_tool(command, timeout=60)
    assert result.returncode == 0, result.stderr
    return target


def extracted(path: Path, tools: MediaTools) -> float:
    """The length of the track (seconds)."""
    measured = probe(path, tools)
    (file,) = extract_audio(path, measured, choose(measured)[0], ["flac"], path.parent, tools)
    return file.probe.duration_seconds or 0.0


def test_a_sound_longer_than_the_limit_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Whatever the file announces: this one is raw AAC, whose length nobody knows before."""
    long = made(tmp_path / "long.aac", "-f", "lavfi", "-i", "sine=d=300", "-c:a", "aac")
    assert extracted(long, find_tools()) == pytest.approx(300, abs=0.2)
    with pytest.raises(IngestError) as error:
        extracted(long, find_tools(max_seconds=20))
    assert (error.value.code, error.value.failure_class) == ("too_long", FailureClass.PERMANENT)
    assert extracted(long, find_tools(max_seconds=299)) == pytest.approx(300, abs=0.2)


def test_a_file_with_hundreds_of_tracks_is_no_media_file(tmp_path: Path) -> None:
    def tracks(count: int) -> Path:
        sound = ["-f", "lavfi", "-i", "sine=d=0.1:r=8000"]
        return made(tmp_path / f"{count}.mka", *sound, *["-map", "0:a"] * count, "-c:a", "pcm_s16le")

    assert len(probe(tracks(200), find_tools()).audio) == 100
    with pytest.raises(IngestError) as error:
        probe(tracks(300), find_tools())
    assert error.value.code == "not_media"


def test_a_picture_of_no_sensible_size_is_not_decoded_and_the_sound_is_taken(tmp_path: Path) -> None:
    picture = ["-f", "lavfi", "-i", "color=size=20000x10000:d=0.1:r=10", "-threads", "1", "-c:v", "mjpeg"]
    path = made(tmp_path / "huge.mkv", "-f", "lavfi", "-i", "sine=d=1", *picture)
    measured = probe(path, find_tools())
    assert not measured.video or not measured.video[0].width
    assert extracted(path, find_tools()) == pytest.approx(1, abs=0.1)
    (tmp_path / "previews").mkdir()
    assert preview_of_video(path, asdict(measured), tmp_path / "previews", find_tools(), 10_000) is None


def test_an_ffmpeg_that_the_machine_kills_for_its_memory_is_no_verdict_on_the_file(tmp_path: Path) -> None:
    measured = probe(SAMPLE, find_tools())
    program = tmp_path / "ffmpeg"
    real = find_tools().ffmpeg
    program.write_text(f'#!/bin/sh\ncase "$*" in *-version*|*ebur128*) exec {real} "$@" ;; *) kill -9 $$ ;; esac\n')
    program.chmod(0o755)
    tools = replace(find_tools(), ffmpeg=program, sandbox="off")
    with pytest.raises(IngestError) as error:
        extract_audio(SAMPLE, measured, choose(measured)[0], ["flac"], tmp_path, tools)
    assert (error.value.code, error.value.failure_class) == ("media_out_of_memory", FailureClass.TRANSIENT)
