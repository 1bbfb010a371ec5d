"""How audio tracks are written: each profile's filter, codec and container.

What belongs here: tables alone. Running ffmpeg belongs to `audio.py`. The same input and the same ffmpeg give the same
bytes with every profile: no clock, no random number and no version stands in them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SAMPLE_RATE = 16_000
"""Hertz; what models of speech recognition are trained with."""

_LATE_SECONDS = 0.05  # a sound that starts later needs a container that can say so


@dataclass(frozen=True)
class Profile:
    """A kind of audio track. `mono`: made of the one channel at 16 kHz that is measured, too; else it is another sound.
    `muxer` and `options` are ffmpeg's; where `muxer` is None it depends on the sound."""

    name: str
    muxer: str | None
    options: Mapping[str, Any] = field(default_factory=dict)
    mono: bool = True


_FLAC = MappingProxyType({"acodec": "flac", "sample_fmt": "s16"})

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        each.name: each
        for each in (
            Profile("flac", "flac", _FLAC),
            Profile("wav", "wav", MappingProxyType({"acodec": "pcm_s16le"})),
            # Speech of this bandwidth asks for 16 to 20 kbit/s (RFC 6716, 2.1.1): there is room for noise and music.
            Profile("opus", "ogg", MappingProxyType({"acodec": "libopus", "ab": 32_000, "application": "voip"})),
            Profile("channels", "flac", _FLAC, mono=False),
            Profile("original", None, MappingProxyType({"acodec": "copy"}), mono=False),
        )
    }
)
"""All profiles by name."""

# Containers that hold a copied sound as it is. Others than these go into Matroska, which takes anything.
_OF_CODEC = {"aac": "ipod", "opus": "ogg", "vorbis": "ogg"}
_WITHOUT_START = {"mp3": "mp3", "flac": "flac", "ac3": "ac3", "eac3": "eac3", "pcm_s16le": "wav", "pcm_s24le": "wav"}


def muxer_of_copy(codec: str, starts_at: float) -> str:
    """ffmpeg's muxer for a copied sound of this codec that starts so many seconds after the file."""
    if abs(starts_at) > _LATE_SECONDS:
        return _OF_CODEC.get(codec, "matroska")
    return (_OF_CODEC | _WITHOUT_START).get(codec, "matroska")


def profile_names(value: str | Iterable[str]) -> tuple[str, ...]:
    """The profiles of a list (comma-separated, if it is a text), each once. Raises ValueError for an unknown one."""
    names = _listed(value)
    if unknown := [each for each in names if each not in PROFILES]:
        raise ValueError(f"no profile is called {unknown[0]!r}; there are {', '.join(PROFILES)}")
    return names


def language_names(value: str | Iterable[str]) -> tuple[str, ...]:
    """The language tags of a list, as they are written. Raises ValueError for what names no language."""
    from narralytica_ingest.media.tracks import language_tag

    names = _listed(value)
    if unknown := [each for each in names if language_tag(each) is None]:
        raise ValueError(f"{unknown[0]!r} is no language tag (BCP 47)")
    return names


def _listed(value: str | Iterable[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(dict.fromkeys(each.strip() for each in parts if each.strip()))
