"""A small unaudited world for the tests of the HTTP API: models and the server that serves them.

The models are new for each world and stand alone in MongoEngine's registry; MongoEngine's
default connection, mongomock or real, is there already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from mongoengine import (
    DENY,
    DateTimeField,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    FloatField,
    IntField,
    ListField,
    MapField,
    ReferenceField,
    StringField,
)

from bzz import MongoEngineRestHandler, flatten
from tests.house import own_receivers, own_registry
from tests.support import Server


def define() -> SimpleNamespace:
    """People with addresses and pets, in teams; pages, notes and animals beside them."""

    class Address(EmbeddedDocument):
        street = StringField(required=True)
        city = StringField(db_field="c")

    class Pet(EmbeddedDocument):
        name = StringField(required=True)
        kind = StringField()
        home = EmbeddedDocumentField(Address)

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.name

    class User(Document):
        name = StringField(required=True, max_length=40)
        email = StringField(unique=True, sparse=True)
        age = IntField(min_value=0)
        score = FloatField()
        born = DateTimeField()
        home = EmbeddedDocumentField(Address)
        pets = EmbeddedDocumentListField(Pet)
        tags = ListField(StringField())
        points = MapField(IntField())

    class Team(Document):
        name = StringField()
        users = ListField(ReferenceField(User))
        lead = ReferenceField(User)

    class Deed(Document):
        owner = ReferenceField(User, reverse_delete_rule=DENY)

    class Page(Document):
        slug = StringField(primary_key=True)
        title = StringField()

    class Note(DynamicDocument):
        title = StringField()

    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        bark = StringField()

    found = dict(locals())
    return SimpleNamespace(**found)


class People(SimpleNamespace):
    """The models as attributes, and the `server` of all of their routes."""

    server: Server

    def make(self, model: Any = None, **values: Any) -> Any:
        """A document, saved past bzz; by default a user."""
        model = model or self.User
        if model is self.User:
            values.setdefault("name", "Ana")
        return model(**values).save()


@contextmanager
def served(
    *models: str, handler: Any = MongoEngineRestHandler, settings: Any = None, **options: Any
) -> Iterator[People]:
    """A world and its running server; `models` names those that are served, by default all."""
    with own_registry(), own_receivers():
        world = define()
        names = models or ("User", "Team", "Deed", "Page", "Note", "Animal", "Dog")
        routes = flatten(
            handler.routes_for("mongoengine", getattr(world, name), **options) for name in names
        )
        with Server(routes, **(settings or {})) as server:
            yield People(server=server, **vars(world))


@contextmanager
def serving(
    *models: Any, handler: Any = MongoEngineRestHandler, **options: Any
) -> Iterator[Server]:
    """A running server of some models."""
    routes = flatten(handler.routes_for("mongoengine", each, **options) for each in models)
    with Server(routes) as server:
        yield server


def stored(document: Any) -> Any:
    """A document as the database has it, without its id; None when there is none."""
    found = type(document)._get_collection().find_one({"_id": document.pk})
    return found and {name: value for name, value in found.items() if name != "_id"}
