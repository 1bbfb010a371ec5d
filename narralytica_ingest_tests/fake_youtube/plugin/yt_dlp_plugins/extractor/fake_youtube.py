"""YouTube's extractors, asking a server on loopback instead of YouTube.

URLs, keys and hints are those of the real classes, and so are the words of their refusals; only what the site would
answer comes from the server whose address is in FAKE_YOUTUBE_URL.
"""

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yt_dlp.extractor.youtube import YoutubeIE as RealYoutubeIE
from yt_dlp.extractor.youtube import YoutubeTabIE as RealYoutubeTabIE
from yt_dlp.utils import ExtractorError, UserNotLive, unsmuggle_url

__all__ = ["YoutubeIE", "YoutubeTabIE"]


def _server() -> str:
    return os.environ["FAKE_YOUTUBE_URL"]


class YoutubeIE(RealYoutubeIE):  # type: ignore[misc]
    """A video."""

    def _real_initialize(self) -> None:
        pass  # JavaScript and PO tokens are of no use here

    def _real_extract(self, url: str) -> dict[str, Any]:
        video_id = self._match_id(unsmuggle_url(url, {})[0])
        said = self._download_json(f"{_server()}/youtubei/v1/player", video_id, query={"v": video_id})
        if not said["info"].get("formats"):
            self._refuse(video_id, said)
        return {
            "id": video_id,
            "webpage_url": f"https://www.youtube.com/watch?v={video_id}",
            "_format_sort_fields": (
                *("quality", "res", "fps", "hdr:12", "source", "vcodec", "channels", "acodec", "lang", "proto"),
            ),
            **said["info"],
        }

    def _refuse(self, video_id: str, said: dict[str, Any]) -> None:
        """As the real extractor words it; `raise_no_formats` returns if the caller wants to know of such videos."""
        if said.get("drm"):
            self.report_drm(video_id)
        reason, subreason = said.get("reason") or "", said.get("subreason")
        if subreason:
            if subreason.startswith("The uploader has not made this video available in your country"):
                self.raise_geo_restricted(subreason, said.get("countries"), metadata_available=True)
            reason += f". {subreason}"
        if not reason:
            return
        if "sign in" in reason.lower():
            reason = reason.removesuffix("This helps protect our community. Learn more").strip()
            reason = f"{reason.removesuffix('.')}. {self._youtube_login_hint}"
        elif said.get("captcha"):
            reason += ". YouTube is requiring a captcha challenge before playback"
        elif "This content isn't available, try again later" in reason:
            reason = (
                f"{reason.strip().removesuffix('.')}. The current session has been rate-limited by YouTube for up to "
                "an hour. It is recommended to use `-t sleep` to add a delay between video requests to avoid exceeding "
                "the rate limit. For more information, refer to  "
                "https://github.com/yt-dlp/yt-dlp/wiki/Extractors#this-content-isnt-available-try-again-later"
            )
        self.raise_no_formats(reason, expected=True)


class YoutubeTabIE(RealYoutubeTabIE):  # type: ignore[misc]
    """A playlist, or a tab of a channel; a channel itself is a list of its tabs."""

    def _real_initialize(self) -> None:
        pass

    def _real_extract(self, url: str) -> dict[str, Any]:
        url = unsmuggle_url(url, {})[0]
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        video_id, list_id = query.get("v", [None])[0], query.get("list", [None])[0]
        if video_id and not self._yes_playlist(list_id, video_id):
            found: dict[str, Any] = self.url_result(f"https://www.youtube.com/watch?v={video_id}", YoutubeIE, video_id)
            return found
        name = list_id or parts.path.strip("/")
        first = self._page(name, 0)
        if first.get("live") is False:
            raise UserNotLive(video_id=name)
        if alert := first.get("alert"):
            raise ExtractorError(f"YouTube said: {alert}", expected=True)
        if tabs := first.get("tabs"):
            lists = [self._real_extract(f"https://www.youtube.com/{name}/{tab}") for tab in tabs]
            return self.playlist_result(lists, name, first["title"])  # type: ignore[no-any-return]
        found = self.playlist_result(self._entries(name, first), name, first["title"])
        return found | {"extractor_key": YoutubeTabIE.ie_key(), "extractor": YoutubeTabIE.IE_NAME, "webpage_url": url}

    def _page(self, name: str, number: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._download_json(
            f"{_server()}/youtubei/v1/browse", name, query={"list": name, "page": number}, note=f"Page {number}"
        )
        return answer

    def _entries(self, name: str, page: dict[str, Any]) -> Any:
        number = 0
        while True:
            for each in page["entries"]:
                yield self.url_result(
                    f"https://www.youtube.com/watch?v={each['id']}",
                    YoutubeIE,
                    each["id"],
                    each.get("title"),
                    **{key: value for key, value in each.items() if key not in ("id", "title")},
                )
            if not page["more"]:
                return
            number += 1
            page = self._page(name, number)
