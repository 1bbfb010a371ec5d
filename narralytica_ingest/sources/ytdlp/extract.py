"""What yt-dlp knows of what is behind a URL, before any media byte is read: one video, or a list of several."""

from typing import Any

from yt_dlp.utils import YoutubeDLError

from narralytica_ingest.failures import failure
from narralytica_ingest.sources import formats
from narralytica_ingest.sources.fetching import FetchOptions, Listing
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error, refuse_unfinished
from narralytica_ingest.sources.ytdlp.listing import DEEPEST, LISTS, Found, Info, Walk, follow

_UNFINISHED = ("is_upcoming", "is_live", "post_live")


def extract(downloader: Downloader, url: str, options: FetchOptions) -> Info | Listing:
    """What yt-dlp knows of the video behind `url`, with its formats chosen; or the videos that it holds.

    A list of a single video is that video. Refuses live and upcoming videos, and those above the limits.
    """
    downloader.format_selector = _choice(downloader, options.format)
    try:
        found = _found_or_announced(downloader, url, options.max_entries)
    except YoutubeDLError as error:
        raise as_ingest_error(error, downloader.params["logger"].warnings) from error
    if isinstance(found, Listing):
        return found
    refuse_unfinished(found)
    _refuse_without_javascript(downloader)
    formats.refuse_too_long(found.get("duration"), options.max_duration)
    formats.refuse_too_large(chosen_formats(found), found.get("duration"), options.max_bytes)
    return found


def chosen_formats(info: Info) -> list[dict[str, Any]]:
    """The formats that are to be fetched: one, or picture and sound apart."""
    return info.get("requested_formats") or [info]


def _choice(downloader: Downloader, selector: str | None) -> Any:
    try:
        choose = downloader.build_format_selector(selector or formats.USUAL_CHOICE)
    except SyntaxError:
        raise failure(
            "invalid_options",
            "The format selector cannot be read: correct `format` in the job's options (or NARRALYTICA_FORMAT).",
        ) from None
    return formats.chooser(selector, lambda offered: downloader._select_formats(offered, choose))


def _found_or_announced(downloader: Downloader, url: str, limit: int) -> Info | Listing:
    try:
        return _found(downloader, url, limit)
    except YoutubeDLError as error:
        if as_ingest_error(error).code not in ("upcoming", "no_formats"):
            raise
        downloader.params["ignore_no_formats_error"] = True  # asked again, yt-dlp tells when instead of raising
        found = _found(downloader, url, limit)
        if isinstance(found, Listing) or found.get("live_status") not in _UNFINISHED:
            raise
        return found


def _found(downloader: Downloader, url: str, limit: int) -> Info | Listing:
    info = follow(downloader, url)
    for _ in range(DEEPEST + 1):  # a list of one list of one video is that video
        if info is not None and info.get("_type", "video") not in LISTS:
            info = downloader.process_ie_result(info, download=False)
        if info is None or info.get("_type", "video") not in LISTS:
            break
        walk = Walk(downloader, limit)
        videos = walk.videos(info)
        if len(videos) > 1:
            return walk.listing(info, videos)
        info = _only(downloader, videos[0]) if videos else None
    if info is None or info.get("_type", "video") != "video":
        raise failure("no_video_found")
    return _without_number(info)


def _only(downloader: Downloader, video: Found) -> Info | None:
    """The one video of a list. What has no page of its own is told what the list is told: extractor and page."""
    entry = video.entry
    if entry.get("_type", "video") != "video":
        return follow(downloader, video.url, entry.get("ie_key")) if entry["_type"] == "url" else entry
    about = downloader._playlist_infodict(video.parent, n_entries=1, playlist_index=1)
    return {name: value for name, value in about.items() if value is not None} | entry


def _without_number(info: Info) -> Info:
    """yt-dlp numbers the videos of a page; where there is but one, the page's title is its title."""
    title = str(info.get("title") or "")
    if info.get("extractor_key") in ("Generic", "HTML5MediaEmbed") and str(info.get("id")).endswith("-1"):
        return info | {"title": title.removesuffix(" (1)")}
    return info


def _refuse_without_javascript(downloader: Downloader) -> None:
    """Raises IngestError `javascript_runtime_missing` where YouTube's extractor said that it found no runtime: what it
    then gives is less than there is, or nothing."""
    if any("No supported JavaScript runtime" in warning for warning in downloader.params["logger"].warnings):
        raise failure("javascript_runtime_missing")
