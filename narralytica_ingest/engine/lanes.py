"""Two lanes from the run queue to the workers, so that no busy host holds every worker.

A job that finds all slots taken by others, and whose host has nothing in flight, goes by the express lane. All workers
serve both lanes, but for one spare slot, which serves the express lane alone. So a site that keeps every other slot
busy, for hours if it is slow, delays its own jobs and no one else's first.
"""

from collections.abc import Mapping

from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator, RunQueueConfig
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from narralytica_ingest.engine.celery_app import EXPRESS_QUEUE, TASK_QUEUE


def lane_tags(turn: int, ahead: int, slots: int) -> Mapping[str, str]:
    """The tag by which a run has its lane.

    `turn` counts the jobs of its host in flight up to this one, `ahead` those of all hosts before it, and `slots` the
    workers that serve both lanes.
    """
    newcomer = turn == 1 and ahead >= slots
    return {DAGSTER_CELERY_QUEUE_TAG: EXPRESS_QUEUE if newcomer else TASK_QUEUE}


class LaneRunCoordinator(QueuedRunCoordinator):
    """Dagster's run queue, with half of `max_concurrent_runs` for each lane: a full lane does not stop the other.

    Runs that a person started have no lane, and go to the workers that serve both.
    """

    def get_run_queue_config(self) -> RunQueueConfig:
        """As configured, with the limits of the lanes. (Dagster takes a plain number only for such a limit.)"""
        config = super().get_run_queue_config()
        half = max(1, config.max_concurrent_runs // 2)
        limits = [
            {"key": DAGSTER_CELERY_QUEUE_TAG, "value": lane, "limit": half} for lane in (TASK_QUEUE, EXPRESS_QUEUE)
        ]
        return config._replace(tag_concurrency_limits=[*config.tag_concurrency_limits, *limits])
