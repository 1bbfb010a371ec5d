"""Sharing the embedded services: started by who needs them first, stopped by who needs them last.

What belongs here: who may start or stop a service, and when. How is in `postgres.py` and `object_store.py`.

Two lock files per service, in `home/run`. `<service>.lock` is held while somebody starts, stops or joins it.
`<service>.users` is shared by everybody who uses it; who can take it alone at the end was the last one, and stops the
service. Both are freed by the kernel when their holder dies: nothing is left behind by kill -9 but a running service,
which the next holder adopts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints, resolve_endpoints
from narralytica_ingest.local.home import Lock, locked, prepare_home
from narralytica_ingest.local.object_store import EmbeddedS3
from narralytica_ingest.local.postgres import EmbeddedPostgres


class Service(Protocol):
    """An embedded server. Only one process at a time may call these: see the module."""

    name: str

    def prepare(self) -> None:
        """Chooses the address, unless there is one."""

    def ensure(self) -> bool:
        """Starts it unless it runs and answers; True if it had to."""

    def stop(self) -> None:
        """Stops it, if it runs."""

    def alive(self) -> bool:
        """Whether its process lives."""


class HeldService:
    """Our share in one embedded service, from `acquire` to `release`."""

    def __init__(self, home: Path, service: Service) -> None:
        self.name = service.name
        self._service = service
        self._lock_file = home / "run" / f"{service.name}.lock"
        self._users = Lock(home / "run" / f"{service.name}.users")

    def acquire(self) -> None:
        """Joins the users, and starts the service if it does not run. Raises IngestError if it cannot be started."""
        with locked(self._lock_file):
            self._users.share()
            self._service.ensure()

    def revive(self) -> bool:
        """Starts the service again if it died while we hold it; True if it had to."""
        if self._service.alive():
            return False
        with locked(self._lock_file):
            return self._service.ensure()

    def release(self) -> None:
        """Leaves the users; the last one stops the service. Right whatever became of `acquire`."""
        try:
            with locked(self._lock_file):
                if self._users.try_take():
                    self._service.stop()
        finally:
            self._users.close()


class Services:
    """The embedded services that the settings call for, held together."""

    def __init__(self, settings: Settings, *, postgres: bool = True, s3: bool = True) -> None:
        self._settings = settings
        self._wanted: list[Service] = []
        self._embedded: list[Service] = []
        if settings.postgres_url is None:
            self._add(EmbeddedPostgres(settings.home), postgres)
        if settings.s3_endpoint_url is None:
            self._add(EmbeddedS3(settings), s3)
        self._held: list[HeldService] = []

    def _add(self, service: Service, wanted: bool) -> None:
        self._embedded.append(service)
        if wanted:
            self._wanted.append(service)

    def prepare(self) -> Endpoints:
        """Where the services will be, unless a port is taken meanwhile. Starts nothing."""
        home = self._settings.home
        prepare_home(home)
        for service in self._embedded:  # also of those not wanted now: an address is needed to resolve
            with locked(home / "run" / f"{service.name}.lock"):
                service.prepare()
        return resolve_endpoints(self._settings)

    def acquire(self) -> Endpoints:
        """Starts or joins the services. Raises IngestError if one cannot be started; then none is held."""
        self.prepare()
        home = self._settings.home
        try:
            for service in self._wanted:
                self._held.append(HeldService(home, service))
                self._held[-1].acquire()
        except BaseException:
            self.release()
            raise
        return resolve_endpoints(self._settings)

    def revive(self) -> list[str]:
        """Starts again what died, and says what that was."""
        return [held.name for held in self._held if held.revive()]

    def release(self) -> None:
        """Gives every share back."""
        while self._held:
            self._held.pop().release()


@contextmanager
def hold(settings: Settings, *, postgres: bool = True, s3: bool = True) -> Iterator[Endpoints]:
    """Within the block the services run: the embedded ones that are asked for, and those that the settings name.

    Those that run are joined, those that do not are started, and who leaves last stops them. Raises IngestError (class
    `local`) if one cannot be started.
    """
    services = Services(settings, postgres=postgres, s3=s3)
    endpoints = services.acquire()
    try:
        yield endpoints
    finally:
        services.release()
