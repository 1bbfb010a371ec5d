"""Source hosts on a real Postgres: the breaker, limits, pauses, room for newcomers, and the commands about them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg.rows import dict_row

from narralytica_ingest.cli.change import retry
from narralytica_ingest.config import HostRule, Settings
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.sensors.dispatch import RESERVE
from narralytica_ingest.store import breaker, dispatch, hosts, jobs, leases, outcomes
from narralytica_ingest.store.database import Connection, Database
from narralytica_ingest.store.dispatch import Dispatched, VideoKey
from narralytica_ingest.store.hosts import HostRules
from narralytica_ingest.store.leases import Dispatch, Lease
from narralytica_ingest_tests.integration.test_cli import cli
from narralytica_ingest_tests.job_table import POLICY, commit_all, job

LIMITED = failure("rate_limited", "Less often, please.")
BOT = failure("bot_check", "Not a bot?")
CAPTCHA = failure("captcha", "Type these letters.")
_numbers = count(1)


def submit(connection: Connection, host: str, priority: int = 0) -> UUID:
    """A job for a new video of this host."""
    name = f"{host.replace('.', '_') or 'upload'}-{next(_numbers)}"
    job_id = jobs.insert(connection, jobs.JobRequest(source_url=f"http://{host}/{name}", priority=priority))
    dispatch.attach(connection, job_id, VideoKey(f"web-{name}", "web", name, "http://x/", None, None, host))
    return job_id


def begin(connection: Connection, claimed: Dispatched) -> Lease:
    """The claimed job's run begins."""
    lease = leases.take(connection, f"run-{claimed.run_key}", [claimed.video_id], 600)[claimed.video_id]
    assert leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease)
    return lease


def claim(
    database: Database, rules: HostRules = hosts.NO_RULES, window: int = 20, reserve: int = 5
) -> list[Dispatched]:
    with database.transaction() as connection:
        return dispatch.claim(connection, window, rules, reserve)


def claim_one(database: Database) -> Lease:
    """Claims, begins the first run, and sends the others back."""
    first, *others = claim(database)
    with database.transaction() as connection:
        for other in others:
            leases.wait_for_video(connection, Dispatch(other.job_id, other.attempt))
        return begin(connection, first)


def end(database: Database, lease: Lease, error: IngestError) -> outcomes.Verdict:
    with database.transaction() as connection:
        verdict = outcomes.end_run(connection, lease, error, POLICY)
    assert verdict is not None
    return verdict


def pass_time(connection: Connection, seconds: float) -> None:
    """Everything that is dated in these tables moves into the past."""
    values = {"back": f"{seconds} seconds"}
    connection.execute(
        "UPDATE hosts SET cool_until = cool_until - %(back)s::interval,"
        " last_started_at = last_started_at - %(back)s::interval",
        values,
    )
    connection.execute("UPDATE ingest_jobs SET not_before = not_before - %(back)s::interval", values)


def host_row(database: Database, host: str) -> dict[str, Any]:
    return database.all("SELECT *, cool_until > now() AS cools FROM hosts WHERE host = %s", (host,))[0]


def hosts_of(claimed: list[Dispatched]) -> list[str]:
    return [each.video_id.split("-")[1] for each in claimed]


# ---- the breaker ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LIMITED, BOT, CAPTCHA])
def test_one_refusal_rests_the_host_as_a_whole_and_no_other(database: Database, error: IngestError) -> None:
    with database.transaction() as connection:
        for host in ("bad", "bad", "bad", "good"):
            submit(connection, host)
    lease = claim_one(database)
    assert lease.video_id.startswith("web-bad")
    end(database, lease, error)
    row = host_row(database, "bad")
    assert (row["cools"], row["refusals"], row["error_code"]) == (True, 1, error.code)
    assert hosts_of(claim(database)) == ["good"]


def test_jobs_that_only_waited_for_a_worker_go_back_and_their_runs_find_nothing_to_do(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(5):
            submit(connection, "bad")
        submit(connection, "good")
    first, late, *_ = [each for each in claim(database) if "bad" in each.video_id]
    with database.transaction() as connection:
        lease = begin(connection, first)
    end(database, lease, BOT)
    with database.transaction() as connection:
        states = connection.execute(
            "SELECT source_host, status, count(*) AS n FROM ingest_jobs GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
        assert [tuple(state.values()) for state in states] == [
            ("bad", "failed", 1),
            ("bad", "queued", 4),
            ("good", "dispatched", 1),
        ]
        lease = leases.take(connection, "late", [late.video_id], 60)[late.video_id]
        assert not leases.bind(connection, Dispatch(late.job_id, late.attempt), lease)


def test_a_bot_check_fails_one_job_and_the_queue_lives(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(10):
            submit(connection, "bad")
    with database.transaction() as connection:
        in_flight = [begin(connection, each) for each in dispatch.claim(connection, 4)]
    assert [end(database, lease, BOT).status for lease in in_flight] == ["failed", "queued", "queued", "queued"]
    assert host_row(database, "bad")["refusals"] == 1
    assert database.all("SELECT DISTINCT failures FROM ingest_jobs WHERE status = 'queued'") == [{"failures": 0}]


def test_a_bot_check_that_stays_costs_many_probes_a_job_and_each_rest_is_longer(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(4):
            submit(connection, "bad")
    rests, failed = [], []
    for _ in range(7):
        with database.transaction() as connection:
            end_of_rest = connection.execute("SELECT max(cool_until) - now() AS rest FROM hosts").fetchone()
            assert end_of_rest is not None
            pass_time(connection, (end_of_rest["rest"].total_seconds() + 1) if end_of_rest["rest"] else 0)
        lease = claim_one(database)
        failed.append(end(database, lease, BOT).status)
        rests.append(
            round(database.all("SELECT extract(epoch FROM cool_until - now())::float AS s FROM hosts")[0]["s"])
        )
    assert rests == [60, 120, 240, 480, 960, 1920, 3600]
    assert failed == ["failed", "queued", "queued", "failed", "queued", "queued", "failed"]


def test_the_named_time_is_the_jobs_and_the_hosts(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection, "bad")
        now = connection.execute("SELECT now() + interval '90 s' AS later").fetchone()
    assert now is not None
    error = failure("rate_limited", "Later.", retry_at=now["later"])
    end(database, claim_one(database), error)
    with database.transaction() as connection:
        assert job(connection, job_id)["not_before"] == now["later"]
    assert host_row(database, "bad")["cool_until"] == now["later"]


def test_after_the_rest_one_job_is_tried_at_a_time_until_one_succeeds(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(6):
            submit(connection, "bad")
    end(database, claim_one(database), LIMITED)
    with database.transaction() as connection:
        pass_time(connection, 60)
    (probe,) = claim(database)
    assert claim(database) == []
    with database.transaction() as connection:
        lease = begin(connection, probe)
    assert claim(database) == []
    end(database, lease, failure("timed_out", "No answer."))  # says nothing about the host
    (probe,) = claim(database)
    with database.transaction() as connection:
        commit_all(connection, begin(connection, probe))
    assert (host_row(database, "bad")["refusals"], host_row(database, "bad")["error_code"]) == (0, None)
    assert len(claim(database)) == 4  # all but the one that succeeded and the one that waits after its time-out


def test_a_success_during_the_rest_does_not_end_it_for_it_began_before(database: Database) -> None:
    with database.transaction() as connection:
        for _ in range(3):
            submit(connection, "bad")
    with database.transaction() as connection:
        first, second = [begin(connection, each) for each in dispatch.claim(connection, 2)]
    end(database, first, LIMITED)
    with database.transaction() as connection:
        commit_all(connection, second)
    assert host_row(database, "bad")["refusals"] == 1
    assert claim(database) == []


def test_a_run_without_a_job_tells_of_the_host_too(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "bad")
        waiting = submit(connection, "bad")
        video_id = job(connection, waiting)["video_id"]
        lease = leases.take(connection, "from the UI", [video_id], 60)[video_id]
        assert outcomes.end_run(connection, lease, LIMITED, POLICY) is None
    assert host_row(database, "bad")["cools"]
    assert claim(database) == []


def test_uploads_have_no_host_that_could_rest(database: Database) -> None:
    with database.transaction() as connection:
        submit(connection, "")
    end(database, claim_one(database), LIMITED)
    assert database.all("SELECT * FROM hosts") == []


def test_a_canceled_job_still_tells_what_its_host_said(database: Database) -> None:
    with database.transaction() as connection:
        job_id = submit(connection, "bad")
    lease = claim_one(database)
    with database.transaction() as connection:
        jobs.cancel(connection, job_id)
    assert end(database, lease, LIMITED).status == "canceled"
    assert host_row(database, "bad")["cools"]


def test_a_job_that_is_led_to_a_known_video_counts_for_the_host_that_serves_it(database: Database) -> None:
    with database.transaction() as connection:
        known = job(connection, submit(connection, "tube"))["video_id"]
        connection.execute("INSERT INTO video_aliases (alias, video_id) VALUES ('web-page', %s)", (known,))
        page = jobs.insert(connection, jobs.JobRequest(source_url="http://blog/page"))
        key = VideoKey("web-page", "web", "page", "http://blog/page", None, None, "blog")
        assert dispatch.attach(connection, page, key) == known
        assert job(connection, page)["source_host"] == "tube"


# ---- limits, pauses, fairness ---------------------------------------------------------------------------------------


def ruled(**rules: HostRule) -> HostRules:
    return HostRules(HostRule(), tuple(rules.items()))


def test_no_more_jobs_of_a_host_are_in_flight_than_its_rule_says(database: Database) -> None:
    rules = ruled(slow=HostRule(concurrency=2))
    with database.transaction() as connection:
        for host in ("slow", "slow", "slow", "slow", "free", "free", "free", ""):
            submit(connection, host)
    claimed = claim(database, rules)
    assert sorted(hosts_of(claimed)) == ["free", "free", "free", "slow", "slow", "upload"]
    assert claim(database, rules) == []
    slow = next(each for each in claimed if "slow" in each.video_id)
    with database.transaction() as connection:
        lease = begin(connection, slow)
    assert claim(database, rules) == []
    end(database, lease, failure("not_found", "Gone."))
    assert hosts_of(claim(database, rules)) == ["slow"]


def test_starts_at_a_host_are_a_pause_apart_counted_from_where_the_run_began(database: Database) -> None:
    rules = ruled(paced=HostRule(pause_seconds=10))
    with database.transaction() as connection:
        for host in ("paced", "paced", "paced", "free", "free"):
            submit(connection, host)
    claimed = claim(database, rules)
    assert sorted(hosts_of(claimed)) == ["free", "free", "paced"]
    assert [row["host"] for row in database.all("SELECT host FROM hosts")] == ["paced"]
    with database.transaction() as connection:
        pass_time(connection, 60)
    assert claim(database, rules) == [], "the first still waits for a worker"
    with database.transaction() as connection:
        begin(connection, next(each for each in claimed if "paced" in each.video_id))
    assert claim(database, rules) == []
    with database.transaction() as connection:
        pass_time(connection, 9)
    assert claim(database, rules) == []
    with database.transaction() as connection:
        pass_time(connection, 2)
    assert hosts_of(claim(database, rules)) == ["paced"]


@pytest.mark.parametrize("busy", [("busy",), ("busy", "also"), ("busy", "also", "and")])
def test_a_newcomers_job_is_claimed_at_once_however_busy_other_hosts_are(
    database: Database, busy: tuple[str, ...]
) -> None:
    with database.transaction() as connection:
        for host in busy * 30:
            submit(connection, host)
    assert len(claim(database)) == 15
    assert claim(database) == []
    with database.transaction() as connection:
        submit(connection, "new")
        submit(connection, "new")
        submit(connection, "urgent", 9)
    claimed = claim(database)
    assert (hosts_of(claimed), [each.turn for each in claimed]) == (["urgent", "new"], [1, 1])


@pytest.mark.parametrize("window", range(1, 9))
def test_the_smallest_installation_comes_to_the_end_of_one_hosts_queue(database: Database, window: int) -> None:
    with database.transaction() as connection:
        for priority in (0, 0, 5, 0):
            submit(connection, "only", priority)
    rounds = 0
    while claimed := claim(database, window=window, reserve=window // RESERVE):
        rounds += 1
        with database.transaction() as connection:
            for each in claimed:
                commit_all(connection, begin(connection, each))
    assert database.all("SELECT FROM ingest_jobs WHERE status <> 'succeeded'") == []
    assert rounds <= 4


@pytest.mark.parametrize("end_of_probe", ["cancel", "cancel in SQL", "delete", "its run dies"])
def test_a_probe_that_comes_to_nothing_leaves_its_place_to_the_next(database: Database, end_of_probe: str) -> None:
    with database.transaction() as connection:
        for _ in range(3):
            submit(connection, "bad")
    end(database, claim_one(database), BOT)
    with database.transaction() as connection:
        pass_time(connection, 60)
    (probe,) = claim(database)
    with database.transaction() as connection:
        match end_of_probe:
            case "cancel":
                jobs.cancel(connection, probe.job_id)
            case "cancel in SQL":
                connection.execute("UPDATE ingest_jobs SET cancel_requested = true WHERE job_id = %s", (probe.job_id,))
                dispatch.cancel_requested(connection)
            case "delete":
                connection.execute("DELETE FROM ingest_jobs WHERE job_id = %s", (probe.job_id,))
            case _:
                outcomes.end_attempt(connection, probe.job_id, probe.attempt, failure("worker_lost"), POLICY)
    (after,) = claim(database)
    assert after.job_id != probe.job_id


def test_claimed_jobs_come_in_the_order_in_which_they_are_to_run(database: Database) -> None:
    with database.transaction() as connection:
        for host, priority in (("a", 0), ("a", 0), ("a", 0), ("b", 0), ("c", 3)):
            submit(connection, host, priority)
            time.sleep(0.001)
    claimed = claim(database)
    assert hosts_of(claimed) == ["c", "a", "b", "a", "a"]
    assert [each.turn for each in claimed] == [1, 1, 1, 2, 3]


def test_the_least_and_the_greatest_priority_stop_nobody(database: Database) -> None:
    with database.transaction() as connection:
        ids = [submit(connection, "h", priority) for priority in (-(2**31), 2**31 - 1, 0)]
    assert [each.job_id for each in claim(database)] == [ids[1], ids[2], ids[0]]


def test_a_queue_of_many_jobs_and_hosts_is_claimed_in_a_moment_although_it_was_never_analyzed(
    database: Database,
) -> None:
    with database.transaction() as connection:
        connection.execute("ALTER TABLE ingest_jobs DISABLE TRIGGER USER")
        connection.execute(
            "INSERT INTO videos (video_id, source, source_id, source_url)"
            " SELECT 'web-' || n, 'web', n, 'http://x/' FROM generate_series(1, 20000) AS n"
        )
        connection.execute(
            "INSERT INTO ingest_jobs (source_url, video_id, source_host)"
            " SELECT 'http://x/', 'web-' || n, 'host-' || n % 300 FROM generate_series(1, 20000) AS n"
        )
    started = time.perf_counter()
    claimed = claim(database)
    took = time.perf_counter() - started
    assert (len(claimed), {each.turn for each in claimed}) == (20, {1})
    assert took < 1.5, f"{took:.2f} s"  # some 60 ms; seconds if the plan depends on statistics


# ---- any order of events --------------------------------------------------------------------------------------------

RULES = ruled(two=HostRule(concurrency=2), paced=HostRule(pause_seconds=100))
NAMES = st.sampled_from(["free", "two", "paced"])
ERRORS = st.sampled_from([LIMITED, BOT, CAPTCHA, failure("timed_out", "No answer."), failure("not_found", "Gone.")])


class HostMachine(RuleBasedStateMachine):
    """Claims, ends, resets and time in any order; what must hold is computed here, apart from the code."""

    url: str

    @initialize()
    def open(self) -> None:
        self.db = psycopg.connect(self.url, autocommit=True, row_factory=dict_row)
        with self.transaction() as connection:
            connection.execute(
                "TRUNCATE ingest_jobs, videos, video_aliases, media_files, video_metadata, hosts, publications,"
                " claim_pauses, metadata_corrections, hosts_contacted"
            )
        self.submitted: set[UUID] = set()
        self.dispatched: dict[UUID, Dispatched] = {}
        self.running: list[Lease] = []
        for name in ("free", "two", "paced"):
            self.submit(name, 4)
        self.claim()
        self.begin(0, 6)
        self.submit("free", 3)

    def teardown(self) -> None:
        if hasattr(self, "db"):
            self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.db.transaction():
            yield self.db

    @rule(host=NAMES, number=st.integers(1, 4))
    def submit(self, host: str, number: int) -> None:
        with self.transaction() as connection:
            self.submitted |= {submit(connection, host) for _ in range(number)}

    @rule()
    def claim(self) -> None:
        before = {name: self.state(name) for name in ("free", "two", "paced")}
        with self.transaction() as connection:
            claimed = dispatch.claim(connection, 100, RULES)
        for name, state in before.items():
            assert hosts_of(claimed).count(name) == self.allowed(name, state), (name, state)
        self.dispatched |= {each.job_id: each for each in claimed}

    def state(self, host: str) -> dict[str, Any]:
        row = self.db.execute(
            "SELECT count(*) FILTER (WHERE status = 'queued' AND coalesce(not_before <= now(), true)) AS ready,"
            " count(*) FILTER (WHERE status IN ('dispatched', 'running')) AS in_flight,"
            " count(*) FILTER (WHERE status = 'dispatched') AS dispatched FROM ingest_jobs WHERE source_host = %s",
            (host,),
        ).fetchone()
        known = self.db.execute(
            "SELECT refusals, cool_until > now() AS cools, last_started_at > now() - interval '100 s' AS just_started"
            " FROM hosts WHERE host = %s",
            (host,),
        ).fetchone()
        return (row or {}) | (known or {"refusals": 0, "cools": False, "just_started": False})

    def allowed(self, name: str, state: dict[str, Any]) -> int:
        if state["cools"]:
            return 0
        limits = [state["ready"]]
        if state["refusals"]:
            limits.append(0 if state["in_flight"] else 1)
        if name == "two":
            limits.append(max(0, 2 - state["in_flight"]))
        if name == "paced":
            limits.append(0 if state["just_started"] or state["dispatched"] else 1)
        return int(min(limits))

    @rule(which=st.integers(0, 9), number=st.integers(1, 6))
    def begin(self, which: int, number: int) -> None:
        for _ in range(min(number, len(self.dispatched))):
            ids = sorted(self.dispatched, key=str)
            claimed = self.dispatched.pop(ids[which % len(ids)])
            with self.transaction() as connection:
                taken = leases.take(connection, f"run-{claimed.run_key}", [claimed.video_id], 600)
                lease = taken.get(claimed.video_id)
                if lease and leases.bind(connection, Dispatch(claimed.job_id, claimed.attempt), lease):
                    self.running.append(lease)
                elif lease:
                    leases.release(connection, [lease])

    @rule(which=st.integers(0, 9), error=ERRORS)
    def fail(self, which: int, error: IngestError) -> None:
        if not self.running:
            return
        lease = self.running.pop(which % len(self.running))
        name = lease.video_id.split("-")[1]
        before = self.state(name)
        failures = self.db.execute("SELECT failures FROM ingest_jobs WHERE run_id = %s", (lease.run_id,)).fetchone()
        with self.transaction() as connection:
            verdict = outcomes.end_run(connection, lease, error, POLICY)
        assert verdict is not None
        assert failures is not None
        after = self.state(name)
        if not breaker.is_refusal(error):
            assert (after["refusals"], after["cools"]) == (before["refusals"], before["cools"])
            return
        assert after["cools"]
        assert after["dispatched"] == 0
        assert after["refusals"] == before["refusals"] + (not before["cools"])
        agree = self.db.execute("SELECT FROM hosts WHERE host = %s AND cool_until = %s", (name, verdict.not_before))
        assert verdict.status == "failed" or agree.fetchone() is not None
        charged = verdict.failures - failures["failures"]
        assert charged == (not before["cools"]), "a burst costs one job an attempt, not all"

    @rule(which=st.integers(0, 9))
    def succeed(self, which: int) -> None:
        if self.running:
            lease = self.running.pop(which % len(self.running))
            name = lease.video_id.split("-")[1]
            before = self.state(name)
            with self.transaction() as connection:
                commit_all(connection, lease)
                leases.release(connection, [lease])
            assert self.state(name)["refusals"] == (before["refusals"] if before["cools"] else 0)

    @rule(host=NAMES)
    def reset(self, host: str) -> None:
        with self.transaction() as connection:
            if connection.execute("SELECT FROM ingest_jobs WHERE source_host = %s", (host,)).fetchone() is not None:
                breaker.reset(connection, host)
                assert self.state(host)["refusals"] == 0

    @rule(seconds=st.sampled_from([7, 70, 70, 700]))
    def wait(self, seconds: float) -> None:
        with self.transaction() as connection:
            pass_time(connection, seconds)

    @invariant()
    def no_job_is_lost(self) -> None:
        if not hasattr(self, "db"):
            return
        rows = self.db.execute("SELECT job_id, status, run_id, failures FROM ingest_jobs").fetchall()
        assert {row["job_id"] for row in rows} == self.submitted
        assert {row["run_id"] for row in rows if row["status"] == "running"} == {x.run_id for x in self.running}
        assert {row["job_id"] for row in rows if row["status"] == "dispatched"} <= set(self.dispatched)
        assert all(row["failures"] <= POLICY.max_attempts for row in rows)


def test_whatever_happens_in_whatever_order_hosts_get_what_they_are_owed(database: Database) -> None:
    HostMachine.url = database.url
    run_state_machine_as_test(
        HostMachine,
        settings=hypothesis_settings(
            max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# ---- the commands ---------------------------------------------------------------------------------------------------


def refuse(database: Database, host: str, error: IngestError, more: int = 2) -> None:
    with database.transaction() as connection:
        for _ in range(more + 1):
            submit(connection, host)
    end(database, claim_one(database), error)


def test_hosts_shows_who_rests_why_and_the_rule_in_force(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_HOST_RULES", '{"example.com": {"concurrency": 1, "pause_seconds": 2.5}}')
    assert cli("hosts").err == "No host has unfinished jobs, and none cools down.\n"
    refuse(database, "www.example.com", BOT)
    said = cli("hosts")
    assert said.code == 0
    for words in ("www.example.com", "cooling until", "bot_check", "1 at once, 2.5 s apart"):
        assert words in said.out
    (host,) = cli("hosts", "--json").json
    assert (host["host"], host["state"], host["queued"], host["refusals"]) == ("www.example.com", "cooling", 2, 1)
    assert host["rule"] == {"concurrency": 1, "pause_seconds": 2.5}
    assert "waits: www.example.com cools down until" in cli("jobs", "--status", "queued").out
    assert cli("jobs", "--status", "queued", "--json").json[0]["host_wait"]["why"] == "cooling"


def test_hosts_reset_ends_the_rest_at_once_and_says_what_was_changed(database: Database, settings: Settings) -> None:
    refuse(database, "www.example.com", LIMITED)
    said = cli("hosts", "reset", "WWW.example.com")
    assert said.out.startswith("www.example.com is open again: 1 refusal (rate_limited) forgotten, its cool-down until")
    assert len(claim(database)) == 3, "the refused job, too, waits no longer"
    assert cli("hosts", "reset", "www.example.com").err == "www.example.com is open already.\n"
    assert cli("hosts", "reset", "--all", "--json").json == []


def test_retry_says_what_the_host_still_keeps_the_job_waiting_for(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("narralytica_ingest.cli.change.up_is_running", lambda _: True)
    refuse(database, "www.bad.com", BOT, more=0)
    (row,) = database.all("SELECT job_id FROM ingest_jobs")
    said: list[str] = []
    monkeypatch.setattr("narralytica_ingest.cli.change._print", said.append)
    retry(str(row["job_id"]))
    assert "queued again (it was failed). It waits: www.bad.com cools down until" in said[0]
    assert said[0].endswith("`narralytica-ingest hosts reset www.bad.com` ends that.")


def test_reset_of_a_domain_resets_its_hosts_and_no_other_that_ends_alike(
    database: Database, settings: Settings
) -> None:
    for host in ("www.example.com", "m.example.com", "notexample.com"):
        refuse(database, host, failure("rate_limited"))
    cli("hosts", "reset", "example.com")
    assert {host: host_row(database, host)["refusals"] > 0 for host in ("www.example.com", "m.example.com")} == {
        "www.example.com": False,
        "m.example.com": False,
    }
    assert host_row(database, "notexample.com")["refusals"] > 0


def test_a_host_that_no_job_has_cannot_be_reset(database: Database, settings: Settings) -> None:
    said = cli("hosts", "reset", "typo.example.com")
    assert (said.code, said.out) == (2, "")
    assert said.sentence.startswith("Error: No job has the host typo.example.com")


@pytest.mark.parametrize("arguments", [[], [""], ["www.example.com", "--all"]])
def test_reset_wants_one_host_or_all(database: Database, settings: Settings, arguments: list[str]) -> None:
    said = cli("hosts", "reset", *arguments)
    assert (said.code, said.out) == (2, "")
    assert "--all" in said.sentence


def test_retry_of_a_job_that_only_waits_for_its_host_names_the_host(database: Database, settings: Settings) -> None:
    refuse(database, "www.bad.com", BOT)
    waiting = database.all("SELECT job_id FROM ingest_jobs WHERE status = 'queued' LIMIT 1")[0]["job_id"]
    said = cli("retry", str(waiting))
    assert said.code == 2
    assert "is queued and waits: www.bad.com cools down" in said.sentence
    assert "`narralytica-ingest hosts reset www.bad.com` ends that" in said.sentence
