"""A playlist's job and its children, in words and numbers. Pure: rows in, text out."""

from collections import Counter
from collections.abc import Sequence

from narralytica_ingest.cli.describe import state_text
from narralytica_ingest.store.database import Row

_AT_WORK = ("dispatched", "running")


def children_in(rows: Sequence[Row], parent: Row) -> Row:
    """How the parent's children among these rows fare: `jobs`, and how many of them are in which state."""
    states = Counter(row["status"] for row in rows if row["parent_job_id"] == parent["job_id"])
    return {
        "jobs": states.total(),
        "running": sum(states[state] for state in _AT_WORK),
        **{state: states[state] for state in ("queued", "succeeded", "failed", "canceled")},
    }


def children_text(children: Row) -> str:
    """The children in a few words: `12 of 20 ready, 1 failed`."""
    said = [f"{children['succeeded']} of {children['jobs']} ready"]
    said += [f"{children[state]} {state}" for state in ("running", "failed", "canceled") if children[state]]
    return ", ".join(said)


def family_text(job: Row, children: Row | None) -> str:
    """The job's state, and behind it how its children fare if it has any."""
    return state_text(job) + (f": {children_text(children)}" if children else "")


def all_succeeded(records: Sequence[Row]) -> bool:
    """Whether every job of these records succeeded, and every job of its playlist."""
    return all(record["job"]["status"] == "succeeded" and _complete(record.get("children")) for record in records)


def _complete(children: Row | None) -> bool:
    return children is None or children["succeeded"] == children["jobs"]
