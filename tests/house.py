"""A small audited world for the tests of the recorder: models, their auditor, their API.

The models are new for each test, since a model belongs to one auditor for life, and stand
alone in MongoEngine's registry, so that preparing a connection makes no other tests' indexes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from bson import BSON
from mongoengine import (
    CASCADE,
    DENY,
    NULLIFY,
    PULL,
    BooleanField,
    Document,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    FloatField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
    get_db,
)
from mongoengine.base.common import _document_registry

from bzz import MongoEngineRestHandler, flatten
from bzz import signals as bzz_signals
from bzz.audit import Auditor, Event
from tests.support import Server

SIGNALS = [value for value in vars(bzz_signals).values() if isinstance(value, bzz_signals.Signal)]


@contextmanager
def own_registry() -> Iterator[None]:
    """Only the documents that are defined in the block are known to MongoEngine."""
    saved = dict(_document_registry)
    _document_registry.clear()
    try:
        yield
    finally:
        _document_registry.clear()
        _document_registry.update(saved)


@contextmanager
def own_receivers() -> Iterator[None]:
    """Receivers that are connected in the block are gone after it."""
    saved = [(each, dict(each.receivers), set(each._atomic)) for each in SIGNALS]
    try:
        yield
    finally:
        for signal, receivers, atomic in saved:
            signal.is_muted = False
            for receiver in list(signal.receivers.values()):
                live = receiver() if hasattr(receiver, "__callback__") else receiver
                if live is not None and live not in receivers.values():
                    signal.disconnect(live)
            signal.receivers = dict(receivers)
            signal._atomic = atomic


def define() -> SimpleNamespace:
    """People in teams, with all that MongoEngine's rules of deletion do to each other."""

    class Address(EmbeddedDocument):
        street = StringField()
        city = StringField(db_field="c")

    class Team(Document):
        name = StringField()

    class User(Document):
        name = StringField(required=True)
        email = StringField(unique=True, sparse=True)
        age = IntField()
        active = BooleanField()
        score = FloatField()
        tags = ListField(StringField())
        home = EmbeddedDocumentField(Address)
        note = DynamicField()
        team = ReferenceField(Team, reverse_delete_rule=NULLIFY)
        secret = StringField()
        pin = StringField()

    class Club(Document):
        members = ListField(ReferenceField(User, reverse_delete_rule=PULL))

    class Order(Document):
        user = ReferenceField(User, reverse_delete_rule=CASCADE)

    class Deed(Document):
        owner = ReferenceField(User, reverse_delete_rule=DENY)

    return SimpleNamespace(Address=Address, Team=Team, User=User, Club=Club, Order=Order, Deed=Deed)


class House(SimpleNamespace):
    """The models as attributes, the `auditor` that tracks them, and what tests ask of both."""

    auditor: Auditor

    def track(self, *models: Any, **options: Any) -> None:
        """Track models: the given ones, else all documents of the house."""
        for model in models or (self.Team, self.User, self.Club, self.Order, self.Deed):
            self.auditor.track(model, **options)
        self.auditor.prepare()

    def write(self, function: Callable[[], Any], **context: Any) -> Any:
        """`auditor.write`."""
        return self.auditor.write(function, **context)

    def make(self, model: Any = None, **values: Any) -> Any:
        """A document, saved in a write of its own."""
        model = model or self.User
        return self.write(lambda: model(**values).save())

    def events(self, document: Any, model: Any = None) -> list[Event]:
        """All events of a document."""
        model, pk = model or type(document), getattr(document, "pk", document)
        return list(self.auditor.history(model, pk).versions())

    def told(self, document: Any) -> list[str]:
        """The operations of a document's events."""
        return [event.operation.value for event in self.events(document)]

    @property
    def server(self) -> Server:
        """The API of the house's audited models, for a `with` block."""
        return Server(self.routes())

    def routes(self, handler: Any = MongoEngineRestHandler, **options: Any) -> Any:
        """The routes of the house's audited models."""
        return flatten(
            handler.routes_for("mongoengine", model, audit=self.auditor, **options)
            for model in (self.Team, self.User, self.Club, self.Order, self.Deed)
        )


@contextmanager
def built(**options: Any) -> Iterator[House]:
    """A house for the length of a block; MongoEngine's default connection is there already."""
    with own_registry(), own_receivers():
        who = options.pop("actor", lambda handler: handler.request.headers.get("X-User"))
        auditor = Auditor(actor=who, **options)
        yield House(auditor=auditor, **vars(define()))


def stored(document: Any) -> dict[str, Any] | None:
    """A document as the database has it."""
    found: dict[str, Any] | None = raw(type(document)).find_one({"_id": document.pk})
    return found


def raw(model: Any) -> Any:
    """A model's collection, past bzz."""
    return get_db()[model._get_collection_name()]


def history_bytes() -> bytes:
    """Everything that is stored in the history."""
    return b"".join(BSON.encode(each) for each in get_db()["bzz_history"].find())


@contextmanager
def failing(client: Any, commands: list[str], *, times: int = 1, **how: Any) -> Iterator[None]:
    """The server fails the next `times` of some commands, as `how` says, in the block."""
    client.admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": times} if times else "alwaysOn",
        data={"failCommands": commands, **how},
    )
    try:
        yield
    finally:
        client.admin.command("configureFailPoint", "failCommand", mode="off")
