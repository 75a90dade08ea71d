"""Edge: `GET /history/`, the events of all models by their positions, page by page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from tornado.web import HTTPError

from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.arguments import EVENT_FILTERS, Asked, field_path, field_query, may_have
from bzz.audit.handlers.base import CHECKED, answered
from bzz.audit.handlers.describing import EVENT_PARAMETERS, event
from bzz.audit.seals import LogHead
from bzz.audit.store import unpacked
from bzz.audit.views import show_event
from bzz.documents import is_open
from bzz.errors import BadRequest, Gone, NotFound
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import operation
from bzz.openapi.parameters import limit, query
from bzz.resource import Resource
from bzz.source import Source, id_key
from bzz.targets import Step

_FILTERS = tuple(each for each in EVENT_FILTERS if each != "include")
_OWN = ("model", "correlation", "epoch")
_SPAN = 10_000
"""Positions that are looked through at once."""
_SECONDS = 1.0
"""After which a page is answered with what there is by then, and where to go on."""


class FeedHandler(AcrossHandler):
    """The events that have positions: newest first, or in their order for who comes back."""

    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The feed, for OpenAPI."""
        told = {"before": "Events before this position.", "after": "Events after this position."}
        filters = [
            {**each, "description": told.get(each["name"], each["description"])}
            for each in EVENT_PARAMETERS
            if each["name"] != "include"
        ]
        text: Json = {"type": "string"}
        own = [
            query("model", text, "Events of this model."),
            query("correlation", text, "Events of one request, or of those that share its id."),
            query("epoch", text, "Of the position; another one is answered 410."),
        ]
        fields = answers.headers(book, "Link", always=["Cache-Control"])
        found = operation(
            book,
            book.operation_id("list", cls.template),
            "List the events of all models",
            tag="history",
            asked=[limit(book), *filters, *own],
            answers={
                "200": answers.success("A page of events.", answers.page_of(event(book)), fields)
            },
            failures=["gone"],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """The events that the query string asks for, and where the next ones are."""
        arguments = self.check_arguments(*_FILTERS, *_OWN)
        resources = await self._permitted(arguments.get("model"))
        asked = Asked.read(arguments, resources[0].schema)
        shown, following = await self.off_loop(self._page, arguments, asked, resources)
        self.set_header("Cache-Control", CHECKED)
        if following is not None:
            self.set_header("Link", f'<{following}>; rel="next"')
        self.respond({"items": shown, "next": following})

    async def _permitted(self, name: str | None) -> list[Resource]:
        """The resources that are meant and may be read.  Raises `BadRequest`, and 403 for none."""
        known = self.resources()
        if name is not None and name not in known:
            told = ", ".join(sorted(known))
            raise BadRequest(f"'model' is one of {told}; got {name!r}.")
        found = []
        for resource in known.values() if name is None else [known[name]]:
            try:
                await self.permit([("feed", resource.model, None)], [])
            except HTTPError as error:
                if error.status_code != 403:
                    raise
            else:
                found.append(resource)
        if not found:
            raise HTTPError(403)
        return found

    # What is read, off the loop ------------------------------------------------------------

    def _page(
        self, arguments: dict[str, str], asked: Asked, resources: list[Resource]
    ) -> tuple[list[dict[str, Any]], str | None]:
        self.auditor.prepare()
        seals = self.auditor.seals
        head = LogHead(0, "") if seals is None else seals.head()
        _check_position(arguments, asked, head)
        wanted = _query(arguments, asked, resources)
        by_stream = self._by_stream(resources)
        sees = _Sight(self)
        bounds = range((asked.after or 0) + 1, head.position + 1)
        if asked.before is not None:
            bounds = range(bounds.start, min(bounds.stop, asked.before))
        shown: list[dict[str, Any]] = []
        until = time.monotonic() + _SECONDS
        reached = bounds.start - 1 if not asked.newest_first else max(bounds.stop, bounds.start)
        for span in _spans(bounds, newest_first=asked.newest_first):
            found = self.auditor.store.numbered(
                wanted, span, newest_first=asked.newest_first, limit=0
            )
            reached = span.start if asked.newest_first else span.stop - 1
            for stored in found:
                resource = by_stream[stored["s"]]
                if sees(resource, stored["d"]):
                    shown.append(self._show(resource, stored))
                if len(shown) == asked.limit:
                    reached = int(stored["p"])
                    break
            if len(shown) == asked.limit or time.monotonic() > until:
                break
        return shown, self._next(arguments, asked, reached, bounds, head)

    def _by_stream(self, resources: Iterable[Resource]) -> dict[str, Resource]:
        found: dict[str, Resource] = {}
        for each in resources:
            stream = self.auditor.tracked_as(each.model).stream
            present = found.get(stream)
            if present is None or issubclass(present.model, each.model):
                found[stream] = each
        return found

    def _show(self, resource: Resource, stored: dict[str, Any]) -> dict[str, Any]:
        history = self.auditor._history(resource.model, stored["d"])
        with answered():
            [told] = history.as_of_today([unpacked(stored, resource.name)])
        return show_event(told, resource.schema, self.auditor.hidden(resource.model))

    def _next(
        self, arguments: dict[str, str], asked: Asked, reached: int, bounds: range, head: LogHead
    ) -> str | None:
        if asked.newest_first:
            if reached <= bounds.start:
                return None
            kept = {**arguments, "before": str(reached)}
        else:
            kept = {**arguments, "after": str(reached)}
        return f"{self.template}?{urlencode({**kept, 'epoch': head.epoch})}"


class _Sight:
    """Whether a request may see documents; asked once for each."""

    def __init__(self, handler: FeedHandler) -> None:
        self._handler = handler
        self._known: dict[tuple[str, bytes], bool] = {}

    def __call__(self, resource: Resource, document: Any) -> bool:
        if is_open(resource.model):
            return True
        key = resource.name, id_key(document)
        if key not in self._known:
            self._known[key] = self._look(resource, document)
        return self._known[key]

    def _look(self, resource: Resource, document: Any) -> bool:
        model, schema = resource.model, resource.schema
        state = Source.of(model).find_one(None, {"_id": document})
        if state is None:
            state = self._handler.auditor.last_state(model, document)
        if state is None:
            return False
        name = str(schema.id_field)
        value = schema.fields[name].to_python(state.get(schema.stored_of(name)))
        try:
            self._handler.history_key(
                Step(resource.name, schema, None, schema.format_id(value), value)
            )
        except (NotFound, Gone):
            return False
        return True


def _check_position(arguments: dict[str, str], asked: Asked, head: LogHead) -> None:
    epoch = arguments.get("epoch")
    if epoch is not None and epoch != head.epoch:
        raise Gone(
            "The positions are of another epoch, since the database was restored from a backup: "
            "other events may stand under them. Begin anew without 'after' and 'epoch'."
        )
    if asked.after is not None and asked.after > head.position:
        raise Gone(
            f"There is no position {asked.after}; the last one is {head.position}. "
            "Begin anew without 'after'."
        )


def _query(arguments: dict[str, str], asked: Asked, resources: list[Resource]) -> dict[str, Any]:
    auditor = resources[0].recorder
    streams = {each.name: auditor.tracked_as(each.model).stream for each in resources}  # type: ignore[union-attr]
    plain = replace(asked, before=None, after=None, field=None)
    conditions = [plain.query(resources[0].schema)]
    if "correlation" in arguments:
        conditions.append({"k": arguments["correlation"]})
    if asked.field is None:
        conditions.append({"s": {"$in": sorted(set(streams.values()))}})
    else:
        conditions.append({"$or": list(_changed(asked.field, resources, streams))})
    return {"$and": conditions}


def _changed(
    field: str, resources: list[Resource], streams: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Events that changed a field, of each model that may have it."""
    known = False
    for each in resources:
        path = field_path(each.schema, field)
        if may_have(each.schema, each.schema.names(path)):
            known = True
            yield {"s": streams[each.name], **field_query(each.schema, path)}
    if not known:
        raise BadRequest(f"No model here has a field {field!r}.")


def _spans(bounds: range, *, newest_first: bool) -> Iterator[range]:
    """The positions of a range in pieces, in the order in which they are read."""
    if newest_first:
        for stop in range(bounds.stop, bounds.start, -_SPAN):
            yield range(max(stop - _SPAN, bounds.start), stop)
    else:
        for start in range(bounds.start, bounds.stop, _SPAN):
            yield range(start, min(start + _SPAN, bounds.stop))
