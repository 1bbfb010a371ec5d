"""Progress bars on standard error; where that is no terminal, nothing appears."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from narralytica_ingest.cli import terminal
from narralytica_ingest.cli.describe import amount

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WIDE = 90  # columns; on less the bars are short


@contextmanager
def progress_bars(*, keep: bool = True) -> Iterator["Progress"]:
    """Bars whose tasks have a description and an `amount`. With `keep` they stay on the screen when they end."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = terminal.err()
    columns = [
        TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold", ratio=None)),
        BarColumn(bar_width=24 if console.width >= _WIDE else 8),
        TextColumn("{task.fields[amount]}", markup=False, table_column=Column(overflow="fold")),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=not keep) as progress:
        yield progress


class ByteBar:
    """The bar of one file. `done` are the bytes so far."""

    def __init__(self, progress: "Progress", task: "TaskID", total: int) -> None:
        self._progress, self._task, self._total = progress, task, total
        self._started = time.monotonic()
        self.done = 0

    def advance(self, count: int) -> None:
        """So many bytes more."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """So many bytes in all."""
        self.done = done
        rate = done / max(time.monotonic() - self._started, 0.001)
        self._progress.update(self._task, completed=done, amount=amount(done, self._total, rate))


@contextmanager
def byte_bar(description: str, total: int) -> Iterator[ByteBar]:
    """A bar for one file of `total` bytes; gone when it is done."""
    with progress_bars(keep=False) as progress:
        task = progress.add_task(terminal.clean(description), total=total, amount="")
        yield ByteBar(progress, task, total)
