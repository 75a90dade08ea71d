"""Which events are asked for, in the words of a query string, and the same in stored names.

Knows nothing of who asks: a request, or a command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bzz.audit.changed import field_path, field_query, may_have
from bzz.audit.events import Operation
from bzz.audit.store import actor_query, letter_of
from bzz.audit.tracking import Tracked
from bzz.errors import BadRequest
from bzz.jsonvalues import NotThisType, read_time
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT
from bzz.schema import Schema, schema_of

if TYPE_CHECKING:
    from bzz.audit.history import History

EVENT_FILTERS = (
    *("limit", "before", "after", "order", "since", "until"),
    *("operation", "actor", "field", "include"),
)
"""The parameters of a list of events."""
LIVE_FILTERS = ("after", "order", "since", "until", "operation", "actor", "field")
"""And of its live stream."""


@dataclass(frozen=True, slots=True)
class Asked:
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
    include: tuple[str, ...] = ()

    @classmethod
    def read(cls, arguments: dict[str, str], schema: Schema) -> Asked:
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
            include=_included(arguments.get("include")),
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
            conditions.append(actor_query(self.actor))
        if self.field is not None:
            conditions.append(field_query(schema, field_path(schema, self.field)))
        return {"$and": conditions} if conditions else {}


def query_across(asked: Asked, tracked: Iterable[Tracked]) -> dict[str, Any]:
    """What is asked for of the events of some models, without its bounds, in stored names.

    Raises `BadRequest` for a field that none of them can have.
    """
    tracked = list(tracked)
    plain = replace(asked, before=None, after=None, field=None)
    conditions = [plain.query(schema_of(tracked[0].model))]
    if asked.field is None:
        conditions.append({"s": {"$in": sorted({each.stream for each in tracked})}})
    else:
        conditions.append({"$or": list(_changed(asked.field, tracked))})
    return {"$and": conditions}


def _changed(field: str, tracked: Iterable[Tracked]) -> Iterator[dict[str, Any]]:
    """Events that changed a field, of each model that may have it."""
    known = False
    for each in tracked:
        schema = schema_of(each.model)
        path = field_path(schema, field)
        if may_have(schema, schema.names(path)):
            known = True
            yield {"s": each.stream, **field_query(schema, path)}
    if not known:
        raise BadRequest(f"No model here has a field {field!r}.")


def _operations(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        return tuple(letter_of(each.strip()) for each in text.split(","))
    except ValueError as error:
        known = ", ".join(operation.value for operation in Operation)
        raise BadRequest(f"'operation' is one of {known}; got {text!r}.") from error


def _included(text: str | None) -> tuple[str, ...]:
    found = () if text is None else tuple(each.strip() for each in text.split(","))
    if not set(found) <= {"state", "patch"}:
        raise BadRequest(f"'include' is state, patch or both with a comma; got {text!r}.")
    return found


def check_field(history: History, schema: Schema, field: str) -> None:
    """Raise `BadRequest` for a field that no event of a history can be about."""
    path = field_path(schema, field)
    if may_have(schema, schema.names(path)):
        return
    for _ in history.versions(query=field_query(schema, path), limit=1):
        return
    raise BadRequest(
        f"{schema.model.__name__} has no field {field!r}, and never had in this history."
    )


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
        return read_time(text)
    except NotThisType as error:
        raise BadRequest(
            f"{name!r} is a time such as 2026-05-01T12:00:00Z; got {text!r}."
        ) from error
