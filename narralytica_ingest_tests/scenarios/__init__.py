"""The table of fetch scenarios: what the web does, and what must come out.

`files` are single files and pages, `segments` HLS and DASH, `youtube` a site with a choice of formats, `refusals` what
is no video (yet). `integration/test_fetch_scenarios.py` runs them all.
"""

from narralytica_ingest_tests.scenarios import files, refusals, segments, youtube
from narralytica_ingest_tests.scenarios.model import Expands, Fails, Published, Scenario, Web

SCENARIOS: tuple[Scenario, ...] = (*files.TABLE, *segments.TABLE, *youtube.TABLE, *refusals.TABLE)

__all__ = ["SCENARIOS", "Expands", "Fails", "Published", "Scenario", "Web"]
