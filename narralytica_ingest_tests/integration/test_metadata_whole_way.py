"""Metadata of real videos, from source to row: of a page, of an upload with tags, and when what is stored gets lost."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.definitions import defs
from narralytica_ingest.intake import Intake
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.store import jobs
from narralytica_ingest_tests.in_process import Installation
from narralytica_ingest_tests.source_server import PUBLISHED, SAMPLE, SourceServer

CHAPTERS = """;FFMETADATA1
title=Über Maschinen
artist=عدا
date=2019-05
creation_time=2019-05-04T10:00:00Z
[CHAPTER]
TIMEBASE=1/1
START=0
END=5
title=第一章
"""


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        running.add("/clip.mp4")
        yield running


def served(place: Installation, video_id: str) -> dict[str, Any]:
    (row,) = place.database.all("SELECT * FROM ready_video_metadata WHERE video_id = %s", (video_id,))
    return row


def test_what_a_page_says_and_what_is_measured_stand_side_by_side(place: Installation, server: SourceServer) -> None:
    began = place.database.all("SELECT now() AS now")[0]["now"]
    video = place.ingest(server.add_page("/talk", "/clip.mp4"))
    row = served(place, video["video_id"])
    assert (row["title"], row["channel"], row["source"]) == (
        "A talk about ingestion",
        "Narralytica Channel",
        video["source"],
    )
    assert row["published_at"] == datetime.fromisoformat(PUBLISHED)
    assert row["published_precision"] == "second"
    assert (row["origins"]["title"], row["origins"]["published_at"]) == ("source", "source")
    assert row["declared_duration_seconds"] == pytest.approx(11.7)
    assert row["measured_duration_seconds"] == pytest.approx(11.7, abs=0.2)
    assert (row["measured_video_codec"], row["measured_audio_channels"]) == ("h264", 1)
    assert row["measured_size_bytes"] == SAMPLE.stat().st_size
    assert row["view_count"] is None
    assert began <= row["read_at"] <= place.database.all("SELECT now() AS now")[0]["now"]


def test_a_bare_upload_is_described_by_its_own_tags_and_name(
    place: Installation, tools: MediaTools, tmp_path: Path
) -> None:
    said, tagged = tmp_path / "said.txt", tmp_path / "tagged.mkv"
    said.write_text(CHAPTERS, encoding="utf-8")
    command: list[str | Path] = [tools.ffmpeg, "-v", "error", "-i", str(SAMPLE), "-i", str(said)]
    command += ["-map_metadata", "1", "-map", "0:v", "-map", "0:a", "-metadata:s:a:0", "language=ger"]
    dub = ["language=fre", "-metadata:s:a:1", "title=Doublage"]  # marked as the default, which players would take
    command += ["-map", "0:a", "-metadata:s:a:1", *dub, "-disposition:a:0", "0", "-disposition:a:1", "default"]
    command += ["-c", "copy", str(tagged)]
    assert run_tool(command, timeout=60).returncode == 0
    bucket, key = place.settings.s3_upload_bucket, "uploads/my talk.mkv"
    place.s3.put_object(Bucket=bucket, Key=key, Body=tagged.read_bytes())
    with place.database.transaction() as connection:
        request = jobs.JobRequest(upload_ref=f"s3://{bucket}/{key}", title="A hint", channel="Another hint")
        job_id = jobs.insert(connection, request)
    Intake(place.settings, place.endpoints).admit()
    place.work()
    job = place.job(job_id)
    assert job["status"] == "succeeded", job["error_message"]
    row = served(place, str(job["video_id"]))
    assert (row["title"], row["channel"], row["language"]) == ("A hint", "Another hint", "de")
    assert place.files(str(job["video_id"]))["audio_track"]["language"] == "de"
    assert row["chapters"] == [{"title": "第一章", "start_seconds": 0.0, "end_seconds": 5.0}]
    assert (row["published_at"], row["published_precision"]) == (datetime(2019, 5, 1, tzinfo=UTC), "month")
    assert (row["origins"]["title"], row["origins"]["language"]) == ("hint", "container")
    assert (row["measured_container"], row["declared_container"], row["webpage_url"]) == ("matroska", None, None)
    assert row["read_at"] is not None


def test_a_lost_source_info_is_fetched_again(place: Installation, server: SourceServer) -> None:
    video_id = str(place.ingest(server.add_page("/talk", "/clip.mp4"))["video_id"])
    before, files = served(place, video_id), place.files(video_id)
    place.s3.delete_object(Bucket=place.settings.s3_bucket, Key=files["source_info"]["object_key"])
    asked = server.requests["/talk"]
    done = defs.resolve_job_def("ingest").execute_in_process(partition_key=video_id, instance=place.instance)
    assert done.success
    assert server.requests["/talk"] > asked
    assert files["source_info"]["object_key"] in place.objects()
    after = served(place, video_id)
    assert after["read_at"] > before["read_at"]
    changing = ("read_at", "updated_at", "lease_epoch")
    assert {n: v for n, v in after.items() if n not in changing} == {
        n: v for n, v in before.items() if n not in changing
    }


def test_when_it_was_read_makes_no_other_object(place: Installation, server: SourceServer) -> None:
    url = server.add_page("/talk", "/clip.mp4")
    video_id = str(place.ingest(url)["video_id"])
    objects = place.objects()
    with place.database.transaction() as connection:
        jobs.insert(connection, jobs.JobRequest(source_url=url, force=True))
    (job,) = place.work()
    assert job["status"] == "succeeded", job["error_message"]
    assert served(place, video_id)["generation"] == 2
    assert place.objects() == objects
