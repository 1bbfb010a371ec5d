"""People and accidents: cancel, Terminate, backfills, materializing by hand, and a worker that is killed."""

import time
from functools import partial

import psutil
import pytest

from narralytica_ingest.store import jobs
from narralytica_ingest_tests.e2e.running import Running
from narralytica_ingest_tests.e2e.test_whole_way import unique, upload
from narralytica_ingest_tests.source_server import SourceServer

SECONDS_TO_STOP = 12


def slow(source: SourceServer, path: str, rate: float = 20_000.0) -> str:
    """A source that takes a quarter of a minute."""
    url, _ = unique(source, path, path.encode())
    source.resources[path].rate = rate
    return url


def test_cancel_stops_a_download_within_seconds_and_retry_brings_it_home(stack: Running, source: SourceServer) -> None:
    job_id = stack.insert(source_url=slow(source, "/cancel.mp4"))
    stack.wait_for("the download", lambda: (stack.job(job_id)["progress"] or {}).get("bytes", 0) > 0)
    stack.database.all("UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %s RETURNING 1", (job_id,))
    row = stack.finish(job_id, seconds=SECONDS_TO_STOP)[0]
    assert row["status"] == "canceled"
    stack.wait_for("the run to be canceled", lambda: stack.run_status(row["run_id"]) == "CANCELED", SECONDS_TO_STOP)
    time.sleep(2)  # until the server notices that nobody reads
    sent = source.sent["/cancel.mp4"]
    time.sleep(1)
    assert source.sent["/cancel.mp4"] == sent, "nothing is downloaded any more"
    assert not (stack.settings.home / "scratch" / row["run_id"]).exists()

    source.resources["/cancel.mp4"].rate = None
    with stack.database.transaction() as connection:
        jobs.retry(connection, job_id)
    assert stack.finish(job_id)[0]["outcome"] == "ingested"


def test_terminate_in_the_ui_stops_the_work_and_cancels_the_job(stack: Running, source: SourceServer) -> None:
    job_id = stack.insert(source_url=slow(source, "/terminate.mp4"))
    stack.wait_for("the download", lambda: (stack.job(job_id)["progress"] or {}).get("bytes", 0) > 0)
    run_id = stack.job(job_id)["run_id"]
    stack.terminate(run_id)
    assert stack.finish(job_id, seconds=SECONDS_TO_STOP)[0]["status"] == "canceled"
    stack.wait_for("the run to be canceled", lambda: stack.run_status(run_id) == "CANCELED", SECONDS_TO_STOP)
    assert stack.record(job_id)["video"]["status"] == "pending"


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_runs_again_and_succeeds(stack: Running, source: SourceServer) -> None:
    job_id = stack.insert(source_url=slow(source, "/killed.mp4"))
    stack.wait_for("the download", lambda: (stack.job(job_id)["progress"] or {}).get("bytes", 0) > 0)
    worker = stack.worker()
    for process in [*worker.children(recursive=True), worker]:
        process.kill()
    psutil.wait_procs([worker], timeout=5)
    source.resources["/killed.mp4"].rate = None
    row = stack.finish(job_id, seconds=100)[0]
    assert (row["outcome"], row["attempt"], row["failures"]) == ("ingested", 2, 1)
    assert any("worker" in event and "ended" in event for event in stack.events)


@pytest.mark.slow
def test_a_killed_worker_whose_child_lives_on_publishes_nothing_twice(stack: Running, source: SourceServer) -> None:
    job_id = stack.insert(source_url=slow(source, "/orphan.mp4"))
    stack.wait_for("the download", lambda: (stack.job(job_id)["progress"] or {}).get("bytes", 0) > 0)
    stack.worker().kill()
    row = stack.finish(job_id, seconds=100)[0]
    assert row["outcome"] == "ingested"
    files = stack.record(job_id)["media_files"]
    assert sorted(file["kind"] for file in files) == ["audio_track", "raw_video", "source_info"]


@pytest.mark.slow
def test_materializing_by_hand_and_backfilling_download_nothing_again(stack: Running, source: SourceServer) -> None:
    paths = ["/by-hand-1.mp4", "/by-hand-2.mp4", "/by-hand-3.mp4"]
    ids = [stack.insert(source_url=unique(source, path, path.encode())[0]) for path in paths]
    ids.append(stack.insert(upload_ref=upload(stack, "by-hand.mp4", b"by hand")))
    videos = [row["video_id"] for row in stack.finish(*ids)]
    sent, files = source.sent.copy(), stack.objects()

    for assets, partitions in (
        (["raw_video", "audio_track", "video_metadata"], videos[:1]),
        (["audio_track"], videos),
        (["video_metadata"], videos),
    ):
        backfill = stack.backfill(assets, partitions)
        stack.wait_for(f"the backfill of {assets}", partial(stack.backfill_is_over, backfill), 90)
        runs = stack.backfill_runs(backfill)
        assert {status for _, status in runs} == {"SUCCESS"}
        assert len(runs) == (1 if assets == ["video_metadata"] else len(partitions))

    assert source.sent == sent
    assert stack.objects() == files
    assert {stack.record(video)["video"]["status"] for video in videos} == {"ready"}


def test_a_partition_that_somebody_adds_by_hand_goes_again_since_no_video_has_it(stack: Running) -> None:
    query = """
    mutation ($key: String!, $location: String!, $repository: String!) {
        addDynamicPartition(partitionsDefName: "videos", partitionKey: $key, repositorySelector:
            {repositoryName: $repository, repositoryLocationName: $location}) { __typename } }"""
    stack.graphql(query, key="nobody", location="narralytica_ingest", repository="__repository__")
    assert "nobody" in stack.partitions()
    stack.wait_for("the partition to go", lambda: "nobody" not in stack.partitions())
