"""The whole stack of `up`: one per home, every process restarted when it dies, and none left when it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.failures import IngestError
from narralytica_ingest.local.identity import Identity, wait_until
from narralytica_ingest.local.stack import CODE_SERVER, DAEMON, SPARE, WEBSERVER, WORKER, Stack

PROJECT = Path(__file__).resolve().parents[2]

LOG_MAX_BYTES = 1 << 20

UP = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from narralytica_ingest.config import Settings
from narralytica_ingest.local.stack import Stack, interruptible
with interruptible():
    try:
        with Stack(Settings(home=Path(sys.argv[1]), ui_port=0, workers=1)) as stack:
            stack.start()
            stack.wait_until_ready()
            print("ready", flush=True)
            stack.run_forever()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / "home"


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator["subprocess.Popen[str]"]:
    process = start_up(home)
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def start_up(home: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", UP, str(home), str(PROJECT)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NARRALYTICA_LOG_MAX_BYTES": str(LOG_MAX_BYTES)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def pids(home: Path) -> dict[str, int]:
    """Every process of the home that lives."""
    records = [*(home / "run" / "processes").glob("*.json"), home / "run" / "postgres.json", home / "run" / "s3.json"]
    found = {path.stem: Identity.load(path) for path in records}
    return {name: identity.pid for name, identity in found.items() if identity is not None and identity.alive}


def processes_that_name(home: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("NARRALYTICA_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_everything_runs(up: "subprocess.Popen[str]", home: Path) -> None:
    assert set(pids(home)) == {CODE_SERVER, WORKER, SPARE, DAEMON, WEBSERVER, "postgres", "s3"}


def test_a_second_up_on_the_same_home_is_refused_and_told_the_pid(up: "subprocess.Popen[str]", home: Path) -> None:
    with Stack(Settings(home=home, ui_port=0)) as second, pytest.raises(IngestError, match=str(up.pid)) as refused:
        second.start()
    assert refused.value.code == "already_up"
    assert set(pids(home)) >= {"postgres", "s3", WORKER}


def test_a_taken_ui_port_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Stack(Settings(home=tmp_path / "home", ui_port=port)) as stack, pytest.raises(IngestError) as refused:
            stack.start()
    assert refused.value.code == "port_busy"


@pytest.mark.parametrize("name", ["postgres", "s3", WORKER])
def test_full_logs_are_put_aside(up: "subprocess.Popen[str]", home: Path, name: str) -> None:
    log, older = home / "logs" / f"{name}.log", home / "logs" / f"{name}.log.1"
    with log.open("a") as output:
        output.write("x" * LOG_MAX_BYTES + "\nlast\n")
    # Whose log it is may have written something since.
    assert wait_until(lambda: older.exists() and "\nlast\n" in older.read_text(errors="replace"), 15)
    assert log.stat().st_size < LOG_MAX_BYTES


@pytest.mark.parametrize("name", ["postgres", "s3", CODE_SERVER])
def test_what_is_killed_comes_back(up: "subprocess.Popen[str]", home: Path, name: str) -> None:
    before = pids(home)[name]
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: pids(home).get(name) not in (None, before), 20)


@pytest.mark.slow
def test_an_up_after_a_killed_one_takes_over_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = start_up(home)
    killed.kill()
    killed.communicate()
    left = pids(home)
    assert WORKER in left

    up = start_up(home)
    now = pids(home)
    assert (now["postgres"], now["s3"]) == (left["postgres"], left["s3"])
    assert not any(now[name] == left[name] for name in (CODE_SERVER, WORKER, SPARE, DAEMON, WEBSERVER))

    begun = time.monotonic()
    up.send_signal(signal.SIGINT)
    said, _ = up.communicate(timeout=30)
    assert said == "interrupted\n"
    assert time.monotonic() - begun < 15
    assert pids(home) == {}
    assert processes_that_name(home) == []
