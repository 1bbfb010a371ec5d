"""The log files of `up`: bounded, however long it runs.

A process keeps the file open to which its output goes, and does not know of us. So a full log is copied aside and then
emptied, rather than renamed: every process appends (`spawn` opens its log so), and goes on at the new beginning. What
is written in the microseconds between the end of the copy and the emptying is lost; nothing else is.
"""

import shutil
from contextlib import suppress
from pathlib import Path


def rotate_logs(home: Path, max_bytes: int) -> list[Path]:
    """Puts the content of every log above `max_bytes` aside as `<name>.log.1`, in place of what was there.

    Returns those logs. One that cannot be put aside (the disk is full) stays as it is, for the next call.
    """
    rotated = []
    for log in sorted((home / "logs").glob("*.log")):
        with suppress(OSError):
            if log.stat().st_size > max_bytes:
                _put_aside(log)
                rotated.append(log)
    return rotated


def _put_aside(log: Path) -> None:
    copy = log.with_name(f"{log.name}.1.new")
    try:
        with log.open("r+b", buffering=0) as source, copy.open("wb", buffering=0) as target:
            shutil.copyfileobj(source, target, 1 << 20)
            source.truncate(0)
        copy.replace(log.with_name(f"{log.name}.1"))
    finally:
        copy.unlink(missing_ok=True)
