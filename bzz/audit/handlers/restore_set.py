"""Edge: `POST /history/restore/`, a set of documents of all models put back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from tornado.web import HTTPError

from bzz.audit.context import checked_reason
from bzz.audit.diff import pointer
from bzz.audit.errors import ContextError
from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.base import translated
from bzz.audit.handlers.describing import restored_set
from bzz.audit.handlers.sight import Found, find
from bzz.audit.restoration import DocumentWork, Failure, Foreseen, Move, Report, Restoration, tell
from bzz.audit.selection import Place, chosen
from bzz.audit.views import show_changes
from bzz.documents import is_open
from bzz.errors import FieldError, InvalidInput, Unavailable
from bzz.jsonvalues import NotThisType, read_time
from bzz.openapi.book import Book, Json
from bzz.problems import problem_for
from bzz.query import MAX_LIMIT
from bzz.resource import Resource
from bzz.signals import (
    ask,
    pre_create_instance,
    pre_delete_instance,
    pre_get_instance,
    pre_update_instance,
)
from bzz.source import Source
from bzz.targets import Target
from bzz.unit import Unit, Write
from bzz.work import Outcome

_Work: TypeAlias = tuple[Place, DocumentWork]

_SAMPLE = 20
_AT_ONCE = 16
"""Documents that are worked on together: as many as the commit lane puts into a transaction."""
_SHARE = 0.5
"""Of the deadline: when so much is used up, the rest is left to the next request."""


class RestoreSetHandler(AcrossHandler):
    """Puts back documents by time, model, actor and correlation."""

    methods = ("POST",)

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The restore of a set, for OpenAPI."""
        return {"post": restored_set(book, cls.template)}

    async def post(self, *_: str) -> None:
        """Put a set of documents back, or with `dry_run` say what that would change."""
        self.check_arguments()
        self.respond(await self.carry_out(self.read_body().nested()))

    async def carry_out(self, values: Any) -> dict[str, Any]:
        """Do what the values of a body ask for, if the request may; the answer.

        Raises `InvalidInput` naming each value that is not as it has to be.
        """
        order = _Order.read(values, self.resources())
        by_model = {each.model: each for each in order.resources}
        await self.ask_may([("restore", model, None) for model in by_model])
        restoration = await self.off_loop(self._restoration, order)
        if order.dry_run:
            return await self._preview(restoration, by_model, order.limit)
        report = Report()
        more = await self._run(restoration, by_model, order, report)
        contexts = await self._contexts(order.reason)
        return {
            "documents": report.documents,
            "written": report.written,
            "unchanged": report.unchanged,
            "failed": [self._show(by_model, each) for each in report.failures],
            "correlation": getattr(contexts[self.auditor], "correlation", None),
            "next": report.place.token if more and report.place else None,
        }

    def _restoration(self, order: _Order) -> Restoration:
        self.auditor.prepare()
        selection = chosen(
            [self.auditor.tracked_as(each.model) for each in order.resources],
            named=order.named,
            to=order.to,
            actor=order.actor,
            correlation=order.correlation,
            since=order.since,
            until=order.until,
        )
        return Restoration(self.auditor, selection, order.to)

    # Preview -----------------------------------------------------------------------------

    async def _preview(
        self, restoration: Restoration, by_model: Mapping[Any, Resource], limit: int | None
    ) -> dict[str, Any]:
        looked = partial(self._look, restoration, by_model, limit or _SAMPLE)
        documents, events, first = await self.off_loop(looked)
        sample = list[dict[str, Any]]()
        for found, work in first:
            foreseen = await self._foresee(restoration, found, work)
            sample.extend(self._show(by_model, each) for each in foreseen)
        return {"documents": documents, "events": events, "sample": sample}

    def _look(
        self, restoration: Restoration, by_model: Mapping[Any, Resource], limit: int
    ) -> tuple[int, int, list[tuple[Found, DocumentWork]]]:
        """How many documents the request may see, and chosen events of theirs; the first few."""
        documents, events, first = 0, 0, list[tuple[Found, DocumentWork]]()
        for _, work in restoration.works():
            # Where everybody sees everything, those that are only counted need no look.
            if documents < limit or not is_open(work.model):
                found = self._find(by_model[work.model], work)
                if found is None:
                    continue
                if documents < limit:
                    first.append((found, work))
            documents += 1
            events += work.events
        return documents, events, first

    async def _foresee(
        self, restoration: Restoration, found: Found, work: DocumentWork
    ) -> list[Foreseen]:
        model, step = found.step.schema.model, found.step
        try:
            await self.ask_may([("restore", model, step.value)])
            await ask(pre_get_instance, model, arguments=[step.argument], handler=self)
        except HTTPError as error:
            return [Foreseen(model, work.history.document_id, None, [], error)]
        return await self.off_loop(restoration.foresee, work)

    # Running -----------------------------------------------------------------------------

    async def _run(
        self,
        restoration: Restoration,
        by_model: Mapping[Any, Resource],
        order: _Order,
        report: Report,
    ) -> bool:
        """Put back as many documents as there is time for; whether there may be more."""
        until = time.monotonic() + self.resource.deadline * _SHARE
        left = MAX_LIMIT if order.limit is None else order.limit
        works = restoration.works(after=order.after)
        while left:
            wanted = min(left, _AT_ONCE)
            batch = await self.off_loop(_first, works, wanted)
            # Together, so that they share transactions; each with an end of its own.
            ended = await asyncio.gather(
                *(self._run_one(by_model[work.model], work, order) for _, work in batch)
            )
            for (place, work), seen in zip(batch, ended, strict=True):
                if seen:
                    tell(report, place, work)
                report.place = place
            if len(batch) < wanted:
                return False
            left -= wanted
            if time.monotonic() > until or _is_unavailable(report):
                break
        return True

    async def _run_one(self, resource: Resource, work: DocumentWork, order: _Order) -> bool:
        """Whether the request may know of the document at all."""
        found = await self.off_loop(self._find, resource, work)
        if found is None:
            return False
        while (move := await self.off_loop(work.next)) is not None:
            try:
                await self._permit(found, move)
                write = await self._make(found, work, move, order.reason)
            except Exception as error:
                work.failed(move, error)
            else:
                work.made(move, write)
        for failure in work.failures:
            # What is nobody's fault but the server's is answered without saying more.
            if problem_for(translated(failure.error)).status == 500:
                fault = failure.error
                self.log_exception(type(fault), fault, fault.__traceback__)
        return True

    async def _permit(self, found: Found, move: Move) -> None:
        model, step = found.step.schema.model, found.step
        await self.ask_may([("restore", model, step.value)])
        signal = pre_update_instance if found.live else pre_create_instance
        if move.kind == "delete":
            await self.ask_may([("delete", model, step.value)])
            signal = pre_delete_instance
        await ask(signal, model, arguments=[step.argument], handler=self)

    async def _make(
        self, found: Found, work: DocumentWork, move: Move, reason: str | None
    ) -> Write | None:
        target = Target((found.step,))
        done = await self.run_write(target, partial(_make, work, move), reason=reason)
        await self.announce_writes(done.unit)
        return done.outcome.document

    def _find(self, resource: Resource, work: DocumentWork) -> Found | None:
        return find(self, resource, work.history.document_id)

    # Answers -----------------------------------------------------------------------------

    def _show(self, by_model: Mapping[Any, Resource], told: Failure | Foreseen) -> dict[str, Any]:
        resource, move = by_model[told.model], told.move
        shown: dict[str, Any] = {
            "model": resource.name,
            "document": resource.schema.format_id(told.document),
            "does": None if move is None else move.kind,
            "version": None if move is None else move.version or None,
        }
        if isinstance(told, Foreseen) and told.error is None:
            return {**shown, "changes": show_changes(told.changes, resource.schema)}
        error = translated(told.error) if told.error else None
        problem = problem_for(error or HTTPError(500), names=resource.schema.names)
        return {**shown, "problem": problem.members()}


def _first(works: Iterator[_Work], count: int) -> list[_Work]:
    return list(islice(works, count))


def _make(work: DocumentWork, move: Move, unit: Unit) -> Outcome:
    write = work.make(unit, move)
    if write is None:
        write = unit.touched(Source.of(work.model), work.history.document_id, None)
    return Outcome(None, write)


def _is_unavailable(report: Report) -> bool:
    return any(isinstance(each.error, Unavailable) for each in report.failures)


def _place(text: str) -> Place:
    try:
        return Place.of(text)
    except ValueError as error:
        detail = "The cursor is the 'next' of an earlier answer; leave it out to begin anew."
        raise InvalidInput([FieldError("/cursor", detail)]) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What the body asks for."""

    resources: tuple[Resource, ...]
    named: bool
    to: datetime | None
    actor: str | None
    correlation: str | None
    since: datetime | None
    until: datetime | None
    reason: str | None
    dry_run: bool
    limit: int | None
    after: Place | None

    @classmethod
    def read(cls, values: Any, resources: Mapping[str, Resource]) -> _Order:
        """Raises `InvalidInput` naming each member that is not as it has to be."""
        if not isinstance(values, dict):
            raise InvalidInput([FieldError("", "The body is an object.")])
        faults = list(_unknown(values))
        reader = _Reader(values, faults)
        name = reader.text("model")
        if name is not None and name not in resources:
            known = ", ".join(sorted(resources))
            faults.append(FieldError("/model", f"There is no {name!r} here; there is {known}."))
        reason, cursor = reader.text("reason"), reader.text("cursor")
        try:
            kept = None if reason is None else checked_reason(reason)
        except ContextError as error:
            kept = None
            faults.append(FieldError("/reason", str(error)))
        order = cls(
            resources=tuple(resources.values()),
            named=name is not None,
            to=reader.time("to"),
            actor=reader.text("actor"),
            correlation=reader.text("correlation"),
            since=reader.time("since"),
            until=reader.time("until"),
            reason=kept,
            dry_run=reader.flag("dry_run"),
            limit=reader.limit("limit"),
            after=None if cursor is None else _place(cursor),
        )
        if faults:
            raise InvalidInput(faults)
        if name is not None:
            order = replace(order, resources=(resources[name],))
        return order


_MEMBERS = (
    *("model", "to", "actor", "correlation", "since", "until"),
    *("reason", "dry_run", "limit", "cursor"),
)


def _unknown(values: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in values:
        if name not in _MEMBERS:
            detail = f"There is no {name!r} here; there is {', '.join(_MEMBERS)}."
            yield FieldError(pointer([name]), detail)


class _Reader:
    """Reads the members of a body, JSON or form, and collects what is wrong with them."""

    def __init__(self, values: Mapping[str, Any], faults: list[FieldError]) -> None:
        self._values = values
        self._faults = faults

    def text(self, name: str) -> str | None:
        """A text that says something."""
        value = self._values.get(name)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self._fault(name, "is a text")
        return None

    def time(self, name: str) -> datetime | None:
        """A time, RFC 3339."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return read_time(text)
        except NotThisType:
            self._fault(name, "is a time such as 2026-05-01T12:00:00Z")
            return None

    def flag(self, name: str) -> bool:
        """True or false, false when it is not there."""
        value = self._values.get(name, False)
        if not (value is None or isinstance(value, bool) or value in ("true", "false")):
            self._fault(name, "is true or false")
        return value is True or value == "true"

    def limit(self, name: str) -> int | None:
        """A number of documents."""
        value = self._values.get(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 9:
            value = int(value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value is None or (is_number and 1 <= value <= MAX_LIMIT):
            return value
        self._fault(name, f"is a number from 1 to {MAX_LIMIT}")
        return None

    def _fault(self, name: str, what: str) -> None:
        shown = repr(self._values[name])[:80]
        self._faults.append(FieldError(f"/{name}", f"'{name}' {what}, not {shown}."))
