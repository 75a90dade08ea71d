"""Edge: the events of one document, followed live: one client's place among its versions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bzz.audit.asking import Asked, check_field
from bzz.audit.handlers.base import answered
from bzz.audit.handlers.streaming import CHUNK, frame
from bzz.audit.hub import News
from bzz.audit.views import show_event
from bzz.errors import Gone
from bzz.source import id_key
from bzz.targets import Target

if TYPE_CHECKING:
    from bzz.audit.handlers.base import HistoryHandler

_AT_ONCE = 50


class DocumentFollower:
    """Follows the versions of one document, from one on; ids are versions.

    The hub says that there are new ones; they are read by their numbers.
    """

    def __init__(
        self, handler: HistoryHandler, target: Target, asked: Asked, after: int | None
    ) -> None:
        self._handler = handler
        self._target = target
        self._schema = target.last.schema
        self._asked = asked
        self._query = replace(asked, before=None, after=None).query(self._schema)
        self._after = after
        self._version = 0
        self._key: tuple[str, bytes] | None = None

    @property
    def mark(self) -> str:
        return str(self._version)

    def hear(self, news: News) -> bool:
        """Whether there may be events of the document in it."""
        if news.events is None or self._key is None:
            return True
        stream, key = self._key
        return any(
            each.stored["s"] == stream and id_key(each.stored["d"]) == key for each in news.events
        )

    async def start(self) -> None:
        """Begin behind the version that the client knows.  Raises `NotFound`, `Gone`."""
        await self._handler.off_loop(self._start)

    def _start(self) -> None:
        handler, history = self._handler, self._handler.history_of(self._target)
        stream = handler.auditor.tracked_as(history.model).stream
        self._key = stream, id_key(history.document_id)
        last = history.last_version()
        if not last:
            handler.history_key(handler.named(self._target))  # raises for one that never was
        if self._asked.field is not None:
            check_field(history, self._schema, self._asked.field)
        if self._after is not None and self._after > last:
            raise Gone(
                f"There is no version {self._after}; the last one is {last}. Begin anew, without "
                "a version."
            )
        self._version = last if self._after is None else self._after

    async def read(self) -> bytes | None:
        step = self._target.last
        await self._handler.ask_may([("history", step.schema.model, step.value)])
        return await self._handler.off_loop(self._read)

    def _read(self) -> bytes | None:
        history = self._handler.history_of(self._target)
        reached = history.last_version()
        if reached <= self._version:
            return None
        versions = {"v": {"$gt": self._version, "$lte": reached}}
        query = {"$and": [versions, self._query]} if self._query else versions
        events = list(history.versions(query=query, limit=_AT_ONCE))
        if len(events) == _AT_ONCE:
            reached = events[-1].version
        text = bytearray()
        with answered():
            hidden = history.hidden()
            for event in history.as_of_today(events):
                text += frame(event.version, show_event(event, self._schema, hidden))
                if len(text) >= CHUNK:
                    reached = event.version
                    break
        self._version = reached
        return bytes(text)
