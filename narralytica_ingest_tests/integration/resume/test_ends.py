"""Downloads whose process was killed, or whose machine was restarted, go on where they may."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from narralytica_ingest.media.integrity import packet_hashes
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.sources import part_file
from narralytica_ingest.sources.checkpoint import load_checkpoint
from narralytica_ingest.sources.ytdlp.piece import OVERLAP
from narralytica_ingest_tests.integration.resume.attempts import (
    BODY,
    MEDIA,
    PAGE,
    SEGMENTED,
    SIZE,
    content,
    fetch,
    fetch_until,
    partial_size,
    serve,
)
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer


@pytest.mark.parametrize("path", [PAGE, "/hls/high.m3u8"])
def test_after_a_restart_of_the_machine_only_what_was_synced_is_trusted(
    server: SourceServer, folder: Path, streams: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(part_file, "SYNC_SECONDS", 0.0)
    serve(server, BODY)
    for resource in server.resources.values():
        resource.rate = 4e6 if path == PAGE else 1e6
    expected = BODY if path == PAGE else hls_content(streams)
    done = fetch_until(server.url(path), folder, len(expected) * 4 // 5)
    part = next(each for each in folder.iterdir() if each.suffix == ".part")
    saved = load_checkpoint(part.with_suffix(".checkpoint"))
    assert saved is not None
    assert 0 < saved.synced.size <= done
    with part.open("r+b") as file:  # the blocks behind it never reached the disk
        file.seek(saved.synced.size)
        file.write(bytes(done - saved.synced.size))
    monkeypatch.setattr(part_file, "boot_id", lambda: "another boot")
    for resource in server.resources.values():
        resource.rate = None
    before = server.sent.copy()
    assert content(fetch(server.url(path), folder)) == expected
    sent = server.sent - before
    assert sent[MEDIA] < len(BODY) if path == PAGE else not sent["/hls/high-0.ts"]


def hls_content(streams: Path) -> bytes:
    parts = sorted(streams.glob("hls/high-*.ts"), key=lambda path: int(path.stem.split("-")[1]))
    return b"".join(path.read_bytes() for path in parts)


ATTEMPT = """
import sys
from pathlib import Path
from narralytica_ingest.sources import ytdlp
from narralytica_ingest_tests.integration.resume.attempts import KnowingDownloader, SiteIE
from narralytica_ingest_tests.source_server import lab_options
ytdlp.Downloader = KnowingDownloader
SiteIE.formats = ({"url": sys.argv[3], "ext": "mp4", "format_id": "1"},)
ytdlp.fetch_url(sys.argv[1], Path(sys.argv[2]), lab_options())
"""


@pytest.mark.parametrize(("path", "enough"), [(PAGE, 1_000_000), *((path, 150_000) for path in SEGMENTED)])
def test_after_kill_9_the_download_goes_on(
    server: SourceServer, folder: Path, tmp_path: Path, tools: MediaTools, path: str, enough: int
) -> None:
    serve(server, BODY)
    for resource in server.resources.values():
        resource.rate = 1e6 if path == PAGE else 100_000
    process = subprocess.Popen([sys.executable, "-c", ATTEMPT, server.url(path), str(folder), server.url(MEDIA)])
    try:
        until = time.monotonic() + 30
        while partial_size(folder) < enough and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    there = partial_size(folder)
    assert there >= enough
    for resource in server.resources.values():
        resource.rate = None
    before = server.sent.copy()
    fetched = fetch(server.url(path), folder)
    sent = server.sent - before
    if path == PAGE:
        assert content(fetched) == BODY
        assert sent[MEDIA] <= SIZE - there + 2 * OVERLAP + 100_000, "what the killed one was just being sent"
    else:
        assert packet_hashes(join_streams(fetched.parts, tmp_path, tools), tools) == packet_hashes(SAMPLE, tools)
        assert any(not sent[name] for name in before if name.endswith((".ts", ".m4s")))
