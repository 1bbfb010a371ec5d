"""Safe resume of whole files: a later attempt saves bytes where it may, and what comes out is what is served."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.fetching import Progress
from narralytica_ingest.sources.ytdlp.piece import OVERLAP
from narralytica_ingest_tests.integration.resume.attempts import (
    BODY,
    LYING,
    MEDIA,
    NO_PROOF,
    OTHER,
    PAGE,
    SAME_END,
    SAME_ENDS,
    SIZE,
    STEADY,
    SiteIE,
    content,
    fetch,
    fetch_until,
    serve,
)
from narralytica_ingest_tests.source_server import SourceServer


@pytest.mark.parametrize("properties", [{}, {"etag": False}, {"dated": False}], ids=["both", "date", "etag"])
def test_the_next_attempt_goes_on_where_the_last_one_ended(
    server: SourceServer, folder: Path, properties: dict[str, Any]
) -> None:
    url = serve(server, BODY, **properties)
    done = fetch_until(url, folder, 1_000_000)
    before = server.sent[MEDIA]
    reports: list[Progress] = []
    assert content(fetch(url, folder, reports)) == BODY
    assert server.ranges == [(MEDIA, f"bytes=0-{OVERLAP - 1}"), (MEDIA, f"bytes={done - OVERLAP}-")]
    assert server.sent[MEDIA] - before < SIZE - done + 2 * OVERLAP + 100_000, "or just being sent to the first attempt"
    assert reports[0].bytes > done, "what is there counts as done"
    assert max((report.bytes, report.total) for report in reports if report.total) == (SIZE, SIZE)


def changed(length: int) -> bytes:
    return (OTHER + OTHER)[:length]


@pytest.mark.parametrize(
    ("later", "properties"),
    [
        (OTHER, {}),
        (OTHER, {"honours_if_range": False}),
        (SAME_ENDS, {"honours_if_range": False}),
        (OTHER, {"etag": False}),
        (OTHER, {"etag": False, "honours_if_range": False}),
        (OTHER, {"etag": False, "dated": False}),
        (OTHER, STEADY | {"honours_if_range": False}),
        (SAME_END, STEADY | {"honours_if_range": False}),
        (OTHER, LYING | {"honours_if_range": False}),
        (SAME_END, LYING | {"honours_if_range": False}),
        (OTHER, {"ranges": False}),
        (changed(500_000), {}),
        (changed(500_000), {"honours_if_range": False}),
        (changed(SIZE + 500_000), {"honours_if_range": False}),
        (changed(SIZE + 500_000), LYING | {"honours_if_range": False}),
        (b"x", LYING | {"honours_if_range": False}),
    ],
)
def test_what_changed_between_attempts_is_fetched_anew(
    server: SourceServer, folder: Path, later: bytes, properties: dict[str, Any]
) -> None:
    url = serve(server, BODY, later, **properties)
    fetch_until(url, folder, 1_000_000)
    assert content(fetch(url, folder)) == later


@pytest.mark.parametrize(
    "properties",
    [{"etag": False, "dated": False}, {"etag": False, "dated": False, "headers": {"ETag": 'W/"weak"'}}],
    ids=["none", "weak"],
)
def test_without_proof_nothing_is_asked_for_by_range(
    server: SourceServer, folder: Path, properties: dict[str, Any]
) -> None:
    url = serve(server, BODY, **properties)
    fetch_until(url, folder, 1_000_000)
    assert content(fetch(url, folder)) == BODY
    assert server.ranges == []


def test_a_link_that_was_signed_anew_is_the_same_file(server: SourceServer, folder: Path) -> None:
    fetch_until(serve(server, BODY, query="?expires=1&token=a"), folder, 1_000_000)
    assert content(fetch(serve(server, BODY, query="?expires=2&token=b"), folder)) == BODY
    assert server.ranges


@pytest.mark.parametrize("later", [{"path": "/other.mp4"}, {"query": "?quality=high"}, {"format_id": "2"}])
def test_another_link_or_format_is_another_file(server: SourceServer, folder: Path, later: dict[str, Any]) -> None:
    fetch_until(serve(server, BODY), folder, 1_000_000)
    assert content(fetch(serve(server, BODY, **later), folder)) == BODY
    assert server.ranges == []


@pytest.mark.parametrize("leftover", ["checkpoint", "part"])
def test_a_partial_without_its_checkpoint_or_with_a_damaged_one_is_worth_nothing(
    server: SourceServer, folder: Path, leftover: str
) -> None:
    url = serve(server, BODY)
    fetch_until(url, folder, 1_000_000)
    (folder / "source-0.mp4.checkpoint").write_bytes(b"{")
    if leftover == "part":
        (folder / "source-0.mp4.checkpoint").unlink()
    assert content(fetch(url, folder)) == BODY
    assert server.ranges == []


def test_a_finished_file_is_taken_over_once_the_source_confirmed_it(server: SourceServer, folder: Path) -> None:
    url = serve(server, BODY)
    assert content(fetch(url, folder)) == BODY
    before = server.sent[MEDIA]
    assert content(fetch(url, folder)) == BODY
    assert server.sent[MEDIA] - before <= 2 * OVERLAP
    server.add(MEDIA, OTHER)
    assert content(fetch(url, folder)) == OTHER


def test_of_two_parts_the_finished_one_is_confirmed_and_the_other_gone_on_with(
    server: SourceServer, folder: Path
) -> None:
    picture = {"url": server.add("/picture.mp4", BODY), "ext": "mp4", "format_id": "p", "acodec": "none", "height": 360}
    sound = {"url": server.add("/sound.m4a", OTHER), "ext": "m4a", "format_id": "s", "vcodec": "none"}
    SiteIE.formats = (picture | {"vcodec": "avc1"}, sound | {"acodec": "mp4a"})
    done = fetch_until(server.url(PAGE), folder, SIZE + 1_000_000)
    before = server.sent.copy()
    reports: list[Progress] = []
    fetched = fetch(server.url(PAGE), folder, reports)
    assert [part.read_bytes() for part in fetched.parts] == [BODY, OTHER]
    sent = server.sent - before
    assert sent["/picture.mp4"] <= 2 * OVERLAP
    assert sent["/sound.m4a"] < 2 * SIZE - done + 2 * OVERLAP + 100_000
    assert max(report.bytes for report in reports) == 2 * SIZE


def test_a_checkpoint_tells_nobody_the_link(server: SourceServer, folder: Path) -> None:
    fetch(serve(server, BODY, query="?token=secret"), folder)
    text = (folder / "source-0.mp4.checkpoint").read_text()
    assert "secret" not in text
    assert "127.0.0.1" not in text


def test_a_source_that_cuts_every_megabyte_is_fetched_in_one_attempt(server: SourceServer, folder: Path) -> None:
    large = random.Random(3).randbytes(12 << 20)
    url = serve(server, large, cuts=[(1 << 20) + OVERLAP])
    assert content(fetch(url, folder)) == large
    assert server.requests[MEDIA] == 12, "each request brings a megabyte and the overlap"
    assert server.sent[MEDIA] < len(large) * 1.1


def test_a_source_that_never_gets_beyond_its_cut_ends_quickly(server: SourceServer, folder: Path) -> None:
    url = serve(server, BODY, cuts=[1_500_000], ranges=False)
    with pytest.raises(IngestError, match="incomplete_read"):
        fetch(url, folder)
    assert server.requests[MEDIA] <= 3


def test_a_source_that_promises_more_than_it_has_is_left(server: SourceServer, folder: Path) -> None:
    with pytest.raises(IngestError, match="incomplete_read"):
        fetch(serve(server, BODY, lie=1000), folder)
    assert server.requests[MEDIA] <= 4


def test_a_silent_source_is_asked_twice_and_then_left(server: SourceServer, folder: Path) -> None:
    url = serve(server, BODY, stalls=[100_000, 0])
    began = time.monotonic()
    with pytest.raises(IngestError, match="timed_out"):
        fetch(url, folder, socket_timeout=0.5)
    assert server.requests[MEDIA] == 3, "the first one brought something"
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("properties", [{}, NO_PROOF, {"ranges": False}], ids=["proven", "without proof", "no ranges"])
def test_a_source_that_likes_short_ranges_gets_them_where_they_can_be_proven(
    server: SourceServer, folder: Path, properties: dict[str, Any]
) -> None:
    url = serve(server, BODY, **properties)
    SiteIE.formats = tuple(each | {"downloader_options": {"http_chunk_size": 1_000_000}} for each in SiteIE.formats)
    fetch_until(url, folder, 1_200_000)
    assert content(fetch(url, folder)) == BODY
    asked = [asked for _, asked in server.ranges if asked.startswith("bytes=0-")]
    spans = [tuple(map(int, each.removeprefix("bytes=").split("-"))) for _, each in server.ranges]
    assert asked
    assert all(last - first < 1_000_000 for first, last in spans)
    if properties == NO_PROOF:
        assert all(first == 0 for first, _ in spans), "no range goes on with another"


def test_content_that_changes_with_every_request_never_becomes_a_file(server: SourceServer, folder: Path) -> None:
    bodies = [random.Random(number).randbytes(SIZE) for number in range(12)]
    url = serve(server, *bodies, cuts=[1_200_000], honours_if_range=False)
    with pytest.raises(IngestError) as raised:
        fetch(url, folder)
    assert raised.value.failure_class is FailureClass.RESTART
    assert list(folder.iterdir()) == [], "after a restart nothing is kept"
