"""Which events changed a field: as a query in stored names, for whoever asks for such events."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mongoengine import EmbeddedDocumentField, ListField

from bzz.audit.diff import parse, pointer
from bzz.errors import BadRequest
from bzz.jsontext import MAX_DEPTH
from bzz.jsonvalues import reader_of
from bzz.schema import REFERENCES, Field, Schema, schema_of


def field_path(schema: Schema, field: str) -> tuple[str, ...]:
    """The stored path of a field: a name, dotted, or a JSON Pointer.  Raises `BadRequest`."""
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


def _takes_any(field: Field) -> bool:
    """Whether a value of the field may have members that nothing declares."""
    while isinstance(field, ListField):
        field = field.field
    if isinstance(field, EmbeddedDocumentField):
        return bool(schema_of(field.document_type).dynamic)
    return not isinstance(field, REFERENCES) and (field is None or reader_of(field) is None)
