"""What a person says on the command line becomes a clean value for its column, or a sentence about what is wrong."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narralytica_ingest.failures import IngestError
from narralytica_ingest.metadata.columns import COLUMNS
from narralytica_ingest.metadata.corrections import FIELDS, parse


@pytest.mark.parametrize(
    ("said", "field", "value"),
    [
        ("title=A talk = a talk", "title", "A talk = a talk"),
        ("title=", "title", None),
        ("description=two\r\nlines", "description", "two\nlines"),
        ("language=PT_br", "language", "pt-BR"),
        ("tags=a, b ,a", "tags", ["a", "b"]),
        ('tags=["a, b"]', "tags", ["a, b"]),
        ("age_limit=18", "age_limit", 18),
        ("live_status=was_live", "live_status", "was_live"),
        ("published_at=2026-03-14T09:26:53+01:00", "published_at", "2026-03-14T08:26:53Z"),
        ("published_at=14.3.2026", "published_at", IngestError),
        ("published_at=2026-03-14 09:26", "published_at", IngestError),  # in which time zone?
        ("uploaded_at=2026-03", "uploaded_at", "2026-03"),
        ("uploaded_at=2026", "uploaded_at", "2026"),
        ("channel_url=https://h/c", "channel_url", "https://h/c"),
        ("channel_url=h/c", "channel_url", IngestError),
        (
            'chapters=[{"title": "Intro", "start_seconds": 0, "end_seconds": 60}, {"start_seconds": 60}]',
            "chapters",
            [
                {"title": "Intro", "start_seconds": 0.0, "end_seconds": 60.0},
                {"title": None, "start_seconds": 60.0, "end_seconds": None},
            ],
        ),
        ("chapters=0:00 Intro", "chapters", IngestError),
        ("language=English", "language", IngestError),
        ("age_limit=adult", "age_limit", IngestError),
        ("view_count=7", "view_count", IngestError),
        ("measured_width=7", "measured_width", IngestError),
        ("title", "title", IngestError),
    ],
)
def test_a_correction_is_read_as_its_column_wants_it(said: str, field: str, value: Any) -> None:
    if value is IngestError:
        with pytest.raises(IngestError) as raised:
            parse([said])
        assert raised.value.code == "invalid_correction"
        assert field in raised.value.message
    else:
        assert parse([said]) == {field: value}


@given(st.sampled_from([column.name for column in COLUMNS]), st.text())
@settings(deadline=None)
def test_whatever_is_said_is_understood_or_refused(field: str, said: str) -> None:
    refused = None
    try:
        found = parse([f"{field}={said}"])
    except IngestError as error:
        found, refused = {field: None}, error
    assert set(found) == {field}
    assert refused is None or (refused.code == "invalid_correction" and refused.message.isprintable())
    assert field in FIELDS or refused
