"""A short run of faults; `make chaos` is the long one."""

from pathlib import Path

import pytest

from narralytica_ingest_tests.chaos.plan import STAGES, make_plan
from narralytica_ingest_tests.chaos.run import KINDS, run_chaos


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_kills_outages_and_meddling_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    report = run_chaos(tmp_path / "chaos" / "home", seed=4, videos=6, faults=14, workers=3)
    assert report.is_good, report.text


def test_a_seed_makes_the_same_schedule_each_time() -> None:
    def schedule(seed: int) -> list[tuple[str, str]]:
        return [(planned.kind.name, planned.stage) for planned in make_plan(KINDS, 200, seed)]

    assert schedule(1) == schedule(1) != schedule(2)


@pytest.mark.parametrize("count", [25, 60, 200])
def test_a_schedule_has_every_kind_of_fault_and_no_stage_is_spared(count: int) -> None:
    plan = make_plan(KINDS, count, seed=0)
    assert len(plan) == count
    assert {planned.kind.name for planned in plan} == {kind.name for kind in KINDS}
    at = [sum(planned.stage == stage for planned in plan) for stage in STAGES]
    assert min(at) >= count // 4
