"""The values of a body back to what a document's attributes take, by the fields' types.

All faults of a value are found, each with its JSON Pointer.  References are looked up in the
database; so this blocks, and belongs into the thread that works with it.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from mongoengine import Document, EmbeddedDocument
from mongoengine.base import GeoJsonBaseField, LazyReference
from mongoengine.errors import ValidationError
from mongoengine.fields import (
    CachedReferenceField,
    DictField,
    DynamicField,
    EmbeddedDocumentField,
    FileField,
    GenericEmbeddedDocumentField,
    GenericLazyReferenceField,
    GenericReferenceField,
    GeoPointField,
    LazyReferenceField,
    ListField,
    ReferenceField,
)

from bzz.errors import FieldError, InvalidInput
from bzz.geojson import how_to_write, is_position, is_shape
from bzz.jsontext import MAX_DEPTH, loads
from bzz.jsonvalues import (
    NotThisType,
    decimal128,
    keeps_text,
    read,
    read_integer,
    read_string,
    reader_of,
)
from bzz.references import Targets
from bzz.schema import REFERENCES, Field, Model, Schema, registered, schema_of

_ANY = DynamicField()


def decode(field: Field | None, value: Any, *, pointer: str, text: bool = False) -> Any:
    """Return the Python value to set on the attribute of `field`.

    `value` is a JSON value, or one as `members` returns it.  `text` says that it came from
    a form: strings are read by the field's type, an empty one is null unless the field
    holds text, and JSON text is understood where a list or an object is wanted.
    References are looked up and must exist.  None for `field` means any type.

    Raises `InvalidInput` with all faults, at JSON Pointers that start with `pointer`.
    """
    reader = _Reader(text=text)
    decoded = reader.value(_ANY if field is None else field, value, pointer, 1)
    reader.finish()
    return decoded


def decode_members(
    model: Model, values: Mapping[str, Any], *, pointer: str = "", text: bool = False
) -> dict[str, Any]:
    """Return what a body's members set on a document of `model`, by the names of its fields.

    `id` is returned as the field that URLs use; when both are there they must be equal.
    Names that the class does not have are faults, unless it is dynamic and can keep them.
    Otherwise as `decode`.
    """
    reader = _Reader(text=text)
    decoded = reader.members(schema_of(model), values, pointer, 1)
    reader.finish()
    return decoded


def below(pointer: str, token: str | int) -> str:
    """Return the JSON Pointer of a member, or of an item, of what `pointer` points to."""
    return f"{pointer}/{str(token).replace('~', '~0').replace('/', '~1')}"


class _Reader:
    """Reads values by their fields and collects what is wrong with them."""

    def __init__(self, *, text: bool) -> None:
        self.text = text
        self.errors: list[FieldError] = []

    def finish(self) -> None:
        """Raise `InvalidInput` if anything was wrong."""
        if self.errors:
            raise InvalidInput(self.errors)

    def fault(self, pointer: str, detail: str) -> Any:
        """Add a fault; returns None, which takes the place of the value."""
        self.errors.append(FieldError(pointer, detail))
        return None

    def value(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        if self.text and value == "" and not (keeps_text(field) or isinstance(field, DynamicField)):
            return None
        if value is None:
            return None
        if depth > MAX_DEPTH:
            return self.fault(pointer, f"Values may be nested {MAX_DEPTH} levels deep.")
        decoded = self.dispatch(field, value, pointer, depth)
        if field.choices and not _comparable(field, decoded):
            return self.fault(pointer, "This is none of the values allowed here.")
        return decoded

    def dispatch(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        method = next((_METHODS[kind] for kind in type(field).__mro__ if kind in _METHODS), None)
        if method is not None:
            return method(self, field, value, pointer, depth)
        if reader_of(field) is None:
            return self.anything(field, value, pointer, depth)
        return self.scalar(field, value, pointer)

    def scalar(self, field: Field, value: Any, pointer: str) -> Any:
        try:
            return read(field, value, text=self.text)
        except NotThisType as error:
            return self.fault(pointer, str(error))

    # What holds members

    def members(
        self, schema: Schema, values: Mapping[str, Any], pointer: str, depth: int
    ) -> dict[str, Any]:
        decoded: dict[str, Any] = {}
        for name, value in values.items():
            at = below(pointer, name)
            real = schema.real_name(name) if name == "id" else name
            field = schema.fields.get(real) or self.undeclared(schema, real, at)
            if field is None:
                continue
            result = self.value(field, value, at, depth + 1)
            if real in decoded and decoded[real] != result:
                self.fault(at, f"`id` and `{real}` are one, and differ here.")
            decoded[real] = result
        return decoded

    def undeclared(self, schema: Schema, name: str, pointer: str) -> Field | None:
        """The field for a member that the class does not declare, or None and a fault."""
        fault = _name_fault(schema, name)
        if fault is None:
            return _ANY
        return self.fault(pointer, fault)

    def embedded(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        model = field.document_type
        if isinstance(value, model):
            return value
        content = self.opened(value)
        if not isinstance(content, Mapping):
            return self.wanted("an object", content, pointer)
        if "_cls" in content:
            model = self.named_class(content["_cls"], (model,), below(pointer, "_cls"))
        return model and self.build(model, content, pointer, depth)

    def any_embedded(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        if isinstance(value, EmbeddedDocument):
            return value
        content = self.opened(value)
        if not isinstance(content, Mapping):
            return self.wanted("an object", content, pointer)
        bases = tuple(field.choices or ()) or (EmbeddedDocument,)
        model = self.named_class(content.get("_cls"), bases, below(pointer, "_cls"))
        return model and self.build(model, content, pointer, depth)

    def named_class(self, name: Any, bases: tuple[type, ...], pointer: str) -> Model | None:
        model = registered(name, EmbeddedDocument)
        if model is not None and issubclass(model, bases):
            return model
        known = ", ".join(base.__name__ for base in bases if base is not EmbeddedDocument)
        return self.fault(
            pointer,
            "`_cls` must name a class of embedded documents"
            + (f": {known} or what inherits from them." if known else "."),
        )

    def build(self, model: Model, content: Mapping[str, Any], pointer: str, depth: int) -> Any:
        sent = {name: value for name, value in content.items() if name != "_cls"}
        decoded = self.members(schema_of(model), sent, pointer, depth)
        if self.errors:
            return None
        instance = model()
        for name, value in decoded.items():
            # Setting None would draw a new number for a sequence.
            if value is not None or name not in model._fields or model._fields[name].null:
                setattr(instance, name, value)
        return instance

    def mapping(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        content = self.opened(value)
        if not isinstance(content, Mapping):
            return self.wanted("an object", content, pointer)
        decoded = {}
        for key, item in content.items():
            at = below(pointer, key)
            fault = _key_fault(key)
            if fault is not None:
                self.fault(at, fault)
                continue
            decoded[key] = self.item(field.field or _ANY, item, at, depth)
        return decoded

    def sequence(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        items = self.listed(self.opened(value))
        if not isinstance(items, (list, tuple)):
            return self.wanted("a list", items, pointer)
        inner = field.field or _ANY
        if isinstance(inner, REFERENCES):
            pointers = [below(pointer, index) for index in range(len(items))]
            return self.references(inner, items, pointers)
        return [
            self.item(inner, item, below(pointer, index), depth) for index, item in enumerate(items)
        ]

    def item(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        if value is None and field is not _ANY:
            return self.fault(pointer, "null cannot be an item here.")
        return self.value(field, value, pointer, depth + 1)

    def listed(self, value: Any) -> Any:
        """What a form says of a list: one value, or dotted keys with the items' indexes."""
        if not self.text or isinstance(value, (list, tuple)):
            return value
        if not isinstance(value, Mapping):
            return [value]
        indexes = [str(index) for index in range(len(value))]
        return [value[index] for index in indexes] if set(indexes) == set(value) else value

    def opened(self, value: Any) -> Any:
        """The value; of JSON text in a form what the text holds."""
        if not (self.text and isinstance(value, str) and value.lstrip()[:1] in ("{", "[")):
            return value
        try:
            return loads(value.encode())
        except ValueError:
            return value

    def wanted(self, kind: str, value: Any, pointer: str) -> Any:
        return self.fault(pointer, f"{_kind(value)} stands where {kind} must be.")

    # References

    def reference(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        return self.references(field, [self.opened(value)], [pointer])[0]

    def references(self, field: Field, values: Sequence[Any], pointers: list[str]) -> list[Any]:
        """The documents, or lazy references, for ids."""
        model = field.document_type
        targets = Targets(model, text=self.text, errors=self.errors).find(values, pointers)
        if not isinstance(field, LazyReferenceField):
            return targets
        return [target and _lazy(model, target, field.passthrough) for target in targets]

    def any_reference(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        if isinstance(value, (Document, LazyReference)):
            return value
        found = _generic_parts(self.opened(value))
        if found is None:
            return self.fault(pointer, 'A reference is written {"model": "Name", "id": …} here.')
        name, key = found
        model = registered(name, Document)
        if model is None or (field.choices and model._class_name not in field.choices):
            known = f" It may be {', '.join(field.choices)}." if field.choices else ""
            return self.fault(below(pointer, "model"), f"No such model can be referenced.{known}")
        targets = Targets(model, text=self.text, errors=self.errors)
        target = targets.find([key], [below(pointer, "id")])[0]
        if isinstance(field, GenericLazyReferenceField):
            return target and _lazy(model, target, field.passthrough)
        if isinstance(target, bson.DBRef):
            return bson.SON([("_cls", model._class_name), ("_ref", target)])
        return target

    # Values of other shapes

    def file(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        return self.fault(pointer, "Files are not read from bodies; write this field in code.")

    def geo_point(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        position = self.opened(value)
        if self.text and isinstance(position, (list, tuple)):
            position = [_number_of(item) for item in position]
        if not is_position(position, bounded=True):
            return self.fault(pointer, "A point is a list of two numbers: [longitude, latitude].")
        return list(position)

    def geo_json(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        kind = field._type
        coordinates = self.opened(value)
        if isinstance(coordinates, Mapping):
            if set(coordinates) != {"type", "coordinates"} or coordinates["type"] != kind:
                return self.fault(pointer, how_to_write(kind))
            coordinates = coordinates["coordinates"]
        if not is_shape(kind, coordinates, bounded=bool(field._geo_index)):
            return self.fault(pointer, how_to_write(kind))
        error = getattr(field, f"_validate_{kind.lower()}")(coordinates)
        if error:
            return self.fault(pointer, f"{error}.")
        return {"type": kind, "coordinates": coordinates}

    def anything(self, field: Field, value: Any, pointer: str, depth: int) -> Any:
        """A value that no field describes: it keeps the type that JSON gave it."""
        if isinstance(value, Mapping) and "_cls" in value:
            return self.any_embedded(GenericEmbeddedDocumentField(), value, pointer, depth)
        if isinstance(value, Mapping):
            return self.mapping(_UNTYPED_MAP, value, pointer, depth)
        if isinstance(value, (list, tuple)):
            return [
                self.item(_ANY, item, below(pointer, index), depth)
                for index, item in enumerate(value)
            ]
        try:
            return _stored_scalar(value)
        except NotThisType as error:
            return self.fault(pointer, str(error))


_UNTYPED_MAP = DictField()

_METHODS: dict[type, Callable[[_Reader, Field, Any, str, int], Any]] = {
    EmbeddedDocumentField: _Reader.embedded,
    GenericEmbeddedDocumentField: _Reader.any_embedded,
    ListField: _Reader.sequence,
    DictField: _Reader.mapping,
    ReferenceField: _Reader.reference,
    CachedReferenceField: _Reader.reference,
    LazyReferenceField: _Reader.reference,
    GenericReferenceField: _Reader.any_reference,
    FileField: _Reader.file,
    GeoPointField: _Reader.geo_point,
    GeoJsonBaseField: _Reader.geo_json,
    DynamicField: _Reader.anything,
}


def _stored_scalar(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, bson.Code):
        return read_string(value)
    if isinstance(value, int) and not isinstance(value, (bool, bson.Int64)):
        return read_integer(value)
    if isinstance(value, decimal.Decimal):
        return decimal128(value)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime(value.year, value.month, value.day)
    return value


def _comparable(field: Field, value: Any) -> bool:
    """Whether MongoEngine's check of choices, which hashes them, gets through with a value."""
    try:
        field._validate_choices(value)
    except TypeError:
        return False
    except ValidationError:
        pass  # the document's own validation reports it, with the rest of its faults
    return True


def _number_of(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _generic_parts(value: Any) -> tuple[Any, Any] | None:
    """The model's name and the id in a generic reference, as sent or as stored."""
    if not isinstance(value, Mapping):
        return None
    if set(value) == {"model", "id"}:
        return value["model"], value["id"]
    if isinstance(value.get("_ref"), bson.DBRef):
        return value.get("_cls"), value["_ref"]
    return None


def _lazy(model: Model, target: Any, passthrough: bool) -> Any:
    key = target.pk if isinstance(target, Document) else target.id
    return LazyReference(model, key, passthrough=passthrough)


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "An object"
    if isinstance(value, (list, tuple)):
        return "A list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "A boolean"
    return "A number" if isinstance(value, (int, float)) else "A string"


def _key_fault(name: str) -> str | None:
    """Why a name cannot be a member's, if it cannot."""
    if name.startswith("$"):
        return f"{name!r} starts with $, which names of members may not."
    if "\0" in name:
        return f"{name!r} holds a NUL, which names of members may not."
    if name in ("_ref", "_cls"):
        return f"MongoEngine keeps the name {name!r} for itself."
    try:
        read_string(name)
    except NotThisType as error:
        return str(error)
    return None


def _name_fault(schema: Schema, name: str) -> str | None:
    """Why a class cannot keep a member that it does not declare, if it cannot."""
    fault = _key_fault(name)
    if fault is not None:
        return fault
    model = schema.model
    if not schema.dynamic:
        known = ", ".join(schema.fields)
        return f"{model.__name__} has no field {name!r}; its fields are: {known}."
    if not name or "." in name:
        return f"{name!r} cannot name a member: MongoEngine needs it not empty and without dots."
    # Set as an attribute, these would not be stored, or would replace a method.
    if name.startswith("_") or hasattr(model, name):
        return f"{name!r} cannot name a member of {model.__name__}: the class uses it otherwise."
    return None
