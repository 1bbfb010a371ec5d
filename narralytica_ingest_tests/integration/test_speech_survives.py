"""Speech survives: a sentence that a synthesizer speaks is the same sentence in the track, at the same time, whatever
container and codec it came in.
"""

from functools import cache
from pathlib import Path

import pytest

from narralytica_ingest.media.profiles import PROFILES
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.corpus import CORPUS, each, made
from narralytica_ingest_tests.corpus.chain import outcome, process
from narralytica_ingest_tests.corpus.model import Entry
from narralytica_ingest_tests.corpus.workshop import SENTENCES, Workshop
from narralytica_ingest_tests.in_process import Installation
from narralytica_ingest_tests.source_server import SourceServer
from narralytica_ingest_tests.speech import Samples, lag_seconds, likeness, samples, speak

RATE = 16_000
ALIKE = 0.95
LAG_TOLERANCE = 0.02  # seconds
DRIFT_TOLERANCE = 0.002  # seconds between the halves of a sentence
LAST_WORDS = 1.75  # seconds: where they begin
PACKED = {
    "h264-aac.mp4",
    "h264-pcm-24-bit.mov",
    "hevc-flac.mkv",
    "surround-ac3.mp4",
    "vp9-opus.webm",
    "cd.wav",
    "mono.mp3",
}
SPOKEN = [entry for entry in CORPUS if entry.expected.said and not entry.expected.failure]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Workshop:
    """The corpus, made."""
    return made(tmp_path_factory, tools)


@cache
def sentence(name: str, shop: Workshop) -> Samples:
    """What was put in."""
    return samples(shop.sound(name), shop.tools)


@cache
def heard(entry: Entry, shop: Workshop) -> Samples:
    """What came out."""
    return samples(outcome(entry, shop).track.path, shop.tools)


def said(entry: Entry, shop: Workshop) -> Samples:
    assert entry.expected.said is not None
    return sentence(entry.expected.said, shop)


@each(SPOKEN)
def test_the_envelope_of_the_sentence_is_kept(entry: Entry, shop: Workshop) -> None:
    source, track = said(entry, shop), heard(entry, shop)
    assert likeness(source, track, lag_seconds(source, track)) > ALIKE


@each(SPOKEN)
def test_the_sentence_is_heard_when_it_is_said(entry: Entry, shop: Workshop) -> None:
    lag = lag_seconds(said(entry, shop), heard(entry, shop))
    assert lag == pytest.approx(entry.expected.begins, abs=LAG_TOLERANCE)


@each(SPOKEN)
def test_the_sentence_is_as_long_as_it_was(entry: Entry, shop: Workshop) -> None:
    source, track = said(entry, shop), heard(entry, shop)
    start = round(lag_seconds(source, track) * RATE)
    middle = len(source) // 3  # silence follows the words
    later = lag_seconds(source[middle:], track[start + middle :])
    assert later == pytest.approx(0, abs=DRIFT_TOLERANCE)


@each(entry for entry in CORPUS if "gaps" in entry.expected.findings or entry.name == "changing.ts")
def test_what_follows_a_hole_or_a_change_is_heard_when_it_is_said(entry: Entry, shop: Workshop) -> None:
    ending = sentence("sentence", shop).copy()
    ending[: round(LAST_WORDS * RATE)] = 0
    lag = lag_seconds(ending, heard(entry, shop))
    assert lag == pytest.approx(entry.expected.begins, abs=LAG_TOLERANCE)


@each(entry for entry in SPOKEN if entry.further)
def test_each_wanted_language_is_heard_in_its_own_track(entry: Entry, shop: Workshop) -> None:
    _, *further = outcome(entry, shop).tracks
    assert [track.language for track in further] == list(entry.further)
    for track, name in zip(further, entry.further.values(), strict=True):
        source, came_out = sentence(name, shop), samples(track.path, shop.tools)
        assert likeness(source, came_out, lag_seconds(source, came_out)) > ALIKE


@each(entry for entry in SPOKEN if entry.name in PACKED)
def test_the_sentence_survives_in_every_profile(entry: Entry, shop: Workshop, tmp_path: Path) -> None:
    source = said(entry, shop)
    tracks = process(entry, shop.file(entry.name), tmp_path, shop.tools, list(PROFILES)).tracks
    assert [track.profile for track in tracks] == list(PROFILES)
    for track in tracks:
        came_out = samples(track.path, shop.tools)
        lag = lag_seconds(source, came_out)
        assert lag == pytest.approx(entry.expected.begins, abs=LAG_TOLERANCE), track.profile
        assert likeness(source, came_out, lag) > ALIKE, track.profile


def test_another_sentence_would_be_noticed(shop: Workshop) -> None:
    names = list(SENTENCES)
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        source, track = sentence(one, shop), sentence(other, shop)
        assert likeness(source, track, lag_seconds(source, track)) < 0.6
        assert likeness(source, source) == pytest.approx(1)


def test_a_shift_would_be_noticed(shop: Workshop) -> None:
    source = sentence("sentence", shop)
    assert lag_seconds(source, source[480:]) == pytest.approx(-0.03)
    assert lag_seconds(source[480:], source) == pytest.approx(0.03)


def test_a_voice_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no voice"):
        speak("Hello.", "klingon-of-no-use", tmp_path / "no.wav")


def test_a_sentence_goes_the_whole_way_into_the_object_store(
    place: Installation, shop: Workshop, tmp_path: Path
) -> None:
    """The dub comes first in the file and is marked as its default."""
    entry = next(entry for entry in CORPUS if entry.name == "dub-marked-default.mkv")
    body = shop.file(entry.name).read_bytes()
    with SourceServer() as server:
        video = place.ingest(server.add("/film.mkv", body, content_type="video/x-matroska"))
    stored = place.files(video["video_id"])["audio_track"]
    track = tmp_path / "track.flac"
    track.write_bytes(place.s3.get_object(Bucket=place.settings.s3_bucket, Key=stored["object_key"])["Body"].read())
    source, came_out = sentence("sentence", shop), samples(track, shop.tools)
    lag = lag_seconds(source, came_out)
    assert lag == pytest.approx(entry.expected.begins, abs=LAG_TOLERANCE)
    assert likeness(source, came_out, lag) > ALIKE
    assert stored["language"] == "en"
