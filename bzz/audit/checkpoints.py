"""The checkpoints: how far each subscription has come.

`bzz_subscriptions` has a document for each: `_id`, the name; `p`, the last position that is
dealt with; `e`, its epoch; `n`, how often the document changed, by which a worker that is late
notices it; `c`, how many events the consumer was done with; `f`, how often it failed; `x`, the
last failure: `p` position, `w` what, `t` when.  Beside them stand the leases of their workers.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from bson import Int64
from pymongo import ReadPreference
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.errors import CheckpointMoved, SubscriptionStopped
from bzz.audit.leasing import Lease
from bzz.audit.seals import LogHead
from bzz.audit.store import utc
from bzz.connection import make_collection
from bzz.values import EXACT

SUBSCRIPTIONS = "bzz_subscriptions"
_WORDS = 500


class Trouble(NamedTuple):
    """A failure of a consumer: at which position, what it raised, when."""

    position: int
    what: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a subscription has come, as one reader saw it.

    Attributes
    ----------
    name: of the subscription.
    position: the last one that is dealt with; 0 before the first.
    epoch: of the position.
    turn: how often anything about it changed.
    delivered: events that its consumer was done with.
    failed: how often the consumer failed.
    trouble: the last failure; None before the first.
    """

    name: str
    position: int
    epoch: str
    turn: int = 0
    delivered: int = 0
    failed: int = 0
    trouble: Trouble | None = None

    def check(self, head: LogHead) -> None:
        """Raises `SubscriptionStopped` where the positions are not those that it has seen."""
        other_epoch = self.epoch != head.epoch
        if other_epoch or self.position > head.position:
            raise SubscriptionStopped(
                self.name, self.position, head.position, other_epoch=other_epoch
            )


class CheckpointStore:
    """The checkpoints of one database that has transactions."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._inside = database[SUBSCRIPTIONS].with_options(
            codec_options=EXACT,
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(),
        )
        self._outside = self._inside.with_options(
            read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority")
        )

    def prepare(self) -> None:
        """Make the collection, which transactions cannot always do."""
        make_collection(self._database, SUBSCRIPTIONS)

    def lease(self, name: str) -> Lease:
        """The right to work for a subscription; its holder is who takes this one."""
        return Lease(self._inside, f"{name}:lease")

    def read(self, name: str) -> Checkpoint | None:
        """The checkpoint of a subscription, as a majority holds it; None before it began."""
        found = self._outside.find_one({"_id": name})
        return None if found is None else _checkpoint(found)

    def begin(self, checkpoint: Checkpoint) -> Checkpoint:
        """Store a first checkpoint; the one that is stored by then."""
        first = {
            "_id": checkpoint.name,
            "p": Int64(checkpoint.position),
            "e": checkpoint.epoch,
            "n": Int64(0),
            "c": Int64(0),
            "f": Int64(0),
        }
        with suppress(DuplicateKeyError):  # another worker was faster
            self._outside.insert_one(first)
        return self.read(checkpoint.name) or checkpoint

    def move(
        self,
        checkpoint: Checkpoint,
        position: int,
        *,
        delivered: int = 0,
        trouble: Trouble | None = None,
        session: Any = None,
    ) -> Checkpoint:
        """Let the checkpoint be another; the new one.  In a transaction, or by itself.

        Whoever moves a checkpoint has seen the last one: of two workers the second raises
        `CheckpointMoved`, or meets a conflict that ends its transaction.
        """
        new = replace(
            checkpoint,
            position=position,
            turn=checkpoint.turn + 1,
            delivered=checkpoint.delivered + delivered,
            failed=checkpoint.failed + (trouble is not None),
            trouble=trouble or checkpoint.trouble,
        )
        change: dict[str, Any] = {
            "$set": {"p": Int64(position), "n": Int64(new.turn)},
            "$inc": {"c": delivered, "f": 1 if trouble else 0},
        }
        if trouble is not None:
            told = {"p": Int64(trouble.position), "w": trouble.what[:_WORDS], "t": trouble.time}
            change["$set"]["x"] = told
        self._change(checkpoint, change, session)
        return new

    def hold(self, name: str, *, session: Any) -> Checkpoint | None:
        """The checkpoint, which nobody else changes until the end of this transaction.

        None before it began.
        """
        found = self._inside.find_one_and_update(
            {"_id": name}, {"$inc": {"n": 1}}, return_document=True, session=session
        )
        return None if found is None else _checkpoint(found)

    def restart(self, checkpoint: Checkpoint, position: int, epoch: str, *, session: Any) -> None:
        """Let it go on behind a position of an epoch, wherever it is.  Raises as `move`."""
        turn = Int64(checkpoint.turn + 1)
        self._change(checkpoint, {"$set": {"p": Int64(position), "e": epoch, "n": turn}}, session)

    def drop(self, checkpoint: Checkpoint) -> None:
        """Forget a checkpoint that nobody goes on from."""
        self._outside.delete_one({"_id": checkpoint.name})

    def _change(self, seen: Checkpoint, change: dict[str, Any], session: Any) -> None:
        collection = self._outside if session is None else self._inside
        as_seen = {"_id": seen.name, "p": seen.position, "e": seen.epoch, "n": seen.turn}
        if not collection.update_one(as_seen, change, session=session).matched_count:
            raise CheckpointMoved(seen.name)


def _checkpoint(stored: dict[str, Any]) -> Checkpoint:
    trouble = stored.get("x")
    return Checkpoint(
        name=stored["_id"],
        position=int(stored["p"]),
        epoch=stored["e"],
        turn=int(stored["n"]),
        delivered=int(stored["c"]),
        failed=int(stored["f"]),
        trouble=trouble and Trouble(int(trouble["p"]), trouble["w"], utc(trouble["t"])),
    )
