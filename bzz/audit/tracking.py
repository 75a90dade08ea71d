"""What is recorded of one model: its stream, its hidden fields, the version of its schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bzz.audit.redaction import Redaction
from bzz.errors import SetupError
from bzz.schema import resource_name, schema_of


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
    """

    model: type[Any]
    stream: str
    name: str
    redaction: Redaction
    schema: int


def tracked(
    model: type[Any],
    *,
    stream: str | None = None,
    name: str | None = None,
    exclude: Iterable[str] = (),
    mask: Iterable[str] = (),
    schema: int = 1,
) -> Tracked:
    """Read the options of one model.  `exclude` and `mask` name fields, dotted into embedded ones.

    Raises `SetupError` for a field that the model does not have, for its id, and for a model
    that has no collection of its own.
    """
    if model._meta.get("abstract"):
        raise SetupError(f"{model.__name__} is abstract: track the classes that inherit from it.")
    return Tracked(
        model=model,
        stream=stream or model._get_collection_name(),
        name=name or resource_name(model),
        redaction=Redaction(
            exclude=[_stored_path(model, each) for each in exclude],
            mask=[_stored_path(model, each) for each in mask],
        ),
        schema=schema,
    )


def _stored_path(model: type[Any], dotted: str) -> str:
    schema = schema_of(model)
    first = dotted.split(".", maxsplit=1)[0]
    if first not in schema.fields and not schema.dynamic:
        known = ", ".join(schema.fields)
        raise SetupError(f"{model.__name__} has no field {first!r} to hide; it has {known}.")
    if schema.real_name(first) == schema.pk:
        raise SetupError(
            f"{model.__name__}.{first} is the id, by which events find their document; "
            "it cannot be hidden."
        )
    return ".".join(str(each) for each in schema.stored(dotted.split(".")))
