"""The application whose routes the reference shows: teams with addresses, and users in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
)

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from bzz.openapi.route import Description
from bzz.routes import Routes


@dataclass(frozen=True)
class Example:
    """An application's routes and their description.

    Attributes
    ----------
    routes: all of them, as Tornado takes them.
    document: what `/openapi.json` would say of them.
    """

    routes: Routes
    document: dict[str, Any]


@cache
def example() -> Example:
    """A model with embedded and with referenced members, one and many of each, all audited."""

    class Address(EmbeddedDocument):
        street = StringField(required=True)
        city = StringField()

    class User(Document):
        name = StringField(required=True)

    class Team(Document):
        name = StringField(required=True, max_length=100)
        size = IntField(min_value=0)
        office = EmbeddedDocumentField(Address)
        addresses = EmbeddedDocumentListField(Address)
        lead = ReferenceField(User)
        users = ListField(ReferenceField(User))

    auditor = Auditor()
    auditor.track(User)
    routes = MongoEngineRestHandler.routes_for("mongoengine", Team, audit=auditor)
    found = flatten([routes, auditor.routes()])
    return Example(found, Description(found, title="Teams", version="1").document())
