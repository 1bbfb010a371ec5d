"""The laboratory as tests use it."""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing import Pipe

from narralytica_ingest_tests.egress_lab.namespaces import NamespacesRefused
from narralytica_ingest_tests.egress_lab.servers import AUTHORITY
from narralytica_ingest_tests.egress_lab.vector import Vector
from narralytica_ingest_tests.egress_lab.words import Ask, Report

_SECONDS = 60.0  # for whatever it is asked, which takes one or two


class Lab:
    """Runs until it is closed. Raises NamespacesRefused where the machine does not allow it."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        self._ours, theirs = Pipe()
        command = [sys.executable, "-m", "narralytica_ingest_tests.egress_lab", str(theirs.fileno())]
        # In a session of its own: Ctrl-C is for the test, which then hangs up.
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stderr=self._errors, env=_environment(), start_new_session=True
        )
        theirs.close()
        if refused := self._answer():
            self.close()
            raise NamespacesRefused(refused)

    @property
    def is_alive(self) -> bool:
        """Whether it answers still."""
        return self._process.poll() is None

    def attack(self, vector: Vector, *, unguarded: bool = False) -> Report:
        """Fetches the vector in the worker. `unguarded`: with the guard's judgement switched off."""
        return self._asked(Ask(vector, unguarded=unguarded))

    def run(self, script: str, *, unguarded: bool = False) -> Report:
        """Runs a script as yt-dlp runs those of a site. `unguarded`: with leave to use the network."""
        return self._asked(Ask(script=script, unguarded=unguarded))

    def measure(self, content: str, *, unguarded: bool = False) -> Report:
        """Measures a file that claims to be media. `unguarded`: by a plain ffprobe with leave to use the network."""
        return self._asked(Ask(file=content, unguarded=unguarded))

    def reach_all(self) -> Report:
        """Turns to each canary with a plain socket."""
        return self._asked(Ask())

    def close(self) -> None:
        """Ends it, at once."""
        self._ours.close()
        self._process.terminate()
        self._process.wait(10)
        self._errors.close()

    def _asked(self, ask: Ask) -> Report:
        self._ours.send(ask)
        report = self._answer()
        assert isinstance(report, Report)
        return report

    def _answer(self) -> object:
        with suppress(EOFError):
            if self._ours.poll(_SECONDS):
                return self._ours.recv()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")
        self.close()
        raise AssertionError(f"The laboratory gave no answer within {_SECONDS} seconds. It said:\n{said[-4000:]}")


def _environment() -> dict[str, str]:
    """Without proxies of this machine, and with trust in the laboratory's certificate."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"SSL_CERT_FILE": str(AUTHORITY)}
