"""What yt-dlp knows of the video behind a URL, before any media byte is read."""

from typing import Any

import yt_dlp

from narralytica_ingest.failures import permanent
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error, refuse_unfinished


def extract(downloader: Downloader, url: str) -> dict[str, Any]:
    """What yt-dlp knows of the one video behind `url`, with its formats chosen. Refuses lists, live and upcoming."""
    info = _extract_any(downloader, url)
    while info is not None and info.get("_type", "video") in ("playlist", "multi_video"):
        entries = [entry for entry in info.get("entries") or () if entry]
        if len(entries) > 1:
            raise permanent(
                "playlist_not_supported", "This URL holds several videos: submit the URLs of its videos one by one."
            )
        info = entries[0] if entries else None
    if info is None:
        raise permanent("no_video_found", "No video was found behind this URL: check that it is the page of a video.")
    refuse_unfinished(info)
    return info


def _extract_any(downloader: Downloader, url: str) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] | None = downloader.extract_info(url, download=False)
    except yt_dlp.DownloadError as error:
        if as_ingest_error(error).code != "upcoming":
            raise
        downloader.params["ignore_no_formats_error"] = True  # asked again, yt-dlp tells when instead of raising
        info = downloader.extract_info(url, download=False)
        if info is None or info.get("live_status") != "is_upcoming":
            raise
    return info
