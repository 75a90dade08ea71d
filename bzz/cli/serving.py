"""Serves a Tornado application in this process until it is told to end, and ends in good order.

Requests in work are answered first, so that their writes are decided; live streams are told to
end, since they never would.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from socket import socket
from typing import Any

import click
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPMessageDelegate
from tornado.web import Application

from bzz.audit import Auditor
from bzz.errors import Unavailable
from bzz.recording import recorders

_LINGER = 0.1
"""Seconds in which a connection may still send the request that it was opened for."""
_AFTER = 3.0
"""Seconds after the grace in which what is cut off may end by itself."""
_log = logging.getLogger("bzz.serve")


class Server(HTTPServer):
    """Tornado's server, which knows the connections that have a request in work."""

    def initialize(self, *args: Any, **options: Any) -> None:
        """As Tornado calls it."""
        super().initialize(*args, **options)
        self._open: set[Any] = set()
        self._busy: set[Any] = set()
        self._ending = False
        self._changed = asyncio.Event()

    def start_request(self, server_conn: Any, request_conn: Any) -> HTTPMessageDelegate:
        """As Tornado calls it, when a connection waits for its next request."""
        self._open.add(server_conn)
        self._rest(server_conn)
        if self._ending:
            asyncio.get_running_loop().call_soon(self._close_idle)
        self._tell_the_end(request_conn)
        delegate = super().start_request(server_conn, request_conn)
        return _Watched(delegate, partial(self._busy.add, server_conn))

    def on_close(self, server_conn: Any) -> None:
        """As Tornado calls it."""
        super().on_close(server_conn)
        self._open.discard(server_conn)
        self._rest(server_conn)

    async def end(self, seconds: float) -> int:
        """Take no more connections, and wait for the requests in work; how many were cut off."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self.stop()
        self._ending = True
        await asyncio.sleep(min(_LINGER, seconds))
        self._close_idle()
        while self._busy and loop.time() < until:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                break
        left = len(self._busy)
        await self.close_all_connections()
        return left

    def _rest(self, server_conn: Any) -> None:
        self._busy.discard(server_conn)
        self._changed.set()

    def _close_idle(self) -> None:
        for each in self._open - self._busy:
            each.stream.close()

    def _tell_the_end(self, request_conn: Any) -> None:
        """Answers that are written from now on say that no further request is read, if so."""
        write_headers = request_conn.write_headers

        def write(start_line: Any, headers: Any, chunk: bytes | None = None) -> Any:
            if self._ending:
                headers["Connection"] = "close"
            return write_headers(start_line, headers, chunk)

        request_conn.write_headers = write


class _Watched(HTTPMessageDelegate):
    """Tells when the head of a request has come."""

    def __init__(self, delegate: HTTPMessageDelegate, begin: Callable[[], object]) -> None:
        self._delegate = delegate
        self._begin = begin

    def headers_received(self, start_line: Any, headers: Any) -> Awaitable[None] | None:
        self._begin()
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


class Ending:
    """What signals, and the process above, say about the end.

    The second signal ends the process at once, with 1, unless it `is_kept`: then it is the
    process above that decides, and signals may come from it and from who has started it as well.
    """

    def __init__(self, numbers: Iterable[int], *, is_kept: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_kept = is_kept
        self._told = asyncio.Event()
        for each in numbers:
            try:
                self._loop.add_signal_handler(each, self.tell)
            except NotImplementedError:  # on Windows
                signal.signal(each, lambda *_: self._loop.call_soon_threadsafe(self.tell))

    def tell(self) -> None:
        """Say that it ends."""
        if self._told.is_set() and not self._is_kept:
            _log.warning("Ending at once")
            os._exit(1)
        self._told.set()

    async def wait(self) -> None:
        """Wait until somebody says so."""
        await self._told.wait()


async def serve(
    found: Any,
    sockets: list[socket],
    *,
    grace: float,
    signals: Iterable[int],
    is_kept: bool,
    is_ready: Callable[[Ending], object],
    **options: Any,
) -> None:
    """Serve on sockets until a signal.

    Args:
        found: the application, or a function, plain or a coroutine function, that returns one.
        sockets: that are bound.
        grace: seconds for the requests in work, at the end.
        signals: those that end it.
        is_kept: whether another process keeps this one.
        is_ready: called once it serves.
        options: those of Tornado's server.

    Raises `click.ClickException` for what is no application, and what the function and
    `Auditor.prepare` raise.
    """
    ending = Ending(signals, is_kept=is_kept)
    application = await _application(found)
    for each in _auditors():
        await _start(each)
    server = Server(application, **options)
    server.add_sockets(sockets)
    is_ready(ending)
    await ending.wait()
    server.stop()
    _log.info("Ending")
    _cut_off_after(grace + _AFTER)
    # Together: the streams that an auditor ends are requests that the server waits for.
    left, *_ = await asyncio.gather(
        server.end(grace), *(asyncio.to_thread(each.close) for each in _auditors())
    )
    if left:
        _log.warning("%d requests were cut off after %g s", left, grace)


async def _application(found: Any) -> Application:
    given = found
    if not isinstance(found, Application) and callable(found):
        found = found()
        if inspect.isawaitable(found):
            found = await found
    if not isinstance(found, Application):
        raise click.ClickException(
            f"{given!r} is no tornado.web.Application, and no function that returns one: {found!r}."
        )
    return found


def _auditors() -> list[Auditor]:
    return [each for each in recorders() if isinstance(each, Auditor)]


async def _start(auditor: Auditor) -> None:
    try:
        await auditor.start()
    except Unavailable as error:  # requests are answered so until the database comes
        _log.warning("%s", error)


def _cut_off_after(seconds: float) -> None:
    """End the process then, whatever threads still do: they cannot be told to end."""
    timer = threading.Timer(seconds, os._exit, [0])
    timer.daemon = True
    timer.start()
