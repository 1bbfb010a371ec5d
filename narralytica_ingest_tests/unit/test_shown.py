"""What the UI is given to show: small, honest about the unknown, and never strangers' words as Markdown."""

import re
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.assets import verdicts
from narralytica_ingest.assets.checks import CHECKS
from narralytica_ingest.media.findings import FINDINGS
from narralytica_ingest.shown import (
    INLINE_BYTES,
    inline_picture,
    picture_at,
    shown_audio,
    shown_metadata,
    shown_original,
)
from narralytica_ingest.shown.pictures import INLINE_CHARACTERS, waveform
from narralytica_ingest.shown.tables import clock, table

SVG = "{http://www.w3.org/2000/svg}"
SOUND = {"index": 1, "codec": "aac", "channels": 6, "sample_rate": 48000, "language": "en", "title": "Main"}
FACTS: dict[str, Any] = {
    "source_stream": SOUND,
    "chosen": "The only track in the original language.",
    "others": [SOUND | {"index": 2, "language": "fr", "kind": "dub"}],
    "loudness": {"integrated_lufs": -18.2, "range_lu": 5.1, "true_peak_dbtp": -1.0},
    "silence_share": 0.25,
    "clipping_share": 0.0,
    "duration_seconds": 11.72,
    "findings": [{"code": "clipped", "message": "Some of it is overdriven."}],
    "waveform": [0.0, 0.5, 1.0],
}
PROBE: dict[str, Any] = {
    "container": "mp4",
    "duration_seconds": 11.7,
    "video": [{"index": 0, "codec": "h264", "width": 480, "height": 270, "frame_rate": 25.0, "rotation": 90}],
    "audio": [SOUND | {"default": True, "bit_rate": 64000}],
    "raw": {"chapters": [{"start_time": "0.000", "end_time": "5.5", "tags": {"title": "[Intro](javascript:1)"}}]},
}


def drawing(peaks: list[float]) -> ElementTree.Element:
    picture = waveform(peaks)
    assert picture is not None
    found = re.fullmatch(r"!\[waveform]\(data:image/svg\+xml,([^\s()<>#\"]+)\)", picture.value or "")
    assert found, picture.value
    return ElementTree.fromstring(unquote(found[1]))


def heights(svg: ElementTree.Element) -> list[int]:
    """Where the outline stands after each of its steps, in units of the drawing."""
    path = svg.findall(f"{SVG}path")[0].attrib["d"].partition("l")[2].partition("V")[0]
    at, reached = 0, []
    for step in path.split(","):
        at -= int(step[1:])
        reached.append(at)
    return reached


def rows(shown: dg.MetadataValue[Any]) -> list[dict[str, Any]]:
    assert isinstance(shown, dg.TableMetadataValue)
    return [dict(record.data) for record in shown.records]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=2_000))
def test_a_waveform_is_always_small_enough_to_be_drawn_in_place(peaks: list[float]) -> None:
    picture = waveform(peaks)
    assert picture is not None
    assert len(picture.value or "") < INLINE_CHARACTERS
    assert all(0 <= height <= 40 for height in heights(drawing(peaks)))


def test_a_waveform_rises_and_falls_as_its_peaks_do_and_loses_none_of_them() -> None:
    assert heights(drawing([0.0, 0.5, 1.0, 0.25])) == [0, 20, 40, 10, 0]
    lonely = [0.0] * 999
    lonely[567] = 1.0
    assert max(heights(drawing(lonely))) == 40
    assert len(heights(drawing(lonely))) == 101


def test_without_peaks_there_is_no_waveform() -> None:
    assert waveform([]) is None


@pytest.mark.parametrize(("size", "is_shown"), [(INLINE_BYTES, True), (800, False)])
def test_a_picture_is_in_the_event_log_only_if_it_is_drawn_in_place(size: int, is_shown: bool) -> None:
    picture = inline_picture(b"\x00" * size, "image/webp", "preview")
    assert (picture is not None) == is_shown
    assert picture is None or len(picture.value or "") < INLINE_CHARACTERS


def test_the_link_to_a_picture_cannot_leave_its_brackets() -> None:
    shown = picture_at("https://cdn.example/a (1)[x].jpeg?v=1", "thumbnail")
    assert shown.value == "![thumbnail](https://cdn.example/a%20%281%29%5Bx%5D.jpeg?v=1)"


def test_an_audio_track_shows_its_sound_its_loudness_and_what_else_there_was() -> None:
    shown = shown_audio({"audio": [{"codec": "flac", "channels": 1, "sample_rate": 16000}]}, FACTS)
    assert (shown["integrated_lufs"], shown["loudness_range_lu"], shown["true_peak_dbtp"]) == (-18.2, 5.1, -1.0)
    assert (shown["silence_share"], shown["clipping_share"]) == (0.25, 0.0)
    assert (shown["codec"], shown["chosen"]) == ("flac", FACTS["chosen"])
    assert [(each["stream"], each["what"], each["language"]) for each in rows(shown["sounds"])] == [
        (1, "taken", "en"),
        (2, "dub", "fr"),
    ]
    assert rows(shown["findings"]) == FACTS["findings"]


@pytest.mark.parametrize("facts", [None, {}, {"loudness": None, "waveform": None, "others": None, "findings": []}])
def test_an_audio_track_of_which_little_is_known_shows_that_little(facts: dict[str, Any] | None) -> None:
    assert shown_audio({"duration_seconds": 2.5, "audio": []}, facts) == {"duration_seconds": 2.5}
    assert shown_audio(None, facts) == {}


def test_an_original_shows_its_streams_and_chapters() -> None:
    shown = shown_original(PROBE, {"findings": []})
    assert shown["resolution"] == "480x270"
    assert [each["details"] for each in rows(shown["streams"])] == [
        "480x270, 25 frames/s, turned 90°",
        "6 channels, 48000 Hz, default",
    ]
    assert rows(shown["chapters"]) == [{"start": "0:00.0", "end": "0:05.5", "title": "[Intro](javascript:1)"}]
    assert "findings" not in shown
    assert shown_original(None, None) == {}


def test_metadata_shows_what_is_declared_beside_what_was_measured() -> None:
    row = {
        "video_id": "v",
        "title": "A talk",
        "channel": None,
        "tags": ["ingest", "speech"],
        "declared_duration_seconds": 12.0,
        "measured_duration_seconds": 11.7204,
        "measured_container": "mp4",
        "declared_width": None,
        "measured_width": None,
        "chapters": [{"title": "Intro", "start_seconds": 0.0, "end_seconds": 3661.5}],
        "origins": {"title": "hint"},
    }
    shown = shown_metadata(row)
    assert rows(shown["metadata"]) == [
        {"field": "title", "value": "A talk", "from": "hint"},
        {"field": "tags", "value": "ingest, speech", "from": ""},
    ]
    assert rows(shown["declared_and_measured"]) == [
        {"value": "duration_seconds", "declared": 12.0, "measured": 11.72},
        {"value": "container", "declared": "", "measured": "mp4"},
    ]
    assert rows(shown["chapters"]) == [{"start": "0:00.0", "end": "1:01:01.5", "title": "Intro"}]


def test_no_words_of_strangers_are_markdown() -> None:
    strange = "![x](https://evil.example/pixel)"
    facts = FACTS | {"source_stream": SOUND | {"title": strange}, "chosen": strange}
    row = {"title": strange, "chapters": [{"title": strange}], "origins": {}}
    for shown in (shown_audio(PROBE, facts), shown_original(PROBE, FACTS), shown_metadata(row)):
        markdown = [each.value or "" for each in shown.values() if isinstance(each, dg.MarkdownMetadataValue)]
        assert not any("evil" in each for each in markdown)


def test_a_table_of_thousands_is_cut() -> None:
    shown = table({"n": "int"}, ({"n": number} for number in range(5_000)))
    assert [each["n"] for each in rows(shown)] == list(range(200))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, ""), (0, "0:00.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3600, "1:00:00.0"), (86_399.5, "23:59:59.5")],
)
def test_a_moment_is_written_as_people_write_it(seconds: float | None, words: str) -> None:
    assert clock(seconds) == words


def test_every_kind_of_finding_is_repeated_by_exactly_one_check() -> None:
    codes = [*verdicts.WHOLE, *verdicts.MATCHING, *verdicts.AUDIBLE]
    assert sorted(codes) == sorted(FINDINGS)


def test_only_what_harms_whoever_comes_next_is_blocking() -> None:
    blocking = {(asset, check.name) for asset, of_asset in CHECKS.items() for check in of_asset if check.blocking}
    assert blocking == {("raw_video", "stored"), ("audio_track", "stored")}
