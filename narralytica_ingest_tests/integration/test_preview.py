"""A preview is small, comes from whatever there is, and fails nothing."""

import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from narralytica_ingest.media.preview import preview_of_thumbnail, preview_of_video
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.shown import INLINE_BYTES
from narralytica_ingest_tests.source_server.streams import SAMPLE


@pytest.fixture(scope="module")
def tools() -> MediaTools:
    return find_tools()


def draw(tools: MediaTools, target: Path, *options: str, source: str = "testsrc2=size=640x360:duration=1") -> Path:
    """A file made of ffmpeg's own test pictures."""
    subprocess.run(
        [str(tools.ffmpeg), "-v", "error", "-y", "-f", "lavfi", "-i", source, *options, str(target)],
        check=True,
        env={"GCONV_PATH": "/dev/null"},
    )
    return target


def size_of(picture: bytes, tmp_path: Path, tools: MediaTools) -> tuple[int, int]:
    """Width and height of a WebP, by ffprobe."""
    path = tmp_path / "picture.webp"
    path.write_bytes(picture)
    command = [str(tools.ffprobe), "-v", "error", "-of", "csv=p=0", "-show_entries", "stream=width,height", str(path)]
    width, height = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(",")[:2]
    return int(width), int(height)


def of_video(path: Path, tmp_path: Path, tools: MediaTools, largest: int = INLINE_BYTES) -> bytes | None:
    return preview_of_video(path, asdict(probe(path, tools)), tmp_path, tools, largest)


def test_a_video_is_previewed_by_one_of_its_frames(tmp_path: Path, tools: MediaTools) -> None:
    picture = of_video(SAMPLE, tmp_path, tools)
    assert picture is not None
    assert len(picture) <= INLINE_BYTES
    width, height = size_of(picture, tmp_path, tools)
    assert abs(width / height - 16 / 9) < 0.1
    assert list(tmp_path.glob("preview-*")) == []


def test_an_upright_video_stays_upright(tmp_path: Path, tools: MediaTools) -> None:
    path = draw(tools, tmp_path / "tall.mp4", source="testsrc2=size=180x320:duration=1")
    picture = of_video(path, tmp_path, tools)
    assert picture is not None
    width, height = size_of(picture, tmp_path, tools)
    assert width < height


@pytest.mark.parametrize("name", ["thumbnail.png", "thumbnail.jpeg", "thumbnail.webp", "thumbnail.avif"])
def test_a_thumbnail_is_previewed_whatever_its_format(tmp_path: Path, tools: MediaTools, name: str) -> None:
    still = ("-still-picture", "1", "-cpu-used", "8") if name.endswith("avif") else ()
    path = draw(tools, tmp_path / name, "-frames:v", "1", *still)
    picture = preview_of_thumbnail(path, tmp_path, tools, INLINE_BYTES)
    assert picture is not None
    assert len(picture) <= INLINE_BYTES


def test_sound_without_a_picture_has_no_preview(tmp_path: Path, tools: MediaTools) -> None:
    path = draw(tools, tmp_path / "tone.flac", source="sine=duration=1")
    assert of_video(path, tmp_path, tools) is None


@pytest.mark.parametrize("body", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + b"\x00" * 500])
def test_a_broken_thumbnail_has_no_preview(tmp_path: Path, tools: MediaTools, body: bytes) -> None:
    path = tmp_path / "thumbnail.png"
    path.write_bytes(body)
    assert preview_of_thumbnail(path, tmp_path, tools, INLINE_BYTES) is None


def test_a_picture_that_fits_in_no_size_is_left_out(tmp_path: Path, tools: MediaTools) -> None:
    assert of_video(SAMPLE, tmp_path, tools, largest=30) is None


def test_a_tool_that_is_not_there_fails_nothing(tmp_path: Path, tools: MediaTools) -> None:
    gone = MediaTools(tmp_path / "no-ffmpeg", tools.ffprobe)
    measured = asdict(probe(SAMPLE, tools))
    assert preview_of_video(SAMPLE, measured, tmp_path, gone, INLINE_BYTES) is None
