"""Who minds how slowly a body comes."""

import io
from itertools import count

import pytest

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.meter import Meter
from narralytica_ingest.sources.ytdlp.body import Body


def dripping() -> Body:
    """A body of which ten bytes take ten minutes, at a limit of a byte per second."""
    seconds = count(0, 60)
    return Body(io.BytesIO(bytes(10)), Meter(1.0, 20.0, clock=lambda: float(next(seconds))))


def test_a_page_that_drips_is_given_up() -> None:
    with pytest.raises(IngestError) as raised:
        dripping().read(10)
    assert raised.value.code == "too_slow"


def test_how_slow_media_may_be_is_not_decided_here_for_it_is_a_setting() -> None:
    body = dripping()
    body.at_once = True
    assert body.read(10) == bytes(10)
