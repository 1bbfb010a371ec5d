"""Whole files that are not plain: several sound tracks, late sound, turned and irregular pictures, chapters, tags."""

from pathlib import Path

from narralytica_ingest_tests.corpus.containers import encoded
from narralytica_ingest_tests.corpus.model import Entry, Expected, Make, Sound
from narralytica_ingest_tests.corpus.workshop import Workshop

FAST_START = "-c:a aac -movflags +faststart"
CHAPTERS = ("Ouverture", "الفصل الثاني", "第三章 🎬")
TAGS = {
    "title": "مرحبا بالعالم",
    "artist": "नमस्ते दुनिया",
    "album": "你好世界",
    "comment": "Zażółć gęślą jaźń 🎬🇺🇳",
}


def voices(*tracks: tuple[str, str, str, str]) -> Make:
    """Several sentences as tracks: (sentence, language, title, disposition). The first is marked as the default."""

    def make(shop: Workshop, target: Path) -> None:
        inputs: list[str | Path] = ["-i", shop.picture("vp9" if target.suffix == ".webm" else "h264")]
        options: list[str] = ["-map", "0:v"]
        for place, (sentence, language, title, disposition) in enumerate(tracks):
            inputs += ["-i", shop.sound(sentence)]
            marks = "+".join(filter(None, ["" if place else "default", disposition])) or "0"
            options += ["-map", f"{place + 1}:a", f"-disposition:a:{place}", marks]
            options += [f"-metadata:s:a:{place}", f"language={language}", f"-metadata:s:a:{place}", f"title={title}"]
        codec = {"webm": "libopus", "ts": "ac3"}.get(target.suffix[1:], "aac")
        shop.ffmpeg(*inputs, *options, "-c:v", "copy", "-c:a", codec, target)

    return make


def late(seconds: float) -> Make:
    """Sound that starts after the picture."""

    def make(shop: Workshop, target: Path) -> None:
        sound = ("-itsoffset", str(seconds), "-i", shop.sound("sentence"))
        shop.ffmpeg("-i", shop.picture("h264"), *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", target)

    return make


def turned(degrees: int) -> Make:
    """A picture to be shown turned by so many degrees counter-clockwise."""

    def make(shop: Workshop, target: Path) -> None:
        picture = ("-display_rotation:v:0", str(degrees), "-i", shop.picture("h264"))
        shop.ffmpeg(*picture, "-i", shop.sound("sentence"), "-map", "0:v", "-map", "1:a", "-c:v", "copy", target)

    return make


def irregular(shop: Workshop, target: Path) -> None:
    """A picture that has frames at uneven times, as a phone or a screen recorder makes it."""
    uneven = ("-vf", "select=not(eq(mod(n\\,7)\\,3)+eq(mod(n\\,5)\\,1))", "-fps_mode", "vfr")
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
    shop.ffmpeg("-i", shop.picture("h264"), "-i", shop.sound("sentence"), *uneven, *encoder, target)


def chaptered(shop: Workshop, target: Path) -> None:
    """Three chapters of a second each."""
    listed = shop.material / f"{target.name}.chapters"
    marks = [
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={1000 * place}\nEND={1000 * (place + 1)}\ntitle={title}\n"
        for place, title in enumerate(CHAPTERS)
    ]
    listed.write_text(";FFMETADATA1\n" + "".join(marks), encoding="utf-8")
    inputs = ("-i", shop.picture("h264"), "-i", shop.sound("sentence"), "-f", "ffmetadata", "-i", listed)
    shop.ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-map_chapters", "2", "-c:v", "copy", "-c:a", "aac", target)


def tagged(sound: str, picture: str | None = None) -> Make:
    """Tags in Arabic, Hindi, Chinese, Polish and emoji."""

    def make(shop: Workshop, target: Path) -> None:
        shown = ("-i", shop.picture(picture), "-c:v", "copy") if picture else ()
        named = [part for name, value in TAGS.items() for part in ("-metadata", f"{name}={value}")]
        shop.ffmpeg("-i", shop.sound("sentence"), *shown, *sound.split(), *named, target)

    return make


def jittery(shop: Workshop, target: Path) -> None:
    """Sound packets of 60 ms that carry their times of arrival, every other one 30 ms late: what browsers record."""
    sound = ("-c:a", "libopus", "-frame_duration", "60", "-bsf:a", "setts=ts=PTS+30*mod(N\\,2)")
    shop.ffmpeg("-i", shop.sound("sentence"), "-i", shop.picture("vp8"), "-c:v", "copy", *sound, target)


def changing(shop: Workshop, target: Path) -> None:
    """A broadcast whose sound changes from two channels to one in the middle."""
    middle = "1.536"  # 48 packets of AC-3
    for start, piece in (("0", ["-t", middle]), (middle, ["-af", "pan=mono|c0=c0"])):
        part = target.with_name(f"{start}-{target.name}")
        spoken: list[str | Path] = ["-ss", start, "-i", shop.sound("sentence"), *piece]
        shop.ffmpeg(*spoken, "-c:a", "ac3", "-output_ts_offset", start, part)
        with target.open("ab") as file:
            file.write(part.read_bytes())
        part.unlink()


def out_of_phase(shop: Workshop, target: Path) -> None:
    """The right channel is the left one upside down: added up, nothing is left."""
    shop.ffmpeg("-i", shop.sound("sentence"), "-af", "pan=stereo|c0=c0|c1=-1*c0", target)


def one_side(shop: Workshop, target: Path) -> None:
    """The speaker on the left channel only, as a clip-on microphone is recorded."""
    shop.ffmpeg("-i", shop.sound("sentence"), "-af", "pan=stereo|c0=c0|c1=0*c0", target)


def with_cover(shop: Workshop, target: Path) -> None:
    """A sound file with a picture of its cover."""
    cover = ("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", "-c:v", "png")
    shop.ffmpeg("-i", shop.sound("sentence"), *cover, "-disposition:v:0", "attached_pic", target)


_ORIGINAL = ("sentence", "eng", "Original", "original")
_DUB = ("dub", "ger", "Deutsch (Synchronfassung)", "dub")
_COMMENT = ("comment", "eng", "Director's commentary", "comment")
_DUBBED = voices(_DUB, _ORIGINAL, _COMMENT)
_COMMENTED = voices(_COMMENT, _ORIGINAL)
_UNMARKED = voices(("dub", "ger", "", ""), ("sentence", "eng", "", ""))


def _tracks(codec: str, *languages: str | None) -> tuple[Sound, ...]:
    return tuple(Sound(codec, language=language) for language in languages)


_AAC = (Sound("aac"),)

PECULIAR = (
    Entry(
        "dub-marked-default.mkv", "the dub first and marked as default, the original, a commentary", _DUBBED,
        "matroska", "mkv", "h264", _tracks("aac", "ger", "eng", "eng"), further={"de": "dub"},
        expected=Expected(taken=1, language="en"),
    ),
    Entry(
        "commentary-marked-default.mp4", "the commentary first and marked as default, told by its title", _COMMENTED,
        "mp4", "mp4", "h264", _tracks("aac", "eng", "eng"), expected=Expected(taken=1, language="en"),
    ),
    Entry(
        "two-languages.mkv", "two languages and no mark, the video's own is English", _UNMARKED,
        "matroska", "mkv", "h264", _tracks("aac", "ger", "eng"), original="en",
        expected=Expected(taken=1, language="en"),
    ),
    Entry(
        "two-languages.webm", "two languages and no mark, the video's own is unknown", _UNMARKED,
        "webm", "webm", "vp9", _tracks("opus", "ger", "eng"), expected=Expected(language="de", said="dub"),
    ),
    Entry(
        "only-a-dub.mp4", "a dub is all there is", voices(_DUB),
        "mp4", "mp4", "h264", _tracks("aac", "ger"), expected=Expected(language="de", said="dub"),
    ),
    Entry(
        "two-languages.ts", "two languages, the first is marked for the hard of hearing",
        voices(("comment", "eng", "", "hearing_impaired"), ("sentence", "eng", "", "")),
        "mpegts", "ts", "h264", _tracks("ac3", "eng", "eng"), expected=Expected(taken=1, language="en"),
    ),
    Entry(
        "late-sound.mkv", "sound that starts half a second late", late(0.5),
        "matroska", "mkv", "h264", (Sound("vorbis"),), expected=Expected(seconds=3.52, begins=0.5),
    ),
    Entry(
        "late-sound.mp4", "sound that starts half a second late", late(0.5),
        "mp4", "mp4", "h264", _AAC, expected=Expected(seconds=3.5, begins=0.5),
    ),
    Entry(
        "changing.ts", "sound that changes its form", changing,
        "mpegts", "ts", None, (Sound("ac3", 1),), expected=Expected(said=None),
    ),
    Entry("jittery.webm", "sound with jittery times", jittery, "webm", "webm", "vp8", (Sound("opus"),)),
    Entry("turned-90.mp4", "a phone held upright", turned(90), "mp4", "mp4", "h264", _AAC, rotation=90),
    Entry("turned-180.mov", "a phone upside down", turned(180), "mov", "mov", "h264", _AAC, rotation=-180),
    Entry("irregular.mp4", "frames at uneven times", irregular, "mp4", "mp4", "h264", _AAC, frame_rate=6.667),
    Entry("irregular.mkv", "frames at uneven times", irregular, "matroska", "mkv", "h264", _AAC),
    Entry("chapters.mp4", "three chapters", chaptered, "mp4", "mp4", "h264", _AAC, chapters=CHAPTERS),
    Entry(
        "chapters.mkv", "three chapters", chaptered,
        "matroska", "mkv", "h264", _AAC, chapters=CHAPTERS,
    ),
    Entry("tags.mp4", "tags in scripts", tagged(FAST_START, "h264"), "mp4", "mp4", "h264", _AAC, tags=TAGS),
    Entry(
        "tags.mkv", "tags in scripts", tagged("-c:a aac", "h264"),
        "matroska", "mkv", "h264", _AAC, tags=TAGS,
    ),
    Entry("tags.mp3", "tags in scripts", tagged("-c:a mp3"), "mp3", "mp3", None, (Sound("mp3"),), tags=TAGS),
    Entry("tags.flac", "tags in scripts", tagged("-c:a flac"), "flac", "flac", None, (Sound("flac"),), tags=TAGS),
    Entry("hdr10.mp4", "HDR10 flags", encoded("-c:a aac", "hdr10"), "mp4", "mp4", "hevc", _AAC, hdr="HDR10"),
    Entry("hlg.webm", "HLG flags", encoded("-c:a libopus", "hlg"), "webm", "webm", "vp9", (Sound("opus"),), hdr="HLG"),
    Entry(
        "one-side.wav", "speech on the left only", one_side, "wav", "wav", None, (Sound("pcm_s16le"),),
        expected=Expected(louder=-6.0),
    ),
    Entry(
        "out-of-phase.wav", "one channel is the other upside down", out_of_phase,
        "wav", "wav", None, (Sound("pcm_s16le"),),
        expected=Expected(said=None, findings=frozenset({"silent_track"})),
    ),
    Entry("cover.mp3", "a cover picture", with_cover, "mp3", "mp3", None, (Sound("mp3"),)),
    Entry(
        "matroska.mp4", "Matroska named .mp4", encoded("-c:a aac -f matroska", "h264"),
        "matroska", "mkv", "h264", _AAC,
    ),
)  # fmt: skip
