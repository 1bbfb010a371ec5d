"""The adapter to yt-dlp, and the only folder that imports it.

What belongs here: how yt-dlp is set up, asked and watched. It extracts, says what it found, then downloads from that
same information. It never joins or repairs streams (that is `media/`), and no postprocessor of yt-dlp ever touches a
file.
"""

from functools import partial
from pathlib import Path

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.fetching import Fetched, FetchEvents, FetchOptions, Listing
from narralytica_ingest.sources.formats import needed_bytes
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest.sources.ytdlp.access import load_cookies
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.extract import chosen_formats, extract
from narralytica_ingest.sources.ytdlp.extractor_lists import ExtractorLists
from narralytica_ingest.sources.ytdlp.failures import as_ingest_error
from narralytica_ingest.sources.ytdlp.listing import Info
from narralytica_ingest.sources.ytdlp.options import javascript_runtime, parameters
from narralytica_ingest.sources.ytdlp.session import Session
from narralytica_ingest.sources.ytdlp.side_files import SideFiles
from narralytica_ingest.sources.ytdlp.transfer import drop_strangers, suffix, transfer

__all__ = ["fetch_url", "javascript_runtime"]

_WHOLE_FILE = {"http", "https"}
_PREFIX = "source-"
# What a link to a media file ends with when it has expired: a fresh extraction gives a fresh link.
_LINK_IS_GONE = {"forbidden", "not_found"}
# Links that are gone are asked for anew once, and again whenever so many bytes came through the last ones.
_WORTH_NEW_LINKS = 1 << 20


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
    session = Session(events, options)
    with session.verdicts():
        settings = parameters(folder, options)
    with session.guarded() as exits, Downloader(settings, exits) as downloader:
        downloader.keep_to(ExtractorLists(options.allowed_extractors, options.denied_extractors))
        load_cookies(downloader)
        info = extract(downloader, url, options)
        if isinstance(info, Listing):
            return info
        session.tell_alias(info)
        enough = 0
        while True:
            try:
                parts = _parts(downloader, session, info, folder)
            except Exception as error:
                verdict, have = as_ingest_error(error), _bytes_in(folder)
                if verdict.code not in _LINK_IS_GONE or have < enough:
                    raise
                info, enough = _extracted_again(downloader, url, options, verdict), have + _WORTH_NEW_LINKS
            else:
                return _fetched(downloader, session, info, parts)


def _extracted_again(downloader: Downloader, url: str, options: FetchOptions, because: IngestError) -> Info:
    """The information with fresh links. A page that is closed now and was open before says less than `because`."""
    try:
        info = extract(downloader, url, options)
    except IngestError as failure:
        raise because if failure.code == "access_denied" else failure from None
    if isinstance(info, Listing):
        raise because
    return info


def _parts(downloader: Downloader, session: Session, info: Info, folder: Path) -> tuple[Path, ...]:
    """The media files. What is there of an earlier try is gone on with."""
    chosen = chosen_formats(info)
    targets = [folder / f"{_PREFIX}{number}{suffix(each)}" for number, each in enumerate(chosen)]
    drop_strangers(folder, targets)
    session.done_bytes = 0
    need = needed_bytes(chosen, info.get("duration"), joined=not _is_byte_exact(chosen))
    if need is not None:
        session.tell_need(need)
    return tuple(
        transfer(downloader, session, {**info, **each}, target) for each, target in zip(chosen, targets, strict=True)
    )


def _fetched(downloader: Downloader, session: Session, info: Info, parts: tuple[Path, ...]) -> Fetched:
    chosen = chosen_formats(info)
    tell = partial(session.tell_progress, 0, session.done_bytes, None)
    beside = SideFiles(downloader, parts[0].parent, session.options, tell)
    changed_at = set(downloader.changed_at())
    beside.fetch(info)
    kept = kept_info(downloader.sanitize_info(info), changed_at)
    return Fetched(
        parts, _is_byte_exact(chosen), kept | {"not_fetched": beside.not_fetched}, side_files=tuple(beside.files)
    )


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{_PREFIX}*"))


def _is_byte_exact(chosen: list[Info]) -> bool:
    """Whether the source has the video as one file, which is kept as it is."""
    return len(chosen) == 1 and chosen[0].get("protocol") in _WHOLE_FILE
