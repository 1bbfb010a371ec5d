"""The run's session as a Dagster resource: opened when the run starts, closed however it ends."""

from collections.abc import Iterator, Mapping
from uuid import UUID

import dagster as dg

from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import resolve_endpoints
from narralytica_ingest.engine.run_session import RunInfo, RunSession
from narralytica_ingest.engine.tags import ATTEMPT_TAG, JOB_TAG
from narralytica_ingest.store.database import Database
from narralytica_ingest.store.leases import Dispatch


@dg.resource(description="Leases, heartbeat, scratch folder and cancel of the run.")
def run_session(context: dg.InitResourceContext) -> Iterator[RunSession]:
    """Takes nothing until an asset asks for its videos."""
    settings = load_settings()
    database = Database(resolve_endpoints(settings).postgres_url)
    assert context.log is not None
    with RunSession(settings, database, _run_info(context), context.log) as session:
        yield session


def _run_info(context: dg.InitResourceContext) -> RunInfo:
    run, instance = context.run, context.instance
    if run is None or instance is None:
        raise dg.DagsterInvariantViolationError("this resource works inside a run only")
    run_id = run.run_id

    def canceling() -> bool:
        now = instance.get_run_by_id(run_id)
        return now is None or now.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)

    def given_up() -> bool:
        now = instance.get_run_by_id(run_id)
        return now is not None and now.status is dg.DagsterRunStatus.FAILURE

    def report_canceling() -> None:
        if not canceling():
            instance.report_run_canceling(run)

    return RunInfo(
        run_id=run_id,
        video_id=run.tags.get("dagster/partition"),
        dispatch=_dispatch(run.tags),
        is_copy=run.parent_run_id is not None,
        canceling=canceling,
        report_canceling=report_canceling,
        given_up=given_up,
    )


def _dispatch(tags: Mapping[str, str]) -> Dispatch | None:
    if JOB_TAG not in tags:
        return None
    return Dispatch(UUID(tags[JOB_TAG]), int(tags[ATTEMPT_TAG]))
