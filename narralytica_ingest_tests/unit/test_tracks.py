"""Which sounds of a file are taken: the original's, never a dub or a commentary beside it, and what else is wanted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.probe import AudioStream, Probe
from narralytica_ingest.media.track_kinds import kind_of
from narralytica_ingest.media.tracks import ChosenTrack, choose, language_tag


def track(index: int, language: str | None = None, title: str | None = None, **more: Any) -> AudioStream:
    usual: dict[str, Any] = {
        "codec": "aac", "channels": 2, "sample_rate": 48_000, "default": False, "bit_rate": None,
        "start_seconds": 0.0, "duration_seconds": 100.0,
    }  # fmt: skip
    return AudioStream(index=index, language=language, title=title, **(usual | more))


def flagged(index: int, *flags: str, language: str | None = None, **more: Any) -> AudioStream:
    return track(index, language, dispositions=flags, **more)


def file(*audio: AudioStream) -> Probe:
    return Probe("matroska", "mkv", "video/x-matroska", 1, 0.0, 100.0, None, (), audio, {}, {"streams": []})


def original(*audio: AudioStream, said: str | None = None) -> ChosenTrack:
    return choose(file(*audio), (), said)[0]


def taken(*audio: AudioStream, wanted: list[str], said: str | None = None) -> list[tuple[int, str | None]]:
    return [(each.stream.index, each.language) for each in choose(file(*audio), wanted, said)]


# ---- what a track is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        (None, "plain"),
        ("English", "plain"),
        ("Stereo 2.0 (AAC)", "plain"),
        ("Surround 5.1", "plain"),
        ("Synchronized sound", "plain"),
        ("Original, not dubbed", "plain"),
        ("Adventure", "plain"),
        ("No commentary", "plain"),
        ("Spiel ohne Kommentar", "plain"),
        ("Director's Commentary", "commentary"),
        ("Audiokommentar mit Regisseur", "commentary"),
        ("Commentaire du réalisateur", "commentary"),
        ("Comentarios del director", "commentary"),
        ("Komentarz reżysera", "commentary"),
        ("Комментарии режиссёра", "commentary"),
        ("オーディオコメンタリー", "commentary"),
        ("English Audio Description", "description"),
        ("English AD", "description"),
        ("Descriptive Audio", "description"),
        ("Hörfilmfassung", "description"),
        ("Deutsch (Audiodeskription)", "description"),
        ("Audiodescripción", "description"),
        ("Audiodescrição", "description"),
        ("Audiodescrizione", "description"),
        ("Audiodescription (malvoyants)", "description"),
        ("Syntolkning", "description"),
        ("Тифлокомментарий", "description"),
        ("화면해설", "description"),
        ("English Dub", "dub"),
        ("Dubbed", "dub"),
        ("Deutsch (Synchronfassung)", "dub"),
        ("Deutsche Synchro", "dub"),
        ("VFF", "dub"),
        ("Français (doublé)", "dub"),
        ("Español (doblado)", "dub"),
        ("Português (dublado)", "dub"),
        ("Italiano doppiato", "dub"),
        ("Polski lektor", "dub"),
        ("Дублированный", "dub"),
        ("Многоголосый закадровый", "dub"),
        ("MVO (Amedia)", "dub"),
        ("日本語吹替", "dub"),
        ("国语配音", "dub"),
        ("더빙", "dub"),
        ("Türkçe Dublaj", "dub"),
        ("Original English Dub", "dub"),
        ("Dubbed commentary", "commentary"),
        ("Isolated Score", "wordless"),
        ("Music and Effects", "wordless"),
        ("Karaoke", "wordless"),
        ("Clear Dialogue", "clear"),
        ("Klare Sprache", "clear"),
    ],
)
def test_titles_tell_what_a_track_is_in_many_languages(title: str | None, kind: str) -> None:
    assert kind_of(track(1, title=title)) == kind


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        (("default", "original"), "plain"),
        (("dub",), "dub"),
        (("comment",), "commentary"),
        (("visual_impaired",), "description"),
        (("descriptions",), "description"),
        (("hearing_impaired",), "clear"),
        (("karaoke",), "wordless"),
        (("clean_effects",), "wordless"),
        (("dub", "visual_impaired"), "description"),
        (("original", "comment"), "commentary"),
    ],
)
def test_flags_tell_what_a_track_is(flags: tuple[str, ...], kind: str) -> None:
    assert kind_of(flagged(1, *flags)) == kind


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("ger", "de"), ("fre", "fr"), ("chi", "zh"), ("cmn", "zh"), ("eng", "en"), ("dut", "nl"),
        ("zh-hant", "zh-Hant"), ("en_US", "en-US"),
        ("en-desc", "en"), ("es-419", "es-419"), ("yue", "yue"), ("und", None), ("mis", None),
        ("mul", None), ("zxx", None), ("qaa", None), ("english", None), ("", None), ("x y", None), (None, None),
    ],
)  # fmt: skip
def test_languages_are_read_as_files_and_sources_write_them(tag: str | None, language: str | None) -> None:
    assert language_tag(tag) == language


# ---- the original --------------------------------------------------------------------------------------------------


def test_a_file_without_sound_has_no_track() -> None:
    with pytest.raises(IngestError, match="no sound"):
        choose(file())


@pytest.mark.parametrize(
    "other",
    [
        track(1, "eng", "Director's Commentary", default=True, channels=6),
        flagged(1, "comment", "default", language="eng"),
        flagged(1, "dub", "default", language="deu", channels=6),
        track(1, "deu", "Deutsch (Synchro)", default=True),
        flagged(1, "visual_impaired", language="eng"),
        track(1, "eng", "Isolated Score", default=True),
        track(1, "eng", "A sample", default=True, duration_seconds=20.0),
        track(1, "qad", default=True),
        track(1, "eng", default=True, channels=0, sample_rate=None),
    ],
    ids=["commentary", "flagged-comment", "flagged-dub", "dub", "description", "score", "fragment", "dvb", "empty"],
)
def test_the_sound_of_the_picture_goes_before_all_else(other: AudioStream) -> None:
    assert original(other, track(2, "eng")).stream.index == 2


def test_the_track_that_says_it_is_the_original_goes_before_the_default() -> None:
    assert original(track(1, "eng", default=True), flagged(2, "original", language="jpn")).stream.index == 2
    assert original(track(1, "eng", default=True), track(2, "jpn", "Japanese (Original)")).stream.index == 2
    assert original(track(1, "swe", default=True), track(2, "qaa")).stream.index == 2


def test_the_language_that_the_source_calls_the_original_goes_before_the_default() -> None:
    chosen = original(track(1, "deu", default=True), track(2, "eng"), said="en-GB")
    assert (chosen.stream.index, chosen.language) == (2, "en-GB")
    assert "en-GB" in chosen.why


@pytest.mark.parametrize(
    ("tag", "said"),
    [("ger", "de"), ("fre", "fr-CA"), ("chi", "zh-Hans"), ("cmn", "zh-TW"), ("nob", "no"), ("eng", "en-desc")],
)
def test_languages_match_however_they_are_written(tag: str, said: str) -> None:
    assert original(track(1, "spa", default=True), track(2, tag), said=said).stream.index == 2


@pytest.mark.parametrize(("tag", "said"), [("yue", "zh"), ("dan", "no"), ("cat", "es"), ("slk", "cs")])
def test_languages_that_are_only_akin_do_not_match(tag: str, said: str) -> None:
    assert original(track(1, tag), track(2, None), said=said).stream.index == 2


def test_the_country_decides_between_two_of_one_language() -> None:
    assert original(track(1, "pt-pt", default=True), track(2, "pt-br"), said="pt-BR").stream.index == 2


def test_a_track_of_unknown_language_may_be_the_original_where_another_is_not() -> None:
    chosen = original(track(1, "eng", default=True), track(2), said="fr")
    assert (chosen.stream.index, chosen.language) == (2, "fr")


def test_the_default_decides_where_nothing_is_said() -> None:
    assert original(track(1, "fra"), track(2, "deu", default=True)).stream.index == 2


def test_channels_then_a_far_better_bit_rate_then_the_place_decide_at_last() -> None:
    assert original(track(1, "fra"), track(2, "deu", channels=6)).stream.index == 2
    assert original(track(1, "fra", bit_rate=64_000), track(2, "deu", bit_rate=192_000)).stream.index == 2
    assert original(track(1, "fra", bit_rate=120_000), track(2, "deu", bit_rate=128_000)).stream.index == 1


def test_where_only_a_dub_is_left_it_is_taken_and_called_one() -> None:
    chosen = original(track(1, "deu", "Synchronfassung"), track(2, "deu", "Audiokommentar"))
    assert chosen.stream.index == 1
    assert "seems to be a dub" in chosen.why
    assert [(each.stream.index, each.kind) for each in chosen.others] == [(2, "commentary")]


def test_the_source_names_the_language_of_an_only_track_which_encoders_call_english() -> None:
    chosen = original(track(1, "eng"), said="de")
    assert chosen.language == "de"
    assert "said to be in de, and the file calls this track en: taken for de." in chosen.why


def test_what_else_there_was_is_recorded_with_its_kind() -> None:
    chosen = original(
        track(1, "eng", default=True),
        flagged(2, "dub", language="deu"),
        track(3, "eng", "Commentary"),
        flagged(4, "visual_impaired", language="eng"),
        track(5, "fra"),
        track(6, None, "Music and Effects"),
    )
    kinds = [(each.stream.index, each.kind) for each in chosen.others]
    assert kinds == [(2, "dub"), (3, "commentary"), (4, "description"), (5, "other"), (6, "other")]


# ---- further languages ---------------------------------------------------------------------------------------------

FILM = (
    track(1, "eng", default=True),
    track(2, "ger", "Deutsch (Synchro)"),
    track(3, "fre", "VFF"),
    track(4, "ger", "Audiokommentar"),
    track(5, "ger", "Hörfilm"),
)


def test_each_wanted_language_gets_its_track_after_the_original() -> None:
    assert taken(*FILM, wanted=["fr", "de"]) == [(1, "en"), (3, "fr"), (2, "de")]


def test_the_original_is_not_taken_twice() -> None:
    assert taken(*FILM, wanted=["en", "eng", "de", "ger"]) == [(1, "en"), (2, "de")]


def test_a_wanted_language_that_is_not_there_is_said() -> None:
    (only,) = choose(file(*FILM), ["it", "nonsense"])
    assert "Wanted, but not in the file: it." in only.why


def test_a_commentary_is_no_track_of_a_wanted_language() -> None:
    assert taken(track(1, "eng"), track(2, "deu", "Kommentar"), wanted=["de"]) == [(1, "en")]


def test_a_country_is_taken_at_its_word_and_a_language_alone_is_not_choosy() -> None:
    tracks = (track(1, "pt-pt", default=True), track(2, "pt-br", "Dublado"))
    assert taken(*tracks, wanted=["pt"]) == [(1, "pt-PT")]
    assert taken(*tracks, wanted=["pt-BR"]) == [(1, "pt-PT"), (2, "pt-BR")]


# ---- always --------------------------------------------------------------------------------------------------------

languages = st.sampled_from(
    [None, "eng", "ger", "fra", "fre", "pt-br", "pt-pt", "por", "chi", "yue", "und", "qaa", "x!"]
)
titles = st.sampled_from([None, "", "English", "Dub", "VFF", "Commentary", "Hörfilm", "Isolated Score", "Original"])
flags = st.sampled_from(["original", "dub", "comment", "visual_impaired", "hearing_impaired", "clean_effects"])


@st.composite
def tracks(draw: st.DrawFn) -> tuple[AudioStream, ...]:
    return tuple(
        track(
            index,
            draw(languages),
            draw(titles),
            default=draw(st.booleans()),
            channels=draw(st.sampled_from([None, 0, 1, 2, 6])),
            bit_rate=draw(st.sampled_from([None, 64_000, 128_000, 640_000])),
            duration_seconds=draw(st.sampled_from([None, 0.0, 3.0, 99.0, 100.0])),
            dispositions=tuple(sorted(draw(st.sets(flags, max_size=2)))),
        )
        for index in range(1, draw(st.integers(2, 7)))
    )


wanted_languages = st.lists(st.sampled_from(["en", "de", "fr", "pt", "pt-BR", "zh", "yue", "it", "??"]), max_size=4)
said_languages = st.sampled_from([None, "en", "de-AT", "pt-PT", "zh-Hant", "und", "nonsense"])


@given(tracks(), wanted_languages, said_languages, st.randoms())
def test_the_order_in_which_tracks_are_listed_changes_nothing(
    audio: tuple[AudioStream, ...], wanted: list[str], said: str | None, dice: Any
) -> None:
    shuffled = dice.sample(audio, len(audio))
    found, again = choose(file(*audio), wanted, said), choose(file(*shuffled), wanted, said)
    assert [(each.stream, each.language, each.why) for each in found] == [
        (each.stream, each.language, each.why) for each in again
    ]


@given(tracks(), wanted_languages, said_languages)
def test_never_a_dub_or_a_commentary_where_a_whole_plain_track_is_there(
    audio: tuple[AudioStream, ...], wanted: list[str], said: str | None
) -> None:
    chosen = choose(file(*audio), wanted, said)[0].stream
    plain = [
        each
        for each in audio
        if kind_of(each) == "plain" and each.channels and each.duration_seconds in (None, 99, 100)
    ]
    assert not plain or kind_of(chosen) == "plain"


@given(tracks(), wanted_languages, said_languages)
def test_every_chosen_track_is_another_with_a_language_and_a_file_of_its_own(
    audio: tuple[AudioStream, ...], wanted: list[str], said: str | None
) -> None:
    found = choose(file(*audio), wanted, said)
    assert len({each.stream.index for each in found}) == len(found)
    assert len({each.language for each in found}) == len(found)
    assert len(found) <= 1 + len(set(wanted))
    for each in found:
        assert len(each.others) == len(audio) - 1
        assert each.why.endswith(".")
    for each in found[1:]:
        assert kind_of(each.stream) in ("plain", "clear", "dub")


@given(st.text(max_size=40), st.text(max_size=60))
def test_whatever_a_file_writes_as_language_and_title_is_taken(language: str, title: str) -> None:
    (only,) = choose(file(track(1, language.lower() or None, title)), [language], language)
    assert only.stream.index == 1
