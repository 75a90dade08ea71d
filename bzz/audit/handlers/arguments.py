"""Edge: what the query string of a history route asks for, and the same in stored names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mongoengine import EmbeddedDocumentField, ListField

from bzz.audit.diff import parse, pointer
from bzz.audit.events import Operation
from bzz.audit.store import actor_query, letter_of
from bzz.errors import BadRequest
from bzz.jsontext import MAX_DEPTH
from bzz.jsonvalues import NotThisType, read_time, reader_of
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT
from bzz.schema import REFERENCES, Field, Schema, schema_of

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


def field_path(schema: Schema, field: str) -> tuple[str, ...]:
    try:
        path = parse(field) if field.startswith("/") else tuple(field.split("."))
    except ValueError as error:
        raise BadRequest(f"'field' is a name or a JSON Pointer; got {field!r}.") from error
    # No member of a document has a NUL in its name, or lies deeper; patterns allow neither.
    if not path or "\0" in field or len(path) > MAX_DEPTH or len(field) > _LONGEST_FIELD:
        raise BadRequest(f"'field' is the name of a member or its path; got {field[:80]!r}.")
    return tuple(str(each) for each in schema.stored(path))


def field_query(schema: Schema, path: tuple[str, ...]) -> dict[str, Any]:
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


def may_have(schema: Schema, names: Sequence[str | int]) -> bool:
    """Whether documents of a class may have a member of this path."""
    undeclared = schema.dynamic
    for length in range(1, len(names) + 1):
        field = schema.field_at(names[:length])
        if field is None:
            return undeclared
        undeclared = _takes_any(field)
    return True


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
        return read_time(text)
    except NotThisType as error:
        raise BadRequest(
            f"{name!r} is a time such as 2026-05-01T12:00:00Z; got {text!r}."
        ) from error
