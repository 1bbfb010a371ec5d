"""Seccomp: the system calls that a process may not make.

What belongs here: a filter against what Landlock does not know: sockets other than TCP, leaving the process group, and
the kernel's ways from one process to another. Whatever else a tool calls it may, so that any ffmpeg runs.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache

from narralytica_ingest.media.sandbox.calls import call

# Numbers of system calls: x86_64's, and those that newer architectures share (asm-generic/unistd.h).
FORBIDDEN = {
    # A grandchild stays in the group, which is killed whole.
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # Sockets: what serves, what connects without saying so (TCP Fast Open), and io_uring, which no filter sees.
    "bind": (49, 200),
    "listen": (50, 201),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425),
    # Other processes of the same user. (`tgkill` stays: it is how a program aborts; Landlock's scope covers it.)
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # The keys of the session, and what is of use to nobody but an attacker of the kernel.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "unshare": (272, 97),
    "setns": (308, 268),
}
_SOCKET, _SENDTO, _PRLIMIT = (41, 198), (44, 206), (302, 261)
_SECCOMP = (317, 277)
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "riscv64": (0xC00000F3, 1)}  # AUDIT_ARCH_…
_X32 = 0x40000000  # from here on x86_64 has the calls of another ABI

_SET_FILTER, _IS_THERE = 1, 2  # operations of seccomp(2)
_SPEC_ALLOW = 1 << 2  # keep the processor's speculation: older kernels slow down whatever has a filter
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_AF_INET, _SOCK_STREAM, _KIND, _TCP, _FASTOPEN = 2, 1, 0xF, 6, 0x20000000

# Instructions of classic BPF (linux/bpf_common.h).
_LOAD, _AND, _RETURN, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x20, 0x54, 0x06, 0x15, 0x35, 0x45
_NUMBER, _MACHINE = 0, 4  # where they stand in seccomp_data

_Instruction = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    """`sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


class Filter:
    """A filter to be put on before exec. `tcp`: IPv4 sockets of TCP may be made and connected; else none at all."""

    def __init__(self, *, tcp: bool) -> None:
        arch, column = _MACHINES[platform.machine()]
        code = list(_instructions(arch, column, tcp))
        self._number = _SECCOMP[column]
        self._code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in code))
        self._program = _Program(len(code), ctypes.addressof(self._code))
        self._address = ctypes.addressof(self._program)

    def put_on(self) -> None:
        """Filters the calling thread, and all that it becomes and begets, for good. Raises OSError."""
        call(self._number, _SET_FILTER, _SPEC_ALLOW, self._address)


@cache
def available() -> bool:
    """Whether the kernel has filters, and this module the numbers of this machine's system calls."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    wanted = ctypes.c_uint32(_REFUSE & 0xFFFF0000)
    with suppress(OSError):  # not compiled in, or hidden
        return call(_SECCOMP[machine[1]], _IS_THERE, 0, ctypes.addressof(wanted)) == 0
    return False


def _instructions(arch: int, column: int, tcp: bool) -> Iterator[_Instruction]:
    """Jumps are relative: how many instructions are passed over where the condition holds, and where it does not."""
    refuse = (_RETURN, 0, 0, _REFUSE)
    yield from ((_LOAD, 0, 0, _MACHINE), (_IF_EQUAL, 1, 0, arch), refuse)
    yield (_LOAD, 0, 0, _NUMBER)
    if column == 0:
        yield from ((_IF_AT_LEAST, 0, 1, _X32), refuse)
    for numbers in FORBIDDEN.values():
        yield from ((_IF_EQUAL, 0, 1, numbers[column]), refuse)
    if tcp:
        is_tcp = [(_LOAD, 0, 0, _argument(0)), (_IF_EQUAL, 1, 0, _AF_INET), refuse]
        is_tcp += [(_LOAD, 0, 0, _argument(1)), (_AND, 0, 0, _KIND), (_IF_EQUAL, 1, 0, _SOCK_STREAM), refuse]
        is_tcp += [(_LOAD, 0, 0, _argument(2)), (_IF_EQUAL, 2, 0, 0), (_IF_EQUAL, 1, 0, _TCP), refuse]
        yield from _where(_SOCKET[column], is_tcp)
    else:
        yield from _where(_SOCKET[column], [refuse])
    yield from _where(_SENDTO[column], [(_LOAD, 0, 0, _argument(3)), (_IF_ANY_BIT, 0, 1, _FASTOPEN), refuse])
    yield from _where(_PRLIMIT[column], [(_LOAD, 0, 0, _argument(0)), (_IF_EQUAL, 1, 0, 0), refuse])  # only its own
    yield (_RETURN, 0, 0, _ALLOW)


def _where(number: int, then: Sequence[_Instruction]) -> list[_Instruction]:
    """Does `then` where the system call is this one, and allows it at its end."""
    rest = [*then, (_RETURN, 0, 0, _ALLOW)]
    return [(_IF_EQUAL, 0, len(rest), number), *rest]


def _argument(index: int) -> int:
    """Where an argument's lower half stands (all of the three machines are little-endian); these are C's ints."""
    return 16 + 8 * index
