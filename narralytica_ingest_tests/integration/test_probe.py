"""What is measured of a file beyond its codecs: colours, rotation, rates, flags, chapters; and stored probes."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.media import ffprobe_values as values
from narralytica_ingest.media.probe import Chapter, Probe, probe, stored_probe
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

INPUTS = ["-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2:r=48000"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
Make = Callable[..., Probe]


@pytest.fixture
def made(tmp_path: Path, tools: MediaTools) -> Make:
    """Makes a file with ffmpeg and measures it."""

    def made(name: str, *options: str, inputs: list[str] = INPUTS) -> Probe:
        target = tmp_path / name
        result = run_tool([tools.ffmpeg, "-nostdin", "-v", "error", "-y", *inputs, *options, target], timeout=60)
        assert result.returncode == 0, result.stderr
        return probe(target, tools)

    return made


@pytest.mark.parametrize(
    ("transfer", "wanted"), [("smpte2084", "HDR10"), ("arib-std-b67", "HLG"), ("bt709", "SDR"), (None, None)]
)
def test_the_dynamic_range_follows_the_transfer_function(made: Make, transfer: str | None, wanted: str | None) -> None:
    colours = ["-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc"] if transfer else []
    (video,) = made("a.mkv", *H264, "-pix_fmt", "yuv420p10le", *colours).video
    assert (video.dynamic_range, video.bit_depth) == (wanted, 10)
    assert (video.color_transfer, video.color_primaries) == (transfer, "bt2020" if transfer else None)


def test_dolby_vision_says_so_beside_the_picture() -> None:
    stream = {"color_transfer": "smpte2084", "side_data_list": [{"side_data_type": "DOVI configuration record"}]}
    assert values.dynamic_range(stream) == "DV"


@pytest.mark.parametrize(
    ("stream", "wanted"),
    [
        ({"side_data_list": [{"side_data_type": "Display Matrix", "rotation": -90}]}, -90),
        ({"tags": {"rotate": "90"}}, -90),
        ({"tags": {"ROTATE": "270"}, "side_data_list": [{"rotation": 90}]}, 90),
        ({"tags": {"rotate": "upright"}}, None),
        ({}, None),
    ],
)
def test_the_old_tag_turns_the_other_way_than_the_matrix(stream: dict[str, Any], wanted: int | None) -> None:
    assert values.rotation(stream) == wanted


def test_uneven_pictures_are_told_from_even_ones(made: Make) -> None:
    uneven = ["-vf", "select='not(mod(n,7))+lt(n,25)'", "-fps_mode", "vfr"]
    assert made("even.mp4", *H264).video[0].variable_frame_rate is False
    assert made("uneven.mp4", *H264, *uneven).video[0].variable_frame_rate is True
    assert made("film.mp4", *H264, "-r", "24000/1001").video[0].variable_frame_rate is False


@pytest.mark.parametrize(
    ("average", "least", "wanted"),
    [("25/1", "50/1", False), ("30000/1001", "30/1", False), ("0/0", "90000/1", None), ("2997/125", "90000/1", True)],
)
def test_fields_and_rounded_clocks_are_even(average: str, least: str, wanted: bool | None) -> None:
    assert values.variable_frame_rate({"avg_frame_rate": average, "r_frame_rate": least}) == wanted


def test_a_track_has_its_layout_depth_flags_and_number_of_frames(made: Make) -> None:
    measured = made(
        "a.mov", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "pcm_s24le", "-ac", "6",
        "-disposition:a:0", "original+hearing_impaired", "-metadata:s:v:0", "language=fra",
    )  # fmt: skip
    (video,), (audio,) = measured.video, measured.audio
    assert (video.frames, video.bit_depth, video.language) == (50, 8, "fra")
    assert (audio.channels, audio.channel_layout, audio.bit_depth) == (6, "5.1", 24)
    mkv = made("a.mkv", *H264, "-disposition:a:0", "original+hearing_impaired")
    assert mkv.audio[0].dispositions == ("hearing_impaired", "original")


def test_bit_rates_and_frames_come_from_statistics_where_the_stream_says_none() -> None:
    assert values.statistic({"tags": {"BPS-eng": "128000"}}, "bit_rate", "bps") == 128_000
    assert values.statistic({"tags": {"BPS": "64000"}}, "bit_rate", "bps") == 64_000
    assert values.statistic({"bit_rate": "32000", "tags": {"BPS": "64000"}}, "bit_rate", "bps") == 32_000
    assert values.statistic({"nb_frames": "0"}, "nb_frames", "number_of_frames") is None


def test_chapters_and_the_time_of_recording_are_read(made: Make, tmp_path: Path) -> None:
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=Beginn\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=2000\ntitle=終わり\n",
        encoding="utf-8",
    )
    measured = made(
        "a.mp4", *H264, "-map_metadata", "2", "-metadata", "creation_time=2024-05-06T09:08:07+02:00",
        inputs=[*INPUTS, "-i", str(chapters)],
    )  # fmt: skip
    assert measured.chapters == (Chapter(0.0, 1.5, "Beginn"), Chapter(1.5, 2.0, "終わり"))
    assert measured.created_at == "2024-05-06T07:08:07+00:00"


@pytest.mark.parametrize("said", ["1970-01-01T00:00:00Z", "1904-01-01T00:00:00.000000Z", "yesterday", "", None])
def test_a_recorder_without_a_clock_says_nothing(said: str | None) -> None:
    assert values.moment(said) is None
    assert values.moment(said, "2020-01-02T03:04:05Z") == "2020-01-02T03:04:05+00:00"


def test_a_stored_probe_is_the_probe(made: Make) -> None:
    measured = made("a.mp4", *H264)
    assert stored_probe(json.loads(json.dumps(asdict(measured)))) == measured


def test_a_probe_that_an_older_version_stored_is_read_as_this_one_would(made: Make) -> None:
    measured = made("a.mkv", *H264, "-disposition:a:0", "original")
    stored = json.loads(json.dumps(asdict(measured)))
    for name in ("chapters", "created_at", "duration_is_estimated"):
        del stored[name]
    for stream in (*stored["video"], *stored["audio"]):
        for name in ("dispositions", "bit_depth", "dynamic_range", "variable_frame_rate", "frames", "channel_layout"):
            stream.pop(name, None)
    again = stored_probe(stored)
    assert again.audio[0].dispositions == ("original",)
    assert (again.video, again.audio, again.chapters) == (measured.video, measured.audio, measured.chapters)
    assert again.duration_is_estimated is None


def test_of_an_old_probe_of_an_mp3_the_length_is_not_trusted(made: Make) -> None:
    stored = asdict(made("a.mp3", "-vn"))
    del stored["duration_is_estimated"]
    assert stored_probe(stored).duration_is_estimated is True
