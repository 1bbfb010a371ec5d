"""Whatever a source does, a file is one of the served contents in whole."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.fetching import FetchEvents, Progress
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest_tests.integration.resume.attempts import (
    BODY,
    LYING,
    NO_PROOF,
    STEADY,
    Stop,
    content,
    fetch,
    segments,
    serve,
)
from narralytica_ingest_tests.source_server import SourceServer, lab_options

_size = st.integers(1, 400_000)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_cut_and_swapped_the_result_is_one_of_the_contents_in_whole(
    server: SourceServer, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("mix")
    sizes = data.draw(st.lists(_size, min_size=1, max_size=3), "sizes")
    same = data.draw(st.booleans(), "same size")
    served = [random.Random(number).randbytes(sizes[0] if same else size) for number, size in enumerate(sizes)]
    order = data.draw(st.lists(st.integers(0, len(served) - 1), min_size=1, max_size=8), "order")
    bodies = [served[number] for number in order]
    segmented = data.draw(st.booleans(), "segmented")
    properties: dict[str, Any] = {
        "cuts": [*data.draw(st.lists(st.none() | _size, max_size=7), "cuts"), None],
        "ranges": data.draw(st.booleans(), "ranges"),
        "honours_if_range": data.draw(st.booleans(), "honours"),
        **data.draw(st.sampled_from([{}, {"etag": False}, NO_PROOF, STEADY, LYING]), "validators"),
    }
    server.requests.clear()
    if not segmented:
        url, wholes = serve(server, *bodies, **properties), served
    else:
        url = segments(server, BODY[:1000], b"", BODY[:500])
        server.add("/list/1.ts", *bodies, **properties)
        wholes = [BODY[:1000] + each + BODY[:500] for each in served]
    for _ in range(12):
        stop = data.draw(st.none() | _size, "stop")
        try:
            if stop is None:
                assert content(fetch(url, folder, retries=0)) in wholes
                return
            fetch_url(url, folder, lab_options(), FetchEvents(stopper(stop)))
        except (IngestError, Stop):
            continue


def stopper(count: int) -> Any:
    def stop(now: Progress) -> None:
        if now.bytes >= count:
            raise Stop

    return stop
