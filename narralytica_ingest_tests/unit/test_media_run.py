"""A tool runs within limits, and never outlives the one who asked for it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import find_tools

FAMILY = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); print('ready', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def children() -> set[int]:
    """Our living descendants that sleep, as those of these tests do; other tests have others."""
    return {each.pid for each in psutil.Process().children(recursive=True) if _sleeps(each)}


def _sleeps(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "sleep" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def _nobody_is_left() -> Iterator[None]:
    before = children()
    yield
    assert not children() - before


def sleepers() -> set[int]:
    return {each.pid for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "60"]}


def ended(before: set[int]) -> bool:
    """Whether no sleeper is left that was not there before; a killed grandchild is reaped a moment later."""
    deadline = time.monotonic() + 2
    while sleepers() - before and time.monotonic() < deadline:
        time.sleep(0.02)
    return not sleepers() - before


def test_output_exit_code_and_the_end_of_the_complaints_are_kept() -> None:
    result = run_tool(
        python("import sys; print('out'); sys.stderr.write('x' * 100000 + 'the end'); sys.exit(3)"), timeout=10
    )
    assert (result.returncode, result.stdout) == (3, "out\n")
    assert result.stderr.endswith("the end")
    assert len(result.stderr) < 20_000


def test_lines_come_as_they_are_written() -> None:
    lines: list[str] = []
    run_tool(python("print('a'); print('b\\xe4')"), timeout=10, on_line=lines.append)
    assert lines == ["a", "bä"]


def test_a_tool_that_takes_too_long_is_killed_with_its_children() -> None:
    before = sleepers()
    began = time.monotonic()
    with pytest.raises(IngestError) as raised:
        run_tool(python(FAMILY), timeout=0.8)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "media_timeout")
    assert time.monotonic() - began < 3
    assert ended(before)


def test_a_tool_that_closes_its_output_and_stays_is_killed_too() -> None:
    with pytest.raises(IngestError, match="did not finish"):
        run_tool(python("import os, time; os.close(1); os.close(2); time.sleep(60)"), timeout=0.5)


class Stop(BaseException):
    """An interrupt, like Dagster's."""


def test_what_the_reader_raises_comes_out_unchanged_and_ends_the_tool() -> None:
    before = sleepers()
    stop = Stop()

    def read(_: str) -> None:
        raise stop

    with pytest.raises(Stop) as raised:
        run_tool(python(FAMILY), timeout=30, on_line=read)
    assert raised.value is stop
    assert ended(before)


def test_a_tool_ends_when_we_get_an_interrupt() -> None:
    before = sleepers()
    timer = threading.Timer(0.8, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_tool(python(FAMILY), timeout=30)
    assert ended(before)


def test_a_tool_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRALYTICA_S3_SECRET_ACCESS_KEY", "secret")
    seen = run_tool(python("import os; print(sorted(os.environ.items()))"), timeout=10).stdout
    assert "secret" not in seen
    assert "PATH" in seen


def test_the_tools_are_real_programs_and_not_the_wheels_wrapper() -> None:
    tools = find_tools()
    assert tools.ffmpeg.parent != Path(sys.executable).parent
    for tool in (tools.ffmpeg, tools.ffprobe):
        assert run_tool([tool, "-version"], timeout=10).stdout.startswith(tool.name)


def test_the_machines_own_tools_come_first_and_only_as_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("ffmpeg", "ffprobe"):
        assert find_tools().ffmpeg.parent != tmp_path
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    assert (find_tools().ffmpeg, find_tools().ffprobe) == (tmp_path / "ffmpeg", tmp_path / "ffprobe")


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="NARRALYTICA_FFPROBE") as raised:
        find_tools(ffprobe=tmp_path / "ffprobe")
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.LOCAL, "tool_not_found")
