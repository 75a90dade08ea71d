"""Give committed events their positions, in one transaction a batch, and seal the batch.

Any number of processes may do it at once: the document of the head is their fence, so that
of two only one commits.  A batch takes up what a majority held when it began, whole transactions
in the order of the server's time; what commits later comes later.  So a reader that has seen a
position has been able to see all before it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

import bson
import pymongo
from bson import Int64
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, ReadPreference
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.sealing import leaf
from bzz.audit.seals import SealStore
from bzz.audit.store import COLLECTION, TRANSACTION, UNNUMBERED
from bzz.errors import BzzError
from bzz.transactions import Deadline, abort, commit, is_transient, transaction_options
from bzz.values import EXACT

BATCH = 500
"""Events of a batch; the rest of a transaction that this would cut comes with it."""
_BATCH_BYTES = 16 * 1024 * 1024
_PAUSE = 0.05

Stored = dict[str, Any]


class Sequencer:
    """Numbers the events of one database.

    `batch` is how many events it takes at once.
    """

    def __init__(self, client: Any, seals: SealStore, *, batch: int = BATCH) -> None:
        self.client = client
        self._seals = seals
        self._batch = batch
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

    def run(self, deadline: Deadline) -> int:
        """Number all events that there are; how many this call has numbered.

        Raises `Unavailable` when that takes until the deadline, and as `step`.
        """
        done = 0
        with self.client.start_session() as session:
            while True:
                deadline.check()
                try:
                    count = self.step(session, deadline)
                except PyMongoError as error:
                    if not is_transient(error):
                        raise
                    time.sleep(random.uniform(0, _PAUSE))  # another is at work
                    continue
                if not count:
                    return done
                done += count

    def step(self, session: Any, deadline: Deadline) -> int:
        """Number the next batch in a transaction of `session`; how many events it has.

        Raises what the driver raises; then no event of the batch has a position, but after
        `Undecided` all or none of them have.
        """
        session.start_transaction(**transaction_options())
        try:
            with pymongo.timeout(max(deadline.remaining, 0.001)):
                count = self._number(session)
        except BaseException:
            abort(session)
            raise
        if not count:
            abort(session)
            return 0
        commit(session, deadline)
        return count

    def _number(self, session: Any) -> int:
        head = self._seals.fence(session)
        leaves, ids = bytearray(), list[Any]()
        for position, event in enumerate(self._next(session), head.position + 1):
            leaves += leaf(event, position)
            ids.append(event["_id"])
        if not ids:
            return 0
        place = {"$indexOfArray": [ids, "$_id"]}
        numbers = {"$toLong": {"$add": [Int64(head.position + 1), place]}}
        done = self._history.update_many(
            {"_id": {"$in": ids}, "p": 0}, [{"$set": {"p": numbers}}], session=session
        )
        if done.modified_count != len(ids):  # within a snapshot nobody can have been faster
            raise BzzError(f"Of {len(ids)} events {done.modified_count} could be numbered.")
        self._seals.put(head, bytes(leaves), session=session)
        return len(ids)

    def _next(self, session: Any) -> Iterator[Stored]:
        """The next events, transaction by transaction."""
        groups: dict[Any, dict[Any, Stored]] = {}
        found, is_cut = self._oldest(session)
        for event in found:
            groups.setdefault(_transaction(event), {})[event["_id"]] = event
        if is_cut:
            for event in self._rest(groups, session):
                groups[event["b"]][event["_id"]] = event
        for group in groups.values():
            yield from group.values()

    def _oldest(self, session: Any) -> tuple[list[Stored], bool]:
        """The oldest events without a position, and whether there may be more."""
        cursor = self._raw.find(
            {"p": 0}, sort=[("n", ASCENDING)], limit=self._batch, hint=UNNUMBERED, session=session
        )
        found, size = [], 0
        with cursor:
            for raw in cursor:
                found.append(bson.decode(raw.raw, EXACT))
                size += len(raw.raw)
                if size > _BATCH_BYTES:
                    return found, True
        return found, len(found) == self._batch

    def _rest(self, firsts: Iterable[Any], session: Any) -> Iterator[Stored]:
        """What else the transactions have that begin with these events."""
        query = {"p": 0, "b": {"$in": list(firsts)}}
        yield from self._history.find(
            query, sort=[("n", ASCENDING)], hint=TRANSACTION, session=session
        )


def _transaction(event: Stored) -> Any:
    return event.get("b", event["_id"])
