"""The Celery application of the workers: `celery -A narralytica_ingest.engine.worker worker`.

Dagster, the definitions and the slow libraries are loaded once in the parent, before it forks: a run then starts in a
fraction of a second instead of several.
"""

import importlib
import signal
import warnings
from typing import Any

from celery import Celery, signals
from dagster import BetaWarning
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.celery_app import add_express_queue, app_args

# What a run needs and is slow to import. (Importing them starts no thread and opens no connection, so a fork is safe.)
PRELOADED = (
    "narralytica_ingest.definitions",
    "narralytica_ingest.sources.ytdlp",
    "narralytica_ingest.media.audio",
    "dagster_aws.s3",
    "dagster_postgres",
    "pandas",
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
    for module in PRELOADED:
        importlib.import_module(module)
    from narralytica_ingest.definitions import defs

    defs.get_repository_def()


_handlers: dict[signal.Signals, Any] = {}


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _remember_signal_handlers(**_: Any) -> None:
    _handlers.update({number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)})


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _restore_signal_handlers(**_: Any) -> None:
    """Dagster leaves SIGTERM as SIGINT was, which Celery ignores: the process could no longer be asked to stop."""
    for number, handler in _handlers.items():
        signal.signal(number, handler)


# Celery finds the application by this name; this module is imported by workers only.
app = _make_app()
