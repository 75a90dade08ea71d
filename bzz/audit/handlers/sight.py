"""Edge: what one request may see of the events of all models, and how they are shown to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bzz.audit.handlers.base import answered
from bzz.audit.history import History
from bzz.audit.store import unpacked
from bzz.audit.tracking import by_stream
from bzz.audit.views import show_event
from bzz.documents import is_open
from bzz.errors import Gone, NotFound
from bzz.resource import Resource
from bzz.schema import Schema, schema_of
from bzz.source import Source, id_key
from bzz.targets import Step

if TYPE_CHECKING:
    from bzz.audit.handlers.across import AcrossHandler


class Sight:
    """What a request sees of events of some models.

    Each document is looked for once: use one for events that are answered together, and another
    one for those that come later.
    """

    def __init__(self, handler: AcrossHandler, resources: Iterable[Resource]) -> None:
        self._handler = handler
        self._auditor = handler.auditor
        self._seen: dict[tuple[str, bytes], bool] = {}
        self._resources = by_stream(
            resources,
            lambda each: self._auditor.tracked_as(each.model).stream,
            lambda each: each.model,
        )

    def show(self, stored: dict[str, Any]) -> dict[str, Any] | None:
        """An event as the API shows it; None when the request may not see its document.

        Blocks.  Raises `Conflict` for an event of an older schema whose history is broken.
        """
        resource, history = self._behind(stored)
        if resource is None or history is None or not self._sees(resource, history):
            return None
        with answered():
            [event] = history.told([unpacked(stored, resource.name)])
        return show_event(event, self._schema(resource, event.model))

    def may_show(self, stored: dict[str, Any]) -> bool:
        """Whether the request may see the document of an event.  Blocks."""
        resource, history = self._behind(stored)
        return resource is not None and history is not None and self._sees(resource, history)

    def _behind(self, stored: dict[str, Any]) -> tuple[Resource | None, History | None]:
        history = self._auditor.history_under(stored["s"], stored["d"])
        return self._resources.get(stored["s"]), history

    def common(self, stored: dict[str, Any]) -> str | None:
        """The name under which an event is shown alike to all requests, without a look elsewhere.

        '' where it is not shown; None where a request or the database has to be asked.
        """
        resource = self._resources.get(stored["s"])
        if resource is None:
            return ""
        has_one_form = not any(each.upcasts for each in self._auditor.tracked_under(stored["s"]))
        is_one_class = not self._auditor.is_of_many(resource.model)
        is_alike = has_one_form and is_one_class and is_open(resource.model)
        return resource.name if is_alike else None

    def _schema(self, resource: Resource, name: str) -> Schema:
        """The schema of the own class of a document, by which its members are named."""
        stream = self._auditor.tracked_as(resource.model).stream
        for each in self._auditor.tracked_under(stream):
            if each.name == name:
                return schema_of(each.model)
        return resource.schema

    def _sees(self, resource: Resource, history: History) -> bool:
        if is_open(resource.model):
            return True
        key = resource.name, id_key(history.document_id)
        if key not in self._seen:
            found = find(self._handler, resource, history.document_id)
            self._seen[key] = found is not None
        return self._seen[key]


class Found(NamedTuple):
    """A document as its own URL names it, and whether it is there."""

    step: Step
    live: bool


def find(handler: AcrossHandler, resource: Resource, document: Any) -> Found | None:
    """The document of a resource that has an id as stored; None when the request may not see it.

    Blocks.
    """
    model, schema = resource.model, resource.schema
    live = Source.of(model).find_one(None, {"_id": document})
    state = live if live is not None else handler.auditor.last_state(model, document)
    if state is None:
        return None
    name = str(schema.id_field)
    value = schema.fields[name].to_python(state.get(schema.stored_of(name)))
    step = Step(resource.name, schema, None, schema.format_id(value), value)
    try:
        handler.history_key(step)
    except (NotFound, Gone):
        return None
    return Found(step, live is not None)
