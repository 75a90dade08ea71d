"""What a path below a resource names: a collection, a document, or what is nested in it.

Read from the path and the classes alone, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from bzz.errors import NotFound
from bzz.schema import Relation, Schema, schema_of


@dataclass(frozen=True, slots=True)
class Step:
    """One pair of segments: a resource or field name, and the id that may follow it.

    `relation` is None for the first step, which is the resource itself.  `id` is the id's
    text, `value` the same typed by the class that it belongs to; both are None for a whole list
    and for a single item.
    """

    name: str
    schema: Schema
    relation: Relation | None = None
    id: str | None = None
    value: Any = None

    @property
    def is_list(self) -> bool:
        """Whether the step names a list, not one item of it."""
        return self.id is None and (self.relation is None or self.relation.many)

    @property
    def embedded(self) -> bool:
        """Whether the step leads to something stored inside the document before it."""
        return self.relation is not None and self.relation.embedded

    @property
    def argument(self) -> str:
        """The step as `pre_` signals show it: 'team' or 'team/<id>'."""
        return self.name if self.id is None else f"{self.name}/{self.id}"


@dataclass(frozen=True, slots=True)
class Target:
    """All steps of a path."""

    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """What the path names in the end."""
        return self.steps[-1]

    @property
    def nested(self) -> bool:
        """Whether the path leads below a document."""
        return len(self.steps) > 1

    @property
    def owner(self) -> Step:
        """The last step but the end that is a document of its own: what holds the end."""
        for step in reversed(self.steps[:-1]):
            if not step.embedded:
                return step
        return self.steps[0]

    @property
    def document(self) -> Step:
        """The document in which the end is stored: itself, or its owner when it is embedded."""
        return self.owner if self.last.embedded else self.last

    @property
    def first(self) -> tuple[type[Any], Any] | None:
        """The class and the stored id of the document that the path begins with, if it says so."""
        step = self.steps[0]
        schema = step.schema
        if step.id is None or schema.pk is None or schema.id_field != schema.pk:
            return None
        return schema.model, schema.fields[schema.pk].to_mongo(step.value)

    @property
    def arguments(self) -> list[str]:
        """The parts of the URL, as `pre_` signals show them."""
        return [step.argument for step in self.steps]


def segments_of(path: str) -> list[str]:
    """The percent-decoded segments of a path; a slash at its end adds none.

    What a client sent in plain UTF-8, which Tornado reads as Latin-1, is understood too.  Raises
    `NotFound` for segments that are no UTF-8, and for '.', '..' and empty ones.
    """
    raw = path.split("/")
    if raw and raw[-1] == "":
        raw.pop()
    try:
        segments = [unquote_to_bytes(each.encode("latin-1")).decode() for each in raw]
    except UnicodeError as error:
        raise NotFound("The path is not UTF-8.") from error
    for segment in segments:
        if segment in ("", ".", ".."):
            raise NotFound(f"A path has no segment {segment!r}.")
    return segments


def parse_target(schema: Schema, name: str, segments: Sequence[str]) -> Target:
    """The target of the decoded segments after the resource name.

    Raises `NotFound`, naming the part, for an id that cannot be one and for a field that
    leads nowhere.
    """
    rest = list(segments)
    steps = [_step(name, schema, None, rest.pop(0) if rest else None)]
    while rest:
        before = steps[-1]
        field = rest.pop(0)
        relation = None if before.is_list else _relation(before.schema, field)
        if relation is None:
            raise NotFound(f"{before.schema.model.__name__} has nothing nested at {field!r}.")
        target = schema_of(relation.target)
        has_id = bool(rest) and (relation.many or _is_id(relation, target, rest[0]))
        steps.append(_step(field, target, relation, rest.pop(0) if has_id else None))
    return Target(tuple(steps))


def _relation(schema: Schema, name: str) -> Relation | None:
    return schema.relation(name) if name in schema.fields else None


def _is_id(relation: Relation, target: Schema, segment: str) -> bool:
    # An id after a single reference was always accepted; a field's name goes on instead.
    return not relation.embedded and _relation(target, segment) is None


def _step(name: str, schema: Schema, relation: Relation | None, text: str | None) -> Step:
    if text is None:
        return Step(name, schema, relation)
    try:
        value = schema.parse_id(text)
    except ValueError as error:
        raise NotFound(f"No {schema.model.__name__} has the id {text!r}.") from error
    return Step(name, schema, relation, text, value)
