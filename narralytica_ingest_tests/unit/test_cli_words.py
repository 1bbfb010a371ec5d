"""What the command line says: names, sizes, times, next steps, and errors in one sentence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydantic
import pytest

from narralytica_ingest.cli import describe, references, terminal
from narralytica_ingest.cli.get import choose
from narralytica_ingest.cli.main import explain
from narralytica_ingest.config import Settings
from narralytica_ingest.failures import FailureClass, IngestError

JOB: dict[str, Any] = {
    "job_id": "J",
    "source_url": "https://example.com/a.mp4",
    "upload_ref": None,
    "status": "queued",
    "outcome": None,
    "not_before": None,
    "progress": None,
    "heartbeat_at": None,
    "cancel_requested": False,
    "error_class": None,
    "error_code": None,
}


@pytest.mark.parametrize(
    ("said", "clean"),
    [
        ("plain, ünïcode 日本", "plain, ünïcode 日本"),
        ("two\nlines\tand  spaces", "two lines and spaces"),
        ("\x1b[31mred\x9b\x07", "\\x1b[31mred\\x9b\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_strangers_text_reaches_no_terminal_raw(said: str, clean: str) -> None:
    assert terminal.clean(said) == clean


@pytest.mark.parametrize(
    ("count", "said"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_lengths_of_time_are_said_in_two_units_at_most(count: float, said: str) -> None:
    assert terminal.seconds(count) == said


def test_times_in_json_are_utc() -> None:
    assert terminal.iso(datetime.fromisoformat("2026-11-22T10:00:00.5+02:00")) == "2026-11-22T08:00:00.500000Z"


def test_sources_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.touch()
    found = references.parse([str(file), "s3://bucket/key", "https://example.com/a", "file:///a.mp4", "odd:thing"])
    assert [each.file for each in found] == [file, None, None, None, None]
    assert [each.is_upload for each in found] == [False, True, False, False, False]
    assert [each.needs_s3 for each in found] == [True, True, False, False, False]


@pytest.mark.parametrize("name", ["", "missing.mp4", "a b", "/", "1:2"])
def test_what_is_no_source_at_all_is_refused(name: str) -> None:
    with pytest.raises(IngestError):
        references.parse([name])


def test_the_sample_is_there() -> None:
    sample = references.sample()
    assert sample.file is not None
    assert sample.file.is_file()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://example.com/a/b/talk.mp4", "example.com/talk.mp4"),
        ("https://user:secret@example.com/watch?v=1", "example.com/watch?v=1"),
        ("https://example.com", "example.com/"),
        ("s3://bucket/a/b.mp4", "b.mp4"),
        ("http://[broken", "http://[broken"),
        ("odd:thing", "odd:thing"),
    ],
)
def test_a_source_has_a_short_name_without_its_password(source: str, name: str) -> None:
    assert describe.source_name(JOB | {"source_url": source}) == name


@pytest.mark.parametrize(
    ("change", "up", "said"),
    [
        ({}, False, "until `narralytica-ingest up` runs"),
        ({}, True, "waits for its turn"),
        ({"not_before": datetime.now(UTC) + timedelta(hours=1)}, True, "retry J` lets it go now"),
        ({"status": "failed", "error_class": "permanent"}, True, "submit it anew"),
        ({"status": "failed", "error_class": "needs_operator"}, True, "Mend what the message names"),
        ({"status": "failed", "error_class": "transient"}, True, "attempts are used up"),
        ({"status": "canceled"}, True, "retry J"),
        ({"status": "running", "heartbeat_at": datetime.now(UTC) - timedelta(hours=1)}, False, "silent for 1 h"),
        ({"status": "running", "cancel_requested": True}, True, "asked to stop"),
    ],
)
def test_every_state_that_wants_something_says_what(change: dict[str, Any], up: bool, said: str) -> None:
    assert said in (describe.next_step(JOB | change, up) or "")


def test_a_deferred_job_says_why_and_when() -> None:
    job = JOB | {"not_before": datetime.now(UTC) + timedelta(seconds=95), "error_code": "http_503"}
    assert describe.state_text(job) == "queued (http_503, tried again in 1 min 35 s)"


CAPTIONS = {"kind": "captions", "profile": None}


def test_one_of_several_languages_must_be_chosen() -> None:
    files = [CAPTIONS | {"language": language, "origin": "automatic"} for language in ("en", "de")]
    assert choose(files, "v", "captions", "de") is files[1]
    with pytest.raises(IngestError, match=r"several \(de, en\)"):
        choose(files, "v", "captions", None)
    with pytest.raises(IngestError, match="has no captions in fr; stored: captions"):
        choose(files, "v", "captions", "fr")


def test_of_captions_in_one_language_those_that_people_made_are_meant_unless_told_otherwise() -> None:
    files = [CAPTIONS | {"language": "en", "origin": origin} for origin in ("automatic", "uploaded")]
    assert choose(files, "v", "captions", None) is files[1]
    assert choose(files, "v", "captions", "en", "automatic") is files[0]
    with pytest.raises(IngestError, match="has no automatic captions in en; stored: captions"):
        choose(files[1:], "v", "captions", "en", "automatic")


def test_of_audio_tracks_in_one_language_the_flac_is_meant_unless_told_otherwise() -> None:
    files = [
        {"kind": "audio_track", "language": "en", "origin": None, "profile": profile}
        for profile in ("wav", "flac", "opus")
    ]
    assert choose(files, "v", "audio_track", None) is files[1]
    assert choose(files, "v", "audio_track", None, profile="opus") is files[2]
    with pytest.raises(IngestError, match="has no channels audio_track; stored: audio_track"):
        choose(files, "v", "audio_track", None, profile="channels")


def test_errors_are_one_sentence_without_a_class_name_for_what_a_user_can_mend() -> None:
    assert explain(IngestError(FailureClass.PERMANENT, "x", "Do that.")) == "Do that."
    assert explain(FileNotFoundError(2, "No such file or directory", "a")) == "No such file or directory: a."
    assert "--debug" in explain(RuntimeError("first\nsecond"))
    with pytest.raises(pydantic.ValidationError) as error:
        Settings(workers=0)
    assert explain(error.value).startswith("NARRALYTICA_WORKERS: ")
