"""Edge: the pages about one document's history."""

from __future__ import annotations

from typing import Any

from bzz.audit.asking import Asked
from bzz.audit.blaming import Blame
from bzz.audit.comparing import Comparison
from bzz.audit.events import Event
from bzz.audit.handlers.base import HistoryHandler
from bzz.audit.handlers.blame import BlameHandler
from bzz.audit.handlers.compare import CompareHandler
from bzz.audit.handlers.events import EventsHandler
from bzz.audit.handlers.paging import PageHandler
from bzz.audit.handlers.version import VersionHandler
from bzz.audit.pages import document as pages
from bzz.audit.pages.document import Listed, Subject
from bzz.audit.views import show_event, show_side
from bzz.body import JSON_PATCH
from bzz.codec import plain
from bzz.errors import Gone
from bzz.openapi.answers import JSON
from bzz.openapi.book import Book, Json
from bzz.openapi.places import Place
from bzz.resource import Resource
from bzz.schema import Schema
from bzz.targets import Target


class DocumentPageHandler(PageHandler, HistoryHandler):
    """What the pages about one document share."""

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """As those of the API, for OpenAPI."""
        return cls.paged(book, super().operations(book, resource, place))

    async def subject(self, target: Target) -> Subject:
        """The document that the pages are about, once the history may be read."""
        step, model = target.last, target.last.schema.model
        last = await self.off_loop(self._last_event, target)
        return Subject(
            model=self.auditor.tracked_as(model).name,
            id=str(step.id) if last is None else step.schema.format_id(last.document),
            history=self.history_url(),
            last=0 if last is None else last.version,
            is_deleted=last is not None and last.gone,
            may_restore=await self.may_do([("restore", model, step.value)]),
            activity=self.auditor.activity,
        )

    def _last_event(self, target: Target) -> Event | None:
        return self.history_of(target).last_event()


class HistoryPageHandler(DocumentPageHandler, EventsHandler):
    """The timeline of a document, beside the list of its events."""

    formats = (JSON, "text/event-stream")

    async def page(self) -> None:
        """The events that the query string asks for, the newest on top."""
        target = self.target()
        answer = await self.read()
        arguments = dict(self.query_arguments())
        asked = Asked.read(arguments, target.last.schema)
        events = sorted(answer["items"], key=lambda each: -each["version"])
        numbers = [each["version"] for each in events]
        ways = self.ways_on(self.history_url(), asked, numbers, answer["next"])
        fields = sorted(target.last.schema.fields)
        listed = Listed(events=events, filters=arguments, fields=fields, **ways)
        await self.show(pages.history, await self.subject(target), listed)


class VersionPageHandler(DocumentPageHandler, VersionHandler):
    """A version: what its event changed, and the document after it."""

    async def page(self) -> None:
        """The event and the document; of a delete the event alone."""
        target, version = self.target(), int(self.part(2))
        try:
            state = await self.read()
        except Gone:
            state = None  # the event is there all the same
        _, event = await self.off_loop(self.read_event, target, version)
        await self.show(pages.version, await self.subject(target), event, state)

    def query_arguments(self) -> list[tuple[str, str]]:
        """As for all pages; this one shows both the document and the event."""
        pairs = super().query_arguments()
        return [each for each in pairs if not (each[0] == "view" and self.wants_page())]


class ComparePageHandler(DocumentPageHandler, CompareHandler):
    """Two versions side by side."""

    formats = (JSON, JSON_PATCH, "text/plain")
    _sides: tuple[Any, ...] = ()

    async def page(self) -> None:
        """What leads from one to the other, and both documents."""
        target = self.target()
        answer = await self.read()
        subject = await self.subject(target)
        await self.show(pages.compare, subject, *self._sides, answer["changes"])

    def _read_comparison(
        self, target: Target, moments: dict[str, Any], wanted: str
    ) -> tuple[Comparison, Any]:
        """As for the API; keeps both documents for the page."""
        compared, shown = super()._read_comparison(target, moments, wanted)
        if self.wants_page():
            schema, both = target.last.schema, (compared.from_, compared.to)
            self._sides = (
                [show_side(each, schema) for each in both],
                [each.event and show_event(each.event, schema) for each in both],
            )
        return compared, shown


class BlamePageHandler(DocumentPageHandler, BlameHandler):
    """What set each value, beside the value."""

    async def page(self) -> None:
        """All paths of the document, in the order in which they are stored."""
        target = self.target()
        answer = await self.read()
        await self.show(pages.blame, await self.subject(target), answer["items"])

    def shown(self, told: Blame, schema: Schema) -> dict[str, Any]:
        """As for the API, with the value for the page."""
        shown = super().shown(told, schema)
        return {**shown, "value": plain(told.value)} if self.wants_page() else shown
