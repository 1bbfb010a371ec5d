"""Safe resume of HLS and DASH: no fragment is missing, appended twice, or of another list."""

from pathlib import Path

import pytest

from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.integrity import packet_hashes
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.run import run_tool
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest_tests.integration.resume.attempts import (
    BODY,
    NEW,
    OLD,
    OTHER,
    PLAYLIST,
    SEGMENTED,
    SIZE,
    content,
    fetch,
    fetch_until,
    playlist,
    segments,
)
from narralytica_ingest_tests.source_server import SAMPLE, SourceServer


@pytest.mark.parametrize("path", SEGMENTED)
def test_fragments_that_were_appended_are_not_fetched_again_but_for_the_last(
    server: SourceServer, folder: Path, tmp_path: Path, tools: MediaTools, path: str
) -> None:
    fetch_until(server.url(path), folder, 200_000)
    before = server.requests.copy()
    fetched = fetch(server.url(path), folder)
    asked = server.requests - before
    segments = {name for name in server.requests if name.endswith((".ts", ".m4s"))}
    assert sum(asked[name] for name in segments) <= len(segments) - 1
    assert any(not asked[name] for name in segments)
    assert packet_hashes(join_streams(fetched.parts, tmp_path, tools), tools) == packet_hashes(SAMPLE, tools)


def test_fragments_with_new_content_under_their_old_names_are_fetched_anew(server: SourceServer, folder: Path) -> None:
    url = segments(server, *OLD)
    fetch_until(url, folder, 1_000_000)
    assert content(fetch(segments(server, *NEW), folder)) == b"".join(NEW)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["0.ts", "1.ts", "2.ts", "3.ts", "4.ts"], False),
        (["0.ts", "2.ts", "1.ts", "3.ts", "4.ts", "5.ts"], False),
        (["0.ts?expires=9&sig=x", *(f"{number}.ts?expires=9&sig=x" for number in range(1, 6))], True),
    ],
    ids=["shorter", "another order", "signed anew"],
)
def test_another_list_of_fragments_is_another_file(
    server: SourceServer, folder: Path, names: list[str], kept: bool
) -> None:
    url = segments(server, *OLD)
    fetch_until(url, folder, 1_000_000)
    before = server.requests["/list/0.ts"]
    playlist(server, *names)
    assert content(fetch(url, folder)) == b"".join(OLD[int(name[0])] for name in names)
    assert (server.requests["/list/0.ts"] == before) is kept


def test_a_kill_between_appending_a_fragment_and_writing_that_down_appends_it_once(
    server: SourceServer, folder: Path
) -> None:
    url = segments(server, *OLD)
    fetch_until(url, folder, 1_000_000)
    with (folder / "source-0.mp4.part").open("ab") as part:
        part.write(OLD[3])
    assert content(fetch(url, folder)) == b"".join(OLD)
    assert server.requests["/list/0.ts"] == 1


@pytest.mark.parametrize("size", [0, None])
def test_an_empty_or_missing_fragment_is_a_failure(server: SourceServer, folder: Path, size: int | None) -> None:
    url = segments(server, *OLD)
    server.add("/list/3.ts", b"") if size == 0 else server.add_error("/list/3.ts", 410)
    with pytest.raises(IngestError) as raised:
        fetch(url, folder)
    assert raised.value.code == ("empty_response" if size == 0 else "not_found")
    assert not (folder / "source-0.mp4").exists()


def test_a_fragment_that_is_cut_time_and_again_is_gone_on_with(server: SourceServer, folder: Path) -> None:
    url = segments(server, BODY, OTHER)
    server.resources["/list/1.ts"].cuts = [300_000]
    assert content(fetch(url, folder)) == BODY + OTHER
    assert server.sent["/list/1.ts"] < SIZE * 1.5


def test_an_encrypted_stream_is_decrypted_and_resumed(
    server: SourceServer, folder: Path, tmp_path: Path, tools: MediaTools
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "key").write_bytes(bytes(range(16)))
    (source / "key.info").write_text(f"{server.url('/key')}\n{source / 'key'}\n")
    options = ["-c", "copy", "-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]
    command: list[str | Path] = [tools.ffmpeg, "-v", "error", "-i", SAMPLE, *options]
    command += ["-hls_key_info_file", source / "key.info", source / "index.m3u8"]
    assert run_tool(command, timeout=30).returncode == 0
    server.add("/key", bytes(range(16)))
    for path in source.glob("index*"):
        server.add(f"/secret/{path.name}", path.read_bytes(), content_type=PLAYLIST if ".m3u8" in path.name else "x/y")
    url = server.url("/secret/index.m3u8")
    fetch_until(url, folder, 200_000)
    assert packet_hashes(fetch(url, folder).parts[0], tools) == packet_hashes(SAMPLE, tools)
    assert server.requests["/secret/index0.ts"] == 1
    server.add("/key", bytes(16))
    with pytest.raises(IngestError, match="decryption_failed"):
        fetch(url, tmp_path / "with the wrong key")
