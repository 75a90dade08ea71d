"""What a form (`application/x-www-form-urlencoded`) may hold for a class: keys with dots, lists.

A form is text: its values are read by the types of their fields, so those are described.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mongoengine.fields import (
    DictField,
    DynamicField,
    EmbeddedDocumentField,
    FileField,
    GenericEmbeddedDocumentField,
    ListField,
)

from bzz.jsonvalues import keeps_text
from bzz.openapi.book import Book, Json
from bzz.openapi.models import Use, value
from bzz.openapi.values import scalar
from bzz.recording import Model, family
from bzz.schema import REFERENCES, Field, Schema, schema_of

_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_UNSET: Json = {"const": ""}
_TOLD = (
    "A dotted key sets one member of an embedded document, of a map or of a list (home.street, "
    "points.left, tags.0); an empty value unsets what is no text; a list or an object may be "
    "JSON text."
)


def form_of(book: Book, model: Model) -> Json:
    """The schema of a form for documents of a class, and of the classes that inherit from it."""
    return book.schema((model, "form"), f"{model.__name__}Form", lambda: _form(book, model))


def _form(book: Book, model: Model) -> Json:
    keys: Json = {}
    patterns: Json = {}
    dynamic = False
    classes = list(family(model))
    for each in classes:
        schema = schema_of(each)
        dynamic = dynamic or schema.dynamic
        for key, shape, is_pattern in _keys(book, schema, "", (each,)):
            (patterns if is_pattern else keys)[key] = shape
    if len(classes) > 1:
        keys["_cls"] = {"enum": [each._class_name for each in classes]}
    form: Json = {"type": "object", "description": _TOLD, "properties": keys}
    if patterns:
        form["patternProperties"] = patterns
    return {**form, "additionalProperties": {"anyOf": [_TEXT, _TEXTS]} if dynamic else False}


def _keys(
    book: Book, schema: Schema, before: str, within: tuple[Model, ...]
) -> Iterator[tuple[str, Json, bool]]:
    """The keys of a class's fields with the schemas of their values; some of them patterns."""
    for name, field in schema.fields.items():
        key = before + name
        if isinstance(field, EmbeddedDocumentField):
            yield key, _TEXT, False
            if field.document_type not in within:
                inner = schema_of(field.document_type)
                yield from _keys(book, inner, f"{key}.", (*within, field.document_type))
        elif isinstance(field, ListField):
            items: Json = {"type": "array", "items": _item(book, field.field)}
            yield key, items, False
            yield f"{key}[]", items, False
            yield rf"^{re.escape(key)}\.[0-9]+(\.[^.]+)*$", _TEXT, True
        elif isinstance(field, DictField | DynamicField | GenericEmbeddedDocumentField):
            yield key, _TEXT, False
            yield rf"^{re.escape(key)}(\.[^.]+)+$", _item(book, getattr(field, "field", None)), True
        elif not isinstance(field, FileField):
            yield key, _item(book, field), False


def _item(book: Book, field: Field | None) -> Json:
    if field is None or isinstance(field, DictField):
        return _TEXT
    if isinstance(field, REFERENCES):
        return value(book, field, Use.SHOWN) or _TEXT
    found = scalar(field, shown=False)
    if found is None or keeps_text(field):
        return found or _TEXT
    return {"anyOf": [found, _UNSET]}
