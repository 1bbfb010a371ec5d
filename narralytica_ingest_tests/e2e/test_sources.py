"""Sources that give what they have in many pieces, late, seldom or never, through the real stack."""

import hashlib
import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from narralytica_ingest.media.integrity import packet_hashes
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.e2e.running import Running, running_stack
from narralytica_ingest_tests.e2e.test_whole_way import unique
from narralytica_ingest_tests.fake_youtube import FakeYoutube, caption_text
from narralytica_ingest_tests.fake_youtube.material import both, picture, sound
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

SECONDS_TO_STOP = 12


def clip(extra: bytes) -> bytes:
    """A clip that no other test has (a free atom at the end changes nothing but the bytes)."""
    return SAMPLE.read_bytes() + (8 + len(extra)).to_bytes(4, "big") + b"free" + extra


def test_a_video_with_dubs_captions_and_chapters_is_one_video_by_all_its_urls(
    stack: Running, youtube: FakeYoutube, tmp_path: Path
) -> None:
    name = "dubs_and-00"
    chapters = [{"start_time": 0, "end_time": 2, "title": "One"}, {"start_time": 2, "end_time": 4, "title": "Two"}]
    watch = youtube.add_video(
        name,
        *(picture("400", "1440"), picture("137", "1080"), picture("136", "720")),
        *(sound("dubbed", "de"), sound("original", "en"), sound("described", "en"), sound("dubbed", "fr")),
        info={"title": "A talk in many languages", "chapters": chapters},
        uploaded=("en", "fr"),
        automatic="en",
    )
    forms = [
        watch,
        f"https://youtu.be/{name}?t=9&si=tracking",
        f"https://www.youtube.com/shorts/{name}",
        f"https://m.youtube.com/watch?list=PLaaaaaaaaaaaaaaaa&index=2&v={name}",
        f"https://music.youtube.com/watch?v={name}&feature=share",
        f"HTTPS://WWW.YouTube-nocookie.com/embed/{name}?start=3",
        f"https://www.youtube.com/live/{name}",
    ]
    rows = stack.finish(*[stack.insert(source_url=form) for form in forms])
    assert sorted(row["outcome"] or row["error_message"] for row in rows) == ["deduplicated"] * 6 + ["ingested"]
    assert {row["video_id"] for row in rows} == {f"youtube-{name}"}
    assert youtube.server.requests[f"/media/{name}/137"] == 1
    assert not [asked for asked in youtube.server.requests if asked.startswith(f"/captions/{name}/automatic-de")]

    record = stack.record(rows[0]["job_id"])
    files = {(file["kind"], file["language"], file["origin"]): file for file in record["media_files"]}
    assert set(files) == {
        ("raw_video", None, None),
        ("audio_track", "en", None),
        ("source_info", None, None),
        ("thumbnail", None, None),
        ("captions", "en", "uploaded"),
        ("captions", "fr", "uploaded"),
        ("captions", "en", "automatic"),
    }
    for (kind, language, origin), file in files.items():
        body = stack.body(file["object_key"])
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
        if kind == "captions":
            assert body == caption_text(origin, language)
    assert stack.body(files["thumbnail", None, None]["object_key"]) == youtube.file("thumbnail.jpg")
    stored = tmp_path / "stored.mp4"
    stored.write_bytes(stack.body(files["raw_video", None, None]["object_key"]))
    served = [youtube.path(part) for part in ("picture-1080.mp4", "sound-original.m4a")]
    tools = find_tools()
    assert packet_hashes(stored, tools) == [track for path in served for track in packet_hashes(path, tools)]

    about = record["metadata"]
    assert (about["title"], about["channel"], about["language"]) == ("A talk in many languages", "Fake Channel", "en")
    assert [chapter["title"] for chapter in about["chapters"]] == ["One", "Two"]
    assert about["published_at"] == datetime.fromtimestamp(1_773_480_413, UTC)


def test_a_premiere_waits_without_a_failure_and_is_ingested_when_it_has_begun(
    stack: Running, youtube: FakeYoutube
) -> None:
    name = "premiere000"
    begins = int(time.time()) + 20
    info = {"live_status": "is_upcoming", "release_timestamp": begins}
    job_id = stack.insert(source_url=youtube.refuse(name, "Premieres in 20 seconds", info=info))
    stack.wait_for("the deferral", lambda: stack.job(job_id)["not_before"] is not None)
    row = stack.job(job_id)
    assert (row["status"], row["error_class"], row["error_code"]) == ("queued", "not_yet", "upcoming")
    assert (row["attempt"], row["failures"]) == (1, 0)
    assert row["not_before"].timestamp() >= begins - 1

    youtube.add_video(name)  # the time has come
    stack.database.all("UPDATE ingest_jobs SET not_before = now() WHERE job_id = %s RETURNING 1", (job_id,))
    row = stack.finish(job_id)[0]
    assert (row["outcome"], row["attempt"], row["failures"]) == ("ingested", 2, 0)


def test_a_list_becomes_a_job_for_each_video_and_submitted_again_fetches_nothing_again(
    stack: Running, youtube: FakeYoutube
) -> None:
    names = ["listed00001", "listed00002", "listed00003"]
    for name in (names[0], names[2]):
        youtube.add_video(name, picture("160", "144"), sound())
    youtube.refuse(names[1], "Private video", "Sign in if you've been granted access to this video")
    url = youtube.add_list("PLlisted0000000000", *names, names[0], title="Three talks")

    def counts(job_id: object) -> tuple[object, ...]:
        view = stack.database.all("SELECT * FROM playlist_jobs WHERE job_id = %s", (job_id,))
        (row,) = view
        return tuple(row[name] for name in ("title", "more", "children", "succeeded", "failed", "queued", "running"))

    def is_over(job_id: object) -> bool:
        return counts(job_id)[-2:] == (0, 0)

    first = stack.finish(stack.insert(source_url=url))[0]
    assert (first["status"], first["outcome"], first["error_message"]) == ("succeeded", "expanded", None)
    stack.wait_for("the children", lambda: is_over(first["job_id"]))
    assert counts(first["job_id"]) == ("Three talks", False, 3, 2, 1, 0, 0)
    children = stack.database.all("SELECT * FROM ingest_jobs WHERE parent_job_id = %s", (first["job_id"],))
    assert {child["video_id"]: child["error_code"] for child in children} == {
        f"youtube-{names[0]}": None,
        f"youtube-{names[1]}": "private",
        f"youtube-{names[2]}": None,
    }
    assert not [key for key in stack.partitions() if "PLlisted" in key], "a list is no video"

    sent, objects = youtube.server.sent.copy(), stack.objects()
    again = stack.finish(stack.insert(source_url=url))[0]
    assert again["outcome"] == "expanded"
    stack.wait_for("the children", lambda: is_over(again["job_id"]))
    assert counts(again["job_id"]) == ("Three talks", False, 3, 2, 1, 0, 0)
    assert stack.objects() == objects
    assert {name for name in youtube.server.sent if youtube.server.sent[name] != sent[name]} == {
        "/browse/PLlisted0000000000",
        f"/player/{names[1]}",
    }


def test_a_host_that_limits_is_left_alone_as_a_whole_while_others_go_on(
    stack: Running, source: SourceServer, other_host: SourceServer
) -> None:
    limited = other_host.add_error("/limited.mp4", 429, Retry_After="120")
    innocent, _ = unique(other_host, "/innocent.mp4", b"innocent")
    elsewhere, _ = unique(source, "/elsewhere.mp4", b"elsewhere")
    first = stack.insert(source_url=limited)
    stack.wait_for("the refusal", lambda: stack.job(first)["error_code"] == "rate_limited")
    row = stack.job(first)
    assert 100 < (row["not_before"] - datetime.now(UTC)).total_seconds() <= 121
    waiting, going = stack.insert(source_url=innocent), stack.insert(source_url=elsewhere)
    assert stack.finish(going)[0]["outcome"] == "ingested"
    time.sleep(6)  # one more look of the sensor
    assert (stack.job(waiting)["status"], stack.job(waiting)["attempt"]) == ("queued", 0)
    assert not other_host.requests["/innocent.mp4"]
    assert other_host.requests["/limited.mp4"] == 1

    stack.database.all("UPDATE hosts SET cool_until = now() RETURNING 1")  # the two minutes are over
    stack.cancel(first)
    assert stack.finish(waiting)[0]["outcome"] == "ingested"


def test_a_slow_host_with_many_jobs_delays_no_other_host(
    stack: Running, source: SourceServer, other_host: SourceServer
) -> None:
    slow = [stack.insert(source_url=other_host.add(f"/hog-{number}.mp4", rate=4000.0)) for number in range(8)]
    stack.wait_for("all slots to be taken", lambda: sum(stack.job(job)["status"] == "running" for job in slow) >= 2)
    began = time.monotonic()
    elsewhere, _ = unique(source, "/newcomer.mp4", b"newcomer")
    assert stack.finish(stack.insert(source_url=elsewhere))[0]["outcome"] == "ingested"
    assert time.monotonic() - began < 30
    assert sum(stack.job(job)["status"] == "running" for job in slow) == 2, "the spare slot is not for them"
    for job in slow:
        stack.cancel(job)
    stack.finish(*slow)


@pytest.mark.slow
def test_a_download_whose_worker_is_killed_goes_on_where_it_was(stack: Running, youtube: FakeYoutube) -> None:
    name, body = "killed_0000", clip(random.Random(1).randbytes(2_000_000))
    url = youtube.add_video(name, both(filesize=len(body)), media={"bodies": [body], "rate": 250_000.0})
    job_id = stack.insert(source_url=url)
    stack.wait_for_bytes(job_id, 1_000_000)
    stack.kill_worker()
    youtube.videos[name].media.pop("rate")
    row = stack.finish(job_id, seconds=100)[0]
    assert (row["outcome"], row["attempt"], row["failures"]) == ("ingested", 2, 1)
    original = next(file for file in stack.record(job_id)["media_files"] if file["kind"] == "raw_video")
    assert original["sha256"] == hashlib.sha256(body).hexdigest()
    spans = [span for asked, span in youtube.server.ranges if asked == f"/media/{name}/18"]
    assert max(int(span.removeprefix("bytes=").split("-")[0]) for span in spans) > 800_000, spans
    # Its beginning and what is before the gap are compared; all else that was there is not fetched again.
    assert youtube.server.sent[f"/media/{name}/18"] < len(body) + 400_000


def test_cancel_stops_pictures_sound_and_segments_within_seconds(
    stack: Running, youtube: FakeYoutube, source: SourceServer
) -> None:
    for path in [path for path in source.resources if path.startswith("/hls/")]:
        resource = source.resources[path]
        rate = 4_000.0 if path.endswith(".ts") else None
        source.add(path.replace("/hls/", "/slow-hls/"), *resource.bodies, content_type=resource.content_type, rate=rate)
    name = "canceled000"
    slow = youtube.add_video(name, media={"rate": 30_000.0})
    for url, asked in ((slow, f"/media/{name}/137"), (source.url("/slow-hls/high.m3u8"), "/slow-hls/high-0.ts")):
        job_id = stack.insert(source_url=url)
        stack.wait_for_bytes(job_id)
        stack.cancel(job_id)
        assert stack.finish(job_id, seconds=SECONDS_TO_STOP)[0]["status"] == "canceled"
        time.sleep(2)  # until the server notices that nobody reads
        sent = source.sent[asked]
        time.sleep(1)
        assert source.sent[asked] == sent, "nothing is downloaded any more"


def test_a_page_that_shows_a_known_video_joins_it(stack: Running, youtube: FakeYoutube, source: SourceServer) -> None:
    name = "known000000"
    known = stack.finish(stack.insert(source_url=youtube.add_video(name, picture("160", "144"), sound())))[0]
    assert known["outcome"] == "ingested"
    page = f'<!DOCTYPE html><html><body><iframe src="https://www.youtube.com/embed/{name}"></iframe></body></html>'
    url = source.add("/blog.html", page.encode(), content_type="text/html")
    sent, videos = source.sent[f"/media/{name}/160"], {row["video_id"] for row in all_videos(stack)}

    joined = stack.finish(stack.insert(source_url=url))[0]
    assert (joined["status"], joined["outcome"], joined["video_id"]) == ("succeeded", "deduplicated", f"youtube-{name}")
    assert source.sent[f"/media/{name}/160"] == sent, "not a byte of media was fetched"
    assert {row["video_id"] for row in all_videos(stack)} == videos, "the stray is gone"
    stack.wait_for("the stray partition to go", lambda: not stack.partitions() - videos)
    requests = source.requests["/blog.html"]
    assert stack.finish(stack.insert(source_url=url))[0]["outcome"] == "deduplicated"
    assert source.requests["/blog.html"] == requests, "its address is known from now on"


def all_videos(stack: Running) -> list[dict[str, object]]:
    return stack.database.all("SELECT video_id FROM videos")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_at_defaults_a_source_that_always_fails_ends_its_job_within_four_minutes(
    tmp_path: Path, source: SourceServer, other_host: SourceServer, youtube: FakeYoutube
) -> None:
    ends = {
        source.add("/always-cut.mp4", clip(b"always cut"), cuts=[None, 1000], ranges=False): "incomplete_read",
        source.add_error("/always-broken.mp4", 500): "server_error",
        youtube.add_video("silent00000", both(), media={"stalls": [10_000, 0]}): "timed_out",
        other_host.add_error("/always-limited.mp4", 429): "rate_limited",
    }
    with running_stack(tmp_path / "home", workers=4) as fresh:
        rows = fresh.finish(*[fresh.insert(source_url=url) for url in ends], seconds=300)
        assert [(row["status"], row["error_code"]) for row in rows] == [("failed", code) for code in ends.values()]
        for row in rows:
            assert row["failures"] == 4
            assert (row["finished_at"] - row["created_at"]).total_seconds() < 240, row["error_code"]
        assert fresh.objects() == {}
