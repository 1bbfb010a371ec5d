"""What is kept of what a source says, and in which form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.sources.source_info import kept_info


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, None),
        ([], None),
        (
            [{"start_time": 0, "end_time": 5.5, "title": "Intro", "url": "https://secret"}],
            [{"start_time": 0, "end_time": 5.5, "title": "Intro"}],
        ),
        (
            [{"start_time": 9}, {"start_time": 0, "title": ""}],
            [{"start_time": 0, "end_time": None, "title": None}, {"start_time": 9, "end_time": None, "title": None}],
        ),
        ([{"start_time": 9, "end_time": 3}], [{"start_time": 9, "end_time": None, "title": None}]),
        ([{"end_time": 3}, "x", {"start_time": "0"}, {"start_time": -1}, {"start_time": True}], None),
        ([{"start_time": float("nan")}, {"start_time": float("inf")}], None),
        ("0:00 Intro", None),
    ],
)
def test_chapters_have_a_start_an_end_and_a_title(said: Any, kept: Any) -> None:
    assert kept_info({"chapters": said}).get("chapters") == kept


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(chapters=_values | st.lists(st.dictionaries(st.sampled_from(["start_time", "end_time", "title"]), _values)))
def test_whatever_chapters_are_said_to_be_the_rest_is_kept(chapters: Any) -> None:
    kept = kept_info({"id": "x", "chapters": chapters})
    assert kept["id"] == "x"
    assert json.loads(json.dumps(kept)) == kept
    assert all(set(each) == {"start_time", "end_time", "title"} for each in kept.get("chapters", []))


def test_the_language_is_that_of_the_chosen_sound_and_all_that_are_offered_are_told() -> None:
    picture = {"format_id": "137", "acodec": "none", "vcodec": "avc1", "language": "en"}
    german = {"format_id": "140", "acodec": "mp4a", "vcodec": "none", "language": "de", "language_preference": 10}
    dub = german | {"format_id": "140-1", "language": "en", "language_preference": -1}
    kept = kept_info({"language": "en+de", "requested_formats": [picture, german], "formats": [picture, german, dub]})
    assert kept["language"] == "de"
    assert kept["audio_languages"] == ["de", "en"]
    assert [each["format_id"] for each in kept["formats"]] == ["137", "140"]


def test_where_nothing_is_said_of_languages_nothing_is_kept() -> None:
    assert not {"language", "audio_languages"} & set(kept_info({"formats": [{"format_id": "0"}]}))


def test_what_neither_utf_8_nor_postgres_can_hold_is_taken_out() -> None:
    info = {"id": "a\0b", "title": "half an emoji \ud83d", "tags": ["\0", {"\udfff": "\ud800 x"}], "duration": 1.5}
    kept = kept_info(info)
    assert (kept["id"], kept["title"]) == ("ab", "half an emoji \ufffd")
    assert kept["tags"] == ["", {"\ufffd": "\ufffd x"}]
    assert "\\u0000" not in json.dumps(kept)
    json.dumps(kept, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://u:CANARY@h/v.mp4?X-Amz-Signature=CANARY&v=1#t=9", "https://h/v.mp4?v=1"),
        ("https://h/v?token=CANARY&hdnts=CANARY&sig=CANARY", "https://h/v"),
        ("https://h/watch?e=5&exp=2&keyword=a&id=x%26y&flag", "https://h/watch?e=5&exp=2&keyword=a&id=x%26y&flag"),
    ],
)
def test_a_page_is_kept_without_what_opens_it(url: str, kept: str) -> None:
    assert kept_info({"webpage_url": url, "original_url": url})["webpage_url"] == kept
    assert "CANARY" not in json.dumps(kept_info({"webpage_url": url, "original_url": url}))


def test_the_domain_of_a_page_holds_no_login() -> None:
    assert kept_info({"webpage_url_domain": "user:CANARY@example.com"})["webpage_url_domain"] == "example.com"
