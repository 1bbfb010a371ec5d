"""Words for tests that fetch through the guard."""

from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.egress import EgressPolicy, parse_allow
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.fetching import Fetched, FetchOptions
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer

CLIP = SAMPLE.read_bytes()
CERTIFICATE = Path(__file__).parents[2] / "source_server" / "self_signed.pem"
BROWSERS = pytest.mark.parametrize("impersonate", [None, "chrome"])


def only(server: SourceServer, **more: Any) -> EgressPolicy:
    return EgressPolicy(allow=parse_allow(server.url("").removeprefix("http://")), **more)


def fetch(url: str, folder: Path, server: SourceServer, **options: Any) -> Fetched:
    usual: dict[str, Any] = {"egress": only(server), "retries": 1}
    fetched = fetch_url(url, folder, FetchOptions(**usual | options))
    assert isinstance(fetched, Fetched)
    return fetched


def refusal(url: str, folder: Path, server: SourceServer, **options: Any) -> str:
    """The code of the permanent failure that the fetch must end with."""
    with pytest.raises(IngestError) as raised:
        fetch(url, folder, server, **options)
    assert raised.value.failure_class is FailureClass.PERMANENT
    return raised.value.code
