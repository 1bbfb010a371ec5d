"""A site with a choice: pictures and sound apart, dubs, captions, thumbnails, signed addresses that expire, lists."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from narralytica_ingest_tests.fake_youtube.material import Stream, both, opus, picture, sound
from narralytica_ingest_tests.scenarios.model import Expands, Fails, Published, Scenario, Side, Web, row

ID = "aaaaaaaaaaa"
_P1080, _P720, _P144 = picture("137", "1080"), picture("136", "720"), picture("160", "144")
_CUT = Fails("transient", "incomplete_read")
_THUMBNAIL: Side = ("thumbnail", None, None)


def video(*streams: Stream, **properties: Any) -> Callable[[Web], str]:
    return lambda web: web.youtube.add_video(ID, *streams, **properties)


def of(*names: str, **expected: Any) -> Published:
    """The tracks of these files of the material, joined; or the file itself, if it is one."""

    def tracks(web: Web) -> list[Path]:
        return [web.youtube.path(name) for name in names]

    return Published(tracks=tracks, **expected)


def media(itag: str) -> str:
    return f"/media/{ID}/{itag}"


def with_thumbnail(*bodies: bytes, **properties: Any) -> Callable[[Web], str]:
    """A video whose pictures have their troubles."""

    def serve(web: Web) -> str:
        web.server.add("/vi/thumbnail.jpg", *bodies, content_type="image/jpeg", **properties)
        return web.youtube.add_video(ID)

    return serve


def listed(number: int, name: str = "PLaaaaaaaaaaaaaaaa") -> Callable[[Web], str]:
    return lambda web: web.youtube.add_list(name, *(entry(each) for each in range(number)))


def entry(number: int) -> str:
    return f"entry{number:06}"


def watch(video_id: str) -> str:
    return f"https://www.youtube.com/watch?v={video_id}"


def list_of_one(web: Web) -> str:
    web.youtube.add_video(entry(0))
    return web.youtube.add_list("PLaaaaaaaaaaaaaaaa", entry(0))


def with_private_entry(web: Web) -> str:
    web.youtube.add_video(entry(0))
    web.youtube.refuse(entry(1), "Private video", "Sign in if you've been granted access to this video")
    return web.youtube.add_list("PLaaaaaaaaaaaaaaaa", entry(0), entry(1), entry(0))


def channel(web: Web) -> str:
    web.youtube.add_list("@someone/videos", entry(0), entry(1))
    web.youtube.add_list("@someone/shorts", entry(2), entry(0))
    return web.youtube.add_list("@someone", tabs=["videos", "shorts"], title="Someone")


def in_a_list(web: Web) -> str:
    web.youtube.add_list("PLaaaaaaaaaaaaaaaa", ID, entry(1))
    return web.youtube.add_video(ID) + "&list=PLaaaaaaaaaaaaaaaa&index=1"


_ORIGINAL, _OTHER = sound("original", "en"), sound("other", "en")
_DUBS = (sound("dubbed", "de"), sound("dubbed", "es"))
_USUAL = ("picture-1080.mp4", "sound-original.m4a")
_ALL_1080 = (picture("400", "1440"), _P1080, _P720, sound())
_PIECES = picture("137", "1080", downloader_options={"http_chunk_size": 200_000})
_WIDE = 500_000  # more than the sound of the usual formats, less than two thirds of the picture

TABLE: list[Scenario] = [
    # ---- which formats ----
    row("the best picture and the sound are joined", video(), of(*_USUAL)),
    row("a picture above the greatest height is passed over", video(*_ALL_1080), of(*_USUAL)),
    row(
        "a job may wish for less height",
        video(*_ALL_1080),
        of("picture-720.mp4", "sound-original.m4a"),
        options={"max_height": 720},
    ),
    row(
        "the height of a portrait is its shorter side",
        video(picture("137", "tall"), _P144, sound()),
        of("picture-tall.mp4", "sound-original.m4a"),
    ),
    row(
        "what is only there above the greatest height is better than nothing",
        video(picture("400", "1440"), sound()),
        of("picture-1440.mp4", "sound-original.m4a"),
    ),
    row(
        "Opus beside H.264 keeps every packet",
        video(_P720, opus()),
        of("picture-720.mp4", "sound-opus.webm", extension="mkv"),
    ),
    row("one file with both is stored byte for byte", video(both()), of("both.mp4", extension="mp4")),
    row(
        "HLS of the site keeps every packet",
        video(Stream("93", "index.m3u8", {"ext": "mp4", "height": 360})),
        of("both.mp4"),
    ),
    row("the original's sound, not a dub's", video(_P1080, *_DUBS, _ORIGINAL), of(*_USUAL)),
    row("the original's sound, whatever the order", video(_ORIGINAL, *_DUBS, _P1080), of(*_USUAL)),
    row("the original's sound, not the site's default", video(_P1080, _OTHER, sound("original", "fr")), of(*_USUAL)),
    row("the original's sound, not its description", video(_P1080, sound("described", "en"), _ORIGINAL), of(*_USUAL)),
    row(
        "the original's sound, though a dub is of better quality",
        video(_P1080, sound("dubbed", "de", tbr=999, quality=9), _ORIGINAL),
        of(*_USUAL),
    ),
    row(
        "the original's sound, though a dub comes with the better picture",
        video(both(language="de", language_preference=-1, quality=9), _P144, _ORIGINAL),
        of("picture-144.mp4", "sound-original.m4a"),
    ),
    row("only dubs are no original", video(_P1080, *_DUBS), Fails("transient", "original_audio_missing")),
    # ---- what comes beside ----
    row(
        "captions of people in all languages, the machine's in the video's own, and a thumbnail",
        video(_P144, _ORIGINAL, uploaded=("en", "fr"), automatic="en"),
        of(
            "picture-144.mp4",
            "sound-original.m4a",
            untouched=(f"/captions/{ID}/automatic-de",),
            beside=frozenset(
                {
                    _THUMBNAIL,
                    ("captions", "en", "uploaded"),
                    ("captions", "fr", "uploaded"),
                    ("captions", "en", "automatic"),
                }
            ),
        ),
    ),
    row(
        "captions that nobody wants are not fetched",
        video(_P144, sound(), uploaded=("en",), automatic="en"),
        of("picture-144.mp4", "sound-original.m4a", beside=frozenset({_THUMBNAIL})),
        settings={"uploaded_captions": False, "automatic_captions": False},
    ),
    *(
        row(
            f"captions that answer {status} do not stop the video",
            video(_P144, sound(), uploaded=("en",), timed_text={"statuses": [status]}),
            of("picture-144.mp4", "sound-original.m4a", beside=frozenset({_THUMBNAIL})),
        )
        for status in (404, 429, 500)
    ),
    row(
        "a thumbnail that is not there does not stop the video",
        with_thumbnail(statuses=[404]),
        of(*_USUAL, beside=frozenset()),
    ),
    row(
        "a thumbnail that is a page is not stored",
        with_thumbnail(b"<!DOCTYPE html><html></html>"),
        of(*_USUAL, beside=frozenset()),
    ),
    row(
        "chapters and all that the site says are kept",
        video(_P144, sound(), info={"chapters": [{"start_time": 0, "end_time": 4, "title": "One"}]}),
        of(
            "picture-144.mp4",
            "sound-original.m4a",
            info={"chapters": [{"start_time": 0, "end_time": 4, "title": "One"}], "channel": "Fake Channel", "id": ID},
        ),
    ),
    # ---- transfers ----
    row("media that is forbidden once is extracted again", video(lives=(0, None)), of(*_USUAL)),
    row("media that stays forbidden is a failure", video(media={"statuses": [403]}), Fails("transient", "forbidden")),
    row(
        "an address that expires in the middle goes on under a new one",
        video(lives=(1, None), media={"cuts": [_WIDE, None]}),
        of(*_USUAL, resumed=(media("137"),)),
    ),
    row(
        "an address that expires between two pieces is replaced",
        video(_PIECES, sound(), lives=(4, None)),
        of(*_USUAL),
    ),
    row(
        "addresses that expire again and again cost an attempt each time, and nothing is lost",
        video(_PIECES, sound(), lives=(3, 3, None)),
        Fails("transient", "forbidden"),
        of(*_USUAL),
    ),
    row(
        "pieces of a file are joined",
        video(picture("137", "1080", downloader_options={"http_chunk_size": 100_000}), sound()),
        of(*_USUAL),
    ),
    row(
        "what is there already is not fetched again in the next attempt",
        video(media={"cuts": [_WIDE, 0, 0, None]}),
        _CUT,
        of(*_USUAL, resumed=(media("137"),)),
    ),
    row(
        "a finished picture is not fetched again when the sound failed",
        video(sound_trouble={"statuses": [500, 500, 200]}),
        Fails("transient", "server_error"),
        of(*_USUAL, sent_at_most={media("137"): 1_200_000}),
    ),
    row(
        "a video too large by what the site says",
        video(),
        Fails("permanent", "too_large"),
        options={"max_bytes": 100_000},
    ),
    row(
        "a video too large by what it sends",
        video(_P144, sound(filesize=None)),
        Fails("permanent", "too_large"),
        options={"max_bytes": 1000},
    ),
    row("a video too long", video(info={"duration": 90_000}), Fails("permanent", "too_long")),
    row(
        "a video longer than its job wants",
        video(),
        Fails("permanent", "too_long"),
        options={"max_duration_seconds": 2},
    ),
    # ---- lists ----
    row("a list becomes a job for each video", listed(3), Expands(tuple(watch(entry(each)) for each in range(3)))),
    row(
        "a long list ends at the limit",
        listed(250),
        Expands(tuple(watch(entry(each)) for each in range(200)), more=True),
    ),
    row(
        "a job may wish for fewer",
        listed(5),
        Expands((watch(entry(0)), watch(entry(1))), more=True),
        options={"playlist_limit": 2},
    ),
    row("a list of one is still a list", list_of_one, Expands((watch(entry(0)),))),
    row(
        "a list that names a video twice, and a private one",
        with_private_entry,
        Expands((watch(entry(0)), watch(entry(1)))),
    ),
    row("a channel is all its tabs", channel, Expands(tuple(watch(entry(each)) for each in range(3)))),
    row("a video in a list is that video", in_a_list, of(*_USUAL)),
    row("an empty list", listed(0), Fails("permanent", "no_video_found")),
    row(
        "a list that is not there",
        lambda web: "https://www.youtube.com/playlist?list=PLnothing0000000000",
        Fails("permanent", "removed"),
    ),
]
