"""The whole stack of `up`: services, code server, worker, daemon and webserver of one home.

What belongs here: which processes there are, in what order they start and stop, and that a home has one `up` only.
"""

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints, resolve_endpoints
from narralytica_ingest.engine.broker import require_broker
from narralytica_ingest.engine.celery_app import EXPRESS_QUEUE, TASK_QUEUE
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.local.environment import Ports, dagster_home, environment, ui_url
from narralytica_ingest.local.home import (
    HOST,
    Lock,
    free_ports,
    log_file,
    port_is_free,
    prepare_home,
    socket_answers,
    socket_path,
)
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.logs import rotate_logs
from narralytica_ingest.local.processes import ProcessSpec, Supervisor, reap_leftovers
from narralytica_ingest.local.services import Services
from narralytica_ingest.store.migrate import create_schemas, migrate

PROJECT = Path(__file__).resolve().parents[2]
_WORKSPACE = str(PROJECT / "workspace.yaml")
CODE_SERVER, WORKER, DAEMON, WEBSERVER = "code-server", "worker", "daemon", "webserver"
SPARE = "spare-worker"  # one slot for the express lane: see engine/lanes.py

_UI_SERVER = "narralytica_ingest.local.webserver"
DEFINITIONS, LOCATION = "narralytica_ingest.definitions", "narralytica_ingest"

_STOP_FIRST = (DAEMON, WEBSERVER, WORKER, SPARE)  # the code server answers the others until they are gone
_CHECK_SECONDS = 0.5
_REVIVE_SECONDS = 5.0
_CODE_SERVER_SECONDS = 60.0


class Stack:
    """Starts in `start`, is looked after by `supervise` or `run_forever`, and ends in `stop` (or at the block's end).

    `on_event` gets a sentence for a person whenever something happens: a start, a death, a restart.
    """

    def __init__(self, settings: Settings, on_event: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self._on_event = on_event
        self._services = Services(settings)
        self._supervisor = Supervisor(settings.home, on_event)
        self._owned = ExitStack()
        self._revive_at = 0.0
        self.endpoints: Endpoints | None = None
        self.ports: Ports | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def ui_url(self) -> str:
        """Where the Dagster UI is, once started."""
        assert self.ports is not None
        return ui_url(self.ports)

    def start(self) -> Endpoints:
        """Starts everything; returns when all processes run, which is before they are ready.

        Raises IngestError `already_up` if this home has an `up`, `port_busy` if the UI's port is taken, and what the
        services raise. Call `stop` in any case.
        """
        prepare_home(self.settings.home)
        self._own_home()
        for name in reap_leftovers(self.settings.home):
            self._on_event(f"{name} was left running by an earlier `up` that was killed: it has been ended.")
        self._refuse_taken_port()
        if self.settings.broker_url is not None:
            require_broker(self.settings.broker_url.get_secret_value())
        self._on_event("Starting Postgres, S3, the workers and Dagster.")
        self._write_dagster_home()
        self.endpoints = self._services.acquire()
        self.ports = self._choose_ports()  # after the services have theirs, or one of them might take these
        create_schemas(self.endpoints.postgres_url)
        self._start(CODE_SERVER)  # takes the longest; it needs Dagster's schema, but none of our tables yet
        migrate(self.endpoints.postgres_url)
        self._start(WORKER)
        self._wait_for_code_server()
        self._start(DAEMON)
        self._start(WEBSERVER)
        self._start(SPARE)
        return self.endpoints

    def _start(self, name: str) -> None:
        assert self.endpoints is not None
        assert self.ports is not None
        env = {**os.environ, **environment(self.settings, self.endpoints, self.ports)}
        self._supervisor.start(_process(name, self.settings, self.ports, env))

    def _wait_for_code_server(self) -> None:
        """Daemon and webserver look for the code server once: a minute or a click passes before they look again."""
        path = socket_path(self.settings.home, CODE_SERVER)
        self._wait_for(lambda: socket_answers(path), time.monotonic() + _CODE_SERVER_SECONDS)

    def wait_until_ready(self, seconds: float = 120.0) -> None:
        """Supervises until the UI answers and shows the code.

        Raises IngestError `stack_not_ready` after `seconds`, or when one of the processes dies again and again.
        """
        self._wait_for(lambda: _shows_code(self.ui_url), time.monotonic() + seconds)

    def _wait_for(self, condition: Callable[[], bool], deadline: float) -> None:
        while not condition():
            self.supervise()
            for name in self._supervisor.failing():
                raise failure("stack_not_ready", f"{name} does not start: see {self._supervisor.log(name)}.")
            if time.monotonic() > deadline:
                logs = self.settings.home / "logs"
                raise failure("stack_not_ready", f"The stack takes too long to start: see the logs in {logs}.")
            time.sleep(0.1)

    def supervise(self) -> None:
        """Starts again what died, and keeps the logs small. To be called about twice a second while the stack runs;
        takes milliseconds."""
        if time.monotonic() >= self._revive_at:
            try:
                self._revive_services()
            except IngestError as failed:
                self._on_event(f"{failed} It is tried again in {_REVIVE_SECONDS:.0f} s.")
                self._revive_at = time.monotonic() + _REVIVE_SECONDS
        self._supervisor.check()
        rotate_logs(self.settings.home, self.settings.log_max_bytes)

    def _revive_services(self) -> None:
        revived = self._services.revive()
        for name in revived:
            self._on_event(f"{name} had died and was started again. Its log: {log_file(self.settings.home, name)}")
        if revived and resolve_endpoints(self.settings) != self.endpoints:
            self._on_event("Its port was taken meanwhile: all processes are started again with the new one.")
            self.endpoints = resolve_endpoints(self.settings)
            self._supervisor.stop(_STOP_FIRST)
            self._supervisor.stop()
            for name in (CODE_SERVER, WORKER, DAEMON, WEBSERVER, SPARE):
                self._start(name)

    def run_forever(self, until: Callable[[], bool] = lambda: False) -> None:
        """Supervises until interrupted, or until `until` says so."""
        while not until():
            self.supervise()
            time.sleep(_CHECK_SECONDS)

    def stop(self) -> None:
        """Ends every process of the stack, and the services unless somebody else uses them.

        Takes some seconds; at most `shutdown_seconds` for the workers, and 15 s for all else.
        """
        with _undisturbed():
            try:
                self._supervisor.stop(_STOP_FIRST)
                self._supervisor.stop()
            finally:
                self._services.release()
                self._owned.close()

    def _own_home(self) -> None:
        run = self.settings.home / "run"
        lock = Lock(run / "up.lock")
        self._owned.callback(lock.close)
        if not lock.try_take():
            other = Identity.load(run / "up.json")
            who = f"pid {other.pid}" if other else "another process"
            raise failure(
                "already_up",
                f"This home already has an `up` ({who}): use it, stop it, or set NARRALYTICA_HOME to another folder.",
            )
        Identity.of(os.getpid()).save(run / "up.json")

    def _refuse_taken_port(self) -> None:
        ui = self.settings.ui_port
        if ui and not port_is_free(ui):
            raise failure(
                "port_busy",
                f"Port {ui} of {HOST} is taken: choose another for the UI with --port, or --port 0 for any.",
            )

    def _choose_ports(self) -> Ports:
        """The UI's port as asked for, or as last time if it is free, so that open browser tabs keep working."""
        last = Ports.load(self.settings.home)
        ports = Ports(self.settings.ui_port or _free(last.ui if last else 0))
        ports.save(self.settings.home)
        return ports

    def _write_dagster_home(self) -> None:
        folder = dagster_home(self.settings.home)
        folder.mkdir(mode=0o700, exist_ok=True)
        link = folder / "dagster.yaml"
        link.unlink(missing_ok=True)
        link.symlink_to(PROJECT / "dagster.yaml")


def _free(wanted: int) -> int:
    return wanted if wanted and port_is_free(wanted) else free_ports(1)[0]


def _process(name: str, settings: Settings, ports: Ports, env: dict[str, str]) -> ProcessSpec:
    if name == CODE_SERVER:
        command = f"dagster api grpc -m {DEFINITIONS} --location-name {LOCATION} --socket"
        return _python(name, command, env, str(socket_path(settings.home, CODE_SERVER)))
    if name == WORKER:
        return _worker(name, settings, settings.workers, [EXPRESS_QUEUE, TASK_QUEUE], ports, env)
    if name == SPARE:
        return _worker(name, settings, 1, [EXPRESS_QUEUE], ports, env)
    if name == DAEMON:
        return _python(name, "dagster._daemon run", env, "-w", _WORKSPACE)
    more = ["--read-only"] if settings.ui_read_only else []
    return _python(name, f"{_UI_SERVER} -h {HOST} -p {ports.ui}", env, "-w", _WORKSPACE, *more)


def _worker(
    name: str, settings: Settings, slots: int, queues: list[str], ports: Ports, env: dict[str, str]
) -> ProcessSpec:
    command = (
        f"celery -A narralytica_ingest.engine.worker worker --pool prefork --concurrency {slots} "
        f"--queues {','.join(queues)} --hostname {name}-{ports.ui}@%h --loglevel INFO "
        "--without-gossip --without-mingle --without-heartbeat"
    )
    # SIGTERM then reaches the runs, which hand their jobs back, instead of waiting for hours of downloads. What does
    # not end in time is killed, and left to upkeep.
    return _python(name, command, {**env, "REMAP_SIGTERM": "SIGQUIT"}, grace=settings.shutdown_seconds)


def _python(name: str, command: str, env: dict[str, str], *more: str, grace: float = 4.0) -> ProcessSpec:
    """As `python -m`: the scripts in `bin` name their interpreter by path, which may be too long for the kernel."""
    return ProcessSpec(name, [sys.executable, "-m", *command.split(), *more], env, grace, cwd=PROJECT)


def _shows_code(ui: str) -> bool:
    query = "{found: repositoriesOrError {__typename ... on RepositoryConnection {nodes {name}}}}"
    request = urllib.request.Request(  # noqa: S310 - our own http URL
        f"{ui}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310
            answer = json.load(response)
    except (OSError, ValueError):
        return False
    return bool(answer["data"]["found"].get("nodes"))


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does: the stack is then stopped.

    SIGINT is set too, because a shell starts background commands with SIGINT ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Within the block a second Ctrl-C changes nothing: stopping halfway would leave processes behind."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
