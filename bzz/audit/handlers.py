"""Edge: `/<model>/<id>/history/…` over HTTP, on the handler class that serves the model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from mongoengine import DateTimeField, EmbeddedDocumentField, ListField
from tornado.httputil import format_timestamp
from tornado.web import HTTPError

from bzz.audit.context import checked_reason
from bzz.audit.diff import parse, pointer
from bzz.audit.errors import (
    ContextError,
    DocumentDeleted,
    ReplayError,
    StreamGap,
    UnknownVersion,
)
from bzz.audit.events import Event, Operation
from bzz.audit.restoring import Plan, carry_out, plan_restore
from bzz.audit.store import letter_of
from bzz.audit.views import show_changes, show_event
from bzz.documents import instantiate, is_open
from bzz.errors import BadRequest, Conflict, FieldError, Gone, InvalidInput, NotFound
from bzz.jsontext import MAX_DEPTH
from bzz.jsonvalues import NotThisType, read, reader_of
from bzz.mongoengine_handler import MongoEngineRestHandler
from bzz.preconditions import etag, none_match, read_if_match, require
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT
from bzz.resource import Resource
from bzz.routes import Route, Routes
from bzz.schema import REFERENCES, Field, Schema, schema_of
from bzz.signals import ask, pre_create_instance, pre_get_instance, pre_update_instance
from bzz.source import Source
from bzz.targets import Step, Target, parse_target, segments_of
from bzz.unit import Unit
from bzz.work import Outcome, Worker, current_version, document_key, show_state

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_TIME = DateTimeField()
_LIST = ("limit", "before", "after", "order", "since", "until", "operation", "actor", "field")


def routes_for_history(
    handler: type[MongoEngineRestHandler], resource: Resource, auditor: Auditor
) -> Routes:
    """The history routes of a resource, served by a subclass of the handler that serves it."""
    serving = type(f"{handler.__name__}History", (HistoryHandler, handler), {"auditor": auditor})
    segment = re.escape(quote(auditor.segment(), safe=""))
    pattern = rf"{re.escape(resource.root)}/[^/]+/{segment}(?:/.*)?"
    return Routes([Route(pattern, serving, {"resource": resource})])


@dataclass(frozen=True, slots=True)
class _Place:
    """What a history path names: the document, and perhaps a version and what to do with it."""

    step: Step
    version: int | None = None
    verb: str | None = None


class HistoryHandler(MongoEngineRestHandler):
    """The history of a resource's documents."""

    auditor: Auditor

    async def get(self, *_: str) -> None:
        """The events of a document, or the document as it was after one of them."""
        place = self.place()
        self._allow_here("GET")
        if place.version is None:
            await self._get_events(place.step)
        else:
            await self._get_version(place.step, place.version)

    head = get

    async def post(self, *_: str) -> None:
        """Restore."""
        place = self.place()
        self._allow_here("POST")
        self.check_arguments()
        order = _order(self.read_body().nested())
        await self._restore(place.step, place.version or 0, order)

    async def put(self, *_: str) -> None:
        """A history is written by writes alone."""
        self.place()
        raise HTTPError(405)

    patch = delete = put

    # Reading ---------------------------------------------------------------------------

    async def _get_events(self, step: Step) -> None:
        arguments = self.check_arguments(*_LIST)
        asked = _Asked.read(arguments, step.schema)
        await self._permit(step)
        last, events = await self.off_loop(self._read_events, step, asked)
        self.set_header("Etag", etag(last))
        if none_match(self.request.headers.get("If-None-Match"), last):
            self.set_status(304)
            return
        hidden = self.auditor.hidden(step.schema.model)
        following = None
        if len(events) > asked.limit:
            events = events[: asked.limit]
            following = self._next(step, arguments, asked, events[-1])
            self.set_header("Link", f'<{following}>; rel="next"')
        self.respond(
            {
                "items": [show_event(each, step.schema, hidden) for each in events],
                "next": following,
            }
        )

    def _read_events(self, step: Step, asked: _Asked) -> tuple[int, list[Event]]:
        self.auditor.prepare()
        history = self._history(step)
        query = asked.query(step.schema)
        events = list(
            history.versions(query=query, newest_first=asked.newest_first, limit=asked.limit + 1)
        )
        if events and asked.newest_first and not query:
            return events[0].version, events
        last = history.last_version()
        if not last:
            self.history_key(step)  # raises for a document that never was
        if not events and asked.field is not None:
            self._check_field(history, step.schema, asked.field)
        return last, events

    def _history(self, step: Step) -> Any:
        """The history that a step names, if the request may see it; it may turn out to be empty."""
        model = step.schema.model
        # Where everybody sees everything, looking at the document first tells nothing.
        key = document_key(step.schema, step.value) if is_open(model) else self.history_key(step)
        return self.auditor._history(model, key)

    @staticmethod
    def _check_field(history: Any, schema: Schema, field: str) -> None:
        path = _field_path(schema, field)
        if _may_have(schema, schema.names(path)):
            return
        for _ in history.versions(query=_field_query(schema, path), limit=1):
            return
        raise BadRequest(
            f"{schema.model.__name__} has no field {field!r}, and never had in this history."
        )

    def _next(self, step: Step, arguments: dict[str, str], asked: _Asked, last: Event) -> str:
        kept = {k: v for k, v in arguments.items() if k not in ("before", "after")}
        if asked.newest_first:
            kept |= {"before": str(last.version)}
            if asked.after is not None:
                kept |= {"after": str(asked.after)}
        else:
            kept |= {"after": str(last.version)}
            if asked.before is not None:
                kept |= {"before": str(asked.before)}
        return f"{self.resource.path(step.id or '', self.auditor.segment())}?{urlencode(kept)}"

    async def _get_version(self, step: Step, version: int) -> None:
        view = self.check_arguments("view").get("view", "document")
        if view not in ("document", "event"):
            raise BadRequest(f"'view' is document or event, not {view!r}.")
        await self._permit(step)
        event, shown = await self.off_loop(self._read_version, step, version, view)
        self.set_header("Memento-Datetime", format_timestamp(event.time))
        self.set_header("Link", ", ".join(self._version_links(step, version)))
        self.respond(shown)

    def _read_version(self, step: Step, version: int, view: str) -> tuple[Event, Any]:
        self.auditor.prepare()
        history = self._history(step)
        with _answered():
            if view == "event":
                event = history.event(version)
                shown = show_event(event, step.schema, self.auditor.hidden(step.schema.model))
            else:
                event, state = history.version(version)
                shown = show_state(step.schema.model, state)
        return event, shown

    def _version_links(self, step: Step, version: int) -> list[str]:
        # The latest version is what the document's own URL has, whichever it is by then: an
        # answer about the past holds nothing that changes.
        links = [f'<{self.resource.path(step.id or "")}>; rel="latest-version"']
        if version > 1:
            segments = (step.id or "", self.auditor.segment(), str(version - 1))
            links.insert(0, f'<{self.resource.path(*segments)}>; rel="predecessor-version"')
        return links

    # Restoring -------------------------------------------------------------------------

    async def _restore(self, step: Step, version: int, order: _Order) -> None:
        precondition = read_if_match(self.request.headers.get("If-Match"))
        if self.resource.require_precondition and not order.dry_run:
            require(precondition)
        model = step.schema.model
        await self.ask_may([("restore", model, step.value)])
        key, live = await self.off_loop(self._key, step)
        signal = pre_get_instance
        if not order.dry_run:
            signal = pre_update_instance if live else pre_create_instance
        await ask(signal, model, arguments=[step.argument], handler=self)
        target = Target((step,))
        worker = Worker(target, self, precondition)
        plans: list[Plan] = []

        def job(unit: Unit) -> Outcome:
            plan = self._plan(unit, worker, step, key, version, order)
            plans[:] = [plan]
            if order.dry_run or plan.is_so:
                return _unchanged(unit, plan, key, shown=not order.dry_run)
            write = carry_out(unit, plan)
            return Outcome(write.instance, write, created=True)

        done = await self.run_write(target, job, reason=order.reason)
        if order.dry_run:
            self.respond({"changes": show_changes(plans[0].changes, step.schema)})
            return
        await self.announce_writes(done.unit)
        if done.version is not None:
            self.set_header("Etag", etag(done.version))
        if done.outcome.created and done.outcome.document.event is not None:
            self.set_status(201)
            path = self.resource.path(step.id or "", self.auditor.segment(), str(done.version))
            self.set_header("Location", path)
        self.respond(done.shown)

    def _key(self, step: Step) -> tuple[Any, bool]:
        """The key of the document, and whether it is there."""
        self.auditor.prepare()
        key = self.history_key(step)
        return key, Source.of(step.schema.model).find_one(None, {"_id": key}) is not None

    def _plan(
        self, unit: Unit, worker: Worker, step: Step, key: Any, version: int, order: _Order
    ) -> Plan:
        model = step.schema.model
        tracked = self.auditor.tracked_as(model)
        history = self.auditor._history(model, key)
        with _answered():
            plan = plan_restore(unit, history, tracked, model, version, order.fields)
        if worker.precondition is not None:
            current = _version_now(unit, plan, model, key)
            worker.precondition.check(current, what=f"{model.__name__} {key}")
        return plan

    # Both ------------------------------------------------------------------------------

    def place(self) -> _Place:
        """What the request's path names.  Raises `NotFound`."""
        below = self.request.path[len(self.resource.root) :].removeprefix("/")
        document, _, *rest = segments_of(below)
        step = parse_target(self.resource.schema, self.resource.name, [document]).last
        if not rest:
            return _Place(step)
        version, *verb = rest
        if len(verb) > 1 or (verb and verb[0] != "restore") or not _is_version(version):
            raise NotFound(f"A history has nothing at {'/'.join(rest)!r}.")
        return _Place(step, int(version), verb[0] if verb else None)

    def allowed(self) -> list[str]:
        """The methods that the request's path allows."""
        try:
            verb = self.place().verb
        except NotFound:
            return ["OPTIONS"]
        return ["OPTIONS", "POST"] if verb else ["GET", "HEAD", "OPTIONS"]

    def _allow_here(self, method: str) -> None:
        if method not in self.allowed():
            raise HTTPError(405)

    async def _permit(self, step: Step) -> None:
        await self.permit([("history", step.schema.model, step.value)], [step.argument])


@dataclass(frozen=True, slots=True)
class _Order:
    """What the body of a restore asks for."""

    reason: str | None = None
    fields: list[str] | None = None
    dry_run: bool = False


def _order(values: Any) -> _Order:
    if not isinstance(values, dict):
        raise InvalidInput([FieldError("", "The body of a restore is an object.")])
    errors = [
        FieldError(f"/{name}", f"A restore knows reason, fields and dry_run, not {name!r}.")
        for name in values
        if name not in ("reason", "fields", "dry_run")
    ]
    reason, fields, dry_run = (values.get(name) for name in ("reason", "fields", "dry_run"))
    if reason is not None and not isinstance(reason, str):
        errors.append(FieldError("/reason", "The reason is a text."))
    if isinstance(fields, str):
        fields = [fields]
    if fields is not None and not (
        isinstance(fields, list) and fields and all(isinstance(each, str) for each in fields)
    ):
        errors.append(FieldError("/fields", "The fields are a list of names or JSON Pointers."))
    if not (dry_run is None or isinstance(dry_run, bool) or dry_run in ("true", "false")):
        errors.append(FieldError("/dry_run", "dry_run is true or false."))
    if errors:
        raise InvalidInput(errors)
    try:
        kept = None if reason is None else checked_reason(reason)
    except ContextError as error:
        raise InvalidInput([FieldError("/reason", str(error))]) from error
    return _Order(kept, fields, dry_run in (True, "true"))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the query string of a list of events asks for."""

    limit: int
    newest_first: bool
    before: int | None
    after: int | None
    since: datetime | None
    until: datetime | None
    operations: tuple[str, ...]
    actor: str | None
    field: str | None

    @classmethod
    def read(cls, arguments: dict[str, str], schema: Schema) -> _Asked:
        order = arguments.get("order", "desc")
        if order not in ("asc", "desc"):
            raise BadRequest(f"'order' is asc or desc, not {order!r}.")
        limit = _number(arguments, "limit")
        if limit is not None and not 1 <= limit <= MAX_LIMIT:
            raise BadRequest(f"'limit' is 1 to {MAX_LIMIT}, not {limit}.")
        return cls(
            limit=DEFAULT_LIMIT if limit is None else limit,
            newest_first=order == "desc",
            before=_number(arguments, "before"),
            after=_number(arguments, "after"),
            since=_time(arguments, "since"),
            until=_time(arguments, "until"),
            operations=_operations(arguments.get("operation")),
            actor=arguments.get("actor"),
            field=arguments.get("field"),
        )

    def query(self, schema: Schema) -> dict[str, Any]:
        """The same in stored names."""
        conditions: list[dict[str, Any]] = []
        if self.before is not None:
            conditions.append({"v": {"$lt": self.before}})
        if self.after is not None:
            conditions.append({"v": {"$gt": self.after}})
        if self.since is not None:
            conditions.append({"t": {"$gte": self.since}})
        if self.until is not None:
            conditions.append({"t": {"$lte": self.until}})
        if self.operations:
            conditions.append({"o": {"$in": list(self.operations)}})
        if self.actor is not None:
            conditions.append(_actor_query(self.actor))
        if self.field is not None:
            conditions.append(_field_query(schema, _field_path(schema, self.field)))
        return {"$and": conditions} if conditions else {}


def _operations(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        return tuple(letter_of(each.strip()) for each in text.split(","))
    except ValueError as error:
        known = ", ".join(operation.value for operation in Operation)
        raise BadRequest(f"'operation' is one of {known}; got {text!r}.") from error


def _actor_query(text: str) -> dict[str, Any]:
    kind, colon, identity = text.partition(":")
    alternatives: list[dict[str, Any]] = [{"a.1": text}, {"a": [text]}]
    if colon:
        alternatives.append({"a": [kind, identity] if identity else [kind]})
    return {"$or": alternatives}


def _field_path(schema: Schema, field: str) -> tuple[str, ...]:
    try:
        path = parse(field) if field.startswith("/") else tuple(field.split("."))
    except ValueError as error:
        raise BadRequest(f"'field' is a name or a JSON Pointer; got {field!r}.") from error
    # No member of a document has a NUL in its name, or lies deeper; patterns allow neither.
    if not path or "\0" in field or len(path) > MAX_DEPTH or len(field) > _LONGEST_FIELD:
        raise BadRequest(f"'field' is the name of a member or its path; got {field[:80]!r}.")
    return tuple(str(each) for each in schema.stored(path))


def _field_query(schema: Schema, path: tuple[str, ...]) -> dict[str, Any]:
    """Events with a change at a path, below it, or above it.

    A path that leaves out the indexes of a list means all elements of it.
    """
    names, pattern = schema.names(path), ""
    for length in range(len(path), 0, -1):
        token = re.escape(pointer(path[length - 1 : length]))
        if pattern:
            pattern = f"{token}{_left_out(schema, names, length)}(?:{_END}|{pattern})"
        else:
            pattern = f"{token}(?:{_END}|/)"
    return {"$or": [{"c.p": {"$regex": f"^{pattern}"}}, {"x": {"$regex": f"^{pattern}"}}]}


def _left_out(schema: Schema, names: Sequence[str | int], length: int) -> str:
    """What stands behind a token where the path leaves out the index of a list's element."""
    is_list = isinstance(schema.field_at(names[:length]), ListField)
    if not is_list or str(names[length]).isdecimal():
        return ""
    return f"(?:/[0-9]+(?=/|{_END}))?"


_END = r"(?![\s\S])"  # a $ would also match before a line's end, which a name may hold
_LONGEST_FIELD = 1000


def _may_have(schema: Schema, names: Sequence[str | int]) -> bool:
    """Whether documents of a class may have a member of this path."""
    undeclared = schema.dynamic
    for length in range(1, len(names) + 1):
        field = schema.field_at(names[:length])
        if field is None:
            return undeclared
        undeclared = _takes_any(field)
    return True


def _takes_any(field: Field) -> bool:
    """Whether a value of the field may have members that nothing declares."""
    while isinstance(field, ListField):
        field = field.field
    if isinstance(field, EmbeddedDocumentField):
        return bool(schema_of(field.document_type).dynamic)
    return not isinstance(field, REFERENCES) and (field is None or reader_of(field) is None)


def _number(arguments: dict[str, str], name: str) -> int | None:
    text = arguments.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest(f"{name!r} is a whole number from 0; got {text!r}.")
    return int(text)


def _time(arguments: dict[str, str], name: str) -> datetime | None:
    text = arguments.get(name)
    if text is None:
        return None
    try:
        moment: datetime = read(_TIME, text, text=True)
    except NotThisType as error:
        raise BadRequest(
            f"{name!r} is a time such as 2026-05-01T12:00:00Z; got {text!r}."
        ) from error
    return moment


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10 and not text.startswith("0")


def _version_now(unit: Unit, plan: Plan, model: Any, key: Any) -> int | None:
    if plan.current is not None:
        return current_version(unit, plan.current)
    head = unit.head(model, key)
    # Deleted round bzz it has no version yet.
    return head.version if head is not None and head.deleted else None


def _unchanged(unit: Unit, plan: Plan, key: Any, *, shown: bool) -> Outcome:
    write = plan.current or unit.touched(Source.of(plan.model), key, None)
    if shown:
        write.instance = instantiate(plan.model, write.before)
    return Outcome(write.instance if shown else None, write)


@contextmanager
def _answered() -> Iterator[None]:
    """Turn what the audit's core raises about a stream into what is answered over HTTP."""
    try:
        yield
    except UnknownVersion as error:
        raise NotFound(str(error)) from error
    except DocumentDeleted as error:
        raise Gone(str(error), version=error.version) from error
    except (StreamGap, ReplayError) as error:
        raise Conflict(str(error)) from error
