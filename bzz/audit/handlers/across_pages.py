"""Edge: what the pages about all models share: the way to the history of what they name."""

from __future__ import annotations

from typing import Any

from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.paging import PageHandler
from bzz.openapi.book import Book, Json
from bzz.resource import Resource


class AcrossPageHandler(PageHandler, AcrossHandler):
    """What the pages about all models share."""

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """As those of the API, for OpenAPI."""
        return cls.paged(book, super().operations(book))

    def with_history(self, shown: dict[str, Any]) -> dict[str, Any]:
        """An event, or a document, as the API shows it, with the path of its history."""
        resource = self._serving().get(shown["model"])
        path = None
        # A URL that names documents otherwise than by their keys cannot be told from a key.
        if resource is not None and _is_key(resource):
            path = resource.path(shown["document"], self.auditor.segment())
        return {**shown, "history": path}

    def _serving(self) -> dict[str, Resource]:
        """By the name of a model the resource that serves it: its own, or that of a class above."""
        own = self.resources()
        above = {
            tracked.name: each
            for each in own.values()
            for tracked in self.auditor.tracked_under(self.auditor.tracked_as(each.model).stream)
        }
        return {**above, **own}


def _is_key(resource: Resource) -> bool:
    """Whether URLs name the documents of a resource by their primary keys."""
    return resource.schema.stored_of(str(resource.schema.id_field)) == "_id"
