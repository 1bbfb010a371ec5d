"""The sites whose URLs name the video: extractor and id, told from the URL alone.

What belongs here: reading `sites.json` and applying it. The file is made from yt-dlp's own extractors and their tests
by `sources/ytdlp/sites.py`, so that neither yt-dlp nor the network is needed here. A wrong answer would give somebody
the wrong video, so whatever leaves a doubt is answered with None, and extraction tells later.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from urllib.parse import SplitResult, unquote_plus, urlunsplit

# A longer URL than this is no plain link to a video; it also bounds what a pattern can cost.
MAX_LENGTH = 500
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|yclid|twclid|ttclid|igshid|mc_[ce]id|_hs(?:enc|mi)|_g[al]"
)
# Where to begin, how to play, who linked: on a page whose path names one video, never which video.
_HARMLESS = {"t", "start", "time", "autoplay", "autostart", "mute", "muted", "loop", "feature", "ref", "ref_src", "si"}
_SAME_SITE = re.compile(r"(?:www|m|mobile|touch|old|new|player|embed)\.(?=[^.]+\.)")


@dataclass(frozen=True)
class Rule:
    """The URLs of one extractor. One that is not `trusted` only says that a URL may be another thing.

    `prefixes` are what may stand between host and id, if the id is not one that is unique anywhere: `/video/7` and
    `/audio/7` are two things.
    """

    extractor: str
    patterns: tuple[str, ...]
    trusted: bool
    prefixes: tuple[str, ...] = ()

    @cached_property
    def _compiled(self) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(pattern) for pattern in self.patterns)

    def match(self, url: str) -> re.Match[str] | None:
        """The first of the patterns that matches, as yt-dlp asks them."""
        return next((found for each in self._compiled if (found := each.match(url))), None)


def known_site(parts: SplitResult) -> tuple[str, str] | None:
    """Extractor and id of the video that the URL (its host in lower case) names; None where that is not certain."""
    return named_by(rules_of(parts.hostname or ""), parts)


def named_by(rules: Sequence[Rule], parts: SplitResult) -> tuple[str, str] | None:
    """What `known_site` says by these rules."""
    plain = without_noise(parts)
    if not rules or plain is None:
        return None
    return _named(rules, plain) or _named(rules, plain._replace(netloc=f"www.{same_site(parts.hostname or '')}"))


def without_noise(parts: SplitResult) -> SplitResult | None:
    """The URL in the form that the patterns see; None if it is no plain link to a page."""
    if parts.port or parts.username or parts.fragment or len(parts.path) + len(parts.query) > MAX_LENGTH:
        return None
    kept = [pair for pair in parts.query.split("&") if pair and not _is_noise(pair)]
    return parts._replace(scheme="https", path=parts.path.rstrip("/") or "/", query="&".join(kept))


def _named(rules: Sequence[Rule], parts: SplitResult) -> tuple[str, str] | None:
    url = urlunsplit(parts)
    matches = [(rule, found) for rule in rules if (found := rule.match(url))]
    if len(matches) != 1 or not matches[0][0].trusted:
        return None
    rule, found = matches[0]
    named = whole_id(found)
    if named is None or not (unique_anywhere(named) or prefix(found) in rule.prefixes):
        return None
    return rule.extractor, named


def whole_id(found: re.Match[str]) -> str | None:
    """The id, if it is plain and nothing else in the URL (a further path, a parameter) could choose another video."""
    url, named = found.string, found["id"] or ""
    query = url.partition("?")[2]
    if not SAFE_ID.fullmatch(named) or url[found.end("id") :] or "&" in query:
        return None
    return named if not query or found.start("id") > url.index("?") else None


def prefix(found: re.Match[str]) -> str:
    """What stands between the host and the id."""
    url = found.string
    return url[url.index("/", len("https://")) : found.start("id")]


def unique_anywhere(named: str) -> bool:
    """Whether nobody else's id could be the same by chance: a UUID, a hash, a snowflake, a random mixture."""
    if re.fullmatch(r"\d{15,}|[0-9a-fA-F-]{24,}", named):
        return True
    return bool(re.fullmatch(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9]{10,}", named))


def same_site(host: str) -> str:
    """The host without a label that only chooses another view of the same site: `m.example.com` is `example.com`."""
    return _SAME_SITE.sub("", host, count=1)


def rules_of(host: str) -> Sequence[Rule]:
    """What is known of the host's site; nothing for most."""
    return _sites().get(same_site(host), ())


@cache
def _sites() -> dict[str, tuple[Rule, ...]]:
    data = json.loads(files(__package__).joinpath("sites.json").read_text(encoding="utf-8"))
    rules = {
        name: Rule(name, tuple(rule["patterns"]), rule["trusted"], tuple(rule["prefixes"]))
        for name, rule in data["extractors"].items()
    }
    return {host: tuple(rules[name] for name in names) for host, names in data["hosts"].items()}


def _is_noise(pair: str) -> bool:
    name = unquote_plus(pair.partition("=")[0]).lower()
    return name in _HARMLESS or TRACKING.fullmatch(name) is not None
