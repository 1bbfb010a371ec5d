"""A disk that is full while a tool writes: never a file that is cut off, and never the media's fault."""

from pathlib import Path

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.tools import MediaTools, find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.source_server import SAMPLE


@pytest.fixture
def tools(tmp_path: Path) -> MediaTools:
    """The real tools; but the disk is full when the last bytes are to be written, which ffmpeg 6 takes for success."""
    real, program = find_tools(), tmp_path / "ffmpeg"
    said = "[out#0/flac @ 0x1] Error writing trailer: No space left on device"
    program.write_text(f'#!/bin/sh\n"{real.ffmpeg}" "$@" || exit\necho "{said}" >&2\n')
    program.chmod(0o700)
    return MediaTools(program, real.ffprobe)


def test_a_track_whose_end_did_not_fit_waits_for_the_disk(tools: MediaTools, tmp_path: Path) -> None:
    measured = probe(SAMPLE, tools)
    with pytest.raises(IngestError) as refused:
        extract_audio(SAMPLE, measured, choose(measured)[0], ["flac"], tmp_path, tools)
    assert (refused.value.code, refused.value.failure_class) == ("disk_full", FailureClass.LOCAL)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


def test_a_joined_file_whose_end_did_not_fit_waits_for_the_disk(tools: MediaTools, tmp_path: Path) -> None:
    with pytest.raises(IngestError) as refused:
        join_streams([SAMPLE], tmp_path, tools)
    assert refused.value.code == "disk_full"
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]
