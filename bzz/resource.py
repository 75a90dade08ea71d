"""What one registered model is served with, and the paths under which it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from mongoengine import Document

from bzz.errors import SetupError
from bzz.recording import Model, Recorder
from bzz.schema import Schema, resource_name, schema_of
from bzz.transactions import DEADLINE

MAX_BODY = 16 * 1024 * 1024
"""Bytes; the largest document that MongoDB stores."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A model as it is served.

    Attributes
    ----------
    schema: what the model says of itself.
    name: the resource name, the first segment after the prefix.
    prefix: goes in front of all paths; '' or '/api'.
    recorder: records the model's writes; None for a model without history.
    max_body: bytes; a longer body is refused with 413.
    deadline: seconds within which a write is answered.
    require_precondition: a change without If-Match is refused with 428.
    """

    schema: Schema
    name: str
    prefix: str = ""
    recorder: Recorder | None = None
    max_body: int = MAX_BODY
    deadline: float = DEADLINE
    require_precondition: bool = False

    @property
    def model(self) -> type[Any]:
        """The Document class."""
        model: type[Any] = self.schema.model
        return model

    @cached_property
    def root(self) -> str:
        """The path of the collection, percent-encoded, without a slash at its end."""
        return quote(f"{self.prefix}/{self.name}", safe="/:@!$&'()*+,;=~%")

    def path(self, *segments: str) -> str:
        """A path below the root, its segments percent-encoded, with a slash at its end."""
        return "/".join((self.root, *(quote(each, safe="") for each in segments), ""))


def registered(
    model: Model,
    prefix: str,
    name: str | None,
    recorder: Recorder | None,
    options: dict[str, Any],
) -> Resource:
    """The resource that `routes_for` is asked for.

    Raises `SetupError` for a class that has no documents, and for a name, a prefix or an option
    that cannot be one.
    """
    return Resource(
        schema=schema_of(_checked_model(model)),
        name=_checked_name(resource_name(model) if name is None else name),
        prefix=_checked_prefix(prefix),
        recorder=recorder,
        **_checked_options(options),
    )


def _checked_model(model: Model) -> Model:
    is_document = isinstance(model, type) and issubclass(model, Document)
    if not is_document or model._meta.get("abstract"):
        name = model.__name__ if isinstance(model, type) else repr(model)
        raise SetupError(
            f"{name} has no documents of its own: routes are for a MongoEngine Document class "
            "that is not abstract."
        )
    return model


def _checked_name(name: str) -> str:
    if not name or "/" in name:
        raise SetupError(f"A resource has a name of one path segment, which {name!r} is not.")
    return name


def _checked_prefix(prefix: str) -> str:
    if prefix and not prefix.startswith("/"):
        raise SetupError(f"A prefix starts with a slash; {prefix!r} does not.")
    return prefix.rstrip("/")


def _checked_options(options: dict[str, Any]) -> dict[str, Any]:
    known = {"max_body": MAX_BODY, "deadline": DEADLINE, "require_precondition": False}
    unknown = set(options) - set(known)
    if unknown:
        raise SetupError(
            f"routes_for has no option {sorted(unknown)[0]!r}; it has {', '.join(known)}."
        )
    checked = {**known, **options}
    if not (isinstance(checked["max_body"], int) and checked["max_body"] > 0):
        raise SetupError(f"max_body is a number of bytes, not {checked['max_body']!r}.")
    if not (isinstance(checked["deadline"], int | float) and checked["deadline"] > 0):
        raise SetupError(f"deadline is a number of seconds, not {checked['deadline']!r}.")
    return checked


def check_segment(resource: Resource, segment: str) -> None:
    """Raises `SetupError` for a model with a field that is named as its history's segment."""
    if segment in resource.schema.fields:
        raise SetupError(
            f"{resource.model.__name__} has a field named {segment!r}, which is the path segment "
            f"of its history; choose another with Auditor(segment='…')."
        )
