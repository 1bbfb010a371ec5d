"""The whole stack of `up`: services, code server, worker, daemon and webserver of one home.

What belongs here: which processes there are, in what order they start and stop, and that a home has one `up` only.
"""

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
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.failures import local
from narralytica_ingest.local.environment import Ports, dagster_home, environment, ui_url
from narralytica_ingest.local.home import HOST, Lock, free_ports, port_answers, port_is_free, prepare_home
from narralytica_ingest.local.identity import Identity
from narralytica_ingest.local.processes import ProcessSpec, Supervisor, reap_leftovers
from narralytica_ingest.local.services import Services

PROJECT = Path(__file__).resolve().parents[2]
_WORKSPACE = str(PROJECT / "workspace.yaml")
CODE_SERVER, WORKER, DAEMON, WEBSERVER = "code-server", "worker", "daemon", "webserver"

_CHECK_SECONDS = 0.5
_WORKER_GRACE = 6.0  # a run at work is interrupted by then, or left to the upkeep of the next `up`


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
        self.ports = self._choose_ports()
        self.endpoints = self._services.acquire()
        self._migrate(self.endpoints)
        self._write_dagster_home()
        env = {**os.environ, **environment(self.settings, self.endpoints, self.ports)}
        for spec in _processes(self.settings, self.ports, env):
            self._supervisor.start(spec)
        return self.endpoints

    def wait_until_ready(self, seconds: float = 120.0) -> None:
        """Supervises until the UI and the code server answer.

        Raises IngestError `stack_not_ready` after `seconds`, or when one of the processes dies again and again.
        """
        assert self.ports is not None
        deadline = time.monotonic() + seconds
        while not (port_answers(self.ports.code_server) and _answers(f"{self.ui_url}/server_info")):
            if time.monotonic() > deadline:
                logs = self.settings.home / "logs"
                raise local("stack_not_ready", f"The stack is not ready after {seconds:.0f} s: see the logs in {logs}.")
            self.supervise()
            failing = self._supervisor.failing()
            if failing:
                raise local("stack_not_ready", f"{failing[0]} does not start: see {self._supervisor.log(failing[0])}.")
            time.sleep(0.1)

    def supervise(self) -> None:
        """Starts again what died. To be called about twice a second while the stack runs; takes milliseconds."""
        for name in self._services.revive():
            self._on_event(f"{name} had died and was started again. Its log: {self.settings.home / 'logs' / name}.log")
        self._supervisor.check()

    def run_forever(self, until: Callable[[], bool] = lambda: False) -> None:
        """Supervises until interrupted, or until `until` says so."""
        while not until():
            self.supervise()
            time.sleep(_CHECK_SECONDS)

    def stop(self) -> None:
        """Ends every process of the stack, and the services unless somebody else uses them. Takes up to 15 s."""
        with _undisturbed():
            try:
                self._supervisor.stop([DAEMON, WEBSERVER, WORKER])
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
            raise local(
                "already_up",
                f"This home already has an `up` ({who}): use it, stop it, or set NARRALYTICA_HOME to another folder.",
            )
        Identity.of(os.getpid()).save(run / "up.json")

    def _choose_ports(self) -> Ports:
        """The UI's port as asked for; others as last time if they are free, so that open browser tabs keep working."""
        last = Ports.load(self.settings.home)
        ui = self.settings.ui_port or _free(last.ui if last else 0)
        if not port_is_free(ui):
            raise local(
                "port_busy",
                f"Port {ui} of {HOST} is taken: choose another for the UI with --port, or --port 0 for any.",
            )
        ports = Ports(code_server=_free(last.code_server if last else 0, avoid=ui), ui=ui)
        ports.save(self.settings.home)
        return ports

    def _migrate(self, endpoints: Endpoints) -> None:
        from narralytica_ingest.store.migrate import migrate

        migrate(endpoints.postgres_url)

    def _write_dagster_home(self) -> None:
        folder = dagster_home(self.settings.home)
        folder.mkdir(mode=0o700, exist_ok=True)
        link = folder / "dagster.yaml"
        link.unlink(missing_ok=True)
        link.symlink_to(PROJECT / "dagster.yaml")


def _free(wanted: int, *, avoid: int = 0) -> int:
    return wanted if wanted and wanted != avoid and port_is_free(wanted) else free_ports(1, avoid=[avoid])[0]


def _processes(settings: Settings, ports: Ports, env: dict[str, str]) -> list[ProcessSpec]:
    return [
        _python(
            CODE_SERVER,
            f"dagster api grpc -m narralytica_ingest.definitions --location-name narralytica_ingest "
            f"-h {HOST} -p {ports.code_server}",
            env,
        ),
        _python(
            WORKER,
            f"celery -A narralytica_ingest.engine.worker worker --pool prefork --concurrency {settings.workers} "
            f"--queues dagster --hostname ingest-{ports.code_server}@%h --loglevel INFO "
            "--without-gossip --without-mingle --without-heartbeat",
            env,
            grace=_WORKER_GRACE,
        ),
        _python(DAEMON, "dagster._daemon run", env, "-w", _WORKSPACE),
        _python(WEBSERVER, f"dagster_webserver -h {HOST} -p {ports.ui}", env, "-w", _WORKSPACE),
    ]


def _python(name: str, command: str, env: dict[str, str], *more: str, grace: float = 4.0) -> ProcessSpec:
    """As `python -m`: the scripts in `bin` name their interpreter by path, which may be too long for the kernel."""
    return ProcessSpec(name, [sys.executable, "-m", *command.split(), *more], env, grace, cwd=PROJECT)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except OSError:
        return False


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
