"""Edge: `GET …/history/`, the events of one document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from bzz.audit.asking import EVENT_FILTERS, Asked, check_field
from bzz.audit.comparing import json_patch
from bzz.audit.events import Event
from bzz.audit.folding import Step
from bzz.audit.handlers.base import CHECKED, HistoryHandler, answered
from bzz.audit.handlers.describing import EVENT_PARAMETERS, event
from bzz.audit.handlers.live_document import DocumentFollower
from bzz.audit.handlers.streaming import StreamingHandler, streamed
from bzz.audit.history import History
from bzz.audit.views import show_event
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import missing, operation
from bzz.openapi.parameters import if_none_match, limit
from bzz.openapi.places import Place
from bzz.preconditions import etag, none_match
from bzz.resource import Resource
from bzz.schema import Schema
from bzz.targets import Target
from bzz.values import Hidden
from bzz.work import show_state


class EventsHandler(StreamingHandler, HistoryHandler):
    """The events of a document, newest first, or live."""

    below = ""
    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The events, for OpenAPI."""
        fields = answers.headers(book, "Link", "ETag", always=["Cache-Control"])
        page = answers.page_of(event(book))
        found = operation(
            book,
            book.operation_id("list", place.path),
            f"List the events of a {place.schema.model.__name__}",
            tag=resource.name,
            asked=[limit(book), *EVENT_PARAMETERS, if_none_match(book)],
            answers={
                "200": answers.success("A page of events.", page, fields),
                "304": answers.not_modified(book),
            },
            failures=missing(resource) if place.nested else ["not-found"],
        )
        return {"get": streamed(book, found, "the version")}

    async def get(self, *_: str) -> None:
        """The events that the query string asks for, and where the next ones are."""
        target = self.target()
        schema = target.last.schema
        if self.wants_stream():
            await self._follow(target)
            return
        arguments = self.check_arguments(*EVENT_FILTERS)
        asked = Asked.read(arguments, schema)
        await self.permit_reading(target)
        last, events, steps, hidden = await self.off_loop(self._read_events, target, asked)
        self.set_header("Cache-Control", CHECKED)
        events, more = events[: asked.limit], len(events) > asked.limit
        if self._is_settled(events):
            self.set_header("Etag", etag(last))
            if none_match(self.request.headers.get("If-None-Match"), last):
                self.set_status(304)
                return
        following = None
        if more:
            following = self._next(arguments, asked, events[-1])
            self.set_header("Link", f'<{following}>; rel="next"')
        shown = [show_event(each, schema, hidden) for each in events]
        for each in shown if asked.include else ():
            each.update(_included(asked.include, steps.get(each["version"]), schema))
        self.respond({"items": shown, "next": following})

    def _is_settled(self, events: list[Event]) -> bool:
        """Whether nothing of a page can change without a new version.

        Events get their positions later, and a page with a tag would be kept without them.
        """
        return self.auditor.seals is None or all(each.position for each in events)

    async def _follow(self, target: Target) -> None:
        _, asked = self.read_live(target.last.schema)
        known = self.last_event_id()
        await self.permit_reading(target)
        after = asked.after if known is None else known[0]
        await self.follow(DocumentFollower(self, target, asked, after))

    def _read_events(
        self, target: Target, asked: Asked
    ) -> tuple[int, list[Event], dict[int, Step], Hidden]:
        """The last version, the events and one more, the states around them if asked for.

        And what is hidden of the document by now.
        """
        history, last, events = self._find_events(target, asked)
        with answered():
            steps = history.around(events[: asked.limit]) if asked.include else {}
            return last, history.as_of_today(events), steps, history.hidden()

    def _find_events(self, target: Target, asked: Asked) -> tuple[History, int, list[Event]]:
        schema = target.last.schema
        history = self.history_of(target)
        query = asked.query(schema)
        # Where the page itself does not begin with the last event, that is read before it: a
        # tag may be too old, never too new.
        tells_last = asked.newest_first and not query
        last = 0 if tells_last else history.last_version()
        events = list(
            history.versions(query=query, newest_first=asked.newest_first, limit=asked.limit + 1)
        )
        if events and tells_last:
            return history, events[0].version, events
        if not last:
            self.history_key(self.named(target))  # raises for a document that never was
        if not events and asked.field is not None:
            check_field(history, schema, asked.field)
        return history, last, events

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


def _included(
    include: tuple[str, ...], step: Step | None, schema: Schema
) -> Iterator[tuple[str, Any]]:
    if step is None:
        return
    before, after = (
        None if state is None else show_state(schema.model, state)
        for state in (step.before, step.after)
    )
    if "state" in include:
        yield "state", after
    if "patch" in include:
        yield "patch", json_patch(before, after)
