"""One video, one id: whatever form its URL has."""

import contextlib
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources.identity import (
    Identity,
    alias_of,
    identify_upload,
    identify_url,
    only_video,
    parse_upload_ref,
)

VIDEO = "dQw4w9WgXcQ"
HEX = "ab" * 32


@pytest.mark.parametrize(
    "url",
    [
        f"https://www.youtube.com/watch?v={VIDEO}",
        f"http://youtube.com/watch?v={VIDEO}&t=9s",
        f"https://www.youtube.com/watch?list=PLx&index=3&v={VIDEO}",
        f"https://www.youtube.com/watch?app=desktop&v={VIDEO}&feature=share&utm_source=x",
        f"https://m.youtube.com/watch?v={VIDEO}#t=1m",
        f"https://music.youtube.com/watch?v={VIDEO}&list=RDAMVM{VIDEO}",
        f"https://youtu.be/{VIDEO}",
        f"https://youtu.be/{VIDEO}?si=abcdef&t=42",
        f"HTTPS://YOUTU.BE/{VIDEO}/",
        f"https://WWW.YouTube.Com:443/watch?v={VIDEO}",
        f"https://www.youtube.com./watch?v={VIDEO}",
        f"https://www.youtube.com/shorts/{VIDEO}?feature=share",
        f"https://www.youtube.com/embed/{VIDEO}?start=3&list=PLx",
        f"https://www.youtube-nocookie.com/embed/{VIDEO}",
        f"https://www.youtube.com/live/{VIDEO}?si=x",
        f"https://www.youtube.com/v/{VIDEO}",
        f"https://www.youtube.com/e/{VIDEO}",
        f"https://www.youtube.com/watch/{VIDEO}",
        f"https://www.youtube.com/?v={VIDEO}",
        f"https://www.youtube.com/watch?v={VIDEO}&v=AAAAAAAAAAA",
        f"https://www.youtube.com/watch?v={VIDEO}?feature=share",
        f"https://www.youtube.com/watch#!v={VIDEO}",
        f"https://youtu.be/{VIDEO}&feature=youtu.be",
        f"https://youtu.be/{VIDEO}?list=PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf",
        f"https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3D{VIDEO}%26feature%3Dshare",
        f"https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3D{VIDEO}&gl=DE",
        f"  https://www.youtube.com/watch?v={VIDEO}  ",
    ],
)
def test_every_form_of_a_youtube_url_is_the_same_video(url: str) -> None:
    canonical = f"https://www.youtube.com/watch?v={VIDEO}"
    assert identify_url(url) == Identity(f"youtube-{VIDEO}", "youtube", VIDEO, canonical, None, "www.youtube.com")


LIST = "PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf"
CHANNEL = "UCuAXFkgsw1L7xaCfnd5JJOw"


@pytest.mark.parametrize(
    ("url", "video_id", "fetched"),
    [
        (f"https://www.youtube.com/playlist?list={LIST}", f"youtube-list-{LIST}", f"playlist?list={LIST}"),
        (f"http://music.youtube.com/playlist?list={LIST}&si=x", f"youtube-list-{LIST}", f"playlist?list={LIST}"),
        (f"https://m.youtube.com/watch?list={LIST}", f"youtube-list-{LIST}", f"playlist?list={LIST}"),
        (f"https://www.youtube.com/embed/videoseries?list={LIST}", f"youtube-list-{LIST}", f"playlist?list={LIST}"),
        (f"https://www.youtube.com/channel/{CHANNEL}", f"youtube-channel-{CHANNEL}", f"channel/{CHANNEL}"),
        ("https://youtube.com/@narralytica/", "youtube-handle-narralytica", "@narralytica"),
        ("https://youtube.com/@narralytica/videos", "youtube-videos-of-handle-narralytica", "@narralytica/videos"),
        ("https://youtube.com/@narralytica-videos", "youtube-handle-narralytica-videos", "@narralytica-videos"),
        ("https://www.youtube.com/c/narralytica", "youtube-c-narralytica", "c/narralytica"),
        (
            f"https://www.youtube.com/embed/live_stream?channel={CHANNEL}",
            f"youtube-live-of-channel-{CHANNEL}",
            f"channel/{CHANNEL}/live",
        ),
        ("https://www.youtube.com/user/narralytica/Shorts", "youtube-shorts-of-user-narralytica", None),
    ],
)
def test_a_youtube_list_has_a_readable_identity_of_its_own(url: str, video_id: str, fetched: str | None) -> None:
    identity = identify_url(url)
    assert identity.video_id == video_id
    assert identity.host == "www.youtube.com"
    if fetched:
        assert identity.source_url == f"https://www.youtube.com/{fetched}"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/playlist?list=abcdef",  # youtube-list-abcdef could be a video's id
        "https://www.youtube.com/@abcd",
        "https://www.youtube.com/clip/UgkxVBe4ocMXPVXnYB8sHBD3PpPmmVNpvGpX",
        "https://www.youtube.com/embed/live_stream",
        "https://www.youtube.com/results?search_query=x",
        "https://www.youtube.com/attribution_link?u=https%3A%2F%2Fexample.com%2F",
        "https://www.youtube.com/",
        "https://www.youtube.com/@narralytica/videos/more",
    ],
)
def test_what_else_is_on_youtube_is_its_url(url: str) -> None:
    identity = identify_url(url)
    assert re.fullmatch(r"web-[0-9a-f]{32}", identity.video_id)
    assert identity.source_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://vimeo.com/76979871",
        "https://www.vimeo.com/76979871?fl=pl&fe=sh",
        "https://player.vimeo.com/video/76979871?autoplay=1",
        "https://vimeo.com/channels/staffpicks/76979871",
        "https://vimeo.com/groups/shortfilms/videos/76979871",
        "https://vimeo.com/showcase/123456/video/76979871",
    ],
)
def test_every_form_of_a_vimeo_url_is_the_same_video(url: str) -> None:
    identity = identify_url(url)
    assert (identity.video_id, identity.source_url) == ("vimeo-76979871", "https://vimeo.com/76979871")


@pytest.mark.parametrize(
    "url", ["https://vimeo.com/76979871/abcdef0123", "https://player.vimeo.com/video/76979871?h=abcdef0123"]
)
def test_an_unlisted_vimeo_video_keeps_the_key_that_opens_it(url: str) -> None:
    identity = identify_url(url)
    assert (identity.video_id, identity.source_url) == ("vimeo-76979871", "https://vimeo.com/76979871/abcdef0123")


@pytest.mark.parametrize(
    "url",
    [
        "HTTPS://Example.COM:443/a/clip.mp4?b=2&a=1",
        "https://example.com/a/clip.mp4?a=1&b=2#t=30",
        "https://example.com/a/clip.mp4?a=1&utm_source=mail&UTM_Campaign=x&b=2&fbclid=y&gclid=z",
    ],
)
def test_urls_that_differ_in_form_alone_are_the_same_video(url: str) -> None:
    plain = identify_url("https://example.com/a/clip.mp4?a=1&b=2")
    assert identify_url(url).video_id == plain.video_id
    assert re.fullmatch(r"web-[0-9a-f]{32}", plain.video_id)
    assert plain.host == "example.com"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a/clip.mp4?a=1",
        "https://example.com:8443/a/clip.mp4?a=1",
        "https://example.com/A/clip.mp4?a=1",
        "https://example.com/a/clip.mp4?a=2",
        "https://example.com/a/clip.mp4?a=1&si=2",
        "https://example.com/a/clip.mp4?a=1#/video/2",
        "https://other.example.com/a/clip.mp4?a=1",
    ],
)
def test_urls_that_may_mean_something_else_are_another_video(url: str) -> None:
    assert identify_url(url).video_id != identify_url("https://example.com/a/clip.mp4?a=1").video_id


def test_what_is_fetched_is_the_url_as_given() -> None:
    url = "https://example.com/a%2Fb/clip.mp4?signature=Zm9v%2B&b=&a=1&utm_source=mail"
    assert identify_url(url).source_url == url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.com/clip.mp4", "blocked_scheme"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("javascript:alert(1)", "blocked_scheme"),
        ("youtube.com/watch?v=dQw4w9WgXcQ", "blocked_scheme"),
        ("clip.mp4", "blocked_scheme"),
        ("http", "blocked_scheme"),
        ("", "blocked_scheme"),
        ("s3://bucket/key", "blocked_scheme"),
        ("https://", "invalid_url"),
        ("https:///clip.mp4", "invalid_url"),
        ("https://example.com:99999/", "invalid_url"),
        ("https://exa mple.com/", "invalid_url"),
        ("https://example.com/a\nb", "invalid_url"),
        ("https://[::1/", "invalid_url"),
        (f"https://example.com/{'a' * 9000}", "invalid_url"),
        ("https://www.youtube.com/watch?v=short", "invalid_url"),
        ("https://youtu.be/", "invalid_url"),
    ],
)
def test_bad_input_is_refused_for_good_with_a_helpful_sentence(url: str, code: str) -> None:
    with pytest.raises(IngestError) as raised:
        identify_url(url)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.PERMANENT, code)
    assert raised.value.message.endswith(".")


def test_a_local_path_is_told_how_to_be_submitted() -> None:
    with pytest.raises(IngestError, match=r"http, https or s3 URL.*narralytica-ingest submit FILE"):
        identify_url("/home/me/clip.mp4")


def test_a_file_that_we_uploaded_is_its_content_whatever_its_name_and_version() -> None:
    first = identify_upload(f"s3://uploads/sha256/{HEX}/clip.mp4", "v1", "uploads")
    second = identify_upload(f"s3://uploads/sha256/{HEX}/other name.mp4", "v2", "uploads")
    assert first.video_id == second.video_id == f"upload-{HEX[:32]}"
    assert first.upload_ref == f"s3://uploads/sha256/{HEX}/clip.mp4"


def test_an_upload_of_others_is_its_bucket_key_and_version() -> None:
    refs = [("s3://one/k", "1"), ("s3://one/k", "2"), ("s3://one/k2", "1"), ("s3://two/k", "1")]
    refs.append((f"s3://elsewhere/sha256/{HEX}/clip.mp4", "1"))
    assert len({identify_upload(ref, version, "uploads").video_id for ref, version in refs}) == len(refs)


def test_a_quoted_etag_is_the_same_version() -> None:
    assert identify_upload("s3://bucket/k", '"abc"', "u") == identify_upload("s3://bucket/k", "abc", "u")


def test_an_upload_key_is_taken_literally() -> None:
    assert parse_upload_ref("s3://bucket/a b/c?d#e%2F.mp4") == ("bucket", "a b/c?d#e%2F.mp4")


@pytest.mark.parametrize(
    "ref", ["", "s3://", "s3://bucket", "s3://bucket/", "s3:///key", "http://bucket/key", "s3:bucket/key"]
)
def test_a_bad_upload_reference_is_refused(ref: str) -> None:
    with pytest.raises(IngestError, match="s3://bucket/key") as raised:
        identify_upload(ref, "1", "uploads")
    assert raised.value.code == "invalid_upload_ref"


@pytest.mark.parametrize(
    ("url", "alone"),
    [
        (f"https://www.youtube.com/playlist?list={LIST}", True),
        ("https://www.youtube.com/@narralytica/live", True),
        ("https://www.youtube.com/results?search_query=x", True),
        ("https://www.youtube.com/watch?v=AAAAAAAAAAA", False),
        ("https://example.com/post", False),
    ],
)
def test_a_list_of_one_video_is_told_from_the_video(url: str, alone: bool) -> None:
    watch = f"https://www.youtube.com/watch?v={VIDEO}"
    assert only_video(identify_url(url).video_id, url, f"youtube-{VIDEO}") == (watch if alone else None)
    assert only_video(identify_url(url).video_id, url, "vimeo-76979871") is None


def test_an_alias_looks_like_the_id_that_a_url_would_give() -> None:
    assert alias_of("Youtube", VIDEO) == identify_url(f"https://youtu.be/{VIDEO}").video_id
    assert re.fullmatch(r"site-[0-9a-f]{32}", alias_of("Site", "a/b:c"))


hosts = st.sampled_from(
    [
        "youtube.com",
        "www.YouTube.com",
        "youtu.be",
        "vimeo.com",
        "example.com",
        "münchen.example",
        "[::1]",
        "127.0.0.1:8080",
    ]
)
queries = st.dictionaries(st.sampled_from(["v", "list", "utm_source", "a", "t"]), st.text(max_size=12), max_size=4)
urls = st.builds(
    lambda scheme, host, path, query, fragment: (
        f"{scheme}://{host}/{path}" + "?" + "&".join(f"{k}={v}" for k, v in query.items()) + f"#{fragment}"
    ),
    st.sampled_from(["http", "https", "HTTP"]),
    hosts,
    st.text(max_size=30) | st.sampled_from(["watch", "shorts/dQw4w9WgXcQ", "76979871", "a/../b", "%2e%2e/%zz"]),
    queries,
    st.text(max_size=10),
)


@given(st.text() | urls)
@example("http://[fe80::1%25eth0]/")
@example("http://a@b@c/")
@example("http://xn--0.example/")
@example("HTTP://0/\xa0#")
def test_any_text_is_identified_the_same_way_again_or_refused(text: str) -> None:
    try:
        identity = identify_url(text)
    except IngestError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", identity.video_id), "the CHECK of videos.video_id"
    assert identity.source_url is not None
    assert identify_url(identity.source_url) == identity


youtube_ids = st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True)
youtube_forms = st.sampled_from(
    ["youtu.be/{}", "www.youtube.com/watch?v={}&list=PLx", "m.youtube.com/shorts/{}?t=1", "youtube.com/embed/{}#x"]
)
lists = st.from_regex(r"[A-Za-z0-9_-]{2,40}", fullmatch=True)


@given(youtube_ids, youtube_ids, youtube_forms, youtube_forms)
def test_two_youtube_urls_are_one_video_if_and_only_if_their_ids_are(a: str, b: str, first: str, second: str) -> None:
    one, other = identify_url(f"https://{first.format(a)}"), identify_url(f"http://{second.format(b)}")
    assert (one.video_id == other.video_id) == (a == b)


@given(youtube_ids, lists, st.sampled_from(["playlist?list={}", "@{}", "channel/{}", "c/{}/videos", "@{}/live"]))
def test_no_list_ever_has_the_id_of_a_video(video: str, name: str, form: str) -> None:
    listed = identify_url(f"https://www.youtube.com/{form.format(name)}")
    assert listed.video_id != identify_url(f"https://youtu.be/{video}").video_id
    assert not re.fullmatch(r"youtube-[A-Za-z0-9_-]{11}", listed.video_id)
    assert identify_url(listed.source_url or "") == listed


@pytest.mark.parametrize("host", ["www.youtube.com", "youtu.be", "vimeo.com", "www.dailymotion.com", "example.com"])
@pytest.mark.parametrize("part", ["a", "/", "1/", "?v=", "&v=a", "%2F", "=&", "-1", "@", "attribution_link?u=/"])
def test_the_longest_url_is_identified_in_milliseconds(host: str, part: str) -> None:
    url = f"https://{host}/{part * 8000}"[:8192]
    started = time.perf_counter()
    with contextlib.suppress(IngestError):
        identify_url(url)
    assert time.perf_counter() - started < 0.25


@given(st.text(), st.text())
def test_any_upload_reference_is_identified_the_same_way_again_or_refused(text: str, version: str) -> None:
    try:
        identity = identify_upload(text if text.startswith("x") else f"s3://bucket/{text}", version, "uploads")
    except IngestError:
        return
    assert re.fullmatch(r"upload-[0-9a-f]{32}", identity.video_id)
    assert identity.upload_ref is not None
    assert identify_upload(identity.upload_ref, version, "uploads") == identity
