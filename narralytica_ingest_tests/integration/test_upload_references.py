"""Upload references reach the configured bucket and prefix, and nothing else; paths of this machine reach nothing."""

from pathlib import Path

import pytest

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.intake import Intake
from narralytica_ingest.object_store.client import make_client
from narralytica_ingest.resources import fetcher
from narralytica_ingest.sources.fetching import ListedVideo, Listing
from narralytica_ingest.store.database import Database
from narralytica_ingest_tests.in_process import Installation, command_line
from narralytica_ingest_tests.integration.test_intake import insert, job
from narralytica_ingest_tests.source_server import SAMPLE

BUCKET = "narralytica-uploads"
LOCAL = ["/etc/passwd", "file:///etc/passwd", "file://localhost/etc/passwd", "~/x.mp4", "C:\\x.mp4", "./x.mp4"]
LOCAL += ["data:,x"]

# What nobody may reach where uploads lie below `talks/2026`, and the same where any key of the bucket is an upload.
ELSEWHERE = [
    "s3://narralytica-media/talks/2026/clip.mp4",
    "s3://NARRALYTICA-UPLOADS/talks/2026/clip.mp4",
    "s3://arn:aws:s3:us-east-1:123456789012:accesspoint/narralytica-uploads/talks/2026/clip.mp4",
    "s3://narralytica-uploads@127.0.0.1/talks/2026/clip.mp4",
    "s3://narralytica-uploads:443/talks/2026/clip.mp4",
    "s3://narralytica-uploads.evil.example/talks/2026/clip.mp4",
    "s3://narralytica-uploads%2F/talks/2026/clip.mp4",
    "s3://narralytica‐uploads/talks/2026/clip.mp4",  # noqa: RUF001  (another hyphen)
    "s3://../narralytica-uploads/talks/2026/clip.mp4",
    "s3://narralytica-uploads/talks/2026/../../clip.mp4",
    "s3://narralytica-uploads/talks/2026/../../../narralytica-media/clip.mp4",
    "s3://narralytica-uploads/talks/2026/%2e%2e/%2e%2e/clip.mp4",
    "s3://narralytica-uploads/talks/2026/%252e%252e/clip.mp4",
    "s3://narralytica-uploads/talks/2026/%25252525252e%25252525252e/clip.mp4",
    "s3://narralytica-uploads/talks/2026/..%2F..%2Fclip.mp4",
    "s3://narralytica-uploads/talks/2026/..\\..\\clip.mp4",
    "s3://narralytica-uploads/talks/2026/./clip.mp4",
    "s3://narralytica-uploads/talks/2026//clip.mp4",
    "s3://narralytica-uploads//talks/2026/clip.mp4",
    "s3://narralytica-uploads/talks/2026/..",
]
OUTSIDE_PREFIX = [
    "s3://narralytica-uploads/clip.mp4",
    "s3://narralytica-uploads/talks/2026",
    "s3://narralytica-uploads/talks/2026-evil/clip.mp4",
    "s3://narralytica-uploads/talks/2025/clip.mp4",
    "s3://narralytica-uploads/Talks/2026/clip.mp4",
    "s3://narralytica-uploads/ talks/2026/clip.mp4",
    "s3://narralytica-uploads/talks/２０２６/clip.mp4",  # noqa: RUF001
    "s3://narralytica-uploads/x/talks/2026/clip.mp4",
    "s3://narralytica-uploads/talks%2F2026/clip.mp4",
]


def verdicts(settings: Settings, endpoints: Endpoints, database: Database, references: list[str]) -> dict[str, object]:
    """What becomes of jobs for these references at the claim."""
    ids = {each: insert(database, upload_ref=each) for each in references}
    Intake(settings, endpoints).admit()
    rows = {each: job(database, ids[each]) for each in references}
    return {each: (row["status"], row["error_class"], row["error_code"]) for each, row in rows.items()}


REFUSED = ("failed", "permanent", "upload_not_allowed")


def test_a_reference_elsewhere_is_refused_before_the_object_store_is_asked(
    settings: Settings, endpoints: Endpoints, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "_client", None)  # whoever asks would fail as `unidentifiable`
    below = settings.model_copy(update={"s3_upload_prefix": "talks/2026"})
    assert verdicts(settings, endpoints, database, ELSEWHERE) == dict.fromkeys(ELSEWHERE, REFUSED)
    assert verdicts(below, endpoints, database, ELSEWHERE) == dict.fromkeys(ELSEWHERE, REFUSED)
    assert verdicts(below, endpoints, database, OUTSIDE_PREFIX) == dict.fromkeys(OUTSIDE_PREFIX, REFUSED)


def test_a_reference_below_the_prefix_is_taken_whatever_its_name(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    below = settings.model_copy(update={"s3_upload_prefix": "talks/2026"})
    keys = ["talks/2026/clip.mp4", "talks/2026/a b/Vorträge ☃.mp4", "talks/2026/100%.mp4", "talks/2026/...mp4"]
    for key in keys:
        make_client(endpoints.s3).put_object(Bucket=BUCKET, Key=key, Body=b"x")
    good = [f"s3://{BUCKET}/{key}" for key in keys]
    assert verdicts(below, endpoints, database, good) == dict.fromkeys(good, ("queued", None, None))


def test_our_own_media_files_are_nobodys_uploads_though_they_share_the_bucket(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    shared = settings.model_copy(update={"s3_bucket": BUCKET})
    for key in ("media/ab/x.mp4", "mediation/x.mp4"):
        make_client(endpoints.s3).put_object(Bucket=BUCKET, Key=key, Body=b"x")
    found = verdicts(shared, endpoints, database, [f"s3://{BUCKET}/media/ab/x.mp4", f"s3://{BUCKET}/mediation/x.mp4"])
    assert list(found.values()) == [REFUSED, ("queued", None, None)]


def test_a_row_that_was_altered_after_the_claim_reads_nothing_elsewhere(place: Installation) -> None:
    place.s3.put_object(Bucket=BUCKET, Key="altered.mp4", Body=SAMPLE.read_bytes())
    place.s3.put_object(Bucket=place.settings.s3_bucket, Key="secret.mp4", Body=SAMPLE.read_bytes())
    job_id = insert(place.database, upload_ref=f"s3://{BUCKET}/altered.mp4")
    (claimed,) = place.claim()
    place.database.all(
        "UPDATE videos SET upload_ref = %s RETURNING 1", (f"s3://{place.settings.s3_bucket}/secret.mp4",)
    )
    assert not place.run(claimed)
    assert (place.job(job_id)["status"], place.job(job_id)["error_code"]) == ("failed", "upload_not_allowed")
    assert place.files(claimed.video_id) == {}


def test_an_upload_that_is_replaced_after_the_claim_is_not_read(place: Installation) -> None:
    place.s3.put_object(Bucket=BUCKET, Key="replaced.mp4", Body=SAMPLE.read_bytes())
    job_id = insert(place.database, upload_ref=f"s3://{BUCKET}/replaced.mp4")
    (claimed,) = place.claim()
    place.s3.put_object(Bucket=BUCKET, Key="replaced.mp4", Body=SAMPLE.read_bytes() + b"more")
    assert not place.run(claimed)
    assert (place.job(job_id)["status"], place.job(job_id)["error_code"]) == ("failed", "object_changed")


def test_a_file_from_the_command_line_lies_below_the_prefix_and_keeps_its_identity(
    place: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NARRALYTICA_S3_UPLOAD_PREFIX", "/talks/2026/")
    changed = Settings().model_copy(update={"s3_bucket": place.settings.s3_bucket})
    below = Installation(changed, place.endpoints, place.instance)
    with command_line(capsys) as cli:
        assert cli("submit", str(SAMPLE)).code == 0
    (row,) = below.work()
    assert (row["status"], row["outcome"]) == ("succeeded", "ingested"), row["error_message"]
    assert row["upload_ref"].startswith(f"s3://{BUCKET}/talks/2026/sha256/")
    sha256 = below.files(row["video_id"])["raw_video"]["sha256"]
    assert row["video_id"] == f"upload-{sha256[:32]}"


def test_a_key_that_claims_a_hash_below_the_prefix_is_held_to_it(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NARRALYTICA_S3_UPLOAD_PREFIX", "talks")
    key = f"talks/sha256/{'0' * 64}/clip.mp4"
    place.s3.put_object(Bucket=BUCKET, Key=key, Body=SAMPLE.read_bytes())
    settings = Settings().model_copy(update={"s3_bucket": place.settings.s3_bucket})
    job_id = insert(place.database, upload_ref=f"s3://{BUCKET}/{key}")
    Installation(settings, place.endpoints, place.instance).work()
    assert (place.job(job_id)["video_id"], place.job(job_id)["error_code"]) == (
        f"upload-{'0' * 32}",
        "upload_checksum_differs",
    )


@pytest.mark.parametrize("prefix", ["a//b", "../a", "a/./b", "%2e%2e", "a\x00b", "a\\..\\b"])
def test_a_prefix_that_no_plain_key_has_is_refused_as_a_setting(
    prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="s3_upload_prefix"):
        Settings(home=tmp_path, s3_upload_prefix=prefix)


def test_paths_of_this_machine_are_no_sources_of_jobs_and_of_playlists(
    settings: Settings, endpoints: Endpoints, database: Database
) -> None:
    sources = {each: insert(database, source_url=each) for each in LOCAL}
    uploads = {each: insert(database, upload_ref=each) for each in LOCAL}
    good = insert(database, source_url="http://host/clip.mp4")
    Intake(settings, endpoints).admit()
    for each in LOCAL:
        assert job(database, sources[each])["error_class"] == "permanent", each
        assert job(database, uploads[each])["error_code"] == "invalid_upload_ref", each
    assert job(database, good)["status"] == "queued"
    entries = [ListedVideo(each) for each in [*LOCAL, *ELSEWHERE, "http://h/a"]]
    listed = Listing("A list", tuple(entries), more=False)
    assert [child.source_url for child in fetcher._children(listed)] == ["http://h/a"]
