"""Edge: `GET …/history/diff/`, what leads from one version of a document to another."""

from __future__ import annotations

from typing import Any

from bzz.audit.comparing import Comparison, as_text, json_patch
from bzz.audit.handlers.base import CHECKED, FOR_EVER, HistoryHandler, answered
from bzz.audit.handlers.describing import comparison
from bzz.audit.history import moment_of
from bzz.audit.views import show_changes, show_side
from bzz.body import JSON_PATCH
from bzz.negotiation import preferred
from bzz.openapi import answers, bodies
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import operation
from bzz.openapi.parameters import if_none_match, query
from bzz.openapi.places import Place
from bzz.preconditions import etag, none_match
from bzz.resource import Resource
from bzz.targets import Target

_JSON, _TEXT = "application/json", "text/plain"
_FORMATS = (_JSON, JSON_PATCH, _TEXT)
_VARIANTS = {_JSON: "", JSON_PATCH: "patch", _TEXT: "text"}


class CompareHandler(HistoryHandler):
    """Two versions of a document beside each other: as changes, as JSON Patch, as text."""

    below = "/diff"
    template = "diff/"
    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The comparison, for OpenAPI."""
        fields = answers.headers(book, always=["ETag", "Cache-Control", "Vary"])
        answer = answers.success("The changes.", comparison(book), fields)
        answer["content"][JSON_PATCH] = {"schema": bodies.json_patch(book)}
        answer["content"][_TEXT] = {"schema": {"type": "string"}}
        told = "A version, in digits, or a time (RFC 3339)"
        found = operation(
            book,
            book.operation_id("read", place.path),
            f"Compare two versions of a {place.schema.model.__name__}",
            tag=resource.name,
            asked=[
                query("from", {"type": "string"}, f"{told}; else the version before `to`."),
                query("to", {"type": "string"}, f"{told}; else the latest version."),
                if_none_match(book),
            ],
            answers={"200": answer, "304": answers.not_modified(book)},
            failures=["not-found", "gone", "conflict"],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """The changes from one version or time to another, in the format of the Accept header."""
        target = self.target()
        arguments = self.check_arguments("from", "to")
        moments = {name: moment_of(text) for name, text in arguments.items()}
        wanted = preferred(self.request.headers.get("Accept"), _FORMATS)
        await self.permit_reading(target)
        compared, shown = await self.off_loop(self._read_comparison, target, moments, wanted)
        self.set_header("Vary", "Accept")
        # What a time means, or no version, changes as the history grows.
        fixed = len(moments) == 2 and all(isinstance(each, int) for each in moments.values())
        self.set_header("Cache-Control", FOR_EVER if fixed else CHECKED)
        version = max(compared.from_.version, compared.to.version)
        self.set_header("Etag", etag(version, _VARIANTS[wanted]))
        if none_match(self.request.headers.get("If-None-Match"), version, _VARIANTS[wanted]):
            self.set_status(304)
        elif wanted == _TEXT:
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.write(shown)
        else:
            self.respond(shown, content_type=wanted)

    def _read_comparison(
        self, target: Target, moments: dict[str, Any], wanted: str
    ) -> tuple[Comparison, Any]:
        schema = target.last.schema
        history = self.history_of(target)
        with answered():
            compared = history.compared(moments.get("from"), moments.get("to"))
        if wanted == JSON_PATCH:
            sides = (show_side(each, schema) for each in (compared.from_, compared.to))
            return compared, json_patch(*sides)
        changes = show_changes(compared.changes, schema)
        if wanted == _TEXT:
            return compared, as_text(compared, changes)
        versions = {"from": compared.from_.version, "to": compared.to.version}
        return compared, {**versions, "changes": changes}
