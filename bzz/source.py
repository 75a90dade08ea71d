"""Where the documents of a class are stored, read exactly as they are stored.

Knows collections and what MongoEngine makes of their content; nothing of units of work
but the session that theirs is read in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

import bson
from bson import MinKey, ObjectId
from bson.raw_bson import RawBSONDocument
from mongoengine.base.common import get_document
from pymongo import ASCENDING, ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.deferral import send_deferred
from bzz.recording import Model, State
from bzz.values import ABSENT, EXACT, encoded

Key = tuple[str, bytes]
"""Names one document of one collection; hashable."""


class Captured:
    """What stands in the place of a class's collection, and knows the class's source."""

    source: Source


class Source:
    """Where the documents of a class are stored."""

    def __init__(self, model: Model, collection: Any) -> None:
        self.model = model
        self.collection = collection
        self.name: str = collection.full_name
        self._real = isinstance(collection, Collection)
        self._raw = (
            collection.with_options(
                # Queries are written as the model's own are: with its representation of UUIDs.
                codec_options=collection.codec_options.with_options(document_class=RawBSONDocument),
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern(),
            )
            if self._real
            else collection
        )

    @classmethod
    def of(cls, model: Model) -> Source:
        """The source of a Document class."""
        collection = model._get_collection()
        if isinstance(collection, Captured):
            return collection.source
        return cls(model, collection)

    def exact(self, value: Any) -> Any:
        """A value as `find` gives it: models and drivers have Python types of their own."""
        if not self._real or isinstance(value, ObjectId | str | int):
            return value
        stored = bson.encode({"": value}, codec_options=self.collection.codec_options)
        return bson.decode(stored, EXACT)[""]

    def key(self, document_id: Any) -> Key:
        """What tells a document from all others."""
        return self.name, id_key(self.exact(document_id))

    def find(
        self, session: ClientSession | None, query: Mapping[str, Any], **options: Any
    ) -> Iterable[State]:
        """The stored content of all documents that match a query of MongoDB's language."""
        return list(self.each(session, query, **options))

    def each(
        self, session: ClientSession | None, query: Mapping[str, Any], **options: Any
    ) -> Iterator[State]:
        """As `find`, one at a time, for more of them than fit in memory."""
        if not self._real:
            yield from (copy.deepcopy(state) for state in self._raw.find(query, **options))
        else:
            send_deferred()
            yield from map(_exactly, self._raw.find(query, session=session, **options))

    def find_one(
        self, session: ClientSession | None, query: Mapping[str, Any], **options: Any
    ) -> State | None:
        """The first match, or None."""
        for state in self.find(session, query, limit=1, **options):
            return state
        return None

    def walk(self, *, after: Any = ABSENT, limit: int) -> list[State]:
        """The next documents in the order of their ids, of all types: `_id` and `_cls` alone.

        What a majority holds, outside of any transaction.
        """
        shown, order = {"_id": 1, "_cls": 1}, [("_id", ASCENDING)]
        if not self._real:
            query = {} if after is ABSENT else {"_id": {"$gt": after}}
            return list(self._raw.find(query, shown, sort=order, limit=limit))
        # A bound of the index, not a query, which would compare ids of one type only.
        first = MinKey() if after is ABSENT else after
        found = self._raw.with_options(read_concern=ReadConcern("majority")).find(
            {}, shown, sort=order, limit=-limit - 1, hint=order, min={"_id": first}
        )
        states = [_exactly(raw) for raw in found]
        # The bound itself is among them, as long as it is stored.
        if states and after is not ABSENT and id_key(states[0]["_id"]) == id_key(after):
            del states[0]
        return states[:limit]

    def put(self, session: ClientSession | None, document_id: Any, state: State | None) -> None:
        """Store exactly this content for a document, past whoever sees writes; None: no document.

        Raises what the driver raises.
        """
        options: dict[str, Any] = {"codec_options": EXACT} if self._real else {}
        collection = self._raw.with_options(**options)
        bound = {} if session is None else {"session": session}
        # Not a replacement: that takes some names of members for operators.
        collection.delete_one({"_id": document_id}, **bound)
        if state is not None:
            collection.insert_one(dict(state), **bound)

    def load(self, state: State) -> Any:
        """The document of a stored state, as MongoEngine would have loaded it.

        Raises what MongoEngine raises for a state that its model cannot hold.
        """
        if self._real:
            state = bson.decode(bson.encode(state), self.collection.codec_options)
        else:
            state = copy.deepcopy(state)
        return self.class_of(state)._from_son(state)

    def matches(self, state: State, query: Mapping[str, Any]) -> bool:
        """Whether a state, stored or past, would be found by a query; the server decides."""
        if not self._real:
            filtering = import_module("mongomock.filtering")
            return bool(filtering.filter_applies(query, state))
        database = self._raw.database
        pipeline: list[Mapping[str, Any]] = [
            {"$documents": [{"$literal": state}]},
            {"$match": query},
            {"$project": {"_id": 1}},
        ]
        return any(True for _ in database.aggregate(pipeline))

    def class_of(self, state: State | None) -> Model:
        """The class that a stored state names in `_cls`, else this source's."""
        name = None if state is None else state.get("_cls")
        if not isinstance(name, str) or name == self.model._class_name:
            return self.model
        if not self.model._meta.get("allow_inheritance"):
            return self.model
        try:
            found: Model = get_document(name)
        except Exception:  # MongoEngine's NotRegistered: the class has been removed since
            return self.model
        return found


def id_key(document_id: Any) -> bytes:
    """A document id as a dictionary key: typed, and hashable for ids that are objects."""
    if isinstance(document_id, float | int) and not isinstance(document_id, bool):
        # MongoDB takes 1, 1.0 and NumberLong(1) for one and the same _id.
        document_id = int(document_id) if document_id == document_id // 1 else document_id
    if type(document_id) is ObjectId:
        return b"o" + document_id.binary  # most ids; no encoded document is so long and so short
    return encoded(document_id)


def stored_id(instance: Any) -> Any:
    """The primary key of a document, as its model would store it."""
    field = instance._fields[instance._meta["id_field"]]
    return None if instance.pk is None else field.to_mongo(instance.pk)


def _exactly(raw: RawBSONDocument) -> State:
    return bson.decode(raw.raw, EXACT)
