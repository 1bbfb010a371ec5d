"""Which of yt-dlp's extractors may be used.

What belongs here: the operator's two lists. yt-dlp has one of its own, by which a URL of a closed extractor goes to the
next one, at last to the generic one; here the extractor that takes the URL decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from narralytica_ingest.failures import failure


@dataclass(frozen=True)
class ExtractorLists:
    """Names in lower case, each with those named `name:…`. No allowed ones means all."""

    allowed: Sequence[str]
    denied: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.allowed or self.denied)

    def require(self, extractor: Any) -> None:
        """Raises IngestError `blocked_extractor` (permanent) for one that is closed; None is no extractor's URL."""
        if extractor is None:
            return
        names = {str(extractor.IE_NAME).lower(), str(extractor.ie_key()).lower()}
        if _any(self.denied, names) or (self.allowed and not _any(self.allowed, names)):
            raise failure("blocked_extractor")


def _any(listed: Sequence[str], names: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}:") for each in listed for name in names)
