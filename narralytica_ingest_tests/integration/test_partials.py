"""What processes agree on by locks: who has a video's unfinished download, and how much disk is set aside."""

import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from narralytica_ingest.engine import partials
from narralytica_ingest.engine.partials import DiskShare, hold_partial, sweep_partials
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.job_table import submit

GB = 10**9
Usage = namedtuple("Usage", ["total", "used", "free"])

HOLD = """
import sys
from pathlib import Path
from narralytica_ingest.engine.partials import DiskShare, hold_partial
home = Path(sys.argv[1])
held = hold_partial(home, "web-v")
share = DiskShare(home, "other-run", 0)
share.reserve(int(sys.argv[2]), [held.path])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process(home: Path, reserves: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the video's folder and has set disk aside."""
    command = [sys.executable, "-c", HOLD, str(home), str(reserves)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 10 GB free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100 * GB, 90 * GB, 10 * GB))


def test_a_folder_has_one_holder_and_ends_with_its_process(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        assert hold_partial(tmp_path, "web-v") is None
        other = hold_partial(tmp_path, "web-w")
        assert other is not None
        other.close()
        process.kill()
        process.wait()
        held = hold_partial(tmp_path, "web-v")
        assert held is not None
        held.close()


def test_a_folder_is_nobody_elses_business(tmp_path: Path) -> None:
    held = hold_partial(tmp_path, "web-v")
    assert held is not None
    assert held.path.stat().st_mode & 0o777 == 0o700
    held.close()


def test_what_was_there_is_there_again_until_it_is_removed(tmp_path: Path) -> None:
    for expected in ([], ["part"], []):
        held = hold_partial(tmp_path, "web-v")
        assert held is not None
        assert os.listdir(held.path) == expected
        if expected:
            held.remove()
        else:
            (held.path / "part").touch()
        held.close()


def test_whoever_waits_for_a_folder_that_is_removed_gets_a_new_one(tmp_path: Path) -> None:
    first = hold_partial(tmp_path, "web-v")
    assert first is not None
    first.remove()
    second = hold_partial(tmp_path, "web-v")
    assert second is not None
    first.close()
    assert hold_partial(tmp_path, "web-v") is None, "the lock of the folder that is gone is not that of the new one"
    second.close()


@pytest.mark.usefixtures("disk")
def test_two_downloads_that_fit_alone_but_not_together_do_not_run_together(tmp_path: Path) -> None:
    one, other = DiskShare(tmp_path, "one", GB), DiskShare(tmp_path, "other", GB)
    one.reserve(6 * GB, [])
    with pytest.raises(IngestError) as raised:
        other.reserve(6 * GB, [])
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.LOCAL, "no_room")
    assert "10.0 GB free" in raised.value.message
    one.release()
    other.reserve(6 * GB, [])
    other.release()


@pytest.mark.usefixtures("disk")
def test_a_disk_below_what_is_kept_free_is_full_for_everybody(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"10\.0 GB free, and 11\.0 GB are kept free") as raised:
        DiskShare(tmp_path, "one", 11 * GB).reserve(0, [])
    assert raised.value.code == "disk_full"
    share = DiskShare(tmp_path, "one", 10 * GB)
    share.reserve(0, [])
    share.release()


@pytest.mark.usefixtures("disk")
def test_what_is_there_already_needs_no_more_disk(tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    folder.mkdir()
    with (folder / "part").open("wb") as file:
        file.truncate(5 * GB)  # sparse
    share = DiskShare(tmp_path, "one", GB)
    share.reserve(13 * GB, [folder])
    with pytest.raises(IngestError, match="no_room"):
        share.reserve(15 * GB, [folder])
    share.reserve(1, [folder])
    with pytest.raises(IngestError, match="no_room"):
        DiskShare(tmp_path, "other", GB).reserve(2 * GB, [])
    share.release()


@pytest.mark.usefixtures("disk")
def test_a_dead_process_has_nothing_set_aside(tmp_path: Path) -> None:
    mine = DiskShare(tmp_path, "mine", 0)
    with another_process(tmp_path, 6 * GB) as process:
        with pytest.raises(IngestError, match="no_room"):
            mine.reserve(6 * GB, [])
        process.kill()
        process.wait()
        mine.reserve(6 * GB, [])
    mine.release()
    assert os.listdir(tmp_path / "reservations") == []


def test_the_sweep_removes_what_nobody_waits_for_and_what_is_old_but_nothing_that_is_held(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        submit(connection, "waited")
        submit(connection, "old")
    for video_id in ("web-waited", "web-old", "web-forgotten", "web-held"):
        folder = partials.partials_root(tmp_path) / video_id
        folder.mkdir(parents=True)
        (folder / "part").touch()
    held = hold_partial(tmp_path, "web-held")
    assert held is not None
    long_ago = time.time() - partials.UNTOUCHED_SECONDS - 60
    for path in (tmp_path / "partial" / "web-old" / "part", tmp_path / "partial" / "web-old"):
        os.utime(path, (long_ago, long_ago))
    sweep_partials(tmp_path, database)
    assert sorted(os.listdir(tmp_path / "partial")) == ["web-held", "web-waited"]
    held.close()
    sweep_partials(tmp_path, database)
    assert os.listdir(tmp_path / "partial") == ["web-waited"]
