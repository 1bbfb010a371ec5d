"""Where the machine or the tool has no whole sandbox: what runs all the same, and what is said."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media import sandbox
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.sandbox import Reach, landlock
from narralytica_ingest.media.sandbox.program import needs
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.integration.sandbox.lab import CONNECTS, Lab

DEV_NULL = Path(os.devnull)


@pytest.fixture
def unconfinable(tmp_path: Path) -> Iterator[Path]:
    """A tool that reads a file which no ffmpeg needs, and so does not start inside."""
    (tmp_path / "license").write_text("")
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n. {tmp_path}/license || exit 3\necho ffmpeg version 1\n")
    program.chmod(0o755)
    yield program
    sandbox.missing.cache_clear()


def test_an_unusual_tool_goes_without_a_sandbox_and_that_is_said_once(
    unconfinable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        assert run_tool([unconfinable], timeout=30, reach=Reach("auto")).stdout == "ffmpeg version 1\n"
    assert [record.getMessage() for record in caplog.records] == [
        "ffmpeg runs without a sandbox: it does not start inside (exit code 2)"
    ]


def test_where_a_sandbox_is_required_nothing_runs_without(unconfinable: Path) -> None:
    with pytest.raises(IngestError) as error:
        run_tool([unconfinable], timeout=30, reach=Reach("required"))
    assert (error.value.code, error.value.failure_class) == ("sandbox_missing", FailureClass.LOCAL)
    assert run_tool([unconfinable], timeout=30, reach=Reach("off")).returncode == 0


@pytest.mark.parametrize("errno_", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_an_old_kernel_is_told_by_what_it_answers(errno_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: int) -> int:
        raise OSError(errno_, "no")

    monkeypatch.setattr(landlock, "call", answer)
    landlock.version.cache_clear()
    sandbox.missing.cache_clear()
    try:
        assert "no Landlock" in str(sandbox.missing(find_tools().ffmpeg))
        assert run_tool([find_tools().ffmpeg, "-version"], timeout=30, reach=Reach("auto")).returncode == 0
    finally:
        landlock.version.cache_clear()
        sandbox.missing.cache_clear()


def test_a_kernel_whose_older_landlock_knows_less_is_asked_for_less(
    lab: Lab, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    for abi in range(1, landlock.version()):
        monkeypatch.setattr(landlock, "version", lambda abi=abi: abi)
        assert "PermissionError" in lab.attack("open(neighbour)", reach).stderr
        done = lab.attack("open(output, 'w').write(open(input).read())", reach)
        assert done.stdout == "done\n", done.stderr
        assert "PermissionError" in lab.attack(CONNECTS["TCP"], reach).stderr


def test_a_program_is_given_what_it_is_linked_with_and_no_more(lab: Lab) -> None:
    """A machine's own ffmpeg is linked dynamically, the bundled one is not."""
    assert {path for path, _ in needs(find_tools().ffmpeg)} == {find_tools().ffmpeg, DEV_NULL, Path("/dev/urandom")}
    assert Path("/usr") in {path for path, _ in needs(Path("/bin/ls"))}
    assert run_tool(["/bin/ls", "/usr"], timeout=30, reach=Reach("required")).returncode == 0
    assert "Permission denied" in run_tool(["/bin/ls", "/etc"], timeout=30, reach=Reach("required")).stderr
    assert run_tool(["/bin/ls", "/etc"], timeout=30, reach=Reach("off")).returncode == 0
