"""Plain saves of many units of one transaction, sent to the database in one command.

A plain save runs no code of the application once it has written.  What it writes is encoded at
once and counts as written; it is sent before anybody else reads or writes a document through bzz,
or may do so past it, and at the latest when the block ends.  So nobody can tell it from what was
sent at once, but by an error: that is met later, and put down to the write which the server names.

Knows commands; nothing of what is recorded, of members or queues.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError
from pymongo.results import InsertOneResult, UpdateResult

from bzz.errors import Superseded

Owner = Any  # whose write it is: whoever defers it says so, and learns if it is refused


class Deferral:
    """The writes of one transaction that are not sent yet.

    Attributes
    ----------
    failure: why what was sent has ended the transaction, whoever happened to send it.
    at_fault: the owner of the write that was refused; None where the server does not say.
    """

    def __init__(self, session: ClientSession) -> None:
        self.failure: Exception | None = None
        self.at_fault: Owner | None = None
        self._session = session
        self._waiting: dict[str, _Waiting] = {}

    def insert_one(self, collection: Any, document: Any, owner: Owner) -> InsertOneResult:
        """Insert a document later; the answer is as if it had been inserted."""
        if "_id" not in document:
            document["_id"] = ObjectId()  # as PyMongo does
        self._add(collection, InsertOne(_encoded(collection, document)), owner)
        return InsertOneResult(document["_id"], True)

    def update_one(self, collection: Any, query: Any, update: Any, owner: Owner) -> UpdateResult:
        """Update a document that is there; the answer is as if it had been updated."""
        operators = {name: _encoded(collection, members) for name, members in update.items()}
        self._add(collection, UpdateOne(dict(query), operators), owner)
        answer = {"n": 1, "nModified": 1, "ok": 1.0, "updatedExisting": True}
        return UpdateResult(answer, True)

    def send(self) -> None:
        """Send what waits.  Raises what the server says against it."""
        waiting, self._waiting = self._waiting, {}
        for each in waiting.values():
            try:
                each.send(self._session)
            except Exception as error:
                self.failure = error
                self.at_fault = each.owner_of(error)
                raise

    def _add(self, collection: Any, operation: InsertOne[Any] | UpdateOne, owner: Owner) -> None:
        waiting = self._waiting.setdefault(collection.full_name, _Waiting(collection))
        waiting.operations.append(operation)
        waiting.owners.append(owner)


class _Waiting:
    """What waits for one collection."""

    def __init__(self, collection: Any) -> None:
        self.collection = collection
        self.operations: list[InsertOne[Any] | UpdateOne] = []
        self.owners: list[Owner] = []

    def send(self, session: ClientSession) -> None:
        result = self.collection.bulk_write(self.operations, session=session)
        if result.inserted_count + result.matched_count != len(self.operations):
            raise Superseded("A document that was read in a transaction is not there to update.")

    def owner_of(self, error: Exception) -> Owner | None:
        """Whose write an error is about, if it says so."""
        if not isinstance(error, BulkWriteError):
            return None
        faults = error.details.get("writeErrors", ())
        return self.owners[faults[0]["index"]] if faults else None


def _encoded(collection: Any, document: Mapping[str, Any]) -> RawBSONDocument:
    """A document as it is now, whatever becomes of the values in it."""
    return RawBSONDocument(bson.encode(document, codec_options=collection.codec_options))


class _OfThread(threading.local):
    """A thread runs one transaction at a time, and its code may enter contexts of its own."""

    deferral: Deferral | None = None
    saves_plainly = False


_here = _OfThread()


@contextmanager
def deferring(deferral: Deferral) -> Iterator[None]:
    """Let the plain saves of the block wait for each other; they are sent when it ends."""
    _here.deferral = deferral
    try:
        yield
        deferral.send()
    finally:
        _here.deferral = None


@contextmanager
def plain_save() -> Iterator[None]:
    """The block saves one document, and runs no code of the application after that."""
    _here.saves_plainly = True
    try:
        yield
    finally:
        _here.saves_plainly = False


def of_this_save() -> Deferral | None:
    """What takes the writes of a plain save, if one is running and its writes can wait."""
    return _here.deferral if _here.saves_plainly else None


def send_deferred() -> None:
    """Send what waits, before the database is asked for anything else."""
    if _here.deferral is not None:
        _here.deferral.send()
