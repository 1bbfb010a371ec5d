"""Which captions are wanted: all that people made, and what was heard."""

from typing import Any

import pytest

from narralytica_ingest.sources.captions import automatic_key, wanted_captions


@pytest.mark.parametrize(
    ("offered", "spoken", "key"),
    [
        (["de", "de-orig", "en", "fr"], "de", "de-orig"),
        (["de", "de-orig", "en"], None, "de-orig"),
        (["de", "de-orig", "en"], "de-AT", "de-orig"),
        (["de-orig", "en-orig", "fr"], "en", "en-orig"),
        (["de-orig", "en-orig", "fr"], "fr", None),
        (["de-orig", "en-orig", "fr"], None, None),
        (["de-orig", "en"], "en", "de-orig"),  # one track was recognised: that is what was heard
        (["en", "en-de", "fr"], "en", "en"),
        (["en-de", "fr"], "en", None),  # English translated from German
        (["en-US", "fr"], "en", "en-US"),
        (["en-US", "en"], "en", "en"),
        (["zh-Hans", "fr"], "zh", "zh-Hans"),
        (["en"], None, "en"),
        (["en"], "de", None),
        (["en", "fr"], None, None),
        (["live_chat"], None, None),
        ([], "en", None),
    ],
)
def test_automatic_captions_are_taken_in_the_language_that_is_spoken(
    offered: list[str], spoken: str | None, key: str | None
) -> None:
    assert automatic_key(offered, spoken) == key


def test_each_language_comes_once_for_each_origin_with_the_best_format_first() -> None:
    tracks = [{"ext": name, "url": f"https://example.com/{name}"} for name in ("json3", "ttml", "srt", "vtt", "exe")]
    info: dict[str, Any] = {
        "subtitles": {"en": tracks, "fr": [{"ext": "vtt"}], "rechat": tracks, "de": None},
        "automatic_captions": {"en-orig": tracks[:2], "en": tracks[:1]},
    }
    wanted = list(wanted_captions(info, "en", uploaded=True, automatic=True))
    assert [(each.language, each.origin) for each in wanted] == [("en", "uploaded"), ("en", "automatic")]
    assert [each["ext"] for each in wanted[0].offers] == ["vtt", "srt", "ttml", "json3"]
