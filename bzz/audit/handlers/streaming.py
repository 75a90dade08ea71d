"""Edge: live streams as Server-Sent Events (WHATWG HTML, 9.2): one client, from open to end.

What it follows is a `Follower`'s business.  Nothing is queued for a client: it is read for when
it has taken what was sent before, and dropped when it does not in time.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tornado.iostream import StreamClosedError

from bzz.audit.asking import LIVE_FILTERS, Asked
from bzz.audit.audience import Audience, Live, Reader, Seat
from bzz.audit.errors import AudienceFull
from bzz.audit.handlers.verbs import AuditHandler
from bzz.errors import BadRequest, SetupError, Unavailable
from bzz.jsontext import dumps
from bzz.negotiation import preferred
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.parameters import header
from bzz.schema import Schema

EVENT_STREAM = "text/event-stream"
_FORMATS = ("application/json", EVENT_STREAM)
_FULL = 10
"""Seconds after which a client comes back that found no seat."""
_MARK = re.compile(r"([0-9]{1,18})(?:-([0-9A-Za-z]{1,64}))?")

CHUNK = 64 * 1024
"""Bytes that a client is sent at once, and the rest of the event that they end in."""

_log = logging.getLogger("bzz.audit")


class Follower(Reader, Protocol):
    """Where one client is in what it follows."""

    @property
    def mark(self) -> str:
        """The id from which the client would go on now."""

    async def start(self) -> None:
        """Find where to begin.  Raises what is answered instead of a stream."""

    async def read(self) -> bytes | None:
        """The frames that come next, which may be none yet; None at the end of what is known."""


class StreamingHandler(AuditHandler):
    """A list that can be followed live."""

    _seat: Seat | None = None

    def wants_stream(self) -> bool:
        """Whether the request asks for a stream, by Accept; says that this is what decides."""
        self.set_header("Vary", "Accept")
        return preferred(self.request.headers.get("Accept"), _FORMATS) == EVENT_STREAM

    def read_live(self, schema: Schema, *own: str) -> tuple[dict[str, str], Asked]:
        """The arguments of a stream, and what they ask for.  Raises `BadRequest`."""
        arguments = self.check_arguments(*LIVE_FILTERS, *own)
        asked = Asked.read(arguments, schema)
        if "order" in arguments and asked.newest_first:
            raise BadRequest("A live stream tells the oldest first: leave 'order' out.")
        return arguments, asked

    def last_event_id(self) -> tuple[int, str | None] | None:
        """The number of the header, and what stands behind it; None without one.

        Raises `BadRequest`.
        """
        text = self.request.headers.get("Last-Event-ID")
        if not text:
            return None
        found = _MARK.fullmatch(text)
        if found is None:
            raise BadRequest(f"Last-Event-ID is the id of an event of this stream; got {text!r}.")
        return int(found[1]), found[2]

    async def follow(self, follower: Follower) -> None:
        """Send what a follower reads until the client goes, or the server does."""
        await self.off_loop(self.auditor.prepare)
        audience = self.auditor.audience
        if audience is None:
            raise SetupError(
                "Live streams follow the positions of events, and mongomock has none; "
                "use a real MongoDB, in tests that of bzz.embedded."
            )
        # First the seat, then a look at what there is: what comes in between is told.
        with _seated(audience, follower) as seat:
            self._seat = seat
            await follower.start()
            opening = b"retry: %d\n" % int(self.auditor.live.retry * 1000) + checkpoint(follower)
            first = await follower.read()
            self.set_header("Content-Type", EVENT_STREAM)
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Accel-Buffering", "no")
            if self.request.method == "HEAD":
                return
            try:
                await self._serve(follower, seat, opening + (first or b""))
            except StreamClosedError:
                return
            except Exception:  # the answer has begun; who comes back is told what is wrong
                self.log_exception(*sys.exc_info())

    async def _serve(self, follower: Follower, seat: Seat, text: bytes | None) -> None:
        live: Live = self.auditor.live
        told = ""
        while not seat.is_over:
            if text and not await self._is_taken(text, live.patience):
                return
            told = follower.mark if text else told
            seat.look()
            text = await follower.read()
            while text is None and not await seat.wait(live.heartbeat):
                sign = b":\n\n" if follower.mark == told else checkpoint(follower)
                if not await self._is_taken(sign, live.patience):
                    return
                told = follower.mark

    async def _is_taken(self, text: bytes, seconds: float) -> bool:
        """Send; whether the client took it in time, and else it is dropped."""
        self.write(text)
        try:
            async with asyncio.timeout(seconds):
                await self.flush()
        except TimeoutError:
            _log.info("A live stream was dropped: its client took nothing for %g s.", seconds)
            self.detach().close()
            return False
        return True

    def on_connection_close(self) -> None:
        """The client has gone."""
        super().on_connection_close()
        if self._seat is not None:
            self._seat.leave()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """As ever; a stream that has begun just ends, as when the server's loop is stopped."""
        if not self._headers_written:
            super().send_error(status_code, **kwargs)
        elif not self._finished:
            self.finish()


@contextmanager
def _seated(audience: Audience, reader: Reader) -> Iterator[Seat]:
    try:
        with audience.seat(reader) as seat:
            yield seat
    except AudienceFull as error:
        raise Unavailable(str(error), retry_after=_FULL) from error


def frame(mark: object, event: dict[str, Any]) -> bytes:
    """An event as it is sent."""
    return b"id: %s\ndata: %s\n\n" % (str(mark).encode(), dumps(event))


def checkpoint(follower: Follower) -> bytes:
    """Tells the client how far it is, and dispatches no event."""
    return b"id: %s\n\n" % follower.mark.encode()


def streamed(book: Book, found: Json, what: str) -> Json:
    """An operation that lists events, as OpenAPI has it, with its live stream."""
    success = found["responses"]["200"]
    success["content"][EVENT_STREAM] = {
        "schema": {
            "type": "string",
            "description": f"Server-Sent Events: `id` is {what}, `data` an Event as JSON. It "
            "begins with what comes from now on, or behind `Last-Event-ID` or `after`, and does "
            "not end. Without `limit`, `before` and `include`.",
        }
    }
    success["headers"] = {**success.get("headers", {}), **answers.headers(book, always=["Vary"])}
    found["parameters"].append(book.parameter("LastEventID", _last_event_id))
    return found


def _last_event_id() -> Json:
    told = "Of a live stream: the last id that is known; goes before `after`."
    shape: Json = {"type": "string", "pattern": "^[0-9]{1,18}(-[0-9A-Za-z]{1,64})?$"}
    return header("Last-Event-ID", told, shape, required=False)
