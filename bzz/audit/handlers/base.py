"""Edge: what the handlers of all history routes share: whose history it is, who may see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from bzz.actions import reading
from bzz.audit.errors import (
    CannotUndo,
    DocumentDeleted,
    HistoryTooShort,
    PositionGone,
    ReplayError,
    StreamGap,
    UndoConflict,
    UnknownVersion,
)
from bzz.audit.events import Event
from bzz.audit.handlers.describing import VERSION
from bzz.audit.handlers.verbs import AuditHandler
from bzz.audit.history import History
from bzz.audit.views import show_event
from bzz.documents import is_open
from bzz.errors import Conflict, Gone, NotFound, Overtaken
from bzz.openapi.book import Book, Json
from bzz.openapi.places import Place, places_of
from bzz.recording import recorder_of
from bzz.resource import Resource
from bzz.targets import Step, Target, parse_target, segments_of
from bzz.unit import Unit
from bzz.work import Worker, document_key

FOR_EVER = "private, max-age=31536000, immutable"
"""Cache-Control (RFC 9111, RFC 8246) of what never changes; for its reader alone."""
CHECKED = "private, no-cache"
"""Of what may have changed: kept, and asked for again with its tag."""


class HistoryHandler(AuditHandler):
    """What stands below a document's history; by itself it takes what is not there.

    A subclass says what stands `below` the history's segment (a pattern, and the same as the
    `template` of OpenAPI) and which `methods` it has, implements these, and says what
    `operations` they are.  `path` is the pattern of the whole path; `nested` that it leads to
    the document through another one.
    """

    path: ClassVar[re.Pattern[str]]
    nested: ClassVar[bool] = False
    below: ClassVar[str] = "(?:/.*)?"

    @classmethod
    def describe(cls, book: Book, resource: Resource) -> dict[str, Json]:
        """The paths of the route, as OpenAPI path items."""
        found = {}
        for place in places_of(resource, book):
            kept = recorder_of(place.schema.model) is cls.auditor
            if not kept or place.is_list or place.embedded or place.nested != cls.nested:
                continue
            path = f"{place.path}{quote(cls.auditor.segment(), safe='')}/{cls.template}"
            ids = [*place.ids, *([VERSION] if "{version}" in path else [])]
            operations = cls.operations(book, resource, replace(place, path=path))
            if operations:
                found[path] = {"parameters": ids, **operations}
        return found

    @classmethod
    def operations(cls, book: Book, resource: Resource, place: Place) -> dict[str, Json]:
        """The operations at a history, or below it, by their methods, for OpenAPI."""
        return {}

    def refuse(self) -> None:
        """As `AuditHandler`; raises `NotFound` too for a path that names no document."""
        self.target()
        super().refuse()

    # What the path names -----------------------------------------------------------------

    def part(self, number: int) -> str:
        """A group of the path as it was sent: Tornado's arguments are decoded, slashes too."""
        found = self.path.match(self.request.path)
        return "" if found is None else str(found.group(number))

    def target(self) -> Target:
        """The document whose history it is.  Raises `NotFound`."""
        segments = segments_of(self.part(1))
        return parse_target(self.resource.schema, self.resource.name, segments)

    def allowed(self) -> list[str]:
        """The methods that the request's path allows."""
        try:
            self.target()
        except NotFound:
            return ["OPTIONS"]
        return super().allowed()

    def url(self, *below: str) -> str:
        """The path of the document, or of what stands below it, as the request spells it."""
        return self.resource.path(*segments_of(self.part(1)), *below)

    def history_url(self, *below: str) -> str:
        """The path of the history, or of what stands below it."""
        return self.url(self.auditor.segment(), *below)

    # Who may see it ----------------------------------------------------------------------

    async def permit_reading(self, target: Target) -> None:
        """Ask whether the history may be read, and each document on the way to it."""
        step = target.last
        way = reading(target)[:-1]
        await self.permit([*way, ("history", step.schema.model, step.value)], target.arguments)

    def history_of(self, target: Target) -> History:
        """The history that a path names, if the request may see it; it may turn out to be empty.

        Blocks.  Raises `NotFound`.
        """
        step = target.last
        model = step.schema.model
        self.auditor.prepare()
        # Where everybody sees everything, looking at the document first tells nothing.
        if not target.nested and is_open(model):
            key = document_key(step.schema, step.value)
        else:
            key = self.history_key(self.named(target))
        return self.auditor._history(model, key)

    def read_event(self, target: Target, version: int) -> tuple[Event, dict[str, Any]]:
        """An event of the history that a path names, and how the API shows it.

        Blocks.  Raises `NotFound`.
        """
        history = self.history_of(target)
        with answered():
            [event] = history.as_of_today([history.event(version)])
            return event, show_event(event, target.last.schema, history.hidden())

    def named(self, target: Target) -> Step:
        """The document by itself, as its own URL names it, once a nested path has led to it.

        Blocks.  Raises `NotFound` where the path leads nowhere.
        """
        step = target.last
        if not target.nested:
            return step
        value = Worker(target, self).referenced(Unit(handler=self))
        return Step(step.name, step.schema, None, step.schema.format_id(value), value)


@contextmanager
def answered() -> Iterator[None]:
    """Turn what the audit's core raises about a stream into what is answered over HTTP."""
    try:
        yield
    except UnknownVersion as error:
        raise NotFound(str(error)) from error
    except DocumentDeleted as error:
        raise Gone(str(error), version=error.version) from error
    except PositionGone as error:
        raise Gone(str(error)) from error
    except UndoConflict as error:
        raise Overtaken(str(error), conflicts=error.conflicts) from error
    except (CannotUndo, HistoryTooShort, ReplayError, StreamGap) as error:
        raise Conflict(str(error)) from error


def translated(error: Exception) -> Exception:
    """An error of the core as the one that is answered over HTTP; others as they are."""
    try:
        with answered():
            raise error
    except Exception as told:
        return told
