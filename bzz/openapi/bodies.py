"""Bodies of requests, in all formats that are read."""

from __future__ import annotations

from bzz.body import FORM, JSON, JSON_PATCH, MERGE_PATCH
from bzz.openapi.book import Book, Json
from bzz.openapi.forms import form_of
from bzz.openapi.models import Use, documents, id_of
from bzz.openapi.places import Place
from bzz.openapi.values import either


def new(book: Book, place: Place) -> Json:
    """What a POST sends: a new item, or ids of documents that a reference is to lead to."""
    shape = documents(book, place.schema.model, Use.NEW)
    if place.nested and not place.embedded:
        shape = either([shape, *_existing(book, place)])
    return _body({JSON: shape, FORM: form_of(book, place.schema.model)}, required=False)


def changes(book: Book, place: Place) -> Json:
    """What a PUT sends."""
    model = place.schema.model
    shape = documents(book, model, Use.CHANGES)
    return _body({JSON: shape, FORM: form_of(book, model)}, required=False)


def patch(book: Book, place: Place) -> Json:
    """What a PATCH sends."""
    merge = documents(book, place.schema.model, Use.PATCH)
    content = {MERGE_PATCH: merge, JSON: merge, JSON_PATCH: json_patch(book)}
    return _body(content, required=True)


def json_patch(book: Book) -> Json:
    """A JSON Patch (RFC 6902)."""
    return book.schema("JsonPatch", "JsonPatch", lambda: _JSON_PATCH)


def order(shape: Json) -> Json:
    """What a POST sends that asks for something to be done."""
    return _body({JSON: shape, FORM: shape}, required=False)


def _body(content: dict[str, Json], *, required: bool) -> Json:
    media = {media_type: {"schema": shape} for media_type, shape in content.items()}
    return {"required": required, "content": media}


def _existing(book: Book, place: Place) -> list[Json]:
    relation = place.relation
    key = id_of(book, place.schema)
    named = {"type": "array", "items": key, "minItems": 1} if place.is_list else key
    members = {"id": key} if relation is None else {"id": key, relation.name: named}
    return [
        {
            "type": "object",
            "properties": {name: shape},
            "required": [name],
            "additionalProperties": False,
        }
        for name, shape in members.items()
    ]


def _operation(*names: str, **members: Json) -> Json:
    shapes: Json = {"op": {"enum": list(names)}, "path": _POINTER, **members}
    return {"type": "object", "properties": shapes, "required": list(shapes)}


_POINTER: Json = {"type": "string", "format": "json-pointer", "pattern": "^(/([^~/]|~[01])*)*$"}
_JSON_PATCH: Json = {
    "type": "array",
    "description": "Operations (RFC 6902), all of which are done, or none.",
    "maxItems": 10_000,
    "items": {
        "anyOf": [
            _operation("add", "replace", "test", value={}),
            _operation("remove"),
            _operation("move", "copy", **{"from": _POINTER}),
        ]
    },
}
