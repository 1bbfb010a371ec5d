"""What a sound track is (the original's sound, a dub, a commentary), as its own flags and its title say.

What belongs here: reading one track's declarations. Choosing between tracks belongs to `tracks.py`.

Flags are ffprobe's dispositions: Matroska's track flags, MP4's roles (DASH `kind`) and DVB's audio types come out as
these. Where there are none, titles tell, in the words that broadcasters, discs and release groups use.
"""

import re
from typing import Literal

from narralytica_ingest.media.probe import AudioStream

Kind = Literal["plain", "clear", "description", "dub", "commentary", "wordless"]
"""`clear`: the same speech with the rest turned down, for the hard of hearing. `wordless`: music or effects alone."""

# The order matters: "audio commentary for the blind" is a description, a "dubbed commentary" a commentary.
_FLAGS: dict[str, Kind] = {
    "visual_impaired": "description",
    "descriptions": "description",
    "comment": "commentary",
    "karaoke": "wordless",
    "clean_effects": "wordless",
    "non_diegetic": "wordless",
    "dependent": "wordless",
    "dub": "dub",
    "hearing_impaired": "clear",
}
# Codes of local use that DVB broadcasters share (ETSI EN 300 468 annex F for `qaa`; ARD and ZDF for the others).
_LANGUAGES: dict[str, Kind] = {"qad": "description", "qks": "clear"}
_ORIGINAL_LANGUAGE = "qaa"


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_TITLES: dict[Kind, re.Pattern[str]] = {
    "description": _words(
        r"audio.?d[ei]s[ckz]?r",  # description, Deskription, descripción, descrição, descrizione, deskrypcja
        r"\b(?:descriptive|described)\b|\bdescription\b|\bdvs\b|(?-i:\bAD\b)|visual(?:ly)? ?.?impair|for the blind",
        r"hörfilm|bildbeschreibung|für (?:blinde|sehbehinderte)|malvoyants|syntolk|synstolk|kuvailutulk",
        r"audiopopis|sesli betimleme|тифлокоммент|音声ガイド|音声解説|화면 ?해설|口述影像",
    ),
    "commentary": _words(
        r"(?<!\bno )(?<!without )\bcomm?entar|\bcommento\b|(?<!sans )\bcommentaire|(?<!ohne )kommentar",
        r"kommentár|kommentti|\bkoment(?:ar|ář)|комментар|коментар",
        r"コメンタリー|코멘터리|评论音轨|評論音軌|解说音轨|解說音軌",
    ),
    "wordless": _words(
        r"\bkaraoke\b|\binstrumental\b|\b(?:isolated|score)\b|\bmusic (?:and|&|only)|\bm ?& ?e\b|\beffects? only\b",
        r"\b(?:clean|international) (?:effects|sound|feed)\b|カラオケ|노래방|караоке",
    ),
    "dub": _words(
        r"(?<!not )\bdub(?:s|bed|bing|bad|bet|laj|lado|lagem)?\b|\bdabing|\bdobla(?:do|da|je)\b",
        r"\bdoppia(?:to|ta|ggio)\b|\bdoubl(?:age|é|ée)\b|\bsynchro(?:n|nfassung|nisiert|nisation)?\b",
        r"\bszinkron|\bnasynchron|\blektor\b",
        r"\bvoice.?over\b|\bauto.?translated\b|\bmachine.?translated\b|(?-i:\bVF[FQI2]?\b)|\btruefrench\b",
        r"(?-i:\b[AMD]VO\b)|дубл|многоголос|одноголос|двухголос|закадров",
        r"吹き?替|配音|더빙|مدبلج|μεταγλωττ|דיבוב|พากย์|lồng tiếng|thuyết minh",
    ),
    "clear": _words(
        r"\bclear (?:dialog|speech|voice)|\b(?:dialog(?:ue)?|speech|voice) (?:boost|enhance)|klare sprache|clean audio",
        r"hearing.?impair|hard of hearing",
    ),
}
_ORIGINAL = _words(
    r"\borigin[ae]l|\bv\.o\.|\bvost|\bversión original|оригинал|オリジナル|原声|原聲|原音|원어|الأصلي",
)


def kind_of(stream: AudioStream) -> Kind:
    """What the track is; `plain` where nothing says that it is anything but the sound of the picture."""
    flagged = next((kind for flag, kind in _FLAGS.items() if flag in stream.dispositions), None)
    titled = next((kind for kind, words in _TITLES.items() if stream.title and words.search(stream.title)), None)
    said = _LANGUAGES.get(stream.language or "")
    claims = {flagged, titled, said}
    for kind in ("description", "commentary", "wordless", "dub", "clear"):
        if kind in claims:
            return kind
    return "plain"


def is_original(stream: AudioStream) -> bool:
    """Whether the track says of itself that it is in the language in which the video was made."""
    return (
        "original" in stream.dispositions
        or stream.language == _ORIGINAL_LANGUAGE
        or bool(stream.title and _ORIGINAL.search(stream.title))
    )
