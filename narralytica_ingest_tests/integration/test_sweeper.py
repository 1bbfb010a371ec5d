"""What nothing refers to goes after its grace period, and nothing that is referred to ever does. On a real Postgres
and a real S3 server."""

import hashlib
import json
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.engine import machine_sweep
from narralytica_ingest.engine.machine_sweep import sweep_files
from narralytica_ingest.engine.partials import DiskShare
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.object_store.media import ObjectRef, object_key
from narralytica_ingest.object_store.publishing import Content, publish
from narralytica_ingest.recovery import ownership, sweep
from narralytica_ingest.recovery.removal import remove_object
from narralytica_ingest.recovery.sweep import Walk
from narralytica_ingest.sensors.sweeper import sweeper
from narralytica_ingest.store import leases, objects, upkeep
from narralytica_ingest.store.artifacts import MediaFile, commit_media_files
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.leases import Lease, LeaseLost
from narralytica_ingest_tests.job_table import submit

DAY = 86_400.0


@pytest.fixture
def client(endpoints: Endpoints) -> S3Client:
    return make_client(endpoints.s3)


@pytest.fixture
def bucket(client: S3Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of this test's own, which the sensor takes for the installation's."""
    name = f"test-{uuid4()}"
    client.create_bucket(Bucket=name)
    monkeypatch.setenv("NARRALYTICA_S3_BUCKET", name)
    return name


@pytest.fixture
def said() -> list[str]:
    return []


def tick(cursor: str | None = None) -> tuple[str, str | None]:
    """One evaluation of the sensor: what it says, and its new cursor."""
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def(), cursor=cursor)
        answer = sweeper(context)
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message), context.cursor


def put(client: S3Client, bucket: str, body: bytes) -> str:
    """Stores an object as a run does, without telling anybody."""
    key = object_key(hashlib.sha256(body).hexdigest(), "mp4")
    client.put_object(Bucket=bucket, Key=key, Body=body)
    return key


def media_file(bucket: str, key: str, kind: str = "raw_video") -> MediaFile:
    return MediaFile(kind, bucket, key, 10, Path(key).stem, "video/mp4")


def take(connection: Connection, name: str, run_id: str = "run", seconds: float = 60) -> Lease:
    return leases.take(connection, run_id, [f"web-{name}"], seconds)[f"web-{name}"]


def is_there(client: S3Client, bucket: str, key: str) -> bool:
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    return True


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    return database.all(f"SELECT * FROM {table}")


def age_leftovers(database: Database, seconds: float) -> None:
    database.all("UPDATE leftover_objects SET since = since - make_interval(secs => %s) RETURNING 1", (seconds,))


# ---- leftovers -------------------------------------------------------------------------------------------------------


def test_what_a_dropped_file_leaves_goes_after_the_grace_period_and_not_before(
    database: Database, settings: Settings, client: S3Client, bucket: str
) -> None:
    key = put(client, bucket, b"old")
    with database.transaction() as connection:
        submit(connection)
        commit_media_files(connection, take(connection, "v"), [media_file(bucket, key)])
    tick()
    assert rows(database, "leftover_objects") == []
    database.all("DELETE FROM media_files RETURNING 1")
    tick()
    assert is_there(client, bucket, key)
    age_leftovers(database, DAY)
    message, _ = tick()
    assert f"{key} (video web-v), 3 bytes, is removed" in message
    assert not is_there(client, bucket, key)
    assert rows(database, "leftover_objects") == []


def test_what_a_killed_run_left_half_way_goes_with_its_publication(
    database: Database, settings: Settings, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_SWEEP_GRACE_SECONDS", "0")
    key = object_key("b" * 64, "mp4")
    with database.transaction() as connection:
        submit(connection)
        objects.begin_publications(connection, take(connection, "v", seconds=-1), bucket, [key])
    client.put_object(Bucket=bucket, Key=key, Body=b"whole, but never committed")
    tick()
    assert is_there(client, bucket, key), "its lease has not been taken from it yet"
    with database.transaction() as connection:
        upkeep.clear_expired_leases(connection)
    assert "is gone" in tick()[0]
    assert not is_there(client, bucket, key)
    assert rows(database, "publications") == rows(database, "leftover_objects") == []


def test_a_leftover_that_is_wanted_again_stays_and_is_forgotten(
    database: Database, client: S3Client, bucket: str
) -> None:
    key = put(client, bucket, b"again")
    with database.transaction() as connection:
        submit(connection)
        objects.note_leftovers(connection, bucket, [key])
        lease = take(connection, "v")
        objects.begin_publications(connection, lease, bucket, [key])
    assert not remove_object(database, client, bucket, key)
    with database.transaction() as connection:
        objects.note_leftovers(connection, bucket, [key])
        commit_media_files(connection, lease, [media_file(bucket, key)])
    assert not remove_object(database, client, bucket, key)
    assert is_there(client, bucket, key)
    assert rows(database, "leftover_objects") == []


def test_an_object_that_was_let_go_of_anew_has_its_grace_period_again(
    database: Database, client: S3Client, bucket: str
) -> None:
    key = put(client, bucket, b"twice")
    with database.transaction() as connection:
        objects.note_leftovers(connection, bucket, [key])
    assert not remove_object(database, client, bucket, key, grace_seconds=60)
    assert is_there(client, bucket, key)
    assert remove_object(database, client, bucket, key)
    assert remove_object(database, client, bucket, key), "it may be repeated"
    assert not is_there(client, bucket, key)
    assert rows(database, "leftover_objects") == []


def test_two_transactions_that_let_go_of_the_same_objects_at_once_leave_each_once(database: Database) -> None:
    keys = [object_key(f"{number:064x}", "mp4") for number in range(40)]
    with database.transaction() as connection:
        for name in ("a", "b"):
            submit(connection, name)
        for order, name in ((keys, "a"), (keys[::-1], "b")):
            for number, key in enumerate(order):
                connection.execute(
                    "INSERT INTO media_files (video_id, generation, kind, language, bucket, object_key, size_bytes,"
                    " sha256, content_type, lease_epoch) VALUES (%s, 1, 'captions', %s, 'b', %s, 1, %s, 'text/vtt', 1)",
                    (f"web-{name}", str(number), key, Path(key).stem),
                )

    def drop(name: str) -> None:
        database.all("DELETE FROM videos WHERE video_id = %s RETURNING 1", (f"web-{name}",))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(drop, ("a", "b")))
    assert sorted(row["object_key"] for row in rows(database, "leftover_objects")) == sorted(keys)


def test_what_a_new_generation_replaces_is_left_over_and_what_both_have_is_not(database: Database, bucket: str) -> None:
    same, old, new = (object_key(letter * 64, "mp4") for letter in "abc")
    with database.transaction() as connection:
        submit(connection)
        lease = take(connection, "v")
        commit_media_files(connection, lease, [media_file(bucket, same), media_file(bucket, old, "audio_track")])
    with database.transaction() as connection:
        commit_media_files(connection, lease, [media_file(bucket, same), media_file(bucket, new, "audio_track")])
    assert [row["object_key"] for row in rows(database, "leftover_objects")] == [old]


def test_one_object_that_cannot_be_removed_keeps_no_other_from_it(
    database: Database, client: S3Client, bucket: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = put(client, bucket, b"locked"), put(client, bucket, b"free")
    with database.transaction() as connection:
        objects.note_leftovers(connection, bucket, [stuck, other])
    real = client.delete_object

    def refuse(**request: Any) -> Any:
        if request["Key"] == stuck:
            raise ClientError({"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "x")  # type: ignore[typeddict-item]
        return real(**request)

    monkeypatch.setattr(client, "delete_object", refuse)
    sweep.remove_leftovers(database, client, bucket, 0, said.append)
    assert not is_there(client, bucket, other)
    assert [row["object_key"] for row in rows(database, "leftover_objects")] == [stuck]
    assert any("could not be removed" in sentence for sentence in said)


# ---- what no table knows ---------------------------------------------------------------------------------------------


def test_after_a_backup_is_restored_the_newer_objects_are_found_and_go_after_the_grace_period(
    database: Database, settings: Settings, client: S3Client, bucket: str
) -> None:
    known, newer = put(client, bucket, b"in the backup"), put(client, bucket, b"after it")
    with database.transaction() as connection:
        submit(connection)
        commit_media_files(connection, take(connection, "v"), [media_file(bucket, known)])
    tick()
    assert [row["object_key"] for row in rows(database, "leftover_objects")] == [newer]
    tick()
    assert is_there(client, bucket, newer)
    age_leftovers(database, DAY)
    tick()
    assert (is_there(client, bucket, known), is_there(client, bucket, newer)) == (True, False)


def test_the_walk_sees_every_object_however_many_pages_and_ticks_it_takes(
    database: Database, client: S3Client, bucket: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {put(client, bucket, bytes([number])) for number in range(9)}
    monkeypatch.setattr(sweep, "BATCH", 2)
    monkeypatch.setattr(sweep, "WALK_SECONDS", -1.0)
    walk, ticks = Walk(), 0
    while walk.after is not None or ticks == 0:
        walk, ticks = sweep.find_unknown(database, client, bucket, walk, said.append), ticks + 1
    assert ticks == 5, "one page for each tick"
    assert {row["object_key"] for row in rows(database, "leftover_objects")} == keys
    assert sweep.find_unknown(database, client, bucket, walk, said.append) is walk, "once an hour is enough"
    an_hour_ago = Walk(None, walk.began - sweep.PASS_SECONDS)
    assert sweep.find_unknown(database, client, bucket, an_hour_ago, said.append).began > walk.began


def test_objects_on_their_way_and_those_of_others_are_left_alone(
    database: Database, settings: Settings, client: S3Client, bucket: str
) -> None:
    mine = put(client, bucket, b"on its way")
    with database.transaction() as connection:
        submit(connection)
        objects.begin_publications(connection, take(connection, "v"), bucket, [mine])
    for key in ("media/holiday.mp4", "media/aa/notes.txt", "elsewhere/file"):
        client.put_object(Bucket=bucket, Key=key, Body=b"somebody's")
    tick()
    assert rows(database, "leftover_objects") == []


def test_a_bucket_is_swept_by_the_installation_that_it_belongs_to_alone(
    database: Database, settings: Settings, client: S3Client, bucket: str
) -> None:
    tick()
    assert ownership.is_ours(database, client, bucket)
    database.all("UPDATE installation SET installation_id = gen_random_uuid() RETURNING 1")
    key = put(client, bucket, b"of the first installation")
    message, _ = tick()
    assert "another installation's" in message
    assert rows(database, "leftover_objects") == []
    client.delete_object(Bucket=bucket, Key=ownership.MARK)
    tick()
    assert [row["object_key"] for row in rows(database, "leftover_objects")] == [key]


# ---- uploads that nobody goes on with --------------------------------------------------------------------------------


def test_uploads_that_were_broken_off_are_aborted_and_no_others(
    database: Database, settings: Settings, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale, live = (object_key(letter * 64, "mp4") for letter in "ab")
    others = "media/holiday.mp4"
    with database.transaction() as connection:
        submit(connection)
        objects.begin_publications(connection, take(connection, "v"), bucket, [live])
    for key in (stale, live, others):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    tick()
    assert open_uploads(client, bucket) == sorted([stale, live, others]), "young ones may be somebody's"
    monkeypatch.setattr(sweep, "STALE_UPLOAD", timedelta(seconds=-10))
    message, _ = tick()
    assert f"{stale} is aborted" in message
    assert open_uploads(client, bucket) == sorted([live, others])


def open_uploads(client: S3Client, bucket: str) -> list[str]:
    return sorted(each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


# ---- the disk --------------------------------------------------------------------------------------------------------


def test_files_of_killed_runs_go_and_those_of_living_ones_stay(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction() as connection:
        submit(connection)
        take(connection, "v", "alive")
    for run_id in ("alive", "killed"):
        (settings.home / "scratch" / run_id).mkdir(parents=True)
        (settings.home / "scratch" / run_id / "original.mp4").write_bytes(b"12345")
    (settings.home / "partial" / "web-forgotten").mkdir(parents=True)
    share = DiskShare(settings.home, "alive", 0)
    share.reserve(10, [])
    (settings.home / "reservations" / "killed").write_text("{}")
    assert not any("scratch" in sentence for sentence in sweep_files(settings, database)), "it was used just now"
    monkeypatch.setattr(machine_sweep, "SCRATCH_AGE_SECONDS", -1.0)
    assert sweep_files(settings, database) == [
        "the scratch folder of run killed is removed, 5 bytes: no such run is at work"
    ]
    assert os.listdir(settings.home / "scratch") == os.listdir(settings.home / "reservations") == ["alive"]
    assert os.listdir(settings.home / "partial") == []
    share.release()


# ---- the sensor ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["POSTGRES_URL", "S3_ENDPOINT_URL"])
def test_a_part_that_is_away_is_waited_for(
    settings: Settings, bucket: str, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    nowhere = {"POSTGRES_URL": "postgresql://nobody@127.0.0.1:9/none", "S3_ENDPOINT_URL": "http://127.0.0.1:9"}
    monkeypatch.setenv(f"NARRALYTICA_{away}", nowhere[away])
    assert "cannot be reached" in tick()[0]


def test_a_tick_with_nothing_to_do_says_so_and_remembers_its_walk(settings: Settings, bucket: str) -> None:
    message, cursor = tick()
    assert message == "Nothing to sweep."
    assert cursor is not None
    assert tick(cursor) == (message, cursor)
    assert json.loads(cursor)["after"] is None


# ---- everybody at once -----------------------------------------------------------------------------------------------

KEYS, PUBLISHERS, SWEEPERS = 2, 4, 2
ENOUGH = {"committed": 15, "died": 5, "removed": 8}
LONGEST_SECONDS = 60.0


@pytest.fixture
def slow(endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> S3Client:
    """Removes late: between the last look at the tables and the removal there is time for a whole publication."""
    made = make_client(endpoints.s3)
    remove = made.delete_object

    def late(**request: Any) -> Any:
        time.sleep(0.2)
        return remove(**request)

    monkeypatch.setattr(made, "delete_object", late)
    return made


def test_what_is_committed_is_in_the_bucket_as_long_as_anything_refers_to_it(
    database: Database,
    client: S3Client,
    slow: S3Client,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many publish and drop the same few objects, some die half-way, while sweepers without any grace remove what they
    can: at every commit, and until the reference goes, the object is there."""
    monkeypatch.setattr(objects, "REMOVAL_SECONDS", 1.0)
    files = [_file(tmp_path, number) for number in range(KEYS)]
    with database.transaction() as connection:
        for number in range(PUBLISHERS):
            submit(connection, str(number))
    ends, counts, count = time.monotonic() + LONGEST_SECONDS, dict.fromkeys(ENOUGH, 0), threading.Lock()
    failed = threading.Event()

    def goes_on() -> bool:
        enough = all(counts[name] >= least for name, least in ENOUGH.items())
        return not enough and not failed.is_set() and time.monotonic() < ends

    def publisher(number: int) -> None:
        dice, run = random.Random(number), 0
        while goes_on():
            run += 1
            file = dice.choice(files)
            key = object_key(file.sha256, "mp4")
            with database.transaction() as connection:
                lease = take(connection, str(number), f"run-{number}-{run}")
                objects.begin_publications(connection, lease, bucket, [key])
            with database.transaction() as connection:
                waits = objects.being_removed(connection, bucket, [key])
            while waits:
                time.sleep(0.02)
                with database.transaction() as connection:
                    waits = objects.being_removed(connection, bucket, [key])
            publish(client, file, ObjectRef(bucket, key))
            dies = dice.random() < 0.3
            if not dies:
                with database.transaction() as connection:
                    commit_media_files(connection, lease, [media_file(bucket, key)])
                for _ in range(3):
                    assert is_there(client, bucket, key), f"{key} is committed and not there"
                    time.sleep(0.05)
            with count:
                counts["died" if dies else "committed"] += 1
            with database.transaction() as connection:
                connection.execute("DELETE FROM media_files WHERE video_id = %s", (lease.video_id,))
                leases.release(connection, [lease])

    def sweeping(_: int) -> None:
        def say(sentence: str) -> None:
            with count:
                counts["removed"] += "is removed: nothing" in sentence

        while goes_on():
            sweep.end_publications(database, say)
            sweep.remove_leftovers(database, slow, bucket, 0, say)

    with ThreadPoolExecutor(PUBLISHERS + SWEEPERS) as pool:
        at_work = [pool.submit(publisher, number) for number in range(PUBLISHERS)]
        at_work += [pool.submit(sweeping, number) for number in range(SWEEPERS)]
        for each in as_completed(at_work):
            if each.exception() is not None:
                failed.set()
            each.result()
    assert all(counts[name] >= least for name, least in ENOUGH.items()), counts
    time.sleep(objects.REMOVAL_SECONDS)
    sweep.end_publications(database, print)
    sweep.remove_leftovers(database, client, bucket, 0, print)
    assert client.list_objects_v2(Bucket=bucket, Prefix="media/").get("Contents", []) == []
    assert rows(database, "publications") == rows(database, "leftover_objects") == []


def _file(folder: Path, number: int) -> Content:
    body = f"file {number}".encode()
    path = folder / f"{number}.mp4"
    path.write_bytes(body)
    return Content(path, len(body), hashlib.sha256(body).hexdigest(), "video/mp4")


def test_whoever_begins_to_publish_waits_for_whoever_is_removing(
    database: Database, client: S3Client, bucket: str
) -> None:
    key = put(client, bucket, b"wanted by two")
    with database.transaction() as connection:
        submit(connection)
        lease = take(connection, "v")

    def begin() -> None:
        with database.transaction() as connection:
            objects.begin_publications(connection, lease, bucket, [key])

    with ThreadPoolExecutor(1) as pool, database.transaction() as removing:
        assert objects.begin_removal(removing, bucket, key, 0)
        begun = pool.submit(begin)
        with pytest.raises(TimeoutError):
            begun.result(0.5)
        removing.rollback()
        begun.result(10)
    assert not remove_object(database, client, bucket, key)


def test_the_note_of_a_remover_that_died_outlasts_other_removers(
    database: Database, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His request may still be on its way, whoever removes the object, or wants it, meanwhile."""
    key = put(client, bucket, b"asked for by a dead one")

    def under_way() -> bool:
        with database.transaction() as connection:
            return objects.being_removed(connection, bucket, [key])

    with database.transaction() as connection:
        assert objects.begin_removal(connection, bucket, key, 0)
    assert remove_object(database, client, bucket, key)
    assert under_way()
    with database.transaction() as connection:
        submit(connection)
        objects.begin_publications(connection, take(connection, "v"), bucket, [key])
    assert not remove_object(database, client, bucket, key)
    assert under_way()
    monkeypatch.setattr(objects, "REMOVAL_SECONDS", 0.0)
    assert not remove_object(database, client, bucket, key)
    assert rows(database, "leftover_objects") == []


def test_a_publication_needs_the_lease(database: Database, bucket: str) -> None:
    with database.transaction() as connection:
        submit(connection)
        lost = take(connection, "v", seconds=-1)
        upkeep.clear_expired_leases(connection)
    with pytest.raises(LeaseLost), database.transaction() as connection:
        objects.begin_publications(connection, lost, bucket, ["media/x"])
    assert rows(database, "publications") == []
