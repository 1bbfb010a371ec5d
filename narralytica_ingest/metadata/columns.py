"""The columns of a row of metadata: the one description of what a value may be.

What belongs here: words and bounds, with nothing to import, since definitions show them. The checks that follow from
them are in `schema.py`; the comments of the table say the same (a test compares them).
"""

from dataclasses import dataclass
from enum import StrEnum

from narralytica_ingest.metadata.values import (
    BIG,
    INTEGER,
    TAG_CHARACTERS,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    URL_CHARACTERS,
)


class Kind(StrEnum):
    """The type of a column, as Postgres calls it."""

    TEXT = "text"
    INTEGER = "integer"
    BIGINT = "bigint"
    NUMBER = "double precision"
    MOMENT = "timestamp with time zone"
    JSON = "jsonb"


@dataclass(frozen=True)
class Column:
    """One column. `least` and `below` bound numbers, `longest` counts characters, `one_of` are all values there are.

    `correctable`: a person may state it better. Every column but `video_id` and `origins` may be NULL: unknown.
    """

    name: str
    kind: Kind
    description: str
    least: float | None = None
    below: float | None = None
    longest: int | None = None
    one_of: tuple[str, ...] = ()
    correctable: bool = False

    @property
    def is_url(self) -> bool:
        """Whether it holds an address."""
        return self.name.endswith("_url")


PRECISIONS = ("second", "day", "month", "year")
LIVE_STATUSES = ("not_live", "is_upcoming", "is_live", "post_live", "was_live")


def _text(name: str, description: str, longest: int = TITLE_CHARACTERS, *, correctable: bool = True) -> Column:
    return Column(name, Kind.TEXT, description, longest=longest, correctable=correctable)


def _url(name: str, description: str) -> Column:
    return _text(name, description, URL_CHARACTERS)


def _moment(name: str, description: str, *, correctable: bool = True) -> Column:
    return Column(name, Kind.MOMENT, description, correctable=correctable)


def _one_of(name: str, description: str, values: tuple[str, ...]) -> Column:
    return Column(name, Kind.TEXT, description, one_of=values, correctable=name == "live_status")


def _json(name: str, description: str, *, correctable: bool = True) -> Column:
    return Column(name, Kind.JSON, description, correctable=correctable)


def _count(name: str, description: str) -> Column:
    return Column(name, Kind.BIGINT, description, least=0, below=BIG)


def _word(name: str, description: str) -> Column:
    return _text(name, description, TAG_CHARACTERS, correctable=False)


def _whole(name: str, description: str) -> Column:
    return Column(name, Kind.INTEGER, description, least=1, below=INTEGER)


def _big(name: str, description: str) -> Column:
    return Column(name, Kind.BIGINT, description, least=1, below=BIG)


def _number(name: str, description: str) -> Column:
    return Column(name, Kind.NUMBER, description, least=0)


def _technical(prefix: str, says: str) -> tuple[Column, ...]:
    """What is both declared and measured."""
    return (
        _number(f"{prefix}_duration_seconds", f"Length {says}, in seconds."),
        _big(f"{prefix}_size_bytes", f"Size of the file {says}, in bytes."),
        _word(f"{prefix}_container", f"Container {says}."),
        _big(f"{prefix}_bit_rate", f"Bits per second of the whole file {says}."),
        _whole(f"{prefix}_width", f"Width of the picture {says}, in pixels, before it is turned."),
        _whole(f"{prefix}_height", f"Height of the picture {says}, in pixels, before it is turned."),
        _number(f"{prefix}_frame_rate", f"Pictures per second {says}, on average."),
        _word(f"{prefix}_dynamic_range", f"Dynamic range of the picture {says}: SDR, HDR10, HLG, DV."),
        _word(f"{prefix}_video_codec", f"Codec of the picture {says}."),
        _big(f"{prefix}_video_bit_rate", f"Bits per second of the picture {says}."),
        _word(f"{prefix}_audio_codec", f"Codec of the sound {says}."),
        _big(f"{prefix}_audio_bit_rate", f"Bits per second of the sound {says}."),
        _whole(f"{prefix}_audio_channels", f"Channels of the sound {says}."),
        _whole(f"{prefix}_audio_sample_rate", f"Samples per second of the sound {says}."),
    )


COLUMNS: tuple[Column, ...] = (
    # Identity
    _text("video_id", "The video.", 200, correctable=False),
    _text("source", "The site or kind of upload that the video comes from.", correctable=False),
    _text("source_id", "The name that the video has there.", URL_CHARACTERS, correctable=False),
    _url("webpage_url", "The page of the video, without what would open it."),
    # What it is
    _text("title", "Title."),
    _text("description", "Description, of several lines.", TEXT_CHARACTERS),
    _text("channel", "Name of the channel, author or artist."),
    _text("channel_id", "The name that the source keeps for the channel."),
    _url("channel_url", "Page of the channel."),
    _moment("published_at", "When the video became public, in UTC: the beginning of what published_precision says."),
    _one_of("published_precision", "What is known of published_at: second, day, month or year.", PRECISIONS),
    _moment("uploaded_at", "When the video came to the source, in UTC: the beginning of what uploaded_precision says."),
    _one_of("uploaded_precision", "What is known of uploaded_at: second, day, month or year.", PRECISIONS),
    _moment("recorded_at", "When the file says that it was recorded or written, in UTC.", correctable=False),
    _text("language", "Language that is spoken, a BCP 47 tag.", 35),
    _json("tags", "Keywords: a list of texts."),
    _json("categories", "Categories of the source: a list of texts."),
    _json("chapters", "Chapters: a list of {title, start_seconds, end_seconds}."),
    _json(
        "captions",
        "Captions that there are, stored or not: a list of {language, name, origin}; origin is uploaded, automatic or"
        " container, name as the source says it.",
        correctable=False,
    ),
    _url("thumbnail_url", "Picture of the video at the source; the stored one is a media file."),
    _text("license", "License, in the source's words."),
    Column(
        "age_limit", Kind.INTEGER, "Years of age that the source asks for; 0: none.", least=0, below=100,
        correctable=True,
    ),
    _one_of("live_status", "Whether it is or was a broadcast.", LIVE_STATUSES),
    # Counts
    _count("view_count", "Views at read_at."),
    _count("like_count", "Likes at read_at."),
    _count("comment_count", "Comments at read_at."),
    _moment(
        "read_at",
        "When the source was read; of a source that says nothing, when the original was stored. An older reading never"
        " overwrites a newer one.",
        correctable=False,
    ),
    # Declared and measured
    *_technical("declared", "as the source states it"),
    *_technical("measured", "as ffprobe measured it in the stored original"),
    Column(
        "measured_rotation", Kind.INTEGER, "Degrees by which a player turns the picture counter-clockwise.", least=0,
        below=360,
    ),
    _json(
        "origins",
        "Who stated a value, by column: source, hint, container, url, file_name or correction.",
        correctable=False,
    ),
)  # fmt: skip

NAMES = tuple(column.name for column in COLUMNS)
BY_NAME = {column.name: column for column in COLUMNS}
