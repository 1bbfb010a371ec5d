"""The lives of processes that may be killed: one process with everything loaded forks a child for each.

What belongs here: what a child does from its birth to its end, and the process that bears them. That one runs apart
from the tests (`python -m`), since only a process without threads may fork; it reads orders, a line of JSON each, and
answers each with the exit code of the child.
"""

import functools
import gc
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from narralytica_ingest_tests.integration.crash_points.points import Kill, Points, watch

# What a life needs and is slow to import; none of it starts a thread or opens a connection.
PRELOADED = (
    "narralytica_ingest_tests.integration.crash_points.machine",
    "narralytica_ingest.definitions",
    "narralytica_ingest.engine.launcher",
    "narralytica_ingest.engine.lanes",
    "narralytica_ingest.media.audio",
    "narralytica_ingest.sources.ytdlp",
    "boto3.s3.transfer",
    "celery.backends.cache",
    "dagster._grpc.client",
    "dagster_aws.s3",
    "dagster_postgres",
    "kombu.transport.memory",
    "pandas",
    "psycopg2.extras",
    "s3transfer.crt",
    "yt_dlp.extractor._extractors",
    "yt_dlp.jsinterp",
)


@dataclass(frozen=True)
class Order:
    """One life: its `act` by name with arguments, where it counts its writes, where its output goes, how it ends."""

    act: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str]
    points: str
    output: str
    kill: Kill | None = None

    def as_line(self) -> str:
        """The order as the process that forks reads it."""
        return json.dumps(asdict(self)) + "\n"


def _read(line: str) -> Order:
    values = json.loads(line)
    kill = values.pop("kill")
    return Order(**values, kill=Kill(**kill) if kill else None)


# ---- what a life may be --------------------------------------------------------------------------------------------


def _ingest(**request: Any) -> None:
    """A job, from its insert to its end, if nothing comes between: what happens without any recovery."""
    from narralytica_ingest.store.jobs import JobRequest
    from narralytica_ingest_tests.integration.crash_points.machine import machine

    with machine() as here:
        here.submit(JobRequest(**request))
        here.tick("dispatch")
        here.work()


def _look_after() -> None:
    """What puts things right has its look, and the work that comes of it is done."""
    from narralytica_ingest_tests.integration.crash_points.machine import machine

    with machine() as here:
        here.tick("upkeep")
        here.tick("dispatch")
        here.work()
        here.tick("sweeper")


def _tend() -> None:
    """All sensors have their look, but nothing is worked on."""
    from narralytica_ingest_tests.integration.crash_points.machine import machine

    with machine() as here:
        here.tick("upkeep")
        here.tick()


def _delete(video_id: str) -> None:
    """What the command `delete` does."""
    from narralytica_ingest.config import load_settings
    from narralytica_ingest.endpoints import resolve_endpoints
    from narralytica_ingest.object_store.client import make_client
    from narralytica_ingest.recovery.delete import delete_video

    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    delete_video(settings, endpoints, make_client(endpoints.s3), video_id)


ACTS: dict[str, Callable[..., None]] = {"ingest": _ingest, "look_after": _look_after, "tend": _tend, "delete": _delete}


# ---- the process that forks ----------------------------------------------------------------------------------------


def _live(order: Order) -> None:
    output = os.open(order.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(order.environment)
    watch(Points(Path(order.points), order.kill))
    ACTS[order.act](**order.arguments)


def _load() -> None:
    """Does what each child would do anew, with the same result."""
    for module in PRELOADED:
        importlib.import_module(module)
    import boto3
    import botocore.session
    import yt_dlp

    from narralytica_ingest.definitions import defs

    defs.get_repository_def()
    downloader = yt_dlp.YoutubeDL({"quiet": True})
    for extractor in yt_dlp.extractor.gen_extractor_classes():  # compiles their patterns
        if not extractor.suitable("http://127.0.0.1/"):
            list(extractor.extract_from_webpage(downloader, "http://127.0.0.1/", ""))
    # All sessions shall share what describes the services, which takes half a second to read.
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    gc.freeze()


def main() -> None:
    """Loads everything, then bears a child for each order."""
    _load()
    assert threading.active_count() == 1, "a fork would lose these threads"
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _live(_read(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
