"""What of a cookies file is understood, and that what is not is never quoted."""

import contextlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yt_dlp.cookies import YoutubeDLCookieJar

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.cookies_file import read_cookies

HEADER = "# Netscape HTTP Cookie File\n"
GOOD = ".example.com\tTRUE\t/\tTRUE\t2000000000\tname\tCANARY\n"
SESSION = "example.org\tFALSE\t/\tFALSE\t0\tname\tCANARY\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "cookies.txt"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(IngestError) as raised:
        read_cookies(path)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.LOCAL, "cookies_unusable")
    assert "CANARY" not in raised.value.message
    assert raised.value.__cause__ is None
    return raised.value.message


def test_the_cookies_are_counted_by_domain(tmp_path: Path) -> None:
    old = GOOD.replace("2000000000", "1000000000")
    only_http = f"#HttpOnly_{GOOD}"
    cookies = read_cookies(written(tmp_path, f"{HEADER}# a comment\n\n{GOOD}{only_http}{SESSION}{old}"), now=1.9e9)
    assert dict(cookies.domains) == {"example.com": 2, "example.org": 1}
    assert cookies.expired == 1
    assert set(cookies.values) == {"CANARY"}
    assert "CANARY" not in repr(cookies)


def test_a_file_of_a_windows_machine_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    path.write_bytes((HEADER + GOOD).replace("\n", "\r\n").encode())
    assert read_cookies(path).text == HEADER + GOOD


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"name": "CANARY"}]', "JSON"),
        (GOOD, "does not begin with"),
        ("", "does not begin with"),
        (HEADER + "name=CANARY; path=/\n", "Line 2"),
        (HEADER + GOOD + GOOD.replace("\t", " "), "Line 3"),
        (HEADER + GOOD.replace("TRUE\t/", "FALSE\t/"), "Line 2"),
        (HEADER + GOOD.replace("2000000000", "CANARY"), "Line 2"),
        (HEADER + GOOD.replace("name\tCANARY", "name"), "Line 2"),
    ],
)
def test_a_file_in_another_format_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(written(tmp_path, text))


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    assert "is not there" in refusal(tmp_path / "none.txt")
    assert "cannot be read" in refusal(tmp_path)
    path = tmp_path / "latin.txt"
    path.write_bytes(HEADER.encode() + "é".encode("latin-1"))
    assert "UTF-8" in refusal(path)
    with path.open("wb") as file:
        os.truncate(file.fileno(), 17 << 20)
    assert "too large" in refusal(path)


_fields = st.tuples(
    st.sampled_from([".a.com", "a.com", "", ".", "#HttpOnly_.a.com", "$a", " "]),
    st.sampled_from(["TRUE", "FALSE", "true", ""]),
    st.sampled_from(["/", "/x", "", "x"]),
    st.sampled_from(["TRUE", "FALSE", ""]),
    st.sampled_from(["", "0", "2000000000", "1.5", ".5", "-1", "x"]),
    st.sampled_from(["n", "", " "]),
    st.sampled_from(["v", "", "\x00", "é", "#"]),
)


@given(rows=st.lists(_fields, max_size=4), junk=st.text(alphabet="a.\t #/0T", max_size=8))
def test_what_is_accepted_here_yt_dlp_reads_without_a_word(
    rows: list[tuple[str, ...]], junk: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.mktemp("cookies"), "\n".join([HEADER[:-1], *map("\t".join, rows), junk]))
    try:
        cookies = read_cookies(path)
    except IngestError:
        return
    jar = YoutubeDLCookieJar(io.StringIO(cookies.text))
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        jar.load()
    assert said.getvalue() == ""
    assert len(jar) <= cookies.domains.total() + cookies.expired
