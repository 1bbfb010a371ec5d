"""The bytes of one format of a video, from its source to a file, going on with what an earlier attempt left."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.downloader import (
    BunnyCdnFD,
    DashSegmentsFD,
    F4mFD,
    HttpFD,
    IsmFD,
    MhtmlFD,
    SoopVodFD,
    get_suitable_downloader,
)
from yt_dlp.utils import determine_protocol

from narralytica_ingest.failures import FailureClass, failure
from narralytica_ingest.sources.checkpoint import digest, stable_url
from narralytica_ingest.sources.part_file import PartFile, files_of
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error
from narralytica_ingest.sources.ytdlp.fragments import dash_fragments, fetch_fragments, hls_fragments
from narralytica_ingest.sources.ytdlp.line import Line
from narralytica_ingest.sources.ytdlp.piece import Piece, Pull
from narralytica_ingest.sources.ytdlp.session import Session

_LONGEST_WAIT_SECONDS = 60.0
# Each fetches by the downloader's `urlopen` alone. yt-dlp takes HttpFD for protocols that it does not know, too.
_GUARDED = (HttpFD, F4mFD, IsmFD, MhtmlFD, DashSegmentsFD, BunnyCdnFD, SoopVodFD)


def transfer(downloader: Downloader, session: Session, chosen: dict[str, Any], target: Path) -> Path:
    """Brings the format `chosen` into `target`.

    Beside it an unfinished file and a checkpoint are kept, by which a later attempt goes on, or takes a finished target
    over. After a failure of the class `restart` nothing is kept. Raises IngestError and yt-dlp's errors.
    """
    line = Line(downloader, session, chosen, _later_bytes(chosen))
    chosen.pop("requested_formats", None)
    _wait_until_available(chosen)
    try:
        _fetch(line, chosen, target)
    except Exception as error:
        if as_ingest_error(error).failure_class is FailureClass.RESTART:
            for name in files_of(target):
                target.with_name(name).unlink(missing_ok=True)
        raise
    session.done_bytes += target.stat().st_size
    return target


def drop_strangers(folder: Path, targets: Collection[Path], prefix: str = "source-") -> None:
    """Deletes what earlier attempts left that belongs to none of the targets, such as another format's."""
    kept = {name for target in targets for name in files_of(target)}
    for leftover in folder.glob(f"{prefix}*"):
        if leftover.name not in kept:
            leftover.unlink()


def suffix(chosen: dict[str, Any]) -> str:
    extension = str(chosen.get("ext") or "")
    return f".{extension}" if extension.isalnum() and len(extension) <= 8 else ".media"


def _fetch(line: Line, chosen: dict[str, Any], target: Path) -> None:
    protocol, format_id = determine_protocol(chosen), str(chosen.get("format_id"))
    if protocol in ("http", "https"):
        _fetch_file(line, chosen, target, format_id)
    elif protocol in ("m3u8", "m3u8_native"):
        fetch_fragments(line, hls_fragments(line.downloader, line, chosen), target, format_id)
    elif protocol == "http_dash_segments":
        fetch_fragments(line, dash_fragments(line.downloader, chosen), target, format_id)
    else:
        _fetch_with_yt_dlp(line, chosen, target)


def _fetch_file(line: Line, chosen: dict[str, Any], target: Path, format_id: str) -> None:
    chunk = int((chosen.get("downloader_options") or {}).get("http_chunk_size") or 0)
    with PartFile(target, digest([format_id, stable_url(chosen["url"])])) as part:
        if part.file is not None and part.file.length is not None:
            line.announce(part.file.length)
        Pull(line, part, Piece(chosen["url"]), whole=True, chunk=chunk).run()
        line.tell(part.size)
        part.finish()


def _fetch_with_yt_dlp(line: Line, chosen: dict[str, Any], target: Path) -> None:
    """Rare protocols, each of which yt-dlp has a downloader of its own for. Begins anew each time.

    Raises IngestError, both permanent: `blocked_scheme`, and `stream_unsupported` for those that do not fetch through
    `urlopen`: they would run ffmpeg or rtmpdump, or open sockets.
    """
    if urlsplit(str(chosen.get("url"))).scheme.lower() not in ("http", "https"):
        raise failure("blocked_scheme")
    if get_suitable_downloader(dict(chosen), line.downloader.params) not in _GUARDED:
        raise failure("stream_unsupported")

    def watch(status: dict[str, Any]) -> None:
        done = int(status.get("downloaded_bytes") or 0)
        line.session.check_size(done)
        line.total = int(status.get("total_bytes") or status.get("total_bytes_estimate") or 0) or None
        line.tell(done)

    for name in files_of(target):
        target.with_name(name).unlink(missing_ok=True)
    line.downloader._progress_hooks[:] = [watch]
    succeeded, _ = line.downloader.dl(str(target), chosen)
    if not succeeded or not target.is_file():
        raise failure("download_incomplete", "The download ended without a complete file.")


def _later_bytes(chosen: dict[str, Any]) -> int | None:
    """The size of the formats that are fetched after this one; None if the source does not say."""
    formats: list[dict[str, Any]] = chosen.get("requested_formats") or []
    ids = [each.get("format_id") for each in formats]
    if chosen.get("format_id") not in ids:
        return 0
    later = formats[ids.index(chosen.get("format_id")) + 1 :]
    sizes = [each.get("filesize") or each.get("filesize_approx") for each in later]
    return None if None in sizes else sum(int(size) for size in sizes if size is not None)


def _wait_until_available(chosen: dict[str, Any]) -> None:
    """Some sites refuse a link in its first seconds."""
    seconds = float(chosen.get("available_at") or 0) - time.time()
    if seconds > 0:
        time.sleep(min(seconds, _LONGEST_WAIT_SECONDS))
