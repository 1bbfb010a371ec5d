"""A media tool that a file took over reaches no file but its own.

Each attack is seen to succeed without the sandbox, so that what stops it is the sandbox and nothing else.
"""

import os
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from narralytica_ingest.media import sandbox
from narralytica_ingest.media.sandbox import Reach, landlock, seccomp
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.integration.sandbox.lab import PYTHON, SECRET, Lab


def test_this_machine_has_the_sandbox_or_the_other_tests_prove_nothing() -> None:
    tools = find_tools()
    assert [sandbox.missing(tool) for tool in (tools.ffmpeg, tools.ffprobe)] == [None, None], sandbox.described()
    assert landlock.version() >= 4
    assert seccomp.available()


# ---- files -----------------------------------------------------------------------------------------------------------

ON_FILES = {
    "reads the users of the machine": "open('/etc/passwd').read()",
    "lists the home folder": "os.listdir(os.path.expanduser('~'))",
    "lists the folder of its own input": "os.listdir(folder)",
    "reads another file in the scratch folder's parent": "open(neighbour).read()",
    "reads it by a detour": "open(folder + '/../neighbour').read()",
    "reads it by a link of its own": "os.symlink(neighbour, output + '2'); open(output + '2').read()",
    "reads our environment": "open(f'/proc/{os.getppid()}/environ').read()",
    "sees our memory's map": "open(f'/proc/{os.getppid()}/maps').read()",
    "reads our open files": "os.listdir(f'/proc/{os.getppid()}/fd')",
    "overwrites its input": "open(input, 'r+').write('x')",
    "cuts its input off": "os.truncate(input, 1)",
    "overwrites another file": "open(neighbour, 'w').write('x')",
    "removes another file": "os.unlink(neighbour)",
    "writes a second file beside its output": "open(output + '2', 'w')",
    "makes a folder": "os.mkdir(output + '2')",
    "makes its output another file's name": "os.link(neighbour, output + '2')",
    "moves its input": "os.rename(input, input + '2')",
    "makes a named pipe": "os.mkfifo(output + '2')",
    "takes a temporary file": "open('/tmp/' + str(os.getpid()), 'w'); os.unlink('/tmp/' + str(os.getpid()))",
    "writes to shared memory": "open('/dev/shm/' + str(os.getpid()), 'w'); os.unlink('/dev/shm/' + str(os.getpid()))",
}


@pytest.mark.parametrize("name", ON_FILES)
def test_files_that_are_not_its_own_are_out_of_reach(name: str, lab: Lab, reach: Reach) -> None:
    assert "PermissionError" in lab.attack(ON_FILES[name], reach).stderr
    assert lab.target.neighbour.read_text() == SECRET
    assert lab.target.input.read_bytes() == b"input"
    allowed = lab.attack(ON_FILES[name], replace(reach, mode="off", largest=1 << 20))
    assert allowed.stdout == "done\n", allowed.stderr


def test_a_tool_reads_its_input_and_writes_its_output(lab: Lab, reach: Reach) -> None:
    done = lab.attack("open(output, 'w').write(open(input).read() * 2); open(output, 'r+').seek(3)", reach)
    assert done.stdout == "done\n", done.stderr
    assert lab.target.output.read_bytes() == b"inputinput"


def test_an_input_may_be_a_link(lab: Lab, reach: Reach) -> None:
    hard, soft = lab.target.folder / "hard", lab.target.folder / "soft"
    hard.hardlink_to(lab.target.input)
    soft.symlink_to(lab.target.input)
    for link in (hard, soft):
        done = lab.attack("assert open(input).read() == 'input'", replace(reach, reads=(link,)), input=link)
        assert done.stdout == "done\n", done.stderr


def test_an_input_that_is_not_there_is_the_tools_to_tell(lab: Lab, reach: Reach, tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "input"
    done = lab.attack("open(input)", replace(reach, reads=(gone,)), input=gone)
    assert done.returncode == 1
    assert "No such file" in done.stderr


def test_nothing_that_is_open_here_is_open_there(lab: Lab, reach: Reach) -> None:
    code = """
for fd in range(3, 4096):
    try: print(os.pread(fd, 100, 0).decode())
    except OSError: pass
"""
    with ExitStack() as stack:
        opened = [stack.enter_context(lab.target.neighbour.open()) for _ in range(100)]
        for file in opened:  # as a library might leave them
            os.set_inheritable(file.fileno(), True)
        assert lab.attack(code, reach).stdout == "done\n"
        command = [PYTHON, "-c", "import os\n" + code]
        assert SECRET in subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True).stdout
