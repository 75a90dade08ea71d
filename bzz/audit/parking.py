"""Events that subscriptions have set aside: they wait for another try, or for somebody.

A consumer failed at an event.  It and all later events of its stream stand in a queue here, in
their order, so that the other streams go on.  `bzz_parked` has a document for each of them: `n`,
the subscription; `p`, the position; `s` and `d`, stream and document; `i`, whether the queue
`waiting`s for its next try or is `parked` until somebody asks; of the first one of a queue `u`,
until when it waits; `a`, how often it was tried; `x`, what the consumer raised; `t`, since when.
Who skips an event leaves it here, as `skipped`, with `by`, `w` why and `k` when.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import Int64
from pymongo import ASCENDING, ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.errors import NotParked
from bzz.audit.store import Indexes, utc
from bzz.connection import make_collection
from bzz.source import id_key
from bzz.values import EXACT

PARKED = "bzz_parked"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the first further try of an event, and before any at most."""
INDEXES: Indexes = {
    "position": ([("n", 1), ("p", 1)], {"unique": True}),
    "queue": ([("n", 1), ("s", 1), ("d", 1), ("p", 1)], {}),
    "due": ([("n", 1), ("i", 1), ("u", 1)], {}),
}
_WORDS = 500

StreamKey = tuple[str, bytes]


class Waits(StrEnum):
    """What an event that was set aside waits for.

    Attributes
    ----------
    WAITING: for its next try.
    PARKED: for somebody who has it tried again, or skips it.
    SKIPPED: for nothing any more: somebody has left it out.
    """

    WAITING = "waiting"
    PARKED = "parked"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked:
    """An event that a subscription has set aside.

    Attributes
    ----------
    position: of the event.
    stream, document: whose event it is, as stored.
    state: 'waiting' for its next try, 'parked' until somebody asks, or 'skipped'.
    attempts: how often it was tried; 0 for one that waits for earlier ones of its stream.
    error: what its consumer raised last; None for one that was not tried.
    since: when it was set aside.
    skipped_by, reason, skipped_at: of one that was skipped: who did that, why, and when.
    """

    position: int
    stream: str
    document: Any
    state: Waits
    attempts: int
    error: str | None
    since: datetime
    skipped_by: str | None = None
    reason: str | None = None
    skipped_at: datetime | None = None

    @property
    def key(self) -> StreamKey:
        """Its stream, as a key of dictionaries."""
        return self.stream, id_key(self.document)


def stream_key(stored: dict[str, Any]) -> StreamKey:
    """The stream of an event as stored, as a key of dictionaries."""
    return stored["s"], id_key(stored["d"])


class ParkingStore:
    """The events that the subscriptions of one database have set aside.

    All that changes them is in the transaction of a session in which the subscription's
    checkpoint moves, so that no two of them meet.
    """

    def __init__(self, database: Any) -> None:
        self._database = database
        self._inside = database[PARKED].with_options(
            codec_options=EXACT,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(),
        )
        self._outside = self._inside.with_options(read_concern=ReadConcern("majority"))

    def prepare(self) -> None:
        """Make the collection and its indexes."""
        make_collection(self._database, PARKED)
        for name, (keys, options) in INDEXES.items():
            self._inside.create_index(keys, name=name, **options)

    # Reading -----------------------------------------------------------------------------

    def listed(self, name: str, state: Waits, *, after: int = 0, limit: int = 0) -> list[Parked]:
        """Events of a state, in the order of their positions."""
        query = {"n": name, "p": {"$gt": after}, "i": state.value}
        found = self._outside.find(query, sort=[("p", ASCENDING)], limit=limit)
        return [_parked(each) for each in found]

    def counts(self, name: str) -> dict[Waits, int]:
        """How many events there are in each state."""
        groups = [{"$match": {"n": name}}, {"$group": {"_id": "$i", "count": {"$sum": 1}}}]
        return {Waits(each["_id"]): int(each["count"]) for each in self._outside.aggregate(groups)}

    def behind(self, name: str, position: int) -> int:
        """How many events behind a position there are, of all states."""
        return int(self._outside.count_documents({"n": name, "p": {"$gt": position}}))

    def due(self, name: str) -> Parked | None:
        """The first of a queue that is to be tried now; None when there is none."""
        query = {"n": name, "i": Waits.WAITING.value, "$expr": _DUE, "u": {"$exists": True}}
        found = self._outside.find_one(query, sort=[("p", ASCENDING)])
        return None if found is None else _parked(found)

    def queues(self, name: str, events: Iterable[dict[str, Any]]) -> dict[StreamKey, Waits]:
        """The streams of some events that have a queue, and what it waits for."""
        ids = [each["d"] for each in events]
        query = {"n": name, "d": {"$in": ids}, "i": {"$ne": Waits.SKIPPED.value}}
        return {stream_key(each): Waits(each["i"]) for each in self._outside.find(query)}

    def one(self, name: str, position: int, *, session: Any) -> Parked:
        """A parked event, read in a transaction.  Raises `NotParked`."""
        query = {"n": name, "p": position, "i": Waits.PARKED.value}
        found = self._inside.find_one(query, session=session)
        if found is None:
            raise NotParked(name, position)
        return _parked(found)

    # Changing, in the transaction of a session -------------------------------------------

    def begin(
        self, name: str, event: dict[str, Any], what: str, *, retries: int, session: Any
    ) -> None:
        """Set an event aside that failed for the first time: the first one of a queue."""
        self._put(name, event, Waits.WAITING, session, {"a": 1, "x": what[:_WORDS]})
        self._again(name, int(event["p"]), attempts=1, retries=retries, session=session)

    def join(self, name: str, event: dict[str, Any], state: Waits, *, session: Any) -> None:
        """Set an event aside that comes behind others of its stream."""
        self._put(name, event, state, session, {"a": 0})

    def failed(self, name: str, parked: Parked, what: str, *, retries: int, session: Any) -> None:
        """The first one of a queue has failed again: it waits, or the whole queue is parked."""
        attempts = parked.attempts + 1
        told = {"$set": {"a": attempts, "x": what[:_WORDS]}}
        self._inside.update_one({"n": name, "p": parked.position}, told, session=session)
        self._again(name, parked.position, attempts=attempts, retries=retries, session=session)

    def done(self, name: str, parked: Parked, *, session: Any) -> None:
        """The first one of a queue is dealt with: the next one is due."""
        self._inside.delete_one({"n": name, "p": parked.position}, session=session)
        self._next(name, parked, session)

    def ask_all(self, name: str, *, session: Any) -> int:
        """As `ask`, of all queues; how many there were."""
        seen = dict[StreamKey, Parked]()
        query = {"n": name, "i": Waits.PARKED.value}
        for each in self._inside.find(query, sort=[("p", ASCENDING)], session=session):
            parked = _parked(each)
            seen.setdefault(parked.key, parked)
        for parked in seen.values():
            self.ask(name, parked, session=session)
        return len(seen)

    def ask(self, name: str, parked: Parked, *, session: Any) -> None:
        """Let the queue of a parked event be tried again from its first one on."""
        queue = {**_queue(name, parked), "i": Waits.PARKED.value}
        self._inside.update_many(queue, {"$set": {"i": Waits.WAITING.value}}, session=session)
        self._next(name, parked, session)

    def skip(self, name: str, parked: Parked, *, by: str, reason: str, session: Any) -> None:
        """Leave a parked event out, for good; if it was the first of its queue, the next is due."""
        first = self._first(name, parked, session)
        record = {"i": Waits.SKIPPED.value, "by": {"$literal": by}, "w": {"$literal": reason}}
        self._inside.update_one(
            {"n": name, "p": parked.position}, [{"$set": {**record, "k": "$$NOW"}}], session=session
        )
        if first is not None and int(first["p"]) == parked.position:
            self.ask(name, parked, session=session)

    def forget(self, name: str, *, after: int, session: Any) -> None:
        """Events behind a position, which come again."""
        self._inside.delete_many({"n": name, "p": {"$gt": after}}, session=session)

    def _again(
        self, name: str, position: int, *, attempts: int, retries: int, session: Any
    ) -> None:
        """Give the first one of a queue, which has failed, its next try, or park the queue."""
        if attempts > retries:
            parked = self._inside.find_one({"n": name, "p": position}, session=session)
            if parked is not None:
                queue = _queue(name, _parked(parked))
                change = {"$set": {"i": Waits.PARKED.value}, "$unset": {"u": ""}}
                self._inside.update_many(queue, change, session=session)
            return
        pause = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 30), LONGEST_PAUSE)
        until = {"$add": ["$$NOW", int(pause * 1000)]}
        self._inside.update_one(
            {"n": name, "p": position}, [{"$set": {"u": until}}], session=session
        )

    def _next(self, name: str, parked: Parked, session: Any) -> None:
        first = self._first(name, parked, session)
        if first is not None and first["i"] == Waits.WAITING:
            due = [{"$set": {"u": "$$NOW"}}]
            self._inside.update_one({"_id": first["_id"]}, due, session=session)

    def _first(self, name: str, parked: Parked, session: Any) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._inside.find_one(
            _queue(name, parked), sort=[("p", ASCENDING)], session=session
        )
        return found

    def _put(
        self, name: str, event: dict[str, Any], state: Waits, session: Any, facts: dict[str, Any]
    ) -> None:
        key = {"n": name, "p": Int64(event["p"])}
        made = {"s": event["s"], "d": event["d"], "i": state.value, **facts}
        made = {member: {"$literal": value} for member, value in made.items()}
        change = [{"$set": {**made, "t": "$$NOW"}}]
        self._inside.update_one(key, change, upsert=True, session=session)


def _queue(name: str, parked: Parked) -> dict[str, Any]:
    """The events that wait in the queue of one of them."""
    return {
        "n": name,
        "s": parked.stream,
        "d": parked.document,
        "i": {"$ne": Waits.SKIPPED.value},
    }


_DUE = {"$lte": ["$u", "$$NOW"]}


def _parked(stored: dict[str, Any]) -> Parked:
    return Parked(
        position=int(stored["p"]),
        stream=stored["s"],
        document=stored["d"],
        state=Waits(stored["i"]),
        attempts=int(stored["a"]),
        error=stored.get("x"),
        since=utc(stored["t"]),
        skipped_by=stored.get("by"),
        reason=stored.get("w"),
        skipped_at=utc(stored["k"]) if "k" in stored else None,
    )
