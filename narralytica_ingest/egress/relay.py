"""Bytes between two connections, both ways at once, until one of them ends.

What belongs here: the loop that moves them. It keeps one block for each way in memory, and waits where the other side
does not take more.
"""

import select
import socket
import ssl
from collections.abc import Callable

from narralytica_ingest.egress.body import Bytes, Sieve

_BLOCK_UP, _BLOCK_DOWN = 64 << 10, 256 << 10
_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


class ClientGone(Exception):
    """Nobody is there any more who would read."""


class RemoteBroke(Exception):
    """The remote host broke its connection off, which is not the same as ending it."""


class Flow:
    """One way: from `source` through `sieve` into `sink`, both set not to block. `count` is told what came."""

    def __init__(
        self, source: socket.socket, sink: socket.socket, sieve: Sieve, count: Callable[[int], None], block: int
    ) -> None:
        self._source, self._sink, self._sieve, self._count = source, sink, sieve, count
        self._block = bytearray(block)
        self._waiting = memoryview(b"")
        self._ended = False
        self._dropped = False

    @property
    def has_room(self) -> bool:
        """Whether more can be read."""
        return not self._waiting and not self._ended

    @property
    def is_full(self) -> bool:
        """Whether what came has not gone on yet."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        return self._ended and not self._waiting

    def read(self) -> None:
        """Takes what is there. Raises OSError where the source broke off."""
        try:
            count = self._source.recv_into(self._block)
        except _LATER:
            return
        self._ended = count == 0
        self._count(count)
        self.put(self._sieve.take(memoryview(self._block)[:count]) if count else self._sieve.end())

    def take(self, came: Bytes) -> Bytes:
        """What goes on of bytes that came another way."""
        return self._sieve.take(memoryview(came))

    def put(self, data: Bytes) -> None:
        """Bytes that are to go on next."""
        self._waiting = memoryview(b"" if self._dropped else data)

    def push(self) -> None:
        """Passes on what waits. Raises OSError where the sink has gone."""
        while self._waiting:
            try:
                sent = self._sink.send(self._waiting)
            except _LATER:
                return
            self._waiting = self._waiting[sent:]

    def drop(self) -> None:
        """The sink takes nothing more: what comes goes nowhere."""
        self._dropped, self._waiting = True, memoryview(b"")


class Relay:
    """Between a client and a remote host. `sent` and `received` are told how many bytes came from either."""

    def __init__(
        self,
        client: socket.socket,
        remote: socket.socket,
        up: Sieve,
        down: Sieve,
        sent: Callable[[int], None],
        received: Callable[[int], None],
    ) -> None:
        client.setblocking(False)
        remote.setblocking(False)
        self._client, self._remote = client.fileno(), remote.fileno()
        self._up = Flow(client, remote, up, sent, _BLOCK_UP)
        self._down = Flow(remote, client, down, received, _BLOCK_DOWN)

    def run(self, first: bytes, already: bytes) -> None:
        """Until one side ends. `first` goes to the host as it is; `already` is what came of what follows.

        Raises ClientGone (also when another thread shuts the client's connection down) and RemoteBroke.
        """
        self._up.put(first + bytes(self._up.take(already)))
        self._push_up()
        poll, watched = select.poll(), {self._client: -1, self._remote: 0}
        while not (self._up.is_over or self._down.is_over):
            wanted = self._wanted()
            for each in (self._client, self._remote):
                if wanted[each] != watched[each]:
                    # The end of a host that is not read must not wake the loop; that of the client always does.
                    if wanted[each] or each == self._client:
                        poll.register(each, wanted[each])
                    else:
                        poll.unregister(each)
            watched = wanted
            ready = dict(poll.poll())
            if ready.get(self._client, 0) & _BROKEN:
                raise ClientGone
            self._serve(ready.get(self._client, 0), ready.get(self._remote, 0))

    def _wanted(self) -> dict[int, int]:
        up, down = self._up, self._down
        return {
            self._client: select.POLLIN * up.has_room | select.POLLOUT * down.is_full,
            self._remote: select.POLLIN * down.has_room | select.POLLOUT * up.is_full,
        }

    def _serve(self, client: int, remote: int) -> None:
        if client & select.POLLOUT and self._down.is_full:
            self._push_down()
        if remote & (select.POLLIN | _BROKEN) and self._down.has_room:
            self._pull_down()
        if remote & (select.POLLOUT | _BROKEN) and self._up.is_full:
            self._push_up()
        if client & select.POLLIN and self._up.has_room:
            self._pull_up()

    def _pull_down(self) -> None:
        try:
            self._down.read()
        except OSError as error:
            raise RemoteBroke from error
        self._push_down()

    def _push_down(self) -> None:
        try:
            self._down.push()
        except OSError as error:
            raise ClientGone from error

    def _pull_up(self) -> None:
        try:
            self._up.read()
        except OSError as error:
            raise ClientGone from error
        self._push_up()

    def _push_up(self) -> None:
        try:
            self._up.push()
        except OSError:
            self._up.drop()  # it may still have an answer for us, such as that the body is too large
