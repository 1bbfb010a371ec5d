"""The catalogue of failures as a page for operators: `python -m narralytica_ingest.failure_table` prints it.

`make docs` writes it to `docs/failure-codes.md`.
"""

from collections.abc import Iterable

from narralytica_ingest.failures import CATALOGUE, POLICIES, FailureClass, Known

_OPENING = """\
# Failure codes

<!-- Made by `make docs` from narralytica_ingest/failure_codes.py: edit that. -->

A job that fails or waits says why, in three columns of `ingest_jobs`: `error_class` decides what happens next,
`error_code` names the failure for programs, `error_message` tells a person, with the source's own words where it gave
any. `videos` has the same columns, and `narralytica-ingest show JOB` prints them. A code has one class for ever.
"""

_COMMANDS = """\
## Failures of commands

These end a command of `narralytica-ingest` (exit code 2), and no job.
"""


def page() -> str:
    """The whole page, as Markdown."""
    of_jobs = [known for known in CATALOGUE.values() if known.in_jobs]
    sections = [_OPENING, _classes()]
    for failure_class in FailureClass:
        rows = [known for known in of_jobs if known.failure_class is failure_class]
        sections.append(f"## `{failure_class}`\n\n{POLICIES[failure_class].rule}\n\n{_table(rows)}")
    sections.append(f"{_COMMANDS}\n{_table(known for known in CATALOGUE.values() if not known.in_jobs)}")
    return "\n".join(sections)


def _classes() -> str:
    rows = [f"| [`{name}`](#{name}) | {POLICIES[name].rule} |" for name in FailureClass]
    return "\n".join(["| class | what happens |", "|---|---|", *rows, ""])


def _table(rows: Iterable[Known]) -> str:
    lines = [f"| `{row.code}` | {row.meaning} | {_action(row)} |" for row in sorted(rows, key=lambda row: row.code)]
    return "\n".join(["| code | what it means | what you do |", "|---|---|---|", *lines, ""])


def _action(row: Known) -> str:
    if row.action:
        return row.action
    then = POLICIES[row.failure_class].then
    return f"Nothing: {then[0].lower()}{then[1:]}" if then and row.in_jobs else "Nothing."


if __name__ == "__main__":
    print(page(), end="")
