"""The system calls that no module of Python's offers, made by their numbers.

What belongs here: calling them and telling how they failed. Nothing is looked up or loaded by a call itself, so that
the calls can be made between fork and exec (see `prepare`).
"""

import ctypes
import os
import sys
from functools import cache

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # Landlock's; numbers of this age are the same everywhere
CLOSE_RANGE = 436
CLOSE_RANGE_CLOEXEC = 1 << 2  # linux/close_range.h
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h


@cache
def prepare() -> ctypes.CDLL:
    """Loads the C library, once. Whoever forks calls this before."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def call(number: int, *arguments: int) -> int:
    """Makes a system call on Linux, pointers as addresses. Raises OSError."""
    assert sys.platform == "linux"
    returned: int = prepare().syscall(ctypes.c_long(number), *map(ctypes.c_ulong, arguments))
    if returned < 0:
        raise _failed()
    return returned


def forbid_new_privileges() -> None:
    """No program that this process becomes has more rights than it has now, set-user-id or not. Raises OSError."""
    if prepare().prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))) != 0:
        raise _failed()


def _failed() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
