"""Which picture and which sound are chosen: by the real yt-dlp, from tables of what sources offer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources import formats
from narralytica_ingest.sources.fetching import FetchOptions
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.extract import _choice
from narralytica_ingest.sources.ytdlp.options import parameters

Format = dict[str, Any]


def chosen(folder: Path, offered: list[Format], selector: str | None = None, max_height: int = 1080) -> list[str]:
    """The ids that the real yt-dlp chooses."""
    info = {"id": "x", "title": "x", "extractor": "test", "extractor_key": "Test", "webpage_url": "http://127.0.0.1/x"}
    options = FetchOptions(format=selector, max_height=max_height)
    with Downloader(parameters(folder, options)) as downloader:
        downloader.format_selector = _choice(downloader, selector)
        found = downloader.process_ie_result(info | {"formats": [dict(each) for each in offered]}, download=False)
    return [each["format_id"] for each in found.get("requested_formats") or [found]]


def refusal(call: Callable[[], object]) -> str | None:
    """Class and code of the failure that the call ends with; None if it ends well."""
    try:
        call()
    except IngestError as error:
        return f"{error.failure_class}/{error.code}"
    return None


def picture(name: str, height: int, **more: Any) -> Format:
    return {
        "format_id": name, "url": f"http://127.0.0.1/{name}", "ext": "mp4", "vcodec": "avc1.640028", "acodec": "none",
        "height": height, "width": height * 16 // 9, "tbr": height, **more,
    }  # fmt: skip


def sound(name: str, language: str | None, preference: int | None, tbr: int = 128, **more: Any) -> Format:
    return {
        "format_id": name, "url": f"http://127.0.0.1/{name}", "ext": "m4a", "vcodec": "none", "acodec": "mp4a.40.2",
        "language": language, "language_preference": preference, "tbr": tbr, "abr": tbr, **more,
    }  # fmt: skip


def both(name: str, height: int, language: str | None = None, preference: int | None = None, **more: Any) -> Format:
    return picture(name, height, acodec="mp4a.40.2", language=language, language_preference=preference, **more)


def rendition(name: str, language: str, *, default: bool) -> Format:
    """An audio rendition of an HLS master playlist, as yt-dlp describes it."""
    return {
        "format_id": name, "url": f"http://127.0.0.1/{name}.m3u8", "ext": "mp4", "protocol": "m3u8_native",
        "vcodec": "none", "language": language, "source_preference": None if default else -2, "format_note": name,
    }  # fmt: skip


P720, P1080 = picture("p720", 720), picture("p1080", 1080)
TABLE: dict[str, tuple[list[Format], list[str]]] = {
    "picture and sound apart": ([P720, P1080, sound("a", "en", 10)], ["p1080", "a"]),
    "only files that hold both": ([both("b360", 360), both("b720", 720)], ["b720"]),
    "one file, of which nothing is known": ([{"format_id": "f", "url": "http://127.0.0.1/f.mp4"}], ["f"]),
    "sound only": ([sound("low", None, None, 64), sound("high", None, None, 128)], ["high"]),
    "picture only": ([P720], ["p720"]),
    "a small file with sound beside a large picture": (
        [both("18", 360, "de", 10), P1080, sound("140", "de", 10)], ["p1080", "140"],
    ),
    "the original against a dub of better quality": (
        [P720, sound("dub", "en", -1, 256), sound("original", "de", 10, 96)], ["p720", "original"],
    ),
    "the original against the default": (
        [P720, sound("default", "en", 5, 256), sound("original", "de", 10, 96)], ["p720", "original"],
    ),
    "the default where no original is named": (
        [P720, sound("default", "en", 5, 96), sound("other", "de", -1, 256)], ["p720", "default"],
    ),
    "the original by its note": (
        [P720, sound("o", "de", None, 96, format_note="German original, low"), sound("x", "en", None, 256)],
        ["p720", "o"],
    ),
    "the original by its URL": (
        [P720, sound("o", "de", -1, 96, url="http://127.0.0.1/o?xtags=acont%3Doriginal%3Alang%3Dde"),
         sound("x", "en", -1, 256, url="http://127.0.0.1/x?xtags=acont%3Ddubbed-auto%3Alang%3Den")],
        ["p720", "o"],
    ),
    "a dub that is the default": (
        [P720, sound("dub", "en", 5, 256, format_note="English dubbed-auto (default)"), sound("o", "de", -1, 96)],
        ["p720", "o"],
    ),
    "audio description of better quality": (
        [P720, sound("desc", "en-desc", -10, 256), sound("plain", "en", -1, 96)], ["p720", "plain"],
    ),
    "commentary, by its note": (
        [P720, sound("c", "en", None, 256, format_note="Director's commentary"), sound("plain", "en", None, 96)],
        ["p720", "plain"],
    ),
    "audio description where nothing else is": ([P720, sound("desc", "en-desc", -10)], ["p720", "desc"]),
    "the original sound in a small file only": (
        [both("18", 360, "de", 10), P1080, sound("dub", "en", -1, 256)], ["18"],
    ),
    "languages of which nothing is known": (
        [P720, sound("low", None, None, 64), sound("high", None, None, 128)], ["p720", "high"],
    ),
    "one language, unranked": ([P720, sound("a", "de", -1)], ["p720", "a"]),
    "a place that only sounds like a dub": (
        [P720, sound("low", "en", None, 64), sound("d", "en", None, 128, format_note="Dublin")], ["p720", "d"],
    ),
    "an HLS master with a default rendition": (
        [picture("hls", 720, protocol="m3u8_native"), rendition("a-default", "de", default=True),
         rendition("z-alternate", "en", default=False)],
        ["hls", "a-default"],
    ),
    "an HLS master whose renditions are all alternates": (
        [picture("hls", 720, protocol="m3u8_native"), rendition("a", "de", default=False)], ["hls", "a"],
    ),
    "HLS variants with sound, each in another language": (
        [both("91-0", 720, "en", -1, protocol="m3u8_native"), both("91-1", 720, "de", 10, protocol="m3u8_native"),
         picture("136", 720), sound("140", "de", 10)],
        ["136", "140"],
    ),
    "formats that may be under DRM": (
        [picture("maybe", 1080, has_drm="maybe"), both("clear", 360)], ["clear"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("offered", "ids"), TABLE.values(), ids=TABLE)
def test_the_best_picture_comes_with_the_best_original_sound(
    tmp_path: Path, offered: list[Format], ids: list[str]
) -> None:
    assert chosen(tmp_path, offered) == ids


@pytest.mark.parametrize(
    ("heights", "limit", "height"), [((360, 720, 1080), 720, 720), ((360, 720), 1080, 720), ((720, 1080), 480, 720)]
)
def test_the_picture_is_the_best_up_to_the_limit_else_the_smallest(
    tmp_path: Path, heights: tuple[int, ...], limit: int, height: int
) -> None:
    offered = [picture(str(each), each) for each in heights]
    assert chosen(tmp_path, [*offered, sound("a", "en", 10)], max_height=limit) == [str(height), "a"]


def test_a_portrait_video_is_measured_by_its_shorter_side(tmp_path: Path) -> None:
    tall = [picture("small", 1280, width=720), picture("large", 1920, width=1080), picture("huge", 3840, width=2160)]
    assert chosen(tmp_path, tall) == ["large"]


DUBS = [sound("140-1", "en", -1, format_note="English dubbed-auto"), sound("140-2", "fr", -1, format_note="French dub")]
UNMARKED = [sound("140-1", "en", -1), sound("140-2", "fr", -1)]


@pytest.mark.parametrize("sounds", [DUBS, UNMARKED, DUBS[:1]], ids=["marked", "ranked, none the original", "a single"])
def test_where_only_translations_are_offered_none_is_taken(tmp_path: Path, sounds: list[Format]) -> None:
    with pytest.raises(IngestError) as raised:
        chosen(tmp_path, [P720, *sounds])
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.TRANSIENT, "original_audio_missing")


ORIGINAL = sound("140-0", "de", 10, 96, format_note="German original (default)")


@pytest.mark.parametrize(
    ("selector", "ids"),
    [
        ("ba", ["140-0"]),
        ("bv+ba", ["p1080", "140-0"]),
        ("bv[height<=720]+ba", ["p720", "140-0"]),
        ("worst*", ["140-0"]),
        ("bv+140-2", ["p1080", "140-2"]),
        ("bv+ba[language=fr]", ["p1080", "140-2"]),
        ("bv+ba[language^=e]", ["p1080", "140-1"]),
    ],
)
def test_a_selector_gets_a_dub_only_where_it_names_it(tmp_path: Path, selector: str, ids: list[str]) -> None:
    assert chosen(tmp_path, [P720, P1080, ORIGINAL, *DUBS], selector) == ids


def test_a_selector_may_name_a_dub_where_the_original_is_missing(tmp_path: Path) -> None:
    assert chosen(tmp_path, [P720, *DUBS], "bv+140-1") == ["p720", "140-1"]


@pytest.mark.parametrize("selector", ["bv+", "bv[height<", "bv)"])
def test_a_selector_that_cannot_be_read_is_the_jobs_fault(tmp_path: Path, selector: str) -> None:
    with pytest.raises(IngestError) as raised:
        chosen(tmp_path, [P720], selector)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "invalid_options")


_offers = st.lists(
    st.builds(
        lambda language, preference, has_picture, note: {
            "acodec": "mp4a", "vcodec": "avc1" if has_picture else "none", "language": language,
            "language_preference": preference, "format_note": note,
        },
        st.sampled_from([None, "de", "en", "en-desc"]),
        st.sampled_from([None, -10, -1, 5, 10]),
        st.booleans(),
        st.sampled_from(["", "dubbed", "German original", "descriptive"]),
    ),
    max_size=8,
)  # fmt: skip


@given(offers=_offers)
def test_no_dub_is_ever_left_and_none_is_lost_without_a_word(offers: list[Format]) -> None:
    pictures = [{"acodec": "none", "vcodec": "avc1"}]
    if refusal(lambda: formats.in_original_language([*pictures, *offers])) == "transient/original_audio_missing":
        return
    kept = formats.in_original_language([*pictures, *offers])
    assert kept[0] is pictures[0]
    assert all(each.get("format_note") != "dubbed" for each in kept)
    assert len(kept) > 1 or not offers
    plain = [each for each in offers if not each["format_note"] and each["language"] != "en-desc"]
    original = [each for each in plain if each["language_preference"] == 10]
    assert not original or any(each["language_preference"] == 10 for each in kept[1:])


def test_the_languages_offered_and_the_one_spoken_are_told() -> None:
    offered = [P720, ORIGINAL, *DUBS, sound("x", None, None)]
    assert formats.audio_languages(offered) == ["de", "en", "fr"]
    assert formats.spoken_language({"requested_formats": [P720, ORIGINAL]}) == "de"
    assert formats.spoken_language({"language": "de", "acodec": "none"}) is None
    assert formats.spoken_language({"requested_formats": [P720, sound("d", "en-desc", -10)]}) == "en"


@pytest.mark.parametrize(
    ("sizes", "refused"),
    [
        ([{"filesize": 1000}], False),
        ([{"filesize": 1001}], True),
        ([{"filesize": 600}, {"filesize": 500}], True),
        ([{"filesize_approx": 2000}], False),
        ([{"filesize_approx": 2001}], True),
        ([{"tbr": 1.0}], False),
        ([{"tbr": 2.0}], True),
        ([{}], False),
    ],
)
def test_a_size_above_the_limit_is_refused_and_an_estimate_only_from_twice_on(
    sizes: list[Format], refused: bool
) -> None:
    said = refusal(lambda: formats.refuse_too_large(sizes, duration=10, limit=1000))
    assert said == ("permanent/too_large" if refused else None)


@pytest.mark.parametrize(("duration", "refused"), [(None, False), (60, False), (60.5, True), ("long", False)])
def test_a_duration_above_the_limit_is_refused(duration: object, refused: bool) -> None:
    assert refusal(lambda: formats.refuse_too_long(duration, 60)) == ("permanent/too_long" if refused else None)


def test_parts_that_will_be_joined_need_their_disk_twice() -> None:
    parts = [{"filesize": 1000}, {"filesize_approx": 100}]
    assert formats.needed_bytes(parts, None, joined=True) == 2200
    assert formats.needed_bytes(parts[:1], None, joined=False) == 1000
    assert formats.needed_bytes([{"tbr": 8.0}], 10, joined=False) == 10_000
    assert formats.needed_bytes([{}], 10, joined=True) is None
