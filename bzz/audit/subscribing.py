"""What a subscription declares: its consumer, which events it wants, how it is to be treated.

Knows no database and no threads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from mongoengine import Document

from bzz.audit.changed import field_path, field_query, may_have
from bzz.audit.events import Operation
from bzz.audit.store import letter_of
from bzz.audit.tracking import Tracked
from bzz.errors import BadRequest, SetupError
from bzz.jsonvalues import INT64
from bzz.recording import Model
from bzz.schema import Schema, schema_of

Consumer = Callable[..., Any]
Start: TypeAlias = str | int | datetime

FIRST, LATEST = "first", "latest"
DEADLINE = 30.0
"""Seconds that a consumer has for an event."""
RETRIES = 8
"""How often an event is tried again before it is parked."""
MOST_AT_ONCE = 100
"""Events that may share a transaction."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,99})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a consumer is to be treated.

    Attributes
    ----------
    deadline: seconds that it has for an event.
    retries: how often an event that failed is tried again before it is parked.
    batch: how many events may share a transaction of the checkpoint.
    replayable: it may be run over the history again.
    """

    deadline: float = DEADLINE
    retries: int = RETRIES
    batch: int = 1
    replayable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Declaration:
    """One subscription, as it was declared.

    Attributes
    ----------
    name: of the subscription, unique in its database.
    consumer: called with an event and its context.
    models: the classes whose events it wants; none for all.
    operations: what was done; none for all.
    fields: names or JSON Pointers of what was changed; none for all.
    start: where it begins, when it begins for the first time.
    options: how the consumer is to be treated.
    """

    name: str
    consumer: Consumer
    models: tuple[Model, ...] = ()
    operations: tuple[Operation, ...] = ()
    fields: tuple[str, ...] = ()
    start: Start = FIRST
    options: Options = Options()

    def query(self, tracked: Sequence[Tracked]) -> dict[str, Any]:
        """The events that it wants, in stored names, of models that are tracked so.

        A class shares a stream with those that it inherits from: of the events that are found
        some may be of another class.  Raises `SetupError` for a field that no model has.
        """
        conditions: list[dict[str, Any]] = []
        if self.operations:
            conditions.append({"o": {"$in": [letter_of(each) for each in self.operations]}})
        if self.fields:
            conditions.append({"$or": self._changed(tracked)})
        else:
            conditions.append({"s": {"$in": sorted({each.stream for each in tracked})}})
        return {"$and": conditions}

    def _changed(self, tracked: Sequence[Tracked]) -> list[dict[str, Any]]:
        found, known = list[dict[str, Any]](), set[str]()
        for each in tracked:
            schema = schema_of(each.model)
            for field in self.fields:
                path = self._path(schema, field)
                if may_have(schema, schema.names(path)):
                    known.add(field)
                    found.append({"s": each.stream, **field_query(schema, path)})
        for field in self.fields:
            if field not in known:
                names = ", ".join(each.model.__name__ for each in tracked)
                raise self._wrong(f"wants the field {field!r}, which none of {names} has")
        return found

    def _path(self, schema: Schema, field: str) -> tuple[str, ...]:
        try:
            return field_path(schema, field)
        except BadRequest as error:
            raise self._wrong(f"wants the field {field!r}, which is no name and no path") from error

    def _wrong(self, what: str) -> SetupError:
        return SetupError(f"The subscription {self.name!r} {what}.")


def declared(
    name: str,
    consumer: Consumer,
    *,
    model: Model | Iterable[Model] | None,
    operations: Iterable[str],
    fields: Iterable[str],
    start: Start,
    options: Options,
) -> Declaration:
    """Read what was given for a subscription.  Raises `SetupError`."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise SetupError(
            f"A subscription has a name of letters, digits, '_', '-' and '.', at most 100, "
            f"not {name!r}."
        )
    if not callable(consumer):
        raise SetupError(
            f"The subscription {name!r} needs a function of (event, ctx), not {consumer!r}."
        )
    _check_options(name, options)
    return Declaration(
        name=name,
        consumer=consumer,
        models=_models(name, model),
        operations=_operations(name, _several(operations)),
        fields=_fields(name, _several(fields)),
        start=checked_start(name, start),
        options=options,
    )


def checked_start(name: str, start: Start) -> Start:
    """Where a subscription begins, as it was given.  Raises `SetupError`."""
    if isinstance(start, datetime):
        if start.tzinfo is None:
            raise SetupError(
                f"The start of the subscription {name!r} is a time without a zone; "
                "say which: datetime(…, tzinfo=UTC)."
            )
        return start
    is_position = isinstance(start, int) and not isinstance(start, bool)
    if start in (FIRST, LATEST) or (is_position and 1 <= int(start) and int(start) in INT64):
        return start
    raise SetupError(
        f"The subscription {name!r} starts with 'first', 'latest', a position from 1 or a "
        f"time, not {start!r}."
    )


def _models(name: str, given: Model | Iterable[Model] | None) -> tuple[Model, ...]:
    if given is None:
        return ()
    found = (given,) if isinstance(given, type) else tuple(given)
    for each in found:
        if not (isinstance(each, type) and issubclass(each, Document)):
            raise SetupError(
                f"The subscription {name!r} wants events of {each!r}, which is no Document class."
            )
    if not found:
        raise SetupError(f"The subscription {name!r} names no model; leave model= out for all.")
    return found


def _operations(name: str, given: Iterable[str]) -> tuple[Operation, ...]:
    try:
        return tuple(Operation(each) for each in given)
    except ValueError as error:
        known = ", ".join(each.value for each in Operation)
        raise SetupError(
            f"The subscription {name!r} wants an operation that is none: {error}; "
            f"there are {known}."
        ) from error


def _fields(name: str, given: Iterable[str]) -> tuple[str, ...]:
    found = tuple(given)
    if not all(isinstance(each, str) for each in found):
        raise SetupError(f"The fields of the subscription {name!r} are names or JSON Pointers.")
    return found


def _several(given: Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given


def _check_options(name: str, options: Options) -> None:
    if not 0 < options.deadline < float("inf"):
        raise SetupError(
            f"The deadline of the subscription {name!r} is a number of seconds, "
            f"not {options.deadline!r}."
        )
    if not 0 <= options.retries <= 1000:
        raise SetupError(
            f"The subscription {name!r} tries an event again 0 to 1000 times, "
            f"not {options.retries!r}."
        )
    if not 1 <= options.batch <= MOST_AT_ONCE:
        raise SetupError(
            f"The subscription {name!r} takes 1 to {MOST_AT_ONCE} events at once, "
            f"not {options.batch!r}."
        )
