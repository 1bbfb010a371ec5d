"""What is no video, or not yet: the refusals of a site, in its own words, and the time for which they ask."""

import time
from collections.abc import Callable
from typing import Any

from narralytica_ingest_tests.fake_youtube.material import USUAL, Stream
from narralytica_ingest_tests.scenarios.model import Fails, Scenario, Web, row

ID = "bbbbbbbbbbb"
_OPERATOR = "needs_operator"


def says(reason: str | None, subreason: str | None = None, **more: Any) -> Callable[[Web], str]:
    return lambda web: web.youtube.refuse(ID, reason, subreason, **more)


def announced(seconds: float) -> Callable[[Web], str]:
    def serve(web: Web) -> str:
        info = {"live_status": "is_upcoming", "release_timestamp": int(time.time() + seconds)}
        return web.youtube.refuse(ID, "Premieres in 2 hours", info=info)

    return serve


def broadcast(status: str) -> Callable[[Web], str]:
    hls = Stream("93", "index.m3u8", {"ext": "mp4", "height": 360})
    return lambda web: web.youtube.add_video(
        ID, hls, *USUAL, info={"live_status": status, "is_live": status == "is_live"}
    )


def answers(status: int, **headers: str) -> Callable[[Web], str]:
    page = {"statuses": [status], "headers": headers}
    return lambda web: web.youtube.add_video(ID, page=page)


_MEMBERS = "Join this channel to get access to members-only content like this video, and other exclusive perks."
_AGE = ("Sign in to confirm your age", "This video may be inappropriate for some users.")
_BOT = ("Sign in to confirm you\u2019re not a bot", "This helps protect our community. Learn more")
_GEO = "The uploader has not made this video available in your country"
_GONE = "This video is no longer available because the YouTube account associated with this video has been terminated."

TABLE: list[Scenario] = [
    row(
        "a private video",
        says("Private video", "Sign in if you've been granted access to this video"),
        Fails("permanent", "private"),
    ),
    row("a video for members", says(_MEMBERS), Fails(_OPERATOR, "members_only")),
    row("a video that asks for an age", says(*_AGE), Fails(_OPERATOR, "age_restricted")),
    row("a site that takes us for a bot", says(*_BOT), Fails(_OPERATOR, "bot_check")),
    row("a site that shows a captcha", says("Something went wrong", captcha=True), Fails(_OPERATOR, "captcha")),
    row(
        "a video for other countries",
        says("Video unavailable", _GEO, countries=["DE", "FR"]),
        Fails(_OPERATOR, "geo_blocked"),
    ),
    row(
        "a removed video",
        says("Video unavailable", "This video has been removed by the uploader"),
        Fails("permanent", "removed"),
    ),
    row("a video of a closed account", says("Video unavailable", _GONE), Fails("permanent", "removed")),
    row("a video with DRM", says(None, drm=True), Fails("permanent", "drm_protected")),
    row(
        "a video that must be paid for",
        says("This video requires payment to watch"),
        Fails(_OPERATOR, "members_only"),
    ),
    row(
        "a site that limits in words",
        says("Video unavailable. This content isn't available, try again later."),
        Fails("rate_limited", "session_limited", retry_in=(3000, 3700)),
    ),
    row(
        "a site that limits and says how long",
        answers(429, **{"Retry-After": "90"}),
        Fails("rate_limited", "rate_limited", retry_in=(80, 100)),
    ),
    row("a site that is overloaded", answers(503), Fails("rate_limited", "rate_limited")),
    row("a site that is broken", answers(500), Fails("transient", "server_error")),
    row(
        "a video still processed by the site",
        says("We're processing this video. Check back later."),
        Fails("not_yet", "processing"),
    ),
    row("a premiere waits for its time", announced(7200), Fails("not_yet", "upcoming", retry_in=(7100, 7300))),
    row(
        "a broadcast that is announced without a time",
        says("This live event will begin in a few moments.", info={"live_status": "is_upcoming"}),
        Fails("not_yet", "upcoming"),
    ),
    row("a live broadcast", broadcast("is_live"), Fails("not_yet", "live")),
    row("a broadcast that has just ended", broadcast("post_live"), Fails("not_yet", "processing")),
    row(
        "a channel that is not live",
        lambda web: web.youtube.add_list("@someone/live", live=False),
        Fails("permanent", "channel_not_live"),
    ),
]
