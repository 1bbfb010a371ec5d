"""The bytes of one format of a video, from its source to a file."""

from pathlib import Path
from typing import Any

from narralytica_ingest.failures import transient
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.session import Session


def transfer(downloader: Downloader, session: Session, chosen: dict[str, Any], target: Path) -> Path:
    def watch(status: dict[str, Any]) -> None:
        total = status.get("total_bytes") or status.get("total_bytes_estimate")
        whole = session.done_bytes + int(total) if total else None
        session.tell_progress(int(status.get("downloaded_bytes") or 0), whole, status.get("speed"))

    chosen.pop("requested_formats", None)
    downloader._progress_hooks[:] = [watch]
    succeeded, _ = downloader.dl(str(target), chosen)
    if not succeeded or not target.is_file():
        raise transient("download_incomplete", "The download ended without a complete file: it is tried again.")
    session.done_bytes += target.stat().st_size
    return target


def suffix(chosen: dict[str, Any]) -> str:
    extension = str(chosen.get("ext") or "")
    return f".{extension}" if extension.isalnum() and len(extension) <= 8 else ".media"
