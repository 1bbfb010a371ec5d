"""The taxonomy of failures is whole: every code in the program has one class, a meaning and an advice."""

import ast
import errno
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

from narralytica_ingest import failure_codes, failure_table
from narralytica_ingest.egress.ledger import Code
from narralytica_ingest.engine.classify import classify
from narralytica_ingest.failures import BY_ERRNO, CATALOGUE, POLICIES, FailureClass, Known, code_of_machine, failure
from narralytica_ingest.sources.ytdlp import failures as verdicts
from narralytica_ingest.sources.ytdlp import phrases

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "narralytica_ingest"
PAGE = PROJECT / "docs" / "failure-codes.md"

# Functions of the adapter to yt-dlp that choose a code beside its tables.
DECIDERS = {"_decide", "_by_type", "_of_one", "_by_status"}


class Use(NamedTuple):
    """A code in the program: where, and the class that is stated with it (None: the catalogue's)."""

    code: str
    failure_class: str | None
    place: str


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def uses() -> Iterator[Use]:
    """Every call that makes a failure, or a finding that may become one, with a literal code."""
    for path, tree in modules():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            arguments, place = call.args, f"{path.relative_to(PACKAGE)}:{call.lineno}"
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            if name in ("failure", "Finding") and arguments:
                if isinstance(arguments[0], ast.Constant):
                    yield Use(str(arguments[0].value), None, place)
            elif len(arguments) >= 3 and ast.unparse(arguments[0]).startswith("FailureClass."):
                stated = FailureClass[ast.unparse(arguments[0]).removeprefix("FailureClass.")].value
                if isinstance(arguments[1], ast.Constant):
                    yield Use(str(arguments[1].value), stated, place)


def listed() -> set[str]:
    """The codes in the tables from which codes are chosen."""
    tables: list[dict[Any, str]] = [
        verdicts.BY_TYPE,
        verdicts.BY_STATUS,
        verdicts.BY_GUARD,
        verdicts.BY_REQUEST,
        BY_ERRNO,
    ]
    return phrases.codes().union(get_args(Code), *(table.values() for table in tables)) | {
        each.value
        for _, tree in modules()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in DECIDERS
        for each in ast.walk(function)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def test_every_code_that_the_program_uses_is_in_the_catalogue_with_the_same_class() -> None:
    unknown = [use for use in uses() if use.code not in CATALOGUE]
    assert not unknown, "add them to failure_codes.py"
    other_class = [use for use in uses() if use.failure_class not in (None, CATALOGUE[use.code].failure_class.value)]
    assert not other_class


def test_every_code_of_the_catalogue_is_used() -> None:
    assert CATALOGUE.keys() - listed() - {use.code for use in uses()} == set()


@pytest.mark.parametrize("known", CATALOGUE.values(), ids=lambda known: known.code)
def test_an_entry_says_what_it_means_in_whole_sentences(known: Known) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", known.code)
    sentence = r"(?:[A-Z`]|yt-dlp|ffmpeg)[^|\n]*\."
    assert re.fullmatch(sentence, known.meaning)
    assert not known.action or re.fullmatch(sentence, known.action)
    assert known.sentence.count("  ") == 0
    assert len(known.sentence) <= 250, "room must be left for the source's own words"
    if known.failure_class is FailureClass.NEEDS_OPERATOR:
        assert known.action, "an operator is needed, and must be told what for"


def test_every_class_has_a_policy_and_codes() -> None:
    assert set(POLICIES) == set(FailureClass)
    assert {known.failure_class for known in CATALOGUE.values() if known.in_jobs} == set(FailureClass)


def test_a_code_is_listed_once() -> None:
    listed = [
        code
        for codes in (failure_codes.OF_JOBS, failure_codes.OF_COMMANDS)
        for by_class in codes.values()
        for code in by_class
    ]
    assert len(listed) == len(set(listed)) == len(CATALOGUE)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("removed", "The video was removed at its source."),
        (
            "proxy_unusable",
            "The proxy's URL cannot be used. Correct `NARRALYTICA_PROXIES`. The job stays and goes on by itself.",
        ),
        ("proxy_failed", "The proxy failed. Check it if this stays so."),
        ("disk_full", "The worker's disk is full. Free some space. The job stays and goes on by itself."),
        ("no_such_job_or_video", "There is no such job or video. `narralytica-ingest jobs` lists what there is."),
    ],
)
def test_a_message_says_what_happened_what_to_do_and_what_comes_next(code: str, message: str) -> None:
    assert failure(code).message == message


def test_a_failure_has_the_class_of_its_code_and_may_say_more() -> None:
    made = failure("too_large", "The video has 5 bytes and the limit is 4.")
    assert (made.failure_class, made.code) == (FailureClass.PERMANENT, "too_large")
    assert made.message == "The video has 5 bytes and the limit is 4."
    assert str(made) == "The video has 5 bytes and the limit is 4. [permanent/too_large]"


def test_a_code_that_is_not_listed_makes_no_failure() -> None:
    with pytest.raises(KeyError, match="no_such_code"):
        failure("no_such_code")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "disk_full"),
        (OSError(errno.EROFS, "Read-only file system"), "disk_unusable"),
        (OSError(errno.EIO, "Input/output error"), "disk_unusable"),
        (OSError(errno.EMFILE, "Too many open files"), "too_many_open_files"),
        (OSError(errno.ENFILE, "Too many open files in system"), "too_many_open_files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (PermissionError(errno.EACCES, "Permission denied"), "unexpected"),
        (TimeoutError(errno.ENOSPC, "a number of its own"), "unexpected"),
        (OSError("without a number"), "unexpected"),
        (KeyError("x"), "unexpected"),
    ],
)
def test_a_failure_of_our_own_parts_has_its_verdict(error: Exception, code: str) -> None:
    assert classify(error).code == code
    assert (code_of_machine(error) or "unexpected") == code


def test_a_verdict_is_kept_and_an_unexpected_failure_tells_no_secret() -> None:
    verdict = failure("not_found")
    assert classify(verdict) is verdict
    told = classify(RuntimeError("at https://bob:secret@x.example/?token=secret\nand more")).message
    assert told == "Unexpected RuntimeError: at (URL). The run's log has the traceback."
    assert classify(RuntimeError()).message == "Unexpected RuntimeError: no message. The run's log has the traceback."


def test_the_page_for_operators_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == failure_table.page(), "run `make docs`"


def test_make_docs_writes_the_page(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    shutil.copy(PROJECT / "Makefile", tmp_path)
    subprocess.run(
        ["make", "-s", "-o", "setup", "docs", f"BIN={PROJECT / '.venv' / 'bin'}"], cwd=tmp_path, check=True, timeout=60
    )
    assert (tmp_path / "docs" / "failure-codes.md").read_text(encoding="utf-8") == failure_table.page()


def test_every_code_is_on_the_page_under_its_class() -> None:
    sections = dict(re.findall(r"^## `?([\w ]+)`?\n(.*?)(?=^## |\Z)", failure_table.page(), re.DOTALL | re.MULTILINE))
    for known in CATALOGUE.values():
        section = sections[known.failure_class.value if known.in_jobs else "Failures of commands"]
        assert section.count(f"| `{known.code}` | {known.meaning} | ") == 1
