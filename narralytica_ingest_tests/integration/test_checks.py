"""Asset checks: they run in every ingest and again when asked, and say what tables and bucket say."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import dagster as dg
import pytest

from narralytica_ingest.assets.checks import CHECKS, checks
from narralytica_ingest.definitions import defs
from narralytica_ingest.partitions import videos
from narralytica_ingest.resources.media_store import MediaStore
from narralytica_ingest.store.database import as_jsonb
from narralytica_ingest_tests.in_process import Installation, make_ready
from narralytica_ingest_tests.source_server import SourceServer

PASS, WARN, ERROR = "pass", "warn", "error"
ALL = {(asset, check.name) for asset, of_asset in CHECKS.items() for check in of_asset}
STORED = {"raw_video": "stored", "audio_track": "stored"}

Said = dict[tuple[str, str], tuple[str, str]]


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


def check(place: Installation, video_id: str) -> Said:
    """Checks one partition again, as the job of that name does."""
    place.instance.add_dynamic_partitions(str(videos.name), [video_id])
    again = defs.resolve_job_def("check")
    done = again.execute_in_process(partition_key=video_id, instance=place.instance)
    found = [each for each in evaluations(place, done.run_id) if each.partition == video_id]
    assert len(found) == len(ALL)
    return said(found)


def check_as_a_step(place: Installation, video_id: str) -> bool:
    """Executes the checks as an ingest does, but alone; whether their run succeeds."""
    place.instance.add_dynamic_partitions(str(videos.name), [video_id])
    keys = {key for each in checks for key in each.check_keys}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=set(), asset_check_selection=keys)
    return job.execute_in_process(partition_key=video_id, instance=place.instance, raise_on_error=False).success


def said(found: Sequence[dg.AssetCheckEvaluation]) -> Said:
    return {
        (each.asset_key.path[-1], each.check_name): (
            PASS if each.passed else WARN if each.severity is dg.AssetCheckSeverity.WARN else ERROR,
            each.description or "",
        )
        for each in found
    }


def recorded(place: Installation, video_id: str) -> Said:
    """What the checks said last of a partition, by Dagster's event log."""
    return said([each for each in evaluations(place) if each.partition == video_id])


def evaluations(place: Installation, *run_ids: str) -> list[dg.AssetCheckEvaluation]:
    """All that were recorded by these runs, or by any, the oldest first."""
    logs = [
        entry
        for run_id in run_ids or [run.run_id for run in reversed(place.instance.get_runs())]
        for entry in place.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    ]
    events = [entry.dagster_event for entry in logs]
    found: list[Any] = [event.event_specific_data for event in events if event is not None]
    return found


def outcomes(found: Said) -> dict[tuple[str, str], str]:
    return {name: outcome for name, (outcome, _) in found.items()}


def set_facts(place: Installation, video_id: str, kind: str, facts: dict[str, Any] | None) -> None:
    with place.database.transaction() as connection:
        connection.execute(
            "UPDATE media_files SET facts = %s WHERE video_id = %s AND kind = %s",
            (None if facts is None else as_jsonb(facts), video_id, kind),
        )


def test_an_ingest_runs_every_check_and_records_its_partition(place: Installation, server: SourceServer) -> None:
    server.add("/clip.mp4")
    video_id = place.ingest(server.add_page("/page.html", "/clip.mp4"))["video_id"]
    assert outcomes(recorded(place, video_id)) == dict.fromkeys(ALL, PASS)
    assert outcomes(check(place, video_id)) == dict.fromkeys(ALL, PASS)


@pytest.mark.parametrize("kind", ["raw_video", "audio_track", "source_info"])
def test_a_lost_object_is_an_error_of_its_own_asset(place: Installation, server: SourceServer, kind: str) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    lost = place.files(video_id)[kind]
    place.s3.delete_object(Bucket=lost["bucket"], Key=lost["object_key"])
    found = check(place, video_id)
    asset = "audio_track" if kind == "audio_track" else "raw_video"
    outcome, words = found.pop((asset, "stored"))
    assert outcome == ERROR
    assert words.startswith(f"{kind} is not in the bucket")
    assert set(outcomes(found).values()) == {PASS}
    assert not check_as_a_step(place, video_id), "a blocking check fails its run"


def test_an_object_with_another_checksum_is_an_error(place: Installation) -> None:
    video_id = make_ready(place.database, place.s3, place.settings.s3_bucket)
    file = place.files(video_id)["raw_video"]
    body = place.s3.get_object(Bucket=file["bucket"], Key=file["object_key"])["Body"].read()
    place.s3.put_object(Bucket=file["bucket"], Key=file["object_key"], Body=body, Metadata={"sha256": "0" * 64})
    outcome, words = check(place, video_id)["raw_video", "stored"]
    assert (outcome, "wrong SHA-256" in words) == (ERROR, True)


def test_nothing_is_made_of_an_original_that_was_lost_at_once_and_the_next_attempt_mends_it(
    place: Installation, server: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.submit(server.add("/clip.mp4"))
    with monkeypatch.context() as patched:
        patched.setattr(MediaStore, "faults", lambda _self, files: {file.object_key: "is gone" for file in files})
        (job,) = place.work()
    assert (job["status"], job["error_code"]) == ("queued", "run_ended_early")
    assert set(place.files(job["video_id"])) == {"raw_video", "source_info"}
    assert recorded(place, job["video_id"])["raw_video", "stored"][0] == ERROR
    assert go_on(place, job_id) == "succeeded"
    assert outcomes(recorded(place, job["video_id"])) == dict.fromkeys(ALL, PASS)


def go_on(place: Installation, job_id: UUID) -> str:
    """The job's state after its next attempt, which need not wait for its time."""
    place.database.all("UPDATE ingest_jobs SET not_before = NULL RETURNING 1")
    place.work()
    return str(place.job(job_id)["status"])


def test_a_run_that_has_nothing_to_do_checks_nothing_and_succeeds(place: Installation, server: SourceServer) -> None:
    place.submit(server.add("/clip.mp4"))
    (claimed,) = place.claim()
    assert place.run(claimed)
    assert len(evaluations(place)) == len(ALL)
    assert place.run(claimed), "its job was answered by the run before"
    assert len(evaluations(place)) == len(ALL)


@pytest.mark.parametrize(
    ("kind", "code", "asset", "name"),
    [
        ("raw_video", "gaps", "raw_video", "whole"),
        ("raw_video", "damaged_media", "raw_video", "whole"),
        ("raw_video", "duration_differs", "audio_track", "matches_video"),
        ("audio_track", "duration_differs", "audio_track", "matches_video"),
        ("audio_track", "silent_track", "audio_track", "audible"),
        ("audio_track", "clipped", "audio_track", "audible"),
    ],
)
def test_what_was_noticed_when_the_file_was_made_is_a_warning_in_the_same_words(
    place: Installation, kind: str, code: str, asset: str, name: str
) -> None:
    video_id = make_ready(place.database, place.s3, place.settings.s3_bucket)
    for each in ("raw_video", "audio_track"):
        set_facts(place, video_id, each, {"findings": []})
    fine = check(place, video_id)
    set_facts(place, video_id, kind, {"findings": [{"code": code, "message": "A sentence."}]})
    assert check(place, video_id) == fine | {(asset, name): (WARN, "A sentence.")}


def test_what_was_never_measured_is_not_passed_off_as_fine(place: Installation) -> None:
    video_id = make_ready(place.database, place.s3, place.settings.s3_bucket)
    found = check(place, video_id)
    for name in (("raw_video", "whole"), ("audio_track", "matches_video"), ("audio_track", "audible")):
        outcome, words = found[name]
        assert (outcome, words.split(":")[0]) == (WARN, "Not measured")


def test_a_row_without_what_any_video_has_is_a_warning_and_no_row_an_error(
    place: Installation, server: SourceServer
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    place.database.all("UPDATE video_metadata SET title = NULL, measured_container = NULL RETURNING 1")
    outcome, words = check(place, video_id)["video_metadata", "complete"]
    assert (outcome, words.split(". ")[0]) == (WARN, "Unknown: title, measured_container")
    place.database.all("DELETE FROM video_metadata RETURNING 1")
    assert check(place, video_id)["video_metadata", "complete"][0] == ERROR


def test_a_video_that_was_never_ingested_passes_nothing(place: Installation) -> None:
    found = check(place, "web-unknown")
    assert outcomes(found) == dict.fromkeys(ALL, ERROR)


def test_a_store_that_is_away_is_a_warning_and_no_verdict_on_the_video(
    place: Installation, server: SourceServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    video_id = place.ingest(server.add("/clip.mp4"))["video_id"]
    monkeypatch.setenv("NARRALYTICA_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    found = check(place, video_id)
    for asset, name in STORED.items():
        outcome, words = found[asset, name]
        assert (outcome, words.split(":")[0]) == (WARN, "It could not be checked")
    assert check_as_a_step(place, video_id)
    assert found["video_metadata", "complete"][0] == PASS


def test_a_range_is_checked_at_once_when_asked_and_its_backfill_is_left_to_its_own_verdict(
    place: Installation, server: SourceServer
) -> None:
    ids = sorted(place.ingest(server.add(f"/{name}.mp4"))["video_id"] for name in ("one", "two"))
    complete = {key for each in checks for key in each.check_keys if key.name == "complete"}
    whole = defs.resolve_implicit_global_asset_job_def()
    backfill = whole.get_subset(asset_selection={dg.AssetKey("video_metadata")}, asset_check_selection=complete)
    check_alone = whole.get_subset(asset_selection=set(), asset_check_selection=complete)
    first, last = place.instance.get_dynamic_partitions(str(videos.name))
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}

    done = backfill.execute_in_process(instance=place.instance, tags=tags)
    assert said(done.get_asset_check_evaluations()) == {}

    done = check_alone.execute_in_process(instance=place.instance, tags=tags)
    name = ("video_metadata", "complete")
    assert said(done.get_asset_check_evaluations()) == {name: (PASS, "2 of 2 videos pass.")}
    place.database.all("UPDATE video_metadata SET title = NULL WHERE video_id = %s RETURNING 1", (ids[0],))
    done = check_alone.execute_in_process(instance=place.instance, tags=tags)
    (found,) = done.get_asset_check_evaluations()
    assert said([found]) == {name: (WARN, "1 of 2 videos pass.")}
    assert ids[0] in str(found.metadata["failed"])


def test_without_a_partition_it_is_said_how_to_choose_one(place: Installation) -> None:
    keys = {key for each in checks for key in each.check_keys}
    execute_all = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=set(), asset_check_selection=keys
    )
    with pytest.raises(dg.Failure, match="launch the job `check`"):
        execute_all.execute_in_process(instance=place.instance)
    assert evaluations(place) == []
