"""`make run SOURCE=…` hands over what was typed, whatever make and the shell would make of it."""

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("source", "arguments"),
    [
        ("/talks/Bob's talk.mp4", ["up", "--submit", "/talks/Bob's talk.mp4"]),
        ("http://h/a?b=$c&d=$(id)`id`", ["up", "--submit", "http://h/a?b=$c&d=$(id)`id`"]),
        ('"; exit 1; "', ["up", "--submit", '"; exit 1; "']),
        ("", ["up", "--sample"]),
    ],
)
def test_a_source_reaches_the_command_as_it_was_typed(tmp_path: Path, source: str, arguments: list[str]) -> None:
    program = tmp_path / "narralytica-ingest"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    said = subprocess.run(
        ["make", "-s", "-o", "setup", "run", f"BIN={tmp_path}", f"SOURCE={source}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == arguments
