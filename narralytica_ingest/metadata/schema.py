"""The rows of metadata as a typed pandas DataFrame, checked with Pandera against `columns.py`.

A row that breaks the schema is a mistake of ours: its video gets a failure, and no other does.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.metadata.columns import COLUMNS, Column, Kind
from narralytica_ingest.metadata.values import LIST_ITEMS, language

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

Row = Mapping[str, Any]

_NEVER_NULL = ("video_id", "origins")


def typed(rows: Sequence[Row]) -> "tuple[pd.DataFrame, dict[str, IngestError]]":
    """The rows that keep the schema, one column each of `columns.py`, and a failure for each video whose row does not.

    Unknown is pandas' NA. The failures are `metadata_invalid` (needs_operator).
    """
    # Imported here, so that a sensor's tick does not load it.
    import pandas as pd
    from pandera.errors import SchemaError, SchemaErrors

    try:
        return _schema().validate(_frame(rows), lazy=True), {}
    except (SchemaError, SchemaErrors, ValueError, TypeError, OverflowError) as error:
        if len(rows) == 1:
            return _frame([]), {str(rows[0]["video_id"]): _invalid(rows[0], error)}
    # Halves, since it is mostly one of hundreds.
    middle = len(rows) // 2
    (first, broken), (second, also_broken) = typed(rows[:middle]), typed(rows[middle:])
    kept = [each for each in (first, second) if len(each)] or [first]
    return pd.concat(kept, ignore_index=True), broken | also_broken


def _invalid(row: Row, error: Exception) -> IngestError:
    cases = getattr(error, "failure_cases", None)  # a DataFrame, where it was Pandera that found them
    found = [error] if cases is None else [f"{case['column']}: {case['check']}" for case in cases.to_dict("records")]
    reason = "; ".join(" ".join(str(each).split()) for each in found)[:300]
    return failure("metadata_invalid", f"The metadata of {row['video_id']} breaks its schema ({reason}): report it.")


def _frame(rows: Sequence[Row]) -> "pd.DataFrame":
    import pandas as pd

    types = _types()
    return pd.DataFrame(
        {
            column.name: pd.Series([row[column.name] for row in rows], dtype=types[column.kind])
            for column in COLUMNS
        }
    )  # fmt: skip


@cache
def _types() -> Mapping[Kind, Any]:
    import pandas as pd

    return {
        Kind.TEXT: pd.StringDtype(na_value=pd.NA),
        Kind.INTEGER: pd.Int64Dtype(),
        Kind.BIGINT: pd.Int64Dtype(),
        Kind.NUMBER: pd.Float64Dtype(),
        Kind.MOMENT: pd.DatetimeTZDtype("us", "UTC"),
        Kind.JSON: object,
    }


@cache
def _schema() -> "pa.DataFrameSchema":
    import pandera.pandas as pa

    columns = {
        column.name: pa.Column(
            _types()[column.kind],
            checks=_checks(column),
            nullable=column.name not in _NEVER_NULL,
            description=column.description,
        )
        for column in COLUMNS
    }
    known_alike = [
        pa.Check(
            lambda frame, at=at, precision=precision: frame[at].isna() == frame[precision].isna(),
            name=f"{at} has a precision",
        )
        for at, precision in (("published_at", "published_precision"), ("uploaded_at", "uploaded_precision"))
    ]
    return pa.DataFrameSchema(columns, checks=known_alike, strict=True, unique=["video_id"], ordered=True)


def _checks(column: Column) -> "list[pa.Check]":
    import pandera.pandas as pa

    found: list[pa.Check] = []
    if column.longest is not None:
        found.append(pa.Check.str_length(1, column.longest))
    if column.one_of:
        found.append(pa.Check.isin(column.one_of))
    if column.least is not None:
        found.append(pa.Check.ge(column.least))
    if column.below is not None:
        found.append(pa.Check.lt(column.below))
    if column.is_url:
        found.append(pa.Check.str_matches(r"^(?i:https?)://\S+$"))
    if column.name == "language":
        found.append(pa.Check(lambda tag: language(tag) == tag, element_wise=True, name="is a BCP 47 tag"))
    if column.kind is Kind.JSON:
        wanted = dict if column.name == "origins" else list
        found.append(
            pa.Check(
                lambda value: isinstance(value, wanted) and len(value) <= LIST_ITEMS,
                element_wise=True,
                name=f"is a {wanted.__name__} of at most {LIST_ITEMS}",
            )
        )
    return found
