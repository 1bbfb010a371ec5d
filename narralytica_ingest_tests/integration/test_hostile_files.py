"""Files that strangers made to do harm: each ends soon and with a verdict, and touches nothing but itself.

Each goes the real way (`hostile/journey.py`) beside a server that must not be asked and a file that must not be read.
"""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from narralytica_ingest.failures import CATALOGUE, FailureClass
from narralytica_ingest.intake import Intake
from narralytica_ingest.media.tools import MediaTools
from narralytica_ingest.store import jobs
from narralytica_ingest_tests.corpus.workshop import ffmpeg_of_the_wheel
from narralytica_ingest_tests.hostile import HOSTILE
from narralytica_ingest_tests.hostile.fuzz import broken
from narralytica_ingest_tests.hostile.journey import Journey, travel
from narralytica_ingest_tests.hostile.model import SECRET, Ground, Hostile
from narralytica_ingest_tests.in_process import Installation
from narralytica_ingest_tests.source_server import SAMPLE

SOON = 30.0  # seconds on the wall, of a machine that has other work; most take a tenth of one
SLOW = 100.0
TOOL_MEMORY = 1 << 30
OWN_MEMORY = 100 << 20
TRACK_BYTES = 8 << 20
# What a broken file may end with: a verdict on the file, never a crash, and nothing that would be tried again.
VERDICTS = {code for code, known in CATALOGUE.items() if known.failure_class is FailureClass.PERMANENT}
WHOLE_WAY = (
    "stts-eternity.mov", "dref-alias.mov", "rmra.mov", "tags-odd.mov", "hole-20-hours.mkv", "styled.mkv", "hours.flac",
    "unknown.au", "list.mp4", "list.ffconcat", "page-before-movie.mov", "script.asf",
)  # fmt: skip


class Canary:
    """A server that counts who connects."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    running = Canary()
    yield running
    running.close()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, canary: Canary) -> Ground:
    base = tmp_path_factory.mktemp("ground")
    material, secret = base / "material", base / "secret.txt"
    material.mkdir()
    secret.write_text(SECRET)
    return Ground(ffmpeg_of_the_wheel(), material, canary.url, secret)


def sent(name: str, body: bytes, folder: Path, tools: MediaTools) -> Journey:
    """A file's journey."""
    path, out = folder / name, folder / "out"
    path.write_bytes(body)
    out.mkdir()
    return travel(path, out, replace(tools, timeout=60.0))


@pytest.mark.parametrize(
    "hostile", [pytest.param(each, id=each.name, marks=[pytest.mark.thorough] * each.slow) for each in HOSTILE]
)
def test_a_hostile_file_ends_soon_with_a_verdict_and_touches_nothing_else(
    hostile: Hostile, ground: Ground, canary: Canary, tools: MediaTools, tmp_path: Path
) -> None:
    journey = sent(hostile.name, hostile.make(ground), tmp_path, tools)
    assert journey.end in hostile.ends, journey
    assert journey.end == "succeeded" or journey.end in VERDICTS or hostile.slow
    assert journey.took < (SLOW if hostile.slow else SOON)
    assert journey.tools_memory < TOOL_MEMORY
    assert journey.own_memory < OWN_MEMORY
    assert journey.seconds <= hostile.seconds
    assert journey.bytes_out < TRACK_BYTES
    assert journey.strays == []
    assert canary.connections == 0
    assert SECRET not in journey.said
    assert str(tmp_path) not in journey.said
    tracks = b"".join(each.read_bytes() for each in (tmp_path / "out").glob("*.flac"))
    assert SECRET.encode() not in tracks


def test_there_are_enough_of_them() -> None:
    names = [each.name for each in HOSTILE]
    assert len(set(names)) == len(names) >= 100


def test_the_canary_and_the_clip_are_what_they_should_be(ground: Ground, tools: MediaTools, tmp_path: Path) -> None:
    """The control: the canary counts, and a good file goes the same way."""
    canary = Canary()
    with socket.create_connection(("127.0.0.1", int(canary.url.rpartition(":")[2]))) as asking:
        assert asking.recv(1) == b""
    canary.close()
    assert canary.connections == 1
    journey = sent("good.mp4", SAMPLE.read_bytes(), tmp_path, tools)
    assert (journey.end, round(journey.seconds)) == ("succeeded", 12)


def test_a_folder_may_be_called_anything(ground: Ground, tools: MediaTools, tmp_path: Path) -> None:
    """Names are data: a file's path has no meaning for ffmpeg, its filters and its muxers."""
    plain, odd = tmp_path / "plain", tmp_path / r"it's [f=flac]|%03d $(touch x) `touch y`;\,:={url}'"
    for folder in (plain, odd):
        folder.mkdir()
    body = ground.clip("plain.mp4")
    journeys = [sent("-i concat:a|b.mp4", body, folder, tools) for folder in (plain, odd)]
    assert [each.end for each in journeys] == ["succeeded", "succeeded"]
    assert [each.strays for each in journeys] == [[], []]
    tracks = [next((folder / "out").glob("*.flac")).read_bytes() for folder in (plain, odd)]
    assert tracks[0] == tracks[1]


def ends(files: Sequence[tuple[str, bytes]], folder: Path, tools: MediaTools) -> dict[str, Journey]:
    """The journeys of many files."""
    journeys = {}
    for name, body in files:
        (folder / name).mkdir()
        journeys[name] = sent("file", body, folder / name, tools)
    return journeys


def require_verdicts(journeys: dict[str, Journey]) -> None:
    allowed = VERDICTS | {"succeeded"}
    assert {name: (each.end, each.said) for name, each in journeys.items() if each.end not in allowed} == {}
    assert {name: each.took for name, each in journeys.items() if each.took > SOON} == {}
    assert {name: each.strays for name, each in journeys.items() if each.strays} == {}
    assert max(each.tools_memory for each in journeys.values()) < TOOL_MEMORY


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "plain.ogg"])
def test_a_file_may_be_cut_off_anywhere(name: str, ground: Ground, tools: MediaTools, tmp_path: Path) -> None:
    whole = ground.clip(name)
    places = [0, 1, 7, 40, *(len(whole) * share // 8 for share in range(1, 8)), len(whole) - 1]
    require_verdicts(ends([(str(place), whole[:place]) for place in places], tmp_path, tools))


@pytest.mark.parametrize(
    "seeds",
    [
        range(30),
        pytest.param(range(1_000, 1_100), marks=pytest.mark.slow),
        *(pytest.param(range(n, n + 100), marks=pytest.mark.thorough) for n in range(1_100, 1_500, 100)),
    ],
    ids=lambda seeds: f"from-{seeds.start}",
)
def test_broken_files_end_with_a_verdict(seeds: range, ground: Ground, tools: MediaTools, tmp_path: Path) -> None:
    require_verdicts(ends([broken(ground, seed) for seed in seeds], tmp_path, tools))


@pytest.mark.parametrize(
    "names", [WHOLE_WAY[:4], pytest.param(WHOLE_WAY[4:], marks=pytest.mark.slow)], ids=["some", "others"]
)
def test_hostile_files_harm_no_job_beside_them(
    names: Sequence[str], ground: Ground, canary: Canary, place: Installation
) -> None:
    chosen = [each for each in HOSTILE if each.name in names]
    assert len(chosen) == len(names)
    refs = {each.name: upload(place, each.name, each.make(ground)) for each in chosen}
    innocent = upload(place, "innocent.mp4", SAMPLE.read_bytes())
    Intake(place.settings, place.endpoints).admit()
    while place.work():
        pass
    assert place.job(innocent)["status"] == "succeeded"
    for each in chosen:
        job = place.job(refs[each.name])
        assert (job["error_code"] or job["status"]) in each.ends
        assert job["status"] in ("succeeded", "failed")
    assert canary.connections == 0
    stored = b"".join(
        place.s3.get_object(Bucket=place.settings.s3_bucket, Key=key)["Body"].read() for key in place.objects()
    )
    assert SECRET.encode() not in stored
    told = place.database.all("SELECT row_to_json(m)::text AS told FROM media_files m")
    assert not [each for each in told if SECRET in each["told"]]
    scratch = place.settings.home / "scratch"
    assert [each for each in scratch.rglob("*") if each.is_file()] == []


def upload(place: Installation, name: str, body: bytes) -> UUID:
    """A job for a file that somebody has uploaded."""
    bucket, key = place.settings.s3_upload_bucket, f"hostile/{name}"
    place.s3.put_object(Bucket=bucket, Key=key, Body=body)
    with place.database.transaction() as connection:
        return jobs.insert(connection, jobs.JobRequest(upload_ref=f"s3://{bucket}/{key}"))
