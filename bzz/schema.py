"""What a Document class says of itself: its names, its id, what it refers to, what is kept where.

Reads classes only: no document, no database, no JSON.  Works for Document, DynamicDocument and
EmbeddedDocument classes, and for those that inherit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

from mongoengine.base.common import get_document
from mongoengine.errors import NotRegistered
from mongoengine.fields import (
    CachedReferenceField,
    DictField,
    EmbeddedDocumentField,
    LazyReferenceField,
    ListField,
    ReferenceField,
)

from bzz.errors import SetupError
from bzz.jsonvalues import NotThisType, read, show

Model: TypeAlias = Any
Field: TypeAlias = Any
Token: TypeAlias = str | int

REFERENCES = (ReferenceField, LazyReferenceField, CachedReferenceField)

_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_INDEX = re.compile(r"-|[0-9]+")


@dataclass(frozen=True, slots=True)
class Relation:
    """A field that leads to another Document class.

    Attributes
    ----------
    name: the field's Python name.
    field: the field itself; of a list, the list field.
    target: the class that it leads to.
    embedded: the target is stored inside the document; else it is referenced.
    many: the field is a list.
    """

    name: str
    field: Field
    target: Model
    embedded: bool
    many: bool


def schema_of(model: Model) -> Schema:
    """Return the schema of a Document or EmbeddedDocument class; the same one at each call.

    Raises `SetupError` if the class names an id field that it does not have.
    """
    return _cached_schema(model)


@cache
def _cached_schema(model: Model) -> Schema:
    return Schema(model)


def resource_name(model: Model) -> str:
    """Return the class's name in snake_case: `OrderLine` is `order_line`, `HTTPLog` `http_log`."""
    return _WORD_STARTS.sub("_", model.__name__).lower()


def registered(name: Any, base: type) -> Model | None:
    """Return the Document class of a name, if there is one and it inherits from `base`."""
    if not isinstance(name, str):
        return None
    try:
        model = get_document(name)
    except NotRegistered:
        return None
    return model if issubclass(model, base) else None


class Schema:
    """The shape of one Document class.

    Attributes
    ----------
    model: the class.
    fields: its fields by Python name, as declared; MongoEngine's own `_cls` is left out.
    pk: the Python name of the primary key; None on most embedded documents.
    id_field: the Python name of the field that URLs and references in bodies use as id: what
        `get_id_field_name()` returns, else the primary key; None where there is neither.
    dynamic: documents may have members that the class does not declare.
    strict: a stored document with members that the class does not declare cannot be loaded.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.fields: dict[str, Field] = {
            name: model._fields[name] for name in model._fields_ordered if name != "_cls"
        }
        self.dynamic = bool(model._dynamic)
        self.strict = bool(model._meta.get("strict", True)) and not self.dynamic
        self.pk = _primary_key(model, self.fields)
        self.id_field = _id_field(model, self.fields, self.pk)
        self._stored = {name: field.db_field or name for name, field in self.fields.items()}
        self._names = {stored: name for name, stored in self._stored.items()}
        self._meaning_of_id = _meaning_of_id(self.fields, self.id_field, self.pk)

    def __repr__(self) -> str:
        return f"<Schema of {self.model.__name__}>"

    @cached_property
    def named_id(self) -> bool:
        """Whether the class names the field that URLs use, with `get_id_field_name()`."""
        return callable(getattr(self.model, "get_id_field_name", None))

    # Names

    def name_of(self, stored: str) -> str:
        """Return the Python name of a stored member; the stored name when no field has it."""
        if stored in self._names:
            return self._names[stored]
        owner = _owner(self, lambda schema: stored in schema._names)
        return owner._names[stored] if owner else stored

    def stored_of(self, name: str) -> str:
        """Return the stored name of a field; the name itself when it is not a field's.

        `id` and `pk` are understood as by `real_name`.
        """
        real = self.real_name(name)
        owner = _owner(self, lambda schema: real in schema.fields)
        return owner._stored[real] if owner else real

    def real_name(self, name: str) -> str:
        """Return `name`, or the name of the field for which `id` or `pk` stands.

        `id` is the field that is declared so; else the one that URLs use, also when
        MongoEngine made a primary key called `id` beside it.  `pk` is the primary key.
        """
        if name == "id":
            return self._meaning_of_id
        return self.pk if name == "pk" and self.pk and name not in self.fields else name

    def names(self, path: Sequence[Token]) -> tuple[Token, ...]:
        """Return a path of stored tokens in Python names.

        Follows embedded documents, lists (indexes stay) and maps; a token that no field of
        the class explains stays as it is, with all that follows it.
        """
        if len(path) == 1 and isinstance(path[0], str):  # as most are: nothing to follow
            return (self.name_of(path[0]),)
        return tuple(step.name for step in _walk(self, path, stored=True))

    def stored(self, path: Sequence[Token]) -> tuple[Token, ...]:
        """Return a path of Python names in stored tokens: the way back from `names`.

        Indexes of lists may be left out: `("addresses", "street")` is understood.
        """
        return tuple(step.stored for step in _walk(self, path, stored=False))

    # Fields

    def field(self, name: str) -> Field | None:
        """Return the field of a Python name, also one that only a subclass declares, or None."""
        owner = _owner(self, lambda schema: name in schema.fields)
        return owner.fields[name] if owner else None

    def field_at(self, path: Sequence[Token]) -> Field | None:
        """Return the field at a path of Python names, or None where no field describes it.

        Indexes of lists may be left out; a path that ends on an index, or on a key of a map,
        gives the field of the item (None when the items are of any type).
        """
        field: Field | None = None
        for step in _walk(self, path, stored=False):
            field = step.field
        return field

    def relation(self, name: str) -> Relation | None:
        """Return where a field leads: to an embedded or a referenced class, one or many.

        None for fields of other types, and for generic ones, which lead to no one class.
        """
        field: Any = self.fields.get(name)
        many = isinstance(field, ListField)
        item = field.field if many else field
        if isinstance(item, EmbeddedDocumentField):
            return Relation(name, field, item.document_type, embedded=True, many=many)
        if isinstance(item, REFERENCES):
            return Relation(name, field, item.document_type, embedded=False, many=many)
        return None

    def relations(self) -> Iterator[Relation]:
        """Yield the relation of each field that has one."""
        found = (self.relation(name) for name in self.fields)
        return (relation for relation in found if relation is not None)

    # Ids

    def parse_id(self, text: str) -> Any:
        """Return the id that `text` (percent-decoded, as in a URL) stands for, typed by the model.

        Raises `ValueError` if the text cannot be an id of this class.
        """
        return self._parse(self.id_field, text)

    def parse_pk(self, text: str) -> Any:
        """Return the primary key that `text` stands for; raises `ValueError` as `parse_id`."""
        return self._parse(self.pk, text)

    def format_id(self, value: Any) -> str:
        """Return the text of an id, as URLs show it before they are percent-encoded.

        Of a document, where a reference is the id, its primary key.
        """
        shown = show(getattr(value, "pk", value))
        return shown if isinstance(shown, str) else str(shown)

    def _parse(self, name: str | None, text: str) -> Any:
        if name is None:
            raise ValueError(f"{self.model.__name__} has no id field.")
        field = self.fields[name]
        if isinstance(field, REFERENCES):
            return schema_of(field.document_type).parse_pk(text)
        try:
            return _parse_id(self, field, text)
        except NotThisType as error:
            raise ValueError(f"{text!r} cannot be an id of {self.model.__name__}.") from error


@dataclass(frozen=True, slots=True)
class _Step:
    """One token of a path, under both of its names, with the field that it leads to."""

    name: Token
    stored: Token
    field: Field | None


def _walk(schema: Schema, path: Sequence[Token], *, stored: bool) -> Iterator[_Step]:
    """Follow `path`, given in stored tokens or in Python names, through the classes."""
    here: Any = schema
    for token in path:
        while isinstance(here, ListField) and not _is_index(token):
            here = _inside(here.field)
        step = _step(here, token, stored=stored)
        yield step
        here = _inside(step.field)


def _step(here: Any, token: Token, *, stored: bool) -> _Step:
    if isinstance(here, Schema) and isinstance(token, str):
        name = here.name_of(token) if stored else here.real_name(token)
        return _Step(name, token if stored else here.stored_of(token), here.field(name))
    if isinstance(here, (ListField, DictField)):
        return _Step(token, token, here.field)
    return _Step(token, token, None)


def _inside(field: Field | None) -> Any:
    """What explains the next token below a field: a schema, a list, a map, or nothing."""
    if isinstance(field, EmbeddedDocumentField):
        return schema_of(field.document_type)
    return field if isinstance(field, (ListField, DictField)) else None


def _is_index(token: Token) -> bool:
    return isinstance(token, int) or _INDEX.fullmatch(token) is not None


def _owner(schema: Schema, has: Any) -> Schema | None:
    """The schema itself or the first of its subclasses of which `has` is true.

    Subclasses are asked at each call, since more of them may be defined at any time.
    """
    if has(schema):
        return schema
    for subclass in schema.model.__subclasses__():
        found = _owner(schema_of(subclass), has)
        if found is not None:
            return found
    return None


def _primary_key(model: Model, fields: dict[str, Field]) -> str | None:
    declared = model._meta.get("id_field")
    if declared:
        return str(declared)
    return next((name for name, field in fields.items() if field.primary_key), None)


def _id_field(model: Model, fields: dict[str, Field], pk: str | None) -> str | None:
    hook = getattr(model, "get_id_field_name", None)
    if not callable(hook):
        return pk or ("id" if "id" in fields else None)
    answer = hook()
    name = answer if isinstance(answer, str) else getattr(answer, "name", None)
    if name == "pk" and pk:
        return pk
    if not isinstance(name, str) or name not in fields:
        raise SetupError(
            f"{model.__name__}.get_id_field_name() returned {answer!r}, which is none of its"
            f" fields ({', '.join(fields)}); return a field of the class or its name."
        )
    return name


def _meaning_of_id(fields: dict[str, Field], id_field: str | None, pk: str | None) -> str:
    made = pk == "id" and not fields["id"].primary_key
    if "id" in fields and not made:
        return "id"
    return id_field or "id"


def _parse_id(schema: Schema, field: Field, text: str) -> Any:
    value = read(field, text, text=True)
    # One document has one URL: "007" would be a second one.  Hexadecimal has no case.
    if schema.format_id(value).lower() != text.lower():
        raise NotThisType(f"{text!r} is not how this id is written.")
    return value
