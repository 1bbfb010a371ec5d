"""The Celery application of the workers: `celery -A narralytica_ingest.engine.worker worker`.

Dagster, the definitions and the slow libraries are loaded once in the parent, before it forks: a run then starts in a
fraction of a second instead of several.
"""

import importlib
import logging
import os
import signal
import warnings
from contextlib import suppress
from typing import Any

from billiard.util import set_pdeathsig  # type: ignore[import-untyped]
from celery import Celery, signals
from dagster import BetaWarning
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.celery_app import add_express_queue, app_args
from narralytica_ingest.engine.pool_watch import watch_pool
from narralytica_ingest.engine.postgres_outages import be_patient

log = logging.getLogger(__name__)

# What a run needs and is slow to import. (Importing them starts no thread and opens no connection, so a fork is safe.)
PRELOADED = (
    "narralytica_ingest.definitions",
    "narralytica_ingest.sources.ytdlp",
    "narralytica_ingest.media.audio",
    "dagster_aws.s3",
    "dagster_postgres",
    "pandas",
    "pandera.pandas",
    "langcodes",
    "yt_dlp",
    "boto3",
)


def _make_app() -> Celery:
    endpoints = resolve_endpoints(load_settings())
    application: Celery = make_app(  # type: ignore[no-untyped-call]
        app_args(endpoints.broker_url, endpoints.result_backend_url)
    )
    add_express_queue(application)
    create_execute_job_task(application)
    return application


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _preload(**_: Any) -> None:
    # What Dagster calls beta is used on purpose and pinned; the worker's log is not the place to say so at every run.
    warnings.simplefilter("ignore", BetaWarning)
    warnings.filterwarnings("ignore", "Asset job ingest materializes assets with varying BackfillPolicies")
    be_patient(0)  # the worker itself has more to do than to wait
    for module in PRELOADED:
        importlib.import_module(module)
    from narralytica_ingest.definitions import defs

    defs.get_repository_def()


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _watch_pool(sender: Any, **_: Any) -> None:
    watch_pool(sender.pool)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _sweep(**_: Any) -> None:
    """What died on this machine may have left files. A worker that cannot clean up can work all the same."""
    try:
        from narralytica_ingest.engine.machine_sweep import sweep_files
        from narralytica_ingest.store.database import Database

        settings = load_settings()
        for sentence in sweep_files(settings, Database(resolve_endpoints(settings).postgres_url)):
            log.warning("%s", sentence)
    except Exception as error:
        log.warning("what is left of dead runs could not be cleared: %s; the sweeper will see to it", error)


_handlers: dict[signal.Signals, Any] = {}
_parents: set[int] = set()


@signals.worker_process_init.connect  # type: ignore[untyped-decorator]
def _prepare_process(**_: Any) -> None:
    """A process of the pool, before its first run."""
    be_patient(load_settings().lease_seconds)
    _parents.add(os.getppid())
    # Celery has it killed when the worker is: it is asked to stop instead, so that its run hands the job back.
    with suppress(OSError):  # Linux only; elsewhere the run's heartbeat notices
        set_pdeathsig(signal.SIGTERM)


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _remember_signal_handlers(**_: Any) -> None:
    _handlers.update({number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)})


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _restore_signal_handlers(**_: Any) -> None:
    """Dagster leaves SIGTERM as SIGINT was, which Celery ignores: the process could no longer be asked to stop."""
    for number, handler in _handlers.items():
        signal.signal(number, handler)
    if os.getppid() not in _parents:  # the worker was killed during the run: there is nobody to get another one from
        signal.raise_signal(signal.SIGTERM)


# Celery finds the application by this name; this module is imported by workers only.
app = _make_app()
