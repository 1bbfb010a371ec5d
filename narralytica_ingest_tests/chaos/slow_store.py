"""A slow line to the object store: a TCP proxy before it, so that an upload lasts long enough to be hit."""

import asyncio
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_BLOCK = 16 << 10


class SlowLine:
    """Passes connections on, what is sent at `rate` bytes per second for each connection (None: as fast as it goes).

    `upstream` is asked for host and port at every connection: the server may have moved. While it is away, connections
    end at once. Use as a context manager; `port` is where it listens on loopback.
    """

    def __init__(self, upstream: Callable[[], tuple[str, int]], rate: float | None) -> None:
        self.rate = rate
        self.port = 0
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slow line", daemon=True)

    def __enter__(self) -> Self:
        listener = socket.socket()
        # A small buffer, or the kernel takes a whole file at once, and the sender believes that it is sent.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * _BLOCK)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._thread.start()
        starting = asyncio.start_server(self._pass_on, sock=listener)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.sleep(0.05)  # the loop closes what was closed a moment later

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)  # the loop itself holds tasks but weakly
        connection.add_done_callback(self._connections.discard)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream())
        except OSError:
            writer.transport.abort()
            return
        both = [
            asyncio.create_task(self._copy(reader, up_writer, slowly=True)),
            asyncio.create_task(self._copy(up_reader, writer, slowly=False)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            writer.close()
            up_writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slowly: bool) -> None:
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()
            if slowly and self.rate:
                await asyncio.sleep(len(block) / self.rate)
