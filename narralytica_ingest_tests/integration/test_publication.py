"""How files become objects: announced first, sent with checks, never over another, and whole or not at all.

On a real S3 server, and through a gateway that makes it a lesser one.
"""

import hashlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from mypy_boto3_s3 import S3Client

from narralytica_ingest.config import Settings
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.io_managers.s3_media import S3MediaIOManager
from narralytica_ingest.io_managers.values import LocalFile, NewMedia
from narralytica_ingest.object_store import patience
from narralytica_ingest.object_store.capabilities import Capabilities, capabilities
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.object_store.media import ObjectRef, object_key
from narralytica_ingest.object_store.publishing import PART_BYTES, Content, publish
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.store import objects, upkeep
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.job_table import submit
from narralytica_ingest_tests.s3_gateway import CHECKSUMS, CONDITIONS, S3Gateway

SMALL, LARGE = 1000, 2 * PART_BYTES + 1000
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["whole", "in parts"])
NOWHERE: Callable[[str], object] = logging.getLogger("test").info


@pytest.fixture
def client(endpoints: Any) -> S3Client:
    """Straight to the server."""
    return make_client(endpoints.s3)


@pytest.fixture
def bucket(client: S3Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of this test's own, which `settings` name, too."""
    name = f"test-{uuid4()}"
    client.create_bucket(Bucket=name)
    monkeypatch.setenv("NARRALYTICA_S3_BUCKET", name)
    return name


@pytest.fixture
def gateway(endpoints: Any) -> Iterator[S3Gateway]:
    with S3Gateway(endpoints.s3) as made:
        yield made


@pytest.fixture
def through(gateway: S3Gateway) -> S3Client:
    """Through the gateway; what cannot be sent once is not tried again by the client itself."""
    return make_client(gateway.endpoint, seconds=10, attempts=1)


def content(folder: Path, size: int, seed: bytes = b"") -> Content:
    """A file of random bytes, or of those that `seed` gives."""
    body = (seed * (size // len(seed) + 1))[:size] if seed else os.urandom(size)
    sha256 = hashlib.sha256(body).hexdigest()
    path = folder / f"{sha256}-{uuid4()}.mp4"
    path.write_bytes(body)
    return Content(path, size, sha256, "video/mp4")


def ref_of(bucket: str, file: Content) -> ObjectRef:
    return ObjectRef(bucket, object_key(file.sha256, "mp4"))


def stored(client: S3Client, ref: ObjectRef) -> str:
    return hashlib.sha256(client.get_object(Bucket=ref.bucket, Key=ref.key)["Body"].read()).hexdigest()


def keys(client: S3Client, bucket: str) -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def open_uploads(client: S3Client, bucket: str) -> list[Any]:
    return list(client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


# ---- what the store can do -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deaf_to", "able"),
    [
        ((), Capabilities(conditional_writes=True, checksums=True)),
        (CONDITIONS, Capabilities(conditional_writes=False, checksums=True)),
        (CHECKSUMS, Capabilities(conditional_writes=True, checksums=False)),
    ],
    ids=["all", "no conditions", "no checksums"],
)
def test_what_the_store_can_do_is_tried_once_and_leaves_nothing_behind(
    gateway: S3Gateway, through: S3Client, client: S3Client, bucket: str, deaf_to: tuple[str, ...], able: Capabilities
) -> None:
    gateway.deaf_to = deaf_to
    assert capabilities(through, bucket) == able
    asked = len(gateway.requests)
    assert capabilities(through, bucket) == able
    assert len(gateway.requests) == asked <= 10
    assert keys(client, bucket) == open_uploads(client, bucket) == []


def test_a_store_that_is_away_is_tried_again(gateway: S3Gateway, through: S3Client, bucket: str) -> None:
    gateway.away = True
    with pytest.raises(IngestError, match="object_store_away"):
        capabilities(through, bucket)
    gateway.away = False
    assert capabilities(through, bucket).checksums


# ---- one object ------------------------------------------------------------------------------------------------------


@SIZES
def test_what_is_stored_already_costs_one_head(
    gateway: S3Gateway, through: S3Client, bucket: str, tmp_path: Path, size: int
) -> None:
    file = content(tmp_path, size)
    ref = ref_of(bucket, file)
    assert publish(through, file, ref)
    gateway.requests.clear()
    assert not publish(through, file, ref)
    assert gateway.requests == [f"HEAD /{bucket}/{ref.key}"]
    assert stored(through, ref) == file.sha256


@SIZES
@pytest.mark.parametrize("deaf_to", [(), CONDITIONS, CHECKSUMS, CONDITIONS + CHECKSUMS])
def test_an_object_is_stored_whole_whatever_the_store_lacks(
    gateway: S3Gateway, through: S3Client, bucket: str, tmp_path: Path, size: int, deaf_to: tuple[str, ...]
) -> None:
    gateway.deaf_to = deaf_to
    file = content(tmp_path, size)
    counted: list[int] = []
    assert publish(through, file, ref_of(bucket, file), on_bytes=counted.append)
    assert stored(through, ref_of(bucket, file)) == file.sha256
    assert sum(counted) == size


@SIZES
def test_an_object_that_somebody_stored_meanwhile_is_left_as_it_is(
    gateway: S3Gateway, through: S3Client, client: S3Client, bucket: str, tmp_path: Path, size: int
) -> None:
    file = content(tmp_path, size)
    ref = ref_of(bucket, file)
    capabilities(through, bucket)

    def somebody_is_quicker(method: str, path: str) -> None:
        if method == "PUT":
            gateway.before = lambda *_: None
            client.put_object(
                Bucket=bucket,
                Key=ref.key,
                Body=file.path.read_bytes(),
                Metadata={"sha256": file.sha256, "by": "somebody"},
            )

    gateway.before = somebody_is_quicker
    publish(through, file, ref)
    assert client.head_object(Bucket=bucket, Key=ref.key)["Metadata"]["by"] == "somebody"
    assert open_uploads(client, bucket) == []


@SIZES
def test_an_object_that_is_not_what_its_key_says_is_replaced(
    client: S3Client, bucket: str, tmp_path: Path, size: int
) -> None:
    file = content(tmp_path, size)
    client.put_object(Bucket=bucket, Key=ref_of(bucket, file).key, Body=b"cut")
    assert publish(client, file, ref_of(bucket, file))
    assert stored(client, ref_of(bucket, file)) == file.sha256


@SIZES
def test_bytes_that_change_on_their_way_are_refused_and_nothing_is_stored(
    gateway: S3Gateway, through: S3Client, client: S3Client, bucket: str, tmp_path: Path, size: int
) -> None:
    file = content(tmp_path, size)
    capabilities(through, bucket)
    gateway.damaged = 1
    counted: list[int] = []
    with pytest.raises(IngestError, match="changed on their way") as refused:
        publish(through, file, ref_of(bucket, file), on_bytes=counted.append)
    assert refused.value.code == "published_bytes_differ"
    assert sum(counted) == 0
    assert keys(client, bucket) == open_uploads(client, bucket) == []


@SIZES
def test_where_nothing_is_verified_damage_is_found_by_reading_back_now_or_next_time(
    gateway: S3Gateway, through: S3Client, bucket: str, tmp_path: Path, size: int
) -> None:
    gateway.deaf_to = CHECKSUMS
    file = content(tmp_path, size)
    capabilities(through, bucket)
    gateway.damaged = 1
    with pytest.raises(IngestError, match="is not what was sent"):
        publish(through, file, ref_of(bucket, file))
    assert publish(through, file, ref_of(bucket, file)), "the damaged object, whoever left it, is not taken for stored"
    assert stored(through, ref_of(bucket, file)) == file.sha256


def test_an_upload_in_the_same_store_is_copied_there_and_sent_where_it_is_gone(
    gateway: S3Gateway, through: S3Client, client: S3Client, bucket: str, tmp_path: Path
) -> None:
    file = content(tmp_path, SMALL)
    sent = client.put_object(Bucket=bucket, Key="upload", Body=file.path.read_bytes())["ETag"].strip('"')
    counted: list[int] = []
    assert publish(
        through, file, ref_of(bucket, file), copy_from=ObjectRef(bucket, "upload", sent), on_bytes=counted.append
    )
    assert counted == []
    other = content(tmp_path, SMALL)
    assert publish(through, other, ref_of(bucket, other), copy_from=ObjectRef(bucket, "upload", "0" * 32))
    assert (stored(client, ref_of(bucket, file)), stored(client, ref_of(bucket, other))) == (file.sha256, other.sha256)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((404, "NoSuchBucket"), "bucket_missing"),
        ((403, "AccessDenied"), "object_store_refused"),
        ((400, "InvalidRequest"), "object_store_refused"),
        ((404, "NoSuchUpload"), "object_store_away"),
        ((503, "SlowDown"), "object_store_away"),
        ((409, "ConditionalRequestConflict"), "object_store_away"),
        ((507, "InsufficientStorage"), "object_store_full"),
    ],
)
@pytest.mark.parametrize("when", ["at the probe", "at the upload"])
def test_whatever_the_store_refuses_is_our_own_trouble_and_never_the_videos(
    gateway: S3Gateway, through: S3Client, bucket: str, tmp_path: Path, answer: tuple[int, str], code: str, when: str
) -> None:
    if when == "at the upload":
        capabilities(through, bucket)

    def refuse(method: str, path: str) -> None:
        if method == "PUT":
            gateway.refusing = answer

    gateway.before = refuse
    file = content(tmp_path, LARGE)
    with pytest.raises(IngestError) as refused:
        publish(through, file, ref_of(bucket, file))
    assert refused.value.failure_class is FailureClass.LOCAL
    assert when == "at the probe" or refused.value.code == code


def test_an_interrupted_upload_is_aborted(
    gateway: S3Gateway, through: S3Client, client: S3Client, bucket: str, tmp_path: Path
) -> None:
    file = content(tmp_path, 6 * PART_BYTES)
    capabilities(through, bucket)
    gateway.seconds_per_body = 0.5

    def interrupt(method: str, path: str) -> None:
        if "partNumber=2" in path:
            _interrupt()

    gateway.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        publish(through, file, ref_of(bucket, file))
    assert keys(client, bucket) == open_uploads(client, bucket) == []


def _interrupt() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


# ---- a store that is away for a moment -------------------------------------------------------------------------------


def local_file(file: Content, kind: str = "raw_video") -> LocalFile:
    return LocalFile(kind, file.path, file.size_bytes, file.sha256, "mp4", file.content_type)


@pytest.fixture
def store(settings: Settings, bucket: str, database: Database, gateway: S3Gateway) -> MediaStore:
    return MediaStore(settings.model_copy(update={"s3_bucket": bucket}), database, gateway.endpoint)


def test_a_short_absence_of_the_store_is_ridden_out(gateway: S3Gateway, store: MediaStore, tmp_path: Path) -> None:
    file = content(tmp_path, LARGE)
    capabilities(store.client, store.settings.s3_bucket)
    gateway.seconds_per_body = 0.1
    said: list[str] = []
    counted: list[int] = []

    def restart(method: str, path: str) -> None:
        if "partNumber=2" in path:
            gateway.before = lambda *_: None
            gateway.away = True
            threading.Timer(1.0, lambda: setattr(gateway, "away", False)).start()

    gateway.before = restart
    row, fresh = store.publish(local_file(file), counted.append, said.append)
    assert fresh
    assert stored(store.client, ObjectRef(row.bucket, row.object_key)) == file.sha256
    assert sum(counted) == file.size_bytes


def test_a_long_absence_ends_the_run_and_says_that_the_store_is_away(
    gateway: S3Gateway, store: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    gateway.away = True
    said: list[str] = []
    with pytest.raises(IngestError, match="object_store_away"):
        store.publish(local_file(content(tmp_path, SMALL)), lambda _: None, said.append)
    assert "tried again in 0.5 s" in said[0]


def test_whoever_waits_for_the_store_is_interrupted_at_once(
    gateway: S3Gateway, store: MediaStore, tmp_path: Path
) -> None:
    gateway.away = True
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        store.publish(local_file(content(tmp_path, SMALL)), lambda _: None, lambda _: _interrupt())
    assert time.monotonic() - began < 20


# ---- runs ------------------------------------------------------------------------------------------------------------


def session(store: MediaStore, video_id: str, run_id: str) -> RunSession:
    """A run's, without a heartbeat: what it meets it must find out by itself."""
    run = RunInfo(run_id, video_id, None, False, lambda: False, lambda: None)
    still = store.settings.model_copy(update={"heartbeat_seconds": 600.0})
    return RunSession(still, store.database, run, logging.getLogger("test"))


def store_for(store: MediaStore, video_id: str, run_id: str, files: tuple[LocalFile, ...]) -> None:
    """What a run does when an asset hands over its files."""
    with session(store, video_id, run_id) as run:
        run.take([video_id])
        S3MediaIOManager(run, store).handle_output(dg.build_output_context(), NewMedia(video_id, files))


def rows(database: Database, table: str) -> list[dict[str, Any]]:
    return database.all(f"SELECT * FROM {table}")


def test_two_videos_with_the_same_content_at_once_share_one_object(
    store: MediaStore, client: S3Client, database: Database, tmp_path: Path
) -> None:
    names = [f"v{number}" for number in range(4)]
    with database.transaction() as connection:
        for name in names:
            submit(connection, name)
    original, sound = os.urandom(64), os.urandom(64)

    def run(name: str) -> None:
        files = (
            local_file(content(tmp_path, LARGE, original)),
            local_file(content(tmp_path, SMALL, sound), "audio_track"),
        )
        store_for(store, f"web-{name}", f"run-{name}", files)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(run, names))
    assert len(keys(client, store.settings.s3_bucket)) == 2
    assert len(rows(database, "media_files")) == 2 * len(names)
    assert rows(database, "publications") == rows(database, "leftover_objects") == []
    assert open_uploads(client, store.settings.s3_bucket) == []
    for key in keys(client, store.settings.s3_bucket):
        assert stored(client, ObjectRef(store.settings.s3_bucket, key)) == Path(key).stem


def test_a_zombie_that_goes_on_storing_changes_neither_the_object_nor_the_tables(
    store: MediaStore, client: S3Client, database: Database, gateway: S3Gateway, tmp_path: Path
) -> None:
    with database.transaction() as connection:
        submit(connection)
    file = content(tmp_path, LARGE)
    ref = ref_of(store.settings.s3_bucket, file)
    with session(store, "web-v", "zombie") as zombie:
        lease = zombie.take(["web-v"])["web-v"]
        manager = S3MediaIOManager(zombie, store)

        def is_overtaken(method: str, path: str) -> None:
            """Just before the zombie's last request, another run gets the video, and does all of it."""
            if method == "POST" and "uploadId" in path:
                gateway.before = lambda *_: None
                with database.transaction() as connection:
                    connection.execute("UPDATE videos SET lease_expires_at = now() - interval '1 second'")
                    upkeep.clear_expired_leases(connection)
                    objects.end_abandoned_publications(connection)
                store_for(store, "web-v", "quicker", (local_file(file),))
                before.append(client.head_object(Bucket=ref.bucket, Key=ref.key)["LastModified"])

        before: list[Any] = []
        gateway.before = is_overtaken
        with pytest.raises(dg.Failure, match="took over"):
            manager.handle_output(dg.build_output_context(), NewMedia("web-v", (local_file(file),)))
    (row,) = rows(database, "media_files")
    assert row["lease_epoch"] > lease.epoch
    assert client.head_object(Bucket=ref.bucket, Key=ref.key)["LastModified"] == before[0]
    assert stored(client, ref) == file.sha256
    assert rows(database, "publications") == open_uploads(client, ref.bucket) == []


def test_the_next_run_finds_published_what_a_killed_one_left(
    store: MediaStore, database: Database, gateway: S3Gateway, tmp_path: Path
) -> None:
    with database.transaction() as connection:
        submit(connection)
    file = content(tmp_path, LARGE)
    publish(store.client, file, ref_of(store.settings.s3_bucket, file))
    gateway.requests.clear()
    store_for(store, "web-v", "next", (local_file(file),))
    assert [each.split()[0] for each in gateway.requests] == ["HEAD"]
    assert [row["sha256"] for row in rows(database, "media_files")] == [file.sha256]


def test_a_run_that_lost_its_lease_does_not_even_begin_to_store(
    store: MediaStore, database: Database, gateway: S3Gateway, tmp_path: Path
) -> None:
    with database.transaction() as connection:
        submit(connection)
    with session(store, "web-v", "zombie") as zombie:
        zombie.take(["web-v"])
        database.all("UPDATE videos SET lease_epoch = lease_epoch + 1 RETURNING 1")
        with pytest.raises(dg.Failure, match="took over"):
            S3MediaIOManager(zombie, store).handle_output(
                dg.build_output_context(), NewMedia("web-v", (local_file(content(tmp_path, SMALL)),))
            )
    assert gateway.requests == []


def test_damaged_bytes_are_never_committed(
    store: MediaStore, client: S3Client, database: Database, gateway: S3Gateway, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 1.0)
    with database.transaction() as connection:
        submit(connection)
    capabilities(store.client, store.settings.s3_bucket)
    gateway.damaged = 100
    with pytest.raises(dg.Failure, match="changed on their way"):
        store_for(store, "web-v", "run", (local_file(content(tmp_path, LARGE)),))
    assert rows(database, "media_files") == []
    assert keys(client, store.settings.s3_bucket) == open_uploads(client, store.settings.s3_bucket) == []


def test_whoever_stores_what_is_being_removed_waits_until_that_is_over(
    store: MediaStore, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remover died after it had sent its request: nobody knows whether the bucket still carries it out."""
    monkeypatch.setattr(objects, "REMOVAL_SECONDS", 1.5)
    file = content(tmp_path, SMALL)
    with database.transaction() as connection:
        submit(connection)
        assert objects.begin_removal(connection, store.settings.s3_bucket, ref_of("", file).key, 0)
    began = time.monotonic()
    store_for(store, "web-v", "run", (local_file(file),))
    assert 1.0 < time.monotonic() - began < 10
