"""Whether a file is whole, as one pass over its packets sees it: the real ffprobe, on files made and then harmed."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.findings import Finding, judge
from narralytica_ingest.media.integrity import MAX_LOST_SHARE, inspect, track_findings
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools

SECONDS = 8.0
PICTURE = ["-f", "lavfi", "-i", f"testsrc2=s=96x64:r=25:d={SECONDS}"]
SOUND = ["-f", "lavfi", "-i", f"anoisesrc=d={SECONDS}:c=pink:r=44100:a=0.3:seed=1"]
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25"]
VP8 = ["-c:v", "vp8", "-deadline", "realtime", "-cpu-used", "16"]

# name: options, whether the container announces a length that can be relied on
CONTAINERS: dict[str, tuple[list[str], bool]] = {
    "plain.mp4": ([*H264, "-c:a", "aac", "-movflags", "+faststart"], True),
    "fragments.mp4": ([*H264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"], True),
    "dash.mp4": ([*H264, "-c:a", "aac", "-movflags", "+frag_keyframe+dash+empty_moov"], True),
    "plain.mkv": ([*H264, "-c:a", "aac"], True),
    "plain.webm": ([*VP8, "-c:a", "libopus"], True),
    "plain.flv": ([*H264, "-c:a", "aac"], True),
    "plain.avi": (["-c:v", "mpeg4", "-c:a", "mp3"], True),
    "pcm.avi": (["-c:v", "mpeg4", "-c:a", "pcm_s16le"], True),
    "plain.mxf": (["-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"], True),
    "plain.wav": (["-vn"], True),
    "plain.aiff": (["-vn"], True),
    "plain.flac": (["-vn"], True),
    "plain.mp3": (["-vn", "-q:a", "5"], True),
    "headless.mp3": (["-vn", "-q:a", "5", "-write_xing", "0"], False),
    "live.mkv": ([*H264, "-c:a", "aac", "-live", "1"], False),
    "live.webm": ([*VP8, "-c:a", "libopus", "-live", "1"], False),
    "plain.ts": ([*H264, "-c:a", "aac"], False),
    "wrapped.ts": ([*H264, "-c:a", "aac", "-output_ts_offset", "95440"], False),
    "plain.mpg": (["-c:v", "mpeg2video", "-c:a", "mp2"], False),
    "plain.wmv": (["-c:v", "msmpeg4v3", "-c:a", "wmav2"], False),
    "plain.ogg": (["-vn", "-c:a", "libvorbis"], True),
    "plain.aac": (["-vn", "-c:a", "aac"], False),
    "plain.ac3": (["-vn", "-c:a", "ac3"], False),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, tools: MediaTools) -> Callable[..., Path]:
    """Makes a file with ffmpeg, once."""
    folder = tmp_path_factory.mktemp("integrity")
    made: dict[str, Path] = {}

    def make(name: str, *options: str, picture: list[str] = PICTURE, sound: list[str] = SOUND) -> Path:
        if name not in made:
            made[name] = folder / name
            command = ["-nostdin", "-v", "error", *picture, *sound, *options, str(made[name])]
            result = run_tool([tools.ffmpeg, *command], timeout=60)
            assert result.returncode == 0, result.stderr
        return made[name]

    return make


def container(make: Callable[..., Path], name: str) -> Path:
    return make(name, *CONTAINERS[name][0])


def found(path: Path, tools: MediaTools) -> list[Finding]:
    return inspect(path, probe(path, tools), tools)


def codes(path: Path, tools: MediaTools) -> list[str]:
    return [each.code for each in found(path, tools)]


def harmed(path: Path, target: Path, harm: Callable[[bytearray], bytes | bytearray]) -> Path:
    target.write_bytes(harm(bytearray(path.read_bytes())))
    return target


def first_part(share: float) -> Callable[[bytearray], bytearray]:
    return lambda content: content[: int(len(content) * share)]


# ---- whole files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTAINERS)
def test_nothing_is_found_in_a_whole_file(make: Callable[..., Path], tools: MediaTools, name: str) -> None:
    assert found(container(make, name), tools) == []


def test_a_wave_file_from_a_pipe_knows_no_length_and_is_whole(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    def unclosed(content: bytearray) -> bytearray:
        content[4:8] = content[content.index(b"data") + 4 : content.index(b"data") + 8] = b"\xff" * 4
        return content

    assert found(harmed(container(make, "plain.wav"), tmp_path / "a.wav", unclosed), tools) == []


def test_an_edit_list_a_late_start_and_uneven_pictures_are_nothing_wrong(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    edited = make("edited.mp4", *H264, "-bf", "2", "-c:a", "aac", "-ss", "1.3")
    late = make("late.mkv", *H264, "-c:a", "aac", sound=["-itsoffset", "2", *SOUND])
    uneven = make("uneven.mp4", *H264, "-c:a", "aac", "-vf", "select='not(mod(n,7))+lt(n,50)'", "-fps_mode", "vfr")
    assert [found(each, tools) for each in (edited, late, uneven)] == [[], [], []]


def test_sound_that_ends_before_the_picture_is_whole(make: Callable[..., Path], tools: MediaTools) -> None:
    for name in ("short.mp4", "short.mkv"):
        assert found(make(name, *H264, "-c:a", "aac", "-af", "atrim=0:3"), tools) == []


def test_a_clock_that_is_set_anew_is_no_hole(make: Callable[..., Path], tools: MediaTools, tmp_path: Path) -> None:
    first, later = (
        container(make, "plain.ts"),
        make("later.ts", *CONTAINERS["plain.ts"][0], "-output_ts_offset", "3600"),
    )
    spliced, back = tmp_path / "spliced.ts", tmp_path / "back.ts"
    spliced.write_bytes(first.read_bytes() + later.read_bytes())
    back.write_bytes(later.read_bytes() + first.read_bytes())
    assert (found(spliced, tools), found(back, tools)) == ([], [])


# ---- cut off -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_that_is_cut_off_is_truncated_if_its_container_can_tell(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path, name: str, share: float
) -> None:
    cut = harmed(container(make, name), tmp_path / name, first_part(share))
    assert ("truncated_media" in codes(cut, tools)) == CONTAINERS[name][1]


def test_the_last_bytes_of_an_mp4_are_missed_though_its_length_is_right(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    cut = harmed(container(make, "plain.mp4"), tmp_path / "a.mp4", lambda content: content[:-10])
    (finding,) = found(cut, tools)
    assert finding.code == "truncated_media"
    assert "ends 10 bytes before" in finding.message


def test_what_is_truncated_fails_whatever_is_set(make: Callable[..., Path], tools: MediaTools, tmp_path: Path) -> None:
    cut = harmed(container(make, "plain.mkv"), tmp_path / "a.mkv", first_part(0.5))
    with pytest.raises(IngestError, match=r"announces 8\.0 seconds, but only 4\.\d can be read"):
        judge(found(cut, tools), {"truncated_media": "warn"})


def test_a_sound_that_is_cut_while_the_picture_is_whole_is_truncated(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    """An MP4 may hold all of its picture before its sound."""
    apart = make("apart.mov", *H264, "-c:a", "pcm_s16le", "-max_interleave_delta", "0", "-movflags", "+faststart")
    cut = harmed(apart, tmp_path / "a.mov", first_part(0.7))
    assert codes(cut, tools) == ["truncated_media"]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_an_ogg_that_is_cut_within_a_page_is_truncated(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path, share: float
) -> None:
    """Ogg announces no length; but its pages do."""
    cut = harmed(container(make, "plain.ogg"), tmp_path / "a.ogg", first_part(share))
    assert codes(cut, tools) == ["truncated_media"]


def test_an_ogg_that_is_cut_between_two_pages_lacks_its_end_mark(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    cut = harmed(container(make, "plain.ogg"), tmp_path / "a.ogg", lambda content: content[: content.rindex(b"OggS")])
    (finding,) = found(cut, tools)
    assert finding.code == "damaged_media"
    assert "may have been cut off" in finding.message


# ---- rotten, and with holes ----------------------------------------------------------------------------------------


def dropped(make: Callable[..., Path], name: str, start: float, end: float) -> Path:
    """The sound's packets between two times are left out."""
    whole = ["-i", str(container(make, name))]
    when = f"between(pts*tb\\,{start}\\,{end})"
    return make(f"{start}-{end}-{name}", "-c", "copy", "-bsf:a", f"noise=drop={when}", picture=whole, sound=[])


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "plain.webm", "plain.ts", "plain.flv"])
def test_a_hole_in_the_sound_is_found_with_its_place_and_length(
    make: Callable[..., Path], tools: MediaTools, name: str
) -> None:
    (finding,) = found(dropped(make, name, 3.0, 5.0), tools)
    assert finding.code == "gaps"
    assert "has 1 hole, 2.0 s in all" in finding.message or "has 1 hole, 2.1 s in all" in finding.message
    assert "begins at 3.0 s" in finding.message or "begins at 2.9 s" in finding.message


def test_a_hole_shorter_than_half_a_second_is_none(make: Callable[..., Path], tools: MediaTools) -> None:
    assert found(dropped(make, "plain.mkv", 3.0, 3.4), tools) == []


def test_a_rotten_cluster_is_noticed_and_what_follows_it_is_found(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    def rot(content: bytearray) -> bytearray:
        start = len(content) // 2
        content[start : start + 2000] = random.Random(1).randbytes(2000)
        return content

    ogg = harmed(container(make, "plain.ogg"), tmp_path / "a.ogg", rot)
    assert codes(ogg, tools) == ["damaged_media", "gaps"]


def test_lost_packets_of_a_transport_stream_are_damage(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    def lose(content: bytearray) -> bytearray:
        at = len(content) // 188 // 2 * 188
        return content[:at] + content[at + 188 * 5 :]

    assert codes(harmed(container(make, "plain.ts"), tmp_path / "a.ts", lose), tools) == ["damaged_media"]


def test_a_sound_track_without_a_packet_is_empty(make: Callable[..., Path], tools: MediaTools) -> None:
    empty = make("empty.mkv", *H264, "-c:a", "aac", "-bsf:a", "noise=drop=1")
    assert codes(empty, tools) == ["empty_track"]


# ---- headers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_header_that_is_wrong_either_way_is_told_from_a_file_that_is_cut(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path, factor: float
) -> None:
    def lie(content: bytearray) -> bytearray:
        struct.pack_into(">d", content, content.index(b"\x44\x89\x88") + 3, SECONDS * factor * 1000)  # Duration, ms
        return content

    lying = harmed(container(make, "plain.mkv"), tmp_path / "a.mkv", lie)
    (finding,) = found(lying, tools)
    assert finding == Finding(
        "duration_differs", f"The file announces {SECONDS * factor:.1f} seconds, and 8.0 can be read."
    )
    assert judge([finding]) == [finding]


def test_an_estimated_length_is_no_promise(make: Callable[..., Path], tools: MediaTools) -> None:
    measured = probe(container(make, "headless.mp3"), tools)
    assert measured.duration_is_estimated
    assert probe(container(make, "plain.mp3"), tools).duration_is_estimated is False
    assert track_findings(measured, measured.audio[0], SECONDS / 2, "") == []


# ---- what decoding says --------------------------------------------------------------------------------------------

OF_FFMPEG_6 = """[aac @ 0x1] Input buffer exhausted before END element found
Error while decoding stream #0:1: Invalid data found when processing input
    Last message repeated 2 times
[aac @ 0x1] channel element 3.3 is not allocated
Error while decoding stream #0:1: Invalid data found when processing input"""
OF_FFMPEG_7 = """[aac @ 0x1] Input buffer exhausted before END element found
[aist#0:1/aac @ 0x2] [dec:aac @ 0x3] Error submitting packet to decoder: Invalid data found when processing input"""


def track_of(make: Callable[..., Path], tools: MediaTools, seconds: float, complaints: str) -> list[Finding]:
    measured = probe(container(make, "plain.mp4"), tools)
    return track_findings(measured, measured.audio[0], seconds, complaints)


@pytest.mark.parametrize(
    ("complaints", "places"),
    [
        (OF_FFMPEG_6, " at 4 places;"),
        (OF_FFMPEG_7, " at 1 place;"),
        ("[ogg @ 0x1] CRC mismatch!\n    Last message repeated 15 times", " at 16 places;"),
        ("[flac @ 0x1] CRC error at PTS 465408", " at 1 place;"),
        (f"{OF_FFMPEG_6}\n" * 100, " at at least 400 places;"),
    ],
)
def test_places_that_cannot_be_decoded_are_counted(
    make: Callable[..., Path], tools: MediaTools, complaints: str, places: str
) -> None:
    (finding,) = track_of(make, tools, SECONDS, complaints)
    assert finding.code == "damaged_media"
    assert places in finding.message


@pytest.mark.parametrize("complaints", ["", "[h264 @ 0x1] non-existing PPS 0 referenced", "[mov @ 0x1] some warning"])
def test_other_complaints_are_no_damage_to_the_sound(
    make: Callable[..., Path], tools: MediaTools, complaints: str
) -> None:
    assert track_of(make, tools, SECONDS, complaints) == []


@pytest.mark.parametrize(
    ("seconds", "complaints", "wanted"),
    [
        (0.0, "", ["empty_track"]),
        (4.0, OF_FFMPEG_6, ["truncated_media", "damaged_media"]),
        (4.0, "[mov @ 0x1] stream 1, offset 0x8358d: partial file", ["truncated_media"]),
        (4.0, "", ["duration_differs"]),
        (SECONDS - 0.4, "", []),
    ],
)
def test_a_short_track_is_half_a_track_only_where_something_broke(
    make: Callable[..., Path], tools: MediaTools, seconds: float, complaints: str, wanted: list[str]
) -> None:
    assert [each.code for each in track_of(make, tools, seconds, complaints)] == wanted


def test_a_rotten_flac_is_noticed_though_what_is_left_can_be_decoded(
    make: Callable[..., Path], tools: MediaTools, tmp_path: Path
) -> None:
    def rot(content: bytearray) -> bytearray:
        for share in (0.3, 0.5, 0.7):
            content[int(len(content) * share)] ^= 0x10
        return content

    rotten = harmed(container(make, "plain.flac"), tmp_path / "a.flac", rot)
    (finding,) = found(rotten, tools)
    assert finding == Finding("damaged_media", "The file is damaged at 3 places: what was there is lost or distorted.")


@pytest.mark.parametrize(("share", "returncode"), [(MAX_LOST_SHARE / 2, 0), (MAX_LOST_SHARE * 1.6, 69)])
def test_beyond_the_greatest_share_of_lost_packets_ffmpeg_itself_gives_up(
    make: Callable[..., Path], tools: MediaTools, share: float, returncode: int
) -> None:
    """The exit code is the documented one of `-max_error_rate`."""
    spoiled = make(
        f"spoiled-{share}.mka", "-vn", "-c:a", "aac", "-bsf:a", f"noise=amount='if(lt(mod(n,100),{share * 100}),1,0)'"
    )
    decode = ["-nostdin", "-v", "error", "-max_error_rate", str(MAX_LOST_SHARE), "-i", str(spoiled), "-f", "null", "-"]
    assert run_tool([tools.ffmpeg, *decode], timeout=60).returncode == returncode
