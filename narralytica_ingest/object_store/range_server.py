"""A stored object on this machine's loopback, for tools that read by HTTP and shall know nothing of the store's keys.

What belongs here: one object at one random path, parts of it by Range, as the store sends them: nothing is kept, on
disk or in memory. The tool may read where it likes; what the store fails to send is asked for again from where it
stopped, and where that does not help, the failure is told to whoever opened the object, whatever the tool made of it.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from narralytica_ingest.failures import IngestError
from narralytica_ingest.object_store.media import ObjectRef, blocks
from narralytica_ingest.object_store.patience import patiently

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_POLL_SECONDS = 0.05


@contextmanager
def served(client: "S3Client", ref: ObjectRef, size_bytes: int) -> Iterator[str]:
    """The URL at which the object can be read until the block ends.

    Raises at the block's end, in place of any other failure of it, what the store failed with: IngestError
    `object_store_away`, `object_missing`, … as `blocks`.
    """
    with closing(_Server(client, ref, size_bytes)) as server:
        try:
            yield server.url
        except Exception as error:
            if server.failed is not None:
                raise server.failed from error
            raise
        if server.failed is not None:
            raise server.failed


class _Server:
    """Answers in threads of its own. `failed` is the first failure of the store that patience did not mend."""

    def __init__(self, client: "S3Client", ref: ObjectRef, size_bytes: int) -> None:
        self.path = f"/{token_urlsafe()}"
        self.size_bytes = size_bytes
        self.failed: IngestError | None = None
        self._client, self._ref = client, ref
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True  # one that still waits for the store holds nobody up
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}{self.path}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def send(self, begin: int, end: int, write: Any) -> None:
        """Writes the bytes from `begin` up to `end`. Raises what `write` raises, and IngestError, which it notes."""
        position = begin

        def go_on() -> None:
            nonlocal position
            with closing(blocks(self._client, self._ref, (position, end))) as wanted:
                for block in wanted:
                    write(block)
                    position += len(block)

        try:
            if begin < end:
                patiently(go_on)
        except IngestError as error:
            self.failed = self.failed or error
            raise


def _handler(server: _Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            wanted = self._answer()
            try:
                if wanted is not None:
                    server.send(*wanted, self.wfile.write)
            except (IngestError, ConnectionError):  # the store's failure is noted; the tool may stop as it likes
                self.close_connection = True

        def _answer(self) -> tuple[int, int] | None:
            """Sends the head, and returns which bytes are to follow; None where nothing is."""
            size, asked = server.size_bytes, self.headers.get("Range")
            found = _RANGE.fullmatch(asked or "bytes=0-")
            if self.path != server.path:
                self._refuse(HTTPStatus.NOT_FOUND)
                return None
            begin = int(found[1]) if found else 0
            end = min(size, int(found[2]) + 1) if found and found[2] else size
            if found is None or begin > end or (asked and begin >= size):
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return None
            self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(end - begin))
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            self.end_headers()
            return begin, end

        def _refuse(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Content-Range", f"bytes */{server.size_bytes}")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Every part that a tool reads is no news."""

    return Handler
