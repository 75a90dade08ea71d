"""Adapter: states that readers leave behind, so that the next reader folds fewer events.

A cache, never the truth: a snapshot is believed only where the digest in its event says so, may
be missing or thrown away at any time, and what cannot be written is not missed.  One document
in `bzz_snapshots` is one of them:

=======  =====================================================================
s, d, v  stream, document and version, as in the history
b        the state, in BSON: any names and values, and the same bytes again
o        the versions that set its values, in BSON, where it was blame that read
k        what ties `o` to the event
=======  =====================================================================
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bson
from bson import Binary
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING, ReadPreference, UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.audit.blaming import Origins
from bzz.audit.diff import digest
from bzz.audit.events import Event, State
from bzz.audit.store import Indexes
from bzz.connection import make_collection
from bzz.values import EXACT, Hidden, encoded

COLLECTION = "bzz_snapshots"
INDEXES: Indexes = {
    "stream_version": (
        [("s", ASCENDING), ("d", ASCENDING), ("v", ASCENDING)],
        {"unique": True},
    ),
}

INTERVAL = 100
"""So many events are folded in some 2 ms, which is what the fastest of requests take anyway; to
read a snapshot takes as long as to fold 20 of them."""

_ROOM = 64 * 1024
_SPARSEST = 10
"""A state that is larger than this many bytes has fewer snapshots, at least one in ten."""

_log = logging.getLogger("bzz.audit")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that somebody left, not to be believed before `opened` has checked it."""

    version: int
    state: bytes
    origins: bytes | None = None
    seal: bytes | None = None

    @classmethod
    def of(cls, event: Event, state: State, origins: Origins | None) -> Snapshot:
        """The snapshot of the state after an event."""
        if origins is None:
            return cls(event.version, encoded(state))
        packed = encoded(origins.pack())
        return cls(event.version, encoded(state), packed, _seal(event, packed))

    def opened(self, event: Event) -> tuple[State, Origins | None] | None:
        """The state, and where it has them the origins of its values.

        None when `event` is not the one that the snapshot is of, or when the state is not the
        one that the event left.
        """
        if event.version != self.version:
            return None
        try:
            state = _decoded(self.state)
            if not isinstance(state, dict) or digest(state, event.salt) != event.digest:
                return None
            if self.origins is None or self.seal != _seal(event, self.origins):
                return state, None
            return state, Origins.unpack(_decoded(self.origins))
        except (BSONError, KeyError):
            return None


def _seal(event: Event, origins: bytes) -> bytes:
    return hashlib.sha256(event.salt + event.digest + origins).digest()


def _decoded(blob: bytes) -> Any:
    return bson.decode(blob, EXACT)[""]


class SnapshotStore:
    """The snapshots of all streams in one database.

    `interval`: snapshots are of versions that are multiples of it.
    """

    def __init__(self, database: Any, *, real: bool, interval: int = INTERVAL) -> None:
        self.interval = interval
        self._database = database
        self._real = real
        # What a reader left is of use although a fail-over may take it away again.
        self._collection = database[COLLECTION].with_options(
            read_preference=ReadPreference.PRIMARY,
            write_concern=WriteConcern(w=1),
            **({"codec_options": EXACT, "read_concern": ReadConcern()} if real else {}),
        )

    def prepare(self) -> None:
        """Make the collection and its index; without them reading is slower, and right."""
        try:
            if self._real:
                make_collection(self._database, COLLECTION)
            for name, (keys, options) in INDEXES.items():
                self._collection.create_index(keys, name=name, **options)
        except PyMongoError as error:
            _log.debug("%s cannot be made: %s", COLLECTION, error)

    def nearest(
        self, stream: str, document_id: Any, version: int, *, blamed: bool, session: Any = None
    ) -> Snapshot | None:
        """The last snapshot that is not of a later version; `blamed`: of those with origins."""
        query = {"s": stream, "d": document_id, "v": {"$lte": version}}
        if blamed:
            query["o"] = {"$exists": True}
        wanted = {"_id": 0, "v": 1, "b": 1, **({"o": 1, "k": 1} if blamed else {})}
        options = {} if session is None else {"session": session}
        try:
            found = self._collection.find_one(query, wanted, sort=[("v", DESCENDING)], **options)
        except PyMongoError as error:
            if session is not None:
                raise  # it has ended the transaction
            _log.debug("The snapshots cannot be read: %s", type(error).__name__)
            return None
        if found is None:
            return None
        state, origins, seal = (_bytes(found.get(each)) for each in ("b", "o", "k"))
        return Snapshot(int(found["v"]), state or b"", origins, seal)

    def keep(self, stream: str, document_id: Any, snapshots: Iterable[Snapshot]) -> None:
        """Store snapshots, in the place of what there is for their versions.

        None on mongomock, which lives in memory and has no bulk writes for today's PyMongo.
        """
        updates = [_update(stream, document_id, each) for each in snapshots]
        if not updates or not self._real:
            return
        try:
            self._collection.bulk_write(updates, ordered=False)
        except (PyMongoError, BSONError) as error:
            _log.debug("%d snapshots were not kept: %s", len(updates), type(error).__name__)


def _bytes(stored: Any) -> bytes | None:
    return stored if isinstance(stored, bytes) else None


def _update(stream: str, document_id: Any, snapshot: Snapshot) -> UpdateOne:
    values = {"b": Binary(snapshot.state)}
    if snapshot.origins is not None and snapshot.seal is not None:
        values |= {"o": Binary(snapshot.origins), "k": Binary(snapshot.seal)}
    query = {"s": stream, "d": document_id, "v": snapshot.version}
    return UpdateOne(query, {"$set": values}, upsert=True)


class NewSnapshots:
    """The snapshots that one reader leaves."""

    def __init__(self, interval: int, hidden: Hidden) -> None:
        self._interval = interval
        self._hidden = hidden
        self.taken: list[Snapshot] = []

    def passes(self, event: Event, state: State | None, origins: Origins | None) -> None:
        """Take a snapshot, if this is a version and a state to have one."""
        if event.version % self._interval or state is None:
            return
        # What has been hidden since gets into no other place.
        if self._hidden.strip(state) is not state:
            return
        snapshot = Snapshot.of(event, state, origins)
        sparser = min(1 + len(snapshot.state) // _ROOM, _SPARSEST)
        if event.version % (self._interval * sparser) == 0 and snapshot.opened(event) is not None:
            self.taken.append(snapshot)
