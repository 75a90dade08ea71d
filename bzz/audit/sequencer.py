"""Give committed events their positions, in one transaction a batch, and seal the batch.

Any number of processes may do it at once: the document of the head is their fence, so that
of two only one commits.  A batch takes up what a majority held when it began, whole transactions
in the order of the server's time; what commits later comes later.  So a reader that has seen a
position has been able to see all before it.  A transaction of more events than can be numbered
at once is numbered piece by piece, with nothing between the pieces.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from itertools import chain, takewhile
from typing import Any, TypeAlias

import bson
import pymongo
from bson import Int64
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, ReadPreference
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.sealing import leaf
from bzz.audit.seals import SealStore
from bzz.audit.store import COLLECTION, TRANSACTION, UNNUMBERED
from bzz.errors import BzzError, Unavailable
from bzz.sessions import Sessions
from bzz.transactions import DEADLINE, Deadline, abort, commit, is_transient, transaction_options
from bzz.values import EXACT

BATCH = 500
"""Events of a batch; the rest of a transaction that this would cut comes with it."""
LARGEST = 2000
"""As many as come with it; a transaction of more is numbered in pieces."""
_BATCH_BYTES = 16 * 1024 * 1024
_PAUSE = 0.05

Stored: TypeAlias = dict[str, Any]
Groups: TypeAlias = dict[Any, dict[Any, Stored]]
"""Events by their transactions, in order; by their ids, since some are read twice."""


class Sequencer:
    """Numbers the events of one database.

    `batch` is how many events it takes at once, `largest` how many more to complete
    transactions.  It takes fewer for a while when these were too many for their time.
    """

    def __init__(
        self, client: Any, seals: SealStore, *, batch: int = BATCH, largest: int = LARGEST
    ) -> None:
        self.client = client
        self._seals = seals
        self._batch = self._size = batch
        self._largest = largest
        history = seals.database[COLLECTION].with_options(
            read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern()
        )
        raw = CodecOptions(document_class=RawBSONDocument)
        self._history = history.with_options(codec_options=EXACT)
        self._raw = history.with_options(codec_options=raw)
        self._settled = history.with_options(read_concern=ReadConcern("majority"))

    def is_waited_for(self) -> bool:
        """Whether there are events without a position."""
        found = self._settled.find_one({"p": 0}, {"_id": 1}, hint=UNNUMBERED)
        return found is not None

    def run(self, seconds: float = DEADLINE) -> int:
        """Number all events that there are; how many this call has numbered.

        Raises `Unavailable` when none could be numbered for some seconds, and as `step`.
        """
        done, sessions, deadline = 0, Sessions(self.client), Deadline(seconds)
        try:
            while True:
                try:
                    with sessions.one() as session:
                        count = self.step(session, deadline)
                except PyMongoError as error:
                    if not (is_transient(error) or error.timeout):
                        raise
                    if not deadline.remaining:
                        raise _stuck(seconds) from error
                    time.sleep(random.uniform(0, _PAUSE))  # another is at work
                    continue
                if not count:
                    return done
                done, deadline = done + count, Deadline(seconds)
        finally:
            sessions.close()

    def step(self, session: Any, deadline: Deadline) -> int:
        """Number the next batch in a transaction of `session`; how many events it has.

        Raises what the driver raises, and `BzzError` where the head was taken away or set back;
        then no event of the batch has a position, but after `Undecided` all or none of them have.
        """
        session.start_transaction(**transaction_options())
        try:
            with pymongo.timeout(max(deadline.remaining, 0.001)):
                count = self._number(session)
        except DuplicateKeyError as error:
            abort(session)
            raise BzzError(
                "The next position is taken: the head in bzz_positions was set back, or the "
                "database restored. auditor.begin_epoch() goes on above all that are there."
            ) from error
        except BaseException:
            abort(session)
            if not deadline.remaining:
                self._size = max(1, self._size // 2)
            raise
        if not count:
            abort(session)
            return 0
        commit(session, deadline)
        self._size = min(self._batch, 2 * self._size)
        return count

    def _number(self, session: Any) -> int:
        head = self._seals.fence(session)
        events, unfinished = self._next(head.unfinished, session)
        if not events:
            return 0
        numbered = enumerate(events, head.position + 1)
        leaves = b"".join(leaf(event, position) for position, event in numbered)
        for start in range(0, len(events), BATCH):  # what a command costs grows by its square
            piece = events[start : start + BATCH]
            self._assign([each["_id"] for each in piece], head.position + start + 1, session)
        self._seals.put(head, leaves, unfinished, session=session)
        return len(events)

    def _assign(self, ids: list[Any], first: int, session: Any) -> None:
        place = {"$indexOfArray": [ids, "$_id"]}
        numbers = {"$toLong": {"$add": [Int64(first), place]}}
        done = self._history.update_many(
            {"_id": {"$in": ids}, "p": 0}, [{"$set": {"p": numbers}}], session=session
        )
        if done.modified_count != len(ids):  # within a snapshot nobody can have been faster
            raise BzzError(f"Of {len(ids)} events {done.modified_count} could be numbered.")

    def _next(self, unfinished: Any, session: Any) -> tuple[list[Stored], Any]:
        """The next events, and the transaction that goes on behind them, if one does."""
        if unfinished is not None:
            query = {"p": 0, "b": unfinished}
            events, is_cut = self._read(query, TRANSACTION, self._size, session)
            if events:
                return events, unfinished if is_cut else None
        events, is_cut = self._read({"p": 0}, UNNUMBERED, self._size, session)
        groups: Groups = {}
        _sort_into(groups, events)
        if is_cut:
            return self._completed(groups, session)
        return _flat(groups.values()), None

    def _completed(self, groups: Groups, session: Any) -> tuple[list[Stored], Any]:
        """The groups with what else belongs to them, as far as they can be completed."""
        first, *others = groups
        rest, is_cut = self._read({"p": 0, "b": first}, TRANSACTION, self._largest, session)
        _sort_into(groups, rest)
        if is_cut:
            return list(groups[first].values()), first
        query = {"p": 0, "b": {"$in": others}}
        rest, is_cut = self._read(query, TRANSACTION, self._largest, session)
        _sort_into(groups, rest)
        if not is_cut:
            return _flat(groups.values()), None
        # They were read in this order; those from the last on may lack events.
        last = rest[-1]["b"]
        whole = takewhile(lambda each: each == first or each < last, groups)
        return _flat(groups[each] for each in whole), None

    def _read(
        self, query: dict[str, Any], index: str, limit: int, session: Any
    ) -> tuple[list[Stored], bool]:
        """Events without a position in the order of an index, and whether there may be more."""
        order = [("n", ASCENDING)] if index == UNNUMBERED else [("b", ASCENDING), ("n", ASCENDING)]
        cursor = self._raw.find(query, sort=order, limit=limit, hint=index, session=session)
        found, size = [], 0
        with cursor:
            for raw in cursor:
                found.append(bson.decode(raw.raw, EXACT))
                size += len(raw.raw)
                if size > _BATCH_BYTES:
                    return found, True
        return found, len(found) == limit


def _sort_into(groups: Groups, events: Iterable[Stored]) -> None:
    for event in events:
        groups.setdefault(event.get("b", event["_id"]), {})[event["_id"]] = event


def _flat(groups: Iterable[dict[Any, Stored]]) -> list[Stored]:
    return list(chain.from_iterable(each.values() for each in groups))


def _stuck(seconds: float) -> Unavailable:
    return Unavailable(
        f"No event could be given its position for {seconds:g} s: another process is at it, or "
        "was killed at it, which the server ends within two minutes."
    )
