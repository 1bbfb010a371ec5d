"""How yt-dlp is set up: what it may use, and what it chooses. Without any network."""

from pathlib import Path
from typing import Any

import pytest

from narralytica_ingest.failures import FailureClass, IngestError
from narralytica_ingest.sources import ytdlp
from narralytica_ingest.sources.fetching import FetchOptions
from narralytica_ingest.sources.source_info import kept_info
from narralytica_ingest.sources.ytdlp.downloader import Downloader
from narralytica_ingest.sources.ytdlp.failures import refuse_unfinished
from narralytica_ingest.sources.ytdlp.options import parameters


def downloader(folder: Path, **options: Any) -> Any:
    return Downloader(parameters(folder, FetchOptions(**options)))


def test_the_javascript_runtime_of_the_environment_is_ready_for_youtube(tmp_path: Path) -> None:
    deno = ytdlp.javascript_runtime()
    assert deno is not None
    with downloader(tmp_path) as running:
        runtime = running._js_runtimes["deno"]
        assert runtime.info is not None
        assert runtime.info.supported
        assert runtime.info.path == str(deno)
        assert not running.params["remote_components"]


def test_youtube_solves_its_challenges_with_the_installed_scripts(tmp_path: Path) -> None:
    from yt_dlp.dependencies import yt_dlp_ejs

    assert yt_dlp_ejs is not None
    with downloader(tmp_path) as running:
        extractor = running.get_info_extractor("Youtube")
        extractor.initialize()
        assert [each.PROVIDER_KEY for each in extractor._jsc_director._get_providers([])] == ["Deno"]


def test_yt_dlp_gets_no_ffmpeg_no_cache_and_no_files(tmp_path: Path) -> None:
    from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

    with downloader(tmp_path) as running:
        assert not FFmpegPostProcessor(running).available
        assert not running.cache.enabled
        assert not running.params["enable_file_urls"]


@pytest.mark.parametrize(
    ("found", "code", "when"),
    [
        ({"live_status": "is_live"}, "live", None),
        ({"is_live": True}, "live", None),
        ({"live_status": "is_upcoming"}, "upcoming", None),
        ({"live_status": "post_live"}, "processing", None),
    ],
)
def test_what_is_not_finished_yet_waits(found: dict[str, Any], code: str, when: int | None) -> None:
    with pytest.raises(IngestError) as raised:
        refuse_unfinished(found)
    assert (raised.value.failure_class, raised.value.code) == (FailureClass.NOT_YET, code)
    assert (raised.value.retry_at and raised.value.retry_at.timestamp()) == when


def test_no_key_to_the_source_is_kept() -> None:
    secret = "https://user:secret@example.com/v?signature=secret"
    info = {
        "id": "x", "title": "A title", "url": secret, "http_headers": {"Cookie": "secret"}, "cookies": "secret",
        "formats": [{"url": secret}], "fragments": [{"url": secret}], "request_data": "secret", "manifest_url": secret,
        "requested_formats": [{"format_id": "137", "url": secret, "cookies": "secret", "vcodec": "avc1"}],
        "thumbnail": secret.replace("user:secret@", ""), "subtitles": {"en": [{"url": secret}], "live_chat": []},
        "automatic_captions": {"de": [{"url": secret}]}, "webpage_url": "https://user:secret@example.com/v",
    }  # fmt: skip
    kept = kept_info(info)
    assert "secret" not in repr(kept)
    assert kept["formats"] == [{"format_id": "137", "vcodec": "avc1"}]
    assert (kept["subtitles"], kept["automatic_captions"]) == (["en"], ["de"])
    assert kept["thumbnail"] == "https://example.com/v"
