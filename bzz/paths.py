"""Follow the paths of names that clients write through a model.  Knows no values and no database.

A path is written with `__` or dots; it goes into embedded documents, lists of them, maps and
dynamic members, and ends before references, which lead to other documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mongoengine.fields import (
    DictField,
    DynamicField,
    EmbeddedDocumentField,
    GenericEmbeddedDocumentField,
    GenericReferenceField,
    ListField,
)

from bzz.errors import BadRequest
from bzz.schema import REFERENCES, Field, Schema, schema_of

MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where a path of names leads.

    Attributes
    ----------
    label: the path as messages show it.
    names, stored: the path in Python names and as stored.
    field: the field at its end; None where none says the type.
    through: the fields on the way, the last one included.
    """

    label: str
    names: tuple[str, ...]
    stored: tuple[str, ...]
    field: Field | None
    through: tuple[Field | None, ...]

    @property
    def item(self) -> Field | None:
        """The field that types one value: of a list, its element's."""
        return item_of(self.field)

    @property
    def untyped(self) -> bool:
        return self.item is None or type(self.item) is DynamicField

    @property
    def many(self) -> bool:
        return isinstance(self.field, ListField)

    @property
    def crosses_list(self) -> bool:
        return any(isinstance(field, ListField) for field in self.through)


def split_path(text: str) -> tuple[str, ...]:
    """Return the names of a path; some may be empty."""
    return tuple(text.replace(".", "__").split("__"))


def locate(schema: Schema, names: tuple[str, ...]) -> Target:
    """Follow names through the model.

    Raises `BadRequest`, naming what is allowed, where the model can have no such member.
    """
    label = ".".join(names)
    if len(names) > MAX_DEPTH:
        raise BadRequest(f"{quoted(label)} is too deep: a path has at most {MAX_DEPTH} names.")
    through: list[Field | None] = []
    here: Schema | None = schema
    for depth, name in enumerate(names):
        _check_name(label, name)
        here = _opened(through[-1], names[:depth], name) if depth else schema
        if here is not None:
            _check_member(here, name)
        through.append(schema.field_at(names[: depth + 1]))
    stored = tuple(str(token) for token in schema.stored(names))
    return Target(label, names, stored, through[-1], tuple(through))


def _check_name(label: str, name: str) -> None:
    if not name or name.startswith("$") or "\0" in name:
        raise BadRequest(f"{quoted(label)} names no field: {quoted(name)} cannot be a name.")


def _check_member(schema: Schema, name: str) -> None:
    if schema.dynamic or schema.field(schema.real_name(name)) is not None:
        return
    raise BadRequest(
        f"{schema.model.__name__} has no field {quoted(name)};"
        f" it has {', '.join(sorted(schema.fields))}."
    )


def _opened(field: Field | None, before: tuple[str, ...], name: str) -> Schema | None:
    """What says which members a value of `field` has: a schema, or None when any may be there."""
    if isinstance(field, ListField) and is_index(name):
        return None
    item = item_of(field)
    if item is None or isinstance(item, (DictField, GenericEmbeddedDocumentField)):
        return None
    if type(item) is DynamicField:
        return None
    if isinstance(item, EmbeddedDocumentField):
        return schema_of(item.document_type)
    label = ".".join(before)
    if isinstance(item, (*REFERENCES, GenericReferenceField)):
        raise BadRequest(f"{label} refers to another document: {label} itself can be asked for.")
    raise BadRequest(f"{label} has neither a member nor an operator {quoted(name)}.")


def is_index(name: str) -> bool:
    """Return whether a name of a path is an index into a list."""
    return name.isascii() and name.isdecimal()


def item_of(field: Field | None) -> Field | None:
    """Return the field that types one element of a list, or the field itself."""
    while isinstance(field, ListField):
        field = field.field
    return field


def quoted(text: str) -> str:
    """Return a client's text as a message shows it: quoted, and never long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
