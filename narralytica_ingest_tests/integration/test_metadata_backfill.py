"""A range of partitions in one run: from what is stored, in batches, and truthful about each video by itself."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pytest

from narralytica_ingest.assets import video_metadata as asset
from narralytica_ingest.config import Settings
from narralytica_ingest.definitions import defs
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.partitions import videos
from narralytica_ingest.store import leases
from narralytica_ingest_tests.in_process import Installation, own_bucket
from narralytica_ingest_tests.stored_videos import READ_AT, source_info, store

ASSET = dg.AssetKey("video_metadata")
COUNT = 12


@pytest.fixture
def place(settings: Settings, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """A bucket of our own, a batch of five, and no network but that of our own servers."""
    bucket = own_bucket(make_client(endpoints.s3), monkeypatch)
    monkeypatch.setattr(asset, "BATCH", 5)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Installation(settings.model_copy(update={"s3_bucket": bucket}), endpoints, instance)


@pytest.fixture
def ids(place: Installation) -> list[str]:
    """Videos whose originals and source infos are stored."""
    made = store(place.database, place.s3, place.settings.s3_bucket, range(COUNT))
    place.instance.add_dynamic_partitions(str(videos.name), made)
    return made


def backfill(place: Installation, ids: Sequence[str]) -> dg.ExecuteInProcessResult:
    """One run of the range, as a backfill in the UI makes it."""
    ends = {"dagster/asset_partition_range_start": ids[0], "dagster/asset_partition_range_end": ids[-1]}
    return defs.resolve_implicit_global_asset_job_def().execute_in_process(
        asset_selection=[ASSET], instance=place.instance, tags=ends, raise_on_error=False
    )


def told(place: Installation, run_id: str) -> dict[str, dg.AssetMaterialization]:
    """What Dagster was told of each partition in that run."""
    records = place.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    found = [each.asset_materialization for each in records]
    assert len(found) == len({each.partition for each in found if each})
    return {str(each.partition): each for each in found if each is not None}


def rows(place: Installation) -> dict[str, dict[str, Any]]:
    return {row["video_id"]: row for row in place.database.all("SELECT * FROM video_metadata")}


def logged(place: Installation, run_id: str) -> str:
    """What the run's log says, failures included."""
    entries = [record.event_log_entry for record in place.instance.get_records_for_run(run_id).records]
    failures = [step_failure(entry) for entry in entries]
    return "\n".join([*(entry.user_message for entry in entries), *filter(None, failures)])


def step_failure(entry: Any) -> str | None:
    event = entry.dagster_event
    return str(event.step_failure_data.error) if event is not None and event.is_step_failure else None


def test_every_video_of_a_range_has_its_row_its_materialization_and_its_version(
    place: Installation, ids: list[str]
) -> None:
    done = backfill(place, ids)
    assert done.success
    found, about = rows(place), told(place, done.run_id)
    assert sorted(found) == sorted(about) == ids
    for number, video_id in enumerate(ids):
        row, said = found[video_id], source_info(number)
        assert (row["title"], row["view_count"], row["declared_duration_seconds"]) == (
            said["title"], number, 600 + number
        )  # fmt: skip
        assert (row["channel"], row["origins"]["channel"]) == ("Somebody", "source")
        assert row["measured_audio_sample_rate"] == 48_000
        assert row["read_at"].isoformat() == READ_AT
    versions = {each.tags["dagster/data_version"] for each in about.values() if each.tags}
    assert len(versions) == COUNT
    originals = {each.tags["dagster/input_data_version/raw_video"] for each in about.values() if each.tags}
    assert originals == {row["content"] for row in _originals(place)}
    assert place.database.all("SELECT FROM videos WHERE lease_run_id IS NOT NULL") == []


def _originals(place: Installation) -> list[dict[str, Any]]:
    return place.database.all("SELECT sha256 AS content FROM media_files WHERE kind = 'raw_video'")


def test_one_partition_has_the_same_row_and_the_same_version(place: Installation, ids: list[str]) -> None:
    many = told(place, backfill(place, ids).run_id)[ids[3]]
    before = rows(place)[ids[3]]
    job = defs.resolve_implicit_global_asset_job_def()
    done = job.execute_in_process(partition_key=ids[3], asset_selection=[ASSET], instance=place.instance)
    alone = told(place, done.run_id)[ids[3]]
    assert alone.tags is not None
    assert many.tags is not None
    for tag in ("dagster/data_version", "dagster/code_version"):
        assert alone.tags[tag] == many.tags[tag]
    changing = ("lease_epoch", "updated_at")
    after = rows(place)[ids[3]]
    assert {n: v for n, v in after.items() if n not in changing} == {
        n: v for n, v in before.items() if n not in changing
    }


def test_videos_without_an_original_or_at_work_elsewhere_are_left_out_and_nothing_is_said_of_them(
    place: Installation, ids: list[str]
) -> None:
    with place.database.transaction() as connection:
        leases.take(connection, "another-run", [ids[2]], 60)
        connection.execute("DELETE FROM media_files WHERE video_id = %s AND kind = 'raw_video'", (ids[7],))
    done = backfill(place, ids)
    assert done.success
    left = [video_id for video_id in ids if video_id not in (ids[2], ids[7])]
    assert sorted(rows(place)) == sorted(told(place, done.run_id)) == left
    said = logged(place, done.run_id)
    assert f"{ids[2]} is left out: it is at work in another run" in said
    assert f"{ids[7]} is left out: it has no stored original" in said


def test_a_video_whose_metadata_cannot_be_made_fails_by_itself(
    place: Installation, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_source_info(place, ids[1])

    def broken(read: Reading) -> dict[str, Any]:
        row = normalize(read)
        if read.video_id == ids[4]:
            raise TypeError("a mistake of ours")
        return row | ({"age_limit": 300} if read.video_id == ids[8] else {})

    monkeypatch.setattr(asset, "normalize", broken)
    done = backfill(place, ids)
    assert not done.success
    good = [video_id for video_id in ids if video_id not in (ids[1], ids[4], ids[8])]
    assert sorted(rows(place)) == sorted(told(place, done.run_id)) == good
    said = logged(place, done.run_id)
    assert "3 of 12 videos got no metadata" in said
    for video_id, code in ((ids[1], "source_info_lost"), (ids[4], "metadata_invalid"), (ids[8], "metadata_invalid")):
        assert any(f"{video_id} got no metadata" in line and code in line for line in said.splitlines())
    assert place.database.all("SELECT FROM videos WHERE lease_run_id IS NOT NULL") == []


def lose_source_info(place: Installation, video_id: str) -> None:
    key = "SELECT object_key FROM media_files WHERE video_id = %s AND kind = 'source_info'"
    place.s3.delete_object(Bucket=place.settings.s3_bucket, Key=place.database.all(key, (video_id,))[0]["object_key"])


@pytest.mark.parametrize("body", [None, b"", b"{", b"\xff\xfe", b"[1]"], ids=str)
def test_a_source_info_that_cannot_be_read_is_a_failure_that_says_so(
    place: Installation, ids: list[str], body: bytes | None
) -> None:
    lose_source_info(place, ids[0])
    if body is not None:
        key = "SELECT object_key FROM media_files WHERE video_id = %s AND kind = 'source_info'"
        name = place.database.all(key, (ids[0],))[0]["object_key"]
        place.s3.put_object(Bucket=place.settings.s3_bucket, Key=name, Body=body)
    job = defs.resolve_implicit_global_asset_job_def()
    done = job.execute_in_process(
        partition_key=ids[0], asset_selection=[ASSET], instance=place.instance, raise_on_error=False
    )
    assert not done.success
    assert "source_info_lost" in logged(place, done.run_id)


def test_a_backfill_writes_no_older_reading_over_a_newer_one(place: Installation, ids: list[str]) -> None:
    assert backfill(place, ids).success
    newer = "2026-11-21T08:00:00+00:00"
    place.database.all(
        "UPDATE video_metadata SET title = 'newer', read_at = %s WHERE video_id = %s RETURNING 1", (newer, ids[5])
    )
    assert backfill(place, ids).success
    assert rows(place)[ids[5]]["title"] == "newer"


def test_a_backfill_keeps_what_a_person_corrected(place: Installation, ids: list[str]) -> None:
    place.database.all(
        "INSERT INTO metadata_corrections (video_id, field, value) VALUES (%s, 'title', '\"right\"') RETURNING 1",
        (ids[0],),
    )
    assert backfill(place, ids).success
    (row,) = place.database.all("SELECT title FROM corrected_video_metadata WHERE video_id = %s", (ids[0],))
    assert row["title"] == "right"


def test_the_asset_says_what_its_columns_are() -> None:
    metadata = asset.video_metadata.metadata_by_key[ASSET]
    schema: Any = metadata["dagster/column_schema"]
    about = {column.name: column for column in schema.columns}
    assert about["view_count"].type == "bigint"
    assert about["language"].description == "Language that is spoken, a BCP 47 tag."
    assert not about["video_id"].constraints.nullable
