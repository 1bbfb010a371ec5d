"""Containers by their first bytes: one extension and one content type for the same bytes, whatever the file is called.

What belongs here: reading a file's first kilobyte, and the tables of names.
"""

from pathlib import Path

CONTENT_TYPES = {
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "mov": "video/quicktime",
    "3gp": "video/3gpp",
    "mkv": "video/x-matroska",
    "mka": "audio/x-matroska",
    "webm": "video/webm",
    "ts": "video/mp2t",
    "mpg": "video/mpeg",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "asf": "video/x-ms-asf",
    "mxf": "application/mxf",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "ac3": "audio/ac3",
}
# ffprobe's name: ours
_EXTENSIONS = {"mpegts": "ts", "mpeg": "mpg", "mpegvideo": "mpg", "w64": "wav", "eac3": "ac3", "rm": "rm"}
_HEAD = 4096


def container_of(path: Path, format_name: str, *, has_video: bool) -> tuple[str, str]:
    """The container's name and its file extension, from ffprobe's format name and the file's own head."""
    names = format_name.split(",")
    if "mp4" in names:
        return _iso_base_media(path, has_video)
    if "matroska" in names:
        doctype = _ebml_doctype(path)
        return ("webm", "webm") if doctype == "webm" else ("matroska", "mkv" if has_video else "mka")
    return names[0], _EXTENSIONS.get(names[0], names[0])


def looks_like_html(path: Path) -> bool:
    """Whether the file starts like a web page."""
    head = _head(path).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head", b"<!--", b"<?xml", b"<body"))


def _iso_base_media(path: Path, has_video: bool) -> tuple[str, str]:
    head = _head(path)
    brand = head[8:12] if head[4:8] == b"ftyp" else b"qt  "  # files older than `ftyp` are QuickTime's
    if brand == b"qt  ":
        return "mov", "mov"
    if brand[:3] in (b"3gp", b"3g2"):
        return "3gp", "3gp"
    return "mp4", "mp4" if has_video else "m4a"


def _ebml_doctype(path: Path) -> str:
    """The DocType element (id 0x4282, one byte of length) of a Matroska header."""
    _, found, rest = _head(path).partition(b"\x42\x82")
    length = rest[0] & 0x7F if rest else 0
    return rest[1 : 1 + length].rstrip(b"\0").decode("ascii", "replace") if found else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
