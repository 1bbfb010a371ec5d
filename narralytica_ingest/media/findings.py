"""Findings: what is wrong with a media file, and whether that ends the ingest or is only recorded.

What belongs here: the codes, what each means, and the verdicts. Measuring belongs to the modules that make a `Finding`.
A finding that fails is the failure of the same code (permanent); one that is recorded stands in the media file's facts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from narralytica_ingest.failures import failure

Verdict = Literal["fail", "warn"]


@dataclass(frozen=True)
class Finding:
    """Something wrong that was noticed: a code of `FINDINGS`, and one sentence with the figures."""

    code: str
    message: str


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its usual verdict and why. `fixed`: no setting can change it."""

    verdict: Verdict
    reason: str
    fixed: bool = False


FINDINGS: Mapping[str, Kind] = MappingProxyType(
    {
        "truncated_media": Kind(
            "fail",
            "What is missing is missing from everything made of it, and a download that broke off looks the same.",
            fixed=True,
        ),
        "no_audio_stream": Kind("fail", "There is nothing to make a track of.", fixed=True),
        "empty_track": Kind("fail", "A track without a single sample is no track.", fixed=True),
        "damaged_media": Kind(
            "warn",
            "Some places that cannot be decoded leave the rest of the speech; where too much is lost, the failure is "
            "`undecodable_media`, whatever is set here.",
        ),
        "gaps": Kind(
            "warn",
            "Live recordings and streams have holes at their source too, so fetching again mends nothing; silence "
            "takes their place, and every later second keeps its time.",
        ),
        "duration_differs": Kind(
            "warn",
            "Nothing is missing: a header is wrong or only estimates, or sound and picture do not end together.",
        ),
        "silent_track": Kind(
            "warn",
            "A silent film or a screencast is a whole video: its original and metadata are of use, and who transcribes "
            "can see that there is nothing to hear.",
        ),
        "clipped": Kind("warn", "The recording itself is overdriven; it can mostly be understood all the same."),
    }
)
"""Every kind of finding, the gravest first."""

_ORDER = {code: place for place, code in enumerate(FINDINGS)}


def judge(findings: Iterable[Finding], verdicts: Mapping[str, Verdict] = MappingProxyType({})) -> list[Finding]:
    """The findings that are only to be recorded, without repetitions, the gravest first.

    `verdicts` replaces the usual verdict by code. Raises the IngestError of the gravest finding whose verdict is
    "fail"; KeyError for an unknown code.
    """
    ordered = sorted(dict.fromkeys(findings), key=lambda each: _ORDER[each.code])
    for each in ordered:
        if verdict_on(each.code, verdicts) == "fail":
            raise failure(each.code, each.message)
    return ordered


def verdict_on(code: str, verdicts: Mapping[str, Verdict] = MappingProxyType({})) -> Verdict:
    """What becomes of a finding. Raises KeyError for an unknown code."""
    kind = FINDINGS[code]
    return kind.verdict if kind.fixed else verdicts.get(code, kind.verdict)


def require_changeable(verdicts: Mapping[str, Verdict]) -> None:
    """Raises ValueError where `verdicts` names an unknown code or would let one pass whose verdict is fixed."""
    open_codes = [code for code, kind in FINDINGS.items() if not kind.fixed]
    for code, verdict in verdicts.items():
        if code not in FINDINGS:
            raise ValueError(f"no finding is called {code}; there are {', '.join(open_codes)}")
        if verdict != verdict_on(code, verdicts):
            raise ValueError(f"{code} always fails; {', '.join(open_codes)} can be set")
