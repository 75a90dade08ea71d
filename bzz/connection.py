"""Make a database connection fit for units of work, once: what must be there is checked or made.

Knows the server's demands; knows nothing of what is written.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

import pymongo
from bson import ObjectId
from mongoengine import connection as mongoengine_connection
from mongoengine.base.common import _document_registry
from mongoengine.connection import DEFAULT_CONNECTION_NAME, ConnectionFailure
from mongoengine.errors import OperationError
from pymongo.errors import CollectionInvalid, OperationFailure, PyMongoError

from bzz.capture import CapturedCollection, Unit
from bzz.driver import BoundDatabase, needs_binding
from bzz.errors import SetupError, Unavailable
from bzz.recording import Model
from bzz.transactions import transaction_options

STANDALONE = (
    "The MongoDB server is a standalone, which has no transactions: start mongod with "
    "--replSet rs0 and run rs.initiate() once; a replica set of one node is enough."
)

_TRIAL = "bzz_trial"

# What has been prepared belongs to a client and ends with it.
_prepared: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
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


def prepare(model: Model) -> None:
    """Check the server behind `model`, and make what a transaction cannot make itself.

    The collections of all Document classes on the same client get their indexes, and
    their writes within units of work are seen from now on.  The first call on a client
    also runs a trial transaction.  Cheap when everything is there already.

    Raises `SetupError` with one sentence that says what to do, `Unavailable` when the
    server does not answer.
    """
    client = client_of(model)
    if client in _prepared and not _unseen(client):
        return
    with _lock:
        try:
            _prepare(client, model)
        except (SetupError, Unavailable):
            raise
        except PyMongoError as error:
            raise Unavailable(f"The database does not answer: {error}") from error


def _prepare(client: Any, model: Model) -> None:
    first = client not in _prepared
    if first and has_transactions(client):
        _check_server(client)
        _bind_databases(client)
    for each in _unseen(client):
        _see(each)
    if first and has_transactions(client):
        _try(client, model._get_db())
    _prepared[client] = True


def _check_server(client: Any) -> None:
    hello = client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise SetupError(STANDALONE)


def _bind_databases(client: Any) -> None:
    for alias, database in _databases(client):
        if needs_binding(database) and not isinstance(database, BoundDatabase):
            mongoengine_connection._dbs[alias] = BoundDatabase.of(database)
            for model in _models(client):
                if _alias(model) == alias:
                    model._collection = None


def _databases(client: Any) -> list[tuple[str, Any]]:
    return [
        (alias, mongoengine_connection.get_db(alias))
        for alias, each in mongoengine_connection._connections.items()
        if each is client
    ]


def _models(client: Any) -> list[Model]:
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
    return [m for m in _models(client) if not isinstance(m._collection, CapturedCollection)]


def _see(model: Model) -> None:
    """Make a model's collection and indexes, and let its writes be seen."""
    try:
        collection = model._get_collection()
        if model._meta.get("auto_create_index", True):
            model.ensure_indexes()
    except (OperationFailure, OperationError) as error:
        raise SetupError(
            f"The indexes of {model.__name__} cannot be made: {error}. "
            "They cannot be made inside transactions; correct meta['indexes'] or the data."
        ) from error
    if not isinstance(collection, CapturedCollection):
        model._collection = CapturedCollection(model, collection)


def make_collection(database: Any, name: str, **options: Any) -> None:
    """Create a collection unless it is there already."""
    try:
        database.create_collection(name, **options)
    except (CollectionInvalid, OperationFailure) as error:
        if isinstance(error, OperationFailure) and error.code != _NAMESPACE_EXISTS:
            raise


_NAMESPACE_EXISTS = 48


def _try(client: Any, database: Any) -> None:
    """One transaction with a write, an update and a read, taken back."""
    make_collection(database, _TRIAL)
    try:
        with client.start_session() as session:
            session.start_transaction(**transaction_options())
            with Unit(session=session).entered(), session.bind(end_session=False):
                trial = database[_TRIAL]
                document_id = ObjectId()
                trial.insert_one({"_id": document_id})
                trial.update_one({"_id": document_id}, {"$set": {"tried": True}})
                found = trial.find_one({"_id": document_id, "tried": True})
            session.abort_transaction()
            outside = trial.find_one({"_id": document_id})
    except PyMongoError as error:
        raise SetupError(
            f"A trial transaction on the database {database.name!r} failed: {error}. "
            "Writes need readWrite rights, and a URI without options that transactions refuse."
        ) from error
    finally:
        database.drop_collection(_TRIAL)
    if found is None or outside is not None:
        raise SetupError(
            "A trial write did not join its transaction: this version of PyMongo binds "
            "sessions differently; use a version that bzz names in its requirements."
        )


def _alias(model: Model) -> str:
    return str(model._meta.get("db_alias", DEFAULT_CONNECTION_NAME))
