"""The command line as people meet it: the real command, its exit code, what it prints and where."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from narralytica_ingest.cli import change, follow, look
from narralytica_ingest.cli.bars import progress_bars
from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.store.database import Connection, Database

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BODY = b"the bytes of a video"


@dataclass
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The only line on standard error."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "narralytica_ingest", *arguments]


def cli(*arguments: str) -> Said:
    done = subprocess.run(command(arguments), capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "my clip.mp4"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def s3(endpoints: Endpoints) -> "S3Client":
    return make_client(endpoints.s3)


def add_ready_video(database: Database, settings: Settings, s3: "S3Client", body: bytes = BODY) -> str:
    """A ready video `web-<hex>` with one stored original, whose row says the SHA-256 of BODY."""
    video_id, sha256 = f"web-{uuid4().hex}", hashlib.sha256(BODY).hexdigest()
    s3.put_object(Bucket=settings.s3_bucket, Key=f"test/{video_id}.mp4", Body=body)
    with database.transaction() as connection:
        connection.execute(
            "INSERT INTO videos (video_id, source, source_id, source_url, status, generation, ready_at)"
            " VALUES (%s, 'web', 'x', 'https://example.com/x', 'ready', 1, now())",
            (video_id,),
        )
        connection.execute(
            "INSERT INTO media_files (video_id, generation, kind, bucket, object_key, size_bytes, sha256, content_type,"
            " lease_epoch) VALUES (%s, 1, 'raw_video', %s, %s, %s, %s, 'video/mp4', 1)",
            (video_id, settings.s3_bucket, f"test/{video_id}.mp4", len(BODY), sha256),
        )
    return video_id


def set_status(database: Database, job_id: str, status: str, outcome: str | None = None) -> None:
    with database.transaction() as connection:
        connection.execute(
            "UPDATE ingest_jobs SET status = %s, outcome = %s, finished_at = CASE WHEN %s = 'running' THEN NULL ELSE"
            " now() END WHERE job_id = %s",
            (status, outcome, status, job_id),
        )


# ---- submit --------------------------------------------------------------------------------------------------------


def test_a_local_file_is_uploaded_once_and_becomes_an_upload_reference(
    settings: Settings, clip: Path, s3: "S3Client"
) -> None:
    first, second = cli("submit", str(clip), "--json"), cli("submit", str(clip), "--json")
    assert (first.code, second.code) == (0, 0)
    key = f"sha256/{hashlib.sha256(BODY).hexdigest()}/my_clip.mp4"
    jobs = [each.json[0]["job"] for each in (first, second)]
    assert [job["upload_ref"] for job in jobs] == [f"s3://{settings.s3_upload_bucket}/{key}"] * 2
    assert jobs[0]["video_id"] == jobs[1]["video_id"] == f"upload-{hashlib.sha256(BODY).hexdigest()[:32]}"
    assert s3.get_object(Bucket=settings.s3_upload_bucket, Key=key)["Body"].read() == BODY
    assert first.err == ""


def test_submit_answers_a_known_video_at_once_and_prints_records_in_the_order_given(
    settings: Settings, database: Database, s3: "S3Client"
) -> None:
    known = cli("submit", "https://example.com/known.mp4", "--json").json[0]["job"]["video_id"]
    with database.transaction() as connection:
        connection.execute("UPDATE videos SET status = 'ready', generation = 1 WHERE video_id = %s", (known,))
    said = cli("submit", "https://example.com/new.mp4", "HTTPS://EXAMPLE.com/known.mp4", "file:///x.mp4", "--json")
    assert said.code == 0
    assert [set(record) for record in said.json] == [{"job", "video", "media_files", "metadata", "contacts"}] * 3
    jobs = [record["job"] for record in said.json]
    assert [(job["status"], job["outcome"], job["error_code"]) for job in jobs] == [
        ("queued", None, None),
        ("succeeded", "deduplicated", None),
        ("failed", None, "blocked_scheme"),
    ]
    assert said.json[2]["video"] is None
    assert said.json[2]["media_files"] == []
    assert jobs[0]["created_at"].endswith("Z")


def test_submit_says_that_the_job_waits_when_nothing_runs_it(settings: Settings) -> None:
    said = cli("submit", "https://example.com/a.mp4")
    assert said.code == 0
    assert "queued" in said.out
    assert "the job waits until `narralytica-ingest up` runs" in said.sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no/such/file.mp4"], "There is no file no/such/file.mp4"),
        (["."], "no regular file"),
        (["https://a.example/1", "https://a.example/2", "--idempotency-key", "k"], "one SOURCE"),
        (["https://a.example/1", "--priority", "99999999999"], "--priority"),
        (["https://a.example/1", "--sooner"], "No such option"),
        (["https://a.example/1", "--max-duration", "inf"], "less than or equal"),
        ([os.fsdecode(b"https://a.example/\xff")], "UTF-8"),
    ],
)
def test_wrong_usage_is_one_sentence_and_inserts_nothing(
    settings: Settings, database: Database, arguments: list[str], said: str
) -> None:
    answer = cli("submit", *arguments)
    assert answer.code == 2
    assert said in answer.sentence
    assert answer.out == ""
    assert database.all("SELECT FROM ingest_jobs") == []


def test_an_idempotency_key_finds_the_first_job_again(settings: Settings, database: Database, clip: Path) -> None:
    first = cli("submit", "https://example.com/a.mp4", "--idempotency-key", "k", "--json")
    again = cli("submit", str(clip), "--idempotency-key", "k", "--json")
    assert again.json[0]["job"]["job_id"] == first.json[0]["job"]["job_id"]
    assert "nothing new was submitted" in again.sentence
    assert len(database.all("SELECT FROM ingest_jobs")) == 1


@pytest.mark.parametrize(("status", "outcome", "code"), [("succeeded", "ingested", 0), ("canceled", None, 1)])
def test_wait_ends_with_the_job_and_tells_how_by_its_exit_code(
    settings: Settings, database: Database, status: str, outcome: str | None, code: int
) -> None:
    def end_it() -> None:
        while not (rows := database.all("SELECT job_id FROM ingest_jobs WHERE video_id IS NOT NULL")):
            time.sleep(0.05)
        time.sleep(1)
        set_status(database, rows[0]["job_id"], status, outcome)

    thread = threading.Thread(target=end_it)
    thread.start()
    said = cli("submit", "https://example.com/a.mp4", "--wait", "--json")
    thread.join()
    assert said.code == code
    assert said.json[0]["job"]["status"] == status
    assert "`up` is not running" in said.err
    assert f"example.com/a.mp4: {status}" in said.err


# ---- jobs, show ----------------------------------------------------------------------------------------------------


def test_a_fresh_home_has_no_jobs_and_says_so_in_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRALYTICA_HOME", str(tmp_path / "fresh"))
    assert cli("jobs", "--json") == Said(0, "[]\n", "")
    assert cli("jobs").sentence == "There are no jobs."


def test_jobs_lists_rows_newest_first_and_by_state(settings: Settings) -> None:
    for source in ("https://example.com/1", "https://example.com/2", "nonsense:"):
        cli("submit", source, "--json")
    listed = cli("jobs", "--json").json
    assert [job["source_url"] for job in listed] == ["nonsense:", "https://example.com/2", "https://example.com/1"]
    assert [job["source_url"] for job in cli("jobs", "--status", "failed", "--json").json] == ["nonsense:"]
    assert len(cli("jobs", "--limit", "2", "--json").json) == 2
    assert cli("jobs", "--status", "odd").code == 2


def test_show_explains_a_failure_and_obeys_no_control_characters(settings: Settings) -> None:
    job = cli("submit", "nonsense:\x1b[2J", "--title", "\x1b]0;owned\x07 [red]x[/red]", "--json").json[0]["job"]
    said = cli("show", job["job_id"])
    assert said.code == 0
    for expected in (
        "failed",
        "permanent / blocked_scheme",
        job["error_message"],
        f"retry {job['job_id']}",
        "\\x1b[2J",
        "[red]x[/red]",
    ):
        assert expected in said.out
    assert not set(said.out + cli("jobs").out) & {"\x1b", "\x07"}


def test_show_takes_a_video_too_and_knows_what_it_does_not_know(
    settings: Settings, database: Database, s3: "S3Client"
) -> None:
    video_id = add_ready_video(database, settings, s3)
    record = cli("show", video_id, "--json").json
    assert record["job"] is None
    assert record["video"]["status"] == "ready"
    assert [file["kind"] for file in record["media_files"]] == ["raw_video"]
    assert hashlib.sha256(BODY).hexdigest() in cli("show", video_id).out
    unknown = cli("show", "web-nothing")
    assert unknown.code == 2
    assert "no job or video web-nothing" in unknown.sentence


# ---- get -----------------------------------------------------------------------------------------------------------


def test_get_writes_the_whole_file_or_none(
    settings: Settings, database: Database, s3: "S3Client", tmp_path: Path
) -> None:
    good, bad = (
        add_ready_video(database, settings, s3),
        add_ready_video(database, settings, s3, b"bytes of another ..."),
    )
    target = tmp_path / "got.mp4"
    assert cli("get", good, "raw_video", "-o", str(target)).code == 0
    assert target.read_bytes() == BODY
    assert cli("get", good, "raw_video", "-o", "-").out.encode() == BODY
    said = cli("get", bad, "raw_video", "-o", str(tmp_path / "bad.mp4"))
    assert said.code == 2
    assert "SHA-256" in said.sentence
    assert not list(tmp_path.glob("bad*"))
    assert "stored: raw_video" in cli("get", good, "captions").sentence


# ---- cancel, retry -------------------------------------------------------------------------------------------------


def test_cancel_and_retry_say_what_really_happened(settings: Settings, database: Database) -> None:
    job_id = cli("submit", "https://example.com/a.mp4", "--json").json[0]["job"]["job_id"]
    assert "is queued" in cli("retry", job_id).sentence
    assert cli("cancel", job_id).out == f"Job {job_id} is canceled.\n"
    assert "canceled already" in cli("cancel", job_id).sentence
    assert "is queued again (it was canceled)" in cli("retry", job_id).out
    set_status(database, job_id, "running")
    assert "is running" in cli("cancel", job_id).out
    assert database.all("SELECT cancel_requested FROM ingest_jobs") == [{"cancel_requested": True}]
    missing = str(uuid4())
    assert [cli(name, missing).code for name in ("cancel", "retry")] == [2, 2]
    assert "no job id" in cli("cancel", "7").sentence


# ---- playlists -----------------------------------------------------------------------------------------------------


def add_playlist(database: Database, statuses: Sequence[str]) -> tuple[str, list[str]]:
    """A job that was expanded, with children in these states. Returns the parent and the children."""
    with database.transaction() as connection:
        parent = connection.execute(
            "INSERT INTO ingest_jobs (source_url, status, outcome, finished_at, playlist)"
            " VALUES ('https://example.com/list', 'succeeded', 'expanded', now(), %s) RETURNING job_id",
            (json.dumps({"title": "Talks", "videos": len(statuses), "more": True, "skipped": 0}),),
        ).fetchone()
        assert parent is not None
        children = [add_child(connection, parent["job_id"], number, each) for number, each in enumerate(statuses)]
    return str(parent["job_id"]), children


def add_child(connection: Connection, parent: object, number: int, status: str) -> str:
    row = connection.execute(
        "INSERT INTO ingest_jobs (parent_job_id, source_url, title, status, outcome, finished_at, error_class,"
        " error_code, error_message) VALUES (%(parent)s, %(url)s, %(title)s, %(status)s,"
        " CASE WHEN %(status)s = 'succeeded' THEN 'ingested' END,"
        " CASE WHEN %(status)s <> 'queued' THEN now() END, 'permanent', 'removed', 'The video was removed.')"
        " RETURNING job_id",
        {"parent": parent, "url": f"https://example.com/{number}", "title": f"Talk {number}", "status": status},
    ).fetchone()
    assert row is not None
    return str(row["job_id"])


def test_a_playlists_job_shows_how_its_children_fare_and_which_failed(settings: Settings, database: Database) -> None:
    parent, children = add_playlist(database, ["succeeded", "failed", "queued"])
    shown = cli("show", parent).out
    for expected in ("Talks", "3 videos; the limit leaves others out", "1 of 3 ready, 1 failed", "Talk 1: removed"):
        assert expected in shown
    assert children[1] in shown
    counts = cli("show", parent, "--json").json["children"]
    assert (counts["jobs"], counts["succeeded"], counts["failed"], counts["queued"]) == (3, 1, 1, 1)
    assert [each["job_id"] for each in counts["failures"]] == [children[1]]
    assert "expanded: 1 of 3 ready, 1 failed" in cli("jobs").out
    assert {each["job_id"] for each in cli("jobs", "--parent", parent, "--json").json} == set(children)
    assert "children" not in cli("show", children[0], "--json").json


def test_cancel_and_retry_of_a_playlist_reach_its_jobs_and_say_how_many(settings: Settings, database: Database) -> None:
    parent, children = add_playlist(database, ["succeeded", "failed", "queued", "queued"])
    assert "had 2 jobs to cancel. Now: 1 of 4 ready, 1 failed, 2 canceled." in cli("cancel", parent).out
    assert "nothing to cancel" in cli("cancel", parent).sentence
    assert "has 3 jobs queued again" in cli("retry", parent).out
    assert "--force lists the playlist again" in cli("retry", parent).sentence
    states = {str(row["job_id"]): row["status"] for row in database.all("SELECT job_id, status FROM ingest_jobs")}
    assert [states[each] for each in (parent, *children)] == ["succeeded", "succeeded", "queued", "queued", "queued"]
    assert "is queued again (it was succeeded)" in cli("retry", parent, "--force").out
    assert database.all("SELECT options FROM ingest_jobs WHERE parent_job_id IS NULL") == [{"options": {}}]


def test_cancel_reaches_the_jobs_of_a_playlist_that_was_expanded_at_that_moment(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, children = add_playlist(database, ["queued", "queued"])
    looks: list[dict[str, Any]] = [{"job": None}]  # as it was before
    monkeypatch.setattr(change, "find", lambda *job: looks.pop() if looks else look.find(*job))
    change.cancel(parent)
    rows = database.all("SELECT status FROM ingest_jobs WHERE job_id = ANY(%s::uuid[])", (children,))
    assert [row["status"] for row in rows] == ["canceled", "canceled"]


def test_bars_outlive_a_job_that_is_listed_no_more(settings: Settings, database: Database) -> None:
    parent, _ = add_playlist(database, ["queued", "queued"])
    rows = next(follow.watch(database.url, [UUID(parent)]))
    with progress_bars() as progress:
        bars = follow._Bars(progress)
        bars.show(rows)
        bars.show(rows[:1])
        assert len(progress.tasks) == 3


@pytest.mark.parametrize(("last", "code"), [("succeeded", 0), ("canceled", 1)])
def test_wait_follows_a_playlists_jobs_to_their_end(
    settings: Settings, database: Database, last: str, code: int
) -> None:
    def play() -> None:
        while not (rows := database.all("SELECT job_id FROM ingest_jobs WHERE video_id IS NOT NULL")):
            time.sleep(0.05)
        parent = str(rows[0]["job_id"])
        with database.transaction() as connection:
            connection.execute('UPDATE ingest_jobs SET playlist = \'{"title": "T", "videos": 2, "more": false}\'')
            connection.execute("UPDATE ingest_jobs SET playlist = playlist || '{\"skipped\": 0}'")
            connection.execute("UPDATE ingest_jobs SET status = 'succeeded', outcome = 'expanded', finished_at = now()")
            children = [add_child(connection, parent, number, "queued") for number in range(2)]
        time.sleep(1)
        for child, status in zip(children, ("succeeded", last), strict=True):
            set_status(database, child, status, "ingested" if status == "succeeded" else None)

    thread = threading.Thread(target=play)
    thread.start()
    said = cli("submit", "https://example.com/list", "--wait")
    thread.join()
    assert said.code == code
    assert "example.com/list: succeeded (expanded): 0 of 2 ready" in said.err
    assert f"example.com/1: {last}" in said.err
    assert "2 videos" in said.out


def test_submit_hands_its_wishes_to_the_job(settings: Settings, database: Database) -> None:
    wishes = (
        "--max-height",
        "720",
        "--format",
        "best",
        "--max-duration",
        "60",
        "--max-bytes",
        "9",
        "--playlist-limit",
        "5",
    )
    job = cli("submit", "https://example.com/a.mp4", *wishes, "--json").json[0]["job"]
    assert job["options"] == {
        "max_height": 720,
        "format": "best",
        "max_duration_seconds": 60.0,
        "max_bytes": 9,
        "playlist_limit": 5,
    }
    assert job["status"] == "queued"
    assert cli("submit", "https://example.com/a.mp4", "--playlist-limit", "0").code == 2


# ---- services ------------------------------------------------------------------------------------------------------


def test_reading_never_migrates_a_given_postgres_and_submitting_does(
    settings: Settings, services: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(services.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE empty_one")
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", f"{services.postgres_url.rsplit('/', 1)[0]}/empty_one")
    said = cli("jobs")
    assert said.code == 2
    assert "run `narralytica-ingest migrate`" in said.sentence
    assert cli("doctor").code == 1
    assert cli("submit", "https://example.com/a.mp4", "--json").code == 0
    assert len(cli("jobs", "--json").json) == 1
    assert "already: nothing to do" in cli("migrate").out


def test_a_service_that_is_away_or_a_wrong_setting_is_one_sentence(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_WORKERS", "none")
    assert "NARRALYTICA_WORKERS" in cli("jobs").sentence
    monkeypatch.delenv("NARRALYTICA_WORKERS")
    monkeypatch.setenv("NARRALYTICA_HOST_RULES", "youtube.com: 1")
    assert "NARRALYTICA_HOST_RULES: this is no valid JSON" in cli("jobs").sentence
    monkeypatch.setenv("NARRALYTICA_HOST_RULES", '{"youtube.com": {"concurrency": 0}}')
    assert "NARRALYTICA_HOST_RULES (youtube.com, concurrency): Input should be" in cli("jobs").sentence
    monkeypatch.delenv("NARRALYTICA_HOST_RULES")
    monkeypatch.setenv("NARRALYTICA_POSTGRES_URL", "postgresql://127.0.0.1:9/nothing")
    said = cli("jobs")
    assert said.code == 2
    assert "Postgres cannot be reached" in said.sentence


def test_doctor_tries_every_part_and_says_how_to_mend_a_bad_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = cli("doctor", "--json")
    assert good.code == 0, good.out
    names = [check["name"] for check in good.json["checks"]]
    machine = ["Postgres", "S3", "broker", "ffmpeg", "ffprobe", "sandbox", "yt-dlp"]
    assert names == [*machine, "egress", "deno", "cookies", "proxy", "PO tokens", "impersonate", "disk", "claims", "up"]
    monkeypatch.setenv("NARRALYTICA_S3_BUCKET", "no-such-bucket")
    monkeypatch.setenv("NARRALYTICA_FFMPEG", "/no/such/ffmpeg")
    bad = cli("doctor", "--json")
    assert bad.code == 1
    mends = {check["name"]: check["mend"] for check in bad.json["checks"] if not check["ok"]}
    assert "NARRALYTICA_S3_BUCKET" in mends["S3"]
    assert "NARRALYTICA_FFMPEG" in mends["ffmpeg"]


def test_env_is_understood_by_a_shell(settings: Settings) -> None:
    said = cli("env")
    shell = subprocess.run(
        ["sh", "-c", f'{said.out}\nprintf %s "$DATABASE_URL"'], capture_output=True, text=True, check=True
    )
    assert settings.postgres_url is not None
    assert shell.stdout == settings.postgres_url.get_secret_value()
    assert set(cli("env", "--json").json) >= {"DATABASE_URL", "AWS_ENDPOINT_URL", "BROKER_URL", "DAGSTER_HOME"}


def test_wrong_usage_of_up_is_found_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRALYTICA_HOME", str(tmp_path / "unused"))
    assert "--submit SOURCE" in cli("up", "--exit-when-done").sentence
    assert "no file missing.mp4" in cli("up", "--submit", "missing.mp4").sentence
    assert not (tmp_path / "unused").exists()


def test_ctrl_c_ends_the_waiting_quietly_and_the_job_stays(settings: Settings, database: Database) -> None:
    with subprocess.Popen(
        command(["submit", "https://example.com/a.mp4", "--wait"]), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.readline()  # it follows now
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert [row["status"] for row in database.all("SELECT status FROM ingest_jobs")] == ["queued"]


def test_light_commands_import_no_heavy_library() -> None:
    heavy = ("dagster", "sqlalchemy", "alembic", "pandas", "yt_dlp", "boto3", "celery")
    program = f"import sys, narralytica_ingest.cli.main; print([each for each in {heavy} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
