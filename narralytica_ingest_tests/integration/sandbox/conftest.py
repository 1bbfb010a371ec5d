"""The laboratory of the sandbox, anew for each test."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from narralytica_ingest.media import sandbox
from narralytica_ingest.media.sandbox import Reach
from narralytica_ingest_tests.integration.sandbox.lab import SECRET, Canary, Lab, Target

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]  # only Linux has the sandbox


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Python takes the tool's place: that it has another `-version` must not keep it out of the sandbox."""
    monkeypatch.setattr(sandbox, "missing", lambda _: None)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "input").write_bytes(b"input")
    (tmp_path / "neighbour").write_text(SECRET)
    inet, inet6, unix = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    with ExitStack() as stack:
        short = stack.enter_context(tempfile.TemporaryDirectory())  # a socket's path must be short
        tcp, other = (Canary(stack, inet, stream, ("127.0.0.1", 0)) for _ in range(2))
        six, udp = Canary(stack, inet6, stream, ("::1", 0)), Canary(stack, inet, datagram, ("127.0.0.1", 0))
        abstract, path = f"\0canary-{os.getpid()}", f"{short}/canary"
        local = [Canary(stack, unix, stream, abstract), Canary(stack, unix, stream, path)]
        victim = subprocess.Popen(["sleep", "60"])
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        target = Target(
            folder=scratch,
            input=scratch / "input",
            output=scratch / "output",
            neighbour=tmp_path / "neighbour",
            tcp=tcp.port,
            other_tcp=other.port,
            tcp6=six.port,
            udp=udp.port,
            abstract=abstract,
            path=path,
            victim=victim.pid,
        )
        yield Lab(target, [tcp, other, six, udp, *local])


@pytest.fixture
def reach(lab: Lab) -> Reach:
    """What a tool has that makes one file of another."""
    return Reach("required", (lab.target.input,), (lab.target.output,), largest=1 << 20)
