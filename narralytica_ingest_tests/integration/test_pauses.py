"""Back-pressure in the tables: while a part of our own is away or full nothing is claimed, and no job pays for it."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from narralytica_ingest.cli.change import retry
from narralytica_ingest.config import Settings
from narralytica_ingest.failures import CATALOGUE, FailureClass, failure
from narralytica_ingest.store import artifacts, dispatch, jobs, leases, outcomes, pauses
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import Dispatched
from narralytica_ingest.store.leases import Dispatch, Lease
from narralytica_ingest.store.pauses import FIRST_SECONDS, LONGEST_SECONDS, STAND_BACK_SECONDS, TRY_SECONDS, Resource
from narralytica_ingest_tests.job_table import POLICY, commit_all, job, media_file, submit

WINDOW = 20
LOCAL_CODES = [code for code, known in CATALOGUE.items() if known.failure_class is FailureClass.LOCAL and known.in_jobs]


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Every statement is a transaction of its own, as far as a test does not say otherwise."""
    with psycopg.connect(database.url, row_factory=dict_row, autocommit=True) as opened:
        yield opened


def claim(connection: Connection, window: int = WINDOW) -> list[Dispatched]:
    with connection.transaction():
        return dispatch.claim(connection, window, reserve=window // 4)


def begin(connection: Connection, claimed: Dispatched) -> Lease:
    with connection.transaction():
        lease = leases.take(connection, f"run-{claimed.run_key}", [claimed.video_id], 3600)[claimed.video_id]
        assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return lease


def begin_next(connection: Connection) -> Lease:
    claimed = claim(connection)
    assert len(claimed) == 1
    return begin(connection, claimed[0])


def fail(connection: Connection, lease: Lease, code: str) -> None:
    with connection.transaction():
        outcomes.end_run(connection, lease, failure(code), POLICY)


def succeed(connection: Connection, lease: Lease) -> None:
    with connection.transaction():
        commit_all(connection, lease)
        leases.release(connection, [lease])


def pass_time(connection: Connection, seconds: float) -> None:
    """As if so many seconds had passed: every date of the tables lies so much further back."""
    step = timedelta(seconds=seconds)
    connection.execute("UPDATE claim_pauses SET since = since - %(step)s, until = until - %(step)s", {"step": step})
    connection.execute(
        "UPDATE ingest_jobs SET not_before = not_before - %(step)s, dispatched_at = dispatched_at - %(step)s",
        {"step": step},
    )


def remaining(connection: Connection, resource: Resource = Resource.OBJECT_STORE) -> float:
    """Seconds until the pause is over; negative after it."""
    row = connection.execute(
        "SELECT extract(epoch FROM until - now())::float AS left FROM claim_pauses WHERE resource = %s",
        (resource.value,),
    ).fetchone()
    assert row is not None, "nothing is paused"
    return float(row["left"])


def wait(connection: Connection, job_id: UUID) -> float | None:
    row = connection.execute(
        "SELECT extract(epoch FROM not_before - now())::float AS left FROM ingest_jobs WHERE job_id = %s", (job_id,)
    ).fetchone()
    assert row is not None
    return None if row["left"] is None else float(row["left"])


# ---- the way of an outage -------------------------------------------------------------------------------------------


def test_an_outage_stops_the_claim_then_one_job_tries_and_its_success_lets_all_go(connection: Connection) -> None:
    ids = [submit(connection, f"v{number}") for number in range(5)]
    first, second = (begin(connection, claimed) for claimed in claim(connection, 2))
    fail(connection, first, "object_store_away")
    assert claim(connection) == []
    assert not dispatch.may_claim(connection, WINDOW)

    pass_time(connection, FIRST_SECONDS + 0.1)
    trying = begin_next(connection)
    assert claim(connection) == [], "one at a time"
    succeed(connection, trying)
    assert pauses.look(connection) == []
    rest = claim(connection)
    assert len(rest) == 3
    for lease in [second, *(begin(connection, claimed) for claimed in rest)]:
        succeed(connection, lease)
    assert {(job(connection, each)["status"], job(connection, each)["failures"]) for each in ids} == {("succeeded", 0)}


def test_the_first_stored_file_of_a_run_ends_the_pause_and_wakes_the_sensor(
    connection: Connection, database: Database
) -> None:
    submit(connection, "at-work")
    submit(connection, "refused")
    at_work, refused = (begin(connection, claimed) for claimed in claim(connection, 2))
    fail(connection, refused, "object_store_away")
    with database.listening() as news_within:
        with connection.transaction():
            artifacts.commit_media_files(connection, at_work, [media_file("raw_video")])
        assert news_within(2)
    assert [claimed.video_id for claimed in claim(connection)] == ["web-refused"], "it is not held to the pause's end"


def test_a_refused_job_waits_as_long_as_the_pause_and_pays_nothing(connection: Connection) -> None:
    job_id = submit(connection)
    fail(connection, begin_next(connection), "disk_full")
    row = job(connection, job_id)
    assert (row["status"], row["failures"], row["error_code"]) == ("queued", 0, "disk_full")
    assert wait(connection, job_id) == pytest.approx(remaining(connection, Resource.DISK), abs=0.5)
    assert remaining(connection, Resource.DISK) == pytest.approx(FIRST_SECONDS, abs=0.5)


def test_jobs_that_wait_for_a_worker_go_back_to_the_queue_and_keep_their_place(connection: Connection) -> None:
    ids = [submit(connection, f"v{number}") for number in range(3)]
    first, second, _ = claim(connection)
    fail(connection, begin(connection, first), "object_store_refused")
    assert [job(connection, each)["status"] for each in ids] == ["queued"] * 3
    with connection.transaction():
        lease = leases.take(connection, "late", [second.video_id], 60)[second.video_id]
        assert not leases.bind(connection, Dispatch(second.job_id, second.attempt), lease)
        leases.release(connection, [lease])
    pass_time(connection, FIRST_SECONDS + 0.1)
    succeed(connection, begin_next(connection))
    assert len(claim(connection)) == 2


def test_pauses_grow_while_the_outage_lasts_and_start_short_again_after_it(connection: Connection) -> None:
    for number in range(6):
        submit(connection, f"v{number}")
    lengths: list[int] = []
    for _ in range(6):
        fail(
            connection, begin_next(connection) if lengths else begin(connection, claim(connection)[0]), "disk_unusable"
        )
        lengths.append(round(remaining(connection, Resource.DISK)))
        pass_time(connection, lengths[-1] + 0.5)
    assert lengths == [min(LONGEST_SECONDS, FIRST_SECONDS * 2**number) for number in range(6)]
    succeed(connection, begin_next(connection))
    fail(connection, begin(connection, claim(connection)[-1]), "disk_full")
    assert remaining(connection, Resource.DISK) == pytest.approx(FIRST_SECONDS, abs=0.5)


def test_runs_that_were_at_work_and_fail_within_the_same_pause_do_not_lengthen_it(connection: Connection) -> None:
    for number in range(4):
        submit(connection, f"v{number}")
    at_work = [begin(connection, claimed) for claimed in claim(connection)]
    fail(connection, at_work[0], "object_store_away")
    pass_time(connection, 1)
    before = remaining(connection)
    for lease in at_work[1:]:
        fail(connection, lease, "object_store_full")
    assert remaining(connection) == pytest.approx(before, abs=0.5)
    assert [pause.refusals for pause in pauses.look(connection)] == [1]


def test_set_aside_space_shows_that_the_disk_works_but_tells_nothing_about_the_bucket(connection: Connection) -> None:
    for error in ("disk_full", "object_store_away"):
        pauses.refused(connection, failure(error))
    pauses.succeeded(connection, [Resource.DISK])
    assert [pause.resource for pause in pauses.look(connection)] == ["object_store"]


def test_what_a_run_without_a_job_meets_pauses_the_claim_too(connection: Connection) -> None:
    submit(connection, "of-a-job")
    submit(connection, "by-hand", priority=-1)
    with connection.transaction():
        lease = leases.take(connection, "run-of-the-ui", ["web-by-hand"], 60)["web-by-hand"]
    fail(connection, lease, "object_store_away")
    assert claim(connection) == []


def test_a_canceled_job_ends_although_what_it_met_pauses_the_others(connection: Connection) -> None:
    canceled, other = submit(connection), submit(connection, "other")
    lease = begin(connection, claim(connection)[0])
    jobs.cancel(connection, canceled)
    fail(connection, lease, "disk_full")
    assert [job(connection, each)["status"] for each in (canceled, other)] == ["canceled", "queued"]
    assert claim(connection) == []


# ---- one at a time --------------------------------------------------------------------------------------------------


def test_runs_from_before_the_pause_do_not_take_the_try_nor_does_the_express_lane(connection: Connection) -> None:
    """All jobs are of one host, which has jobs in flight: the try is no matter of lanes."""
    for number in range(8):
        submit(connection, f"v{number}")
    connection.execute("UPDATE ingest_jobs SET source_host = 'busy'")
    at_work = [begin(connection, claimed) for claimed in claim(connection, 4)]
    fail(connection, at_work[0], "object_store_away")
    pass_time(connection, FIRST_SECONDS + 0.1)
    assert len(claim(connection)) == 1


def test_a_long_try_does_not_hold_the_others_up_for_ever(connection: Connection) -> None:
    for number in range(3):
        submit(connection, f"v{number}")
    fail(connection, begin(connection, claim(connection, 1)[0]), "object_store_away")
    pass_time(connection, FIRST_SECONDS + 0.1)
    begin_next(connection)
    pass_time(connection, TRY_SECONDS / 2)
    assert claim(connection) == []
    pass_time(connection, TRY_SECONDS / 2 + 0.1)
    assert len(claim(connection)) == 1


def test_a_try_that_fails_for_another_reason_hands_the_try_on(connection: Connection) -> None:
    for number in range(3):
        submit(connection, f"v{number}")
    fail(connection, begin(connection, claim(connection, 1)[0]), "object_store_away")
    for code in ("not_found", "no_room"):
        pass_time(connection, FIRST_SECONDS + 0.1)
        fail(connection, begin_next(connection), code)
        assert [pause.refusals for pause in pauses.look(connection)] == [1]


# ---- a job with a trouble of its own --------------------------------------------------------------------------------


def test_a_job_that_is_refused_again_lets_another_one_try_first(connection: Connection) -> None:
    poisoned, other = submit(connection, "poisoned"), submit(connection, "other")
    fail(connection, begin(connection, claim(connection, 1)[0]), "disk_unusable")
    pass_time(connection, FIRST_SECONDS + 0.1)
    lease = begin_next(connection)
    assert lease.video_id == "web-poisoned", "it is the first in line"
    fail(connection, lease, "disk_unusable")
    assert wait(connection, poisoned) == pytest.approx(remaining(connection, Resource.DISK) + STAND_BACK_SECONDS, abs=1)
    pass_time(connection, 2 * FIRST_SECONDS + 0.1)
    assert [claimed.job_id for claimed in claim(connection)] == [other]


def test_a_job_that_is_refused_although_others_were_served_waits_alone(connection: Connection) -> None:
    poisoned, other = submit(connection, "poisoned"), submit(connection, "other")
    lease, healthy = (begin(connection, claimed) for claimed in claim(connection))
    fail(connection, lease, "object_store_refused")
    succeed(connection, healthy)
    fail(connection, begin_next(connection), "object_store_refused")
    assert pauses.look(connection) == []
    row = job(connection, poisoned)
    assert (row["status"], row["failures"]) == ("queued", 0)
    assert (wait(connection, poisoned) or 0) > FIRST_SECONDS
    third = submit(connection, "third")
    assert [claimed.job_id for claimed in claim(connection)] == [third]
    assert job(connection, other)["status"] == "succeeded"


def test_retry_says_that_the_claims_are_paused(
    connection: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narralytica_ingest.cli.change.up_is_running", lambda _: True)
    gone = submit(connection, "gone")
    fail(connection, begin_next(connection), "not_found")
    for name in ("one", "two"):
        submit(connection, name)
    for lease in [begin(connection, claimed) for claimed in claim(connection)]:
        fail(connection, lease, "object_store_full")
    said: list[str] = []
    monkeypatch.setattr("narralytica_ingest.cli.change._print", said.append)
    retry(str(gone))
    assert "queued again (it was failed). It waits: claims are paused until" in said[0]


def test_when_a_second_job_says_the_same_all_are_paused(connection: Connection) -> None:
    """An outage after another one, which jobs of the first one meet."""
    for name in ("one", "two", "healthy"):
        submit(connection, name)
    one, two, healthy = (begin(connection, claimed) for claimed in claim(connection))
    fail(connection, one, "object_store_full")
    fail(connection, two, "object_store_full")
    succeed(connection, healthy)
    for lease in [begin(connection, claimed) for claimed in claim(connection)]:
        fail(connection, lease, "object_store_full")
    submit(connection, "waits")
    assert claim(connection) == []


# ---- other failures -------------------------------------------------------------------------------------------------


def test_a_download_that_does_not_fit_waits_alone(connection: Connection) -> None:
    large, small = submit(connection, "large"), submit(connection, "small")
    fail(connection, begin(connection, claim(connection, 1)[0]), "no_room")
    assert [claimed.job_id for claimed in claim(connection)] == [small]
    assert (wait(connection, large) or 0) > 0


@pytest.mark.parametrize("code", LOCAL_CODES)
def test_no_failure_of_our_own_is_charged_to_a_job_however_often_it_comes(connection: Connection, code: str) -> None:
    job_id = submit(connection)
    for _ in range(POLICY.max_attempts + 1):
        fail(connection, begin_next(connection), code)
        row = job(connection, job_id)
        assert (row["status"], row["failures"], row["error_code"]) == ("queued", 0, code)
        assert bool(pauses.look(connection)) == (code in pauses.RESOURCE_OF)
        pass_time(connection, 600)
    succeed(connection, begin_next(connection))


def test_a_source_that_fails_pauses_nothing(connection: Connection) -> None:
    for code in ("timed_out", "worker_lost", "unexpected"):
        submit(connection, code)
        fail(connection, begin_next(connection), code)
        assert pauses.look(connection) == []


# ---- whatever happens -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_in_any_order_of_outages_nothing_is_claimed_in_a_pause_and_every_job_succeeds_at_no_cost(
    connection: Connection, seed: int
) -> None:
    dice, at_work, numbers = random.Random(seed), list[Lease](), count()
    codes = ["object_store_away", "object_store_full", "disk_full", "disk_unusable", "no_room", "database_conflict"]

    def look_and_claim() -> None:
        before, claimed = pauses.look(connection), claim(connection)
        assert len(claimed) <= min((pause.room for pause in before), default=WINDOW)
        assert not (claimed and any(pause.closed for pause in before))
        if dice.random() < 0.8:  # else they wait for a worker
            at_work.extend(begin(connection, each) for each in claimed)

    def end_one() -> None:
        if at_work:
            lease = at_work.pop(dice.randrange(len(at_work)))
            if dice.random() < 0.4:
                succeed(connection, lease)
            else:
                fail(connection, lease, dice.choice(codes))

    acts: dict[Callable[[], object], int] = {
        look_and_claim: 4,
        end_one: 5,
        lambda: submit(connection, f"v{next(numbers)}"): 2,
        lambda: pass_time(connection, dice.choice([1, 6, 20, 45])): 3,
        lambda: pauses.succeeded(connection, [Resource.DISK]): 1,
    }
    for _ in range(60):
        (act,) = dice.choices(list(acts), list(acts.values()))
        act()
    all_succeed(connection, at_work)
    assert connection.execute("SELECT max(failures) AS most FROM ingest_jobs").fetchone() == {"most": 0}


def all_succeed(connection: Connection, at_work: list[Lease]) -> None:
    """The outages are over: within ten minutes of looks every job has succeeded."""
    for _ in range(60):
        for lease in at_work:
            succeed(connection, lease)
        pass_time(connection, 10)
        at_work[:] = [begin(connection, each) for each in dispatch.emit_again(connection, 60) + claim(connection)]
        if connection.execute("SELECT FROM ingest_jobs WHERE status <> 'succeeded' LIMIT 1").fetchone() is None:
            return
    raise AssertionError(connection.execute("SELECT * FROM ingest_jobs WHERE status <> 'succeeded'").fetchall())
