"""Thumbnails and captions: fetched beside the video, and never the reason why there is none."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Fetched, FetchEvents, Progress, SideFile
from narralytica_ingest.sources.ytdlp import fetch_url, side_files
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer, lab_options

CLIP = SAMPLE.read_bytes()
VTT = b"WEBVTT\n\n00:00.000 --> 00:02.000\nGood morning.\n"
JPEG, PNG = b"\xff\xd8\xff\xe0" + bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(100)
WEBP, AVIF = b"RIFF\x10\0\0\0WEBPVP8 " + bytes(100), b"\0\0\0\x1cftypavif" + bytes(100)
NO_RETRY: dict[str, Any] = {"retries": 0}


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site whose videos have whatever the test says."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    said: dict[str, Any]

    def _real_extract(self, url: str) -> dict[str, Any]:
        return {"id": self._match_id(url), "title": "A video"} | json.loads(json.dumps(SiteIE.said))  # type: ignore[no-any-return]


@pytest.fixture
def fetched(server: SourceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fetched]:
    """Fetches a video of which the site says this."""

    monkeypatch.setattr(ytdlp, "Downloader", knowing(SiteIE))

    def fetch(events: FetchEvents | None = None, options: dict[str, Any] = NO_RETRY, **said: Any) -> Fetched:
        monkeypatch.setattr(SiteIE, "said", {"url": server.url("/clip.mp4"), "ext": "mp4", **said}, raising=False)
        found = fetch_url(server.url("/site/abc"), tmp_path, lab_options(**options), events or FetchEvents())
        assert isinstance(found, Fetched)
        assert found.parts[0].read_bytes() == CLIP
        assert all(each.path.parent == tmp_path for each in found.side_files)
        return found

    return fetch


def shown(files: tuple[SideFile, ...]) -> set[tuple[str | None, ...]]:
    return {(each.kind, each.language, each.origin, each.extension) for each in files}


def not_fetched(found: Fetched) -> list[tuple[str | None, ...]]:
    return [
        (each["kind"], each["language"], each["origin"], each["code"])
        for each in found.info["not_fetched"]
    ]  # fmt: skip


def captions(server: SourceServer, name: str, body: bytes = VTT, **properties: Any) -> dict[str, str]:
    return {"url": server.add(f"/{name}", body, content_type="text/vtt", **properties), "ext": name.rpartition(".")[2]}


# ---- thumbnails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "kind"), [(JPEG, "jpeg"), (PNG, "png"), (WEBP, "webp"), (AVIF, "avif")])
def test_what_kind_of_picture_it_is_is_told_by_its_bytes(
    server: SourceServer, fetched: Callable[..., Fetched], body: bytes, kind: str
) -> None:
    found = fetched(thumbnails=[{"url": server.add("/t.gif", body, content_type="text/plain")}])
    (picture,) = found.side_files
    assert (picture.kind, picture.extension, picture.content_type) == ("thumbnail", kind, f"image/{kind}")
    assert picture.path.read_bytes() == body
    assert not_fetched(found) == []


def test_the_best_thumbnail_that_is_there_is_taken(server: SourceServer, fetched: Callable[..., Fetched]) -> None:
    page = server.add("/page.jpg", b"<html>not here</html>", content_type="image/jpeg")
    found = fetched(
        thumbnails=[
            {"url": server.add("/small.png", PNG), "width": 100, "height": 100},
            {"url": server.add("/middle.jpg", JPEG), "width": 200, "height": 200},
            {"url": page, "width": 300, "height": 300},
            {"url": server.add_error("/gone.jpg", 404), "width": 400, "height": 400},
        ]
    )
    assert found.side_files[0].path.read_bytes() == JPEG
    assert not server.requests["/small.png"]
    assert not_fetched(found) == []


@pytest.mark.parametrize(
    ("body", "properties", "code"),
    [
        (JPEG, {"statuses": [404]}, "not_found"),
        (JPEG, {"statuses": [403]}, "forbidden"),
        (JPEG, {"statuses": [500]}, "server_error"),
        (JPEG, {"cuts": [50]}, "incomplete_read"),
        (b"", {}, "empty_response"),
        (b"<svg/>", {}, "not_a_picture"),
        (JPEG * 1000, {}, "side_file_too_large"),
    ],
)
def test_a_thumbnail_that_cannot_be_had_is_written_down(
    server: SourceServer,
    fetched: Callable[..., Fetched],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    properties: dict[str, Any],
    code: str,
) -> None:
    monkeypatch.setattr(side_files, "LARGEST", 50_000)
    found = fetched(thumbnails=[{"url": server.add("/t.jpg", body, content_type="image/jpeg", **properties)}])
    assert found.side_files == ()
    assert not_fetched(found) == [("thumbnail", None, None, code)]
    assert not [path for path in found.parts[0].parent.glob("side-*") if path.stat().st_size > 50_000 + (1 << 16)]


def test_a_thumbnail_is_asked_for_again_where_the_network_failed(
    server: SourceServer, fetched: Callable[..., Fetched]
) -> None:
    url = server.add("/t.jpg", JPEG, cuts=[10, None])
    found = fetched(options={"retries": 1}, thumbnails=[{"url": url}])
    assert found.side_files[0].path.read_bytes() == JPEG


# ---- captions ------------------------------------------------------------------------------------------------------


def test_all_uploaded_captions_are_taken_and_of_the_automatic_ones_only_what_was_heard(
    server: SourceServer, fetched: Callable[..., Fetched]
) -> None:
    found = fetched(
        language="de",
        subtitles={
            "de": [captions(server, "de.json3", b"{}"), captions(server, "de.vtt")],
            "pt-BR": [captions(server, "pt.srt", b"1\n00:00:00,000 --> 00:00:01,000\nBom dia\n")],
            "live_chat": [{"url": server.url("/chat.json"), "ext": "json", "protocol": "youtube_live_chat_replay"}],
        },
        automatic_captions={
            "de": [captions(server, "auto.vtt")],
            "de-orig": [captions(server, "heard.vtt", VTT + b"\n")],
            "en": [captions(server, "translated.vtt")],
            "de-en": [captions(server, "back.vtt")],
        },
    )
    assert shown(found.side_files) == {
        ("captions", "de", "uploaded", "vtt"),
        ("captions", "pt-BR", "uploaded", "srt"),
        ("captions", "de", "automatic", "vtt"),
    }
    assert not_fetched(found) == []
    assert not server.requests["/translated.vtt"] + server.requests["/chat.json"] + server.requests["/de.json3"]
    (heard,) = [each for each in found.side_files if each.origin == "automatic"]
    assert heard.path.read_bytes() == VTT + b"\n"
    assert heard.content_type == "text/vtt"


@pytest.mark.parametrize(
    ("options", "origins"),
    [
        ({"uploaded_captions": False}, {"automatic"}),
        ({"automatic_captions": False}, {"uploaded"}),
        ({"uploaded_captions": False, "automatic_captions": False}, set()),
    ],
)
def test_captions_can_be_left_out(
    server: SourceServer, fetched: Callable[..., Fetched], options: dict[str, Any], origins: set[str]
) -> None:
    found = fetched(
        options=options,
        subtitles={"en": [captions(server, "en.vtt")]},
        automatic_captions={"en": [captions(server, "auto.vtt")]},
    )
    assert {each.origin for each in found.side_files} == origins


def test_captions_that_cannot_be_had_in_one_way_are_taken_in_the_next(
    server: SourceServer, fetched: Callable[..., Fetched]
) -> None:
    page = captions(server, "en.vtt", b"<!DOCTYPE html><html>consent</html>")
    found = fetched(subtitles={"en": [captions(server, "en.ttml", b"<tt/>"), page]})
    assert shown(found.side_files) == {("captions", "en", "uploaded", "ttml")}


def test_captions_that_are_in_the_information_itself_are_written(fetched: Callable[..., Fetched]) -> None:
    found = fetched(subtitles={"en": [{"data": VTT.decode(), "ext": "vtt"}]})
    assert found.side_files[0].path.read_bytes() == VTT


@pytest.mark.parametrize(
    ("body", "properties", "code"),
    [
        (VTT, {"statuses": [404]}, "not_found"),
        (b"", {}, "empty_response"),
        (b"<html></html>", {}, "not_captions"),
        (b"hello", {}, "not_captions"),
    ],
)
def test_captions_that_cannot_be_had_are_written_down_and_the_others_taken(
    server: SourceServer, fetched: Callable[..., Fetched], body: bytes, properties: dict[str, Any], code: str
) -> None:
    found = fetched(
        subtitles={"de": [captions(server, "de.vtt", body, **properties)], "en": [captions(server, "en.vtt")]}
    )
    assert shown(found.side_files) == {("captions", "en", "uploaded", "vtt")}
    assert not_fetched(found) == [("captions", "de", "uploaded", code)]


def test_a_host_that_asks_for_less_is_asked_for_no_more_captions(
    server: SourceServer, fetched: Callable[..., Fetched]
) -> None:
    tracks = {name: [captions(server, f"{name}.vtt", statuses=[429])] for name in ("de", "en", "fr")}
    found = fetched(subtitles=tracks)
    assert [code for *_, code in not_fetched(found)] == ["rate_limited"] * 3
    assert sum(server.requests[f"/{name}.vtt"] for name in tracks) == 1


def test_a_site_with_more_captions_than_there_are_languages_does_not_fill_the_disk(
    server: SourceServer, fetched: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_files, "_MOST_CAPTIONS", 3)
    track = captions(server, "a.vtt")
    assert len(fetched(subtitles={f"x{number}": [track] for number in range(9)}).side_files) == 3


def test_captions_that_take_too_long_are_left(
    server: SourceServer, fetched: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_files, "_LONGEST_SECONDS", 0.0)
    found = fetched(subtitles={"en": [captions(server, "en.vtt")]})
    assert not_fetched(found) == [("captions", "en", "uploaded", "too_slow")]
    assert not server.requests["/en.vtt"]


def test_what_stands_in_the_place_of_a_language_and_is_none_is_left(
    server: SourceServer, fetched: Callable[..., Fetched], caplog: pytest.LogCaptureFixture
) -> None:
    track, broken = captions(server, "a.vtt"), captions(server, "b.vtt", b"no captions")
    odd = {name: [track] for name in ("e\0n", "e\x1b[31mn", "x" * 1000, "\ud83d")}
    found = fetched(subtitles=odd | {"English (auto)": [track], "https://h/?token=CANARY": [broken]})
    assert shown(found.side_files) == {("captions", "English (auto)", "uploaded", "vtt")}
    assert "not fetched: not_captions" in caplog.text
    assert "CANARY" not in caplog.text


def _segments(server: SourceServer) -> dict[str, str]:
    for number in range(3):
        cue = f"WEBVTT\n\n00:0{number}.000 --> 00:0{number}.900\nSentence {number}.\n"
        server.add(f"/subs/{number}.vtt", cue.encode(), content_type="text/vtt")
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-PLAYLIST-TYPE:VOD"]
    lines += [line for number in range(3) for line in ("#EXTINF:1.0,", f"{number}.vtt")]
    playlist = "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()
    url = server.add("/subs/en.m3u8", playlist, content_type="application/vnd.apple.mpegurl")
    return {"url": url, "ext": "vtt", "protocol": "m3u8_native"}


def test_captions_in_segments_are_joined(server: SourceServer, fetched: Callable[..., Fetched]) -> None:
    found = fetched(subtitles={"en": [_segments(server)]})
    (joined,) = found.side_files
    text = joined.path.read_text()
    assert text.count("WEBVTT") == 1
    assert [text.index(f"Sentence {number}.") for number in range(3)]
    assert {path.name for path in joined.path.parent.glob("side-*")} == {joined.path.name}


def test_a_missing_segment_of_captions_is_written_down(server: SourceServer, fetched: Callable[..., Fetched]) -> None:
    track = _segments(server)
    del server.resources["/subs/1.vtt"]
    found = fetched(subtitles={"en": [track]})
    assert found.side_files == ()
    assert not_fetched(found) == [("captions", "en", "uploaded", "not_found")]


# ---- what does fail the fetch --------------------------------------------------------------------------------------


class Stop(BaseException):
    """An interrupt, like Dagster's."""


@pytest.mark.parametrize("refusal", [Stop("now"), KeyError("lease"), failure("not_found", "From the event.")])
@pytest.mark.parametrize("segmented", [False, True])
def test_what_progress_raises_during_side_files_comes_out(
    server: SourceServer, fetched: Callable[..., Fetched], refusal: BaseException, segmented: bool
) -> None:
    def stop(_: Progress) -> None:
        if server.requests["/en.vtt"] or server.requests["/subs/0.vtt"]:
            raise refusal

    track = _segments(server) if segmented else captions(server, "en.vtt")
    with pytest.raises(type(refusal)) as raised:
        fetched(FetchEvents(stop), subtitles={"en": [track]})
    assert raised.value is refusal


def test_a_full_disk_is_no_fault_of_the_captions(
    server: SourceServer, fetched: Callable[..., Fetched], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(side_files, "_copied", full)
    with pytest.raises(IngestError) as raised:
        fetched(subtitles={"en": [captions(server, "en.vtt")]})
    assert raised.value.code == "disk_full"


def test_side_files_of_an_earlier_attempt_go(
    server: SourceServer, fetched: Callable[..., Fetched], tmp_path: Path
) -> None:
    (tmp_path / "side-captions-7.vtt").write_bytes(VTT)
    (tmp_path / "side-thumbnail.png").write_bytes(PNG)
    found = fetched(subtitles={"en": [captions(server, "en.vtt")]})
    assert {path.name for path in tmp_path.glob("side-*")} == {each.path.name for each in found.side_files}


def test_no_signed_link_of_a_side_file_is_kept(server: SourceServer, fetched: Callable[..., Fetched]) -> None:
    track = captions(server, "en.vtt")
    found = fetched(
        subtitles={"en": [track | {"url": track["url"] + "?signature=CANARY"}]},
        thumbnails=[{"url": server.add("/t.jpg", JPEG) + "?token=CANARY"}],
    )
    assert len(found.side_files) == 2
    assert "CANARY" not in json.dumps(found.info)
