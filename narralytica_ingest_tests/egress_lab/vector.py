"""One attack: what a stranger submits, what his servers answer, and what has to become of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from narralytica_ingest_tests.egress_lab.places import PUBLIC

# Stands for the forbidden `host` or `host:port`, in the URL, in documents, and in what a site says.
ELSEWHERE = "ELSEWHERE"


@dataclass(frozen=True)
class Document:
    """What the public servers answer to a path; without it, whoever is asked serves what the path's ending promises."""

    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def filled(self, fill: Callable[[str], str]) -> "Document":
        """The same, with the target in its place."""
        headers = {name: fill(value) for name, value in self.headers.items()}
        return replace(self, body=fill(self.body), headers=headers)


@dataclass(frozen=True)
class Vector:
    """`url` is the job's. `target` takes the place of ELSEWHERE everywhere; `control` does so in the harmless copy of
    the attack, which must succeed; without one there is none.

    `code` is the failure's, None where the fetch must succeed all the same; `or_code` is what another release of
    Python, whose parser takes the URL, makes of it; `side_code` is that of the side file that
    is then missing. `said` is what an extractor tells of the video at `/site/...`. `names` are DNS names with the
    answers they give, one set of addresses after another (the last one stays). `access` is of Access, `policy` of
    EgressPolicy, `environment` is the worker's. `needs` are addresses and ports that the fetch may turn to besides the
    public ones.
    """

    name: str
    url: str
    documents: Mapping[str, Document] = field(default_factory=dict)
    target: str = "10.1.2.3"
    control: str | None = PUBLIC
    code: str | None = "blocked_address"
    or_code: str | None = None
    side_code: str | None = None
    said: Mapping[str, Any] | None = None
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    access: Mapping[str, str] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[tuple[str, int], ...] = ()

    def harmless(self) -> "Vector":
        """The same, pointing at a public address."""
        assert self.control is not None
        return replace(self, target=self.control, code=None, side_code=None)

    def filled(self, text: str) -> str:
        """The text with the target in its place."""
        return text.replace(ELSEWHERE, self.target)
