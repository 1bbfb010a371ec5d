"""The real ffmpeg: confined to its file even without its own whitelists, in every call of the package."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.media import process, run, sandbox
from narralytica_ingest.media.audio import extract_audio
from narralytica_ingest.media.integrity import inspect, packet_hashes
from narralytica_ingest.media.preview import preview_of_thumbnail, preview_of_video
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.profiles import PROFILES
from narralytica_ingest.media.remux import join_streams
from narralytica_ingest.media.run import Tool, run_tool
from narralytica_ingest.media.sandbox import Reach
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.media.tracks import choose
from narralytica_ingest_tests.integration.sandbox.lab import Lab
from narralytica_ingest_tests.source_server import SAMPLE

SOUND = bytes(range(256)) * 64

PROTOCOLS = {
    "another file": "file:{neighbour}",
    "two files as one": "concat:{input}|{neighbour}",
    "a part of a file": "subfile,,start,0,end,100000,,:{neighbour}",
    "encrypted": "crypto:{neighbour}",
    "a web address": "http://127.0.0.1:{tcp}/sound.wav",
    "an address of TCP": "tcp://127.0.0.1:{tcp}",
    "a socket": "unix:{path}",
}
SENDS = {
    "another file": "file:{folder}/other",
    "an address of TCP": "tcp://127.0.0.1:{tcp}",
    "an address of UDP": "udp://127.0.0.1:{udp}",
    "a socket": "unix:{path}",
}
REFUSED = "Permission denied|Operation not permitted"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_ffmpeg_reaches_nothing_even_without_its_own_whitelists(name: str, lab: Lab, reach: Reach) -> None:
    """All of these are refused by `-protocol_whitelist`, too; here it is left out."""
    for path in (lab.target.neighbour, lab.target.input):
        path.write_bytes(SOUND)
    url = PROTOCOLS[name].format_map(vars(lab.target))
    key = ["-key", "0" * 32, "-iv", "0" * 32] if name == "encrypted" else []
    options = [*key, "-f", "s16le", "-ar", "16000", "-ac", "1", "-rw_timeout", "200000"]
    command: list[str | Path] = [find_tools().ffmpeg, "-v", "error", "-nostdin", "-y", *options, "-i", url]
    command += ["-f", "wav", f"file:{lab.target.output}"]
    done = run_tool(command, timeout=30, reach=reach)
    assert done.returncode != 0
    assert re.search(REFUSED, done.stderr), done.stderr
    assert not lab.visited()
    assert lab.target.output.read_bytes() == b""
    done = run_tool(command, timeout=30, reach=replace(reach, mode="off"))
    assert lab.visited() or lab.target.output.stat().st_size > len(SOUND) // 2, done.stderr


@pytest.mark.parametrize("name", SENDS)
def test_ffmpeg_sends_nothing_away(name: str, lab: Lab, reach: Reach) -> None:
    lab.target.input.write_bytes(SOUND)
    url = SENDS[name].format_map(vars(lab.target))
    options = ["-f", "s16le", "-ar", "16000", "-ac", "1", "-i", f"file:{lab.target.input}", "-f", "s16le"]
    command: list[str | Path] = [find_tools().ffmpeg, "-v", "error", "-nostdin", "-y", *options, url]
    done = run_tool(command, timeout=30, reach=reach)
    assert done.returncode != 0
    assert re.search(REFUSED, done.stderr), done.stderr
    assert not lab.visited()
    assert not (lab.target.folder / "other").exists()
    run_tool(command, timeout=30)
    assert lab.visited() or (lab.target.folder / "other").read_bytes() == SOUND


@dataclass
class Counted:
    """How often somebody went in, of those who were asked for a reach."""

    real: Callable[[Path, Reach], AbstractContextManager[Any]]
    entered: int = 0

    def __call__(self, program: Path, reach: Reach) -> AbstractContextManager[Any]:
        self.entered += reach.mode == "required"
        return self.real(program, reach)


def test_every_call_for_a_strangers_file_is_confined_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the package does with a file: each call reads that file alone, and writes what it is asked for."""
    tools, seen = replace(find_tools(), sandbox="required"), list[Tool]()
    real = process.started

    def note(command: Sequence[str | Path], reach: Reach | None, *rest: Any) -> AbstractContextManager[Any]:
        seen.append(Tool(command, reach=reach))
        return real(command, reach, *rest)

    monkeypatch.setattr(run, "started", note)
    monkeypatch.setattr(process, "entrance", counted := Counted(sandbox.entrance))
    measured = probe(SAMPLE, tools, audio_needed=True)
    assert inspect(SAMPLE, measured, tools) == []
    assert packet_hashes(SAMPLE, tools)
    joined = join_streams([SAMPLE], tmp_path, tools)
    assert preview_of_video(SAMPLE, asdict(measured), tmp_path, tools, 10_000)
    (picture := tmp_path / "picture.webp").write_bytes(
        preview_of_video(SAMPLE, asdict(measured), tmp_path, tools, 10_000) or b""
    )
    assert preview_of_thumbnail(picture, tmp_path, tools, 10_000)
    folder = tmp_path / "tracks"
    folder.mkdir()
    made = extract_audio(SAMPLE, measured, choose(measured)[0], list(PROFILES), folder, tools)
    assert len(made) == len(PROFILES)
    allowed = {SAMPLE, picture}
    versions = [tool for tool in seen if list(tool.command)[1:] == ["-version"]]
    strangers = [tool for tool in seen if tool not in versions]
    assert len(strangers) >= 14
    assert counted.entered == len(strangers)
    for tool in strangers:
        assert tool.reach is not None
        assert tool.reach.mode == "required"
        assert all(path in allowed or tmp_path in path.parents for path in tool.reach.reads)
        assert all(tmp_path in path.parents for path in tool.reach.writes)
        assert "-max_alloc" in tool.command
        words = [str(each) for each in tool.command]
        inputs = words.count("-i") or 1
        for option in ("-protocol_whitelist", "-format_whitelist"):
            assert words.count(option) == inputs
    assert sorted(path.name for path in tmp_path.iterdir()) == [joined.name, picture.name, folder.name]
