"""Read the conditions of a query string, typed by the model.  Knows no database.

A filter is `field=value` or `field__operator=value`.  Where no field says the type (dynamic
members, maps of anything) the text decides: `5` is the number 5 or the text "5", `true` the boolean
or the text, and so on; equality looks for all of them, an order (`gt`, `lt` …) for the first, since
"every text above '5'" is never meant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bson import ObjectId
from mongoengine.fields import (
    CachedReferenceField,
    DictField,
    EmbeddedDocumentField,
    EnumField,
    FileField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    GeoJsonBaseField,
    GeoPointField,
    StringField,
)

from bzz.errors import BadRequest
from bzz.jsonvalues import INT64, NotThisType, keeps_text, read, read_datetime
from bzz.paths import Target, item_of, locate, quoted, split_path
from bzz.schema import REFERENCES, Field, Model, Schema, schema_of

MAX_PATTERN: Final = 1000

EQUALS: Final = "eq"
MANY_VALUES: Final = frozenset({"in", "nin", "all"})
ORDERS: Final = frozenset({"lt", "lte", "gt", "gte"})
PATTERNS: Final = frozenset(
    {
        "contains",
        "icontains",
        "startswith",
        "istartswith",
        "endswith",
        "iendswith",
        "iexact",
    }
)
OPERATORS: Final = (
    "ne",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "nin",
    "exists",
    "contains",
    "icontains",
    "startswith",
    "istartswith",
    "endswith",
    "iendswith",
    "iexact",
    "size",
    "all",
)

_TRUE: Final = frozenset({"true", "1"})
_FALSE: Final = frozenset({"false", "0"})
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:")
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_WHOLE = re.compile(r"[0-9]{1,18}")
_COMMA = re.compile(r"(?<!\\),")
# Stored as an object or a handle of MongoEngine's: no text of a URL equals one.
_WITHOUT_TEXT: Final = (
    DictField,
    EmbeddedDocumentField,
    FileField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    GeoJsonBaseField,
    GeoPointField,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One condition.

    Attributes
    ----------
    path: the stored path, dotted.
    operator: `eq`, or one of `OPERATORS`.
    values: what was given, as stored.  Each is a tuple of the values that it may stand for:
        one where a field types it, several where only the text could be asked.
    references: set when the path holds references to a class whose URLs do not show its
        primary key: the values are then ids of that class, still to be looked up.
    field: with `references`, the field that turns a primary key into what is stored.
    """

    path: str
    operator: str
    values: tuple[tuple[Any, ...], ...]
    references: Model | None = None
    field: Field | None = None


def parse_filters(
    schema: Schema, conditions: Mapping[str, list[str]], controls: Sequence[str]
) -> Iterator[Filter]:
    """Yield the filter of each name and value; a name may have several values.

    `controls` are the parameters that are no filters, for messages.  Raises `BadRequest`.
    """
    for name, texts in conditions.items():
        target, operator = _condition(schema, name, controls)
        _check_operator(target, operator)
        if operator in MANY_VALUES:
            parts = [part.replace("\\,", ",") for text in texts for part in _COMMA.split(text)]
            yield _filter(target, operator, parts)
        else:
            yield from (_filter(target, operator, [text]) for text in texts)


def _condition(schema: Schema, name: str, controls: Sequence[str]) -> tuple[Target, str]:
    names = split_path(name)
    *path, last = names
    if path and last in OPERATORS and not _declares(schema, names):
        return locate(schema, tuple(path)), last
    try:
        return locate(schema, names), EQUALS
    except BadRequest as error:
        others = f"Operators are {', '.join(OPERATORS)}." if path else ""
        others = others or f"Other parameters are {', '.join(controls)}."
        raise BadRequest(f"{error} {others}") from error


def _declares(schema: Schema, names: tuple[str, ...]) -> bool:
    """Whether the path ends on a field of an embedded class, called like an operator."""
    owner = item_of(schema.field_at(names[:-1]))
    if not isinstance(owner, EmbeddedDocumentField):
        return False
    return names[-1] in schema_of(owner.document_type).fields


def operators_of(target: Target) -> list[str]:
    """The operators that a condition on a target may have, equality (`EQUALS`) first."""
    return [each for each in (EQUALS, *OPERATORS) if _has_operator(target, each)]


def _has_operator(target: Target, operator: str) -> bool:
    referenced = target.item if isinstance(target.item, REFERENCES) else None
    if referenced is not None and operator in ORDERS and not _by_key(referenced):
        return False
    try:
        _check_operator(target, operator)
    except BadRequest:
        return False
    return True


def _check_operator(target: Target, operator: str) -> None:
    if operator == "exists" or target.untyped:
        return
    if operator == "size":
        _require(target.many, target, operator, "lists")
        return
    if isinstance(target.item, _WITHOUT_TEXT):
        raise BadRequest(
            f"{target.label} holds whole objects, which no text equals; ask for one of their"
            f" members ({target.label}__name=…) or for {target.label}__exists."
        )
    if operator == "all":
        _require(target.crosses_list, target, operator, "lists")
    if operator in PATTERNS:
        _require(isinstance(target.item, (StringField, EnumField)), target, operator, "text")


def _require(holds: bool, target: Target, operator: str, kind: str) -> None:
    if not holds:
        raise BadRequest(f"{operator} works on {kind}, and {target.label} has none.")


def _filter(target: Target, operator: str, texts: list[str]) -> Filter:
    path = ".".join(target.stored)
    if operator in _READERS:
        return Filter(
            path=path, operator=operator, values=((_READERS[operator](target, texts[0]),),)
        )
    if isinstance(target.item, REFERENCES):
        return _reference_filter(target, path, operator, texts)
    return Filter(
        path=path,
        operator=operator,
        values=tuple(_alternatives(target, text) for text in texts),
    )


def _reference_filter(target: Target, path: str, operator: str, texts: list[str]) -> Filter:
    field: Field = target.item
    referenced = schema_of(field.document_type)
    try:
        ids = [referenced.parse_id(text) for text in texts]
    except ValueError as error:
        raise BadRequest(f"{target.label}: {error}") from error
    if isinstance(field, CachedReferenceField):
        path = f"{path}._id"
    if _by_key(field):
        values = tuple((stored_reference(field, id_),) for id_ in ids)
        return Filter(path=path, operator=operator, values=values)
    if operator in ORDERS:
        raise BadRequest(f"{target.label} refers to other documents, which have no order here.")
    return Filter(
        path=path,
        operator=operator,
        values=tuple((id_,) for id_ in ids),
        references=field.document_type,
        field=field,
    )


def _by_key(field: Field) -> bool:
    """Whether URLs show what a reference field holds, the primary key of the referenced."""
    referenced = schema_of(field.document_type)
    return referenced.id_field == referenced.pk


def stored_reference(field: Field, pk: Any) -> Any:
    """Return what a reference field stores for the primary key of the document it refers to."""
    if isinstance(field, CachedReferenceField):
        target = schema_of(field.document_type)
        return target.fields[target.pk or "id"].to_mongo(pk)
    return field.to_mongo(pk)


def _read_exists(target: Target, text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise BadRequest(f"{target.label}__exists is true or false, not {quoted(text)}.")


def _read_size(target: Target, text: str) -> int:
    if _WHOLE.fullmatch(text) and int(text) < 2**31:
        return int(text)
    raise BadRequest(f"{target.label}__size is a whole number, not {quoted(text)}.")


def _read_pattern(target: Target, text: str) -> str:
    if len(text) > MAX_PATTERN or "\0" in text:
        raise BadRequest(
            f"The text to look for in {target.label} has at most {MAX_PATTERN} characters and no"
            " NUL."
        )
    return text


_READERS: Final[dict[str, Callable[[Target, str], Any]]] = {
    "exists": _read_exists,
    "size": _read_size,
    **dict.fromkeys(PATTERNS, _read_pattern),
}


def _alternatives(target: Target, text: str) -> tuple[Any, ...]:
    if target.untyped:
        return tuple(_guesses(text))
    field: Field = target.item
    if not text.strip() and not keeps_text(field):
        raise BadRequest(
            f"{target.label} needs a value; {target.label}__exists=false finds those without."
        )
    try:
        stored = field.to_mongo(read(field, text, text=True))
    except (NotThisType, ValueError, ArithmeticError) as error:
        raise BadRequest(f"{target.label} cannot be {quoted(text)}: {error}") from error
    return (stored,)


def _guesses(text: str) -> Iterator[Any]:
    """Yield what an untyped text may stand for, the likeliest first and itself last."""
    if text in ("true", "false"):
        yield text == "true"
    for guess in (_number_of(text), _moment_of(text)):
        if guess is not None:
            yield guess
    if _OBJECT_ID.fullmatch(text):
        yield ObjectId(text)
    yield text


def _number_of(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    if text.lstrip("-").isdecimal() and len(text) <= 20 and int(text) in INT64:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else None


def _moment_of(text: str) -> datetime | None:
    # A date alone is likelier to be kept as text.
    if not _MOMENT.match(text):
        return None
    try:
        return read_datetime(text)
    except NotThisType:
        return None
