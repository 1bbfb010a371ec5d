"""The videos behind a URL that holds several: a playlist, a channel with its tabs, a page with several videos.

What belongs here: walking yt-dlp's lists without extracting the videos in them, and never further than asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.utils import PlaylistEntries

from narralytica_ingest.redaction import storable
from narralytica_ingest.sources.fetching import ListedVideo, Listing
from narralytica_ingest.sources.ytdlp.downloader import Downloader

Info = dict[str, Any]

LISTS = ("playlist", "multi_video", "compat_list")
_LINKS = ("url", "url_transparent")
DEEPEST = 3  # a channel holds tabs, a tab holds playlists, a playlist holds videos


@dataclass
class Found:
    """One video of a list: where it is, what the list says of it, and the list."""

    url: str
    entry: Info
    parent: Info


@dataclass
class Walk:
    """A list on its way to a Listing. At most `limit` videos are taken, and one more is asked for."""

    downloader: Downloader
    limit: int
    _seen: set[str] = field(default_factory=set)
    _looked_at: int = 0

    def videos(self, top: Info) -> list[Found]:
        """The first `limit` + 1 videos, each once, lists within lists in their order and depth first."""
        found: list[Found] = []
        for each in self._below(top, depth=1):
            found.append(each)
            if len(found) > self.limit:
                break
        return found

    def listing(self, top: Info, found: list[Found]) -> Listing:
        """What is told of them."""
        videos = tuple(ListedVideo(each.url, _title(each.entry)) for each in found[: self.limit])
        return Listing(_title(top), videos, more=len(found) > self.limit)

    def _below(self, parent: Info, depth: int) -> Iterator[Found]:
        for entry in self._entries(parent):
            inner = self._as_list(entry, parent, depth)
            if inner is not None:
                yield from self._below(inner, depth + 1)
                continue
            url = _address(entry, parent)
            if url is not None and url not in self._seen:
                self._seen.add(url)
                yield Found(url, entry, parent)

    def _entries(self, parent: Info) -> Iterator[Info]:
        """Its entries, asked for one by one (yt-dlp loads further pages on the way). A list that goes on for ever with
        nothing new in it ends too."""
        if parent.get("entries") is None:
            return
        for _, entry in PlaylistEntries(self.downloader, parent)[1 : 2 * self.limit + 50]:
            if entry:
                yield entry

    def _as_list(self, entry: Info, parent: Info, depth: int) -> Info | None:
        """The list that the entry is or leads to; None if it is a video, or lies too deep."""
        kind = entry.get("_type", "video")
        if depth >= DEEPEST:
            return {"entries": []} if kind in LISTS else None
        if kind in LISTS:
            return entry
        url = str(entry.get("url"))
        if kind not in _LINKS or url in self._seen or not self._leads_to_list(entry, parent):
            return None
        self._seen.add(url)
        inner = follow(self.downloader, url, entry.get("ie_key"))
        return inner if inner is not None and inner.get("_type") in LISTS else None

    def _leads_to_list(self, entry: Info, parent: Info) -> bool:
        """Whether the entry's extractor gives lists: by its own word, else as that of the list itself (a tab of it)."""
        if not entry.get("ie_key"):
            return False
        extractor: InfoExtractor = self.downloader.get_info_extractor(entry["ie_key"])
        single = extractor.is_single_video(str(entry.get("url")))
        return single is False or (single is None and extractor.ie_key() == parent.get("extractor_key"))


def follow(downloader: Downloader, url: str, ie_key: str | None = None) -> Info | None:
    """What the URL gives, unprocessed, along mere links (`url`) to other extractors."""
    info: Info | None = {"_type": "url", "url": url, "ie_key": ie_key}
    for _ in range(10):
        if info is None or info.get("_type") != "url":
            return info
        original = info.get("original_url")
        info = downloader.extract_info(
            info["url"],
            download=False,
            process=False,
            ie_key=info.get("ie_key"),
            extra_info={"original_url": original} if original else None,
        )
    return None


def _address(entry: Info, parent: Info) -> str | None:
    """Where a job finds the video: its page, else the media file itself; None if neither is a web address."""
    if entry.get("_type", "video") in _LINKS:
        return _web(entry.get("url"))
    page = _web(entry.get("webpage_url"))
    if page is not None and page != parent.get("webpage_url"):
        return page
    best: Mapping[str, Any] = (entry.get("formats") or [{}])[-1]
    media = (entry.get("url"), best.get("manifest_url"), best.get("url"))
    return next((web for each in media if (web := _web(each))), None)


def _web(url: object) -> str | None:
    try:
        parts = urlsplit(str(url))
    except ValueError:
        return None
    return str(url) if parts.scheme.lower() in ("http", "https") and parts.netloc else None


def _title(info: Info) -> str | None:
    return str(storable(str(info["title"]))) if info.get("title") else None
