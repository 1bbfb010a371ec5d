"""Two lanes, so that a busy host delays no other."""

import pytest
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from narralytica_ingest.engine.celery_app import EXPRESS_QUEUE, TASK_QUEUE
from narralytica_ingest.engine.lanes import LaneRunCoordinator, lane_tags


@pytest.mark.parametrize(
    ("turn", "ahead", "lane"),
    [
        (1, 0, TASK_QUEUE),  # nobody is at work
        (1, 1, TASK_QUEUE),  # a slot is free
        (1, 2, EXPRESS_QUEUE),  # all slots are taken by others
        (1, 40, EXPRESS_QUEUE),
        (2, 40, TASK_QUEUE),  # its host has its share already
    ],
)
def test_a_newcomer_that_finds_all_slots_taken_goes_by_the_express_lane(turn: int, ahead: int, lane: str) -> None:
    assert lane_tags(turn, ahead, slots=2) == {DAGSTER_CELERY_QUEUE_TAG: lane}


def test_a_full_lane_leaves_half_of_the_runs_to_the_other() -> None:
    config = LaneRunCoordinator(max_concurrent_runs=12).get_run_queue_config()
    assert config.max_concurrent_runs == 12
    assert {limit["value"]: limit["limit"] for limit in config.tag_concurrency_limits} == {
        TASK_QUEUE: 6,
        EXPRESS_QUEUE: 6,
    }
