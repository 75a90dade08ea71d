"""One kept HTTP connection to the resource that is fed."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from feed.changes import Operation

ACTOR_HEADER = "X-User"
PATIENCE = 60.0
"""Seconds for which a write that is answered 503 is repeated."""


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read; None without one."""
        return json.loads(self.body) if self.body else None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300].decode('utf-8', 'replace')}"


class Client:
    """One kept connection to one resource of a running server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        connect = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = connect(parts.netloc, timeout=PATIENCE)
        self._root = parts.path.rstrip("/")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def path(self, key: str, *below: str) -> str:
        """The path of a record, or of something below it."""
        return "/".join([self._root, quote(key, safe=""), *below, ""])

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer."""
        payload = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if payload is not None:
            sent["Content-Type"] = "application/json"
        self._connection.request(method, path, payload, sent)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str) -> Answer:
        """Read what is at a path."""
        return self.send("GET", path)

    def write(self, operation: Operation) -> Answer:
        """Make one change; repeated while the server says that it cannot decide (503)."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._write_once(operation)
            if answer.status != 503 or time.monotonic() > until:
                return answer
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 1.0))

    def _write_once(self, operation: Operation) -> Answer:
        headers = {}
        if operation.author:
            headers[ACTOR_HEADER] = quote(operation.author)
        if operation.commit:
            headers["X-Correlation-Id"] = quote(operation.commit)
        if operation.op == "create":
            body = {"id": operation.key, "content": operation.doc}
            return self.send("POST", f"{self._root}/", body, headers)
        headers["If-Match"] = f'"{operation.version - 1}"'
        path = self.path(operation.key)
        if operation.op == "delete":
            return self.send("DELETE", path, None, headers)
        return self.send("PUT", path, {"content": operation.doc}, headers)
