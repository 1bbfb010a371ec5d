"""URLs that hold several videos: what is listed, and how little is asked for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Fetched, FetchOptions, ListedVideo, Listing
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest_tests.own_sites import knowing
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer, lab_options

CLIP = SAMPLE.read_bytes()
Info = dict[str, Any]


class VideoIE(InfoExtractor):  # type: ignore[misc]
    """The videos of a site."""

    _VALID_URL = r"https?://[^/]+/video/(?P<id>\w+)"
    _RETURN_TYPE = "video"
    media = ""

    def _real_extract(self, url: str) -> Info:
        return {"id": self._match_id(url), "title": "One video", "url": VideoIE.media, "ext": "mp4"}


class ListIE(InfoExtractor):  # type: ignore[misc]
    """The lists of a site: a channel holds tabs, a tab holds videos, `deep` holds itself."""

    _VALID_URL = r"https?://[^/]+/list/(?P<id>[\w-]+)"
    _RETURN_TYPE = "any"
    site = ""
    asked: list[str]

    def _real_extract(self, url: str) -> Info:
        name = self._match_id(url)
        ListIE.asked.append(name)
        result: Info = self.playlist_result(getattr(self, f"_{name}")(), name, f"List {name}")
        return result

    def _video(self, name: str) -> Info:
        ListIE.asked.append(name)
        link: Info = self.url_result(f"{ListIE.site}/video/{name}", VideoIE, name, f"Video {name}")
        return link

    def _tab(self, name: str) -> Info:
        link: Info = self.url_result(f"{ListIE.site}/list/{name}", ListIE)
        return link

    def _seven(self) -> Iterator[Info]:
        return (self._video(f"v{number}") for number in range(7))

    def _endless(self) -> Iterator[Info]:
        while True:
            yield self._video("same")

    def _channel(self) -> list[Info]:
        return [self._tab("clips"), self._tab("seven"), self._tab("clips")]

    def _clips(self) -> list[Info]:
        return [self._video("c0"), self._video("v0"), self._video("c0")]

    def _inline(self) -> list[Info]:
        return [{"_type": "playlist", "id": "inner", "entries": self._clips()}, self._video("last")]

    def _deep(self) -> list[Info]:
        return [self._video("d0"), self._tab("deeper")]

    def _deeper(self) -> list[Info]:
        return [self._video("d1"), self._tab("deepest")]

    def _deepest(self) -> list[Info]:
        return [self._video("d2"), self._tab("bottomless")]

    def _bottomless(self) -> list[Info]:
        raise AssertionError("nobody looks so deep")

    def _odd(self) -> list[Info | None]:
        rtmp: Info = self.url_result("rtmp://127.0.0.1/live")
        broken: Info = self.url_result("https://[broken")
        return [None, rtmp, broken, self.url_result("/video/relative"), self._video("good"), self._video("fine")]

    def _one(self) -> list[Info]:
        return [self._video("only")]

    def _none(self) -> list[Info]:
        return []


@pytest.fixture
def server() -> Iterator[SourceServer]:
    with SourceServer() as running:
        yield running


@pytest.fixture
def site(server: SourceServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ytdlp, "Downloader", knowing(VideoIE, ListIE))
    monkeypatch.setattr(VideoIE, "media", server.add("/clip.mp4"))
    monkeypatch.setattr(ListIE, "site", server.url(""))
    monkeypatch.setattr(ListIE, "asked", [], raising=False)
    return server.url("")


def listed(url: str, folder: Path, **options: Any) -> Listing:
    found = fetch_url(url, folder, lab_options(**options))
    assert isinstance(found, Listing)
    assert not list(folder.iterdir()), "nothing is fetched"
    return found


def names(listing: Listing) -> list[str]:
    return [each.url.rpartition("/")[2] for each in listing.videos]


def test_a_list_tells_its_title_and_its_videos_without_extracting_them(
    server: SourceServer, site: str, tmp_path: Path
) -> None:
    listing = listed(f"{site}/list/seven", tmp_path)
    assert (listing.title, listing.more) == ("List seven", False)
    assert names(listing) == [f"v{number}" for number in range(7)]
    assert listing.videos[0] == ListedVideo(f"{site}/video/v0", "Video v0")
    assert not server.requests


@pytest.mark.parametrize(("limit", "taken", "more"), [(3, 3, True), (6, 6, True), (7, 7, False), (8, 7, False)])
def test_no_more_is_asked_for_than_the_limit_and_one(
    site: str, tmp_path: Path, limit: int, taken: int, more: bool
) -> None:
    listing = listed(f"{site}/list/seven", tmp_path, max_entries=limit)
    assert (len(listing.videos), listing.more) == (taken, more)
    assert len(ListIE.asked) - 1 == min(limit + 1, 7)


def test_a_channel_is_walked_tab_by_tab_and_each_video_comes_once(site: str, tmp_path: Path) -> None:
    assert names(listed(f"{site}/list/channel", tmp_path)) == ["c0", "v0", *(f"v{number}" for number in range(1, 7))]
    assert ListIE.asked.count("clips") == 1


def test_tabs_beyond_the_limit_are_not_asked_for(site: str, tmp_path: Path) -> None:
    listing = listed(f"{site}/list/channel", tmp_path, max_entries=1)
    assert (names(listing), listing.more) == (["c0"], True)
    assert "seven" not in ListIE.asked


def test_a_list_within_a_list_is_part_of_it(site: str, tmp_path: Path) -> None:
    assert names(listed(f"{site}/list/inline", tmp_path)) == ["c0", "v0", "last"]


def test_lists_are_followed_three_deep(site: str, tmp_path: Path) -> None:
    assert names(listed(f"{site}/list/deep", tmp_path)) == ["d0", "d1", "d2", "bottomless"]


def test_a_list_that_goes_on_for_ever_with_the_same_video_ends(site: str, tmp_path: Path) -> None:
    fetched = fetch_url(f"{site}/list/endless", tmp_path, lab_options(max_entries=20))
    assert isinstance(fetched, Fetched), "it holds one video, again and again"
    assert len(ListIE.asked) < 100


def test_entries_that_are_not_on_the_web_are_left_out(site: str, tmp_path: Path) -> None:
    assert names(listed(f"{site}/list/odd", tmp_path)) == ["good", "fine"]


def test_a_list_of_one_video_is_that_video(site: str, tmp_path: Path) -> None:
    fetched = fetch_url(f"{site}/list/one", tmp_path, lab_options())
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    assert fetched.info["id"] == "only"


def test_an_empty_list_holds_no_video(site: str, tmp_path: Path) -> None:
    with pytest.raises(IngestError) as raised:
        fetch_url(f"{site}/list/none", tmp_path, lab_options())
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, "no_video_found")


def test_the_videos_of_a_page_are_their_media_files(server: SourceServer, tmp_path: Path) -> None:
    page = b'<html><body><video src="/clip.mp4"></video><video src="/small.mp4"></video></body></html>'
    listing = listed(server.add("/two.html", page, content_type="text/html"), tmp_path)
    assert [each.url for each in listing.videos] == [server.url("/clip.mp4"), server.url("/small.mp4")]
    assert not server.requests["/clip.mp4"]


def test_a_page_of_one_video_is_fetched_right_away(server: SourceServer, tmp_path: Path) -> None:
    server.add("/clip.mp4")
    page = b'<html><head><title>A page</title></head><body><video src="/clip.mp4"></video></body></html>'
    fetched = fetch_url(server.add("/one.html", page, content_type="text/html"), tmp_path, lab_options())
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    assert fetched.info["title"] == "A page"


def test_the_videos_that_a_page_embeds_are_listed_by_their_own_pages(
    server: SourceServer, site: str, tmp_path: Path
) -> None:
    frames = "".join(
        f'<iframe src="https://www.youtube.com/embed/{name}"></iframe>' for name in ("aaaaaaaaaaa", "bbbbbbbbbbb")
    )
    page = f"<html><body>{frames}</body></html>".encode()
    listing = listed(server.add("/embeds.html", page, content_type="text/html"), tmp_path)
    assert [each.url[-11:] for each in listing.videos] == ["aaaaaaaaaaa", "bbbbbbbbbbb"]


def test_a_video_within_a_playlist_is_the_video(tmp_path: Path) -> None:
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        extractor = downloader.get_info_extractor("YoutubeTab")
        found = extractor.extract("https://www.youtube.com/watch?v=abcdefghijk&list=PLabcdefghijklmnopqrstuvwxyz012345")
    assert (found["_type"], found["url"]) == ("url", "https://www.youtube.com/watch?v=abcdefghijk")
