"""What a media tool may touch: its input, its outputs, and nothing else of the machine (Linux).

What belongs here: saying it (`Reach`), and confining the process that becomes the tool (`entrance`). Landlock keeps it
from files, TCP ports and other processes; a seccomp filter from all other sockets. Both are the kernel's, need no
rights and no other program, and cost a call less than a millisecond. A network namespace would cost as much again, and
leave path-named sockets open. Where there is no sandbox, ffmpeg's own whitelists and the limits remain.
"""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from narralytica_ingest.failures import failure
from narralytica_ingest.media.sandbox import calls, landlock, seccomp
from narralytica_ingest.media.sandbox.landlock import READ, TRUNCATE, WRITE
from narralytica_ingest.media.sandbox.program import needs

Mode = Literal["auto", "required", "off"]
"""`auto`: the sandbox is used where the machine has it. `required`: nothing runs without. `off`: none."""

Enter = Callable[[], None]

_TRY_SECONDS = 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reach:
    """All that one call of a tool may touch, beside the pipes that it is given.

    It reads the files `reads`, writes the files `writes` (made empty before, so that it need not be allowed to make
    any), and connects to `port` of TCP, for what is served on this machine's loopback. None of the written files gets
    larger than `largest` bytes.
    """

    mode: Mode = "auto"
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    port: int | None = None
    largest: int = 0


@contextmanager
def entrance(program: Path, reach: Reach) -> Iterator[Enter | None]:
    """What the process that becomes the tool has to call last, between fork and exec; None: it goes in without.

    Raises IngestError `sandbox_missing` (local) where one is required and there is none; OSError.
    """
    why = missing(program) if reach.mode != "off" else None
    if reach.mode == "required" and why is None and not seccomp.available():
        why = "this kernel or processor has no seccomp filter that is known here"
    if why is not None and reach.mode == "required":
        raise failure("sandbox_missing", f"The sandbox for media tools is required and cannot be had: {why}.")
    if why is not None:
        _say_once(program, why)
    if reach.mode == "off" or why is not None:
        yield None
        return
    for path in reach.writes:
        path.touch()
    files = [(path, READ) for path in reach.reads] + [(path, READ | WRITE | TRUNCATE) for path in reach.writes]
    with _entrance([*needs(program), *files], reach.port) as enter:
        yield enter


@cache
def missing(program: Path) -> str | None:
    """Why this tool cannot be run in the sandbox; None: it can. It is tried once in a process.

    Raises IngestError `media_timeout` (transient) where the machine is too busy to tell.
    """
    return _missing_here() or _try_out(program)


def described() -> str:
    """What the sandbox of this machine consists of, in words."""
    sockets = "no other sockets (seccomp)" if seccomp.available() else "no seccomp filter: other sockets stay open"
    return f"Landlock ABI {landlock.version()} ({landlock.covers()}), {sockets}"


@cache
def _say_once(program: Path, why: str) -> None:
    _log.warning("%s runs without a sandbox: %s", program.name, why)


def _missing_here() -> str | None:
    if sys.platform != "linux":
        return "only Linux has one"
    if landlock.version() == 0:
        return "this kernel, or the container's rules, have no Landlock (Linux 5.13 and later)"
    return None


def _try_out(program: Path) -> str | None:
    """Whether the tool starts inside, where it may touch nothing but what `needs` names."""
    try:
        with _entrance(needs(program), None) as enter:
            done = subprocess.run(
                [program, "-version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TRY_SECONDS,
                preexec_fn=enter,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise failure("media_timeout", f"{program.name} did not say its version within a minute.") from None
    except (PermissionError, subprocess.SubprocessError) as error:  # others are the machine's, and pass
        return f"it does not start inside ({error})"
    return None if done.returncode == 0 else f"it does not start inside (exit code {done.returncode})"


@contextmanager
def _entrance(files: list[tuple[Path, int]], port: int | None) -> Iterator[Enter]:
    calls.prepare()
    filtered = seccomp.Filter(tcp=port is not None) if seccomp.available() else None
    with landlock.ruleset(files, port) as made:

        def enter() -> None:
            calls.forbid_new_privileges()
            landlock.restrict_self(made)
            if filtered is not None:
                filtered.put_on()

        yield enter
