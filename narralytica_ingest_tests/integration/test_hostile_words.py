"""Words of strangers are data: they are stored as they were written, and do nothing wherever they are shown.

A site says them of its video in every field, and so does the job: then every place that shows or stores is looked at.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.intake import Intake
from narralytica_ingest.media import ffprobe_values
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.metadata.schema import typed
from narralytica_ingest.redaction import safe_words
from narralytica_ingest.shown import shown_audio, shown_metadata, shown_original
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest.store import jobs
from narralytica_ingest_tests.hostile.words import MARK, nested, unshowable, words
from narralytica_ingest_tests.in_process import Cli, Installation, command_line
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

pytestmark = pytest.mark.slow

NOTIFY_BYTES = 8_000  # Postgres' own limit
VTT = b"WEBVTT\n\n00:00.000 --> 00:02.000\nGood morning.\n"


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site whose videos have whatever the test says."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    said: dict[str, Any]

    def _real_extract(self, url: str) -> dict[str, Any]:
        return {"id": self._match_id(url)} | SiteIE.said


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    with command_line(capsys) as ready:
        yield ready


Ingest = Callable[..., dict[str, Any]]


@pytest.fixture
def ingest(place: Installation, server: SourceServer, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """Ingests a video of which the site says this, by a job with these hints. Returns the job's row."""

    monkeypatch.setattr(ytdlp, "Downloader", knowing(SiteIE))

    def ingest(said: dict[str, Any], name: str = "abc", **hints: Any) -> dict[str, Any]:
        video = {"url": server.url("/clip.mp4"), "ext": "mp4", "title": "A video"}
        monkeypatch.setattr(SiteIE, "said", video | said, raising=False)
        with place.database.transaction() as connection:
            job_id = jobs.insert(connection, jobs.JobRequest(source_url=server.url(f"/site/{name}"), **hints))
        place.work()
        return place.job(job_id)

    return ingest


def everywhere(each: str, url: str, server: SourceServer) -> dict[str, Any]:
    """A site that says this word in every field, and all of them in lists."""
    told = words(url)
    text = ("title", "fulltitle", "alt_title", "description", "channel", "uploader", "series", "episode", "license",
            "location", "availability", "media_type", "live_status", "channel_url", "thumbnail", "acodec", "vcodec",
            "format_note", "channel_id", "language", "display_id")  # fmt: skip
    captions = {"url": server.add("/c.vtt", VTT, content_type="text/vtt"), "ext": "vtt"}
    return dict.fromkeys(text, each) | {
        "description": "\n".join(told),
        "tags": told,
        "categories": told,
        "chapters": [{"start_time": n, "end_time": n + 1, "title": word} for n, word in enumerate(told)],
        "subtitles": {word[:80]: [captions] for word in told[:12]},
    }


def test_words_do_nothing_wherever_they_are_stored_and_shown(
    place: Installation,
    server: SourceServer,
    ingest: Ingest,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    canary = server.url("/canary")
    title = "".join(words(canary)[11:24])
    hint = "".join(each for each in words(canary) if "\0" not in each and "\ud800" not in each)
    with psycopg.connect(place.endpoints.postgres_url, autocommit=True) as listening, caplog.at_level(logging.DEBUG):
        listening.execute("LISTEN narralytica_ingest")
        job = ingest(everywhere(title, canary, server), title=hint[:900], channel=hint[-900:], language="en")
        assert job["status"] == "succeeded", job["error_message"]
        told = [each.payload for each in listening.notifies(timeout=0.5, stop_after=50)]
    assert told
    assert max(len(each.encode()) for each in told) < NOTIFY_BYTES
    assert not [each for each in told if MARK in each]
    video_id = job["video_id"]
    stored_as_written(place, video_id, title, canary)
    nothing_in_names(place, video_id)
    nothing_in_the_event_log(place, canary)
    nothing_on_the_terminal(cli, str(job["job_id"]), video_id)
    ours = [each.getMessage() for each in caplog.records if each.name.startswith("narralytica")]
    assert not [each for each in ours if unshowable(each, "")]
    assert not [path for path in server.requests if "canary" in path]
    assert not list(tmp_path.rglob(MARK))


def stored_as_written(place: Installation, video_id: str, title: str, canary: str) -> None:
    """Postgres has the words, cleaned of what nobody can see; the stored information has them all."""
    (row,) = place.database.all("SELECT * FROM video_metadata WHERE video_id = %s", (video_id,))
    assert MARK in row["title"]
    assert "\n" not in row["title"]
    for each in (row["title"], row["channel"], *row["tags"], *(each["title"] for each in row["chapters"])):
        assert not unshowable(each, "")
    assert f"'; DROP TABLE ingest_jobs; -- {MARK}" in row["tags"]
    assert f"![{MARK}]({canary}/markdown.png)" in row["tags"]
    assert (row["channel_url"], row["live_status"], row["language"]) == (None, None, "en")
    info = place.files(video_id)["source_info"]
    body = place.s3.get_object(Bucket=info["bucket"], Key=info["object_key"])["Body"].read()
    kept = json.loads(body)
    assert kept["title"] == title.replace("\0", "").replace("\ud800", "\ufffd")
    assert len(kept["tags"]) == len(words(canary))


def nothing_in_names(place: Installation, video_id: str) -> None:
    """Keys and ids are made of nothing that a stranger wrote."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", video_id)
    assert {key for key in place.objects() if not re.fullmatch(r"media/[0-9a-f]{2}/[0-9a-f]{64}\.\w+", key)} == set()
    for key in place.objects():
        head = place.s3.head_object(Bucket=place.settings.s3_bucket, Key=key)
        assert MARK not in json.dumps(head, default=str)


def nothing_in_the_event_log(place: Installation, canary: str) -> None:
    """Markdown and links are ours alone; what strangers say is text in cells, and shows what it is."""
    markdown, cells = [], []
    assets = [dg.AssetKey(name) for name in ("raw_video", "audio_track", "video_metadata")]
    for record in [each for key in assets for each in place.instance.fetch_materializations(key, limit=10).records]:
        made = record.asset_materialization
        assert made is not None
        for value in made.metadata.values():
            if isinstance(value, dg.TableMetadataValue):
                cells += [str(cell) for row in value.records for cell in row.data.values()]
            elif isinstance(value, dg.MarkdownMetadataValue):
                markdown.append(value.md_str or "")
            elif not isinstance(value, dg.TableColumnLineageMetadataValue):
                assert MARK not in str(value.value), type(value)
    assert [each for each in cells if MARK in each]
    assert [each for each in cells if unshowable(each)] == []
    assert [each for each in markdown if not re.match(r"!\[(waveform|preview|thumbnail)\]\(data:image/", each)] == []
    assert [each for each in markdown if MARK in each or canary in each] == []
    tags = [run.tags for run in place.instance.get_runs()]
    assert MARK not in json.dumps(tags)


def nothing_on_the_terminal(cli: Cli, job_id: str, video_id: str) -> None:
    """Each command shows words as what they are: no character that a terminal obeys."""
    commands: list[tuple[str, ...]] = [
        ("jobs",),
        ("show", job_id),
        ("show", video_id),
        ("verify", video_id),
        ("hosts",),
    ]
    for command in commands:
        said = cli(*command)
        assert said.code == 0, said
        assert unshowable(said.out + said.err) == set()
    assert MARK in cli("show", video_id).out
    in_json: list[tuple[str, ...]] = [("jobs", "--json"), ("show", video_id, "--json")]
    for command in in_json:
        said = cli(*command)
        assert said.out.isascii()
        assert json.loads(said.out)
    stored = json.loads(cli("show", video_id, "--json").out)["media_files"]
    languages = sorted({each["language"] for each in stored if each["kind"] == "captions"})
    assert languages
    for language in languages:
        fetched = cli("get", video_id, "captions", "--language", language)
        assert fetched.code == 0, fetched
        assert unshowable(fetched.out + fetched.err) == set()
    names = {path.name for path in Path().iterdir() if path.is_file()}
    assert len(names) == len(languages)
    assert {name for name in names if not re.fullmatch(r"[\w.-]+\.vtt", name)} == set()
    # Not even as an argument does a word do anything.
    for word in words("http://127.0.0.1:9"):
        said = cli("show", word)
        assert said.code != 0
        assert unshowable(said.out + said.err) == set()


ODD: dict[str, dict[str, Any]] = {
    "large": {"description": "d" * (50 << 20), "title": "t" * (1 << 20)},
    "many": {"tags": [f"tag {n}" for n in range(1_000_000)], "chapters": [{"start_time": n} for n in range(10_000)]},
    "numbers": {
        "view_count": 10**5_000, "like_count": float("inf"), "timestamp": 1e300, "width": -1,
        "age_limit": "1e400", "average_rating": float("-inf"), "release_timestamp": -(10**30), "fps": "NaN",
        "chapters": [{"start_time": 10**400, "title": "x"}, {"start_time": 1, "end_time": float("inf")}],
    },
    "types": {
        "description": {"__proto__": 1}, "tags": "a,b", "categories": 5, "channel": ["x"],
        "language": {"a": "b"}, "license": True,
        "channel_url": "javascript:alert(1)",
    },
    "deep": {"tags": nested(200), "categories": nested(90)},
}  # fmt: skip


@pytest.mark.parametrize("kind", list(ODD))
def test_whatever_a_site_says_the_video_is_ingested_and_what_is_kept_is_bounded(
    kind: str, place: Installation, ingest: Ingest
) -> None:
    job = ingest(ODD[kind])
    assert job["status"] == "succeeded", job["error_message"]
    info = place.files(job["video_id"])["source_info"]
    assert info["size_bytes"] < 4 << 20
    body = place.s3.get_object(Bucket=info["bucket"], Key=info["object_key"])["Body"].read()
    json.loads(body, parse_constant=pytest.fail)  # neither NaN nor Infinity, which are no JSON
    (row,) = place.database.all("SELECT row_to_json(m)::text AS row FROM video_metadata m")
    assert len(row["row"]) < 1 << 20


def test_a_page_of_deep_json_ends_its_job_alone(place: Installation, server: SourceServer) -> None:
    deep = '{"@context":"https://schema.org","@type":"VideoObject","name":' + "[" * 100_000 + "]" * 100_000 + "}"
    page = f'<html><head><script type="application/ld+json">{deep}</script></head></html>'
    bad = place.submit(server.add("/deep", page.encode(), content_type="text/html"))
    good = place.submit(server.add("/good.mp4", SAMPLE.read_bytes() + b"\0" * 8))
    place.work()
    assert place.job(good)["status"] == "succeeded"
    assert place.job(bad)["error_class"] in ("permanent", "needs_operator"), place.job(bad)


@pytest.mark.parametrize("length", [2_500, 30_000])
def test_a_long_name_is_refused_or_kept_and_stops_no_queue(
    length: int, place: Installation, server: SourceServer
) -> None:
    import random

    letters = "".join(random.Random(length).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))
    with place.database.transaction() as connection:
        long = jobs.insert(
            connection, jobs.JobRequest(source_url=server.url(f"/{letters}.mp4"), title=letters[:16_000])
        )
    good = place.submit(server.url("/clip.mp4"))
    place.work()
    assert place.job(good)["status"] == "succeeded"
    assert place.job(long)["error_class"] == "permanent", place.job(long)


def test_an_error_page_says_nothing_but_words(place: Installation, server: SourceServer) -> None:
    said = "".join(words(server.url("/canary")))
    body = f"<html><title>{said}</title><body>{said}</body></html>".encode(errors="replace")
    server.add("/refused", body, content_type="text/html", statuses=[403], headers={"X-Said": "\x1b[31m%s"})
    job_id: UUID = place.submit(server.url("/refused"))
    place.work()
    job = place.job(job_id)
    assert job["error_code"]
    assert unshowable(job["error_message"], "") == set()
    assert len(job["error_message"]) <= 1_000


def test_what_is_no_url_and_no_number_is_left_out() -> None:
    said = {"webpage_url": "http://[::1", "thumbnail": "http://[", "duration": float("nan"), "view_count": 10**5_000}
    assert {name: kept_info(said)[name] for name in said} == dict.fromkeys(said)
    odd = {"chapters": {"a": 1}, "upload_date": "99999999", "release_date": 20_261_399, "timestamp": 1e300}
    row = normalize(Reading("web-1", info=kept_info(odd)))
    assert (row["chapters"], row["published_at"], row["uploaded_at"]) == (None, None, None)
    assert kept_info({"title": nested(1_000)})["title"] == [[[[None]]]]


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1e400", "x", None])
def test_a_files_number_that_is_none_is_unknown(word: str | None) -> None:
    assert (ffprobe_values.number(word), ffprobe_values.whole(word)) == (None, None)


def test_every_word_costs_little_wherever_it_is_cleaned() -> None:
    url = "http://127.0.0.1:9"
    for word in words(url):
        large = word * (200_000 // len(word))
        began = time.perf_counter()
        safe_words(large, 500)
        info = kept_info({"title": large, "description": large, "tags": [large] * 100, "webpage_url": large})
        probe = {"tags": {"title": large}, "audio": [{"index": 0, "title": large, "language": large}]}
        row = normalize(Reading("web-1", info=info, probe=probe, hints={"title": large}))
        frame, invalid = typed([row])
        shown = [
            shown_metadata(row),
            shown_original(probe, None),
            shown_audio(probe, {"source_stream": {"title": large}}),
        ]
        took = time.perf_counter() - began
        assert took < 2.0, (word[:40], took)
        assert (len(frame), invalid) == (1, {})
        assert len(str(shown)) < 100_000


def test_intake_is_not_stopped_by_a_hostile_reference(place: Installation) -> None:
    """Every word as a source and as an upload's key: each job gets its own verdict."""
    made = []
    with place.database.transaction() as connection:
        for word in words("http://127.0.0.1:9"):
            plain = word.replace("\0", "").replace("\ud800", "")
            made.append(jobs.insert(connection, jobs.JobRequest(source_url=plain)))
            ref = f"s3://{place.settings.s3_upload_bucket}/{plain}"
            made.append(jobs.insert(connection, jobs.JobRequest(upload_ref=ref)))
    Intake(place.settings, place.endpoints).admit()
    for job_id in made:
        job = place.job(job_id)
        assert job["status"] == "failed", job
        assert job["error_class"] == "permanent", job
        assert unshowable(job["error_message"], "") == set()
