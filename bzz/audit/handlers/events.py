"""Edge: `GET …/history/`, the events of one document."""

from __future__ import annotations

from urllib.parse import urlencode

from bzz.audit.events import Event
from bzz.audit.handlers.arguments import EVENT_FILTERS, Asked, field_path, field_query, may_have
from bzz.audit.handlers.base import CHECKED, HistoryHandler
from bzz.audit.history import History
from bzz.audit.views import show_event
from bzz.errors import BadRequest
from bzz.preconditions import etag, none_match
from bzz.schema import Schema
from bzz.targets import Target


class EventsHandler(HistoryHandler):
    """The events of a document, newest first."""

    below = ""
    methods = ("GET", "HEAD")

    async def get(self, *_: str) -> None:
        """The events that the query string asks for, and where the next ones are."""
        target = self.target()
        schema = target.last.schema
        arguments = self.check_arguments(*EVENT_FILTERS)
        asked = Asked.read(arguments, schema)
        await self.permit_reading(target)
        last, events = await self.off_loop(self._read_events, target, asked)
        self.set_header("Cache-Control", CHECKED)
        self.set_header("Etag", etag(last))
        if none_match(self.request.headers.get("If-None-Match"), last):
            self.set_status(304)
            return
        hidden = self.auditor.hidden(schema.model)
        following = None
        if len(events) > asked.limit:
            events = events[: asked.limit]
            following = self._next(arguments, asked, events[-1])
            self.set_header("Link", f'<{following}>; rel="next"')
        shown = [show_event(each, schema, hidden) for each in events]
        self.respond({"items": shown, "next": following})

    def _read_events(self, target: Target, asked: Asked) -> tuple[int, list[Event]]:
        schema = target.last.schema
        history = self.history_of(target)
        query = asked.query(schema)
        events = list(
            history.versions(query=query, newest_first=asked.newest_first, limit=asked.limit + 1)
        )
        if events and asked.newest_first and not query:
            return events[0].version, events
        last = history.last_version()
        if not last:
            self.history_key(self.named(target))  # raises for a document that never was
        if not events and asked.field is not None:
            _check_field(history, schema, asked.field)
        return last, events

    def _next(self, arguments: dict[str, str], asked: Asked, last: Event) -> str:
        kept = {k: v for k, v in arguments.items() if k not in ("before", "after")}
        if asked.newest_first:
            kept |= {"before": str(last.version)}
            if asked.after is not None:
                kept |= {"after": str(asked.after)}
        else:
            kept |= {"after": str(last.version)}
            if asked.before is not None:
                kept |= {"before": str(asked.before)}
        return f"{self.history_url()}?{urlencode(kept)}"


def _check_field(history: History, schema: Schema, field: str) -> None:
    path = field_path(schema, field)
    if may_have(schema, schema.names(path)):
        return
    for _ in history.versions(query=field_query(schema, path), limit=1):
        return
    raise BadRequest(
        f"{schema.model.__name__} has no field {field!r}, and never had in this history."
    )
