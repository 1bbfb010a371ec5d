"""Measuring files, extracting sound and comparing packets, with the real ffmpeg."""

import json
from pathlib import Path

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media.audio import AudioFile, extract_audio
from narralytica_ingest.media.integrity import packet_hashes, sha256_file
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.source_server import SAMPLE

SECONDS = 11.72


def make(target: Path, *options: str, source: Path = SAMPLE) -> Path:
    command: list[str | Path] = [find_tools().ffmpeg, "-nostdin", "-v", "error", "-y", "-i", source, *options, target]
    result = run_tool(command, timeout=60)
    assert result.returncode == 0, result.stderr
    return target


def extract(source: Path, folder: Path, tools: MediaTools) -> AudioFile:
    measured = probe(source, tools)
    (file,) = extract_audio(source, measured, choose(measured)[0], ["flac"], folder, tools)
    return file


def seconds(file: AudioFile) -> float:
    return float(file.facts["duration_seconds"])


def failure_of(source: Path, folder: Path, tools: MediaTools) -> IngestError:
    with pytest.raises(IngestError) as raised:
        extract(source, folder, tools)
    assert not list(folder.glob("*.flac")), "no half track is left"
    return raised.value


def test_a_probe_tells_what_a_file_is(tools: MediaTools) -> None:
    measured = probe(SAMPLE, tools)
    assert (measured.container, measured.extension, measured.content_type) == ("mp4", "mp4", "video/mp4")
    assert measured.size_bytes == SAMPLE.stat().st_size
    assert measured.duration_seconds == pytest.approx(SECONDS)
    (video,), (audio,) = measured.video, measured.audio
    assert (video.codec, video.width, video.height, video.frame_rate) == ("h264", 480, 270, 25.0)
    assert (audio.codec, audio.channels, audio.sample_rate, audio.language, audio.default) == (
        "aac",
        1,
        44100,
        "eng",
        True,
    )
    assert measured.tags["title"] == "Narralytica sample clip"
    assert "filename" not in json.dumps(measured.raw)


@pytest.mark.parametrize(
    ("name", "options", "extension", "content_type"),
    [
        ("a.mov", ["-c", "copy"], "mov", "video/quicktime"),
        ("a.mkv", ["-c", "copy"], "mkv", "video/x-matroska"),
        ("a.ts", ["-c", "copy"], "ts", "video/mp2t"),
        ("a.flv", ["-c", "copy"], "flv", "video/x-flv"),
        ("a.avi", ["-c:v", "copy", "-c:a", "mp3"], "avi", "video/x-msvideo"),
        (
            "a.webm",
            ["-c:v", "vp8", "-vf", "scale=128:72", "-deadline", "realtime", "-c:a", "libopus"],
            "webm",
            "video/webm",
        ),
        ("a.m4a", ["-vn", "-c", "copy"], "m4a", "audio/mp4"),
        ("a.mp3", ["-vn"], "mp3", "audio/mpeg"),
        ("a.wav", ["-vn"], "wav", "audio/wav"),
        ("a.flac", ["-vn"], "flac", "audio/flac"),
        ("a.ogg", ["-vn", "-c:a", "libvorbis"], "ogg", "audio/ogg"),
    ],
)
def test_the_extension_follows_the_bytes_and_the_sound_comes_out_whole(
    tmp_path: Path, tools: MediaTools, name: str, options: list[str], extension: str, content_type: str
) -> None:
    disguised = make(tmp_path / name, *options).rename(tmp_path / "disguised.mp4")
    measured = probe(disguised, tools)
    assert (measured.extension, measured.content_type) == (extension, content_type)
    track = extract(disguised, tmp_path, tools)
    assert seconds(track) == pytest.approx(SECONDS, abs=0.1)
    assert track.probe.extension == "flac"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html></html>",
        b"\xef\xbb\xbf\n <HTML><body>",
        b"plain words, and more of them\n" * 100,
        b"\x00\xff" * 50_000,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile speech.mp4\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        SAMPLE.read_bytes()[:600],
    ],
    ids=["empty", "html", "html-bom", "text", "garbage", "playlist", "concat", "png", "headless"],
)
def test_what_is_no_media_is_refused_for_good(tmp_path: Path, tools: MediaTools, content: bytes) -> None:
    (tmp_path / "speech.mp4").write_bytes(SAMPLE.read_bytes())
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(IngestError) as raised:
        probe(path, tools)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "not_media")


def test_a_video_without_sound_has_no_audio_track(tmp_path: Path, tools: MediaTools) -> None:
    mute = make(tmp_path / "mute.mp4", "-an", "-c", "copy")
    assert probe(mute, tools).audio == ()
    assert failure_of(mute, tmp_path, tools).code == "no_audio_stream"
    with pytest.raises(IngestError, match="no sound"):
        probe(mute, tools, audio_needed=True)


def test_a_cover_picture_is_no_video(tmp_path: Path, tools: MediaTools) -> None:
    cover = make(tmp_path / "cover.png", "-frames:v", "1")
    song = make(tmp_path / "song.mp3", "-i", str(cover), "-map", "0:a", "-map", "1:v", "-c:v", "copy")
    measured = probe(song, tools)
    assert (measured.video, measured.extension) == ((), "mp3")
    assert seconds(extract(song, tmp_path, tools)) == pytest.approx(SECONDS, abs=0.1)


def test_a_rotated_video_says_so(tmp_path: Path, tools: MediaTools) -> None:
    turned = make(tmp_path / "turned.mp4", "-c", "copy", "-metadata:s:v:0", "rotate=90")
    assert probe(turned, tools).video[0].rotation in (90, -90)


def test_the_track_is_16_khz_mono_16_bit_flac_with_nothing_of_the_source_but_its_sound(
    tmp_path: Path, tools: MediaTools
) -> None:
    measured = probe(SAMPLE, tools)
    reports: list[tuple[float, float | None]] = []
    (file,) = extract_audio(
        *(SAMPLE, measured, choose(measured)[0], ["flac"], tmp_path, tools),
        progress=lambda done, total: reports.append((done, total)),
    )
    (stream,) = file.probe.raw["streams"]
    assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("flac", "16000", 1)
    assert (stream["sample_fmt"], stream["bits_per_raw_sample"]) == ("s16", "16")
    assert file.probe.tags == {}
    assert (file.language, file.facts["findings"]) == ("en", [])
    assert seconds(file) == pytest.approx(SECONDS, abs=0.02)
    assert reports[-1] == (seconds(file), measured.duration_seconds)
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name], "nothing else is left"


def test_the_default_sound_is_chosen(tmp_path: Path, tools: MediaTools) -> None:
    two = make(
        tmp_path / "two.mkv", "-map", "0:a", "-map", "0:a", "-c", "copy", "-metadata:s:a:0", "language=fra",
        "-metadata:s:a:1", "language=deu", "-disposition:a:0", "0", "-disposition:a:1", "default",
    )  # fmt: skip
    track = extract(two, tmp_path, tools)
    assert (track.facts["source_stream"]["index"], track.language) == (1, "de")


def test_sound_that_starts_late_keeps_its_place_on_the_clock(tmp_path: Path, tools: MediaTools) -> None:
    late = make(tmp_path / "late.mkv", "-itsoffset", "2", "-i", str(SAMPLE), "-map", "0:v", "-map", "1:a", "-c", "copy")
    assert seconds(extract(late, tmp_path, tools)) == pytest.approx(SECONDS + 2, abs=0.1)


def test_sound_that_ends_before_the_picture_is_whole(tmp_path: Path, tools: MediaTools) -> None:
    short = make(tmp_path / "short.mkv", "-c:v", "copy", "-af", "atrim=0:4", "-c:a", "aac", "-map_metadata", "-1")
    assert seconds(extract(short, tmp_path, tools)) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.webm"])
def test_a_file_that_is_cut_off_gives_no_track(tmp_path: Path, tools: MediaTools, name: str) -> None:
    codec = ["-vn", "-c:a", "libopus"] if name.endswith("webm") else ["-c", "copy", "-movflags", "+faststart"]
    whole = make(tmp_path / f"whole-{name}", *codec).read_bytes()
    cut = tmp_path / name
    cut.write_bytes(whole[: len(whole) // 2])
    assert probe(cut, tools).duration_seconds == pytest.approx(SECONDS, abs=0.1), "the header still promises all"
    failure = failure_of(cut, tmp_path, tools)
    assert (failure.failure_class, failure.code) == (FailureClass.PERMANENT, "truncated_media")


def test_a_track_of_rubbish_is_a_verdict_and_no_traceback(tmp_path: Path, tools: MediaTools) -> None:
    damaged = bytearray(SAMPLE.read_bytes())
    start = damaged.index(b"mdat") + 4
    damaged[start:] = bytes(len(damaged) - start)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    failure = failure_of(tmp_path / "damaged.mp4", tmp_path, tools)
    assert failure.failure_class is FailureClass.PERMANENT
    assert failure.code in ("truncated_media", "undecodable_media")


def test_a_cancel_leaves_neither_a_process_nor_a_file(tmp_path: Path, tools: MediaTools) -> None:
    class Cancel(BaseException):
        pass

    def cancel(done: float, total: float | None) -> None:
        raise Cancel

    with pytest.raises(Cancel):
        measured = probe(SAMPLE, tools)
        extract_audio(SAMPLE, measured, choose(measured)[0], ["flac"], tmp_path, tools, cancel)
    assert list(tmp_path.iterdir()) == []


def test_names_that_look_like_options_or_protocols_are_files(tmp_path: Path, tools: MediaTools) -> None:
    odd = tmp_path / "-i concat:a|b %d.mp4"
    odd.write_bytes(SAMPLE.read_bytes())
    assert seconds(extract(odd, tmp_path, tools)) == pytest.approx(SECONDS, abs=0.1)


def test_packet_hashes_ignore_the_container_and_see_the_content(tmp_path: Path, tools: MediaTools) -> None:
    wanted = packet_hashes(SAMPLE, tools)
    assert [each[:2] for each in wanted] == ["v:", "a:"]
    for name in ("same.mkv", "same.ts", "same.mov"):
        assert packet_hashes(make(tmp_path / name, "-c", "copy"), tools) == wanted
    shorter = packet_hashes(make(tmp_path / "shorter.mp4", "-c", "copy", "-t", "9"), tools)
    assert all(a != b for a, b in zip(shorter, wanted, strict=True))


def test_picture_and_sound_apart_become_one_file_with_both_in_step(tmp_path: Path, tools: MediaTools) -> None:
    picture = make(tmp_path / "picture.mp4", "-an", "-c", "copy")
    sound = make(tmp_path / "sound.m4a", "-vn", "-c", "copy")
    joined = join_streams([picture, sound], tmp_path, tools)
    assert joined.name == "original.mp4"
    measured = probe(joined, tools)
    assert (measured.tags.get("title"), measured.audio[0].language) == (None, "eng")
    assert (measured.start_seconds, measured.audio[0].start_seconds) == (0, 0)
    assert packet_hashes(joined, tools) == packet_hashes(SAMPLE, tools)


def test_a_part_that_begins_later_stays_later(tmp_path: Path, tools: MediaTools) -> None:
    picture = make(tmp_path / "picture.ts", "-an", "-c", "copy")
    sound = make(tmp_path / "sound.ts", "-vn", "-c", "copy", "-output_ts_offset", "1.5")
    measured = probe(join_streams([picture, sound], tmp_path, tools), tools)
    assert measured.audio[0].start_seconds == pytest.approx(1.4, abs=0.1)  # less the delays of H.264 and AAC


@pytest.mark.parametrize(
    ("codecs", "name"),
    [
        (["-c:v", "vp8", "-vf", "scale=128:72", "-deadline", "realtime", "-c:a", "libopus"], "original.webm"),
        (["-c:v", "copy", "-c:a", "libopus"], "original.mkv"),
    ],
)
def test_the_container_takes_what_it_holds_and_is_the_same_each_time(
    tmp_path: Path, tools: MediaTools, codecs: list[str], name: str
) -> None:
    source = make(tmp_path / "source.mkv", *codecs)
    first = join_streams([source], tmp_path, tools)
    assert first.name == name
    wanted = sha256_file(first)
    assert sha256_file(join_streams([source], tmp_path, tools)) == wanted


def test_the_hash_of_a_file_is_read_in_blocks(tmp_path: Path) -> None:
    import hashlib

    content = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(content)
    seen: list[int] = []
    assert sha256_file(tmp_path / "a", seen.append) == hashlib.sha256(content).hexdigest()
    assert seen == [1 << 20, 2 << 20, len(content)]
