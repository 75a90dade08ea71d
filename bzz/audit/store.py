"""The history collection: how an event is stored, appended and read.  Nothing is ever taken away.

One document in `bzz_history` is one event.  The collection outgrows all others, so its
members have one letter:

==  ==========================================================================
s   stream name                     d   the document's id
v   version, from 1                 o   operation, one letter
t   time (UTC)                      n   server time of the write (a Timestamp)
c   changes: p pointer, f from, t to; a missing f or t is an absent member
x   pointers of masked values that changed
a   actor: kind, id                 w   why: the reason
k   correlation                     q   request: m method, p path, a address
g   1: no document after this event
h   digest of the state after it    z   salt
r   restored from version           u   undo of version
m   schema version, when not 1      p   position, 0 until it has one
b   id of the transaction's first event, in those that are not the first
==  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Binary, Int64, MaxKey, MinKey, Timestamp
from pymongo import ASCENDING, DESCENDING, ReadPreference
from pymongo.errors import DuplicateKeyError, OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.diff import pack, pointer, unpack
from bzz.audit.errors import EventNotStored, VersionTaken
from bzz.audit.events import Actor, Event, Operation, Request
from bzz.connection import make_collection
from bzz.source import id_key
from bzz.values import ABSENT, EXACT

COLLECTION = "bzz_history"
POSITION, UNNUMBERED, TRANSACTION = "position", "unnumbered", "unnumbered_transaction"
CORRELATION = "correlation"

_LETTERS = {
    Operation.CREATED: "c",
    Operation.UPDATED: "u",
    Operation.DELETED: "d",
    Operation.RESTORED: "r",
    Operation.EXTERNAL: "x",
    Operation.BASELINE: "b",
    Operation.ERASED: "e",
}
_OPERATIONS = {letter: operation for operation, letter in _LETTERS.items()}

_INDEX = "stream_version"
_UNIQUE_KEY = [("s", ASCENDING), ("d", ASCENDING), ("v", ASCENDING)]
Indexes = dict[str, tuple[list[tuple[str, int]], dict[str, Any]]]
"""Indexes by their names: their keys, and their further options."""
INDEXES: Indexes = {
    _INDEX: (_UNIQUE_KEY, {"unique": True}),
    # For sets of documents: all of a model since a time, all that a request wrote.
    "stream_time": ([("s", ASCENDING), ("t", ASCENDING)], {}),
    CORRELATION: ([("k", ASCENDING)], {}),
}
PARTIAL_INDEXES: Indexes = {
    POSITION: ([("p", ASCENDING)], {"unique": True, "partialFilterExpression": {"p": {"$gt": 0}}}),
    UNNUMBERED: ([("n", ASCENDING)], {"partialFilterExpression": {"p": 0}}),
    TRANSACTION: (
        [("b", ASCENDING), ("n", ASCENDING)],
        {"partialFilterExpression": {"p": 0, "b": {"$exists": True}}},
    ),
}
"""For readers of all events, and for the sequencer, whose indexes hold what has no position yet."""
_HEAD = {"d": 1, "v": 1, "o": 1, "g": 1, "t": 1, "h": 1, "z": 1}


class HistoryStore:
    """The events of all streams in one database.

    `database` is PyMongo's or mongomock's.  Sessions are those of the caller's transaction;
    without one, reads see only what a majority holds.
    """

    def __init__(self, database: Any, *, real: bool) -> None:
        self._database = database
        self._real = real
        options: dict[str, Any] = {"codec_options": EXACT} if real else {}
        collection = database[COLLECTION]
        self._inside = collection.with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(), **options
        )
        self._outside = (
            self._inside.with_options(read_concern=ReadConcern("majority"), **options)
            if real
            else self._inside
        )

    def prepare(self) -> None:
        """Make the collection (compressed with zstd where the server has it) and its indexes.

        Raises `EventNotStored` when the database refuses.
        """
        try:
            if self._real and COLLECTION not in self._database.list_collection_names():
                self._create()
            wanted = INDEXES | PARTIAL_INDEXES if self._real else INDEXES
            for name, (keys, options) in wanted.items():
                self._inside.create_index(keys, name=name, **options)
        except OperationFailure as error:
            raise EventNotStored(_said(error)) from error

    def _create(self) -> None:
        engine = {"wiredTiger": {"configString": "block_compressor=zstd"}}
        try:
            make_collection(self._database, COLLECTION, storageEngine=engine)
        except OperationFailure:
            # Another storage engine, or none of ours to choose: the default compresses too.
            make_collection(self._database, COLLECTION)

    # Appending

    def append(self, events: Sequence[Event], *, session: Any) -> None:
        """Store events in the caller's transaction: all of them or none.

        Raises `VersionTaken` when another writer has appended to one of the streams since the
        caller looked, and `EventNotStored` when the database refuses the events.
        """
        documents = [packed(event) for event in events]
        options = {} if session is None else {"session": session}
        try:
            if len(documents) == 1:
                self._inside.insert_one(documents[0], **options)
            else:
                self._inside.insert_many(documents, **options)
        except DuplicateKeyError as error:
            raise _taken(events, 0) from error
        except OperationFailure as error:
            if error.has_error_label("TransientTransactionError"):
                raise
            index = _duplicate(error)
            if index is not None:
                raise _taken(events, index) from error
            raise EventNotStored(_said(error)) from error

    # Reading

    def heads(
        self, stream: str, ids: Iterable[Any], *, session: Any = None
    ) -> list[dict[str, Any]]:
        """The last event of each document, as stored, of those that have one; in no order.

        Only what continuing a stream takes: id, version, operation, time, digest and salt.
        """
        wanted = list(ids)
        collection, options = self._reader(session)
        if len(wanted) == 1:
            found = collection.find(
                {"s": stream, "d": wanted[0]}, _HEAD, sort=[("v", DESCENDING)], limit=1, **options
            )
            return list(found)
        return list(
            collection.aggregate(
                [
                    {"$match": {"s": stream, "d": {"$in": wanted}}},
                    {"$sort": {"s": DESCENDING, "d": DESCENDING, "v": DESCENDING}},
                    {"$group": {"_id": "$d", "last": {"$first": "$$ROOT"}}},
                    {"$replaceRoot": {"newRoot": "$last"}},
                    {"$project": _HEAD},
                ],
                **options,
            )
        )

    def reaches(self, collection: Any) -> bool:
        """Whether `look` can read a collection: it stands in the same real database."""
        return self._real and bool(collection.database.name == self._database.name)

    def look(
        self, stream: str, document_id: Any, collection: str, query: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The last event of a document (as `heads`), then what `query` finds in a collection.

        One command: each answer of the API to a GET needs both.
        """
        found = self._outside.aggregate(
            [
                {"$match": {"s": stream, "d": document_id}},
                {"$sort": {"v": DESCENDING}},
                {"$limit": 1},
                {"$project": {"_id": 0, "head": {name: f"${name}" for name in _HEAD}}},
                {"$unionWith": {"coll": collection, "pipeline": [{"$match": query}]}},
            ]
        )
        head = state = None
        for each in found:
            if "_id" in each:  # no document is stored without one
                state = each
            else:
                head = each["head"]
        return head, state

    def events(
        self,
        stream: str,
        document_id: Any,
        *,
        model: str,
        query: dict[str, Any] | None = None,
        newest_first: bool = False,
        limit: int = 0,
        session: Any = None,
    ) -> Iterator[Event]:
        """The events of one document that match `query` (stored names), in order of version."""
        collection, options = self._reader(session)
        cursor = collection.find(
            {"s": stream, "d": document_id, **(query or {})},
            sort=[("v", DESCENDING if newest_first else ASCENDING)],
            limit=limit,
            **options,
        )
        for stored in cursor:
            yield unpacked(stored, model)

    def walk(
        self, stream: str, *, document: Any = ABSENT, after: Any = ABSENT, session: Any = None
    ) -> Iterator[dict[str, Any]]:
        """The events as stored, document by document in the order of their ids, then by version.

        Of one `document`, or of all that come `after` one.  Pages of one answer each: memory is
        bounded, and the caller may take any time between two of them.
        """
        place: Any = (document, 0) if after is ABSENT else (after, MaxKey())
        if after is ABSENT and document is ABSENT:
            place = (MinKey(), MinKey())
        while page := self._page(stream, place, document, session):
            yield from page
            version = page[-1].get("v")
            place = (page[-1].get("d"), version + 1 if isinstance(version, int) else MaxKey())

    def _page(self, stream: str, place: Any, document: Any, session: Any) -> list[dict[str, Any]]:
        collection, options = self._reader(session)
        if not self._real:
            return _page_of(list(collection.find({"s": stream}, sort=_UNIQUE_KEY)), place, document)
        # Bounds of the index, not a query, which would compare ids of one type only.
        end = {"s": f"{stream}\0", "d": MinKey(), "v": MinKey()}
        if document is not ABSENT:
            end = {"s": stream, "d": document, "v": MaxKey()}
        found = collection.find(
            {},
            sort=_UNIQUE_KEY,
            limit=-_PAGE,  # one answer: at most so many, at most 16 MB
            hint=_INDEX,
            min={"s": stream, "d": place[0], "v": place[1]},
            max=end,
            **options,
        )
        return list(found)

    def without_history(self, stream: str, ids: Sequence[Any]) -> list[Any]:
        """Those of `ids` that have no event."""
        begun = self._outside.find({"s": stream, "d": {"$in": list(ids)}, "v": 1}, {"d": 1})
        known = {id_key(each["d"]) for each in begun}
        rest = [each for each in ids if id_key(each) not in known]
        if rest:  # a stream that lacks its first event is broken, not missing
            known = {id_key(each["d"]) for each in self.heads(stream, rest)}
        return [each for each in rest if id_key(each) not in known]

    def event(self, stream: str, document_id: Any, version: int, *, model: str) -> Event | None:
        """One event, or None."""
        for event in self.events(stream, document_id, model=model, query={"v": version}):
            return event
        return None

    def numbered(
        self,
        query: dict[str, Any],
        positions: range,
        *,
        newest_first: bool,
        limit: int,
        correlation: str | None = None,
        session: Any = None,
    ) -> list[dict[str, Any]]:
        """Events as stored, of all streams, that match `query` and have one of the positions.

        With a `correlation` only those of that id.
        """
        conditions = [{"p": {"$gte": positions.start, "$lt": positions.stop}}, query]
        if correlation is not None:
            conditions.append({"k": correlation})
        found = self._outside.find(
            {"$and": conditions},
            sort=[("p", DESCENDING if newest_first else ASCENDING)],
            limit=limit,
            hint=POSITION if correlation is None else CORRELATION,
            session=session,
        )
        return list(found)

    def facts(
        self, stream: str, document_id: Any, versions: Iterable[int]
    ) -> dict[int, tuple[datetime, Actor]]:
        """When and by whom the events of some versions were made."""
        query = {"s": stream, "d": document_id, "v": {"$in": sorted(versions)}}
        found = self._outside.find(query, {"_id": 0, "v": 1, "t": 1, "a": 1})
        return {int(each["v"]): (utc(each["t"]), Actor(*each["a"])) for each in found}

    def documents(
        self, query: dict[str, Any], *, after: tuple[str, Any] | None = None
    ) -> Iterator[tuple[str, Any, list[int]]]:
        """The stream, id and versions of all documents with events that match `query`.

        In the order of streams and ids, as MongoDB sorts them; only those behind `after`.
        """
        pipeline: list[dict[str, Any]] = [
            {"$match": query},
            {"$group": {"_id": {"s": "$s", "d": "$d"}, "v": {"$push": "$v"}}},
        ]
        if after is not None:
            stream, document = after
            same_stream = {"$eq": ["$_id.s", {"$literal": stream}]}
            later = {"$gt": ["$_id.d", {"$literal": document}]}
            behind = {"$gt": ["$_id.s", {"$literal": stream}]}
            # $expr compares ids of different types as the sort does; a query would not.
            pipeline.append(
                {"$match": {"$expr": {"$or": [behind, {"$and": [same_stream, later]}]}}}
            )
        pipeline.append({"$sort": {"_id.s": 1, "_id.d": 1}})
        for each in self._outside.aggregate(pipeline, allowDiskUse=True):
            yield each["_id"]["s"], each["_id"]["d"], [int(version) for version in each["v"]]

    def count(self, query: dict[str, Any]) -> tuple[int, int]:
        """How many documents have events that match `query`, and how many events these are."""
        pipeline: list[dict[str, Any]] = [
            {"$match": query},
            {"$group": {"_id": {"s": "$s", "d": "$d"}, "n": {"$sum": 1}}},
            {"$group": {"_id": None, "documents": {"$sum": 1}, "events": {"$sum": "$n"}}},
        ]
        for each in self._outside.aggregate(pipeline, allowDiskUse=True):
            return int(each["documents"]), int(each["events"])
        return 0, 0

    def trace(self, stream: str, member: str, value: Any) -> Any:
        """The id of the document that a delete took away last while `member` was `value`.

        None when there is none.  Reads the stream's deletes; there is no index of past values.
        """
        removed = {"$elemMatch": {"p": pointer([member]), "f": value, "t": {"$exists": False}}}
        found = self._outside.find_one(
            {"s": stream, "g": 1, "c": removed}, {"d": 1}, sort=[("_id", DESCENDING)]
        )
        return None if found is None else found["d"]

    def _reader(self, session: Any) -> tuple[Any, dict[str, Any]]:
        if session is None:
            return self._outside, {}
        return self._inside, {"session": session}


def actor_query(text: str) -> dict[str, Any]:
    """Events by an actor: `text` is an id, or 'kind:id'."""
    kind, colon, identity = text.partition(":")
    alternatives: list[dict[str, Any]] = [{"a.1": text}, {"a": [text]}]
    if colon:
        alternatives.append({"a": [kind, identity] if identity else [kind]})
    return {"$or": alternatives}


_DUPLICATE_KEY = 11000
_PAGE = 1000


def _page_of(events: list[dict[str, Any]], place: Any, document: Any) -> list[dict[str, Any]]:
    """As `_page`, for a database of tests, whose ids all have one type."""
    wanted = [each for each in events if document is ABSENT or each["d"] == document]
    if isinstance(place[0], MinKey):
        return wanted
    last = isinstance(place[1], MaxKey)
    return [
        each
        for each in wanted
        if each["d"] > place[0] or (each["d"] == place[0] and not last and each["v"] >= place[1])
    ][:_PAGE]


def _taken(events: Sequence[Event], index: int) -> VersionTaken:
    return VersionTaken(events[index].stream, events[index].version, index=index)


def _duplicate(error: OperationFailure) -> int | None:
    """Which document of a bulk insert has a key that is taken; None when that is not why."""
    for each in _write_errors(error):
        if each.get("code") == _DUPLICATE_KEY:
            return int(each["index"])
    return None


def _said(error: OperationFailure) -> str:
    """What the server said; the driver's message lists the refused events as well."""
    found = [*_write_errors(error), error.details or {}]
    return str(found[0].get("errmsg", type(error).__name__))


def _write_errors(error: OperationFailure) -> list[Any]:
    return list((error.details or {}).get("writeErrors", ()))


def letter_of(operation: str) -> str:
    """The stored letter of an operation's name.  Raises `ValueError` for an unknown one."""
    return _LETTERS[Operation(operation)]


def packed(event: Event) -> dict[str, Any]:
    """An event as it is stored."""
    document: dict[str, Any] = {
        "_id": event.id,
        "s": event.stream,
        "d": event.document,
        "v": event.version,
        "o": _LETTERS[event.operation],
        "t": event.time,
        # The server puts its own time in the place of an empty top-level Timestamp.
        "n": Timestamp(0, 0),
        "c": pack(event.changes),
        "a": [event.actor.kind] if event.actor.id is None else [event.actor.kind, event.actor.id],
        "h": Binary(event.digest),
        "z": Binary(event.salt),
        "p": Int64(0),
    }
    request = event.request
    optional: dict[str, Any] = {
        "x": list(event.masked) or None,
        "w": event.reason,
        "k": event.correlation,
        "q": request and {"m": request.method, "p": request.path, "a": request.address},
        "g": 1 if event.gone else None,
        "r": event.restored_from,
        "u": event.undo_of,
        "m": event.schema if event.schema != 1 else None,
        "b": event.first,
    }
    document.update((name, value) for name, value in optional.items() if value is not None)
    return document


def unpacked(stored: dict[str, Any], model: str) -> Event:
    """The event that a document of the history collection holds."""
    actor = stored["a"]
    request = stored.get("q")
    return Event(
        id=stored["_id"],
        stream=stored["s"],
        model=model,
        document=stored["d"],
        version=int(stored["v"]),
        operation=_OPERATIONS[stored["o"]],
        time=utc(stored["t"]),
        changes=tuple(unpack(stored["c"])),
        masked=tuple(stored.get("x", ())),
        actor=Actor(*actor),
        reason=stored.get("w"),
        correlation=stored.get("k"),
        request=request and Request(request["m"], request["p"], request.get("a")),
        gone="g" in stored,
        digest=bytes(stored["h"]),
        salt=bytes(stored["z"]),
        restored_from=stored.get("r"),
        undo_of=stored.get("u"),
        schema=stored.get("m", 1),
        position=int(stored["p"]) or None,
        first=stored.get("b"),
    )


def utc(time: datetime) -> datetime:
    """A stored time as an aware one: BSON dates are UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
