"""A media tool that a file took over reaches no socket and no process, and leaves none behind.

Each attack is seen to succeed without the sandbox, so that what stops it is the sandbox and nothing else.
"""

import errno
import platform
import time
from dataclasses import replace

import psutil
import pytest

from narralytica_ingest.local.identity import wait_until
from narralytica_ingest.media.sandbox import Reach, seccomp
from narralytica_ingest_tests.integration.sandbox.lab import CONNECTS, Lab

PREPARES = {
    "a server of its own": "a = socket.socket(); a.bind(('127.0.0.1', 0)); a.listen()",
    "a server without a name": "socket.socket().listen()",
    "the kernel's list of routes": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
}


@pytest.mark.parametrize("name", CONNECTS)
def test_no_socket_leads_anywhere(name: str, lab: Lab, reach: Reach) -> None:
    assert "PermissionError" in lab.attack(CONNECTS[name], reach).stderr
    assert not lab.visited()
    allowed = lab.attack(CONNECTS[name], None)
    assert allowed.stdout == "done\n", allowed.stderr
    assert lab.visited()


@pytest.mark.parametrize("name", [each for each in CONNECTS if each != "TCP"])
def test_where_an_object_is_served_on_a_port_nothing_but_that_port_is_open(name: str, lab: Lab, reach: Reach) -> None:
    served = replace(reach, port=lab.target.other_tcp)
    assert "PermissionError" in lab.attack(CONNECTS[name], served).stderr
    assert "PermissionError" in lab.attack(CONNECTS["TCP"], served).stderr
    assert not lab.visited()
    allowed = lab.attack(CONNECTS["TCP"], served, tcp=lab.target.other_tcp)
    assert allowed.stdout == "done\n", allowed.stderr
    assert lab.visited()


@pytest.mark.parametrize("name", PREPARES)
@pytest.mark.parametrize("has_port", [False, True])
def test_no_socket_of_another_use_is_to_be_had(name: str, has_port: bool, lab: Lab, reach: Reach) -> None:
    confined = replace(reach, port=lab.target.tcp if has_port else None)
    assert "PermissionError" in lab.attack(PREPARES[name], confined).stderr
    assert lab.attack(PREPARES[name], None).stdout == "done\n"


FORK = "child = os.fork()\nif child == 0:\n    {}\n    os._exit(0)\nsys.exit(os.waitstatus_to_exitcode(os.wait()[1]))"
ON_PROCESSES = {
    "signals us": "os.kill(os.getppid(), 0)",
    "signals another process": "os.kill(victim, 0)",
    "signals it by another call": "import signal; signal.pidfd_send_signal(os.pidfd_open(victim), 0)",
    "changes our limits": "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)",
    "leaves its session": FORK.format("os.setsid()"),
    "leaves its group": FORK.format("os.setpgid(0, 0)"),
    "makes shared memory": "sys.exit(ctypes.CDLL(None).shmget(0, 4096, 0o1600) < 0)",
}
BACK_DOORS = {
    "keyctl": (0, -3, 0),
    "unshare": (0x10000000,),
    "io_uring_setup": (1, 0),
    "perf_event_open": (0, 0, -1, -1, 0),
    "bpf": (0, 0, 0),
    "userfaultfd": (0,),
}


@pytest.mark.parametrize("name", ON_PROCESSES)
def test_other_processes_are_out_of_reach(name: str, lab: Lab, reach: Reach) -> None:
    assert lab.attack(ON_PROCESSES[name], reach).returncode == 1
    allowed = lab.attack(ON_PROCESSES[name], None)
    assert allowed.returncode == 0, allowed.stderr


@pytest.mark.parametrize("name", BACK_DOORS)
def test_the_kernels_back_doors_are_shut(name: str, lab: Lab, reach: Reach) -> None:
    """Where the machine shuts one for everybody, it cannot be told who did."""
    number = seccomp.FORBIDDEN[name][platform.machine() != "x86_64"]
    code = f"""
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall({number}, *map(ctypes.c_long, {BACK_DOORS[name]}))
print(ctypes.get_errno() == {errno.EPERM})
"""
    assert lab.attack(code, reach).stdout == "True\ndone\n"
    if lab.attack(code, None).stdout != "False\ndone\n":
        pytest.skip("shut for everybody on this machine")


@pytest.mark.parametrize("confined", [True, False])
def test_a_child_that_outlives_its_tool_is_killed_and_keeps_nobody_waiting(
    confined: bool, lab: Lab, reach: Reach
) -> None:
    """It holds the tool's output; or it closes all that it has."""
    for closes in ("pass", "os.closerange(0, 3)"):
        code = f"""
child = os.fork()
if child == 0:
    {closes}
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os._exit(0)
"""
        began = time.monotonic()
        child = int(lab.attack(code, reach if confined else None).stdout)
        assert time.monotonic() - began < 10
        assert wait_until(lambda child=child: not alive(child), 2)  # type: ignore[misc]


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
