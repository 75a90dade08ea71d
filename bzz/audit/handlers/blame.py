"""Edge: `GET …/history/blame/`, what set each value of the document as it is."""

from __future__ import annotations

from typing import Any

from bzz.audit.blaming import Blame
from bzz.audit.handlers.base import CHECKED, HistoryHandler, answered
from bzz.audit.handlers.describing import blame, closed
from bzz.audit.views import show_blame
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import operation
from bzz.openapi.parameters import if_none_match
from bzz.openapi.places import Place
from bzz.preconditions import etag, none_match
from bzz.resource import Resource
from bzz.schema import Schema
from bzz.targets import Target


class BlameHandler(HistoryHandler):
    """For each path of the document the version, the time and the actor of its present value."""

    below = "/blame"
    template = "blame/"
    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The blame, for OpenAPI."""
        shape = closed({"items": {"type": "array", "items": blame()}})
        fields = answers.headers(book, "ETag", always=["Cache-Control"])
        found = operation(
            book,
            book.operation_id("read", place.path),
            f"Say what set each value of a {place.schema.model.__name__}",
            tag=resource.name,
            asked=[if_none_match(book)],
            answers={
                "200": answers.success("Each path, and what set it.", shape, fields),
                "304": answers.not_modified(book),
            },
            failures=["not-found", "gone", "conflict"],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """All paths, in the order in which they are stored."""
        target = self.target()
        self.check_arguments()
        await self.permit_reading(target)
        version, items = await self.off_loop(self._read_blame, target)
        self.set_header("Cache-Control", CHECKED)
        # No tag describes a document that is not as its last event left it.
        if version is not None:
            self.set_header("Etag", etag(version))
            if none_match(self.request.headers.get("If-None-Match"), version):
                self.set_status(304)
                return
        self.respond({"items": items})

    def _read_blame(self, target: Target) -> tuple[int | None, list[Any]]:
        history = self.history_of(target)
        with answered():
            version, told = history.blamed()
        return version, [self.shown(each, target.last.schema) for each in told]

    def shown(self, told: Blame, schema: Schema) -> dict[str, Any]:
        """What set a value, as the answer has it."""
        return show_blame(told, schema)
