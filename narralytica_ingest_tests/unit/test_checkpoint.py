"""How much of a partial file may be trusted, what a link's stable part is, and how a slow source is noticed."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.failures import IngestError
from narralytica_ingest.sources.checkpoint import Checkpoint, Mark, digest, load_checkpoint, stable_url
from narralytica_ingest.sources.meter import Meter
from narralytica_ingest.sources.remote_file import Answer, RemoteFile

FILE = RemoteFile('"v1"', "Sat, 14 Mar 2026 09:26:53 GMT", 1000)
WHOLE = Checkpoint("source", FILE, "boot-1", synced=Mark(300))
PIECES = Checkpoint("source", None, "boot-1", written=Mark(500, 5, 100), synced=Mark(200, 2, 100))


def test_within_one_boot_every_byte_of_a_whole_file_counts() -> None:
    assert WHOLE.trusted("source", "boot-1", 700) == Mark(700)


@pytest.mark.parametrize("boot", ["boot-2", None])
def test_after_another_boot_only_what_was_synced_counts(boot: str | None) -> None:
    assert WHOLE.trusted("source", boot, 700) == Mark(300)
    assert PIECES.trusted("source", boot, 700) == Mark(200, 2, 100)
    assert replace(WHOLE, boot=None).trusted("source", None, 700) == Mark(300), "None is no boot's name"


def test_of_fragments_only_whole_ones_count() -> None:
    assert PIECES.trusted("source", "boot-1", 555) == Mark(500, 5, 100)


@pytest.mark.parametrize(
    ("checkpoint", "source", "size"),
    [
        (WHOLE, "other source", 700),
        (WHOLE, "source", 0),
        (WHOLE, "source", 1001),
        (PIECES, "source", 499),
        (replace(WHOLE, file=RemoteFile('W/"weak"', None, 1000)), "source", 700),
        (replace(WHOLE, file=RemoteFile(None, None, 1000)), "source", 700),
        (replace(WHOLE, file=RemoteFile('"v1"', None, None)), "source", 700),
        (replace(PIECES, written=None), "source", 700),
    ],
    ids=["other", "empty", "too long", "too short", "weak", "no validator", "no length", "never whole"],
)
def test_a_partial_without_proof_is_worth_nothing(checkpoint: Checkpoint, source: str, size: int) -> None:
    assert checkpoint.trusted(source, "boot-1", size) is None


_marks = st.builds(lambda size, count, last: Mark(size, count, min(size, last)), *[st.integers(0, 1 << 60)] * 3)


@given(
    st.builds(
        Checkpoint,
        source=st.text(),
        file=st.none() | st.builds(RemoteFile, *[st.none() | st.text()] * 2, st.none() | st.integers(0, 1 << 60)),
        boot=st.none() | st.text(),
        written=st.none() | _marks,
        synced=_marks,
    )
)
def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path_factory: pytest.TempPathFactory, saved: Checkpoint) -> None:
    path = tmp_path_factory.mktemp("saved") / "checkpoint"
    saved.save(path)
    assert load_checkpoint(path) == saved
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint"]


@given(st.binary() | st.sampled_from([b"null", b"[]", b"{}", b'{"source": 1, "file": 3, "written": {}, "synced": {}}']))
def test_a_damaged_checkpoint_is_none(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("damaged") / "checkpoint"
    path.write_bytes(content)
    assert load_checkpoint(path) is None


def test_a_missing_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint") is None


GOOGLE = "videoplayback?itag=137&lmt=1700000000&clen=9000"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h/a.mp4?token=1&expires=2", "https://h/a.mp4?expires=3&token=4"),
        ("https://h/a.mp4?X-Amz-Date=1&X-Amz-Signature=2&v=1", "https://h/a.mp4?v=1&X-Amz-Signature=3"),
        ("https://h/a.mp4?Policy=a&Signature=b&Key-Pair-Id=c", "https://h/a.mp4"),
        ("https://h/a.mp4?sv=1&se=2&sp=r&sig=3", "https://h/a.mp4?sv=1&se=9&sp=r&sig=4"),
        ("https://h/hdnts=exp=1~hmac=2/a.mp4", "https://h/hdnts=exp=5~hmac=6/a.mp4"),
        ("https://h/a.mp4#x", "https://H/a.mp4"),
        (f"https://r1.googlevideo.com/{GOOGLE}&expire=1&id=o-A", f"https://r2.googlevideo.com/{GOOGLE}&sig=2&id=o-B"),
    ],
)
def test_a_link_that_is_given_out_again_has_the_same_stable_part(one: str, other: str) -> None:
    assert stable_url(one) == stable_url(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://h/a.mp4", "https://h/b.mp4"),
        ("https://h/a.mp4", "https://h:8443/a.mp4"),
        ("https://h/a.mp4", "https://i/a.mp4"),
        ("https://h/a.mp4?quality=1&token=2", "https://h/a.mp4?quality=2&token=2"),
        ("https://h/a.mp4?se=1", "https://h/a.mp4?se=2"),
        (f"https://r1.googlevideo.com/{GOOGLE}", f"https://r1.googlevideo.com/{GOOGLE}&xtags=acont%3Ddubbed"),
        (f"https://r1.googlevideo.com/{GOOGLE}", f"https://r1.googlevideo.com/{GOOGLE.replace('137', '136')}"),
        ("https://r1.googlevideo.com/videoplayback?id=1", "https://r2.googlevideo.com/videoplayback?id=1"),
    ],
)
def test_another_file_has_another_stable_part(one: str, other: str) -> None:
    assert stable_url(one) != stable_url(other)


@given(st.text(), st.text())
def test_parts_that_run_together_have_digests_of_their_own(one: str, other: str) -> None:
    assert (digest([one, other]) == digest([one + other])) is False


@pytest.mark.parametrize(
    ("status", "headers", "start", "stop", "length"),
    [
        (200, {"Content-Length": "10"}, 0, 10, 10),
        (200, {}, 0, None, None),
        (206, {"Content-Range": "bytes 5-9/20", "Content-Length": "5"}, 5, 10, 20),
        (206, {"Content-Range": "bytes 5-9/*"}, 5, 10, None),
    ],
)
def test_an_answer_says_which_bytes_it_brings(
    status: int, headers: dict[str, str], start: int, stop: int | None, length: int | None
) -> None:
    assert Answer.of(status, headers) == Answer(RemoteFile(None, None, length), start, stop)


@pytest.mark.parametrize("span", ["", "bytes 9-5/20", "bytes */20", "items 1-2/3", "bytes 1-2"])
def test_a_part_that_does_not_say_which_it_is_belongs_to_nothing(span: str) -> None:
    assert Answer.of(206, {"Content-Range": span, "Content-Length": "5"}) is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_source_that_drips_is_too_slow_after_the_window_and_not_before() -> None:
    clock = Clock()
    meter = Meter(1000, 20, clock)
    for _ in range(19):
        clock.now += 1
        meter.add(10)
    clock.now += 1
    with pytest.raises(IngestError, match="too_slow"):
        meter.add(10)


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=200))
def test_a_source_that_keeps_its_rate_is_never_too_slow(pauses: list[float]) -> None:
    clock = Clock()
    meter = Meter(1000, 20, clock)
    for pause in pauses:
        clock.now += pause
        meter.add(int(pause * 1001) + 1)
    assert meter.rate is None or meter.rate > 1000


def test_a_fast_beginning_does_not_hide_a_stall() -> None:
    clock = Clock()
    meter = Meter(1000, 20, clock)
    meter.add(1 << 30)
    with pytest.raises(IngestError, match="too_slow"):
        for _ in range(21):
            clock.now += 2
            meter.add(1)
    assert clock.now <= 123
