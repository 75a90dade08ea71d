"""From the ids in a body to the documents that they refer to, with one query for a whole list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import bson
from mongoengine import Document
from mongoengine.errors import FieldDoesNotExist, InvalidDocumentError

from bzz.errors import FieldError
from bzz.jsonvalues import NotThisType, read, show
from bzz.schema import Model, Schema, schema_of

Key: TypeAlias = tuple[str, Any]  # the field that identifies a document, and its typed value

_JSON_TYPES = (str, int, float, bool, type(None), dict, list)


class Targets:
    """Finds documents of one class by what stands for them in a body or in the database.

    That is the id that URLs use, plain or as `{"id": …}`, or a stored reference.  `text` says
    that the values are a form's.  Faults are added to `errors`.
    """

    def __init__(self, model: Model, *, text: bool, errors: list[FieldError]) -> None:
        self.schema: Schema = schema_of(model)
        self.name = model.__name__
        self.text = text
        self.errors = errors

    def find(self, values: Sequence[Any], pointers: Sequence[str]) -> list[Any]:
        """Return the document of each value; None, and a fault, for one that has none.

        A key that has a type of BSON's own was read from the database, not sent: if its
        document has gone since, that is not the sender's fault, and it stays, as a DBRef.
        """
        keys = [self._key(value, at) for value, at in zip(values, pointers, strict=True)]
        try:
            found = self._load([key for key in keys if key is not None])
        except (FieldDoesNotExist, InvalidDocumentError):
            detail = f"A {self.name} that is referred to here cannot be loaded by its model."
            self._fault(pointers[0], detail)
            return [None] * len(keys)
        return [
            self._target(key, value, at, found)
            for key, value, at in zip(keys, values, pointers, strict=True)
        ]

    def _fault(self, pointer: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, detail))

    def _key(self, value: Any, pointer: str) -> Key | None:
        schema = self.schema
        if isinstance(value, schema.model):
            return None
        if schema.id_field is None or schema.pk is None:
            self._fault(pointer, f"{self.name} is abstract: it has no documents to refer to.")
            return None
        stored = _stored_key(value)
        if stored is not None:
            return (schema.pk, stored)
        try:
            return self._sent_key(value, schema.id_field, schema.pk)
        except NotThisType as error:
            self._fault(pointer, str(error))
            return None

    def _sent_key(self, value: Any, id_field: str, pk: str) -> Key:
        if isinstance(value, Mapping):
            if len(value) != 1 or not set(value) <= {"id", id_field}:
                raise NotThisType(f'A {self.name} is referred to by its id, or {{"id": …}}.')
            (value,) = value.values()
        if value is None or isinstance(value, (Mapping, list, tuple, Document)):
            raise NotThisType(f"This cannot be an id of {self.name}.")
        own_type = not isinstance(value, _JSON_TYPES)
        for name in (id_field, pk) if own_type else (id_field,):
            try:
                return (name, read(self.schema.fields[name], value, text=self.text))
            except NotThisType:
                continue
        raise NotThisType(f"{show(value)!r} cannot be an id of {self.name}.")

    def _load(self, keys: Sequence[Key]) -> dict[Key, Any]:
        found: dict[Key, Any] = {}
        for name in {name for name, _ in keys}:
            ids = [value for each, value in keys if each == name]
            for document in self.schema.model.objects(**{f"{name}__in": ids}):
                found[(name, document._data.get(name))] = document
        return found

    def _target(self, key: Key | None, value: Any, pointer: str, found: dict[Key, Any]) -> Any:
        if key is None:
            return value if isinstance(value, self.schema.model) else None
        if key in found:
            return found[key]
        if key[0] == self.schema.pk and not isinstance(value, _JSON_TYPES):
            return bson.DBRef(self.schema.model._get_collection_name(), key[1])
        shown = self.schema.format_id(key[1])
        self._fault(pointer, f"There is no {self.name} with the id {shown!r}.")
        return None


def _stored_key(value: Any) -> Any:
    """The primary key in a stored reference, or None if the value is not one."""
    if isinstance(value, bson.DBRef):
        return value.id
    if isinstance(value, Mapping) and "_id" in value:
        return value["_id"]
    return None
