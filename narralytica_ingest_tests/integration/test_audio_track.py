"""Audio tracks: what is measured of them, their profiles and languages, and where their source is read from."""

import os
import subprocess
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.intake import Intake
from narralytica_ingest.media.audio import AudioFile, extract_audio
from narralytica_ingest.media.findings import Verdict
from narralytica_ingest.media.integrity import packet_hashes, sha256_file
from narralytica_ingest.media.measure import CLIPPED_SHARE
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.profiles import PROFILES
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest.object_store import patience
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.object_store.media import ObjectRef
from narralytica_ingest.object_store.range_server import served
from narralytica_ingest.store import jobs
from narralytica_ingest.store.database import Row
from narralytica_ingest_tests.in_process import Installation
from narralytica_ingest_tests.s3_gateway import S3Gateway
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

SECONDS = 11.72
EVERY = list(PROFILES)
STEREO = "pan=stereo|c0=c0|c1=c0"


def make(target: Path, *options: str) -> Path:
    command: list[str | Path] = [find_tools().ffmpeg, "-nostdin", "-v", "error", "-y", *options, target]
    result = run_tool(command, timeout=60)
    assert result.returncode == 0, result.stderr
    return target


def extract(source: Path, folder: Path, tools: MediaTools, *profiles: str, **options: Any) -> list[AudioFile]:
    measured = probe(source, tools)
    folder.mkdir(exist_ok=True)
    return extract_audio(source, measured, choose(measured)[0], profiles or ["flac"], folder, tools, **options)


def facts(source: Path, folder: Path, tools: MediaTools) -> dict[str, Any]:
    return extract(source, folder, tools)[0].facts


def tone(folder: Path, *filters: str, seconds: float = 6, rate: int = 48_000) -> Path:
    """A sine of 1 kHz at -18 dBFS, before `filters`."""
    sine = f"sine=frequency=1000:sample_rate={rate}:duration={seconds}"
    return make(folder / "tone.wav", "-f", "lavfi", "-i", sine, "-af", ",".join(filters or ["anull"]))


# ---- what is measured ----------------------------------------------------------------------------------------------


def test_a_tone_of_known_level_is_as_loud_as_ebu_r128_says(tmp_path: Path, tools: MediaTools) -> None:
    """The loudness of a sine of 1 kHz in one channel is its RMS, -21.08 dBFS here, and does not vary: the filter of
    BS.1770 adds the 0.69 dB that its formula takes off."""
    measured = facts(tone(tmp_path), tmp_path, tools)
    assert measured["loudness"]["integrated_lufs"] == pytest.approx(-21.08, abs=0.2)
    assert measured["loudness"]["range_lu"] == pytest.approx(0, abs=0.1)
    assert measured["loudness"]["true_peak_dbtp"] == pytest.approx(-18.06, abs=0.2)
    assert (measured["silence_share"], measured["clipping_share"], measured["findings"]) == (0, 0, [])
    assert measured["duration_seconds"] == pytest.approx(6, abs=0.001)
    assert measured["waveform"] == pytest.approx([0.125] * 100, abs=0.011)


def test_peaks_between_the_samples_count(tmp_path: Path, tools: MediaTools) -> None:
    """A quarter of the sample rate, sampled beside its crests: the samples reach 3 dB less than the sound."""
    path = tmp_path / "crests.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(
            b"".join(value.to_bytes(2, "little", signed=True) for value in [11585, 11585, -11585, -11585] * 8000)
        )
    assert facts(path, tmp_path, tools)["loudness"]["true_peak_dbtp"] == pytest.approx(-6.0, abs=0.7)


def test_half_a_silence_is_half_silent(tmp_path: Path, tools: MediaTools) -> None:
    measured = facts(tone(tmp_path, "volume=0:enable='gte(t,3)'"), tmp_path, tools)
    assert measured["silence_share"] == pytest.approx(0.5, abs=0.02)
    assert [each == 0 for each in measured["waveform"]] in ([False] * n + [True] * (100 - n) for n in (50, 51))
    assert measured["findings"] == []


def test_a_silent_track_is_noticed_and_has_no_loudness(tmp_path: Path, tools: MediaTools) -> None:
    silent = tone(tmp_path, "volume=0")
    measured = facts(silent, tmp_path, tools)
    assert measured["loudness"] == {"integrated_lufs": None, "range_lu": None, "true_peak_dbtp": None}
    assert (measured["silence_share"], [each["code"] for each in measured["findings"]]) == (1, ["silent_track"])
    verdicts: dict[str, Verdict] = {"silent_track": "fail"}
    with pytest.raises(IngestError) as refused:
        extract(silent, tmp_path / "out", tools, *EVERY, verdicts=verdicts)
    assert (refused.value.code, refused.value.failure_class) == ("silent_track", FailureClass.PERMANENT)
    assert list((tmp_path / "out").iterdir()) == [], "no track is left"


@pytest.mark.parametrize(
    ("codec", "at_least"),
    [
        (["-c:a", "pcm_s16le"], 0.3),
        (["-c:a", "pcm_f32le"], 0.3),
        (["-c:a", "flac", "-sample_fmt", "s32"], 0.3),
        (["-c:a", "aac"], CLIPPED_SHARE),  # which bends what was straight
    ],
    ids=["16 bit", "float", "24 bit", "aac"],
)
def test_clipping_is_seen_although_resampling_hides_it(
    tmp_path: Path, tools: MediaTools, codec: list[str], at_least: float
) -> None:
    loud = make(tmp_path / "loud.mkv", "-i", str(tone(tmp_path, "volume=24dB", STEREO)), *codec)
    measured = facts(loud, tmp_path, tools)
    assert measured["clipping_share"] > at_least
    assert [each["code"] for each in measured["findings"]] == ["clipped"]
    just_loud = make(tmp_path / "just.mkv", "-i", str(tone(tmp_path, "volume=17dB", STEREO)), *codec)
    assert facts(just_loud, tmp_path, tools)["clipping_share"] == 0


def test_what_was_taken_and_what_else_there_was_is_told(tmp_path: Path, tools: MediaTools) -> None:
    two = make(
        tmp_path / "two.mkv", "-i", str(SAMPLE), "-map", "0:a", "-map", "0:a", "-c", "copy",
        "-metadata:s:a:0", "language=fra", "-metadata:s:a:0", "title=French dub", "-disposition:a:0", "dub",
        "-metadata:s:a:1", "language=deu", "-disposition:a:1", "default",
    )  # fmt: skip
    (file,) = extract(two, tmp_path, tools)
    assert file.language == "de"
    taken = {"index": 1, "codec": "aac", "channels": 1, "sample_rate": 44100, "language": "ger", "title": None}
    (other,) = file.facts["others"]
    assert file.facts["source_stream"] == taken | {"language": file.facts["source_stream"]["language"]}
    assert (other["index"], other["kind"], other["title"]) == (0, "dub", "French dub")
    assert file.facts["chosen"].endswith(".")
    assert set(file.facts["made_with"]) == {"ffmpeg", "recipe"}


# ---- profiles ------------------------------------------------------------------------------------------------------


def hashes(files: Sequence[AudioFile]) -> dict[str, str]:
    return {file.profile: sha256_file(file.path) for file in files}


def test_every_profile_is_the_same_bytes_each_time_alone_or_beside_others(tmp_path: Path, tools: MediaTools) -> None:
    together = hashes(extract(SAMPLE, tmp_path / "one", tools, *EVERY))
    time.sleep(1.1)  # whatever takes its seed from the clock
    assert hashes(extract(SAMPLE, tmp_path / "two", tools, *reversed(EVERY))) == together
    for profile in EVERY:
        (alone,) = extract(SAMPLE, tmp_path / profile, tools, profile)
        assert sha256_file(alone.path) == together[profile], profile


@pytest.mark.parametrize("codec", ["aac", "libopus", "libvorbis", "mp3", "flac", "pcm_s16le", "ac3", "alac", "mp2"])
def test_a_copied_sound_is_the_same_packets_and_the_same_bytes_each_time(
    tmp_path: Path, tools: MediaTools, codec: str
) -> None:
    source = make(
        tmp_path / "source.mkv", "-i", str(SAMPLE), "-vn", "-ac", "2", "-ar", "48000", "-c:a", codec, "-strict", "-2"
    )
    first, second = (extract(source, tmp_path / name, tools, "original")[0] for name in ("one", "two"))
    assert sha256_file(first.path) == sha256_file(second.path)
    assert packet_hashes(first.path, tools) == packet_hashes(source, tools)
    assert first.probe.duration_seconds == pytest.approx(SECONDS, abs=0.1)


def test_profiles_are_what_they_are_called(tmp_path: Path, tools: MediaTools) -> None:
    stereo = make(tmp_path / "stereo.mp4", "-i", str(SAMPLE), "-c:v", "copy", "-ac", "2", "-ar", "48000", "-c:a", "aac")
    files = {file.profile: file for file in extract(stereo, tmp_path, tools, *EVERY)}
    found = {
        name: (
            file.probe.audio[0].codec,
            file.probe.audio[0].channels,
            file.probe.audio[0].sample_rate,
            file.path.suffix,
        )
        for name, file in files.items()
    }
    assert found == {
        "flac": ("flac", 1, 16000, ".flac"),
        "wav": ("pcm_s16le", 1, 16000, ".wav"),
        "opus": ("opus", 1, 48000, ".ogg"),  # Opus always says so
        "channels": ("flac", 2, 16000, ".flac"),
        "original": ("aac", 2, 48000, ".m4a"),
    }
    assert {file.facts["duration_seconds"] for file in files.values()} == {files["flac"].facts["duration_seconds"]}
    with wave.open(str(files["wav"].path)) as plain:
        assert plain.getnframes() == round(files["wav"].facts["duration_seconds"] * 16_000)


def test_channels_are_kept_apart(tmp_path: Path, tools: MediaTools) -> None:
    """One speaks on the left, one on the right."""
    pan = "pan=stereo|c0=c0|c1=0*c0"
    left = make(tmp_path / "left.wav", "-i", str(tone(tmp_path)), "-af", pan)
    (file,) = extract(left, tmp_path, tools, "channels")
    said = run_tool(
        [tools.ffmpeg, "-i", file.path, "-af", "astats=measure_overall=none", "-f", "null", "-"], timeout=30
    )
    peaks = [line.split()[-1] for line in said.stderr.splitlines() if "Peak level dB" in line]
    assert [float(each) for each in peaks] == pytest.approx([-18.06, float("-inf")], abs=0.2)


def test_sound_that_starts_late_keeps_its_place_in_every_profile(tmp_path: Path, tools: MediaTools) -> None:
    late = make(
        tmp_path / "late.mkv",
        *("-i", str(SAMPLE), "-itsoffset", "2", "-i", str(SAMPLE), "-map", "0:v", "-map", "1:a", "-c", "copy"),
    )
    for file in extract(late, tmp_path, tools, *EVERY):
        ends = (file.probe.start_seconds or 0) + (file.probe.duration_seconds or 0)
        assert ends == pytest.approx(SECONDS + 2, abs=0.1), file.profile


def test_a_folder_with_quotes_and_colons_is_a_folder(tmp_path: Path, tools: MediaTools) -> None:
    odd = tmp_path / "it's [a]|b:c \\ 'd'"
    assert [file.profile for file in extract(SAMPLE, odd, tools, "flac", "wav")] == ["flac", "wav"]


def test_tools_end_when_one_of_them_is_killed(tmp_path: Path, tools: MediaTools) -> None:
    """The one that measures dies: the other one and the files go, and it is no verdict on the video."""
    done = threading.Event()
    long = make(tmp_path / "long.wav", "-f", "lavfi", "-i", "anoisesrc=d=120:r=16000")  # there is time to kill it

    def kill() -> None:
        while not done.is_set():
            for each in psutil.Process().children():
                with suppress(psutil.Error):  # it is just beginning, or has just ended
                    if "ebur128" in " ".join(each.cmdline()):
                        each.kill()
                        return

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(IngestError) as raised:
        extract(long, tmp_path / "out", tools, *EVERY)
    done.set()
    killer.join()
    assert raised.value.failure_class is FailureClass.TRANSIENT
    assert list((tmp_path / "out").iterdir()) == []


# ---- the stored object, by range reads -----------------------------------------------------------------------------


@pytest.fixture
def gateway(endpoints: Endpoints) -> Iterator[S3Gateway]:
    with S3Gateway(endpoints.s3) as made:
        yield made


@contextmanager
def stored(gateway: S3Gateway, endpoints: Endpoints, settings: Settings, body: bytes) -> Iterator[str]:
    """An object, read through the gateway."""
    make_client(endpoints.s3).put_object(Bucket=settings.s3_bucket, Key="media/of-a-test", Body=body)
    client = make_client(gateway.endpoint, seconds=5, attempts=1)
    with served(client, ObjectRef(settings.s3_bucket, "media/of-a-test"), len(body)) as url:
        yield url


def from_store(url: str, folder: Path, tools: MediaTools, source: Path = SAMPLE) -> AudioFile:
    measured = probe(source, tools)
    folder.mkdir(exist_ok=True)
    return extract_audio(url, measured, choose(measured)[0], ["flac"], folder, tools)[0]


def test_the_stored_object_gives_the_same_track_as_the_file(
    gateway: S3Gateway, endpoints: Endpoints, settings: Settings, tmp_path: Path, tools: MediaTools
) -> None:
    with stored(gateway, endpoints, settings, SAMPLE.read_bytes()) as url:
        track = from_store(url, tmp_path / "store", tools)
    (wanted,) = extract(SAMPLE, tmp_path / "file", tools)
    assert sha256_file(track.path) == sha256_file(wanted.path)
    assert track.facts == wanted.facts
    assert set(gateway.requests) == {f"GET /{settings.s3_bucket}/media/of-a-test"}


def test_a_connection_that_is_cut_is_taken_up_where_it_ended(
    gateway: S3Gateway, endpoints: Endpoints, settings: Settings, tmp_path: Path, tools: MediaTools
) -> None:
    body = SAMPLE.read_bytes() + b"\0\0\0\x08free" + os.urandom(1 << 22)

    def cut(method: str, path: str) -> None:
        gateway.truncated_bodies = 1 if len(gateway.requests) < 3 else 0

    gateway.before = cut
    with stored(gateway, endpoints, settings, body) as url:
        track = from_store(url, tmp_path / "store", tools)
    assert sha256_file(track.path) == sha256_file(extract(SAMPLE, tmp_path / "file", tools)[0].path)
    assert len(gateway.requests) >= 3


def test_a_store_that_stays_away_is_no_short_track(
    gateway: S3Gateway,
    endpoints: Endpoints,
    settings: Settings,
    tmp_path: Path,
    tools: MediaTools,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.6)

    def goes(method: str, path: str) -> None:
        gateway.truncated_bodies, gateway.away = 1, True

    gateway.before = goes
    with (
        pytest.raises(IngestError) as raised,
        stored(gateway, endpoints, settings, SAMPLE.read_bytes()) as url,
    ):
        from_store(url, tmp_path / "store", tools)
    assert (raised.value.code, raised.value.failure_class) == ("object_store_away", FailureClass.LOCAL)


def test_the_url_opens_nothing_else_and_only_as_long_as_it_is_needed(
    gateway: S3Gateway, endpoints: Endpoints, settings: Settings
) -> None:
    body = bytes(range(256)) * 20

    def ask(url: str, *headers: str) -> tuple[str, bytes]:
        command = ["curl", "-s", "-w", "%{http_code}", "--max-time", "5", *headers, url]
        said = subprocess.run(command, capture_output=True, check=False).stdout
        return said[-3:].decode(), said[:-3]

    with stored(gateway, endpoints, settings, body) as url:
        assert url.startswith("http://127.0.0.1:")
        assert ask(url) == ("200", body)
        assert ask(url, "-r", "10-19") == ("206", body[10:20])
        assert ask(url, "-r", "5000-") == ("206", body[5000:])
        assert ask(url, "-r", "5120-")[0] == "416"
        assert ask(url, "-r", "-5")[0] == "416"
        assert ask(f"{url}x")[0] == "404"
        assert ask(url.rpartition("/")[0])[0] == "404"
    assert ask(url)[0] == "000"


# ---- what jobs wish ------------------------------------------------------------------------------------------------


@pytest.fixture
def film(tmp_path: Path) -> bytes:
    """English, German and a French commentary."""
    source = make(
        tmp_path / "film.mkv", "-i", str(SAMPLE), "-t", "3",
        "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "0:a", "-c", "copy",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-disposition:a:1", "0",
        "-metadata:s:a:2", "language=fra", "-metadata:s:a:2", "title=Commentary", "-disposition:a:2", "comment",
    )  # fmt: skip
    return source.read_bytes()


def wish(place: Installation, url: str, **options: Any) -> UUID:
    with place.database.transaction() as connection:
        job_id = jobs.insert(connection, jobs.JobRequest(source_url=url, options=options))
    Intake(place.settings, place.endpoints).admit()
    return job_id


def tracks(place: Installation, video_id: str) -> dict[tuple[str | None, str], Row]:
    rows = place.database.all(
        "SELECT * FROM ready_media_files WHERE video_id = %s AND kind = 'audio_track' ORDER BY media_file_id",
        (video_id,),
    )
    return {(row["language"], row["profile"]): row for row in rows}


def test_a_job_gets_the_profiles_and_languages_that_it_wishes_beside_the_workers_own(
    place: Installation, film: bytes
) -> None:
    with SourceServer() as server:
        wish(place, server.add("/film.mkv", film), audio_profiles=["opus", "original"], audio_languages=["de", "pt"])
        (job,) = place.work()
    assert (job["status"], job["outcome"]) == ("succeeded", "ingested")
    found = tracks(place, job["video_id"])
    assert set(found) == {(language, name) for language in ("en", "de") for name in ("flac", "opus", "original")}
    assert "pt" in found["en", "flac"]["facts"]["chosen"]
    assert next(iter(found)) == ("en", "flac")


def test_a_ready_video_answers_a_job_unless_it_asks_for_what_is_not_there(place: Installation, film: bytes) -> None:
    with SourceServer() as server:
        url = server.add("/film.mkv", film)
        video_id = place.ingest(url)["video_id"]
        before = tracks(place, video_id)
        known = wish(place, url, audio_profiles=["flac"], audio_languages=["en"])
        assert place.job(known)["outcome"] == "deduplicated"
        more = wish(place, url, audio_profiles=["wav"], audio_languages=["de-DE", "pt"])
        assert place.job(more)["status"] == "queued"
        server.resources.clear()  # its source is not asked again
        (job,) = place.work()
    assert (job["job_id"], job["status"], job["outcome"], job["failures"]) == (more, "succeeded", "deduplicated", 0)
    after = tracks(place, video_id)
    assert set(after) >= {("en", "flac"), ("en", "wav")}
    assert {key: after[key]["object_key"] for key in before} == {key: row["object_key"] for key, row in before.items()}
    assert {row["generation"] for row in after.values()} == {1}
    again = wish(place, url, audio_profiles=["wav"], audio_languages=["de-DE", "pt"])
    assert place.job(again)["outcome"] == "deduplicated", "what the file does not have is not looked for twice"


def test_a_wish_waits_for_the_video_and_is_not_answered_by_another_ones_success(
    place: Installation, film: bytes
) -> None:
    with SourceServer() as server:
        url = server.add("/film.mkv", film)
        first, second = place.submit(url), wish(place, url, audio_languages=["de"])
        assert [job["job_id"] for job in place.work()] == [first]
        assert place.job(second)["status"] == "queued"
        (job,) = place.work()
    assert (job["job_id"], job["status"]) == (second, "succeeded")
    assert set(tracks(place, job["video_id"])) == {("en", "flac"), ("de", "flac")}


@pytest.mark.parametrize(
    "options",
    [
        {"audio_profiles": ["mp3"]},
        {"audio_profiles": [" wav"]},
        {"audio_profiles": "flac"},
        {"audio_languages": ["klingonisch!"]},
    ],
    ids=["unknown profile", "blanks", "no list", "no language"],
)
def test_a_wish_that_means_nothing_is_refused(place: Installation, options: dict[str, Any]) -> None:
    job = place.job(wish(place, "https://example.com/a.mp4", **options))
    assert (job["status"], job["error_code"]) == ("failed", "invalid_options")


def test_a_track_is_made_from_the_store_without_the_whole_file_on_disk(
    place: Installation, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that finds the original stored has no local file; the track comes from range reads."""
    from narralytica_ingest.object_store import media

    with SourceServer() as server:
        video_id = place.ingest(server.add("/film.mkv", film))["video_id"]
        wanted = tracks(place, video_id)
        monkeypatch.setattr(media, "download", lambda *_: pytest.fail("the whole object was fetched"))
        wish(place, server.add("/film.mkv", film), force=True, audio_profiles=["wav"])
        wish(place, server.add("/film.mkv", film), audio_profiles=["original"])
        place.work()
        (job,) = place.work()
    assert job["status"] == "succeeded"
    found = tracks(place, video_id)
    assert set(found) == {("en", "flac"), ("en", "wav"), ("en", "original")}
    assert found["en", "flac"]["sha256"] == wanted["en", "flac"]["sha256"]
