"""Jobs to runs: the sensor that watches the job table."""

import time

import dagster as dg

from narralytica_ingest.config import Settings, load_settings
from narralytica_ingest.endpoints import Endpoints, resolve_endpoints
from narralytica_ingest.engine.lanes import lane_tags
from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG
from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.intake import Intake
from narralytica_ingest.partitions import videos
from narralytica_ingest.sensors import own_parts
from narralytica_ingest.store import dispatch as table
from narralytica_ingest.store import pauses
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import Dispatched
from narralytica_ingest.store.hosts import host_rules

INGEST_JOB = "ingest"

# In Dagster's queue a job's place is the time of its claim, and each turn that its host had before it costs so many
# seconds more. So a newcomer's run is taken before the rest of a busy host's, which is yet not put off for ever.
TURN_SECONDS = 60
_PRIORITY_STEP = 10_000_000_000  # more than any place, so that an urgent job goes first whatever its place

# This part of the window is for hosts that have nothing in flight.
RESERVE = 4

# Shorter than Dagster's five seconds between two ticks, so that no tick is left out.
WAIT_SECONDS = 4.0


@dg.sensor(
    name="dispatch",
    job_name=INGEST_JOB,
    minimum_interval_seconds=1,  # Dagster's own loop makes it five
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Identifies new jobs, answers known videos, claims the rest and asks for one run each.",
)
def dispatch() -> dg.SensorResult | dg.SkipReason:
    """One look at the job table. What is claimed and gets lost on the way is emitted again with the same run key."""
    settings = load_settings()
    try:
        claimed, why_none = _claim_or_wait(settings)
    except IngestError as error:
        if error.failure_class is FailureClass.LOCAL:
            return dg.SkipReason(error.message)
        raise
    if not claimed:
        return dg.SkipReason(why_none)
    return dg.SensorResult(
        run_requests=[_request(job, settings.workers) for job in claimed],
        dynamic_partitions_requests=[videos.build_add_request(sorted({job.video_id for job in claimed}))],
    )


def _claim_or_wait(settings: Settings) -> tuple[list[Dispatched], str]:
    """The claimed jobs, and, should there be none, why. Dagster looks every five seconds; a tick that waits for news in
    between sees a new job at once."""
    endpoints = resolve_endpoints(settings)
    database = Database(endpoints.postgres_url)
    with database.listening() as news_within:
        claimed, why_none = _claim(settings, endpoints, database)
        if not claimed and news_within(WAIT_SECONDS):
            claimed, why_none = _claim(settings, endpoints, database)
    return claimed, why_none


def _claim(settings: Settings, endpoints: Endpoints, database: Database) -> tuple[list[Dispatched], str]:
    Intake(settings, endpoints).admit()
    window = settings.dispatch_window
    with database.transaction() as connection:
        lost = table.emit_again(connection, settings.redispatch_seconds)
        if not table.may_claim(connection, window):
            return lost, _why_none(connection)
    refusal = own_parts.refusal(settings, endpoints.s3)  # outside of a transaction: it may take seconds
    with database.transaction() as connection:
        if refusal is None:
            lost += table.claim(connection, window, host_rules(settings), reserve=window // RESERVE)
        else:
            pauses.refused(connection, refusal)
        return lost, _why_none(connection)


def _why_none(connection: Connection) -> str:
    return " ".join(pause.sentence for pause in pauses.look(connection)) or "No job to dispatch."


def _request(job: Dispatched, slots: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=job.run_key,
        partition_key=job.video_id,
        tags={
            JOB_TAG: str(job.job_id),
            ATTEMPT_TAG: str(job.attempt),
            "dagster/priority": str(queue_priority(job.priority, job.turn, time.time())),
            **lane_tags(job.turn, job.ahead, slots),
        },
    )


def queue_priority(priority: int, turn: int, claimed_at: float) -> int:
    """The number by which Dagster orders its queue, greatest first. `claimed_at` is in seconds since 1970."""
    return priority * _PRIORITY_STEP - round(claimed_at) - TURN_SECONDS * (turn - 1)
