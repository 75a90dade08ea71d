"""A small audited world for the tests of the recorder: models, their auditor, their API.

The models are new for each test, since a model belongs to one auditor for life, and stand
alone in MongoEngine's registry, so that preparing a connection makes no other tests' indexes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import mongoengine
import pymongo
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
from bzz.recording import _recorder_by_model
from tests.support import Server

SIGNALS = [value for value in vars(bzz_signals).values() if isinstance(value, bzz_signals.Signal)]


@contextmanager
def own_registry() -> Iterator[None]:
    """Only the documents that are defined in the block are known to MongoEngine."""
    saved, recorded = dict(_document_registry), dict(_recorder_by_model)
    _document_registry.clear()
    try:
        yield
    finally:
        _document_registry.clear()
        _document_registry.update(saved)
        # Classes live on in caches; who recorded them is asked by writes of any model.
        _recorder_by_model.clear()
        _recorder_by_model.update(recorded)


@contextmanager
def own_receivers() -> Iterator[None]:
    """Receivers that are connected in the block are gone after it."""
    saved = [(each, dict(each.receivers), dict(each._connections)) for each in SIGNALS]
    try:
        yield
    finally:
        for signal, receivers, connections in saved:
            signal.is_muted = False
            for receiver in list(signal.receivers.values()):
                live = receiver() if hasattr(receiver, "__callback__") else receiver
                if live is not None and live not in receivers.values():
                    signal.disconnect(live)
            signal.receivers = dict(receivers)
            signal._connections = connections


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
        # Events get their positions when a test says so.
        auditor = Auditor(actor=who, **{"work": False, **options})
        yield House(auditor=auditor, **vars(define()))


def stored(document: Any) -> dict[str, Any] | None:
    """A document as the database has it."""
    found: dict[str, Any] | None = raw(type(document)).find_one({"_id": document.pk})
    return found


def raw(model: Any) -> Any:
    """A model's collection, past bzz."""
    return get_db()[model._get_collection_name()]


def elsewhere(function: Callable[[], Any]) -> Any:
    """Run a function as another writer would: in a thread, which no transaction is bound to."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@contextmanager
def new_database(uri: str) -> Iterator[str]:
    """The name of a database for tests that connect, and disconnect, on their own."""
    name = f"t{uuid.uuid4().hex}"
    mongoengine.disconnect_all()
    try:
        yield name
    finally:
        mongoengine.disconnect_all()
        with pymongo.MongoClient(uri) as client:
            client.drop_database(name)


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


@contextmanager
def standing(uri: str) -> Iterator[House]:
    """A house with its running `server`, in a database of its own, for many tests' visits."""
    with new_database(uri) as name:
        mongoengine.connect(name, host=uri, uuidRepresentation="standard")
        with built() as house, Server(house.routes()) as server:
            house.auditor.prepare()
            house.running = server
            yield house


@contextmanager
def visit(house: House) -> Iterator[House]:
    """One test's visit to a standing house: it leaves no documents, receivers, models or errors."""
    kept = [(each, dict(each)) for each in (_document_registry, house.auditor._tracked)]
    served = list(house.auditor._served)
    try:
        with own_receivers():
            yield house
        assert [] == [record.getMessage() for record in house.running.logged]
    finally:
        house.running.logged.clear()
        house.auditor._served[:] = served
        house.auditor._declarations.clear()
        for registry, models in kept:
            registry.clear()
            registry.update(models)
        database = get_db()
        for name in database.list_collection_names():
            database[name].delete_many({})
        if house.auditor.seals is not None:
            house.auditor.seals.prepare()
