"""The parameters of paths, query strings and headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mongoengine.fields import (
    DictField,
    DynamicField,
    EmbeddedDocumentField,
    FileField,
    GenericEmbeddedDocumentField,
)

from bzz.filters import EQUALS, MANY_VALUES, MAX_PATTERN, PATTERNS, operators_of
from bzz.openapi.book import Book, Json
from bzz.openapi.models import id_of, is_free
from bzz.openapi.values import scalar
from bzz.paths import item_of, locate
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT, MAX_SORT_FIELDS
from bzz.recording import Model
from bzz.schema import REFERENCES, Schema, schema_of

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
_SIZE: Json = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}
_TAGS: Json = {
    "type": "string",
    "pattern": '^\\s*(\\*|(W/)?"[^"]*"(\\s*,\\s*(W/)?"[^"]*")*)\\s*$',
    "examples": ['"7"'],
}


# Of a path


def id_parameter(book: Book, name: str, schema: Schema) -> Json:
    """The id of a document in a path; what cannot be one is answered with 404."""
    shape = id_of(book, schema)
    if shape.get("type") == "string" and "pattern" not in shape:
        shape = {**shape, "minLength": 1, "not": {"enum": [".", ".."]}}
    return {"name": name, "in": "path", "required": True, "schema": shape}


# Of a query string


def query(name: str, schema: Json, description: str = "", **more: Any) -> Json:
    """A parameter of a query string."""
    told = {"description": description} if description else {}
    return {"name": name, "in": "query", **told, "schema": schema, **more}


def listed(name: str, schema: Json, description: str = "") -> Json:
    """A parameter of a query string that takes several values with commas between them."""
    return query(name, schema, description, style="form", explode=False)


def limit(book: Book) -> Json:
    """How many items a page has."""
    return book.parameter("limit", lambda: query("limit", _SIZE, "Items on a page."))


def paging(book: Book) -> list[Json]:
    """How all lists but histories are paged."""
    cursor = "Where the last page ended, from its `next`."
    page = "Number of the page, from 1; one past the end is the last."
    return [
        limit(book),
        book.parameter("cursor", lambda: query("cursor", _TEXT, cursor)),
        book.parameter("page", lambda: query("page", {"type": "integer", "minimum": 1}, page)),
        book.parameter("per_page", lambda: query("per_page", _SIZE, "With `page`: its items.")),
    ]


def fields(schema: Schema) -> Json:
    """Which members the items show."""
    names = [] if is_free(schema.model) else [".".join(path) for path in _paths(schema)]
    items = {"enum": [*dict.fromkeys(["id", *names])]} if names and not _is_open(schema) else _TEXT
    return listed("fields", _several(items), "The members that the items show.")


def sort(schema: Schema) -> Json:
    """What the list is sorted by."""
    names = [".".join(path) for path in _paths(schema)]
    each = {"enum": [sign + name for name in names for sign in ("", "-")]}
    items = _TEXT if _is_open(schema) else each
    shape = {**_several(items), "maxItems": MAX_SORT_FIELDS, "uniqueItems": True}
    return listed("sort", shape, "The fields to sort by; the largest first with a minus.")


def filters(book: Book, schema: Schema) -> Iterator[Json]:
    """The conditions that a list takes: each field with each operator that works on it."""
    for path in _paths(schema):
        target = locate(schema, path)
        for operator in operators_of(target):
            name = "__".join(path if operator == EQUALS else (*path, operator))
            if operator in MANY_VALUES:
                yield listed(name, _several(_asked(book, target.item)))
            else:
                yield query(name, _ARGUMENTS.get(operator) or _asked(book, target.item))
    if _is_open(schema):
        yield query(
            "filters",
            {"type": "object", "additionalProperties": _TEXT},
            "Conditions on members that no field declares: name or name__operator.",
            style="form",
            explode=True,
        )


def _several(items: Json) -> Json:
    return {"type": "array", "items": items, "minItems": 1}


def _asked(book: Book, field: Any) -> Json:
    """One value of a condition, as text: read by the type of its field."""
    if isinstance(field, REFERENCES):
        target = schema_of(field.document_type)
        return id_of(book, target) if target.id_field else _TEXT
    found = None if field is None else scalar(field, shown=True)
    return _TEXT if found is None else found


_PATTERN: Json = {"type": "string", "maxLength": MAX_PATTERN}
_ARGUMENTS: Mapping[str, Json] = {
    "exists": {"type": "boolean"},
    "size": _COUNT,
    **dict.fromkeys(PATTERNS, _PATTERN),
}


def _paths(
    schema: Schema, before: tuple[str, ...] = (), within: tuple[Model, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """The paths of a class's own and embedded fields; a class is entered once on the way."""
    for name, field in schema.fields.items():
        if isinstance(field, FileField):
            continue
        path = (*before, name)
        yield path
        item = item_of(field)
        if isinstance(item, EmbeddedDocumentField) and item.document_type not in within:
            model = item.document_type
            yield from _paths(schema_of(model), path, (*within, model))


def _is_open(schema: Schema) -> bool:
    """Whether documents may have members that no field declares."""
    found = [item_of(schema.field_at(path)) for path in _paths(schema)]
    return schema.dynamic or any(
        type(each) is DynamicField
        or isinstance(each, DictField | GenericEmbeddedDocumentField)
        or (isinstance(each, EmbeddedDocumentField) and schema_of(each.document_type).dynamic)
        for each in found
    )


# Of headers


def header(name: str, description: str, schema: Json | None = None, *, required: bool) -> Json:
    """A header field of a request."""
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": schema or _TEXT,
    }


def if_match(book: Book, *, required: bool) -> Json:
    """The precondition of a change."""
    told = "The version that is to be changed, as the ETag of the last read; or *."
    name = "IfMatchRequired" if required else "IfMatch"
    return book.parameter(name, lambda: header("If-Match", told, _TAGS, required=required))


def if_none_match(book: Book) -> Json:
    """The precondition of a read."""
    told = "The version that is known already, as its ETag; 304 when it still is the newest."
    return book.parameter(
        "IfNoneMatch", lambda: header("If-None-Match", told, _TAGS, required=False)
    )


def of_recorders(book: Book, headers: Iterable[tuple[str, str]]) -> list[Json]:
    """What recorders read from a write's header fields; `headers` are names and sentences."""
    return [
        book.parameter(name, lambda name=name, told=told: header(name, told, required=False))  # type: ignore[misc]
        for name, told in headers
    ]
