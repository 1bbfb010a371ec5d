"""Back-pressure as the dispatch sensor and people meet it: with a real S3 server that hangs, dies and comes back."""

import shutil
import signal
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import dagster as dg
import psycopg
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints, resolve_endpoints
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.services import Services
from narralytica_ingest.object_store.client import explained, make_client
from narralytica_ingest.sensors import dispatch as sensor
from narralytica_ingest.sensors import own_parts
from narralytica_ingest.sensors.upkeep import upkeep
from narralytica_ingest.store import dispatch, leases, outcomes, pauses
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.dispatch import Dispatched
from narralytica_ingest.store.leases import Dispatch
from narralytica_ingest_tests.integration.test_cli import cli
from narralytica_ingest_tests.job_table import POLICY, commit_all, job, start, submit

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tick does not wait for news, nor long for the store, and pauses are short."""
    monkeypatch.setattr(sensor, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(own_parts, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 0.5)
    monkeypatch.setattr(pauses, "LONGEST_SECONDS", 1.0)
    monkeypatch.setattr(pauses, "STAND_BACK_SECONDS", 0.2)
    own_parts._client.cache_clear()
    yield
    own_parts._client.cache_clear()


@pytest.fixture(scope="module")
def own_s3(tmp_path_factory: pytest.TempPathFactory, services: Endpoints) -> Iterator[tuple[Services, Path]]:
    """An S3 server that no other test uses."""
    home = tmp_path_factory.mktemp("back-pressure") / "home"
    held = Services(Settings.model_validate({"home": home, "postgres_url": services.postgres_url}))
    held.acquire()
    yield held, home
    held.release()


@pytest.fixture
def s3(own_s3: tuple[Services, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    """The process of that server; the settings mean it, and it is in order again afterwards."""
    held, home = own_s3
    for name in ("S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"NARRALYTICA_{name}")
    monkeypatch.setenv("NARRALYTICA_HOME", str(home))
    yield server(home)
    server(home).send(signal.SIGCONT)
    held.revive()


def server(home: Path) -> Identity:
    found = Identity.load(home / "run" / "s3.json")
    assert found is not None
    return found


def tick() -> list[str] | str:
    """One look of the sensor: the videos of the runs that it asks for, or why there are none."""
    said = sensor.dispatch()
    if isinstance(said, dg.SkipReason):
        assert said.skip_message
        return said.skip_message
    assert isinstance(said, dg.SensorResult)
    return [str(request.partition_key) for request in said.run_requests or []]


def work(database: Database, video_ids: list[str]) -> None:
    """The runs of dispatched jobs: each stores an object for real, and ends well, or with the verdict on that."""
    client = make_client(resolve_endpoints(Settings()).s3, seconds=0.5, attempts=1)
    for video_id in video_ids:
        with database.transaction() as connection:
            row = connection.execute(
                "SELECT job_id, attempt FROM ingest_jobs WHERE video_id = %s AND status = 'dispatched'", (video_id,)
            ).fetchone()
            assert row is not None
            lease = leases.take(connection, f"run-{video_id}-{row['attempt']}", [video_id], 60)[video_id]
            assert leases.bind(connection, Dispatch(**row), lease)
        try:
            with explained(video_id):
                client.put_object(Bucket="narralytica-media", Key=video_id, Body=b"bytes")
        except IngestError as error:
            with database.transaction() as connection:
                outcomes.end_run(connection, lease, error, POLICY)
        else:
            with database.transaction() as connection:
                commit_all(connection, lease)
                leases.release(connection, [lease])


def all_end_well(database: Database, job_ids: list[UUID], seconds: float = 20) -> None:
    """Ticks and runs go on until every job has succeeded, without a failed attempt."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        asked = tick()
        if isinstance(asked, list):
            work(database, asked)
        rows = database.all("SELECT status, failures FROM ingest_jobs WHERE job_id = ANY(%s)", (job_ids,))
        if {(row["status"], row["failures"]) for row in rows} == {("succeeded", 0)}:
            return
    raise AssertionError(rows)


def insert(database: Database, *names: str) -> list[UUID]:
    with database.transaction() as connection:
        return [submit(connection, name) for name in names]


# ---- the object store -----------------------------------------------------------------------------------------------


def test_a_hanging_store_costs_no_attempt_and_when_it_goes_on_so_do_all_jobs(s3: Identity, database: Database) -> None:
    s3.send(signal.SIGSTOP)
    ids = insert(database, "a", "b", "c")
    began = time.monotonic()
    said = tick()
    assert time.monotonic() - began < 5
    assert "No job is claimed until" in said
    assert "object_store_away" in said
    began = time.monotonic()
    assert "No job is claimed until" in tick()
    assert time.monotonic() - began < 1, "while it pauses, nobody asks the store"
    ids += insert(database, "d")
    assert {row["attempt"] for row in database.all("SELECT attempt FROM ingest_jobs")} == {0}
    s3.send(signal.SIGCONT)
    all_end_well(database, ids)
    assert tick() == "No job to dispatch."


def test_a_store_that_dies_under_the_runs_and_is_started_again_fails_none_of_them(
    own_s3: tuple[Services, Path], s3: Identity, database: Database
) -> None:
    ids = insert(database, *"abcdef")
    asked = tick()
    assert isinstance(asked, list)
    s3.send(signal.SIGKILL)
    work(database, asked[:1])
    assert {row["status"] for row in database.all("SELECT status FROM ingest_jobs")} == {"queued"}, "none waits in vain"
    ids += insert(database, "late")
    time.sleep(0.6)
    assert "object_store_away" in tick(), "the sensor looks itself before it sends a job to try"
    assert own_s3[0].revive() == ["s3"]
    all_end_well(database, ids)


def test_a_missing_bucket_pauses_and_says_what_to_do(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_S3_BUCKET", "no-such-bucket")
    ids = insert(database, "a")
    assert "NARRALYTICA_S3_BUCKET" in tick()
    monkeypatch.delenv("NARRALYTICA_S3_BUCKET")
    monkeypatch.setenv("NARRALYTICA_S3_SECRET_ACCESS_KEY", "wrong")
    time.sleep(0.6)
    assert "object_store_refused" in tick()
    assert settings.s3_secret_access_key is not None
    monkeypatch.setenv("NARRALYTICA_S3_SECRET_ACCESS_KEY", settings.s3_secret_access_key.get_secret_value())
    all_end_well(database, ids)


def test_an_idle_store_is_left_alone(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("nothing is to be claimed")

    monkeypatch.setattr(own_parts, "refusal", asked)
    assert tick() == "No job to dispatch."
    (job_id,) = insert(database, "later")
    database.all("UPDATE ingest_jobs SET not_before = now() + interval '1 h' RETURNING 1")
    assert tick() == "No job to dispatch."
    monkeypatch.setenv("NARRALYTICA_DISPATCH_WINDOW", "1")
    insert(database, "at-work")
    with database.transaction() as connection:
        start(connection)
    database.all("UPDATE ingest_jobs SET not_before = NULL WHERE job_id = %s RETURNING 1", (job_id,))
    assert tick() == "No job to dispatch."


# ---- the disk -------------------------------------------------------------------------------------------------------


def test_a_full_disk_pauses_before_a_job_is_tried_and_space_lets_all_go(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = insert(database, "a", "b")
    (settings.home / "reservations").mkdir(parents=True)
    free = settings.keep_free_bytes - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 * free, 9 * free, free))
    assert "disk_full" in tick()
    assert "Free some space" in tick()
    free = settings.keep_free_bytes
    all_end_well(database, ids)


def test_a_machine_without_workers_may_have_a_small_disk(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 100, 0))
    insert(database, "a")
    assert not settings.home.exists()
    assert tick() == ["web-a"]


# ---- the database ---------------------------------------------------------------------------------------------------


def test_while_the_database_is_away_ticks_say_so_and_then_everything_goes_on(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", "postgresql://127.0.0.1:1/away")
    assert "Postgres cannot be reached" in tick()
    with dg.DagsterInstance.ephemeral() as instance:
        said = upkeep(dg.build_sensor_context(instance=instance, repository_def=defs.get_repository_def()))
    assert isinstance(said, dg.SkipReason)
    assert "Postgres cannot be reached" in (said.skip_message or "")
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", database.url)
    all_end_well(database, insert(database, "a"))


def test_a_database_that_goes_away_while_a_tick_waits_for_news_ends_it_with_a_sentence(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "WAIT_SECONDS", 20.0)
    said: list[object] = []
    waiting = threading.Thread(target=lambda: said.append(tick()))
    waiting.start()
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ~ 'LISTEN'"
    )
    with psycopg.connect(database.url, autocommit=True) as connection:
        while waiting.is_alive():
            connection.execute(end.encode() + b" AND pid <> pg_backend_pid()")
            waiting.join(0.1)
    assert "Postgres cannot be reached or went away" in str(said[0])
    monkeypatch.setattr(sensor, "WAIT_SECONDS", 0.05)
    all_end_well(database, insert(database, "a"))


# ---- what people see ------------------------------------------------------------------------------------------------


def test_people_are_told_what_is_paused_since_when_and_what_to_do(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "FIRST_SECONDS", 600.0)
    (job_id,) = insert(database, "a")
    claimed: list[Dispatched] = []
    with database.transaction() as connection:
        claimed += dispatch.claim(connection, 1)
        outcomes.end_attempt(connection, job_id, claimed[0].attempt, failure("object_store_away"), POLICY)
        assert job(connection, job_id)["status"] == "queued"
    lines = cli("jobs").out.splitlines()
    assert lines[0].startswith("No job is claimed until ")
    assert "object_store_away, since" in lines[0]
    assert "Check it with `doctor`." in lines[0]
    assert "claims are paused until" in lines[2]
    assert cli("jobs", "--json").json[0]["pause"]["resource"] == "object_store"
    assert cli("show", str(job_id), "--json").json["job"]["pause"]["sentence"] == lines[0]
    check = next(check for check in cli("doctor", "--json").json["checks"] if check["name"] == "claims")
    assert (check["ok"], check["mend"]) == (False, lines[0])
    database.all("UPDATE claim_pauses SET until = now() RETURNING 1")
    database.all("UPDATE ingest_jobs SET not_before = now() RETURNING 1")
    lines = cli("jobs").out.splitlines()
    assert lines[0].startswith("One job at a time is claimed until one succeeds (object_store_away, since ")
    assert "one job at a time is tried (object_store_away)" in lines[2]
    with database.transaction() as connection:
        pauses.succeeded(connection)
    assert "claim" not in cli("jobs").out
