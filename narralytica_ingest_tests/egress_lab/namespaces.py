"""Linux namespaces, made without any program of the machine, as root or as a user who may have a user namespace."""

import ctypes
import os
import signal
import socket
from pathlib import Path
from typing import Any

from narralytica_ingest_tests.egress_lab import places

_NEW_MOUNTS, _NEW_USER, _NEW_NET = 0x00020000, 0x10000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE = 0x1000, 0x4000, 0x40000
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_NO_DUPLICATES_ASKED = 0x02  # IFA_F_NODAD: an IPv6 address is there at once
INTERNET_LINK = "cable"

_libc = ctypes.CDLL(None, use_errno=True)


class NamespacesRefused(Exception):
    """The machine does not let us make namespaces; the message says what to enable."""


def enter_new(mounts: bool) -> None:
    """Moves this process (of one thread) into a network namespace of its own, and a mount namespace if asked.

    Without the right to it, into a user namespace first, in which it is root. Its loopback is up, because modules look
    for IPv6 when they are imported. Raises NamespacesRefused.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    wanted = _NEW_NET | (_NEW_MOUNTS if mounts else 0)
    user, group = os.geteuid(), os.getegid()
    try:
        try:
            _called(_libc.unshare(wanted), "unshare")
        except PermissionError:
            _called(_libc.unshare(wanted | _NEW_USER), "unshare")
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
        if mounts:  # what is mounted from here on is seen by nobody else
            _called(_libc.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None), "mount")
        _bring_up_loopback()
    except (OSError, NetlinkError) as error:
        raise NamespacesRefused(
            f"The machine refuses namespaces ({error}). Run the tests as root with CAP_SYS_ADMIN, or allow user "
            "namespaces: `sysctl user.max_user_namespaces=10000`, on Debian `kernel.unprivileged_userns_clone=1`, on "
            "Ubuntu `kernel.apparmor_restrict_unprivileged_userns=0`, in a container a seccomp profile that lets "
            "unshare(2) pass. NARRALYTICA_TESTS_WITHOUT_NAMESPACES=1 leaves these tests out."
        ) from error


def die_with_parent() -> None:
    """Ends this process when its parent ends, however that ends."""
    _called(_libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0), "prctl")


def cover(target: Path, source: Path) -> None:
    """Puts the file `source` over `target` for this mount namespace. What does not exist needs no cover."""
    if target.exists():
        _called(_libc.mount(os.fsencode(source), os.fsencode(target.resolve()), None, _BIND, None), "mount")


def connect_internet(worker_pid: int) -> None:
    """Lays the cable between this namespace and the worker's, and answers for every address from here on."""
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("add", ifname=INTERNET_LINK, kind="veth", peer={"ifname": places.WORKER_LINK})
        (far,) = ip.link_lookup(ifname=places.WORKER_LINK)
        ip.link("set", index=far, net_ns_pid=worker_pid)
        (near,) = ip.link_lookup(ifname=INTERNET_LINK)
        _addresses(ip, near, places.GATEWAY, places.GATEWAY_V6, places.GATEWAY_LINK_LOCAL)
        # In the main table, where the way to the worker is the more exact one.
        for family, everything in ((socket.AF_INET, "0.0.0.0/0"), (socket.AF_INET6, "::/0")):
            ip.route("add", family=family, dst=everything, type="local", scope="host", oif=1, table=254)


def _bring_up_loopback() -> None:
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.link("set", index=1, state="up")


def connect_worker() -> None:
    """The worker's end of the cable: the whole internet lies behind it."""
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        (near,) = ip.link_lookup(ifname=places.WORKER_LINK)
        _addresses(ip, near, places.WORKER, places.WORKER_V6, places.WORKER_LINK_LOCAL)
        ip.addr("add", index=near, address=places.WORKER_PUBLIC, prefixlen=32)
        ip.route("add", dst="0.0.0.0/0", gateway=places.GATEWAY, oif=near)
        ip.route("add", family=socket.AF_INET6, dst="::/0", gateway=places.GATEWAY_V6, oif=near)


def _addresses(ip: Any, link: int, v4: str, v6: str, link_local: str) -> None:
    ip.link("set", index=link, state="up")
    ip.addr("add", index=link, address=v4, prefixlen=30)
    ip.addr("add", index=link, address=v6, prefixlen=64, flags=_NO_DUPLICATES_ASKED)
    ip.addr("add", index=link, address=link_local, prefixlen=64, flags=_NO_DUPLICATES_ASKED)


def _called(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
