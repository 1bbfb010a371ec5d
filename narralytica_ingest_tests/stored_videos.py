"""Many videos that are stored already, put into tables and bucket at once: the rows are real, the media is not."""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from narralytica_ingest.store.database import Database, as_jsonb

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READ_AT = "2026-11-20T08:00:00+00:00"

_VIDEOS = """
INSERT INTO videos (video_id, source, source_id, source_url, hints)
SELECT video_id, 'youtube', video_id, 'http://host/' || video_id, '{"channel": "A hint"}'
  FROM jsonb_to_recordset(%(videos)s) AS v (video_id text)
"""
_FILES = """
INSERT INTO media_files (video_id, generation, kind, bucket, object_key, size_bytes, sha256, content_type, probe, facts,
                         lease_epoch)
SELECT video_id, 1, 'raw_video', %(bucket)s, 'media/' || left(sha256, 2) || '/' || sha256 || '.mp4', 1000, sha256,
       'video/mp4', probe, NULL, 0 FROM jsonb_to_recordset(%(videos)s) AS v (video_id text, sha256 text, probe jsonb)
 UNION ALL
SELECT video_id, 1, 'source_info', %(bucket)s, info_key, info_size, info_sha256, 'application/json', NULL,
       jsonb_build_object('read_at', %(read_at)s::text), 0
  FROM jsonb_to_recordset(%(videos)s) AS v (video_id text, info_key text, info_size bigint, info_sha256 text)
"""


def source_info(number: int) -> dict[str, Any]:
    """What a source says of a video, of the usual size (some kilobytes)."""
    return {
        "id": f"v{number}",
        "title": f"Video {number}: \u05e9\u05dc\u05d5\u05dd",
        "description": f"About {number}. " * 100,
        "uploader": "Somebody",
        "upload_date": "20260314",
        "view_count": number,
        "tags": [f"tag {each}" for each in range(20)],
        "automatic_captions": ["en-orig", *(f"{first}{second}" for first in "adefhijs" for second in "aefilnstu")],
        "chapters": [{"start_time": each * 60, "end_time": each * 60 + 60, "title": f"{each}"} for each in range(10)],
        "language": "en",
        "duration": 600 + number,
        "extractor_key": "Youtube",
    }


def probe(number: int) -> dict[str, Any]:
    """What ffprobe measured, with its own words beside it."""
    picture = {"index": 0, "codec": "h264", "width": 1920, "height": 1080, "frame_rate": 25.0, "bit_rate": 4_000_000}
    sound = {"index": 1, "codec": "aac", "channels": 2, "sample_rate": 48_000, "language": "eng", "default": True}
    kinds = {0: "video", 1: "audio"}
    streams = [{"index": index, "codec_type": kind, "x": "y" * 800} for index, kind in kinds.items()]
    raw = {"format": {"tags": {"encoder": "x" * 200}}, "streams": streams}
    return {
        "container": "mp4", "extension": "mp4", "size_bytes": 1000,
        "duration_seconds": 600.5 + number, "bit_rate": 4_200_000, "video": [picture],
        "audio": [sound], "tags": {}, "raw": raw,
    }  # fmt: skip


def store(database: Database, client: "S3Client", bucket: str, numbers: Sequence[int]) -> list[str]:
    """Stores a video for each number; returns their ids, `youtube-00001` and so on."""
    videos = [_video(number) for number in numbers]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda video: _put(client, bucket, video), videos))
    rows = [{name: value for name, value in video.items() if name != "info"} for video in videos]
    values = {"videos": as_jsonb(rows), "bucket": bucket, "read_at": READ_AT}
    with database.transaction() as connection:
        connection.execute(_VIDEOS, values)
        connection.execute(_FILES, values)
    return [video["video_id"] for video in videos]


def _video(number: int) -> dict[str, Any]:
    body = json.dumps(source_info(number), ensure_ascii=False).encode()
    sha256 = hashlib.sha256(body).hexdigest()
    return {
        "video_id": f"youtube-{number:05}",
        "sha256": hashlib.sha256(b"%d" % number).hexdigest(),
        "probe": probe(number),
        "info": body,
        "info_key": f"media/{sha256[:2]}/{sha256}.json",
        "info_size": len(body),
        "info_sha256": sha256,
    }


def _put(client: "S3Client", bucket: str, video: dict[str, Any]) -> None:
    client.put_object(
        Bucket=bucket, Key=video["info_key"], Body=video["info"], Metadata={"sha256": video["info_sha256"]}
    )
