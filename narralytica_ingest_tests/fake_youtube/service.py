"""What the fake YouTube knows and answers: videos with signed addresses that expire, captions, lists and refusals."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from narralytica_ingest_tests.fake_youtube.material import SECONDS, USUAL, Stream
from narralytica_ingest_tests.source_server import Asked, Resource, SourceServer
from narralytica_ingest_tests.source_server.resource import nth

PAGE = 100
TRANSLATIONS = ("de", "fr", "es", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "uk", "vi", "zh-Hans")
_CAPTION_FORMATS = ("json3", "srv1", "srv2", "srv3", "ttml", "srt", "vtt")


@dataclass
class Video:
    """A video of the site. `lives`: how many requests each signed address answers before it is 403, by how often the
    video was asked for (the last value stays; None: it never expires). `media` are properties of the served files, see
    `Resource`; `sound_trouble` are those of the sound alone, `page` of the answer to the question for the video."""

    video_id: str
    streams: Sequence[Stream]
    info: dict[str, Any]
    refusal: dict[str, Any] = field(default_factory=dict)
    uploaded: tuple[str, ...] = ()
    automatic: str | None = None
    lives: Sequence[int | None] = (None,)
    media: dict[str, Any] = field(default_factory=dict)
    sound_trouble: dict[str, Any] = field(default_factory=dict)
    page: dict[str, Any] = field(default_factory=dict)
    timed_text: dict[str, Any] = field(default_factory=dict)


class FakeYoutube:
    """The site, served by a SourceServer from a folder of material.

    `server.requests` and `server.sent` count media by `/media/<video>/<itag>[-<language>]`, questions for a video by
    `/player/<video>`, pages of a list by `/browse/<list>`, captions by `/captions/<video>/<origin>-<language>`.
    """

    def __init__(self, server: SourceServer, material: Path) -> None:
        self.server = server
        self.videos: dict[str, Video] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self._material = material
        self._signatures = itertools.count(1)
        self._signed: dict[str, tuple[str, Stream]] = {}
        self._lives: dict[str, int | None] = {}
        self._asked: Counter[str] = Counter()
        server.add_answer("/youtubei/v1/player", self._player)
        server.add_answer("/youtubei/v1/browse", self._browse)
        server.add_answer("/videoplayback", self._playback)
        server.add_answer("/api/timedtext", self._timed_text)
        server.add("/vi/thumbnail.jpg", self.file("thumbnail.jpg"), content_type="image/jpeg")
        for path in (material / "hls").iterdir():
            kind = "application/vnd.apple.mpegurl" if path.suffix == ".m3u8" else "video/mp2t"
            server.add(f"/hls_playlist/{path.name}", path.read_bytes(), content_type=kind)

    def file(self, name: str) -> bytes:
        """A file of the material."""
        return (self._material / name).read_bytes()

    def path(self, name: str) -> Path:
        """Where a file of the material is."""
        return self._material / name

    def add_video(self, video_id: str, *streams: Stream, info: dict[str, Any] | None = None, **properties: Any) -> str:
        """Publishes a video (by default in the usual formats) and returns the address of its page."""
        about = {
            "title": f"Video {video_id}",
            "description": "A video for tests.",
            "channel": "Fake Channel",
            "channel_id": "UC0123456789012345678901",
            "duration": SECONDS,
            "timestamp": 1_773_480_413,
            "live_status": "not_live",
            "tags": ["tests"],
            "thumbnail": self.server.url("/vi/thumbnail.jpg"),
            "thumbnails": [
                {"url": self.server.url("/vi/thumbnail.jpg"), "preference": -7},
                {"url": self.server.url("/vi/maxresdefault.webp"), "preference": 0},  # announced, and often not there
            ],
        }
        self.videos[video_id] = Video(video_id, streams or USUAL, about | (info or {}), **properties)
        return f"https://www.youtube.com/watch?v={video_id}"

    def refuse(self, video_id: str, reason: str | None = None, subreason: str | None = None, **more: Any) -> str:
        """A video without formats, and what the site says instead; `info` may be among `more`."""
        info = more.pop("info", {})
        url = self.add_video(video_id, info=info, refusal={"reason": reason, "subreason": subreason, **more})
        self.videos[video_id].streams = ()
        return url

    def add_list(self, name: str, *video_ids: str, title: str = "A list", **more: Any) -> str:
        """Publishes a playlist (`PL…`) or a channel's tab (`@name/videos`) and returns its address.

        `alert`: what the site says instead; `tabs`: the names of a channel's tabs, each a list of its own.
        """
        entries = [{"id": each, "title": self.title(each), "channel": "Fake Channel"} for each in video_ids]
        self.lists[name] = {"title": title, "entries": entries, **more}
        where = name if name.startswith("@") else f"playlist?list={name}"
        return f"https://www.youtube.com/{where}"

    def title(self, video_id: str) -> str:
        """A video's title as lists show it."""
        video = self.videos.get(video_id)
        private = video is None or "Private video" in str(video.refusal.get("reason"))
        return "[Private video]" if private or video is None else str(video.info["title"])

    # ---- answers -------------------------------------------------------------------------------------------------

    def _player(self, asked: Asked) -> Resource:
        video = self.videos.get(asked.query["v"])
        name = f"/player/{asked.query['v']}"
        if video is None:
            said: dict[str, Any] = {"reason": "Video unavailable", "info": {}}
            return _json(said, name)
        self._asked[video.video_id] += 1
        info = video.info | {"formats": [self._format(video, each) for each in video.streams]} | self._captions(video)
        return _json({**video.refusal, "info": info}, name, **video.page)

    def _format(self, video: Video, stream: Stream) -> dict[str, Any]:
        if stream.file.endswith(".m3u8"):
            where = {"url": self.server.url("/hls_playlist/index.m3u8"), "protocol": "m3u8_native"}
            return {"format_id": stream.itag, **where, **stream.facts}
        signature = str(next(self._signatures))
        self._signed[signature] = (video.video_id, stream)
        self._lives[signature] = nth(video.lives, self._asked[video.video_id] - 1)
        # Like the real site, which serves each time from another machine and under another address.
        host = ("127.0.0.1", "localhost")[int(signature) // 100 % 2]
        size = self.path(stream.file).stat().st_size
        url = self.server.url(f"/videoplayback?expire=1&id={video.video_id}&itag={stream.itag}&sig={signature}", host)
        return {"format_id": stream.itag, "url": url, "filesize": size, **stream.facts}

    def _playback(self, asked: Asked) -> Resource:
        signature = asked.query.get("sig", "")
        if signature not in self._signed:
            return Resource([b"forbidden\n"], "text/plain", statuses=[403])
        video_id, stream = self._signed[signature]
        video = self.videos[video_id]
        language = stream.facts.get("language")
        name = f"/media/{video_id}/{stream.itag}" + (f"-{language}" if language else "")
        if self._has_expired(signature):
            return Resource([b"expired\n"], "text/plain", statuses=[403], name=name)
        kind = "video/mp4" if stream.facts.get("vcodec") != "none" else "audio/mp4"
        # The real site sends a date and no ETag.
        properties: dict[str, Any] = {"etag": False, "content_type": kind, "name": name} | video.media
        if kind == "audio/mp4":
            properties |= video.sound_trouble
        bodies = properties.pop("bodies", None) or [self.file(stream.file)]
        return Resource(bodies, **properties)

    def _has_expired(self, signature: str) -> bool:
        left = self._lives[signature]
        if left is not None:
            self._lives[signature] = left - 1
        return left is not None and left <= 0

    def _captions(self, video: Video) -> dict[str, Any]:
        def tracks(language: str, kind: str, to: str | None = None) -> list[dict[str, str]]:
            query = f"v={video.video_id}&lang={language}&kind={kind}" + (f"&tlang={to}" if to else "")
            base = self.server.url(f"/api/timedtext?{query}")
            return [{"ext": each, "url": f"{base}&fmt={each}", "name": to or language} for each in _CAPTION_FORMATS]

        uploaded = {each: tracks(each, "") for each in video.uploaded}
        automatic: dict[str, Any] = {}
        if video.automatic is not None:
            automatic = {f"{video.automatic}-orig": tracks(video.automatic, "asr")}
            automatic[video.automatic] = tracks(video.automatic, "asr")
            automatic |= {each: tracks(video.automatic, "asr", each) for each in TRANSLATIONS}
        return {"subtitles": uploaded, "automatic_captions": automatic}

    def _timed_text(self, asked: Asked) -> Resource:
        video = self.videos[asked.query["v"]]
        origin = "automatic" if asked.query.get("kind") == "asr" else "uploaded"
        language = asked.query.get("tlang") or asked.query["lang"]
        name = f"/captions/{video.video_id}/{origin}-{language}"
        body = caption_text(origin, language) if asked.query.get("fmt") == "vtt" else b"{}"
        return Resource([body], "text/vtt", name=name, **video.timed_text)

    def _browse(self, asked: Asked) -> Resource:
        name, number = asked.query["list"], int(asked.query["page"])
        found = self.lists.get(name)
        if found is None:
            return _json({"alert": "The playlist does not exist."}, f"/browse/{name}")
        begin, end = number * PAGE, (number + 1) * PAGE
        page = found | {"entries": found["entries"][begin:end], "more": len(found["entries"]) > end}
        return _json(page, f"/browse/{name}")


def caption_text(origin: str, language: str) -> bytes:
    """A WebVTT file that says which one it is."""
    return f"WEBVTT\n\n00:00.000 --> 00:02.000\n{origin} {language}\n".encode()


def _json(value: dict[str, Any], name: str, **properties: Any) -> Resource:
    return Resource([json.dumps(value).encode()], "application/json", etag=False, dated=False, name=name, **properties)
