"""`delete`: a video goes with all that is only its own, whatever is at work on it, however often it is interrupted."""

import hashlib
import json
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine.partials import hold_partial
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.failures import IngestError
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.partitions import videos
from narralytica_ingest.recovery import delete, partitions
from narralytica_ingest.recovery.delete import Deletion, delete_video
from narralytica_ingest.recovery.partitions import drop_orphans
from narralytica_ingest.sensors.upkeep import upkeep
from narralytica_ingest.store import artifacts, dispatch, jobs, leases, objects
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.leases import Dispatch, Lease, LeaseLost
from narralytica_ingest_tests.in_process import (
    BODY,
    Cli,
    Installation,
    command_line,
    commit,
    make_ready,
    own_bucket,
    put,
)
from narralytica_ingest_tests.job_table import job, key, start, submit
from narralytica_ingest_tests.source_server import SourceServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def client(endpoints: Endpoints) -> "S3Client":
    return make_client(endpoints.s3)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(capsys) as run:
        yield run


@pytest.fixture
def bucket(client: "S3Client", monkeypatch: pytest.MonkeyPatch) -> str:
    return own_bucket(client, monkeypatch)


@pytest.fixture
def mine(settings: Settings, bucket: str) -> Settings:
    return settings.model_copy(update={"s3_bucket": bucket, "heartbeat_seconds": 0.1})


def keys(client: "S3Client", bucket: str) -> set[str]:
    return {each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])}


def count(database: Database, table: str) -> int:
    return int(database.all(f"SELECT count(*) AS n FROM {table}")[0]["n"])


def gone(settings: Settings, endpoints: Endpoints, client: "S3Client", video_id: str = "web-v") -> Deletion:
    done = delete_video(settings, endpoints, client, video_id)
    assert done is not None
    return done


# ---- what goes and what stays ----------------------------------------------------------------------------------------


def test_a_video_goes_with_its_objects_and_its_rows_and_its_jobs_stay_as_history(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    make_ready(database, client, bucket)
    done = gone(mine, endpoints, client)
    assert (done.objects_removed, done.bytes_removed, done.objects_kept) == (2, 2 * len(BODY) + 1, 0)
    assert keys(client, bucket) == set()
    for table in ("videos", "media_files", "video_metadata", "leftover_objects", "publications", "video_aliases"):
        assert count(database, table) == 0, table
    history = database.all("SELECT status, video_id FROM ingest_jobs")
    assert history == [{"status": "succeeded", "video_id": None}]


def test_an_object_that_another_video_has_too_stays_until_that_one_goes(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    make_ready(database, client, bucket, "v")
    make_ready(database, client, bucket, "w")
    done = gone(mine, endpoints, client)
    assert (done.objects_removed, done.objects_kept) == (1, 1)
    kept = {row["object_key"] for row in database.all("SELECT object_key FROM media_files")}
    assert keys(client, bucket) == kept
    assert gone(mine, endpoints, client, "web-w").objects_removed == 2
    assert keys(client, bucket) == set()


def test_every_unfinished_job_fails_and_a_run_that_comes_late_finds_nothing(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client"
) -> None:
    with database.transaction() as connection:
        waiting, dispatched = submit(connection), submit(connection, priority=1)
        claimed = dispatch.claim(connection, 1)[0]
        ended = submit(connection)
        jobs.cancel(connection, ended)
    done = gone(mine, endpoints, client)
    assert set(done.jobs_ended) == {waiting, dispatched}
    with database.transaction() as connection:
        for job_id in (waiting, dispatched):
            row = job(connection, job_id)
            assert (row["status"], row["error_class"], row["error_code"]) == ("failed", "permanent", "video_deleted")
            assert row["video_id"] is None
        assert job(connection, ended)["status"] == "canceled"
    info = RunInfo("late", "web-v", Dispatch(claimed.job_id, claimed.attempt), False, lambda: False, lambda: None)
    with RunSession(mine, database, info, logging.getLogger("test")) as late:
        assert late.take(["web-v"]) == {}
    with database.transaction() as connection:
        jobs.retry(connection, waiting)
        dispatch.attach(connection, waiting, key())
        _, lease = start(connection, "again")
        assert (lease.video_id, lease.generation) == ("web-v", 1)


def test_the_entry_of_a_playlist_goes_and_the_playlist_stays(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client"
) -> None:
    with database.transaction() as connection:
        parent, child = submit(connection, "list"), submit(connection)
        connection.execute("UPDATE ingest_jobs SET parent_job_id = %s WHERE job_id = %s", (parent, child))
    gone(mine, endpoints, client)
    with database.transaction() as connection:
        assert job(connection, parent)["status"] == "queued"
        assert job(connection, child)["parent_job_id"] == parent


@pytest.mark.parametrize("held", [False, True], ids=["nobody's", "a run's"])
def test_an_unfinished_download_on_this_machine_goes_unless_a_run_still_holds_it(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", held: bool
) -> None:
    with database.transaction() as connection:
        submit(connection)
    folder = hold_partial(mine.home, "web-v")
    assert folder is not None
    (folder.path / "part").touch()
    if not held:
        folder.close()
    done = gone(mine, endpoints, client)
    assert (done.partial_removed, folder.path.exists()) == (not held, held)
    if held:
        folder.close()


def test_what_nobody_knows_is_not_deleted(mine: Settings, endpoints: Endpoints, client: "S3Client") -> None:
    assert delete_video(mine, endpoints, client, "web-v") is None
    assert not (mine.home / "partial").exists()


# ---- at work ---------------------------------------------------------------------------------------------------------


def test_a_run_at_work_is_stopped_at_its_next_heartbeat_and_writes_nothing_more(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        claimed = dispatch.claim(connection, 1)[0]
    info = RunInfo("mine", "web-v", Dispatch(claimed.job_id, claimed.attempt), False, lambda: False, lambda: None)
    run = RunSession(mine, database, info, logging.getLogger("test"))
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(KeyboardInterrupt), run, run.stage("fetch"):
            lease = run.take(["web-v"])["web-v"]
            (run.partial_folder("web-v") / "part").touch()
            deleted = pool.submit(gone, mine, endpoints, client)
            began = time.monotonic()
            time.sleep(30)
        assert time.monotonic() - began < 5
        done = deleted.result()
    assert (done.run_id, done.jobs_ended) == ("mine", (job_id,))
    with pytest.raises(LeaseLost), database.transaction() as connection:
        commit(connection, lease, [put(client, bucket, "raw_video", BODY)])
    assert count(database, "videos") == 0
    assert not list((mine.home / "partial").glob("*"))
    with database.transaction() as connection:
        assert job(connection, job_id)["error_code"] == "video_deleted"


def test_what_a_run_that_does_not_stop_is_storing_is_left_to_the_sweeper_and_found_by_a_repetition(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    file = put(client, bucket, "raw_video", BODY)
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
    with database.transaction() as connection:
        objects.begin_publications(connection, lease, bucket, [file.object_key])
    done = gone(mine, endpoints, client)
    assert (done.run_stopped, done.objects_removed, done.objects_left) == (False, 0, 1)
    again = gone(mine, endpoints, client)
    assert (again.finished, again.objects_removed, again.objects_left) == (True, 1, 0)
    assert keys(client, bucket) == set()


@pytest.mark.parametrize("status", ["STARTED", "CANCELED"])
def test_the_end_of_the_run_is_waited_for_but_not_for_ever(
    mine: Settings,
    endpoints: Endpoints,
    database: Database,
    client: "S3Client",
    bucket: str,
    status: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delete, "ENDING_SECONDS", 1.0)
    file = put(client, bucket, "raw_video", BODY)
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        connection.execute("CREATE TABLE dagster.runs (run_id text, status text)")
        connection.execute("INSERT INTO dagster.runs VALUES ('run-1', 'STARTED')")
    with database.transaction() as connection:
        objects.begin_publications(connection, lease, bucket, [file.object_key])
    with ThreadPoolExecutor(1) as pool:
        deleted = pool.submit(gone, mine, endpoints, client)
        time.sleep(0.4)
        database.all("UPDATE dagster.runs SET status = %s RETURNING 1", (status,))
        done = deleted.result()
    assert (done.run_stopped, done.objects_left) == ((True, 0) if status == "CANCELED" else (False, 1))


def test_a_job_for_the_same_source_begins_a_new_life_in_which_a_zombie_of_the_old_one_does_nothing(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    with database.transaction() as connection:
        submit(connection)
        _, zombie = start(connection, "zombie")
    gone(mine, endpoints, client)
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection, "fresh")
    assert (lease.epoch, lease.generation) == (zombie.epoch, 1), "only the run tells the two lives apart"
    for write in (commit, lambda connection, lease, files: objects.begin_publications(connection, lease, bucket, [])):
        with pytest.raises(LeaseLost), database.transaction() as connection:
            write(connection, zombie, [put(client, bucket, "raw_video", BODY)])
    with database.transaction() as connection:
        leases.release(connection, [zombie])
        assert leases.renew(connection, {"web-v": zombie}, "zombie", 60, None).lost == {"web-v"}
    with database.transaction() as connection:
        commit(connection, lease, [put(client, bucket, kind, BODY) for kind in ("raw_video", "audio_track")])
        assert job(connection, job_id)["status"] == "succeeded"


ROUNDS = 25


def test_delete_and_a_committing_run_never_leave_a_row_without_its_object_or_an_object_that_nobody_knows(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    outcomes = set()
    for number in range(ROUNDS):
        body = b"%d" % number
        with database.transaction() as connection:
            submit(connection)
            _, lease = start(connection, f"run-{number}")
        key = f"media/{hashlib.sha256(body).hexdigest()[:2]}/{hashlib.sha256(body).hexdigest()}.bin"
        begin = threading.Barrier(2)

        def publish(lease: Lease = lease, key: str = key, body: bytes = body, begin: Any = begin) -> bool:
            try:
                with database.transaction() as connection:
                    objects.begin_publications(connection, lease, bucket, [key])
                begin.wait()
                file = put(client, bucket, "raw_video", body)
                with database.transaction() as connection:
                    artifacts.commit_media_files(connection, lease, [file])
            except LeaseLost:
                return False
            return True

        def remove(begin: Any = begin, pause: float = (number % 5) * 0.005) -> Deletion:
            begin.wait()
            time.sleep(pause)
            return gone(mine, endpoints, client)

        with ThreadPoolExecutor(2) as pool:
            published, deleted = pool.submit(publish), pool.submit(remove)
            outcomes.add(published.result())
            assert not deleted.result().finished
        with database.transaction() as connection:
            rows = {row["object_key"] for row in connection.execute("SELECT object_key FROM media_files").fetchall()}
            assert rows == set()
            assert objects.unknown_keys(connection, bucket, sorted(keys(client, bucket))) == []
        delete_video(mine, endpoints, client, "web-v")
        assert keys(client, bucket) == set()
    assert outcomes == {True, False}, "both came first at times"


def test_two_deletions_at_once_and_a_new_job_meanwhile_end_well(
    mine: Settings, endpoints: Endpoints, database: Database, client: "S3Client", bucket: str
) -> None:
    def resubmit(_: int) -> None:
        with database.transaction() as connection:
            submit(connection)

    for _ in range(8):
        make_ready(database, client, bucket)
        with ThreadPoolExecutor(4) as pool:
            deleted: list[Future[Any]] = [pool.submit(delete_video, mine, endpoints, client, "web-v") for _ in range(2)]
            submitted: list[Future[Any]] = [pool.submit(resubmit, number) for number in range(2)]
            for future in (*deleted, *submitted):
                future.result()
        delete_video(mine, endpoints, client, "web-v")
        assert keys(client, bucket) == set()
        assert database.all("SELECT FROM ingest_jobs WHERE status NOT IN ('succeeded', 'failed')") == []


# ---- interrupted -----------------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.recovery import delete, removal
where, times = sys.argv[1], int(sys.argv[2])
module = removal if where == "_delete" else delete
real = getattr(module, where)
def deadly(*args, **named):
    global times
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    times -= 1
    return real(*args, **named)
setattr(module, where, deadly)
endpoints = resolve_endpoints(load_settings())
delete.delete_video(load_settings(), endpoints, make_client(endpoints.s3), "web-v")
"""


@pytest.mark.parametrize(
    ("where", "times"), [("leftovers", 0), ("remove_object", 1), ("_delete", 1), ("drop_partition", 0)]
)
def test_a_deletion_that_is_killed_between_two_steps_is_finished_by_the_same_command(
    mine: Settings,
    endpoints: Endpoints,
    database: Database,
    client: "S3Client",
    bucket: str,
    where: str,
    times: int,
) -> None:
    make_ready(database, client, bucket)
    with partitions._instance(endpoints) as instance:
        instance.add_dynamic_partitions(str(videos.name), ["web-v", "web-w"])
    killed = subprocess.run([sys.executable, "-c", KILLED, where, str(times)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert count(database, "videos") == 0
    done = gone(mine, endpoints, client)
    assert (done.finished, done.partition_removed) == (True, True)
    assert keys(client, bucket) == set()
    # The note of a remover that was killed stays for a later sweep: its request may still be carried out.
    assert count(database, "leftover_objects") == (1 if where == "_delete" else 0)
    with partitions._instance(endpoints) as instance:
        assert instance.get_dynamic_partitions(str(videos.name)) == ["web-w"]
    again = delete_video(mine, endpoints, client, "web-v")
    assert (again and again.objects_left) == (1 if where == "_delete" else None)


def test_what_could_not_be_removed_is_said_and_the_rows_are_gone(
    mine: Settings,
    endpoints: Endpoints,
    database: Database,
    client: "S3Client",
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_ready(database, client, bucket)
    away = make_client(endpoints.s3.__class__("http://127.0.0.1:9", "us-east-1", "k", "s"), seconds=1, attempts=1)
    with pytest.raises(IngestError) as raised:
        delete_video(mine, endpoints, away, "web-v")
    assert raised.value.code == "delete_unfinished"
    assert "narralytica-ingest delete web-v" in raised.value.message
    assert gone(mine, endpoints, client).objects_removed == 2


# ---- the partition ---------------------------------------------------------------------------------------------------


def test_partitions_without_a_video_go_and_one_that_is_wanted_again_stays(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(videos.name)
    assert name == partitions.PARTITIONS
    with database.transaction() as connection:
        submit(connection)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(name, ["web-v", "web-gone", "web-again"])
        really = instance.delete_dynamic_partition

        def meanwhile(partitions_def_name: str, key: str) -> None:
            if key == "web-again":
                with database.transaction() as connection:
                    submit(connection, "again")
            really(partitions_def_name, key)

        monkeypatch.setattr(instance, "delete_dynamic_partition", meanwhile)
        assert drop_orphans(instance, database) == ["web-gone"]
        assert set(instance.get_dynamic_partitions(name)) == {"web-v", "web-again"}
        assert drop_orphans(instance, database) == []


def test_the_upkeep_sensor_removes_the_partition_that_an_interrupted_deletion_left(
    mine: Settings, database: Database
) -> None:
    with database.transaction() as connection:
        submit(connection)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(partitions.PARTITIONS, ["web-v", "web-gone"])
        context = dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def())
        said = upkeep(context)
        assert isinstance(said, dg.SkipReason)
        assert "web-gone" in str(said.skip_message)
        assert instance.get_dynamic_partitions(partitions.PARTITIONS) == ["web-v"]


# ---- the whole way ---------------------------------------------------------------------------------------------------


def test_a_video_is_ingested_deleted_and_ingested_afresh(mine: Settings, endpoints: Endpoints, bucket: str) -> None:
    with SourceServer() as server, dg.DagsterInstance.ephemeral() as instance:
        place = Installation(mine, endpoints, instance)
        url = server.add("/clip.mp4")
        first = place.ingest(url)
        before = place.objects()
        assert gone(mine, endpoints, place.s3, first["video_id"]).objects_removed == len(before)
        assert place.objects() == set()
        assert drop_orphans(instance, place.database) == [first["video_id"]]
        again = place.ingest(url)
        assert (again["video_id"], again["generation"], again["status"]) == (first["video_id"], 1, "ready")
        assert place.objects() == before


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["id", "alias", "job"])
def test_the_command_takes_any_name_of_the_video_and_says_what_it_did(
    mine: Settings, database: Database, client: "S3Client", bucket: str, cli: Cli, by: str
) -> None:
    make_ready(database, client, bucket)
    database.all("INSERT INTO video_aliases VALUES ('other-v', 'web-v') RETURNING 1")
    job_id = str(database.all("SELECT job_id FROM ingest_jobs")[0]["job_id"])
    said = cli("delete", {"id": "web-v", "alias": "other-v", "job": job_id}[by], "--yes")
    assert (said.code, said.err) == (0, "")
    assert "Video web-v is deleted" in said.out
    assert "2 removed (41 bytes)" in said.out
    assert keys(client, bucket) == set()


def test_the_command_as_json(mine: Settings, database: Database, client: "S3Client", bucket: str, cli: Cli) -> None:
    make_ready(database, client, bucket)
    said = json.loads(cli("delete", "web-v", "--yes", "--json").out)
    assert {name: said[name] for name in ("video_id", "finished", "objects_removed", "partition_removed")} == {
        "video_id": "web-v",
        "finished": False,
        "objects_removed": 2,
        "partition_removed": False,
    }


def test_without_a_terminal_the_command_wants_yes(mine: Settings, database: Database, cli: Cli) -> None:
    with database.transaction() as connection:
        submit(connection)
    said = cli("delete", "web-v")
    assert (said.code, said.out) == (2, "")
    assert "--yes" in said.err
    assert count(database, "videos") == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 1), ("y", 0, 0)])
def test_at_a_terminal_the_command_says_what_goes_and_asks(
    mine: Settings, database: Database, client: "S3Client", bucket: str, answer: str, code: int, left: int
) -> None:
    make_ready(database, client, bucket)
    database.all("UPDATE video_metadata SET title = %s RETURNING 1", ("A \x1b[31mtitle",))
    ours, its = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        line = [sys.executable, "-m", "narralytica_ingest", "delete", "web-v"]
        said = subprocess.run(line, stdin=its, capture_output=True, text=True, timeout=60, check=False)
    finally:
        os.close(ours)
        os.close(its)
    assert said.returncode == code
    assert "web-v “A \\x1b[31mtitle” (ready): 2 stored objects, 41 bytes." in said.stderr
    assert "Delete it for good?" in said.stderr
    assert count(database, "videos") == left


@pytest.mark.parametrize("name", ["web-none", "no such", "../home", os.fsdecode(b"\xff"), "a\x1bb"])
def test_a_name_of_nothing_is_refused_in_one_sentence(mine: Settings, cli: Cli, name: str) -> None:
    said = cli("delete", name, "--yes")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert "There is no video" in said.err
    assert "\x1b" not in said.err
