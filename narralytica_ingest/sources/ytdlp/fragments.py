"""Media that comes in fragments (HLS, DASH): which they are, and how they become one file.

yt-dlp reads the playlists. Its fragment downloaders hold a fragment in memory and write down only afterwards that they
appended it, so that a kill between the two appends it twice; here fragments go straight into the file.
"""

import struct
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yt_dlp.aes import aes_cbc_decrypt_bytes
from yt_dlp.downloader.dash import DashSegmentsFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.networking.common import Request

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sources.checkpoint import Mark, digest, stable_url
from narralytica_ingest.sources.part_file import PartFile
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.line import Line
from narralytica_ingest.sources.ytdlp.piece import Piece, Pull

_BLOCK = 1 << 20  # a multiple of the cipher's block size
_CIPHER_BLOCK = 16


@dataclass(frozen=True)
class Fragment:
    """A piece of the media, and for an encrypted one the URL of its key (or the key) and its initialization vector."""

    piece: Piece
    key_url: str | None = None
    key: bytes | None = None
    iv: bytes = b""

    @property
    def encrypted(self) -> bool:
        return self.key_url is not None or self.key is not None

    @property
    def identity(self) -> list[object]:
        """What must be the same in a later list, for what was fetched by this one to be of use."""
        key = self.key.hex() if self.key else self.key_url and stable_url(self.key_url)
        return [stable_url(self.piece.url), self.piece.start, self.piece.end, key, self.iv.hex()]


# ---- which they are --------------------------------------------------------------------------------------------------


class _Playlist(HlsFD):  # type: ignore[misc]
    """yt-dlp's reader of HLS playlists, which hands over the list instead of fetching it."""

    listed: list[dict[str, Any]] | None = None

    @classmethod
    def can_download(cls, manifest: str, info_dict: dict[str, Any], allow_unplayable_formats: bool = False) -> bool:
        if cls._has_drm(manifest):
            raise failure("drm_protected", "The video is protected by DRM and cannot be ingested.")
        if not super().can_download(manifest, info_dict, allow_unplayable_formats):
            raise failure(
                "encryption_not_supported",
                "The source encrypts the video in a way that cannot be read: upload the file instead.",
            )
        return True

    def _prepare_and_start_frag_download(self, ctx: dict[str, Any], _: dict[str, Any]) -> None:
        ctx["fragment_index"] = 0  # list all of them

    def download_and_append_fragments(self, _: Any, fragments: Iterable[dict[str, Any]], *__: Any, **___: Any) -> bool:
        self.listed = list(fragments)
        return True


def hls_fragments(downloader: Downloader, line: Line, chosen: dict[str, Any]) -> list[Fragment]:
    """The fragments of an HLS playlist.

    Raises IngestError `drm_protected`, `encryption_not_supported` (permanent), `empty_playlist` (transient).
    """
    info = dict(chosen)
    if not info.get("hls_media_playlist_data"):
        # Given as data it is never handed on to ffmpeg, which would go around all that is guarded here.
        url, text = _playlist(downloader, line, info["url"])
        info |= {"url": url, "hls_media_playlist_data": text.decode("utf-8", "ignore")}
    reader = _Playlist(downloader, downloader.params)
    reader.real_download("", info)
    return _not_empty([_hls_fragment(each, info) for each in reader.listed or ()])


def _playlist(downloader: Downloader, line: Line, url: str) -> tuple[str, bytes]:
    """A playlist's own URL and its content. Some extractors make one up and give it as its own URL (`data:`)."""
    if url.startswith("data:"):
        asked = urllib.request.Request(url)  # noqa: S310 (never sent)
        with closing(urllib.request.DataHandler().data_open(asked)) as inline:
            return url, inline.read()
    with closing(downloader.urlopen(Request(url, None, line.headers))) as response:
        return response.url, response.read()


def _hls_fragment(listed: dict[str, Any], info: dict[str, Any]) -> Fragment:
    span, cipher = listed["byte_range"] or {}, listed["decrypt_info"]
    piece = Piece(listed["url"], span.get("start", 0), span.get("end"))
    if cipher["METHOD"] != "AES-128":
        return Fragment(piece)
    url = (info.get("hls_aes") or {}).get("uri") or cipher.get("URI")
    iv = cipher.get("IV") or struct.pack(">8xq", listed["media_sequence"])
    return Fragment(piece, None if cipher.get("KEY") else url, cipher.get("KEY"), iv)


def dash_fragments(downloader: Downloader, chosen: dict[str, Any]) -> list[Fragment]:
    """The fragments of a DASH representation. Raises IngestError `empty_playlist` (transient)."""
    query = chosen.get("extra_param_to_segment_url")
    extra = urllib.parse.parse_qs(query) if query else None
    reader = DashSegmentsFD(downloader, downloader.params)
    listed = reader._get_fragments(chosen, {"fragment_index": 0}, extra)
    return _not_empty([Fragment(Piece(each["url"])) for each in listed])


def _not_empty(fragments: list[Fragment]) -> list[Fragment]:
    if not fragments:
        raise failure("empty_playlist", "The source's playlist names no media.")
    return fragments


# ---- how they become one file ----------------------------------------------------------------------------------------


def fetch_fragments(line: Line, fragments: list[Fragment], target: Path, format_id: str) -> None:
    """Brings all fragments into the target, in their order; goes on after the last that an earlier attempt appended."""
    source = digest(["fragments", format_id, *(each.identity for each in fragments)])
    keys = _Keys(line)
    with PartFile(target, source) as part:
        if part.mark.fragments and not _is_still_there(line, part, fragments[part.mark.fragments - 1], keys.of):
            part.restart(None)
        for number in range(part.mark.fragments + 1, len(fragments) + 1):
            size = _append(line, part, fragments[number - 1], keys.of)
            part.commit(Mark(part.size, number, size))
            line.total = part.size * len(fragments) // number
            if number * 10 >= len(fragments):  # enough of them to reckon the rest; a need is never told twice
                line.session.tell_need(line.session.done_bytes + line.total)
        line.total = part.size
        line.tell(part.size)
        part.finish()


def _is_still_there(line: Line, part: PartFile, last: Fragment, key: Callable[[str], bytes]) -> bool:
    """Whether the source still serves the last fragment as it was appended. Fetched again, behind the end."""
    end, size = part.size, part.mark.last
    try:
        again = _append(line, part, last, key)
        return again == size and all(
            part.read(end - size + at, min(_BLOCK, size - at)) == part.read(end + at, min(_BLOCK, size - at))
            for at in range(0, size, _BLOCK)
        )
    except IngestError as error:
        if error.code != "source_changed":
            raise
        return False
    finally:
        part.cut(end)


def _append(line: Line, part: PartFile, fragment: Fragment, key: Callable[[str], bytes]) -> int:
    """Appends a fragment, decrypted, and returns its size."""
    base = part.size
    size = Pull(line, part, fragment.piece, whole=False).run()
    if fragment.encrypted:
        secret = fragment.key or key(fragment.key_url or "")
        _decrypt(part, base, size, secret, fragment.iv)
    return part.size - base


def _decrypt(part: PartFile, base: int, size: int, key: bytes, iv: bytes) -> None:
    """Decrypts (AES-128, CBC, PKCS7) the end of the file in its place, block by block."""
    if size % _CIPHER_BLOCK:
        raise _undecipherable()
    plain = b""
    for at in range(base, base + size, _BLOCK):
        block = part.read(at, min(_BLOCK, base + size - at))
        plain = aes_cbc_decrypt_bytes(block, key, iv)
        part.overwrite(at, plain)
        iv = block[-_CIPHER_BLOCK:]
    padding = plain[-1]
    if not 1 <= padding <= _CIPHER_BLOCK or plain[-padding:] != bytes([padding]) * padding:
        raise _undecipherable()
    part.cut(base + size - padding)


class _Keys:
    """The keys of a playlist, each fetched once."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._known: dict[str, bytes] = {}

    def of(self, url: str) -> bytes:
        if url not in self._known:
            with closing(self._line.downloader.urlopen(Request(url, None, self._line.headers))) as response:
                key = response.read(_CIPHER_BLOCK + 1)
            if len(key) != _CIPHER_BLOCK:
                raise _undecipherable()
            self._known[url] = key
        return self._known[url]


def _undecipherable() -> IngestError:
    return failure(
        "decryption_failed",
        "An encrypted part of the video and its key do not fit together: give the worker access to "
        "the source if it goes on.",
    )
