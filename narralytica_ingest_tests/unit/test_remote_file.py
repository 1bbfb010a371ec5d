"""What headers say, and what they cannot say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.remote_file import Answer, RemoteFile, require_known_end, retry_after

NOW = datetime(2026, 3, 14, 9, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("77", 77), (" 5 ", 5), ("99999999", 86_400), ("Sat, 14 Mar 2026 09:27:00 GMT", 60),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None), ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("\u00b2", None), ("9" * 5000, None), ("soon", None), ("", None), (None, None), ("-1", None),
    ],
)  # fmt: skip
def test_retry_after_is_a_time_or_nothing(value: str | None, seconds: int | None) -> None:
    assert retry_after(value, NOW) == (None if seconds is None else NOW + timedelta(seconds=seconds))


@given(st.text(max_size=60))
def test_no_header_value_is_too_odd(value: str) -> None:
    retry_after(value, NOW)
    headers = {"Content-Length": value, "Content-Range": value, "ETag": value, "Last-Modified": value}
    for status in (200, 206):
        assert isinstance(RemoteFile.of(status, headers), RemoteFile)
        Answer.of(status, headers)


@pytest.mark.parametrize("encoding", ["aws-chunked", "identity", "utf-8", ""])
def test_an_encoding_that_nobody_undoes_changes_nothing(encoding: str) -> None:
    require_known_end({"Content-Length": "5", "Content-Encoding": encoding})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Length": "5", "Content-Encoding": "gzip"},
        {"Content-Length": "5", "Content-Encoding": "br"},
        {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip", "Content-Range": "bytes 0-4/9"},
    ],
)
def test_what_may_be_cut_unnoticed_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(IngestError, match="length_unknown"):
        require_known_end(headers)


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_validator_proves_nothing(empty: str) -> None:
    file = RemoteFile.of(200, {"ETag": empty, "Last-Modified": empty, "Content-Length": "10"})
    assert (file.validator, file.is_proof) == (None, False)
    assert RemoteFile.of(200, {"ETag": '""', "Content-Length": "10"}).is_proof  # odd, and a name like any other
