"""Pictures for the UI, as Markdown.

Dagster has no metadata type for pictures. Its UI draws Markdown in place if it has fewer than 1,000 characters, and
puts what is longer behind a "[Show Markdown]"; pictures may come from http(s) and from `data:` URIs. So a picture is
either small enough to be in the event log itself, where it needs no server and no signature, or it is a link.
"""

from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import quote

import dagster as dg

INLINE_CHARACTERS = 1_000
"""Markdown is drawn in place below this length (dagster-webserver 1.13)."""
INLINE_BYTES = 690
"""What a picture may have to stay below that, in base64 and with its name."""
_BARS = 100
_HALF = 40  # the waveform's height above its middle, in units of the drawing
_SAFE = "/:=',+"  # needs no escape in the URL of a picture in Markdown


def picture_at(url: str, what: str) -> dg.MarkdownMetadataValue:
    """A picture that the browser fetches. `what` is our own word for it: it is read as Markdown."""
    return dg.MetadataValue.md(f"![{what}]({quote(url, safe=_SAFE + '?&%~+@#;')})")


def inline_picture(content: bytes, content_type: str, what: str) -> dg.MarkdownMetadataValue | None:
    """A picture within the event log; None if it is too large to be shown in place."""
    text = f"![{what}](data:{content_type};base64,{b64encode(content).decode()})"
    return dg.MetadataValue.md(text) if len(text) < INLINE_CHARACTERS else None


def waveform(peaks: Sequence[float]) -> dg.MarkdownMetadataValue | None:
    """The envelope of a sound, drawn from its peaks (0 to 1, in the order of time), as an SVG in the event log."""
    if not peaks:
        return None
    heights = [round(min(max(peak, 0.0), 1.0) * _HALF) for peak in _resampled(peaks)]
    # One outline of relative steps and its mirror image: at most five characters a peak keep it below the limit.
    steps = ",".join(f"1{below - height:+d}" for below, height in pairwise([0, *heights, 0]))
    drawing = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='500' height='{2 * _HALF}' preserveAspectRatio='none'"
        f" viewBox='0,-{_HALF},{len(heights) + 1},{2 * _HALF}' fill='#67c'><path id='a' d='M0-1l{steps}V1H0z'/>"
        "<use href='#a' transform='scale(1-1)'/></svg>"
    )
    return dg.MetadataValue.md(f"![waveform](data:image/svg+xml,{quote(drawing, safe=_SAFE)})")


def _resampled(peaks: Sequence[float]) -> list[float]:
    """At most _BARS values: each the highest of its stretch, so that no peak is lost."""
    bars = min(_BARS, len(peaks))
    edges = [index * len(peaks) // bars for index in range(bars + 1)]
    return [max(peaks[start:end]) for start, end in pairwise(edges)]
