"""Sites whose URLs name the video: what is believed, what is left to extraction, and that it stays cheap."""

import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from narralytica_ingest.sources import sites
from narralytica_ingest.sources.identity import alias_of, identify_url, revealed_alias
from narralytica_ingest.sources.sites import Rule, known_site, named_by, unique_anywhere

HASH = "3eac3b4561676c17df9132a9a1e62e3e"
HOSTS = sorted(sites._sites())


def named(url: str) -> tuple[str, str] | None:
    return known_site(urlsplit(url))


def test_the_file_is_what_the_installed_yt_dlp_says() -> None:
    from narralytica_ingest.sources.ytdlp import sites as maker

    assert maker.FILE.read_text(encoding="utf-8") == maker.text(), (
        "run `python -m narralytica_ingest.sources.ytdlp.sites` and look at the difference: ids that were given change"
    )


def test_every_test_of_yt_dlp_that_is_identified_has_the_id_that_extraction_gives() -> None:
    from narralytica_ingest.sources.ytdlp.sites import _extractors

    right = 0
    for each in _extractors():
        for test in each.tests:
            found, info = named(test["url"]), test.get("info_dict") or {}
            if found is None or found[0] != each.key or "id" not in info:
                continue
            assert found[1] == info["id"], test["url"]
            right += 1
    assert right > 200


@pytest.mark.parametrize(
    "url",
    [
        "https://www.dailymotion.com/video/x5kesuj",
        "http://dailymotion.com/video/x5kesuj/",
        "https://www.dailymotion.com/video/x5kesuj?start=30&utm_source=mail&fbclid=1",
        "https://WWW.Dailymotion.com:443/video/x5kesuj#t=9",
        "https://www.dailymotion.com/embed/video/x5kesuj?autoplay=1",
        "https://dai.ly/x5kesuj",
    ],
)
def test_every_form_of_a_known_sites_url_is_one_video_and_fetched_as_given(url: str) -> None:
    identity = identify_url(url)
    assert (identity.video_id, identity.source, identity.source_id) == ("dailymotion-x5kesuj", "dailymotion", "x5kesuj")
    assert identify_url(identity.source_url or "") == identity
    assert identity.video_id == alias_of("Dailymotion", "x5kesuj"), "extraction would give the same name"


def test_an_id_that_is_unique_anywhere_counts_wherever_it_stands() -> None:
    for path in ("video", "embed", "play/embed", "live/video"):
        assert identify_url(f"https://rutube.ru/{path}/{HASH}/").video_id == f"rutube-{HASH}"
    one, other = (f"https://www.tiktok.com/@{user}/video/6748451240264420610" for user in ("anna", "ben"))
    assert identify_url(one).video_id == identify_url(other).video_id == "tiktok-6748451240264420610"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.newgrounds.com/audio/listen/689400",  # a piece of music; /portal/view/689400 is a video
        "https://www.dailymotion.com/video/x5kesuj?playlist=x75ye",  # some other parameter may choose
        "https://www.dailymotion.com/video/x5kesuj/2",
        "https://www.dailymotion.com/video/",
        "https://www.dailymotion.com/playlist/x75ye",
        "https://www.dailymotion.com:8443/video/x5kesuj",
        "https://me:secret@www.dailymotion.com/video/x5kesuj",
        "https://staging.dailymotion.com/video/x5kesuj",
        "https://dailymotion.com.example.org/video/x5kesuj",
        "https://www.rtl2.de/sendung/grip-das-motormagazin/folge/folge-203-0",  # another show has a folge-203-0, too
        f"https://www.dailymotion.com/video/x{'5' * 600}",
    ],
)
def test_what_leaves_a_doubt_is_left_to_extraction(url: str) -> None:
    assert named(url) is None
    assert identify_url(url).video_id.startswith("web-")


def test_two_extractors_that_take_a_url_are_a_doubt() -> None:
    video = Rule("Video", (r"https?://a\.example/v/(?P<id>\d+)",), True, ("/v/",))
    other = Rule("Other", (r"https?://a\.example/v/7",), False)
    assert named_by([video, other], urlsplit("http://a.example/v/8")) == ("Video", "8")
    assert named_by([video, other], urlsplit("http://a.example/v/7")) is None


def test_a_name_that_extraction_reveals_counts_only_if_it_can_mean_nothing_else() -> None:
    assert revealed_alias("Youtube", "dQw4w9WgXcQ", None) == "youtube-dQw4w9WgXcQ"
    assert revealed_alias("PeerTube", "9c9de5e8-0a1e-484a-b099-e80766180a6d", None) is not None
    assert revealed_alias("Newgrounds", "7", "https://www.newgrounds.com/audio/listen/7") is None
    assert revealed_alias("Newgrounds", "7", "https://www.newgrounds.com/portal/view/7") == "newgrounds-7"
    assert revealed_alias("Mastodon", "109", "https://one.example/@a/109") is None
    assert revealed_alias("Dailymotion", "x5kesuj", "https://geo.dailymotion.com/player.html?video=x5kesuj") is None
    assert revealed_alias("Odd", "7", "no url") is None
    assert revealed_alias("Odd", "", None) is None


@pytest.mark.parametrize(
    ("source_id", "unique"),
    [
        (HASH, True),
        ("6748451240264420610", True),
        ("YdTWvUW8aaQ2", True),
        ("109", False),
        ("introduction2", False),
        ("Introduction-2-the-course", False),
        ("a-b-c-d-e-f", False),
    ],
)
def test_ids_that_anybody_could_give_are_told_from_those_nobody_gives_twice(source_id: str, unique: bool) -> None:
    assert unique_anywhere(source_id) is unique


junk = st.text(st.sampled_from("aA1-_/.%=&?+~"), max_size=600) | st.builds(
    lambda part, times: part * times, st.sampled_from(["a", "1", "/", "a/", "-1", "%20", "a=b&"]), st.integers(1, 3000)
)


@given(st.sampled_from(HOSTS), junk, st.data())
def test_no_url_however_odd_costs_time_or_escapes_as_another_error(host: str, rest: str, data: st.DataObject) -> None:
    before = data.draw(st.sampled_from([p for rule in sites.rules_of(host) for p in rule.prefixes] or ["/"]))
    url = f"https://{host}{before}{rest}"[:8000]
    started = time.perf_counter()
    identity = identify_url(url)
    assert time.perf_counter() - started < 0.2
    assert identify_url(identity.source_url or "").video_id == identity.video_id


def test_identity_needs_no_yt_dlp() -> None:
    program = (
        "import sys; from narralytica_ingest.sources.identity import identify_url\n"
        "print(identify_url('https://dai.ly/x5kesuj').video_id, 'yt_dlp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "dailymotion-x5kesuj False\n"
