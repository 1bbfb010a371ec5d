"""Nothing that yt-dlp does goes past the guard, whatever settings, sources and the environment say."""

from pathlib import Path
from typing import Any

import pytest
from yt_dlp.networking.common import Request

from narralytica_ingest.sources.fetching import Access, Fetched, FetchOptions
from narralytica_ingest.sources.ytdlp import fetch_url
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.exits import exits
from narralytica_ingest.sources.ytdlp.options import parameters
from narralytica_ingest_tests.integration.guard.guarded import BROWSERS, CLIP, fetch, only, refusal
from narralytica_ingest_tests.source_server import Asked, Resource, SourceServer, lab_options


@BROWSERS
@pytest.mark.parametrize(
    "environment",
    [{"NO_PROXY": "*"}, {"no_proxy": "127.0.0.1,localhost"}, {"no_proxy": "*", "NO_PROXY": "*"},
     {"HTTP_PROXY": "CANARY", "http_proxy": "CANARY", "ALL_PROXY": "CANARY", "all_proxy": "CANARY",
      "https_proxy": "CANARY"}],
)  # fmt: skip
def test_the_environment_opens_no_other_way(
    server: SourceServer,
    canary: SourceServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    impersonate: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value.replace("CANARY", canary.url("")))
    access = Access(impersonate=impersonate)
    assert fetch(server.url("/clip.mp4"), tmp_path / "good", server, access=access).parts[0].read_bytes() == CLIP
    assert refusal(canary.url("/clip.mp4"), tmp_path / "bad", server, access=access) == "blocked_address"
    assert not canary.requests


@BROWSERS
@pytest.mark.parametrize("proxies", [{}, {"all": None}, {"http": None}, {"all": "__noproxy__"}, {"no": "*"}, "CANARY"])
def test_a_request_that_names_proxies_of_its_own_gets_none_of_them(
    server: SourceServer, canary: SourceServer, tmp_path: Path, proxies: Any, impersonate: str | None
) -> None:
    options = FetchOptions(egress=only(server), access=Access(impersonate=impersonate))
    named = {"all": canary.url("")} if proxies == "CANARY" else proxies
    header = {"Ytdl-Request-Proxy": canary.url("")} if proxies == "CANARY" else {}
    with exits(options) as out, Downloader(parameters(tmp_path, options), out) as downloader:
        with downloader.urlopen(Request(server.url("/clip.mp4"), headers=header, proxies=dict(named))) as response:
            assert response.status == 200
        with pytest.raises(Exception, match="nothing is fetched from"):
            downloader.urlopen(Request(canary.url("/clip.mp4"), headers=header, proxies=dict(named)))
    assert not canary.requests


def test_without_a_guard_a_downloader_reaches_nothing(server: SourceServer, tmp_path: Path) -> None:
    with Downloader(parameters(tmp_path, FetchOptions())) as downloader:
        for url in (server.url("/clip.mp4"), "https://127.0.0.1:1/"):
            with pytest.raises(Exception, match="no guard"):
                downloader.urlopen(url)
        assert sorted(downloader._request_director.handlers) == ["BoundedCurlCFFI", "BoundedRequests"]
    assert not server.requests


@BROWSERS
@pytest.mark.parametrize(
    "to", ["ftp://127.0.0.1:PORT/clip.mp4", "file:///etc/passwd", "gopher://127.0.0.1:PORT/x", "data:video/mp4,x",
           "ws://127.0.0.1:PORT/", "dict://127.0.0.1:PORT/x"]
)  # fmt: skip
def test_a_redirect_to_another_scheme_is_refused(
    server: SourceServer, canary: SourceServer, tmp_path: Path, to: str, impersonate: str | None
) -> None:
    target = to.replace("PORT", canary.url("").rpartition(":")[2])
    url = server.add_redirect("/away.mp4", target)
    assert refusal(url, tmp_path, server, access=Access(impersonate=impersonate)) == "blocked_scheme"
    assert not canary.requests


@BROWSERS
def test_a_redirect_to_a_forbidden_address_is_refused_and_not_tried_again(
    server: SourceServer, canary: SourceServer, tmp_path: Path, impersonate: str | None
) -> None:
    server.add_redirect("/first.mp4", "/second.mp4")
    server.add_redirect("/second.mp4", canary.url("/clip.mp4"))
    access = Access(impersonate=impersonate)
    assert refusal(server.url("/first.mp4"), tmp_path, server, access=access) == "blocked_address"
    assert (server.requests["/first.mp4"], canary.requests) == (1, {})


def test_a_private_playlist_s_key_and_segments_are_not_fetched(
    server: SourceServer, canary: SourceServer, tmp_path: Path
) -> None:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", "0.ts", "#EXT-X-ENDLIST", ""]
    server.add("/0.ts", CLIP[:1000] * 16, content_type="video/mp2t")
    key = [*lines[:2], f'#EXT-X-KEY:METHOD=AES-128,URI="{canary.url("/clip.mp4")}"', *lines[2:]]
    away = [*lines[:3], canary.url("/clip.mp4"), *lines[4:]]
    for name, text in {"/key.m3u8": key, "/away.m3u8": away}.items():
        server.add(name, "\n".join(text).encode(), content_type="application/vnd.apple.mpegurl")
        assert refusal(server.url(name), tmp_path / name[1:4], server) == "blocked_address"
    assert not canary.requests


def test_a_whole_fetch_needs_nothing_but_the_hosts_of_its_source(server: SourceServer, tmp_path: Path) -> None:
    """The control of all of the above: a page, its media and its picture."""
    server.add("/thumbnail.jpg", b"\xff\xd8\xff" + bytes(50), content_type="image/jpeg")
    fetched = fetch_url(server.add_page("/page.html", "/clip.mp4"), tmp_path, lab_options())
    assert isinstance(fetched, Fetched)
    assert fetched.parts[0].read_bytes() == CLIP
    assert [each.kind for each in fetched.side_files] == ["thumbnail"]


def watched(server: SourceServer, path: str) -> list[Asked]:
    """What is asked for at `path`."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> Resource:
        seen.append(asked)
        return Resource([CLIP])

    server.add_answer(path, answer)
    return seen


@BROWSERS
def test_no_source_sees_the_guard_s_password(server: SourceServer, tmp_path: Path, impersonate: str | None) -> None:
    seen = watched(server, "/watched.mp4")
    server.add_redirect("/first.mp4", "/watched.mp4")
    fetch(server.url("/first.mp4"), tmp_path, server, access=Access(impersonate=impersonate))
    assert seen
    assert not [name for asked in seen for name in asked.headers if "proxy" in name.lower()]
