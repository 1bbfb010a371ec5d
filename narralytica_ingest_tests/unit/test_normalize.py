"""Metadata is what source, file and people state, cleaned and bounded; what nobody states is None."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narralytica_ingest.metadata import values as v
from narralytica_ingest.metadata.columns import COLUMNS, NAMES, Kind
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.metadata.schema import typed
from narralytica_ingest.metadata.values import Moment
from narralytica_ingest.store.metadata_rows import METADATA_COLUMNS

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ["title", "description", "channel", "channel_id", "channel_url", "uploader", "uploader_url", "language"]
FIELDS += ["timestamp", "upload_date", "release_timestamp", "release_date", "tags", "categories", "chapters", "license"]
FIELDS += ["subtitles", "automatic_captions", "thumbnail", "webpage_url", "age_limit", "live_status", "was_live"]
FIELDS += ["view_count", "like_count", "comment_count", "duration", "width", "height", "fps", "tbr", "vbr", "abr"]
FIELDS += ["asr", "vcodec", "acodec", "dynamic_range", "filesize", "ext", "audio_channels", "formats", "extractor_key"]
# What sources do send, beside whatever JSON holds.
scripts = st.sampled_from(
    ["שלום עולם", "हिन्दी", "e\u0301" * 9, "👩‍👩‍👧‍👦🏽", "\u202egnp.exe", "\ud83d", "x" * 70_000, "\u200d"]
)
likely = st.sampled_from(["2026-03-14", "20260314", "eng", "pt_br", "http://h/p", 0, -1, 2**63, 1e308, 1773480413])
infos = st.dictionaries(st.sampled_from(FIELDS), json_values | scripts | likely | st.lists(scripts, max_size=3))
streams = st.fixed_dictionaries({}, optional={"index": json_values, "codec": json_values, "rotation": json_values})
probes = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.dictionaries(st.sampled_from(["title", "date", "creation_time", "keywords", "artist"]), scripts),
        "video": st.lists(streams, max_size=2),
        "audio": st.lists(
            st.dictionaries(st.sampled_from(["language", "channels", "default"]), json_values), max_size=2
        ),
        "raw": json_values | st.fixed_dictionaries({"streams": json_values, "chapters": json_values}),
        "duration_seconds": json_values,
    },
)
hinted = st.dictionaries(st.sampled_from(["title", "channel", "language"]), json_values | scripts)


def row_of(info: dict[str, Any] | None = None, *, tags: dict[str, Any] | None = None, **known: Any) -> dict[str, Any]:
    return normalize(Reading("web-x", info=info, probe=known.pop("probe", {"tags": tags or {}}), **known))


@given(infos, probes, hinted, st.none() | scripts)
@settings(deadline=None, max_examples=60)  # each is checked by pandera; the first imports pandas
def test_whatever_is_stated_becomes_a_row_that_keeps_the_schema(
    info: dict[str, Any], probe: dict[str, Any], hints: dict[str, Any], file_name: str | None
) -> None:
    row = row_of(info, probe=probe, hints=hints, file_name=file_name, source="web", source_id="x")
    frame, invalid = typed([row])
    assert invalid == {}
    assert list(frame.columns) == list(NAMES)
    json.dumps(row, allow_nan=False, default=str).encode()  # neither NaN nor half a character
    stated = {name for name, value in row.items() if value is not None}
    assert set(row["origins"]) <= stated


def test_table_and_rows_have_the_same_columns() -> None:
    assert ("video_id", *METADATA_COLUMNS) == NAMES
    assert {column.kind for column in COLUMNS} == set(Kind)


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "x" * 2_000},
        {"language": "English"},
        {"age_limit": 300},
        {"view_count": -1},
        {"view_count": "many"},
        {"channel_url": "javascript:alert(1)"},
        {"live_status": "perhaps"},
        {"published_at": datetime(2026, 3, 14, tzinfo=UTC)},  # and no precision
        {"tags": "not a list"},
        {"origins": None},
        {"measured_rotation": 360},
        {"read_at": "yesterday"},
    ],
    ids=str,
)
def test_a_row_that_breaks_the_schema_is_a_failure_of_its_video_and_of_no_other(wrong: dict[str, Any]) -> None:
    rows = [row_of({"title": "A talk"}) | {"video_id": f"web-{number}"} for number in range(7)]
    rows[3] |= wrong
    frame, invalid = typed(rows)
    assert list(frame["video_id"]) == [f"web-{number}" for number in range(7) if number != 3]
    assert [(video_id, error.code) for video_id, error in invalid.items()] == [("web-3", "metadata_invalid")]
    assert "web-3" in invalid["web-3"].message


def test_no_row_is_no_failure() -> None:
    frame, invalid = typed([])
    assert (len(frame), invalid) == (0, {})


# ---- who states it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "tags", "hints", "file_name", "title", "origin"),
    [
        ({"title": "Source"}, {"title": "Tag"}, {"title": "Hint"}, "s3://b/File.mp4", "Source", "source"),
        ({}, {"title": "Tag"}, {"title": "Hint"}, "s3://b/File.mp4", "Hint", "hint"),
        ({}, {"TITLE": "Tag"}, {}, "s3://b/File.mp4", "Tag", "container"),
        ({}, {}, {}, "s3://b/a folder/My talk.mp4", "My talk", "file_name"),
        ({"title": "clip", "extractor_key": "Generic"}, {"title": "Tag"}, {}, None, "Tag", "container"),
        ({"title": "clip", "extractor_key": "Generic"}, {}, {}, None, "clip", "url"),
        ({"title": "\u202e"}, {}, {"title": "Hint"}, None, "Hint", "hint"),
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
    row = row_of(info, tags=tags, hints=hints, file_name=file_name)
    assert (row["title"], row["origins"].get("title")) == (title, origin)


def test_an_upload_is_described_by_its_file() -> None:
    probe = {
        "tags": {
            "artist": "Ada",
            "comment": "Of\r\nengines",
            "date": "2019",
            "genre": "Talk; History",
            "keywords": "a,b",
        }
        | {"creation_time": "2019-05-04T10:00:00.000000Z", "copyright": "CC BY"},
        "audio": [{"language": "fre"}, {"language": "ger", "default": True}],
        "raw": {
            "chapters": [{"start_time": "0.000000", "end_time": "61.5", "tags": {"title": "Intro"}}],
            "streams": [
                {"index": 0, "codec_type": "audio"},
                {"index": 2, "codec_type": "subtitle", "tags": {"language": "swe", "title": "Svenska"}},
            ],
        },
    }
    row = row_of(None, probe=probe, file_name="s3://uploads/engine.mkv")
    assert (row["title"], row["channel"], row["description"]) == ("engine", "Ada", "Of\nengines")
    assert (row["published_at"], row["published_precision"]) == (datetime(2019, 1, 1, tzinfo=UTC), "year")
    assert row["recorded_at"] == datetime(2019, 5, 4, 10, tzinfo=UTC)
    assert (row["language"], row["categories"], row["tags"]) == ("de", ["Talk", "History"], ["a", "b"])
    assert row["license"] == "CC BY"
    assert row["chapters"] == [{"title": "Intro", "start_seconds": 0.0, "end_seconds": 61.5}]
    assert row["captions"] == [{"language": "sv", "name": "Svenska", "origin": "container"}]
    assert set(row["origins"].values()) == {"container", "file_name"}


def test_what_a_source_says_is_kept_with_what_it_says_of_the_file() -> None:
    info = {
        "title": "T", "channel": "C", "channel_id": "UC1", "channel_url": "https://h/c", "license": "CC BY 4.0",
        "age_limit": 0, "live_status": "was_live", "view_count": 0, "like_count": 12, "language": "en-orig",
        "subtitles": ["de", "live chat"], "automatic_captions": ["en-orig"], "ext": "mp4", "tbr": 1500.5,
        "formats": [
            {"vcodec": "av01.0", "acodec": "none", "width": 3840, "height": 2160, "fps": 60, "dynamic_range": "HDR10"},
            {"vcodec": "none", "acodec": "opus", "asr": 48000, "audio_channels": 2, "abr": 128},
        ],
    }  # fmt: skip
    row = row_of(info)
    stated = {name: row[name] for name in ("channel_id", "channel_url", "license", "age_limit", "live_status")}
    assert list(stated.values()) == ["UC1", "https://h/c", "CC BY 4.0", 0, "was_live"]
    assert (row["view_count"], row["like_count"], row["comment_count"]) == (0, 12, None)
    assert row["captions"] == [
        {"language": "de", "name": "de", "origin": "uploaded"},
        {"language": None, "name": "live chat", "origin": "uploaded"},
        {"language": "en", "name": "en-orig", "origin": "automatic"},
    ]
    declared = {name.removeprefix("declared_"): row[name] for name in NAMES if name.startswith("declared_")}
    assert {name: value for name, value in declared.items() if value is not None} == {
        "container": "mp4", "bit_rate": 1_500_500, "width": 3840, "height": 2160, "frame_rate": 60.0,
        "dynamic_range": "HDR10", "video_codec": "av01.0", "audio_codec": "opus", "audio_bit_rate": 128_000,
        "audio_channels": 2, "audio_sample_rate": 48_000,
    }  # fmt: skip


def test_declared_and_measured_values_stay_apart() -> None:
    probe = {
        "container": "mp4",
        "duration_seconds": 11.72,
        "video": [{"index": 0, "codec": "h264", "width": 480, "height": 270, "frame_rate": 25.0, "rotation": -90}],
        "audio": [{"codec": "aac", "channels": 1, "sample_rate": 44100}],
    }
    row = row_of({"duration": 12, "width": 1920, "height": 0}, probe=probe, size_bytes=10)
    assert (row["declared_duration_seconds"], row["measured_duration_seconds"]) == (12, 11.72)
    assert (row["declared_width"], row["measured_width"], row["declared_height"]) == (1920, 480, None)
    assert (row["measured_size_bytes"], row["measured_rotation"]) == (10, 270)


@pytest.mark.parametrize(
    ("stream", "dynamic_range"),
    [
        ({"color_transfer": "smpte2084"}, "HDR10"),
        ({"color_transfer": "arib-std-b67"}, "HLG"),
        ({"color_transfer": "bt709"}, "SDR"),
        ({"color_transfer": "smpte2084", "side_data_list": [{"side_data_type": "DOVI configuration record"}]}, "DV"),
        ({"color_transfer": "unknown"}, None),
        ({"color_transfer": "bt709", "told": "HLG"}, "HLG"),
        ({}, None),
    ],
)
def test_the_dynamic_range_is_that_of_the_picture(stream: dict[str, Any], dynamic_range: str | None) -> None:
    picture = {"index": 1, "dynamic_range": stream.get("told")}
    probe = {"video": [picture], "raw": {"streams": [{"index": 0}, {"index": 1, **stream}]}}
    assert row_of(probe=probe)["measured_dynamic_range"] == dynamic_range


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "published", "precision"),
    [
        ({"timestamp": 1773480413}, "2026-03-14T09:26:53+00:00", "second"),
        ({"upload_date": "20260314"}, "2026-03-14T00:00:00+00:00", "day"),
        ({"timestamp": 1773480413, "upload_date": "20200101"}, "2026-03-14T09:26:53+00:00", "second"),
        ({"timestamp": 1773480413, "release_date": "20260401"}, "2026-04-01T00:00:00+00:00", "day"),
        ({"timestamp": 0}, None, None),
        ({"timestamp": 1773480413000}, None, None),  # milliseconds
        ({"upload_date": "20260230"}, None, None),
        ({"upload_date": "19700101"}, None, None),
        ({"upload_date": "yesterday"}, None, None),
        ({}, None, None),
    ],
)
def test_a_date_is_what_the_source_states_in_utc_or_nothing(
    info: dict[str, Any], published: str | None, precision: str | None
) -> None:
    row = row_of(info)
    assert (row["published_at"] and row["published_at"].isoformat(), row["published_precision"]) == (
        published,
        precision,
    )


def test_a_release_is_told_from_the_upload() -> None:
    row = row_of({"timestamp": 1773480413, "release_timestamp": 1773999999})
    assert (row["uploaded_at"] < row["published_at"], row["uploaded_precision"]) == (True, "second")


@pytest.mark.parametrize(
    ("value", "at", "precision"),
    [
        ("2026-11-22T10:00:00+0100", datetime(2026, 11, 22, 9, tzinfo=UTC), "second"),
        ("2026-11-22T10:00:00.987654Z", datetime(2026, 11, 22, 10, tzinfo=UTC), "second"),
        ("2026-11-22 10:00", datetime(2026, 11, 22, tzinfo=UTC), "day"),  # whose ten o'clock?
        ("2026:11:22", datetime(2026, 11, 22, tzinfo=UTC), "day"),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), "month"),
        ("2026", datetime(2026, 1, 1, tzinfo=UTC), "year"),
    ],
)
def test_of_a_time_is_kept_what_is_known_of_it(value: str, at: datetime, precision: Any) -> None:
    assert v.moment(value) == Moment(at, precision)


@pytest.mark.parametrize("value", ["1904-01-01T00:00:00Z", "0000", "22.11.2026", "9999-12-31T23:59:59-10:00", "", 2026])
def test_what_is_no_time_is_none(value: object) -> None:
    assert v.moment(value) is None


# ---- text ------------------------------------------------------------------------------------------------------------


def test_text_is_normalized_freed_of_control_characters_and_bounded() -> None:
    assert v.line("  A\u0301 \x1b[31mred\x00\u202e line\nand more ") == "\u00c1 [31mred line and more"
    assert v.text("two\r\nlines\u2028or three") == "two\nlines\nor three"
    assert len(v.text("x" * 50_000_000) or "") == v.TEXT_CHARACTERS
    assert v.text(" \x00 ") is v.text("\u200d\u200c") is None


def test_scripts_are_left_as_they_are_written() -> None:
    for written in ("مرحبا، می‌خواهم", "שָׁלוֹם", "क्‍ष", "👩‍👩‍👧‍👦", "ﾊﾝｶｸ", "Việt Nam"):
        assert v.line(written) == written


@given(st.text(alphabet="e\u0301\u200d👩🏽\u05b8ש ", max_size=60), st.integers(1, 30))
def test_a_cut_leaves_no_half_of_a_character(written: str, limit: int) -> None:
    kept = v.text(written, limit)
    if kept is not None:
        assert len(kept) <= limit
        assert kept == v.text(kept, limit)
        assert not kept.endswith("\u200d") or v.text(written) == kept


@given(st.text())
def test_cleaning_twice_is_cleaning_once(written: str) -> None:
    for clean in (v.text, v.line, v.url, v.word, v.language):
        once = clean(written)
        assert clean(once) == once


# ---- languages, numbers, addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        ("EN", "en"), ("pt_br", "pt-BR"), ("zh-hans", "zh-Hans"), ("eng", "en"), ("ger", "de"), ("iw", "he"),
        ("en-orig", "en"), ("en-US-desc", "en-US"), ("es-419", "es-419"), ("und", None), ("zxx", None),
        ("English", None), ("xx", None), ("live_chat", None), ("de; drop", None), ("", None), (5, None),
    ],
)  # fmt: skip
def test_a_language_is_a_tag_or_unknown(value: object, tag: str | None) -> None:
    assert v.language(value) == tag


@pytest.mark.parametrize(
    ("value", "number", "count"),
    [
        (3, 3, 3),
        (0, None, 0),
        (-1, None, None),
        (True, None, None),
        ("7", 7, None),
        (1e300, None, None),
        ([], None, None),
    ],
)
def test_what_is_measured_is_above_nothing_and_what_is_counted_may_be_nothing(
    value: object, number: int | None, count: int | None
) -> None:
    assert (v.whole(value), v.count(value)) == (number, count)


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "//h/p", "http://h/a b", "http://h/\u202e", "http://h/" + "x" * 3000]
)
def test_an_address_that_would_have_to_be_cleaned_is_none(value: str) -> None:
    assert v.url(value) is None
