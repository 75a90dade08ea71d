"""Edge: `GET …/history/<v>/`, the document as it was after an event, or the event."""

from __future__ import annotations

from typing import Any

from tornado.httputil import format_timestamp

from bzz.audit.events import Event
from bzz.audit.handlers.base import CHECKED, FOR_EVER, HistoryHandler, answered
from bzz.audit.handlers.describing import event as event_shape
from bzz.errors import BadRequest
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.models import Use, documents
from bzz.openapi.operations import operation
from bzz.openapi.parameters import if_none_match, query
from bzz.openapi.places import Place
from bzz.openapi.values import either
from bzz.preconditions import etag, none_match
from bzz.resource import Resource
from bzz.targets import Target
from bzz.work import show_state


class VersionHandler(HistoryHandler):
    """One version of a document."""

    below = "/([1-9][0-9]{0,8})"
    template = "{version}/"
    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The version, for OpenAPI."""
        model = place.schema.model
        told = "As it was stored, where today's model cannot load it."
        stored = {"type": "object", "description": told}
        shown = either([documents(book, model, Use.SHOWN), event_shape(book), stored])
        fields = answers.headers(book, "ETag", always=["Memento-Datetime", "Link", "Cache-Control"])
        found = operation(
            book,
            book.operation_id("read", place.path) + "Version",
            f"Read a {model.__name__} as it was after an event, or the event",
            tag=resource.name,
            asked=[
                query("view", {"enum": ["document", "event"], "default": "document"}),
                if_none_match(book),
            ],
            answers={
                "200": answers.success("The version.", shown, fields),
                "304": answers.not_modified(book),
            },
            failures=["not-found", "gone", "conflict"],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """The document after the event, or with `view=event` the event itself."""
        target, version = self.target(), int(self.part(2))
        view = self.check_arguments("view").get("view", "document")
        if view not in ("document", "event"):
            raise BadRequest(f"'view' is document or event, not {view!r}.")
        await self.permit_reading(target)
        event, shown = await self.off_loop(self._read_version, target, version, view)
        self.set_header("Memento-Datetime", format_timestamp(event.time))
        self.set_header("Link", ", ".join(self._links(version)))
        if view == "event":  # it gets its position later
            self.set_header("Cache-Control", CHECKED)
        else:
            self.set_header("Cache-Control", FOR_EVER)
            self.set_header("Etag", etag(version))
            if none_match(self.request.headers.get("If-None-Match"), version):
                self.set_status(304)
                return
        self.respond(shown)

    def _read_version(self, target: Target, version: int, view: str) -> tuple[Event, Any]:
        if view == "event":
            return self.read_event(target, version)
        with answered():
            event, state = self.history_of(target).version(version)
            return event, show_state(target.last.schema.model, state)

    def _links(self, version: int) -> list[str]:
        # The latest version is what the document's own URL has, whichever it is by then: an
        # answer about the past holds nothing that changes.
        links = [f'<{self.url()}>; rel="latest-version"']
        if version > 1:
            links.insert(0, f'<{self.history_url(str(version - 1))}>; rel="predecessor-version"')
        return links
