"""How much a host may be asked, how long a refusal rests it, and in which order runs are taken. Without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.cli.describe import clock, detail_text, next_step
from narralytica_ingest.config import HostRule, Settings
from narralytica_ingest.failures import FailureClass, IngestError, failure
from narralytica_ingest.sensors.dispatch import queue_priority
from narralytica_ingest.store.breaker import Standing, is_refusal
from narralytica_ingest.store.hosts import UNLIMITED, Host, HostRules, HostState, Wait, host_rules
from narralytica_ingest.store.outcomes import Verdict, cool_until, decide, retry_policy
from narralytica_ingest_tests.unit.test_cli_words import JOB

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POLICY = retry_policy(Settings())
LIMITED = failure("rate_limited", "Less often, please.")
BOT = failure("bot_check", "Not a bot?")
TRUSTED = Standing(0, None)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# ---- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "concurrency"),
    [
        ("youtube.com", 1),
        ("www.youtube.com", 1),
        ("music.youtube.com", 2),
        ("a.music.youtube.com", 2),
        ("notyoutube.com", 9),
        ("youtube.com.evil.example", 9),
        ("example.com", 3),
        ("cdn.example.com", 3),
        ("", 9),
    ],
)
def test_a_rule_holds_for_its_domain_and_subdomains_and_the_longest_wins(host: str, concurrency: int) -> None:
    rules = {
        "YouTube.com": HostRule(concurrency=1),
        "music.youtube.com": HostRule(concurrency=2),
        "*.example.com.": HostRule(concurrency=3),
    }
    assert host_rules(Settings(host_concurrency=9, host_rules=rules)).of(host).concurrency == concurrency


def test_a_star_is_the_rule_for_all_others_and_letters_of_any_script_are_the_same_domain() -> None:
    rules = host_rules(Settings(host_rules={"*": HostRule(concurrency=4), "Bücher.example": HostRule(concurrency=1)}))
    assert rules.of("other.example").concurrency == 4
    assert rules.of("www.xn--bcher-kva.example").concurrency == 1


@pytest.mark.parametrize(("idle", "room"), [(None, 1), (0, 0), (9.9, 0), (10, 1), (-3600, 1)])
def test_a_clock_that_is_set_back_stops_no_host(idle: float | None, room: int) -> None:
    assert Host("h", queued=1, idle_seconds=idle).room(HostRule(pause_seconds=10))[0] == room


def test_a_rule_replaces_both_defaults() -> None:
    named = {"example.com": HostRule(concurrency=2)}
    rules = host_rules(Settings(host_concurrency=1, host_pause_seconds=5, host_rules=named))
    assert rules.of("example.com") == HostRule(concurrency=2, pause_seconds=0)
    assert rules.of("example.org") == HostRule(concurrency=1, pause_seconds=5)


# ---- room -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "rule", "expected"),
    [
        (Host("h", dispatched=10, running=5), HostRule(), (UNLIMITED, None)),
        (Host("h", running=1), HostRule(concurrency=3), (2, None)),
        (Host("h", running=4), HostRule(concurrency=3), (0, Wait.CONCURRENCY)),
        (Host("h", cools=True, refusals=1), HostRule(), (0, Wait.COOLING)),
        (Host("h", cools=True), HostRule(concurrency=3), (0, Wait.COOLING)),
        (Host("h", refusals=2), HostRule(), (1, None)),
        (Host("h", refusals=2, running=1), HostRule(), (0, Wait.TRYING_ONE)),
        (Host("h"), HostRule(pause_seconds=9), (1, None)),
        (Host("h", running=3, idle_seconds=9), HostRule(pause_seconds=9), (1, None)),
        (Host("h", idle_seconds=8.9), HostRule(pause_seconds=9), (0, Wait.PAUSE)),
        (Host("h", dispatched=1, idle_seconds=60), HostRule(pause_seconds=9), (0, Wait.PAUSE)),
        (Host("", dispatched=3), HostRule(concurrency=1, pause_seconds=9), (UNLIMITED, None)),
    ],
)
def test_a_host_has_room_for_as_many_jobs_as_its_rule_and_its_state_allow(
    host: Host, rule: HostRule, expected: tuple[int, Wait | None]
) -> None:
    assert host.room(rule) == expected


def test_the_breaker_has_three_states() -> None:
    states = [Host("h").state, Host("h", refusals=1, cools=True).state, Host("h", refusals=1).state]
    assert states == [HostState.OPEN, HostState.COOLING, HostState.TRYING_ONE]


# ---- refusals -------------------------------------------------------------------------------------------------------


def test_only_what_speaks_about_the_host_is_a_refusal() -> None:
    captcha = failure("captcha", "A captcha.")
    others = [
        IngestError(FailureClass.NEEDS_OPERATOR, code, "About the video.")
        for code in ("login_required", "age_restricted", "members_only", "geo_blocked", "cookies_needed")
    ]
    assert all(map(is_refusal, (LIMITED, BOT, captcha)))
    assert not any(map(is_refusal, [*others, failure("server_error", "500.")]))


def test_cool_downs_double_up_to_the_longest() -> None:
    assert [POLICY.cooldown(n) for n in (1, 2, 3, 6, 7, 10_000)] == [60, 120, 240, 1920, 3600, 3600]


def test_a_source_that_always_refuses_ends_its_job_within_four_minutes_and_then_the_host_rests_long() -> None:
    now, failures, host, waited = NOW, 0, TRUSTED, []
    for _ in range(20):
        verdict = decide(LIMITED, failures, None, POLICY, now, host=host)
        until = cool_until(LIMITED, verdict, POLICY, now, host)
        if verdict.not_before is None:
            break
        assert until == verdict.not_before
        waited.append((until - now).total_seconds())
        now, failures, host = until, verdict.failures, Standing(host.refusals + 1, until)
    assert waited == [45, 45, 45]
    assert verdict == Verdict("failed", 4, None)
    # Each attempt may take 15 s, and each look at the table, and each run's start, 5 s more.
    assert sum(waited) + 4 * (15 + 5) + 3 * 5 <= 240
    assert until - now == timedelta(seconds=480)


@pytest.mark.parametrize("named", [2, 45, 7200])
def test_the_time_that_the_source_names_is_kept_by_the_job_and_by_the_host(named: int) -> None:
    error = failure("rate_limited", "Later.", retry_at=after(named))
    verdict = decide(error, 0, None, POLICY, NOW, host=TRUSTED)
    assert verdict == Verdict("queued", 1, after(named))
    assert cool_until(error, verdict, POLICY, NOW, TRUSTED) == after(named)


def test_where_the_job_ends_the_host_rests_as_long_as_the_source_says_or_as_we_would() -> None:
    soon = failure("rate_limited", "Later.", retry_at=after(1))
    late = failure("rate_limited", "Later.", retry_at=after(500))
    failed = decide(soon, 3, None, POLICY, NOW, host=Standing(1, after(-1)))
    assert failed.status == "failed"
    assert cool_until(soon, failed, POLICY, NOW, Standing(1, after(-1))) == after(120)
    assert cool_until(late, failed, POLICY, NOW, Standing(1, after(-1))) == after(500)


def test_the_first_bot_check_fails_its_job_and_later_ones_are_charged_and_wait_for_the_whole_cool_down() -> None:
    assert decide(BOT, 0, None, POLICY, NOW, host=TRUSTED) == Verdict("failed", 1, None)
    suspected = Standing(3, after(-1))
    assert decide(BOT, 0, None, POLICY, NOW, host=suspected) == Verdict("queued", 1, after(480))
    assert decide(BOT, 3, None, POLICY, NOW, host=suspected) == Verdict("failed", 4, None)


@given(failures=st.integers(0, 3), refusals=st.integers(0, 9), error=st.sampled_from([LIMITED, BOT]))
def test_a_job_that_is_refused_while_its_host_cools_down_already_is_kept_waiting_and_not_charged(
    failures: int, refusals: int, error: IngestError
) -> None:
    cooling = Standing(refusals, after(30))
    assert decide(error, failures, None, POLICY, NOW, host=cooling) == Verdict("queued", failures, after(30))


def test_a_refusal_of_what_has_no_host_is_like_any_other_failure() -> None:
    assert decide(BOT, 0, None, POLICY, NOW).status == "failed"
    verdict = decide(LIMITED, 0, None, POLICY, NOW)
    assert verdict.not_before is not None
    assert after(5) <= verdict.not_before <= after(6.25)


# ---- order ----------------------------------------------------------------------------------------------------------


def test_a_newcomers_run_is_taken_before_the_rest_of_a_busy_host_which_is_not_passed_over_for_ever() -> None:
    first, second, tenth = (queue_priority(0, turn, 1_000_000) for turn in (1, 2, 10))
    assert first > second > tenth
    newcomer, an_hour_later = queue_priority(0, 1, 1_000_100), queue_priority(0, 1, 1_003_600)
    assert second > newcomer > tenth > an_hour_later


def test_an_urgent_job_goes_first_whatever_its_place() -> None:
    assert queue_priority(1, 500, 1_900_000_000) > queue_priority(0, 1, 1_500_000_000)
    assert queue_priority(0, 500, 1_900_000_000) > queue_priority(-1, 1, 1_500_000_000)


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        ({"why": "cooling", "until": NOW, "error_code": "bot_check"}, f"cools down until {clock(NOW)} (bot_check)"),
        (
            {"why": "trying_one", "error_code": "rate_limited"},
            "is tried by one job at a time until one succeeds (rate_limited)",
        ),
        ({"why": "concurrency", "limit": 1, "error_code": None}, "has its 1 job at once"),
        ({"why": "concurrency", "limit": 3, "error_code": None}, "has its 3 jobs at once"),
        ({"why": "pause", "error_code": None}, "is given a pause between two starts"),
    ],
)
def test_a_queued_job_says_what_its_host_keeps_it_waiting_for(wait: dict[str, object], said: str) -> None:
    job = JOB | {"host_wait": {"host": "www.example.com", "until": None, "limit": None} | wait}
    assert detail_text(job) == f"waits: www.example.com {said}"
    step = next_step(job, up_is_running=True)
    assert step is not None
    assert said in step
    assert ("narralytica-ingest hosts reset www.example.com" in step) == bool(wait["error_code"])


def test_times_of_another_day_have_their_date() -> None:
    assert clock(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2020-01-02 03:04:05 UTC"
    assert len(clock(datetime.now(UTC))) == len("03:04:05 UTC")


def test_without_rules_nothing_is_limited() -> None:
    assert host_rules(Settings()) == HostRules(HostRule())
