"""A client of live streams for tests: it parses frames as the standard says a browser does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any, NamedTuple


class Told(NamedTuple):
    """A block of a stream: an event, a checkpoint (no data), or a heartbeat (nothing at all)."""

    id: str | None
    data: Any


class Stream:
    """One connection that follows a stream, until it is closed."""

    def __init__(
        self, port: int, path: str, last: str | None = None, *, timeout: float = 20, **headers: str
    ) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=timeout)
        sent = {"Accept": "text/event-stream", **headers}
        if last is not None:
            sent["Last-Event-ID"] = last
        self._connection.request("GET", path, headers=sent)
        self.answer = self._connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers
        self.last = last

    @property
    def problem(self) -> Any:
        return json.loads(self.answer.read())

    def blocks(self) -> Iterator[Told]:
        """All that comes, until the server ends the stream."""
        mark, data = None, []
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(":")
            if name == "id":
                mark = self.last = value.strip()
            elif name == "data":
                data.append(value.strip())
            elif line == "\n":
                yield Told(mark, json.loads("\n".join(data)) if data else None)
                mark, data = None, []

    def events(self) -> Iterator[Any]:
        """The events alone."""
        return (told.data for told in self.blocks() if told.data is not None)

    def take(self, count: int) -> list[Any]:
        """The next events."""
        events = self.events()
        return [next(events) for _ in range(count)]

    def close(self) -> None:
        with suppress(OSError, AttributeError):  # closed already
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        self.answer.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
