"""The roles of deploy/roles.sql: each may do its work through the real code, and nothing else."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
from kombu.connection import Connection as Broker

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints, sqlalchemy_url
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.sensors.dispatch import dispatch as dispatch_sensor
from narralytica_ingest.sensors.sweeper import sweeper
from narralytica_ingest.sensors.upkeep import upkeep
from narralytica_ingest.store.database import CHANNEL, Database
from narralytica_ingest.store.migrate import migrate
from narralytica_ingest_tests.in_process import Cli, Installation, command_line, own_bucket
from narralytica_ingest_tests.integration import test_contract_document as job_document
from narralytica_ingest_tests.integration import test_data_model as data_model
from narralytica_ingest_tests.integration.forbidden_statements import FORBIDDEN
from narralytica_ingest_tests.job_table import commit_all, start, submit
from narralytica_ingest_tests.source_server import SourceServer

pytestmark = pytest.mark.slow

ROLES = Path(__file__).parents[2] / "deploy" / "roles.sql"
As = Callable[[str], Database]


def give_rights(admin_url: str) -> None:
    with psycopg.connect(admin_url) as connection:
        connection.execute(ROLES.read_bytes())


@pytest.fixture
def login(endpoints: Endpoints) -> As:
    """The test's tables as one of the roles sees them: `login("api")`."""
    give_rights(endpoints.postgres_url)
    password = secrets.token_hex(8)
    with psycopg.connect(endpoints.postgres_url) as connection:
        for role in ("owner", "worker", "api", "reader"):
            connection.execute(f"ALTER ROLE narralytica_{role} LOGIN PASSWORD '{password}'".encode())
    parts = urlsplit(endpoints.postgres_url)
    where = parts.netloc.rpartition("@")[2]
    return lambda role: Database(parts._replace(netloc=f"narralytica_{role}:{password}@{where}").geturl())


@pytest.fixture
def content(database: Database) -> Database:
    """A ready video `web-v` with its job, and one at work."""
    with database.transaction() as connection:
        submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease, title="A talk")
        submit(connection, "w")
        start(connection, "run-w", window=9)
    return database


# ---- what each may do ------------------------------------------------------------------------------------------------


@pytest.fixture
def place(
    settings: Settings, endpoints: Endpoints, login: As, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Installation]:
    """An installation that has the worker's rights alone, with Dagster's own tables in the same database."""
    url = login("worker").url
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", url)
    bucket = own_bucket(make_client(endpoints.s3), monkeypatch)
    (tmp_path / "dagster").mkdir()
    storage = f"storage: {{postgres: {{postgres_url: '{sqlalchemy_url(url, 'dagster')}'}}}}\n"
    (tmp_path / "dagster" / "dagster.yaml").write_text(storage + "telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        yield Installation(
            settings.model_copy(update={"s3_bucket": bucket}), replace(endpoints, postgres_url=url), instance
        )


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(capsys) as run:
        yield run


def test_the_worker_does_all_its_work_with_its_own_rights(
    place: Installation, login: As, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(login("worker").url)  # as `up` does at every start: there is nothing to do
    monkeypatch.setenv("NARRALYTICA_SWEEP_GRACE_SECONDS", "0")
    with SourceServer() as server:
        server.add("/clip.mp4")
        url = server.add_page("/talk", "/clip.mp4")
        with login("api").transaction() as connection:
            connection.execute("INSERT INTO ingest_jobs (source_url, title) VALUES (%s, 'A hint')", (url,))
        (job,) = place.work()
    assert (job["status"], job["outcome"]) == ("succeeded", "ingested"), job["error_message"]
    video_id = job["video_id"]
    with dg.build_sensor_context(instance=place.instance, cursor=None) as context:
        assert isinstance(dispatch_sensor(context), dg.SkipReason)
        assert "fell silent" in str(upkeep(context))
    with dg.build_sensor_context(instance=place.instance, cursor=None) as context:
        assert isinstance(sweeper(context), dg.SkipReason)
    for command in (
        "jobs",
        "hosts",
        f"show {video_id}",
        f"verify {video_id} --deep",
        f"correct {video_id} title=Better",
    ):
        assert cli(*command.split()).code == 0, command
    assert login("reader").all("SELECT title FROM ready_video_metadata") == [{"title": "Better"}]
    said = cli("delete", video_id, "--yes")
    assert said.code == 0, said.err
    assert place.objects() == set()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # Celery's matter
def test_the_workers_broker_lives_in_its_own_schema(login: As) -> None:
    url = f"sqla+{sqlalchemy_url(login('worker').url, 'broker')}"
    with Broker(url) as broker, broker.SimpleQueue("q") as queue:  # type: ignore[no-untyped-call]
        queue.put({"run": 1})
        message = queue.get(timeout=10)
        message.ack()
        assert message.payload == {"run": 1}


def test_the_owner_migrates_and_what_is_new_is_the_workers_at_once(login: As) -> None:
    migrate(login("owner").url)
    with login("owner").transaction() as connection:
        connection.execute("CREATE TABLE of_a_later_version (id bigint GENERATED ALWAYS AS IDENTITY, said text)")
    login("worker").all("INSERT INTO of_a_later_version (said) VALUES ('yes') RETURNING id")
    for role in ("api", "reader"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login(role).all("SELECT * FROM of_a_later_version")


def test_the_api_does_what_its_document_says(database: Database, login: As) -> None:
    with database.transaction() as connection:
        job_id = submit(connection)
        _, lease = start(connection)
        commit_all(connection, lease)
        parent = job_document.expanded_job(connection)
    for statement in job_document.statements():
        about = parent if "playlist" in statement or "parent_job_id" in statement else job_id
        said = statement.replace("video_id = '…'", "video_id = 'web-v'").replace("job_id = '…'", f"job_id = '{about}'")
        with login("api").transaction() as connection:
            assert connection.execute(said.encode()).rowcount != 0, statement


def test_the_api_corrects_metadata_as_its_document_says(content: Database, login: As) -> None:
    for statement in data_model.statements():
        with login("api").transaction() as connection:
            assert connection.execute(statement.replace("'…'", "'web-v'").encode()).rowcount >= 1
    assert login("api").all("SELECT status, error_code FROM videos WHERE video_id = 'web-v'")[0]["status"] == "ready"


def test_the_api_hears_of_every_change(database: Database, login: As) -> None:
    with login("api").listening() as news_within:
        with database.transaction() as connection:
            submit(connection)
        assert news_within(5)


def test_downstream_reads_what_is_ready_and_no_more(content: Database, login: As) -> None:
    reader = login("reader")
    for statement in job_document.statements():
        if "FROM ready_" in statement:
            assert len(reader.all(statement.replace("'…'", "'web-v'"))) == 1
    assert {row["video_id"] for row in reader.all("SELECT video_id FROM ready_media_files")} == {"web-v"}
    assert len(reader.all("SELECT video_id, status, ready_at FROM videos")) == 2
    with reader.listening() as news_within:
        assert not news_within(0.01)


def test_rights_may_be_given_again_also_after_they_were_taken(endpoints: Endpoints, login: As) -> None:
    with psycopg.connect(endpoints.postgres_url) as connection:
        connection.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM narralytica_api")
        connection.execute("GRANT ALL ON ingest_jobs TO narralytica_reader, PUBLIC")
    give_rights(endpoints.postgres_url)
    login("api").all("SELECT FROM ingest_jobs")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login("reader").all("SELECT FROM ingest_jobs")


def test_without_tables_nothing_is_given_and_it_is_said_what_to_do(services: Endpoints) -> None:
    with psycopg.connect(services.postgres_url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS public")
        with pytest.raises(psycopg.errors.RaiseException, match="run `narralytica-ingest migrate` first"):
            connection.execute(ROLES.read_bytes())


# ---- what none may do ------------------------------------------------------------------------------------------------


def test_whatever_else_is_tried_is_refused(content: Database, login: As) -> None:
    """Each statement of the table is refused for want of the right, and changes nothing."""
    database = content
    with login("worker").transaction() as connection:
        connection.execute("CREATE TABLE dagster.runs (run_id text)")
    before = database.all("SELECT * FROM ingest_jobs ORDER BY job_id")
    wrong = {}
    for role in ("api", "reader", "worker"):
        with psycopg.connect(login(role).url, autocommit=True) as connection:
            for statement in [each for who, each in FORBIDDEN if who == role]:
                try:
                    connection.execute(statement.encode())
                    wrong[role, statement] = "was allowed"
                except psycopg.Error as error:
                    if error.sqlstate != "42501":
                        wrong[role, statement] = f"{error.sqlstate} {error}"
    assert wrong == {}
    assert database.all("SELECT * FROM ingest_jobs ORDER BY job_id") == before


def test_no_function_of_ours_runs_with_the_rights_of_another_and_triggers_have_a_fixed_path(database: Database) -> None:
    functions = database.all(
        "SELECT proname AS name, prosecdef AS definer, prorettype = 'trigger'::regtype AS is_trigger,"
        "       proconfig AS fixed FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    assert len(functions) > 8
    assert [each["name"] for each in functions if each["definer"]] == []
    assert [each["name"] for each in functions if each["is_trigger"] and not each["fixed"]] == []
    assert CHANNEL in str(database.all("SELECT prosrc FROM pg_proc WHERE proname = 'announce_job'"))
