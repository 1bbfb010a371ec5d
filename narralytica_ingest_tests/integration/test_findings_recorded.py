"""What is wrong with an original stands in its media file, or ends its job: by setting, with the real run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.in_process import Installation
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer


@pytest.fixture
def url(tmp_path: Path, tools: MediaTools) -> Iterator[str]:
    """A video whose sound misses two seconds."""
    target = tmp_path / "hole.mp4"
    drop = ["-c", "copy", "-bsf:a", r"noise=drop=between(pts*tb\,3\,5)"]
    assert run_tool([tools.ffmpeg, "-nostdin", "-v", "error", "-i", SAMPLE, *drop, target], timeout=60).returncode == 0
    with SourceServer() as server:
        yield server.add("/hole.mp4", target.read_bytes(), content_type="video/mp4")


def test_a_finding_is_recorded_with_the_original(place: Installation, url: str) -> None:
    row = place.ingest(url)
    (finding,) = place.files(row["video_id"])["raw_video"]["facts"]["findings"]
    assert finding["code"] == "gaps"
    assert "1 hole, 2.0 s in all" in finding["message"]


def test_a_finding_fails_the_job_where_the_operator_wants_it_to(
    place: Installation, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_FINDING_VERDICTS", '{"gaps": "fail"}')
    place.submit(url)
    (job,) = place.work()
    assert (job["status"], job["error_class"], job["error_code"]) == ("failed", "permanent", "gaps")
    assert "2.0 s in all" in job["error_message"]
    assert place.files(job["video_id"]) == {}
    assert place.objects() == set()
