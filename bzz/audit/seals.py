"""The seals and the head of the numbered events: where they are stored, how they are read.

`bzz_seals` has a document for each batch that got its positions together: `_id`, the last of
them; `l`, the leaves of its events, one after another; `d`, the digest that chains it to the
batch before.  `bzz_positions` has one document, the head: `p`, the last position; `d`, the last
seal; `e`, the epoch; `u`, the collection that it is of; `b`, how many batches there were; `t`,
the transaction that goes on behind the last position, if one does.  What is digested says
`bzz.audit.sealing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pymongo
from bson import Binary, Int64
from pymongo import ASCENDING, DESCENDING, ReadPreference
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.sealing import LEAF, START, seal
from bzz.audit.store import COLLECTION, POSITION
from bzz.audit.trail import Problem, ProblemKind
from bzz.connection import make_collection
from bzz.errors import BzzError
from bzz.transactions import DEADLINE, transaction_options
from bzz.values import EXACT

SEALS, POSITIONS = "bzz_seals", "bzz_positions"
_HEAD = "head"


@dataclass(frozen=True, slots=True)
class LogHead:
    """How far the events of a database have positions.

    Attributes
    ----------
    position: the last one; 0 before the first.
    epoch: of these positions: after a backup was restored, others stand under their numbers.
    seal: of the last batch.
    unfinished: the transaction of which more events follow; None for none.
    """

    position: int
    epoch: str
    seal: bytes = START
    unfinished: Any = None


class SealStore:
    """The seals and the head of one database that has transactions."""

    def __init__(self, database: Any) -> None:
        self.database = database
        inside: dict[str, Any] = {
            "codec_options": EXACT,
            "read_preference": ReadPreference.PRIMARY,
            "write_concern": WriteConcern(),
        }
        self._seals = database[SEALS].with_options(**inside)
        self._heads = database[POSITIONS].with_options(**inside)
        self._outside = database.with_options(
            codec_options=EXACT,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
        )

    def prepare(self) -> None:
        """Make what is missing, and begin an epoch where the events came from a backup."""
        for name in (SEALS, POSITIONS):
            make_collection(self.database, name)
        found = self._outside[POSITIONS].find_one({"_id": _HEAD}, {"u": 1})
        if found is None or found["u"] != self._identity():
            self._begin(unless=self._identity())

    def begin_epoch(self) -> str:
        """Let the positions be those of a new epoch, which is returned.

        What has a position keeps it; the next is above all that are there.  Makes the head where
        it is missing.
        """
        return self._begin()

    def _begin(self, *, unless: Any = None) -> str:
        """Begin an epoch, `unless` the head is of that collection: another process was faster."""

        def begin(session: Any) -> str:
            found = self._heads.find_one_and_update(
                {"_id": _HEAD}, {"$inc": {"b": 1}}, upsert=True, session=session
            )
            if found is not None and found["u"] == unless:
                return str(found["e"])
            head = _head(found or _NOTHING)
            position, digest = self._last(head, session)
            epoch = _epoch()
            new = {"p": Int64(position), "d": Binary(digest), "e": epoch, "u": self._identity()}
            self._heads.update_one({"_id": _HEAD}, {"$set": new}, session=session)
            return epoch

        with pymongo.timeout(DEADLINE), self.database.client.start_session() as session:
            told: str = session.with_transaction(begin, **transaction_options())
        return told

    def _last(self, head: LogHead, session: Any) -> tuple[int, bytes]:
        """The last position that an event, a seal or the head has, and the last seal."""
        event = self.database[COLLECTION].find_one(
            {"p": {"$gt": 0}}, {"p": 1}, sort=[("p", DESCENDING)], hint=POSITION, session=session
        )
        last = self._seals.find_one({}, {"d": 1}, sort=[("_id", DESCENDING)], session=session)
        sealed = int(last["_id"]) if last else 0
        position = max(head.position, sealed, int(event["p"]) if event else 0)
        return position, bytes(last["d"]) if last and sealed >= head.position else head.seal

    def _identity(self) -> Any:
        """What a collection has that one with the same name and the same content has not."""
        [found] = self.database.list_collections(filter={"name": COLLECTION})
        return found["info"]["uuid"]

    # The head ----------------------------------------------------------------------------

    def head(self, *, session: Any = None) -> LogHead:
        """How far the events have positions, as a majority holds it."""
        return _head(self._outside[POSITIONS].find_one({"_id": _HEAD}, session=session) or _NOTHING)

    def latest(self) -> LogHead:
        """The head as all members of the replica set have to agree on it; slower than `head`.

        A new primary may for a moment show what a majority held before it was chosen.
        """
        heads = self._outside[POSITIONS].with_options(read_concern=ReadConcern("linearizable"))
        with pymongo.timeout(DEADLINE):
            return _head(heads.find_one({"_id": _HEAD}) or _NOTHING)

    @contextmanager
    def in_order(self) -> Iterator[Any]:
        """A session whose reads each see all that the ones before it saw, also after fail-overs."""
        with self.database.client.start_session(causal_consistency=True) as session:
            yield session

    def signs(self, seconds: float) -> Any:
        """A change stream that has something whenever events get positions, and says no more.

        Each of its looks takes at most so many seconds.  Raises what the driver raises where
        there is none.
        """
        return self._outside[POSITIONS].watch(
            [{"$match": {"documentKey._id": _HEAD}}, {"$project": {"_id": 1}}],
            max_await_time_ms=int(seconds * 1000),
        )

    def fence(self, session: Any) -> LogHead:
        """The head, for who numbers events in this transaction: nobody else can until its end."""
        found = self._heads.find_one_and_update({"_id": _HEAD}, {"$inc": {"b": 1}}, session=session)
        if found is None:
            raise BzzError(
                f"The document {_HEAD!r} of {POSITIONS}, which counts the positions of events, was "
                "taken away; bring it back from a backup, or begin anew: auditor.begin_epoch()."
            )
        return _head(found)

    def put(self, head: LogHead, leaves: bytes, unfinished: Any = None, *, session: Any) -> None:
        """Seal the next batch, given the head before it, its leaves and what goes on behind it."""
        last = Int64(head.position + len(leaves) // LEAF)
        digest = Binary(seal(head.seal, leaves))
        self._seals.insert_one({"_id": last, "l": Binary(leaves), "d": digest}, session=session)
        new = {"p": last, "d": digest, "t": unfinished}
        self._heads.update_one({"_id": _HEAD}, {"$set": new}, session=session)

    # Proof -------------------------------------------------------------------------------

    def leaves(self, positions: Iterable[int], *, session: Any = None) -> dict[int, bytes]:
        """The sealed leaves of positions, of those that have one."""
        wanted = {int(each) for each in positions if each > 0}
        if not wanted:
            return {}
        pipeline: list[dict[str, Any]] = [
            {"$documents": [{"p": Int64(each)} for each in sorted(wanted)]},
            {"$lookup": {"from": SEALS, "let": {"p": "$p"}, "pipeline": _NEXT_SEAL, "as": "s"}},
            {"$unwind": "$s"},
            {"$group": {"_id": "$s._id", "l": {"$first": "$s.l"}}},
        ]
        found: dict[int, bytes] = {}
        for batch in self._outside.aggregate(pipeline, session=session):
            last, leaves = int(batch["_id"]), bytes(batch["l"])
            first = last - len(leaves) // LEAF + 1
            for position in wanted.intersection(range(first, last + 1)):
                start = (position - first) * LEAF
                found[position] = leaves[start : start + LEAF]
        return found

    def problems(self) -> Iterator[Problem]:
        """What is wrong with the chain of the seals, and with the positions that they cover."""
        # One session: what is read later is not older, not even after a fail-over between.
        with self.database.client.start_session() as session:
            last = self._outside[SEALS].find_one(
                {}, {"_id": 1}, sort=[("_id", DESCENDING)], session=session
            )
            head = self.head(session=session)
            if last is not None and last["_id"] > head.position:
                which = _positions(head.position + 1, int(last["_id"]))
                yield _break(f"{which} a seal, and the head stops before: it was altered.")
            yield from self._breaks(head, session)
            yield from self._removed(head, session)

    def _breaks(self, head: LogHead, session: Any) -> Iterator[Problem]:
        position, before = 0, START
        known = {"_id": {"$lte": head.position}}
        found = self._outside[SEALS].find(known, sort=[("_id", ASCENDING)], session=session)
        for each in found:
            leaves, first = bytes(each["l"]), position + 1
            position = int(each["_id"])
            begins = position - len(leaves) // LEAF + 1
            if begins != first:
                yield _break(f"{_positions(first, begins - 1)} no seal: it was removed.")
            elif seal(before, leaves) != bytes(each["d"]):
                yield _break(f"{_positions(first, position)} a seal that was altered.")
            before = bytes(each["d"])
        if position != head.position:
            yield _break(f"{_positions(position + 1, head.position)} no seal: it was removed.")
        elif before != head.seal:
            yield _break(f"{_positions(position, position)} another seal than it was given.")

    def _removed(self, head: LogHead, session: Any) -> Iterator[Problem]:
        expected = 1
        known = {"p": {"$gt": 0, "$lte": head.position}}
        found = self._outside[COLLECTION].find(
            known, {"_id": 0, "p": 1}, sort=[("p", ASCENDING)], hint=POSITION, session=session
        )
        for position in chain((int(each["p"]) for each in found), [head.position + 1]):
            if position > expected:
                which = _positions(expected, position - 1)
                told = f"{which} no event any more. Bring it back from a backup."
                yield Problem(ProblemKind.REMOVED, None, told)
            expected = position + 1


def _break(detail: str) -> Problem:
    return Problem(ProblemKind.CHAIN, None, detail)


def _positions(first: int, last: int) -> str:
    return f"Position {first} has" if first == last else f"Positions {first} to {last} have"


_NEXT_SEAL = [
    {"$match": {"$expr": {"$gte": ["$_id", "$$p"]}}},
    {"$sort": {"_id": 1}},
    {"$limit": 1},
]


def _head(stored: dict[str, Any]) -> LogHead:
    seal_of_last = bytes(stored["d"])
    return LogHead(int(stored["p"]), str(stored["e"]), seal_of_last, stored.get("t"))


_NOTHING = {"p": 0, "e": "", "d": START}


def _epoch() -> str:
    return secrets.token_hex(8)
