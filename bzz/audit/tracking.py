"""What is recorded of one model: its stream, its hidden fields, the version of its schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mongoengine import Document, EmbeddedDocumentField, ListField

from bzz.audit.redaction import Redaction
from bzz.audit.upcasting import Upcasts
from bzz.errors import SetupError
from bzz.schema import Schema, resource_name, schema_of
from bzz.values import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tracked:
    """One model under audit.

    Attributes
    ----------
    model: the Document class.
    stream: the name of its streams; it survives renames of the class and the collection.
    name: the resource name that events show as `model`.
    redaction: what is never stored.
    schema: the version of the model's schema, written into each event.
    upcasts: bring states of older schemas to this one.
    """

    model: type[Any]
    stream: str
    name: str
    redaction: Redaction
    schema: int
    upcasts: Upcasts = field(default_factory=Upcasts)

    def shown(self, state: State | None, schema: int) -> State | None:
        """A state that code of version `schema` left, as of today, without what is hidden by now.

        Raises `UpcastError` when an upcaster fails.
        """
        if schema < self.schema and self.upcasts:
            state = self.upcasts.apply(state, schema, self.schema)
        return self.redaction.strip(state)


def tracked(
    model: type[Any],
    *,
    stream: str | None = None,
    name: str | None = None,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    schema: int = 1,
    upcasts: Upcasts | None = None,
) -> Tracked:
    """Read the options of one model.  `exclude` and `mask` name fields, dotted into embedded ones.

    Raises `SetupError` for a field that the model does not have, for its id, and for what
    has no collection of its own.
    """
    if not (isinstance(model, type) and issubclass(model, Document)):
        raise SetupError(f"{model!r} has no documents of its own: track a Document class.")
    if model._meta.get("abstract"):
        raise SetupError(f"{model.__name__} is abstract: track the classes that inherit from it.")
    return Tracked(
        model=model,
        stream=stream or model._get_collection_name(),
        name=name or resource_name(model),
        redaction=Redaction(
            exclude=[_stored_path(model, each) for each in _names(exclude)],
            mask=[_stored_path(model, each) for each in _names(mask)],
        ),
        schema=schema,
        upcasts=upcasts or Upcasts(),
    )


def by_stream(
    items: Iterable[T], stream: Callable[[T], str], model: Callable[[T], type[Any]]
) -> dict[str, T]:
    """For each stream name that some items have, the one whose model is above the others'.

    Classes of one collection may share a stream; the one above the others loads them all.
    """
    found: dict[str, T] = {}
    for each in items:
        name = stream(each)
        if name not in found or issubclass(model(found[name]), model(each)):
            found[name] = each
    return found


def _names(given: Iterable[str]) -> Iterable[str]:
    return [given] if isinstance(given, str) else given


def _stored_path(model: type[Any], dotted: str) -> str:
    schema, path = schema_of(model), dotted.split(".")
    if schema.real_name(path[0]) == schema.pk:
        raise SetupError(
            f"{model.__name__}.{path[0]} is the id, by which events find their document; "
            "it cannot be hidden."
        )
    _check(schema, path)
    return ".".join(str(each) for each in schema.stored(path))


def _check(schema: Schema | None, path: Sequence[str]) -> None:
    """Raise for a name that hides nothing, which would be found out when it is too late."""
    for name in path:
        if schema is None or schema.dynamic:
            return
        field = schema.field(schema.real_name(name))
        if field is None:
            raise SetupError(
                f"{schema.model.__name__} has no field {name!r} to hide; "
                f"it has {', '.join(schema.fields)}."
            )
        while isinstance(field, ListField):
            field = field.field
        embedded = isinstance(field, EmbeddedDocumentField)
        schema = schema_of(field.document_type) if embedded else None
