"""Jobs go in as plain SQL; originals, audio tracks, metadata and a truthful status come out, through the real stack."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from narralytica_ingest.media.integrity import packet_hashes
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.store import jobs
from narralytica_ingest_tests.e2e.running import Running
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

CLIP_SHA256 = hashlib.sha256(SAMPLE.read_bytes()).hexdigest()


def unique(server: SourceServer, path: str, extra: bytes) -> tuple[str, str]:
    """Serves a clip that no other test has (a free atom at the end changes nothing but the bytes)."""
    body = SAMPLE.read_bytes() + (8 + len(extra)).to_bytes(4, "big") + b"free" + extra
    return server.add(path, body), hashlib.sha256(body).hexdigest()


def upload(stack: Running, key: str, extra: bytes = b"") -> str:
    body = SAMPLE.read_bytes() + (8 + len(extra)).to_bytes(4, "big") + b"free" + extra
    stack.s3.put_object(Bucket=stack.settings.s3_upload_bucket, Key=key, Body=body)
    return f"s3://{stack.settings.s3_upload_bucket}/{key}"


def test_every_kind_of_source_is_ingested_and_the_same_jobs_again_are_deduplicated(
    stack: Running, source: SourceServer, tmp_path: Path
) -> None:
    wanted = [
        {"source_url": source.url("/clip.mp4")},
        {"source_url": source.url("/page.html")},
        {"source_url": source.url("/hls/master.m3u8")},
        {"source_url": source.url("/dash/manifest.mpd")},
        {"upload_ref": upload(stack, "talks/clip one.mp4", b"upload"), "title": "An uploaded talk", "language": "en"},
    ]
    first = stack.finish(*[stack.insert(**job) for job in wanted])
    assert [(row["status"], row["outcome"], row["error_message"]) for row in first] == [
        ("succeeded", "ingested", None)
    ] * len(wanted)

    tables_before = stack.database.all("SELECT * FROM media_files ORDER BY media_file_id")
    objects_before, requests_before = stack.objects(), source.requests["/clip.mp4"]
    assert {row["object_key"] for row in tables_before} == set(objects_before)
    for row in tables_before:
        body = stack.body(row["object_key"])
        assert (len(body), hashlib.sha256(body).hexdigest()) == (row["size_bytes"], row["sha256"])

    direct, page, hls, dash, uploaded = (stack.record(row["job_id"]) for row in first)
    for record in (direct, page):
        assert record["media_files"][-1]["kind"] == "audio_track"
        assert next(f for f in record["media_files"] if f["kind"] == "raw_video")["sha256"] == CLIP_SHA256
    assert page["metadata"]["title"] == "A talk about ingestion"
    assert page["metadata"]["channel"] == "Narralytica Channel"
    assert page["metadata"]["published_at"] == datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    assert (uploaded["metadata"]["title"], uploaded["metadata"]["language"]) == ("An uploaded talk", "en")
    for record in (direct, hls, dash):
        assert record["metadata"]["published_at"] is None, "a Last-Modified is no publication"
    assert hls["metadata"]["title"] == "master", "for want of a better one"
    for record in (hls, dash):
        original = next(f for f in record["media_files"] if f["kind"] == "raw_video")
        joined = tmp_path / "joined.mp4"
        joined.write_bytes(stack.body(original["object_key"]))
        assert packet_hashes(joined, find_tools()) == packet_hashes(SAMPLE, find_tools())
    for record in (direct, page, hls, dash, uploaded):
        assert record["video"]["status"] == "ready"
        track = next(f for f in record["media_files"] if f["kind"] == "audio_track")
        sound = tmp_path / "track.flac"
        sound.write_bytes(stack.body(track["object_key"]))
        measured = probe(sound, find_tools())
        assert (measured.audio[0].sample_rate, measured.audio[0].channels) == (16000, 1)
        assert measured.duration_seconds == pytest.approx(11.72, abs=0.1)

    again = stack.finish(*[stack.insert(**job) for job in wanted])
    assert [(row["status"], row["outcome"]) for row in again] == [("succeeded", "deduplicated")] * len(wanted)
    assert stack.objects() == objects_before
    assert stack.database.all("SELECT * FROM media_files ORDER BY media_file_id") == tables_before
    assert source.requests["/clip.mp4"] == requests_before


def test_segments_fetched_a_second_time_are_the_same_object(stack: Running, source: SourceServer) -> None:
    url = source.url("/hls-fmp4/master.m3u8")
    first = stack.finish(stack.insert(source_url=url))[0]
    files = {f["kind"]: f["sha256"] for f in stack.record(first["job_id"])["media_files"]}
    requests = source.requests["/hls-fmp4/high.m3u8"]
    forced = stack.finish(stack.insert(source_url=url, options='{"force": true}'))[0]
    assert (forced["status"], forced["outcome"]) == ("succeeded", "ingested")
    record = stack.record(forced["job_id"])
    assert source.requests["/hls-fmp4/high.m3u8"] > requests
    assert record["video"]["generation"] == 2
    assert {f["kind"]: f["sha256"] for f in record["media_files"]} == files


def test_bad_input_fails_with_a_class_a_code_and_advice_while_a_good_job_beside_it_succeeds(
    stack: Running, source: SourceServer
) -> None:
    good_url, sha256 = unique(source, "/good.mp4", b"good")
    good = stack.insert(source_url=good_url)
    bad = {
        "blocked_scheme": stack.insert(source_url="ftp://host/clip.mp4"),
        "invalid_url": stack.insert(source_url="http://"),
        "not_media": stack.insert(source_url=source.url("/garbage.mp4")),
        "upload_missing": stack.insert(upload_ref=f"s3://{stack.settings.s3_upload_bucket}/nothing.mp4"),
        "invalid_upload_ref": stack.insert(upload_ref="nothing"),
        "not_found": stack.insert(source_url=source.url("/error/404")),
    }
    rows = stack.finish(good, *bad.values())
    assert (rows[0]["status"], rows[0]["outcome"]) == ("succeeded", "ingested")
    assert [f["sha256"] for f in stack.record(good)["media_files"] if f["kind"] == "raw_video"] == [sha256]
    for code, row in zip(bad, rows[1:], strict=True):
        assert (row["status"], row["error_class"], row["error_code"]) == ("failed", "permanent", code)
        assert len(row["error_message"].split()) > 5, "a sentence with advice"


def test_a_truncated_original_is_never_published_and_a_mended_source_is_fetched_anew(
    stack: Running, source: SourceServer
) -> None:
    url, sha256 = unique(source, "/mended.mp4", b"mended")
    whole = source.resources["/mended.mp4"].bodies
    source.resources["/mended.mp4"].bodies = [whole[0][:200_000]]
    before = stack.objects()
    job_id = stack.insert(source_url=url)
    assert stack.finish(job_id)[0]["error_code"] == "truncated_media"
    assert stack.objects() == before
    assert stack.record(job_id)["media_files"] == []

    source.resources["/mended.mp4"].bodies = whole
    with stack.database.transaction() as connection:
        jobs.retry(connection, job_id)
    assert stack.finish(job_id)[0]["outcome"] == "ingested"
    assert any(sha256 in key for key in stack.objects())


def test_one_video_asked_for_many_times_at_once_is_fetched_once(stack: Running, source: SourceServer) -> None:
    url, _ = unique(source, "/popular.mp4", b"popular")
    rows = stack.finish(*[stack.insert(source_url=f"{url}?utm_source={number}") for number in range(10)])
    assert sorted(row["outcome"] for row in rows) == ["deduplicated"] * 9 + ["ingested"]
    assert len({row["video_id"] for row in rows}) == 1
    assert source.requests["/popular.mp4"] == 2, "one look at the page, one download"


def test_the_same_bytes_at_two_addresses_are_stored_once(stack: Running, source: SourceServer) -> None:
    url, sha256 = unique(source, "/one.mp4", b"twins")
    twin, _ = unique(source, "/two.mp4", b"twins")
    rows = stack.finish(stack.insert(source_url=url), stack.insert(source_url=twin))
    assert len({row["video_id"] for row in rows}) == 2
    assert [key for key in stack.objects() if sha256 in key] == [f"media/{sha256[:2]}/{sha256}.mp4"]
