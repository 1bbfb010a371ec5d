"""What a materialization shows in the Dagster UI: pure functions of what was measured and decided.

One function for each asset and the words that they share. Nothing here reads a file, a table or the network, and
definitions import it, so it imports nothing heavy.
"""

from narralytica_ingest.shown.artifacts import shown_audio, shown_metadata, shown_original
from narralytica_ingest.shown.pictures import INLINE_BYTES, inline_picture, picture_at
from narralytica_ingest.shown.tables import tables

__all__ = [
    "INLINE_BYTES",
    "inline_picture",
    "picture_at",
    "shown_audio",
    "shown_metadata",
    "shown_original",
    "tables",
]
