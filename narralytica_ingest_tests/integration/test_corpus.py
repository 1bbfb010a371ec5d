"""What is made of each file of the corpus: what it is found to be, its track, and what is noticed about it.

Every file goes the way that the assets send it: probe, integrity, choice of the sound, extraction, facts.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.media.probe import Probe, probe
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest_tests.corpus import CORPUS, each, made
from narralytica_ingest_tests.corpus.chain import Outcome, outcome, outcome_folder, process
from narralytica_ingest_tests.corpus.model import Entry
from narralytica_ingest_tests.corpus.workshop import Workshop

LENGTH_TOLERANCE = 0.02  # seconds
LOUDNESS_TOLERANCE = 0.7  # decibels
SILENCE_TOLERANCE = 0.2  # seconds: two of the steps in which it is measured
DAMAGED_TOLERANCE = 0.1  # seconds of sound that may be lost unfilled


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Workshop:
    """The corpus, made."""
    return made(tmp_path_factory, tools)


READABLE = [entry for entry in CORPUS if not entry.expected.refused]
REFERENCE = next(entry for entry in CORPUS if entry.name == "cd.wav")
EXTRACTED = [entry for entry in CORPUS if entry.expected.failure is None]


def measured(entry: Entry, shop: Workshop) -> Probe:
    found = outcome(entry, shop).probe
    assert found is not None
    return found


def metadata(entry: Entry, shop: Workshop) -> dict[str, Any]:
    """The file's row of `video_metadata`, when nobody else says anything about it."""
    return normalize(Reading("upload-1", probe=asdict(measured(entry, shop))))


def done(entry: Entry, shop: Workshop) -> Outcome:
    found = outcome(entry, shop)
    assert found.failure is None
    return found


def test_the_corpus_covers_what_it_should() -> None:
    names = [entry.name for entry in CORPUS]
    assert len(set(names)) == len(names) >= 30
    assert {entry.extension for entry in READABLE} >= {
        "mp4", "mkv", "webm", "mov", "ts", "mpg", "avi", "flv", "mp3", "wav", "flac", "ogg", "m4a", "aac", "mka",
    }  # fmt: skip
    assert {entry.picture for entry in READABLE} >= {"h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4"}
    sounds = [sound for entry in READABLE for sound in entry.sounds]
    assert {sound.codec for sound in sounds} >= {
        "aac", "opus", "vorbis", "ac3", "eac3", "mp2", "mp3", "flac", "alac", "pcm_s16le", "pcm_s24le", "pcm_f32le",
    }  # fmt: skip
    assert {sound.rate for sound in sounds} >= {8_000, 11_025, 22_050, 44_100, 48_000, 96_000}
    assert {sound.channels for sound in sounds} >= {1, 2, 6}


@each(READABLE)
def test_the_container_is_told_by_the_bytes(entry: Entry, shop: Workshop) -> None:
    found = measured(entry, shop)
    assert (found.container, found.extension) == (entry.container, entry.extension)


@each(READABLE)
def test_pictures_and_sounds_are_as_they_were_put_in(entry: Entry, shop: Workshop) -> None:
    found = measured(entry, shop)
    assert [stream.codec for stream in found.video] == ([entry.picture] if entry.picture else [])
    sounds = [(stream.codec, stream.channels, stream.sample_rate, stream.language) for stream in found.audio]
    assert sounds == [(sound.codec, sound.channels, sound.rate, sound.language) for sound in entry.sounds]


@each(entry for entry in READABLE if entry.frame_rate)
def test_uneven_frames_are_counted_by_their_times(entry: Entry, shop: Workshop) -> None:
    assert measured(entry, shop).video[0].frame_rate == entry.frame_rate


@each(entry for entry in READABLE if entry.picture)
def test_rotation_and_dynamic_range_reach_the_metadata(entry: Entry, shop: Workshop) -> None:
    row = metadata(entry, shop)
    assert row["measured_rotation"] == (None if entry.rotation is None else entry.rotation % 360)
    assert row["measured_dynamic_range"] in ([entry.hdr] if entry.hdr else [None, "SDR"])


@each(READABLE)
def test_chapters_reach_the_metadata_with_titles_and_times(entry: Entry, shop: Workshop) -> None:
    chapters = metadata(entry, shop)["chapters"] or []
    assert [chapter["title"] for chapter in chapters] == list(entry.chapters)
    assert [chapter["start_seconds"] for chapter in chapters] == pytest.approx(list(range(len(chapters))), abs=0.001)


@each(entry for entry in READABLE if entry.tags)
def test_tags_reach_the_metadata_in_every_script(entry: Entry, shop: Workshop) -> None:
    assert measured(entry, shop).tags.items() >= entry.tags.items()
    row = metadata(entry, shop)
    told = (row["title"], row["channel"], row["description"])
    assert told == (entry.tags["title"], entry.tags["artist"], entry.tags["comment"])


@each(entry for entry in CORPUS if entry.expected.refused)
def test_what_cannot_be_read_is_refused(entry: Entry, shop: Workshop) -> None:
    found = outcome(entry, shop)
    assert (found.probe, found.failure) == (None, entry.expected.failure)


@each(entry for entry in CORPUS if entry.expected.failure and not entry.expected.refused)
def test_what_would_give_half_a_track_gives_none(entry: Entry, shop: Workshop) -> None:
    found = outcome(entry, shop)
    assert (found.failure, found.tracks) == (entry.expected.failure, ())
    assert {path.name for path in outcome_folder(entry, shop).iterdir()} == {".lock", ".outcome"}


@each(EXTRACTED)
def test_the_track_is_as_long_as_the_sound(entry: Entry, shop: Workshop) -> None:
    track = done(entry, shop).track
    tolerance = DAMAGED_TOLERANCE if "damaged_media" in entry.expected.findings else LENGTH_TOLERANCE
    assert track.facts["duration_seconds"] == pytest.approx(entry.expected.seconds, abs=tolerance)
    assert probe(track.path, shop.tools).duration_seconds == pytest.approx(track.facts["duration_seconds"], abs=0.001)


@each(EXTRACTED)
def test_the_track_is_for_speech_recognition(entry: Entry, shop: Workshop) -> None:
    found = probe(done(entry, shop).track.path, shop.tools)
    (stream,) = found.raw["streams"]
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("flac", "16000", 1)
    assert (stream["sample_fmt"], stream["bits_per_raw_sample"], found.tags) == ("s16", "16", {})


@each(EXTRACTED)
def test_the_sound_of_the_original_is_taken_and_the_others_are_told(entry: Entry, shop: Workshop) -> None:
    track, sounds = done(entry, shop).track, list(measured(entry, shop).audio)
    taken = sounds.pop(entry.expected.taken)
    assert (track.facts["source_stream"]["index"], track.language) == (taken.index, entry.expected.language)
    assert [other["index"] for other in track.facts["others"]] == [sound.index for sound in sounds]


@each(EXTRACTED)
def test_what_is_wrong_is_noticed_and_nothing_else(entry: Entry, shop: Workshop) -> None:
    assert done(entry, shop).findings == entry.expected.findings


@each(entry for entry in EXTRACTED if entry.expected.said == "sentence" and not entry.expected.findings)
def test_the_measures_are_those_of_the_sentence(entry: Entry, shop: Workshop) -> None:
    """Whatever it was packed in: as loud, as silent, and nowhere cut off."""
    reference, facts = done(REFERENCE, shop).track.facts, done(entry, shop).track.facts
    assert facts["clipping_share"] == 0
    for name in ("integrated_lufs", "true_peak_dbtp"):
        louder = facts["loudness"][name] - reference["loudness"][name]
        assert louder == pytest.approx(entry.expected.louder, abs=LOUDNESS_TOLERANCE)
    if facts["source_stream"]["channels"] <= 2:  # a mix for the cinema has other sounds beneath
        silent = [each["silence_share"] * each["duration_seconds"] for each in (reference, facts)]
        padding = facts["duration_seconds"] - reference["duration_seconds"]
        assert silent[1] - silent[0] == pytest.approx(padding, abs=SILENCE_TOLERANCE)


@each(EXTRACTED)
def test_the_same_bytes_come_out_again(entry: Entry, shop: Workshop, tmp_path: Path) -> None:
    again = process(entry, shop.file(entry.name), tmp_path, shop.tools)
    assert [track.sha256 for track in again.tracks] == [track.sha256 for track in done(entry, shop).tracks]
    assert again.track.facts == done(entry, shop).track.facts
