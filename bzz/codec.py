"""Documents to plain JSON-ready values; `bzz.decoding` is the way back.

Reads a document's own data, so that nothing is dereferenced by looking.  The database is asked
only for the ids of references whose class names another id field than the primary key; so this
blocks, and belongs into the thread that works with the database.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

import bson
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from mongoengine import Document, EmbeddedDocument
from mongoengine.base import GeoJsonBaseField, LazyReference
from mongoengine.fields import (
    ComplexDateTimeField,
    DictField,
    DynamicField,
    EmbeddedDocumentField,
    FileField,
    GenericReferenceField,
    ListField,
)

from bzz.decoding import decode, decode_members
from bzz.jsonvalues import decimal128, show, to_milliseconds
from bzz.schema import REFERENCES, Field, Schema, registered, schema_of

__all__ = ["decode", "decode_members", "members", "plain", "public_id", "represent"]

Instance: TypeAlias = Any

_ANY = DynamicField()


def represent(document: Instance) -> Any:
    """Return a document, or an embedded one, as JSON-ready values.

    What the model's own `to_dict()` returns, if it has one; else `id` (the id that URLs use)
    and each field under its Python name, null where unset, and the members that only this
    document has.  A document of a class that inherits from another names its class in `_cls`.
    """
    if callable(getattr(document, "to_dict", None)):
        return _shown(document)
    return {**_class_shown(document), **_shown(document)}


def members(document: Instance) -> dict[str, Any]:
    """Return a document's content as BSON values under Python names, for patches.

    The same members as `represent` shows without a `to_dict()`, not yet in their JSON form:
    dicts for embedded documents, ids for references.  `decode` takes all of them.  Nothing
    in it is shared with the document.
    """
    return {**_class_shown(document), **_members(document)}


def plain(value: Any) -> Any:
    """Return any BSON or Python value in its JSON form; documents within it as `represent`.

    A referenced document is shown as its id.  Raises `TypeError` for a type without a form.
    """
    return show(_any_value(value, _shown))


def public_id(document: Instance) -> Any:
    """Return the id that URLs use for a document, typed; None if it has none."""
    schema: Schema = schema_of(type(document))
    return None if schema.id_field is None else _own_value(schema, document, schema.id_field)


_Nested: TypeAlias = Callable[[Instance], Any]


def _shown(document: Instance) -> Any:
    own = getattr(document, "to_dict", None)
    return plain(own()) if callable(own) else show(_content(document, _shown))


def _members(document: Instance) -> dict[str, Any]:
    return _content(document, _members)


def _class_shown(document: Instance) -> dict[str, str]:
    """The class of a document that inherits: without it a reader could not tell which it is."""
    return {"_cls": document._class_name} if document._superclasses else {}


def _content(document: Instance, nested: _Nested) -> dict[str, Any]:
    schema: Schema = schema_of(type(document))
    content: dict[str, Any] = {}
    if (isinstance(document, Document) or schema.named_id) and schema.id_field:
        content["id"] = _own_value(schema, document, schema.real_name("id"))
    for name, field in chain(schema.fields.items(), document._dynamic_fields.items()):
        value = document._data.get(name)
        if isinstance(field, FileField) or name in content:
            continue
        if value is None and name not in schema.fields and not field.null:
            continue  # a dynamic member that was deleted
        content[name] = _value(field, value, nested)
    return content


def _own_value(schema: Schema, document: Instance, name: str) -> Any:
    return _value(schema.fields[name], document._data.get(name), _members)


def _value(field: Field, value: Any, nested: _Nested) -> Any:
    """One value of a field: dicts, lists and BSON's scalars, with documents made `nested`."""
    if value is None or (type(value) in _UNCHANGED and _keeps_scalars(field.__class__)):
        return value
    if isinstance(value, EmbeddedDocument):
        return _embedded(field, value, nested)
    if isinstance(field, ListField) and isinstance(value, (list, tuple)):
        return [_value(field.field or _ANY, item, nested) for item in value]
    if isinstance(field, DictField) and isinstance(value, Mapping):
        inner = field.field or _ANY
        return {str(key): _value(inner, item, nested) for key, item in value.items()}
    if isinstance(field, REFERENCES):
        return _reference_id(schema_of(field.document_type), value)
    if isinstance(field, GenericReferenceField):
        return _generic_reference(value)
    if isinstance(field, GeoJsonBaseField):
        return _any_value(field.to_mongo(value), nested)
    if isinstance(field, ComplexDateTimeField):
        return field.to_python(value)
    if type(value) in _SCALARS or isinstance(field, _UNTYPED):
        return _any_value(value, nested)
    # An enum, or a value that only the user's own field can write.
    return _any_value(field.to_mongo(value), nested)


@cache
def _keeps_scalars(kind: type) -> bool:
    """Whether fields of this class hold a scalar as it is: for most values all there is to ask."""
    return not issubclass(kind, _READ_SCALARS)


_READ_SCALARS = (*REFERENCES, GenericReferenceField, GeoJsonBaseField, ComplexDateTimeField)

# Here too stands what was stored past the model: text where a list should be.
_UNTYPED = (DynamicField, ListField, DictField, EmbeddedDocumentField)


_SCALARS = frozenset(
    {str, int, float, bool, bytes, decimal.Decimal, datetime.datetime, datetime.date}
    | {bson.ObjectId, bson.Int64, bson.Binary, Decimal128, DatetimeMS, uuid.UUID}
)

_UNCHANGED = _SCALARS - {decimal.Decimal, datetime.datetime}


def _any_value(value: Any, nested: _Nested) -> Any:
    """A value that no field describes."""
    if type(value) in _UNCHANGED:
        return value
    if isinstance(value, datetime.datetime):
        return to_milliseconds(value)
    if isinstance(value, decimal.Decimal):
        return decimal128(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _any_value(item, nested) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_any_value(item, nested) for item in value]
    if isinstance(value, EmbeddedDocument):
        return _embedded(_ANY, value, nested)
    if isinstance(value, Document):
        return public_id(value)
    if isinstance(value, LazyReference):
        return _reference_id(schema_of(value.document_type), value)
    return value


def _embedded(field: Field, value: Instance, nested: _Nested) -> Any:
    content = nested(value)
    declared = field.document_type if isinstance(field, EmbeddedDocumentField) else None
    own = nested is _shown and callable(getattr(value, "to_dict", None))
    if own or type(value) is declared:
        return content
    # Without it a reader could not tell, nor send back, what class this is.
    return {"_cls": value._class_name, **content}


def _reference_id(schema: Schema, value: Any) -> Any:
    """The public id of what a reference field holds: a document, a DBRef, a cache or a key."""
    if isinstance(value, Document):
        return public_id(value)
    if isinstance(value, bson.DBRef):
        value = value.id
    elif isinstance(value, Mapping) and "_id" in value:
        value = value["_id"]
    if schema.pk is None or schema.id_field in (None, schema.pk):
        return value
    stored = schema.stored_of(schema.id_field)
    found = schema.model._get_collection().find_one({"_id": value}, {stored: 1})
    return value if found is None else found.get(stored)


def _generic_reference(value: Any) -> dict[str, Any]:
    if isinstance(value, Document):
        return {"model": value._class_name, "id": public_id(value)}
    if isinstance(value, LazyReference):
        model, key = value.document_type, value.id
    elif isinstance(value, Mapping) and isinstance(value.get("_ref"), bson.DBRef):
        model, key = registered(value.get("_cls"), Document), value["_ref"].id
    else:
        return {"model": None, "id": getattr(value, "id", value)}
    if model is None:
        return {"model": value["_cls"], "id": key}
    return {"model": model._class_name, "id": _reference_id(schema_of(model), key)}
