"""`verify`: what does not agree is found, and nothing else; what it mends is whole again when its jobs have run."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from narralytica_ingest.cli import verify as command
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.object_store import audit, media
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.object_store.media import ObjectRef, Stat
from narralytica_ingest.recovery import partitions, verify
from narralytica_ingest.recovery.verify import Problem, Verification
from narralytica_ingest.store import leases, objects
from narralytica_ingest.store.database import Row
from narralytica_ingest_tests.in_process import BODY, Cli, Installation, command_line, make_ready
from narralytica_ingest_tests.job_table import commit_all, job, start, submit
from narralytica_ingest_tests.source_server import SourceServer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(capsys) as run:
        yield run


def ready(place: Installation, name: str = "v", body: bytes = BODY) -> str:
    """A ready video with an original and an audio track, fetched with a wish."""
    video_id = make_ready(place.database, place.s3, place.settings.s3_bucket, name, body)
    place.database.all("UPDATE videos SET options = '{\"max_height\": 480}' RETURNING 1")
    return video_id


def look(place: Installation, *video_ids: str, deep: bool = False, mends: bool = False) -> list[Problem]:
    return list(looking(place, *video_ids, deep=deep, mends=mends).problems())


def looking(place: Installation, *video_ids: str, deep: bool = False, mends: bool = False) -> Verification:
    chosen = list(video_ids) or None
    return Verification(place.database, place.s3, place.settings.s3_bucket, chosen, deep=deep, mend=mends)


# ---- what happens to objects -----------------------------------------------------------------------------------------


def lose(place: Installation, row: Row) -> None:
    place.s3.delete_object(Bucket=row["bucket"], Key=row["object_key"])


def rewrite(place: Installation, row: Row, change: Callable[[bytes], bytes], mark: str | None = None) -> None:
    body = place.s3.get_object(Bucket=row["bucket"], Key=row["object_key"])["Body"].read()
    marked = {"sha256": row["sha256"] if mark is None else mark}
    place.s3.put_object(
        Bucket=row["bucket"], Key=row["object_key"], Body=change(body), Metadata=marked if mark != "" else {}
    )


def truncate(place: Installation, row: Row) -> None:
    rewrite(place, row, lambda body: body[:-1])


def flip(place: Installation, row: Row) -> None:
    rewrite(place, row, lambda body: bytes([body[0] ^ 1]) + body[1:])


HARM = {"lost": lose, "truncated": truncate, "flipped": flip}


def body_of(place: Installation, row: Row) -> bytes:
    return place.s3.get_object(Bucket=row["bucket"], Key=row["object_key"])["Body"].read()


# ---- found, mended, and whole again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        ("lost", "audio_track"),
        ("truncated", "audio_track"),
        ("flipped", "raw_video"),
        ("lost", "source_info"),
    ],
)
def test_what_happened_to_an_object_is_found_and_mended_by_the_job_that_is_queued(
    place: Installation, server: SourceServer, kind: str, harm: str
) -> None:
    video = place.ingest(server.add("/clip.mp4"))
    before = {name: row["sha256"] for name, row in place.files(video["video_id"]).items()}
    assert look(place, deep=True) == []
    lost = place.files(video["video_id"])[kind]
    HARM[harm](place, lost)
    fetched = server.requests["/clip.mp4"]

    assert harm != "flipped" or look(place) == [], "only reading it shows that a byte is wrong"
    (found,) = look(place, deep=True)
    assert (found.video_id, str(found.kind).split()[0], found.done) == (video["video_id"], kind, None)
    assert found.object == f"s3://{lost['bucket']}/{lost['object_key']}"

    (mended,) = look(place, deep=True, mends=True)
    assert "is queued" in str(mended.done)
    assert lost["object_key"] not in place.objects(), "nobody is served corrupt bytes"
    jobs = place.work()
    assert [(each["status"], each["outcome"]) for each in jobs] == [("succeeded", "ingested")]
    assert look(place, deep=True) == []
    assert look(place) == []
    again = place.files(video["video_id"])
    assert again[kind]["sha256"] == before[kind] if kind != "source_info" else again.keys() == before.keys()
    assert (server.requests["/clip.mp4"] > fetched) is (kind != "audio_track"), "sound needs no source"
    generation = place.database.all("SELECT status, generation FROM videos")
    assert generation == [{"status": "ready", "generation": 1 if kind == "audio_track" else 2}]


def test_a_video_without_its_sound_is_not_served_and_one_without_another_file_is(place: Installation) -> None:
    served = "SELECT DISTINCT video_id FROM ready_media_files"
    heard, seen = ready(place, "heard", b"heard"), ready(place, "seen", b"seen")
    lose(place, place.files(heard)["audio_track"])
    lose(place, place.files(seen)["raw_video"])
    assert len(look(place, mends=True)) == 2
    assert place.database.all(served) == [{"video_id": seen}]
    wishes = "SELECT video_id, options FROM ingest_jobs WHERE status = 'queued' ORDER BY video_id"
    assert place.database.all(wishes) == [
        {"video_id": heard, "options": {"max_height": 480}},
        {"video_id": seen, "options": {"max_height": 480, "force": True}},
    ]


def test_mending_twice_makes_one_job_and_a_video_that_lost_everything_needs_one(
    place: Installation, server: SourceServer
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    for row in place.files(video_id).values():
        lose(place, row)
    assert len(look(place, mends=True)) == 3
    assert all("job" in str(each.done) or "next attempt" in str(each.done) for each in look(place, mends=True))
    waiting = place.database.all("SELECT job_id, idempotency_key FROM ingest_jobs WHERE status = 'queued'")
    assert len(waiting) == 1
    assert waiting[0]["idempotency_key"].startswith("mend:")
    place.work()
    assert look(place, deep=True) == []
    assert look(place, mends=True) == []
    assert len(place.database.all("SELECT FROM ingest_jobs")) == 2


def test_an_object_that_two_videos_share_is_looked_at_once_and_both_are_mended(
    place: Installation, server: SourceServer
) -> None:
    ids = {place.ingest(server.add(path))["video_id"] for path in ("/one.mp4", "/two.mp4")}
    files = [place.files(video_id) for video_id in sorted(ids)]
    assert files[0]["raw_video"]["object_key"] == files[1]["raw_video"]["object_key"]
    flip(place, files[0]["raw_video"])
    work = looking(place, deep=True, mends=True)
    found = list(work.problems())
    assert {each.video_id for each in found} == ids
    assert len(found) == 2
    assert work.tallies[verify.STORED_OBJECTS].looked_at == len(place.objects()) + 1, "the corrupt one is gone by now"
    assert [each["status"] for each in place.work()] == ["succeeded"] * 2
    assert look(place, deep=True) == []


@pytest.mark.parametrize("mark", ["", "0" * 64], ids=["missing", "wrong"])
@pytest.mark.parametrize("flipped", [False, True])
def test_an_object_without_our_checksum_beside_it_keeps_its_bytes_if_they_are_right(
    place: Installation, mark: str, flipped: bool
) -> None:
    video_id = ready(place)
    row = place.files(video_id)["raw_video"]
    rewrite(place, row, lambda body: bytes([body[0] ^ flipped]) + body[1:], mark)
    (found,) = look(place, mends=True)
    if flipped:
        assert "the corrupt object is removed" in str(found.done)
    else:
        assert "its bytes are right" in str(found.done)
        assert hashlib.sha256(body_of(place, row)).hexdigest() == row["sha256"]
        head = place.s3.head_object(Bucket=row["bucket"], Key=row["object_key"])
        assert (head["Metadata"]["sha256"], head["ContentType"]) == (row["sha256"], row["content_type"])
        assert look(place, deep=True) == []
        assert place.database.all("SELECT FROM ingest_jobs WHERE status = 'queued'") == []


def test_captions_of_two_kinds_are_told_apart(place: Installation) -> None:
    video_id = ready(place)
    place.database.all(
        "INSERT INTO media_files (video_id, generation, kind, language, origin, bucket, object_key, size_bytes, sha256,"
        " content_type, lease_epoch) VALUES (%s, 1, 'captions', 'en', 'automatic', %s, 'media/aa/lost.vtt', 5, %s,"
        " 'text/vtt', 1) RETURNING 1",
        (video_id, place.settings.s3_bucket, "a" * 64),
    )
    (found,) = look(place, mends=True)
    assert found.kind == "captions (en, automatic)"
    assert "fetches the video anew" in str(found.done)


def test_what_nobody_is_served_is_forgotten_and_made_by_the_next_attempt(
    place: Installation, server: SourceServer
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    place.database.all("UPDATE videos SET status = 'failed', generation = 0 RETURNING 1")
    place.database.all("UPDATE ingest_jobs SET status = 'canceled', outcome = NULL RETURNING 1")
    lose(place, place.files(video_id)["source_info"])
    (found,) = look(place, mends=True)
    assert found.done == "the video's next attempt makes it anew"
    assert set(place.files(video_id)) == {"audio_track"}
    assert place.database.all("SELECT FROM ingest_jobs WHERE status = 'queued'") == []
    assert look(place) == []
    assert place.ingest(server.url("/clip.mp4"))["status"] == "ready"
    assert look(place, deep=True) == []


# ---- left alone ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["at work", "being stored", "changed meanwhile"])
def test_what_somebody_is_at_work_on_is_left_alone_and_that_is_said(
    place: Installation, busy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = ready(place)
    row = place.files(video_id)["raw_video"]
    truncate(place, row)
    if busy == "changed meanwhile":
        monkeypatch.setattr(audit, "examine", lambda *_, **__: replace(found(), etag="of-yesterday"))
    else:
        with place.database.transaction() as connection:
            lease = leases.take(connection, "run-other", [video_id], 60)[video_id]
            if busy == "being stored":
                objects.begin_publications(connection, lease, row["bucket"], [row["object_key"]])
                connection.execute("UPDATE videos SET lease_run_id = NULL, lease_expires_at = NULL")
    problems = look(place, mends=True)
    assert all("left alone" in str(each.done) for each in problems)
    assert problems
    assert row["object_key"] in place.objects()
    assert place.database.all("SELECT FROM ingest_jobs WHERE status = 'queued'") == []
    assert place.files(video_id)["raw_video"] == row


def found() -> audit.Finding:
    return audit.Finding(audit.Fault.WRONG_SIZE, "has 1 bytes instead of 2")


def test_an_object_that_is_dropped_while_it_is_looked_at_is_no_problem(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(place)
    really = audit.examine

    def meanwhile(client: "S3Client", wanted: audit.Wanted, *, deep: bool) -> audit.Finding | None:
        place.database.all("DELETE FROM media_files WHERE object_key = %s RETURNING 1", (wanted.ref.key,))
        client.delete_object(Bucket=wanted.ref.bucket, Key=wanted.ref.key)
        return really(client, wanted, deep=deep)

    monkeypatch.setattr(audit, "examine", meanwhile)
    work = looking(place)
    assert [each.check for each in work.problems()] == ["ready videos"]
    assert work.tallies[verify.STORED_OBJECTS].looked_at == 2


def test_an_object_that_cannot_be_read_is_told_apart_from_a_store_that_is_away_and_never_removed(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = ready(place)
    bad = place.files(video_id)["raw_video"]["object_key"]

    def stat(client: "S3Client", ref: ObjectRef) -> Stat:
        if ref.key == bad:
            raise failure("object_store_away", "500")
        return media.stat(client, ref)

    monkeypatch.setattr(audit, "stat", stat)
    (problem,) = look(place, mends=True)
    assert "cannot be read" in problem.wrong
    assert "left alone" in str(problem.done)
    assert bad in place.objects()


def test_a_mender_that_dies_before_it_has_removed_a_corrupt_object_leaves_the_tables_as_they_were(
    place: Installation, server: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    row = place.files(video_id)["audio_track"]
    truncate(place, row)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(audit, "remove", dies)
        look(place, mends=True)
    assert place.files(video_id)["audio_track"] == row
    with place.database.transaction() as connection:
        assert objects.being_removed(connection, row["bucket"], [row["object_key"]]), "its request may be on its way"
    assert len(look(place, mends=True)) == 1
    assert [each["status"] for each in place.work()] == ["succeeded"]
    assert look(place, deep=True) == []


# ---- the tables ------------------------------------------------------------------------------------------------------


def test_a_ready_video_that_is_not_whole_is_found_and_gets_what_is_missing(
    place: Installation, server: SourceServer
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    place.database.all("DELETE FROM video_metadata RETURNING 1")
    place.database.all("DELETE FROM media_files WHERE kind = 'audio_track' RETURNING 1")
    (problem,) = look(place, mends=True)
    assert (problem.check, problem.video_id, problem.wrong) == (
        "ready videos",
        video_id,
        "has no audio_track, metadata",
    )
    assert look(place) == [], "it counts as ready no more"
    fetched = server.requests["/clip.mp4"]
    assert [each["status"] for each in place.work()] == ["succeeded"]
    assert server.requests["/clip.mp4"] == fetched
    assert place.database.all("SELECT status FROM videos") == [{"status": "ready"}]


def test_what_the_tables_say_of_jobs_and_leases_is_compared(place: Installation) -> None:
    database = place.database
    with database.transaction() as connection:
        silent, done = submit(connection, "silent", priority=1), submit(connection, "done")
        start(connection, "run-silent")
        _, lease = start(connection, "run-done", window=2)
        commit_all(connection, lease)
        connection.execute("DELETE FROM media_files")
        leases.release(connection, [lease])
    assert {each.check for each in look(place)} == {"ready videos"}
    with database.transaction() as connection:
        connection.execute("UPDATE videos SET status = 'pending' WHERE video_id = 'web-done'")
        connection.execute("UPDATE ingest_jobs SET heartbeat_at = now() - interval '1 hour' WHERE status = 'running'")
        connection.execute("UPDATE videos SET lease_expires_at = now() - interval '1 hour' WHERE lease_run_id <> ''")
    problems = {each.check: each for each in look(place)}
    assert problems.keys() == {"running jobs", "succeeded jobs", "leases"}
    assert problems["running jobs"].job_id == silent
    assert (problems["succeeded jobs"].job_id, problems["succeeded jobs"].video_id) == (done, "web-done")
    assert problems["leases"].video_id == "web-silent"
    assert {each.check for each in look(place, "web-done")} == {"succeeded jobs"}
    with database.transaction() as connection:
        connection.execute("DELETE FROM videos WHERE video_id = 'web-done'")
        assert job(connection, done)["status"] == "succeeded"
    assert "succeeded jobs" not in {each.check for each in look(place)}, "the job of a deleted video is history"


def test_partitions_without_a_video_are_found(place: Installation) -> None:
    with place.database.transaction() as connection:
        submit(connection)
    with partitions._instance(place.endpoints) as instance:
        instance.add_dynamic_partitions(partitions.PARTITIONS, ["web-v", "web-gone"])
    work = looking(place)
    assert [(each.check, each.video_id) for each in work.problems()] == [("partitions", "web-gone")]
    assert work.tallies["partitions"].looked_at == 2


def test_objects_that_no_table_knows_are_counted_and_no_problem(place: Installation) -> None:
    ready(place)
    place.s3.put_object(Bucket=place.settings.s3_bucket, Key="media/aa/stray.mp4", Body=b"12345")
    place.s3.put_object(Bucket=place.settings.s3_bucket, Key="elsewhere", Body=b"not ours")
    work = looking(place)
    assert list(work.problems()) == []
    tally = work.tallies[verify.BUCKET]
    assert (tally.looked_at, tally.unknown, tally.unknown_bytes) == (3, 1, 5)


def test_pages_follow_each_other_without_a_gap(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "PAGE", 2)
    ids = [ready(place, name, name.encode()) for name in ("a", "b", "c")]
    seen = []
    work = looking(place)
    work.on_progress = lambda now: seen.append((now.objects, now.total_objects))
    assert list(work.problems()) == []
    total = len(place.objects())
    assert seen == [(number, total) for number in range(1, total + 1)]
    one = looking(place, ids[0])
    assert list(one.problems()) == []
    assert one.tallies[verify.STORED_OBJECTS].looked_at == 2


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_tells_problems_one_by_one_and_ends_with_1_and_with_0_when_all_agrees(
    place: Installation, server: SourceServer, cli: Cli
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    fine = cli("verify", "--deep")
    assert (fine.code, fine.err) == (0, "")
    assert "All agrees" in fine.out
    row = place.files(video_id)["audio_track"]
    lose(place, row)
    said = cli("verify", video_id)
    assert said.code == 1
    (line,) = [line for line in said.out.splitlines() if line.startswith("BAD")]
    assert all(word in line for word in (video_id, "audio_track", row["object_key"], "is not in the bucket", "--mend"))
    document = json.loads(cli("verify", "--json").out)
    assert not document["ok"]
    assert [problem["object"] for problem in document["problems"]] == [f"s3://{row['bucket']}/{row['object_key']}"]
    assert document["checks"]["stored objects"] == {"looked_at": 3, "problems": 1, "unknown": 0, "unknown_bytes": 0}
    assert cli("verify", "--mend").code == 1
    place.work()
    assert json.loads(cli("verify", "--json").out)["ok"]


def test_many_problems_are_counted_and_json_has_them_all(
    place: Installation, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "TOLD", 1)
    video_id = ready(place)
    for row in place.files(video_id).values():
        lose(place, row)
    said = cli("verify")
    assert said.out.count("BAD") == 1
    assert "1 more" in said.out
    assert len(json.loads(cli("verify", "--json").out)["problems"]) == 2


@pytest.mark.parametrize("trouble", ["away", "bucket"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_store_that_does_not_answer_or_a_bucket_that_is_gone_is_one_sentence_and_no_list_of_lost_objects(
    place: Installation,
    cli: Cli,
    trouble: str,
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready(place)
    if trouble == "away":
        monkeypatch.setenv("NARRALYTICA_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    else:
        place.database.all("UPDATE media_files SET bucket = 'no-such-bucket' RETURNING 1")
    said = cli("verify", *(["--json"] if as_json else []))
    assert said.code == 2
    assert "BAD" not in said.out
    if as_json:
        document = json.loads(said.out)
        assert (document["problems"], document["complete"], document["ok"]) == ([], False, False)
    assert len(said.err.splitlines()) == 1
    assert ("cannot be reached" if trouble == "away" else "There is no bucket no-such-bucket") in said.err


def test_a_store_that_goes_away_half_way_ends_the_look(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(place)
    away = make_client(replace(place.endpoints.s3, url="http://127.0.0.1:9"), seconds=1, attempts=1)
    monkeypatch.setattr(audit, "examine", lambda _, wanted, *, deep: audit._examine(away, wanted, deep))
    with pytest.raises(IngestError, match="object_store_away"):
        look(place)


def test_a_video_that_is_not_known_is_refused(place: Installation, cli: Cli) -> None:
    said = cli("verify", "web-none")
    assert (said.code, said.out) == (2, "")
    assert "There is no video web-none" in said.err
