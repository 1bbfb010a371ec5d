"""What becomes of what is wrong with a file: it ends the ingest, or is recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from narralytica_ingest.config import Settings
from narralytica_ingest.failures import CATALOGUE, FailureClass, IngestError
from narralytica_ingest.media.findings import FINDINGS, Finding, Verdict, judge, require_changeable, verdict_on

CODES = list(FINDINGS)
FIXED = [code for code, kind in FINDINGS.items() if kind.fixed]
OPEN = [code for code, kind in FINDINGS.items() if not kind.fixed]
verdicts = st.dictionaries(st.sampled_from(OPEN), st.sampled_from(["fail", "warn"]))
found = st.lists(st.builds(Finding, st.sampled_from(CODES), st.sampled_from(["One.", "Another."])))


def test_every_finding_is_a_permanent_failure_where_it_fails() -> None:
    assert {CATALOGUE[code].failure_class for code in CODES} == {FailureClass.PERMANENT}


def test_what_leaves_no_honest_track_always_fails() -> None:
    assert FIXED == ["truncated_media", "no_audio_stream", "empty_track"]
    assert all(FINDINGS[code].verdict == "fail" for code in FIXED)


def test_what_the_source_itself_is_like_is_recorded_by_default() -> None:
    findings = [Finding(code, "So it is.") for code in OPEN]
    assert judge(findings) == findings


def test_a_setting_lets_a_finding_fail() -> None:
    with pytest.raises(IngestError) as raised:
        judge([Finding("silent_track", "Nothing is to be heard.")], {"silent_track": "fail"})
    assert (raised.value.code, raised.value.message) == ("silent_track", "Nothing is to be heard.")


@given(found, verdicts)
def test_what_fails_is_raised_and_all_else_is_recorded_once(
    findings: list[Finding], verdicts: dict[str, Verdict]
) -> None:
    failing = [each for each in findings if verdict_on(each.code, verdicts) == "fail"]
    if failing:
        with pytest.raises(IngestError) as raised:
            judge(findings, verdicts)
        assert raised.value.code == min((each.code for each in failing), key=CODES.index)
    else:
        kept = judge(findings, verdicts)
        assert sorted(map(str, kept)) == sorted(map(str, set(findings)))
        assert kept == sorted(kept, key=lambda each: CODES.index(each.code))


@pytest.mark.parametrize("code", FIXED)
def test_a_verdict_that_would_let_a_half_track_pass_is_refused(code: str) -> None:
    require_changeable({code: "fail"})
    with pytest.raises(ValidationError, match=f"{code} always fails"):
        Settings(finding_verdicts={code: "warn"})


def test_a_code_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="no finding is called hole"):
        Settings(finding_verdicts={"hole": "fail"})


def test_verdicts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NARRALYTICA_FINDING_VERDICTS", '{"gaps": "fail", "clipped": "warn"}')
    assert Settings().finding_verdicts == {"gaps": "fail", "clipped": "warn"}
    monkeypatch.setenv("NARRALYTICA_FINDING_VERDICTS", '{"gaps": "ignore"}')
    with pytest.raises(ValidationError, match="finding_verdicts"):
        Settings()
