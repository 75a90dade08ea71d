"""The right to work, held by one thread of all processes at a time.

It is for economy: others wait instead of colliding, and who takes over ends the transaction that
a killed holder has left open.  Nothing may rest on it.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from bzz.sessions import kill
from bzz.values import EXACT

LEASE = 5.0
"""Seconds that a holder has the work to itself, from its last renewal on."""


class Lease:
    """The right to work, held by one thread until it gives it up or is late.

    The document `key` of a collection: `by`, who holds it; `where`, its host and process;
    `session`, that of its transactions; `until` when.  Knows the server's time alone, and takes
    no lease for longer than one can last: the clocks of two servers may differ by more.
    """

    def __init__(self, collection: Any, key: str = "lease", *, seconds: float = LEASE) -> None:
        self._leases = collection.with_options(codec_options=EXACT, write_concern=WriteConcern(w=1))
        self._key = key
        self._milliseconds = int(seconds * 1000)
        self._me = ObjectId()
        self._where = f"{socket.gethostname()}:{os.getpid()}"

    def take(self, client: Any, session_id: Any) -> bool:
        """Take the lease, or renew it, for transactions of a session; whether it is ours.

        Ends the transaction of the one that held it before and is late.
        """
        until = {"$add": ["$$NOW", self._milliseconds]}
        mine = {
            "by": self._me,
            "where": {"$literal": self._where},
            "session": {"$literal": session_id},
            "until": until,
        }
        is_over = {"$or": [{"$lte": ["$until", "$$NOW"]}, {"$gt": ["$until", until]}]}
        free = [{"by": self._me}, {"$expr": is_over}]
        wanted = {"_id": self._key, "$or": free}
        before = self._leases.find_one_and_update(wanted, [{"$set": mine}])
        if before is None:
            return self._make() and self.take(client, session_id)
        if before["by"] != self._me and before.get("session") is not None:
            kill(client, before["session"])
        return True

    def _make(self) -> bool:
        """Make the lease, which is free then; false when there is one."""
        begun = datetime.fromtimestamp(0, UTC)
        free = {"_id": self._key, "by": None, "session": None, "until": begun}
        try:
            self._leases.insert_one(free)
        except DuplicateKeyError:
            return False
        return True

    def give_up(self) -> None:
        """Let another take it at once, and our session be: it has no transaction any more."""
        free = {"until": "$$NOW", "session": None}
        self._leases.update_one({"_id": self._key, "by": self._me}, [{"$set": free}])

    def holder(self) -> str | None:
        """Who holds it, as `host:process`; None when nobody does."""
        held = {"_id": self._key, "$expr": {"$gt": ["$until", "$$NOW"]}}
        found = self._leases.find_one(held, {"where": 1})
        return None if found is None else str(found["where"])
