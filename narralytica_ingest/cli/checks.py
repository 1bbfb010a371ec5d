"""What a check of `doctor` is, and how one program is tried."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOOL_SECONDS = 60


@dataclass(frozen=True)
class Check:
    """What came of one check: what was seen, and, if it is not `ok`, how to mend it."""

    name: str
    ok: bool
    detail: str
    mend: str | None = None


class Broken(Exception):
    """A part does not work: what was seen, and how to mend it."""

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.detail, self.mend = detail, mend


def run_program(command: Sequence[str | Path], mend: str) -> str:
    """What the program prints. Raises Broken where it cannot be run, fails, or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=TOOL_SECONDS)  # noqa: PLW1510
    except OSError as error:
        raise Broken(f"{command[0]} cannot be run: {error.strerror}", mend) from error
    except subprocess.TimeoutExpired:
        raise Broken(f"{command[0]} did not end within {TOOL_SECONDS} s", mend) from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Broken(f"{command[0]} ended with exit code {done.returncode}: {reason}", mend)
    return done.stdout
