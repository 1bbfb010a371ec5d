"""The supervisor of processes, with real ones: what dies comes back, what stops leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from narralytica_ingest.local.home import prepare_home
from narralytica_ingest.local.identity import wait_until
from narralytica_ingest.local.logs import rotate_logs
from narralytica_ingest.local.processes import ProcessSpec, Supervisor, reap_leftovers

PROJECT = Path(__file__).resolve().parents[2]

# A process with a child in its own session, both deaf to SIGTERM, as the worst of ours could be.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
"""

# A worker with a run in a session of its own, which hands its job back when asked to end, and that run's tool.
WORKER = """
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path(sys.argv[1])
if os.fork() == 0:
    os.setsid()
    tool = subprocess.Popen(["sleep", "60"], start_new_session=True)
    def leave(*_):
        time.sleep(0.3)
        (folder / "handed back").write_text("its tool still ran" if tool.poll() is None else "its tool was gone")
        tool.kill()
        os._exit(0)
    signal.signal(signal.SIGTERM, leave)
    (folder / "tool").write_text(str(tool.pid))
    (folder / "run").write_text(str(os.getpid()))
time.sleep(60)
"""

# An `up` in small: supervises one process until it is killed.
SUPERVISOR = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from narralytica_ingest.local.processes import ProcessSpec, Supervisor
import os
supervisor = Supervisor(Path(sys.argv[1]), print)
supervisor.start(ProcessSpec("stubborn", [sys.executable, "-c", sys.argv[4], sys.argv[2]], dict(os.environ)))
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    prepare_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def supervisor(home: Path, events: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(home, events.append)
    yield supervisor
    supervisor.stop()


def spec(name: str, code: str, *arguments: str, grace: float = 5.0) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", code, *arguments], dict(os.environ), grace)


def pid_in(file: Path) -> int:
    assert wait_until(lambda: file.exists() and bool(file.read_text()), 10)
    return int(file.read_text())


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_dies_is_reported_with_its_log_and_started_again(supervisor: Supervisor, events: list[str]) -> None:
    supervisor.start(spec("sleeper", "import time; time.sleep(60)"))
    first = supervisor.pid("sleeper")
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.check()
        return supervisor.pid("sleeper") not in (None, first)

    assert wait_until(is_back, 5)
    assert "sleeper was ended by signal 9" in events[0]
    assert str(supervisor.log("sleeper")) in events[0]
    assert events[1] == "sleeper was started again."


def test_what_dies_at_once_is_started_less_and_less_often(supervisor: Supervisor, events: list[str]) -> None:
    supervisor.start(spec("broken", "raise SystemExit(3)"))

    def fails() -> bool:
        supervisor.check()
        return supervisor.failing() == ["broken"]

    assert wait_until(fails, 15)
    deaths = [event for event in events if "exit code 3" in event]
    assert [event.split("again in ")[1].split(" s")[0] for event in deaths] == ["1", "2", "4"]


def test_output_is_appended_to_the_log(supervisor: Supervisor, home: Path) -> None:
    (home / "logs" / "talker.log").write_text("before\n")
    supervisor.start(spec("talker", "print('after', flush=True); import time; time.sleep(60)"))
    assert wait_until(lambda: (home / "logs" / "talker.log").read_text() == "before\nafter\n", 5)


def test_stopping_is_polite_first(supervisor: Supervisor, home: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        "def leave(*_):\n"
        "    pathlib.Path(sys.argv[1]).write_text('clean'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    supervisor.start(spec("polite", code, str(tmp_path / "left")))
    assert wait_until(lambda: "ready" in (home / "logs" / "polite.log").read_text(), 5)
    supervisor.stop()
    assert (tmp_path / "left").read_text() == "clean"


def test_stopping_leaves_no_grandchild_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec("stubborn", STUBBORN, str(tmp_path / "pid"), grace=0.5))
    leader, grandchild = supervisor.pid("stubborn"), pid_in(tmp_path / "pid")
    assert leader is not None
    begun = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - begun < 3
    assert gone(leader)
    assert gone(grandchild)


def test_children_of_what_died_end_before_it_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec("stubborn", STUBBORN, str(tmp_path / "pid"), grace=0.5))
    leader, grandchild = supervisor.pid("stubborn"), pid_in(tmp_path / "pid")
    assert leader is not None
    os.kill(leader, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.check()
        return supervisor.pid("stubborn") not in (None, leader)

    assert wait_until(is_back, 5)
    assert gone(grandchild)


def test_runs_of_a_killed_worker_are_asked_to_end_before_their_tools(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec("worker", WORKER, str(tmp_path)))
    leader, run, tool = supervisor.pid("worker"), pid_in(tmp_path / "run"), pid_in(tmp_path / "tool")
    assert leader is not None
    os.kill(leader, signal.SIGKILL)

    def is_back() -> bool:
        supervisor.check()
        return supervisor.pid("worker") not in (None, leader)

    assert wait_until(is_back, 5)
    assert (tmp_path / "handed back").read_text() == "its tool still ran"
    assert gone(run)
    assert gone(tool)


def test_what_a_killed_part_of_a_living_process_left_is_ended(
    supervisor: Supervisor, tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narralytica_ingest.local.processes._ORPHAN_SECONDS", 0.1)
    supervisor.start(spec("worker", WORKER, str(tmp_path)))
    leader, run, tool = supervisor.pid("worker"), pid_in(tmp_path / "run"), pid_in(tmp_path / "tool")
    supervisor._orphans_at = 0.0  # the first look is due
    supervisor.check()
    assert not gone(tool), "it has its parents"
    os.kill(run, signal.SIGKILL)

    def is_gone() -> bool:
        supervisor.check()
        return gone(tool)

    assert wait_until(is_gone, 5)
    assert supervisor.pid("worker") == leader
    assert "worker left a process behind" in events[0]


def test_a_full_log_is_put_aside_while_its_process_goes_on_writing(supervisor: Supervisor, home: Path) -> None:
    code = (
        "import time\nfor n in range(600): print(f'{n:04}', 'x' * 200, flush=True); time.sleep(0.005)\ntime.sleep(60)"
    )
    supervisor.start(spec("talker", code))
    log, older = home / "logs" / "talker.log", home / "logs" / "talker.log.1"
    numbers: list[int] = []

    def all_written() -> bool:
        if rotate_logs(home, 20_000) == [log]:
            numbers.extend(numbers_in(older))
        return "0599" in log.read_text()[-400:]

    assert wait_until(all_written, 30)
    assert log.stat().st_size <= 21_000
    assert numbers + numbers_in(log) == list(range(600)), "no line is lost, and none is there twice"
    assert sorted(path.name for path in (home / "logs").iterdir()) == ["talker.log", "talker.log.1"]


def numbers_in(log: Path) -> list[int]:
    return [int(line.split()[0]) for line in log.read_text().splitlines()]


def test_a_log_that_cannot_be_put_aside_stays(home: Path) -> None:
    log = home / "logs" / "talker.log"
    log.write_text("x" * 100)
    (home / "logs" / "talker.log.1.new").mkdir()
    assert rotate_logs(home, 10) == []
    assert log.read_text() == "x" * 100


def test_what_a_killed_supervisor_left_is_ended_and_others_are_not(home: Path, tmp_path: Path) -> None:
    arguments = [str(home), str(tmp_path / "pid"), str(PROJECT), STUBBORN]
    killed = subprocess.Popen([sys.executable, "-c", SUPERVISOR, *arguments], stdout=subprocess.PIPE, text=True)
    grandchild = pid_in(tmp_path / "pid")
    killed.kill()
    killed.communicate()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        assert not gone(grandchild)
        assert reap_leftovers(home) == ["stubborn"]
        assert gone(grandchild)
        assert stranger.poll() is None
        stranger.kill()
    assert reap_leftovers(home) == []
