"""The places below a resource that have a URL: lists, documents, and what is nested in them.

Read from the classes alone, as `bzz.targets` reads a path.  What a path can go on to for ever is
followed so far: through one reference, and into an embedded class once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bzz.openapi.book import Book, Json
from bzz.openapi.parameters import id_parameter
from bzz.recording import Model
from bzz.resource import Resource
from bzz.schema import Relation, Schema, schema_of


@dataclass(frozen=True, slots=True)
class Place:
    """A list, or one item: a document or an embedded one.

    Attributes
    ----------
    path: the template of its path.
    ids: the parameters of the path.
    schema: of what is there.
    owner: the class of the last document on the way; None for what is not nested.
    relation: the field that leads here; None for what is not nested.
    is_list: it is a list, not an item.
    referred: the way to it leads through a reference.
    """

    path: str
    ids: tuple[Json, ...]
    schema: Schema
    owner: Model | None = None
    relation: Relation | None = None
    is_list: bool = False
    referred: bool = False

    @property
    def nested(self) -> bool:
        """Whether it is below a document."""
        return self.relation is not None

    @property
    def embedded(self) -> bool:
        """Whether it is stored in the document on the way to it."""
        return self.relation is not None and self.relation.embedded

    @property
    def single(self) -> bool:
        """Whether it is the one item to which a field leads."""
        return self.relation is not None and not self.relation.many

    @property
    def document(self) -> Model:
        """The class of the document in which it is stored."""
        return self.owner if self.embedded and self.owner else self.schema.model


def places_of(resource: Resource, book: Book) -> Iterator[Place]:
    """The places of a resource: the list of its documents, one of them, what is nested in it."""
    schema = resource.schema
    yield Place(f"{resource.root}/", (), schema, is_list=True)
    item = Place(f"{resource.root}/{{id}}/", (id_parameter(book, "id", schema),), schema)
    yield item
    yield from _below(book, item, (schema.model,))


def _below(book: Book, place: Place, entered: tuple[Model, ...]) -> Iterator[Place]:
    for relation in place.schema.relations():
        if relation.target in entered or (place.referred and not relation.embedded):
            continue
        target = schema_of(relation.target)
        below = Place(
            f"{place.path}{relation.name}/",
            place.ids,
            target,
            place.document,
            relation,
            is_list=relation.many,
            referred=place.referred or not relation.embedded,
        )
        yield below
        if relation.many:
            if target.id_field is None:
                continue  # its items have no URLs
            name = f"{relation.name}_id"
            parameter = id_parameter(book, name, target)
            below = replace(
                below,
                path=f"{below.path}{{{name}}}/",
                ids=(*below.ids, parameter),
                is_list=False,
            )
            yield below
        yield from _below(book, below, (*entered, relation.target))
