"""What a run writes to its worker's log: a line for the person on call, with job, attempt, video, run and step.

Dagster's own events go to its event log and the UI in full; here are those that matter at three in the morning.
"""

import logging
import sys
import time

import dagster as dg
from dagster._core.log_manager import get_log_record_metadata, has_log_record_metadata

from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG

_PARTITION_TAG = "dagster/partition"


class RunLineFormatter(logging.Formatter):
    """`2026-11-22 08:30:14Z INFO job=… attempt=1 video=… run=… step=raw_video: message`"""

    def __init__(self) -> None:
        super().__init__(datefmt="%Y-%m-%d %H:%M:%SZ")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback below it where there is one."""
        line = f"{self.formatTime(record, self.datefmt)} {record.levelname} {_context(record)}: {_message(record)}"
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


def _context(record: logging.LogRecord) -> str:
    if not has_log_record_metadata(record):
        return record.name
    meta = get_log_record_metadata(record)
    tags = meta["job_tags"]
    fields = {
        "job": tags.get(JOB_TAG),
        "attempt": tags.get(ATTEMPT_TAG),
        "video": tags.get(_PARTITION_TAG),
        "run": meta["run_id"],
        "step": meta["step_key"],
    }
    return " ".join(f"{name}={value}" for name, value in fields.items() if value)


def _message(record: logging.LogRecord) -> str:
    if has_log_record_metadata(record):
        return get_log_record_metadata(record)["orig_message"]
    return record.getMessage()


@dg.logger(config_schema={}, description="One line per message for the worker's log.")
def run_log(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger of its own for each run, so that nothing piles up in a long-lived worker."""
    logger = logging.Logger("narralytica.run", logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RunLineFormatter())
    logger.addHandler(handler)
    return logger
