"""How long ingesting takes, against the shell script that a person would write instead.

The script is: yt-dlp, then ffmpeg, then an upload of both files, one video after the other. Both sides fetch from the
same local server and store into the same S3 server. The script makes no metadata rows, no status, no dedupe.

Run with `make bench` or `python -m bench.against_script --videos 20 --megabytes 0 --workers 2`; `--megabytes` pads each
video to show large files. Prints seconds for both and the ratio; below 1 the worker is faster.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from narralytica_ingest.endpoints import Endpoints
from narralytica_ingest.media.tools import find_tools
from narralytica_ingest_tests.e2e.running import Running, running_stack
from narralytica_ingest_tests.source_server import SAMPLE

# What `aws s3 cp` does, without needing the AWS command line: one process per upload.
_UPLOAD = """
import sys, boto3
boto3.client("s3", endpoint_url=sys.argv[1]).upload_file(sys.argv[2], sys.argv[3], sys.argv[4])
"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        videos = [_make_video(folder / "web" / f"{n}.mp4", options.megabytes) for n in range(options.videos)]
        with (
            _serving(folder / "web") as base,
            running_stack(folder / "home", workers=options.workers, egress_allow=base.removeprefix("http://")) as stack,
        ):
            urls = [f"{base}/{video.name}" for video in videos]
            ours = _ours(stack, urls)
            script = _script(stack.endpoints, stack.settings.s3_upload_bucket, urls, folder)
    each = options.megabytes + round(SAMPLE.stat().st_size / 1e6, 1)
    print(f"{len(videos)} videos of {each} MB, {options.workers} workers")
    print(f"  worker  {ours:7.1f} s  ({ours / len(videos):.2f} s each)")
    print(f"  script  {script:7.1f} s  ({script / len(videos):.2f} s each)")
    print(f"  ratio   {ours / script:7.2f}")


def _make_video(path: Path, megabytes: int) -> Path:
    """The sample clip with a free atom of random bytes, so that each video is another object."""
    path.parent.mkdir(exist_ok=True)
    padding = os.urandom(16) + os.urandom(1 << 20) * megabytes
    path.write_bytes(SAMPLE.read_bytes() + struct.pack(">I4s", len(padding) + 8, b"free") + padding)
    return path


class _serving:  # noqa: N801 - reads as what it does
    """A plain file server in a process of its own, so that neither side shares its interpreter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "-d", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        port = self._process.stdout.readline().split(" port ")[1].split()[0]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def _ours(stack: Running, urls: list[str]) -> float:
    started = time.monotonic()
    rows = stack.finish(*[stack.insert(source_url=url) for url in urls], seconds=3600)
    assert {row["outcome"] for row in rows} == {"ingested"}
    return time.monotonic() - started


def _script(endpoints: Endpoints, bucket: str, urls: list[str], folder: Path) -> float:
    s3 = endpoints.s3
    keys = {"AWS_ACCESS_KEY_ID": str(s3.access_key_id), "AWS_SECRET_ACCESS_KEY": str(s3.secret_access_key)}
    environment = {**os.environ, **keys, "AWS_DEFAULT_REGION": s3.region}
    started = time.monotonic()
    for number, url in enumerate(urls):
        video, sound = folder / f"script-{number}.mp4", folder / f"script-{number}.flac"
        _run([sys.executable, "-m", "yt_dlp", "-q", "-o", str(video), url], environment)
        flac = ["-vn", "-ac", "1", "-ar", "16000", "-sample_fmt", "s16", str(sound)]
        _run([str(find_tools().ffmpeg), "-v", "error", "-y", "-i", str(video), *flac], environment)
        for path in (video, sound):
            _run([sys.executable, "-c", _UPLOAD, str(s3.url), str(path), bucket, f"script/{path.name}"], environment)
            path.unlink()
    return time.monotonic() - started


def _run(command: list[str], environment: dict[str, str]) -> None:
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
