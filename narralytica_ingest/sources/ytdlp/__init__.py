"""The adapter to yt-dlp, and the only folder that imports it.

What belongs here: how yt-dlp is set up, asked and watched. It extracts, says what it found, then downloads from that
same information. It never joins or repairs streams (that is `media/`), and no postprocessor of yt-dlp ever touches a
file.
"""

from pathlib import Path
from typing import Any

from narralytica_ingest.sources.fetching import Fetched, FetchEvents, FetchOptions, Listing
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.extract import extract
from narralytica_ingest.sources.ytdlp.options import javascript_runtime, parameters
from narralytica_ingest.sources.ytdlp.session import Session
from narralytica_ingest.sources.ytdlp.transfer import suffix, transfer

__all__ = ["fetch_url", "javascript_runtime"]

_WHOLE_FILE = {"http", "https"}
_PREFIX = "source-"


def fetch_url(
    url: str,
    folder: Path,
    options: FetchOptions,
    events: FetchEvents = FetchEvents(),  # noqa: B008 (frozen)
) -> Fetched | Listing:
    """Fetches the video behind `url` into `folder`, which must be the video's own; a URL of several videos is listed.

    What an event raises comes out unchanged; every other failure is an IngestError along the failure taxonomy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{_PREFIX}*"):  # nothing proves yet that they are the same remote bytes
        leftover.unlink()
    session = Session(events)
    with session.verdicts(), Downloader(parameters(folder, options)) as downloader:
        info = extract(downloader, url)
        session.tell_alias(info)
        formats: list[dict[str, Any]] = info.get("requested_formats") or [info]
        parts = tuple(
            transfer(downloader, session, {**info, **chosen}, folder / f"{_PREFIX}{number}{suffix(chosen)}")
            for number, chosen in enumerate(formats)
        )
        byte_exact = len(formats) == 1 and formats[0].get("protocol") in _WHOLE_FILE
        return Fetched(parts, byte_exact, kept_info(downloader.sanitize_info(info), downloader.changed_at()))
