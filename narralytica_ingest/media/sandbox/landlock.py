"""Landlock: the files that a process may touch, the ports it may connect to, whom it may signal (Linux 5.13 on).

What belongs here: rule sets, made by the kernel's own interface (linux/landlock.h); what is in them says who asks. The
bindings on PyPI are young and few people's, and confine the process that calls them; all that is needed are three
system calls, of which the last one must be made between fork and exec.
"""

import ctypes
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from narralytica_ingest.media.sandbox.calls import ADD_RULE, CREATE_RULESET, RESTRICT_SELF, call

# Rights on files.
EXECUTE, WRITE, READ, READ_FOLDER, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = EXECUTE | WRITE | READ | TRUNCATE
_CONNECT_TCP = 1 << 1
_VERSION = 1 << 0  # LANDLOCK_CREATE_RULESET_VERSION
_BENEATH, _PORT = 1, 2  # kinds of rules
_TCP_SINCE, _SCOPES_SINCE = 4, 6


class _Handled(ctypes.Structure):
    """`landlock_ruleset_attr`: all that is forbidden but for rules. An older kernel takes it where its rest is zero."""

    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    """`landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _Port(ctypes.Structure):
    """`landlock_net_port_attr`."""

    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


@cache
def version() -> int:
    """The kernel's ABI of Landlock; 0 where it has none or was started without."""
    try:
        return call(CREATE_RULESET, 0, 0, _VERSION)
    except OSError:  # ENOSYS: not known, or hidden by a container; EOPNOTSUPP: switched off
        return 0


@contextmanager
def ruleset(files: Iterable[tuple[Path, int]], port: int | None) -> Iterator[int]:
    """A rule set, as a file descriptor, that allows these rights on these files (or beneath these folders) and a TCP
    connection to `port`, and nothing else. Raises OSError.

    No kernel knows rights on path-named unix sockets or on UDP: see `seccomp.py`.
    """
    handled = _handled()
    made = call(CREATE_RULESET, ctypes.addressof(handled), ctypes.sizeof(handled), 0)
    try:
        for path, rights in files:
            _allow(made, path, rights & handled.files)
        if port is not None and handled.net:
            rule = _Port(_CONNECT_TCP, port)
            call(ADD_RULE, made, _PORT, ctypes.addressof(rule), 0)
        yield made
    finally:
        os.close(made)


def restrict_self(made: int) -> None:
    """Confines the calling thread, and all that it becomes and begets, for good. Raises OSError."""
    call(RESTRICT_SELF, made, 0)


def covers() -> str:
    """What the kernel's Landlock keeps a tool from, in words."""
    return "files" + ", TCP" * (version() >= _TCP_SINCE) + ", signals" * (version() >= _SCOPES_SINCE)


def _handled() -> _Handled:
    abi = version()
    # 13 rights on files at first; then moving between folders (ABI 2), cutting (3), and devices' own calls (5).
    files = (1 << 13) - 1 | (abi >= 2) << 13 | (abi >= 3) << 14 | (abi >= 5) << 15
    return _Handled(files, 3 * (abi >= _TCP_SINCE), 3 * (abi >= _SCOPES_SINCE))


def _allow(made: int, path: Path, rights: int) -> None:
    assert sys.platform == "linux"
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there, or not for us, needs no rule
        return
    try:
        on_file = not stat.S_ISDIR(os.fstat(opened).st_mode)
        rule = _Beneath(rights & _ON_FILES if on_file else rights, opened)
        call(ADD_RULE, made, _BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(opened)
