"""Make a database connection fit for units of work, once: what must be there is checked or made.

Knows the server's demands; knows nothing of what is written.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

import pymongo
from bson import ObjectId
from mongoengine import connection as mongoengine_connection
from mongoengine.base.common import _document_registry
from mongoengine.connection import DEFAULT_CONNECTION_NAME, ConnectionFailure
from mongoengine.errors import OperationError
from pymongo.errors import OperationFailure, PyMongoError

from bzz.capture import CapturedCollection
from bzz.driver import BoundDatabase
from bzz.errors import SetupError, Unavailable
from bzz.recording import Model, Recorder, recorded_models, recorder_of
from bzz.transactions import said, transaction_options
from bzz.unit import Batch, Unit

STANDALONE = (
    "The MongoDB server is a standalone, which has no transactions: start mongod with "
    "--replSet rs0 and run rs.initiate() once; a replica set of one node is enough."
)

TOO_OLD = "The MongoDB server is older than 6.0, which bzz needs: upgrade it."
_WIRE_VERSION_OF_6_0 = 17

# What has been prepared belongs to a client and ends with it.  By identity: PyMongo takes all
# clients of the same hosts for equal, whatever their options.
_prepared: WeakValueDictionary[int, Any] = WeakValueDictionary()
_lock = threading.RLock()


def client_of(model: Model) -> Any:
    """The client of a model's connection; raises `SetupError` when there is none."""
    alias = _alias(model)
    try:
        return mongoengine_connection.get_connection(alias)
    except ConnectionFailure as error:
        raise SetupError(
            f"{model.__name__} has no connection {alias!r}; call mongoengine.connect() first."
        ) from error


def has_transactions(client: Any) -> bool:
    """Whether this is a real client; mongomock's has neither sessions nor transactions."""
    return isinstance(client, pymongo.MongoClient)


def recorders_on(client: Any) -> list[Recorder]:
    """All recorders of documents that are stored through a client, each once."""
    models = [model for model in recorded_models() if client_of(model) is client]
    found = {id(each): each for each in map(recorder_of, models) if each is not None}
    return list(found.values())


def prepare(model: Model) -> None:
    """Check the server behind `model`, and make what a transaction cannot make itself.

    The collections of all Document classes on the same client get their indexes, and
    their writes within units of work are seen from now on.  The first call on a client
    also runs a trial transaction.  Cheap when everything is there already.

    Raises `SetupError` with one sentence that says what to do, `Unavailable` when the
    server does not answer.
    """
    client = client_of(model)
    if _is_known(client) and not _unseen(client):
        return
    with _lock:
        try:
            _prepare(client, model)
        except (SetupError, Unavailable):
            raise
        except PyMongoError as error:
            raise Unavailable(f"The database does not answer: {said(error)}") from error


def _prepare(client: Any, model: Model) -> None:
    first = not _is_known(client)
    if first and has_transactions(client):
        check_server(client)
        _bind_databases(client)
    for each in _unseen(client):
        _see(each)
    if first and has_transactions(client):
        try_transaction(client, model._get_db())
    _prepared[id(client)] = client


def _is_known(client: Any) -> bool:
    return _prepared.get(id(client)) is client


def check_server(client: Any) -> dict[str, Any]:
    """What the server says of itself.  Raises `SetupError` for one that bzz cannot work with."""
    hello: dict[str, Any] = client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise SetupError(STANDALONE)
    if hello["maxWireVersion"] < _WIRE_VERSION_OF_6_0:
        raise SetupError(TOO_OLD)
    return hello


def _bind_databases(client: Any) -> None:
    for alias, database in _databases(client):
        if not isinstance(database, BoundDatabase):
            bound = mongoengine_connection._dbs[alias] = BoundDatabase.of(database)
            for model in models_on(client):
                # Never None in between: another thread may be about to return what it has.
                if _alias(model) == alias and model._collection is not None:
                    model._collection = bound[model._get_collection_name()]


def _databases(client: Any) -> list[tuple[str, Any]]:
    return [
        (alias, mongoengine_connection.get_db(alias))
        for alias, each in mongoengine_connection._connections.items()
        if each is client
    ]


def models_on(client: Any) -> list[Model]:
    """All Document classes that are stored through a client, those without audit too."""
    aliases = {
        alias for alias, each in mongoengine_connection._connections.items() if each is client
    }
    return [
        model
        for model in list(_document_registry.values())
        if hasattr(model, "_get_collection")
        and not model._meta.get("abstract")
        and _alias(model) in aliases
    ]


def _unseen(client: Any) -> list[Model]:
    return [model for model in models_on(client) if not _is_prepared(model)]


def _is_prepared(model: Model) -> bool:
    collection = model._collection
    return isinstance(collection, CapturedCollection) and collection.prepared


def _see(model: Model) -> None:
    """Make a model's collection and indexes, and let its writes be seen."""
    try:
        collection = model._get_collection()
        # A transaction can make a collection too, but then stands in the way of all others.
        if has_transactions(client_of(model)):
            make_collection(collection.database, collection.name)
        if model._meta.get("auto_create_index", True):
            model.ensure_indexes()
    except (OperationFailure, OperationError) as error:
        raise SetupError(
            f"The collection and the indexes of {model.__name__} cannot be made: {said(error)}. "
            "They cannot be made inside transactions; correct meta['indexes'] or the data."
        ) from error
    if not isinstance(collection, CapturedCollection):
        collection = model._collection = CapturedCollection(model, collection)
    collection.prepared = True


def make_collection(database: Any, name: str, **options: Any) -> None:
    """Create a collection unless it is there already."""
    try:
        database.create_collection(name, check_exists=False, **options)
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:
            raise


_NAMESPACE_EXISTS = 48


def try_transaction(client: Any, database: Any) -> None:
    """One transaction with a write, an update and a read, taken back, in a collection of its own.

    `database` is one that knows bound sessions.  Raises `SetupError`.
    """
    # A name of its own: other processes, which start at the same time, drop theirs.
    name = f"bzz_trial_{ObjectId()}"
    try:
        make_collection(database, name)
        with client.start_session() as session:
            session.start_transaction(**transaction_options())
            with Unit(Batch(session)).entered(), session.bind(end_session=False):
                trial = database[name]
                document_id = ObjectId()
                trial.insert_one({"_id": document_id})
                trial.update_one({"_id": document_id}, {"$set": {"tried": True}})
                found = trial.find_one({"_id": document_id, "tried": True})
            session.abort_transaction()
            outside = trial.find_one({"_id": document_id})
    except PyMongoError as error:
        raise SetupError(
            f"A trial transaction on the database {database.name!r} failed: {said(error)}. "
            "Writes need readWrite rights, and a URI without options that transactions refuse."
        ) from error
    finally:
        with suppress(PyMongoError):  # what matters has been said
            database.drop_collection(name)
    if found is None or outside is not None:
        raise SetupError(
            "A trial write did not join its transaction: this version of PyMongo binds "
            "sessions differently; use a version that bzz names in its requirements."
        )


def _alias(model: Model) -> str:
    return str(model._meta.get("db_alias", DEFAULT_CONNECTION_NAME))
