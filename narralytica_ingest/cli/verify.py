"""`verify`: do the tables, the bucket and Dagster agree, and with --mend, what is done where they do not."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.bars import progress_bars
from narralytica_ingest.cli.look import JsonOption
from narralytica_ingest.cli.services import tables
from narralytica_ingest.cli.terminal import clean, size, text
from narralytica_ingest.config import load_settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import failure
from narralytica_ingest.recovery.verify import Problem, Progress, Tally, Verification
from narralytica_ingest.store import deletion
from narralytica_ingest.store.database import Database

if TYPE_CHECKING:
    from rich.table import Table

# So many problems are told one by one; --json has them all.
TOLD = 50
PATIENCE_SECONDS = 20.0  # of the object store, with each of a few tries

_ALL_AGREES = ("All agrees.", "green")


def verify(
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO", help="Only these: ids, other names, or jobs of them.", show_default=False),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", metavar="", help="Read every object and compare its SHA-256.")
    ] = False,
    mend: Annotated[
        bool, typer.Option("--mend", metavar="", help="Remove corrupt objects, and queue jobs for what is lost.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that tables, stored objects and Dagster agree. Exit 1 if they do not.

    Each object is looked at (it is there, has its size and our SHA-256 beside it), once if several videos share it.
    """
    from narralytica_ingest.object_store.client import make_client

    settings = load_settings()
    with tables(settings, s3=True) as endpoints:
        work = Verification(
            database=Database(endpoints.postgres_url),
            client=make_client(endpoints.s3, seconds=PATIENCE_SECONDS),
            bucket=settings.s3_bucket,
            video_ids=_ids(endpoints, videos) if videos else None,
            deep=deep,
            mend=mend,
        )
        found = _print_json(work) if as_json else _print(work)
    if found:
        raise typer.Exit(1)


def _ids(endpoints: Endpoints, names: list[str]) -> list[str]:
    """The videos that are meant. Raises IngestError `no_such_job_or_video`."""
    with Database(endpoints.postgres_url).transaction() as connection:
        found = {name: deletion.find(connection, name) if name.isprintable() else None for name in names}
    for name, video_id in found.items():
        if video_id is None:
            raise failure(
                "no_such_job_or_video",
                f"There is no video {clean(name)}: `narralytica-ingest jobs` lists what there is.",
            )
    return sorted({video_id for video_id in found.values() if video_id is not None})


@contextmanager
def _progress(work: Verification) -> Iterator[None]:
    """A bar on standard error, of objects, or of bytes where they are read. Nothing else may be printed meanwhile."""
    with progress_bars(keep=False) as progress:
        task = progress.add_task("stored objects", total=None, amount="")

        def on_progress(now: Progress) -> None:
            done, total = (now.size_bytes, now.total_bytes) if work.deep else (now.objects, now.total_objects)
            amount = f"{now.objects:,} of {now.total_objects:,}" + (f", {size(now.size_bytes)}" if work.deep else "")
            progress.update(task, completed=done, total=total, amount=amount)

        work.on_progress = on_progress
        yield


# ---- for people ------------------------------------------------------------------------------------------------------


def _print(work: Verification) -> int:
    """The first problems, then the table; returns how many problems there are."""
    found, told = 0, []
    with _progress(work):
        for problem in work.problems():
            found += 1
            if found <= TOLD:
                told.append(problem)
    for problem in told:
        _tell(problem)
    if found > TOLD:
        terminal.out().print(text(f"… and {found - TOLD:,} more: --json has them all."), soft_wrap=True)
    if found:
        terminal.out().print()
    terminal.out().print(_table(work.tallies))
    terminal.out().print()
    terminal.out().print(text(*(_ALL_AGREES if not found else (f"{_counted(found)}.", "bold red"))))
    return found


def _tell(problem: Problem) -> None:
    """One line where nobody sees it wrapped; on a terminal what is wrong, where, and what to do below each other."""
    from rich.text import Text

    console = terminal.out()
    done = problem.done is not None
    about = " ".join(filter(None, [problem.video_id, problem.kind]))
    job = f" (job {problem.job_id})" if problem.job_id else ""
    parts = [
        Text.assemble(("BAD  ", "bold red"), text(about, "bold"), " ", text(f"{problem.wrong}{job}")),
        text(problem.object, "dim") if problem.object else None,
        Text.assemble(
            ("done: " if done else "to mend it: ", "green" if done else ""), text(problem.done or problem.advice)
        ),
    ]
    between = "\n     " if console.is_terminal else "  "
    console.print(Text(between).join([part for part in parts if part is not None]), soft_wrap=True)


def _table(tallies: dict[str, Tally]) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("CHECK", no_wrap=True)
    table.add_column("LOOKED AT", no_wrap=True, justify="right")
    table.add_column("PROBLEMS", no_wrap=True, justify="right")
    table.add_column("", overflow="fold")
    for name, tally in tallies.items():
        problems = text(f"{tally.problems:,}", "bold red") if tally.problems else text("none", "green")
        table.add_row(text(name), f"{tally.looked_at:,}", problems, text(_note(tally), "dim"))
    return table


def _counted(problems: int) -> str:
    return f"{problems:,} problem{'' if problems == 1 else 's'}"


def _note(tally: Tally) -> str:
    if not tally.unknown:
        return ""
    return f"{tally.unknown:,} unknown ({size(tally.unknown_bytes)}), swept by `up`"


# ---- for programs ----------------------------------------------------------------------------------------------------


def _print_json(work: Verification) -> int:
    """One document, written as it grows: a bucket that lost everything must fit, too. It is whole however this ends;
    `complete` tells whether the look is."""
    found, complete = 0, False
    print('{"problems": [', end="")
    try:
        with nullcontext() if sys.stdout.isatty() else _progress(work):
            for problem in work.problems():
                print(f"{',' if found else ''}\n  {json.dumps(asdict(problem), default=str)}", end="", flush=True)
                found += 1
        complete = True
    finally:
        checks = {name: asdict(tally) for name, tally in work.tallies.items()}
        end = {"checks": checks, "complete": complete, "ok": complete and not found}
        print(f"\n],{json.dumps(end)[1:]}", flush=True)
    return found
