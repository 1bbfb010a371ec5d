"""Metadata is what source, file and people state, cleaned and bounded; what nobody states is None."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.metadata import normalize as n
from narralytica_ingest.metadata.normalize import normalize
from narralytica_ingest.store.metadata_rows import METADATA_COLUMNS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["title", "description", "channel", "uploader", "language", "timestamp", "upload_date", "release_date", "tags"]
FIELDS += ["categories", "chapters", "thumbnail", "webpage_url", "duration", "width", "height", "extractor_key"]
infos = st.dictionaries(st.sampled_from(FIELDS), json_values)


@given(infos, st.dictionaries(st.sampled_from(["title", "channel", "language"]), json_values))
def test_whatever_a_source_states_becomes_a_row_that_the_table_can_hold(
    info: dict[str, Any], hints: dict[str, Any]
) -> None:
    row = normalize("web-x", info, {}, hints)
    assert set(row) == {"video_id", *METADATA_COLUMNS}
    json.dumps(row, allow_nan=False)
    assert len(row["title"] or "") <= n.TITLE_CHARACTERS
    assert all(row[name] is None or 0 < row[name] < 2**31 for name in ("declared_width", "declared_height"))


@pytest.mark.parametrize(
    ("info", "tags", "hints", "file_name", "title", "origin"),
    [
        ({"title": "Source"}, {"title": "Tag"}, {"title": "Hint"}, "s3://b/File.mp4", "Source", "source"),
        ({}, {"title": "Tag"}, {"title": "Hint"}, "s3://b/File.mp4", "Hint", "hint"),
        ({}, {"TITLE": "Tag"}, {}, "s3://b/File.mp4", "Tag", "container"),
        ({}, {}, {}, "s3://b/a folder/My talk.mp4", "My talk", "file_name"),
        ({"title": "clip", "extractor_key": "Generic"}, {"title": "Tag"}, {}, None, "Tag", "container"),
        ({"title": "clip", "extractor_key": "Generic"}, {}, {}, None, "clip", "url"),
        ({}, {}, {}, None, None, None),
    ],
)
def test_the_title_comes_from_the_most_trusted_who_states_one(
    info: dict[str, Any],
    tags: dict[str, Any],
    hints: dict[str, Any],
    file_name: str | None,
    title: str | None,
    origin: str | None,
) -> None:
    row = normalize("web-x", info, {"tags": tags}, hints, file_name)
    assert (row["title"], row["origins"].get("title")) == (title, origin)


@pytest.mark.parametrize(
    ("info", "published"),
    [
        ({"timestamp": 1773480413}, "2026-03-14T09:26:53+00:00"),
        ({"upload_date": "20260314"}, "2026-03-14T00:00:00+00:00"),
        ({"timestamp": 1773480413, "upload_date": "20200101"}, "2026-03-14T09:26:53+00:00"),
        ({"timestamp": 0}, None),
        ({"upload_date": "2026"}, None),
        ({"upload_date": "19700101"}, None),
        ({"upload_date": "yesterday"}, None),
        ({}, None),
    ],
)
def test_a_date_is_what_the_source_states_in_utc_or_nothing(info: dict[str, Any], published: str | None) -> None:
    assert normalize("web-x", info, {}, {})["published_at"] == published


def test_declared_and_measured_values_stay_apart() -> None:
    probe = {
        "container": "mp4",
        "duration_seconds": 11.72,
        "size_bytes": 10,
        "video": [{"codec": "h264", "width": 480, "height": 270, "frame_rate": 25.0}],
        "audio": [{"codec": "aac", "channels": 1, "sample_rate": 44100}],
    }
    row = normalize("web-x", {"duration": 12, "width": 1920, "height": 0}, probe, {})
    assert (row["declared_duration_seconds"], row["measured_duration_seconds"]) == (12, 11.72)
    assert (row["declared_width"], row["measured_width"], row["declared_height"]) == (1920, 480, None)


def test_text_is_normalized_freed_of_control_characters_and_bounded() -> None:
    assert n.line("  A\u0301 \x1b[31mred\x00\u202e line\nand more ") == "\u00c1 [31mred line and more"
    assert n.text("two\r\nlines") == "two\nlines"
    assert len(n.text("x" * 50_000_000) or "") == n.TEXT_CHARACTERS
    assert n.text(" \x00 ") is None


@pytest.mark.parametrize(
    ("value", "tag"),
    [("EN", "en"), ("pt-br", "pt-BR"), ("zh-Hans", "zh-Hans"), ("und", None), ("English", None), (5, None)],
)
def test_a_language_is_a_tag_or_unknown(value: object, tag: str | None) -> None:
    assert n.language(value) == tag
