"""The frame of a file is read as far as a real file goes, and no further."""

import struct
from pathlib import Path

import pytest

from narralytica_ingest.media import structure


def test_a_file_of_nothing_but_empty_boxes_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "boxes.mp4"
    file.write_bytes(struct.pack(">I4s", 8, b"free") * 100 + struct.pack(">I4s", 1000, b"mdat"))
    assert structure.missing_bytes(file, "mp4") == 992
    monkeypatch.setattr(structure, "_MOST_PARTS", 10)
    assert structure.missing_bytes(file, "mp4") == 0
