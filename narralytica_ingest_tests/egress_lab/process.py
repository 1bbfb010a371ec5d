"""The processes of the laboratory: the internet, which the test asks, and below it the worker and its canaries.

Each makes its namespaces while it has a single thread. They end with whoever started them.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from narralytica_ingest_tests.egress_lab import namespaces, places
from narralytica_ingest_tests.egress_lab.names import NameServer
from narralytica_ingest_tests.egress_lab.servers import AUTHORITY, Site, serve
from narralytica_ingest_tests.egress_lab.wire import Wire
from narralytica_ingest_tests.egress_lab.words import Ask, Report

_FILES = {
    "/etc/resolv.conf": f"nameserver {places.RESOLVER}\noptions timeout:1 attempts:2\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",  # no daemon of the machine is asked: it lives in the real internet
    "/run/nscd/socket": "",
    "/etc/hosts": f"127.0.0.1 localhost localhost.localdomain\n::1 localhost ip6-localhost\n{places.GATEWAY} inhouse\n",
}
_PUBLIC = {places.PUBLIC, places.PUBLIC_TOO, places.PUBLIC_V6}


def run(test: Connection) -> None:
    """The internet: it serves, and has the worker do what the test asks for, until the test hangs up."""
    try:
        namespaces.enter_new(mounts=False)
        worker, wire = _with_worker(test)
    except namespaces.NamespacesRefused as refused:
        test.send(str(refused))
        return
    site, names = Site(), NameServer()
    serve(site)
    worker.send(None)  # the internet is there
    worker.recv()
    test.send("")
    while True:
        ask: Ask = test.recv()
        if ask.vector is not None:
            fill = ask.vector.filled
            site.documents = {path: each.filled(fill) for path, each in ask.vector.documents.items()}
            names.serve({name: tuple(map(fill, answers)) for name, answers in ask.vector.names.items()})
        site.proxied.clear()
        wire.contacts()
        worker.send(ask)
        outcome, own = worker.recv()
        wanted = {(places.RESOLVER, 53), *(ask.vector.needs if ask.vector else ())}
        wanted |= {(address, port) for address in _PUBLIC for port in places.OPEN_PORTS}
        seen = [each for each in wire.contacts() if (each[0], each[1]) not in wanted]
        test.send(Report(outcome, tuple(f"{a} {p}/{k}" for a, p, k in seen + own), tuple(site.proxied)))


def _with_worker(test: Connection) -> tuple[Connection, Wire]:
    here, there = Pipe()
    pid = os.fork()
    if pid == 0:
        here.close()
        test.close()
        _end_with(_worker, there)
    there.close()
    if refused := here.recv():
        raise namespaces.NamespacesRefused(refused)
    namespaces.connect_internet(pid)
    return here, Wire(namespaces.INTERNET_LINK)


def _worker(internet: Connection) -> None:
    """Fetches what it is asked to, and tells who of its own namespace was turned to."""
    namespaces.die_with_parent()
    try:
        namespaces.enter_new(mounts=True)
    except namespaces.NamespacesRefused as refused:
        internet.send(str(refused))
        return
    from narralytica_ingest_tests.egress_lab import fetching

    _cover_files()
    canaries, theirs = Pipe()
    if os.fork() == 0:
        _end_with(_canaries, theirs)
    internet.send("")
    fetching.warm_up()
    internet.recv()
    namespaces.connect_worker()
    canaries.recv()
    wire = Wire("lo")
    internet.send(None)
    while True:
        ask: Ask = internet.recv()
        wire.contacts()
        outcome = fetching.done(ask)
        # Other ports are the guard's own.
        own = [each for each in wire.contacts() if each[1] in places.PORTS or each[2] == "udp"]
        internet.send((outcome, own))


def _canaries(worker: Connection) -> None:
    """Servers on the worker's own addresses."""
    namespaces.die_with_parent()
    serve(Site())
    worker.send(None)
    signal.pause()


def _cover_files() -> None:
    import certifi

    with tempfile.TemporaryDirectory() as folder:  # what covers another file stays as long as it is needed
        for name, text in _FILES.items():
            source = Path(folder) / Path(name).name
            source.write_text(text, encoding="ascii")
            namespaces.cover(Path(name), source)
    namespaces.cover(Path(certifi.where()), AUTHORITY)


def _end_with(part: Callable[[Connection], None], connection: Connection) -> NoReturn:
    """Runs a part of the laboratory in this fresh child, which must never go back into its parent's code."""
    status = 1
    try:
        part(connection)
        status = 0
    except (EOFError, KeyboardInterrupt):
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)
