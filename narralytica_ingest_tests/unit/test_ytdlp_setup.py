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


def chosen(folder: Path, formats: list[dict[str, Any]], **options: Any) -> list[str]:
    info = {"id": "x", "title": "x", "extractor": "test", "extractor_key": "Test", "webpage_url": "http://127.0.0.1/x"}
    with downloader(folder, **options) as running:
        result = running.process_ie_result(info | {"formats": formats}, download=False)
    return [each["format_id"] for each in result.get("requested_formats") or [result]]


def picture(name: str, height: int, **more: Any) -> dict[str, Any]:
    return {
        "format_id": name, "url": f"http://127.0.0.1/{name}", "ext": "mp4", "vcodec": "avc1.640028", "acodec": "none",
        "height": height, "width": height * 16 // 9, "tbr": height, **more,
    }  # fmt: skip


def sound(name: str, language: str, preference: int, tbr: int) -> dict[str, Any]:
    return {
        "format_id": name, "url": f"http://127.0.0.1/{name}", "ext": "m4a", "vcodec": "none", "acodec": "mp4a.40.2",
        "language": language, "language_preference": preference, "tbr": tbr, "abr": tbr,
    }  # fmt: skip


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


def test_the_best_picture_up_to_the_wanted_height_is_chosen(tmp_path: Path) -> None:
    formats = [picture("p360", 360), picture("p720", 720), picture("p1080", 1080), sound("a", "en", 10, 128)]
    assert chosen(tmp_path, formats, max_height=720) == ["p720", "a"]
    assert chosen(tmp_path, formats, max_height=1080) == ["p1080", "a"]


def test_the_smallest_picture_is_chosen_where_all_are_too_high(tmp_path: Path) -> None:
    assert chosen(tmp_path, [picture("p720", 720), picture("p1080", 1080)], max_height=480) == ["p720"]


def test_a_portrait_video_is_measured_by_its_shorter_side(tmp_path: Path) -> None:
    tall = [picture("small", 1280, width=720), picture("large", 1920, width=1080)]
    assert chosen(tmp_path, tall, max_height=1080) == ["large"]


def test_the_original_language_wins_over_a_dub_of_better_quality(tmp_path: Path) -> None:
    sounds = [sound("original", "de", 10, 96), sound("dub", "en", -1, 256)]
    assert chosen(tmp_path, [picture("p720", 720), *sounds]) == ["p720", "original"]


@pytest.mark.parametrize(
    ("found", "code", "when"),
    [
        ({"live_status": "is_live"}, "live", None),
        ({"is_live": True}, "live", None),
        ({"live_status": "is_upcoming", "release_timestamp": 1_800_000_000}, "upcoming", 1_800_000_000),
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
