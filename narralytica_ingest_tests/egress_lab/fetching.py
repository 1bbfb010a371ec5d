"""What happens in the worker's namespace: the real fetch path, and the proof that each canary could be reached."""

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from yt_dlp.extractor.common import InfoExtractor

from narralytica_ingest.egress import EgressPolicy
from narralytica_ingest.failures import IngestError
from narralytica_ingest.media.probe import probe
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import Access, Fetched, FetchOptions
from narralytica_ingest_tests.egress_lab import places
from narralytica_ingest_tests.egress_lab.vector import Vector
from narralytica_ingest_tests.egress_lab.words import Ask, Outcome
from narralytica_ingest_tests.own_sites import knowing


class SiteIE(InfoExtractor):  # type: ignore[misc]
    """A site whose extractor tells of its videos whatever the vector says."""

    _VALID_URL = r"https?://[^/]+/site/(?P<id>\w+)"
    said: dict[str, Any]

    def _real_extract(self, url: str) -> dict[str, Any]:
        return {"id": self._match_id(url), "title": "A video"} | json.loads(json.dumps(SiteIE.said))  # type: ignore[no-any-return]


def warm_up() -> None:
    """Loads what the first fetch would load."""
    from yt_dlp.extractor.generic import GenericIE

    assert GenericIE.suitable("http://example.com/")


def done(ask: Ask) -> Outcome:
    """Does what is asked."""
    if ask.vector is not None:
        return _fetch(ask.vector, ask.unguarded)
    if ask.script is not None:
        return Outcome(message=_run(ask.script, ask.unguarded))
    if ask.file is not None:
        return _measured(ask.file, ask.unguarded)
    return Outcome(unreachable=_unreachable())


def _fetch(vector: Vector, unguarded: bool) -> Outcome:
    """As a job would."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(mock.patch.dict(os.environ, {k: vector.filled(v) for k, v in vector.environment.items()}))
        stack.enter_context(_knowing(vector))
        if unguarded:
            stack.enter_context(_switched_off())
        options = FetchOptions(
            retries=0,
            socket_timeout=4.0,
            access=Access(**{name: vector.filled(value) for name, value in vector.access.items()}),  # type: ignore[arg-type]
            egress=EgressPolicy(**vector.policy),
        )
        try:
            found = _fetched(vector.filled(vector.url), folder, options)
        except IngestError as error:
            return Outcome(error.code, error.message, seconds=time.monotonic() - began)
        side_codes = tuple(str(each["code"]) for each in found.info["not_fetched"])
        size = sum(part.stat().st_size for part in found.parts)
        return Outcome(None, "", side_codes, size, time.monotonic() - began)


def _run(script: str, with_network: bool) -> str:
    """What the script prints, run as yt-dlp runs those of a site."""
    from yt_dlp.extractor.youtube.jsc._builtin.deno import DenoJCP

    options = [*DenoJCP._DENO_BASE_OPTIONS, "--no-npm", "--cached-only", *(["--allow-net"] if with_network else [])]
    command = [str(ytdlp.javascript_runtime()), "run", *options, "-"]
    ended = subprocess.run(command, input=script, capture_output=True, text=True, timeout=15, check=False)
    return ended.stdout + ended.stderr


def _measured(content: str, with_network: bool) -> Outcome:
    """What becomes of a file that a source sent as media."""
    tools = find_tools()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source-0.mp4"
        path.write_text(content, encoding="ascii")
        if with_network:
            leave = ["-protocol_whitelist", "file,http,https,tcp,tls,crypto", "-allowed_extensions", "ALL"]
            leave = ["-safe", "0", *leave[:2]] if content.startswith("ffconcat") else leave
            subprocess.run([tools.ffprobe, *leave, path], capture_output=True, timeout=15, check=False)
            return Outcome()
        try:
            probe(path, tools)
        except IngestError as error:
            return Outcome(error.code, error.message)
        return Outcome()


def _unreachable() -> tuple[str, ...]:
    """The canaries that a plain socket of the worker cannot reach."""
    missing = []
    for address in (*places.FORBIDDEN, *places.OWN):
        for port in places.PORTS:
            try:
                socket.create_connection((address, port), timeout=2).close()
            except OSError as error:
                missing.append(f"{address} {port}: {error}")
    return tuple(missing)


def _fetched(url: str, folder: Path, options: FetchOptions) -> Fetched:
    """What the URL gives; of a list, what the job of its first video would get."""
    found = ytdlp.fetch_url(url, folder, options)
    if isinstance(found, Fetched):
        return found
    again = ytdlp.fetch_url(found.videos[0].url, folder, options)
    assert isinstance(again, Fetched)
    return again


@contextmanager
def _knowing(vector: Vector) -> Iterator[None]:
    """yt-dlp, with the vector's site."""

    SiteIE.said = json.loads(vector.filled(json.dumps(vector.said or {})))
    with mock.patch.object(ytdlp, "Downloader", knowing(SiteIE)):
        yield


@contextmanager
def _switched_off() -> Iterator[None]:
    """The guard's judgement closes nothing."""
    from narralytica_ingest.egress import judge

    with mock.patch.object(judge, "judge", return_value=None):
        yield
