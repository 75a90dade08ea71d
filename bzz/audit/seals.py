"""The seals and the head of the numbered events: where they are stored, how they are read.

`bzz_seals` has a document for each batch that got its positions together: `_id`, the last of
them; `l`, the leaves of its events, one after another; `d`, the digest that chains it to the
batch before.  `bzz_positions` has one document, the head: `p`, the last position; `d`, the last
seal; `e`, the epoch; `u`, the collection that it is of; `b`, how many batches there were.  What
is digested says `bzz.audit.sealing`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from bson import Binary, Int64
from pymongo import ASCENDING, DESCENDING, ReadPreference
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.sealing import LEAF, START, seal
from bzz.audit.store import COLLECTION, POSITION
from bzz.audit.trail import Problem, ProblemKind
from bzz.connection import make_collection
from bzz.errors import BzzError
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
    """

    position: int
    epoch: str
    seal: bytes = START


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
        majority = ReadConcern("majority")
        self._outside = database.with_options(codec_options=EXACT, read_concern=majority)

    def prepare(self) -> None:
        """Make what is missing, and begin an epoch where the events came from a backup."""
        for name in (SEALS, POSITIONS):
            make_collection(self.database, name)
        found = self._outside[POSITIONS].find_one({"_id": _HEAD})
        if found is None:
            head = {"_id": _HEAD, "p": Int64(0), "d": Binary(START), "b": 0}
            with suppress(DuplicateKeyError):  # another process was faster
                self._majority_heads().insert_one({**head, "e": _epoch(), "u": self._identity()})
        elif found["u"] != self._identity():
            self.begin_epoch()

    def begin_epoch(self) -> str:
        """Let the positions be those of a new epoch, which is returned.

        What has a position keeps it; the next is above all that are there.
        """
        last = self._outside[COLLECTION].find_one(
            {"p": {"$gt": 0}}, {"p": 1}, sort=[("p", DESCENDING)], hint=POSITION
        )
        epoch = _epoch()
        self._majority_heads().update_one(
            {"_id": _HEAD},
            {
                "$set": {"e": epoch, "u": self._identity()},
                "$max": {"p": Int64(last["p"]) if last else Int64(0)},
                "$inc": {"b": 1},
            },
        )
        return epoch

    def _majority_heads(self) -> Any:
        return self._heads.with_options(write_concern=WriteConcern("majority"))

    def _identity(self) -> Any:
        """What a collection has that one with the same name and the same content has not."""
        [found] = self.database.list_collections(filter={"name": COLLECTION})
        return found["info"]["uuid"]

    # The head ----------------------------------------------------------------------------

    def head(self) -> LogHead:
        """How far the events have positions, as a majority holds it."""
        found = self._outside[POSITIONS].find_one({"_id": _HEAD})
        return _head(found or {"p": 0, "e": "", "d": START})

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
                "taken away; bring it back from a backup."
            )
        return _head(found)

    def put(self, head: LogHead, leaves: bytes, *, session: Any) -> None:
        """Seal the next batch, given the head before it and its leaves."""
        last = Int64(head.position + len(leaves) // LEAF)
        digest = Binary(seal(head.seal, leaves))
        self._seals.insert_one({"_id": last, "l": Binary(leaves), "d": digest}, session=session)
        self._heads.update_one({"_id": _HEAD}, {"$set": {"p": last, "d": digest}}, session=session)

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
        head = self.head()
        yield from self._breaks(head)
        yield from self._removed(head)

    def _breaks(self, head: LogHead) -> Iterator[Problem]:
        position, before = 0, START
        known = {"_id": {"$lte": head.position}}
        for each in self._outside[SEALS].find(known, sort=[("_id", ASCENDING)]):
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

    def _removed(self, head: LogHead) -> Iterator[Problem]:
        expected = 1
        known = {"p": {"$gt": 0, "$lte": head.position}}
        found = self._outside[COLLECTION].find(
            known, {"_id": 0, "p": 1}, sort=[("p", ASCENDING)], hint=POSITION
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
    return LogHead(int(stored["p"]), str(stored["e"]), bytes(stored["d"]))


def _epoch() -> str:
    return secrets.token_hex(8)
