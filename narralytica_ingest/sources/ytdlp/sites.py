"""Makes `sources/sites.json`: `python -m narralytica_ingest.sources.ytdlp.sites` writes it anew after an upgrade.

What belongs here: which of yt-dlp's extractors may be believed when they name a video by its URL alone. Their own tests
are the evidence: URLs, and the ids that extraction really gives.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from yt_dlp.extractor import _extractors as all_extractors
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.version import __version__

from narralytica_ingest.sources.sites import (
    Rule,
    named_by,
    prefix,
    same_site,
    unique_anywhere,
    whole_id,
    without_noise,
)

FILE = Path(__file__).parents[1] / "sites.json"

# These have identities of their own; the generic ones name a page or a file, not a video.
_ELSEWHERE = re.compile(r"Youtube|Vimeo|Generic|HTML5|CommonMistakes|UnicodeBOM")
_RESERVED = {"web", "upload", "site"}
# One numbering behind several domains and paths: known by hand, for nothing in the tests could show it.
_ONE_NUMBERING = {"Dailymotion": {"/", "/video/", "/embed/video/"}}
_LIST_KEYS = {"playlist", "playlist_count", "playlist_mincount", "playlist_maxcount", "playlist_duration_sum"}
_NOWHERE = "nowhere.invalid"
_LONGEST = 5000  # characters; one that lists a thousand instances is not worth its weight in every process


@dataclass(frozen=True)
class Extractor:
    """One of yt-dlp's extractors with the evidence about it."""

    kind: type[InfoExtractor]

    @cached_property
    def key(self) -> str:
        return str(self.kind.ie_key())

    @cached_property
    def tests(self) -> list[dict[str, Any]]:
        return [test for test in self.kind.get_testcases(include_onlymatching=True) if _is_http(test["url"])]

    @cached_property
    def hosts(self) -> set[str]:
        """The sites that the tests name."""
        return {_site(test["url"]) for test in self.tests}

    @cached_property
    def rule(self) -> Rule:
        valid = self.kind._VALID_URL
        patterns = (valid,) if isinstance(valid, str) else tuple(valid or ())
        trusted = self._is_trusted(patterns)
        return Rule(self.key, patterns, trusted, tuple(sorted(self._prefixes(patterns))) if trusted else ())

    def _is_trusted(self, patterns: tuple[str, ...]) -> bool:
        return (
            0 < len("".join(patterns)) < _LONGEST
            and not _ELSEWHERE.match(self.key)
            and self.key.lower() not in _RESERVED
            and not any(_overrides(self.kind, name) for name in ("_match_valid_url", "_match_id", "get_temp_id"))
            and not any(_LIST_KEYS & set(test) for test in self.tests)
            and (self._ids_are_unique_anywhere or not any(_is_live(test) for test in self.tests))
            and self._names_its_videos()
            and (len(self.hosts) == 1 or self.key in _ONE_NUMBERING or self._ids_are_unique_anywhere)
            and self._is_bound_to_its_sites(patterns)
            and (self._ids_are_unique_anywhere or not self._ids_depend_on_what_precedes(patterns))
        )

    def _names_its_videos(self) -> bool:
        """Whether the URL alone always gave the id that extraction gave."""
        tested = [test for test in self.tests if "id" in (test.get("info_dict") or {})]
        return bool(tested) and all(self.kind.get_temp_id(test["url"]) == test["info_dict"]["id"] for test in tested)

    @cached_property
    def _ids_are_unique_anywhere(self) -> bool:
        """Whether nobody could have the same id by chance, on whatever site, for whatever user or course."""
        ids = [self.kind.get_temp_id(test["url"]) for test in self.tests]
        return bool(ids) and all(each is not None and unique_anywhere(each) for each in ids)

    def _prefixes(self, patterns: tuple[str, ...]) -> set[str]:
        """The paths before an id that certainly share one numbering: one path, and those that showed its ids again."""
        if self.key in _ONE_NUMBERING:
            return _ONE_NUMBERING[self.key]
        if len(self.hosts) > 1:
            return set()
        ids: dict[str, set[str]] = defaultdict(set)
        for found in filter(None, (_seen(patterns, test["url"]) for test in self.tests)):
            if named := whole_id(found):
                ids[prefix(found)].add(named)
        if not ids:
            return set()
        main = max(ids, key=lambda each: (len(ids[each]), each))
        return {each for each in ids if ids[each] & ids[main]}

    def _is_bound_to_its_sites(self, patterns: tuple[str, ...]) -> bool:
        return not any(
            _match(patterns, urlsplit(test["url"])._replace(netloc=host).geturl())
            for test in self.tests
            for host in (_NOWHERE, f"www.{_NOWHERE}", f"nowhere.{_site(test['url'])}.invalid")
        )

    def _ids_depend_on_what_precedes(self, patterns: tuple[str, ...]) -> bool:
        """Whether a part of the path before the id may be anything: then the id may count within that part only."""
        return any(_has_free_part(patterns, urlsplit(test["url"])) for test in self.tests)


def _has_free_part(patterns: tuple[str, ...], parts: SplitResult) -> bool:
    found = _match(patterns, parts.geturl())
    if found is None or "id" not in found.re.groupindex:
        return True
    named = found["id"]
    segments = parts.path.split("/")
    for place, segment in enumerate(segments):
        if named is None or named in segment:
            break
        if not segment:
            continue
        for other in ("xqzk", "7351", f"{segment}x"):
            path = "/".join([*segments[:place], other, *segments[place + 1 :]])
            again = _match(patterns, parts._replace(path=path).geturl())
            if again is not None and again["id"] == named:
                return True
    return False


def table() -> dict[str, Any]:
    """What belongs into `sites.json`: for each site its extractors, and for each extractor its patterns.

    A site that has a trusted extractor also lists every other one that takes URLs there, as far as any test shows.
    """
    every = [each for each in _extractors() if each.tests and each.kind._VALID_URL]
    urls: dict[str, set[str]] = defaultdict(set)
    for each in every:
        for test in each.tests:
            urls[_site(test["url"])].add(test["url"])
    at = {host for each in every if each.rule.trusted for host in each.hosts}
    hosts = {host: [each for each in every if _takes(each, host, urls[host])] for host in sorted(at)}
    hosts = {host: found for host, found in hosts.items() if _holds([each.rule for each in found], urls[host])}
    used = {each.key: each.rule for found in hosts.values() for each in found}
    return {
        "made_from": f"yt-dlp {__version__}",
        "hosts": {host: sorted(each.key for each in found) for host, found in hosts.items()},
        "extractors": {
            key: {"trusted": rule.trusted, "prefixes": list(rule.prefixes), "patterns": list(rule.patterns)}
            for key, rule in sorted(used.items())
        },
    }


def _takes(extractor: Extractor, host: str, urls: Iterable[str]) -> bool:
    return host in extractor.hosts or any(extractor.rule.match(url) for url in urls)


def _holds(rules: list[Rule], urls: Iterable[str]) -> bool:
    """Whether the site's rules name any video at all as they are applied."""
    return any(named_by(rules, urlsplit(url)) for url in urls)


def text() -> str:
    """The file's content."""
    return json.dumps(table(), indent=1, ensure_ascii=True) + "\n"


def _extractors() -> Iterator[Extractor]:
    for name, kind in vars(all_extractors).items():  # the lazy ones come without their tests
        if name.endswith("IE") and name != "GenericIE":
            yield Extractor(kind)


def _overrides(kind: type[InfoExtractor], name: str) -> bool:
    return getattr(kind, name).__func__ is not getattr(InfoExtractor, name).__func__


def _is_live(test: dict[str, Any]) -> bool:
    """Whether it may be a channel: what it shows now is not what it shows tomorrow."""
    info = test.get("info_dict") or {}
    return bool(info.get("is_live")) or info.get("live_status") in ("is_live", "is_upcoming")


def _seen(patterns: tuple[str, ...], url: str) -> re.Match[str] | None:
    """The match in the form in which the rules will be applied."""
    plain = without_noise(urlsplit(url))
    return None if plain is None else _match(patterns, plain.geturl())


def _match(patterns: tuple[str, ...], url: str) -> re.Match[str] | None:
    return next((found for each in patterns if (found := re.match(each, url))), None)


def _site(url: str) -> str:
    return same_site((urlsplit(url).hostname or "").rstrip("."))


def _is_http(url: str) -> bool:
    try:
        return urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        return False


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE} is written.\n")
