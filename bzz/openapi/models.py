"""A Document class as JSON Schemas: how the API shows its documents, and what it accepts of them.

What is described is a document that fits its model.  One that was stored past it, or by an
older model, is shown as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from mongoengine import Document, EmbeddedDocument
from mongoengine.fields import (
    DictField,
    EmbeddedDocumentField,
    FileField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    ListField,
    SequenceField,
)

from bzz.openapi.book import Book, Json
from bzz.openapi.values import choices_of, either, nullable, scalar
from bzz.recording import Model, family
from bzz.schema import REFERENCES, Field, Schema, schema_of


class Use(Enum):
    """What a schema of a class is for."""

    SHOWN = "shown"  # an answer
    PART = "part"  # an answer that has the members alone that were asked for
    NEW = "new"  # the body of a POST; an embedded document that is put in place as a whole
    CHANGES = "changes"  # the body of a PUT: what it names is set
    PATCH = "patch"  # a JSON Merge Patch: null removes, objects merge

    @property
    def shown(self) -> bool:
        """Whether it is for what the API shows, not for what it accepts."""
        return self in (Use.SHOWN, Use.PART)


_NAMES = {
    Use.SHOWN: "{}",
    Use.PART: "{}Part",
    Use.NEW: "New{}",
    Use.CHANGES: "{}Changes",
    Use.PATCH: "{}Patch",
}
_INNER = {Use.CHANGES: Use.NEW}
_OWN_FORM = "In a form of the model's own."


def documents(book: Book, model: Model, use: Use) -> Json:
    """The schema of the documents of a class, and of all classes that inherit from it."""
    if is_free(model) and use.shown:
        return {"description": _OWN_FORM}
    return either(_of_class(book, each, use, model) for each in _concrete(model))


def is_free(model: Model) -> bool:
    """Whether documents of the class are shown as their own `to_dict()` wants it."""
    return any(callable(getattr(each, "to_dict", None)) for each in family(model))


def id_of(book: Book, schema: Schema) -> Json:
    """The schema of the id that URLs use, as it is shown."""
    return _shown_id(book, schema, str(schema.id_field))


def is_required(field: Field) -> bool:
    """Whether a new document must be sent a value for the field."""
    if isinstance(field, SequenceField) or not field.required:
        return False
    # Of a list and a map MongoEngine means with it that they are not empty.
    return field.default in (None, list, dict)


def value(book: Book, field: Field | None, use: Use) -> Json:
    """The schema of one value of a field, null aside; of any type where no field says it."""
    if field is None:
        return {}
    found = scalar(field, shown=use.shown)
    if found is not None:
        return found
    make = next((_SHAPES[kind] for kind in type(field).__mro__ if kind in _SHAPES), None)
    return {} if make is None else make(book, field, use)


def _concrete(model: Model) -> Iterator[Model]:
    return (each for each in family(model) if not each._meta.get("abstract"))


def _of_class(book: Book, model: Model, use: Use, declared: Model) -> Json:
    name = _NAMES[use].format(model.__name__)
    shape = book.schema((model, use), name, lambda: _shape(book, model, use))
    if use is Use.NEW and model is not declared:
        # Without it the body would make a document of the class that the route serves.
        return {"allOf": [shape, {"required": ["_cls"]}]}
    return shape


def _shape(book: Book, model: Model, use: Use) -> Json:
    schema = schema_of(model)
    members = _class_member(model, use)
    if use.shown:
        members |= _shown_members(book, schema, use)
    else:
        members |= _sent_members(book, schema, use)
    shape: Json = {"type": "object", "properties": members}
    shape |= _required(schema, members, use)
    if not schema.dynamic:
        return {**shape, "additionalProperties": False}
    if not use.shown:
        # What a document cannot keep: MongoEngine's own names, and paths.
        shape["propertyNames"] = {"pattern": "^[^_$.\\u0000][^.\\u0000]*$|^_cls$"}
    return shape


def _class_member(model: Model, use: Use) -> Json:
    """`_cls`, by which a document says which class of a family it is."""
    embedded = issubclass(model, EmbeddedDocument)
    if use.shown and not embedded and not model._superclasses:
        return {}
    return {"_cls": {"const": model._class_name}}


def _shown_members(book: Book, schema: Schema, use: Use) -> Json:
    members: Json = {}
    if (issubclass(schema.model, Document) or schema.named_id) and schema.id_field:
        members["id"] = _shown_id(book, schema, schema.real_name("id"))
    for name, field in schema.fields.items():
        if not isinstance(field, FileField) and name not in members:
            shown = value(book, field, use)
            members[name] = shown if _never_null(schema, name) else nullable(shown)
    return members


def _shown_id(book: Book, schema: Schema, name: str) -> Json:
    field = schema.fields[name]
    if isinstance(field, REFERENCES):
        target = schema_of(field.document_type)
        return _shown_id(book, target, str(target.pk))
    return value(book, field, Use.SHOWN)


def _never_null(schema: Schema, name: str) -> bool:
    field = schema.fields[name]
    if name == schema.pk or field.required:
        return True
    # None set on a field with a default is that default, which a function may make None.
    made = callable(field.default) and field.default not in (list, dict)
    return field.default is not None and not made and not field.null


def _sent_members(book: Book, schema: Schema, use: Use) -> Json:
    members: Json = {}
    for name in _sent_names(schema):
        field = schema.fields[schema.real_name(name) if name == "id" else name]
        if isinstance(field, FileField):
            continue
        sent = value(book, field, use)
        unset = use is Use.PATCH or not is_required(field) or _is_own_id(schema, name, use)
        members[name] = nullable(sent) if unset else sent
    return members


def _sent_names(schema: Schema) -> list[str]:
    aliased = "id" not in schema.fields and schema.real_name("id") in schema.fields
    return ["id", *schema.fields] if aliased else list(schema.fields)


def _is_own_id(schema: Schema, name: str, use: Use) -> bool:
    """Whether it is the id of the document that is changed, which may be sent, or null for it."""
    return use is not Use.NEW and name in ("id", schema.pk)


def _required(schema: Schema, members: Json, use: Use) -> Json:
    if use is Use.SHOWN:
        optional = {"_cls"} if issubclass(schema.model, EmbeddedDocument) else set()
        return {"required": [name for name in members if name not in optional]}
    if use is not Use.NEW:
        return {}
    required = [name for name, field in schema.fields.items() if is_required(field)]
    own = schema.real_name("id")
    if "id" in members and own != "id" and own in required:
        required.remove(own)
        return {"required": required, "anyOf": [{"required": [own]}, {"required": ["id"]}]}
    return {"required": required} if required else {}


# What holds values


def _embedded(book: Book, field: Field, use: Use) -> Json:
    return documents(book, field.document_type, _INNER.get(use, use))


def _any_embedded(book: Book, field: Field, use: Use) -> Json:
    models = [each for each in field.choices or () if isinstance(each, type)]
    if not models:
        return {"type": "object", "required": ["_cls"]}
    inner = _INNER.get(use, use)
    shapes = either(documents(book, each, inner) for each in models)
    return shapes if use is Use.PATCH else {"allOf": [shapes, {"required": ["_cls"]}]}


def _list(book: Book, field: Field, use: Use) -> Json:
    # A merge patch puts a list in place as a whole, with what it holds.
    inner = Use.NEW if use is Use.PATCH else use
    shape: Json = {"type": "array", "items": value(book, field.field, inner)}
    if use.shown:
        return shape
    if field.required:
        shape["minItems"] = 1
    return shape if field.max_length is None else {**shape, "maxItems": field.max_length}


def _map(book: Book, field: Field, use: Use) -> Json:
    inner = value(book, field.field, use)
    shape: Json = {"type": "object", "additionalProperties": inner}
    if use.shown:
        return shape
    if use is Use.PATCH:
        shape["additionalProperties"] = nullable(inner)
    elif field.required:
        shape["minProperties"] = 1
    shape["propertyNames"] = {"pattern": "^(?!\\$|_ref$|_cls$)[^\\u0000]*$"}
    return shape


def _reference(book: Book, field: Field, use: Use) -> Json:
    target = schema_of(field.document_type)
    if target.id_field is None:
        return {}
    key = id_of(book, target)
    if use.shown:
        return key
    names = dict.fromkeys(("id", target.id_field))
    one = [
        {
            "type": "object",
            "properties": {name: key},
            "required": [name],
            "additionalProperties": False,
        }
        for name in names
    ]
    return either([key, *one])


def _any_reference(book: Book, field: Field, use: Use) -> Json:
    names = [each for each in choices_of(field) if isinstance(each, str)]
    model = {"enum": names} if names else {"type": "string"}
    return {
        "type": "object",
        "properties": {"model": model, "id": {}},
        "required": ["model", "id"],
        "additionalProperties": False,
    }


_SHAPES: dict[type, Callable[[Book, Field, Use], Json]] = {
    EmbeddedDocumentField: _embedded,
    GenericEmbeddedDocumentField: _any_embedded,
    ListField: _list,
    DictField: _map,
    **dict.fromkeys(REFERENCES, _reference),
    GenericReferenceField: _any_reference,
}
