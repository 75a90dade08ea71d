"""A Tornado application on a real socket, asked over HTTP from the thread of the test."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import tornado.web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"
PROBLEM = "application/problem+json"

_NOTHING = object()


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def etag(self) -> str | None:
        """The ETag header."""
        return self.headers.get("ETag")

    @property
    def problem(self) -> Any:
        """The body of an error answer; fails for one that is no problem document."""
        assert PROBLEM == self.headers.get("Content-Type"), self
        shown = self.json
        assert self.status == shown["status"]
        return shown


class Client:
    """One kept connection.  Used by one thread."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        *,
        json: Any = _NOTHING,
        form: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request; `json` and `form` bring their Content-Type."""
        sent = dict(headers or {})
        if json is not _NOTHING:
            body = _dumps(json)
            sent.setdefault("Content-Type", JSON)
        if form is not None:
            body = urlencode(form, doseq=True)
            sent.setdefault("Content-Type", FORM)
        if isinstance(body, str):
            body = body.encode()
        self._connection.request(method, path, body, sent)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Answer:
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> Answer:
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, json: Any = _NOTHING, **options: Any) -> Answer:
        return self.request("POST", path, json=json, **options)

    def put(self, path: str, json: Any = _NOTHING, **options: Any) -> Answer:
        return self.request("PUT", path, json=json, **options)

    def patch(self, path: str, json: Any = _NOTHING, **options: Any) -> Answer:
        return self.request("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.request("DELETE", path, **options)

    def close(self) -> None:
        self._connection.close()


def _dumps(value: Any) -> str:
    return json.dumps(value)


class Server(Client):
    """An application that listens for the length of a `with` block, and a client of it.

    Its loop runs in a thread of its own, so that the test may block.  Leaving the block fails
    when the application logged an error that the test did not take out of `logged`.
    """

    def __init__(self, routes: Iterable[Any], **settings: Any) -> None:
        self._application = tornado.web.Application(list(routes), **settings)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._log = _Log()

    @property
    def logged(self) -> list[logging.LogRecord]:
        """The errors that were logged so far."""
        return self._log.records

    def take_errors(self, count: int = 2) -> list[logging.LogRecord]:
        """Take `count` errors out of `logged`, waiting for them: they may follow the answer.

        An answer of 500 logs two, one of them of Tornado's access log.
        """
        deadline = time.monotonic() + 10
        while len(self.logged) < count and time.monotonic() < deadline:
            time.sleep(0.001)
        taken = self.logged[:count]
        del self.logged[:count]
        return taken

    def __enter__(self) -> Server:
        logging.getLogger().addHandler(self._log)
        self._thread.start()
        assert self._ready.wait(10)
        Client.__init__(self, self.port)
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.close()
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        logging.getLogger().removeHandler(self._log)
        if kind is None:
            assert [] == [record.getMessage() for record in self.logged]

    def client(self, timeout: float = 60) -> Client:
        """A connection of its own, for another thread."""
        return Client(self.port, timeout)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = HTTPServer(self._application, max_body_size=64 * 1024 * 1024)
        socket, self.port = bind_unused_port()
        server.add_socket(socket)
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not come true."
        time.sleep(0.005)
