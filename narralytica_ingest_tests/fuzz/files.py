"""What servers and files say of themselves: headers, checkpoints, ffprobe's output, frames of containers."""

import atexit
import contextlib
import json
import shutil
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.probe import stored_probe
from narralytica_ingest.media.structure import lacks_its_end, missing_bytes
from narralytica_ingest.metadata.normalize import Reading, normalize
from narralytica_ingest.sources.checkpoint import load_checkpoint, stable_url
from narralytica_ingest.sources.remote_file import Answer, RemoteFile, require_known_end, retry_after
from narralytica_ingest_tests.fuzz.material import Material, in_time, words_of

_HEADERS = ("ETag", "Last-Modified", "Content-Length", "Content-Range", "Transfer-Encoding", "Content-Encoding")
_NOW = datetime(2026, 3, 14, tzinfo=UTC)
_NUMBERS = words_of("""
width height avg_frame_rate r_frame_rate duration start_time end_time bit_rate nb_frames bits_per_raw_sample
channels sample_rate
""")
_NAMES = ("codec_name", "pix_fmt", "color_transfer", "color_primaries", "channel_layout", "format_name")
_TAGS = words_of("""
BPS NUMBER_OF_FRAMES DURATION rotate language title creation_time date keywords artist
""")
_BESIDE = ("side_data_type", "rotation")
_MARK, _MARKS = ("size", "fragments", "last"), ("written", "synced")
_CHECKPOINT = (*_MARK, "etag", "last_modified", "length")
_EXTENSIONS = ("mp4", "mov", "avi", "wav", "aiff", "ogg", "mkv")


def remote_file(data: bytes) -> None:
    """Headers prove a range of a file, or nothing; a pause that a server asks for is at most a day."""
    given = Material(data)
    headers = {name: given.text() for name in _HEADERS if given.byte() % 2}
    status = given.pick((200, 206, 206, 416, 429))
    with in_time():
        file, answer = RemoteFile.of(status, headers), Answer.of(status, headers)
        with contextlib.suppress(IngestError):
            require_known_end(headers)
        later = retry_after(given.text(), _NOW)
    assert file.length is None or 0 <= file.length < 10**18
    assert not file.is_proof or file.validator
    if answer is not None:
        assert answer.file == file
        assert answer.start >= 0
        assert answer.stop is None or status != 206 or answer.start < answer.stop
    assert later is None or later <= _NOW + timedelta(days=1)


def checkpoint(data: bytes) -> None:
    """Whatever lies in a checkpoint's place, no more of a partial is trusted than is there."""
    given = Material(data)
    source, boot, size = given.pick(("", "s")), given.pick((None, "b")), given.byte()
    path = _file()
    saved = {
        name: given.json(_CHECKPOINT, 2) for name in ("source", "file", "boot", "written", "synced") if given.byte() % 8
    }
    if given.byte() % 4:
        saved |= {name: {each: given.pick((0, 1, given.byte(), given.json())) for each in _MARK} for name in _MARKS}
        saved["file"] = given.pick((None, {each: given.json((), 1) for each in ("etag", "last_modified", "length")}))
    path.write_bytes(given.pick((given.text().encode("utf-8", "replace"), json.dumps(saved).encode())))
    found = load_checkpoint(path)
    if found is not None:
        mark = found.trusted(source, boot, size)
        assert mark is None or 0 < mark.size <= size, found
    with in_time(), contextlib.suppress(ValueError):
        stable_url(Material(data).text())


def probe(data: bytes) -> None:
    """What ffprobe prints of a hostile file is a probe whose facts make a row of metadata."""
    given = Material(data)
    raw = {
        "streams": [_section(given) | {"index": place} for place in range(2)],
        "format": _section(given),
        "chapters": [_section(given) for _ in range(given.byte() % 3)],
    }
    with in_time(3):
        found = stored_probe({"raw": raw, "size_bytes": 5, "container": "mp4", "extension": "mp4"})
        normalize(Reading("web-x", probe=asdict(found)))


def structure(data: bytes) -> None:
    """A frame of any bytes is read to its end, in time, and what it lacks is never less than nothing."""
    given = Material(data)
    extension, head = given.pick(_EXTENSIONS), given.pick((b"", b"RIFF", b"FORM", b"OggS"))
    path = _file()
    path.write_bytes(head + given.rest())
    with in_time():
        assert missing_bytes(path, extension) >= 0
        lacks_its_end(path, extension)


def _section(given: Material) -> dict[str, Any]:
    """A part of ffprobe's output: its values are texts and whole numbers, its tags texts, both as the file has them."""
    known = ("codec_type", given.pick(("video", "audio", "subtitle")))
    numbers = [(given.pick(_NUMBERS), given.pick((given.text(), given.byte()))) for _ in range(given.byte() % 12)]
    names = [(given.pick(_NAMES), given.text()) for _ in range(given.byte() % 6)]
    tags = {given.pick((*_TAGS, given.text())): given.text() for _ in range(given.byte() % 6)}
    beside = [{given.pick(_BESIDE): given.pick((given.text(), -given.byte()))} for _ in range(given.byte() % 3)]
    return {
        **dict([known, *numbers, *names]),
        "tags": tags,
        "disposition": {"default": given.byte() % 2},
        "side_data_list": beside,
    }


@cache
def _file() -> Path:
    """One that is written anew for each input, and gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "file"
