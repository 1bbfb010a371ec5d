"""A tool runs within limits, and never outlives the one who asked for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.local.identity import wait_until
from narralytica_ingest.media.run import Pipe, Tool, run_tool, run_tools
from narralytica_ingest.media.tools import find_tools

PROJECT = Path(__file__).resolve().parents[2]
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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_tool_ends_at_once_when_we_are_killed(tmp_path: Path) -> None:
    tool = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    call = f"run_tool([sys.executable, '-c', {tool!r}], timeout=60)"
    run = f"import sys; from narralytica_ingest.media.run import run_tool; {call}"
    with subprocess.Popen([sys.executable, "-c", run], cwd=PROJECT) as killed:
        assert wait_until(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()), 20)
        process = psutil.Process(int((tmp_path / "pid").read_text()))
        killed.kill()
        assert wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 2)


def test_a_tool_is_not_even_begun_by_a_process_that_is_dead() -> None:
    code = """
import os, subprocess, sys
from narralytica_ingest.media.process import ends_with_us
prepare = ends_with_us()
assert prepare is not None
if os.fork() == 0:
    if os.fork() == 0:  # its parent is another process than the one that prepared it, as if that one had died
        prepare()
        print("begun", flush=True)
    else:
        os.wait()
    os._exit(0)
os.wait()
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_tools_begin_while_other_threads_are_busy() -> None:
    """What runs between fork and exec must wait for no lock that another thread had."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sorted(str(n) for n in range(500))

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        assert all(run_tool(["true"], timeout=10).returncode == 0 for _ in range(25))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_tool_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRALYTICA_S3_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("NARRALYTICA_CHILD", "the supervisor's mark")
    seen = run_tool(python("import os; print(sorted(os.environ.items()))"), timeout=10).stdout
    assert "secret" not in seen
    assert "PATH" in seen
    assert "the supervisor's mark" in seen


# ---- several tools at once -----------------------------------------------------------------------------------------


def writer(pipe: Pipe, code: str) -> Tool:
    """Runs `code` with the pipe as `out`."""
    return Tool(python(f"import os, time\nout = {pipe.writable}\n{code}"), writes=[pipe])


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_one_tool_reads_what_another_one_writes_while_we_read_both() -> None:
    """More than any pipe holds goes through each, and to us."""
    before, joined, ours = open_files(), Pipe(), bytearray()
    both = Pipe(ours.extend)
    many = f"for _ in range(64): os.write({both.writable}, b'a' * 65536); os.write(out, b'b' * 65536)"
    passed = bytearray()
    reader = Tool(
        python("import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"),
        None,
        passed.extend,
        joined,
    )
    first = Tool(writer(joined, many).command, writes=[joined, both])
    assert [each.returncode for each in run_tools([first, reader], timeout=30)] == [0, 0]
    assert bytes(ours) == b"a" * (64 << 16)
    assert bytes(passed) == b"b" * (64 << 16)
    assert open_files() == before


def test_a_tool_whose_reader_dies_ends_too() -> None:
    pipe = Pipe()
    endless = writer(
        pipe, "import signal\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\nwhile True: os.write(out, b'a' * 65536)"
    )
    results = run_tools([endless, Tool(python("import sys; sys.exit(3)"), reads=pipe)], timeout=30)
    assert [each.returncode for each in results] == [-signal.SIGPIPE, 3]


def test_a_tool_whose_writer_dies_reads_to_the_end() -> None:
    pipe, got = Pipe(), bytearray()
    dying = writer(pipe, "os.write(out, b'half'); os.kill(os.getpid(), 9)")
    reading = Tool(python("import sys; sys.stdout.write(sys.stdin.read())"), None, got.extend, pipe)
    assert [each.returncode for each in run_tools([dying, reading], timeout=30)] == [-signal.SIGKILL, 0]
    assert got == b"half"


@pytest.mark.parametrize("who", ["reader of a pipe", "reader of lines", "time"])
def test_all_tools_end_with_whatever_ends_one(who: str) -> None:
    before, files, stop = sleepers(), open_files(), Stop()

    def read(_: object) -> None:
        if who != "time":
            raise stop

    pipe = Pipe(read if who == "reader of a pipe" else lambda _: None)
    first = writer(pipe, f"os.write(out, b'a')\n{FAMILY}")
    second = Tool(python(FAMILY), on_line=read if who == "reader of lines" else None)
    with pytest.raises((Stop, IngestError)):
        run_tools([first, second], timeout=1.0 if who == "time" else 30)
    assert ended(before)
    assert open_files() == files


def test_a_second_tool_that_cannot_be_started_ends_the_first() -> None:
    before, files = sleepers(), open_files()
    pipe = Pipe()
    with pytest.raises(FileNotFoundError):
        run_tools([writer(pipe, FAMILY), Tool(["/nowhere/ffmpeg"], reads=pipe)], timeout=30)
    assert ended(before)
    assert open_files() == files


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
