"""Adapter: the states of one document, told from its events and from the nearest snapshot.

Reads the store and the snapshots, and leaves snapshots on its way.  Shows states as events told
them: what has been hidden since is still in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bzz.audit.blaming import Origins, follow
from bzz.audit.errors import StreamGap
from bzz.audit.events import Event, State
from bzz.audit.replay import after
from bzz.audit.snapshots import NewSnapshots, SnapshotStore
from bzz.audit.store import HistoryStore
from bzz.audit.tracking import Tracked
from bzz.unit import current_unit

_AT_ONCE = 100
"""Snapshots are written in batches, so that a reader holds few of them at any time."""


@dataclass(frozen=True, slots=True)
class Step:
    """An event, and the states around it.

    Attributes
    ----------
    event: the event.
    before: the state before it; None where there was no document.
    after: the state after it; None where there is no document.
    schema: the version of the model's schema that the state before it has.
    """

    event: Event
    before: State | None
    after: State | None
    schema: int = 1


@dataclass(slots=True)
class _Reached:
    """How far a stream is folded: the last event, what it left, and the events to come."""

    event: Event | None
    state: State | None
    origins: Origins | None
    events: Iterator[Event]

    @property
    def version(self) -> int:
        return 0 if self.event is None else self.event.version


class Folding:
    """Folds the events of one stream.

    Within a transaction (`session`, or a unit of work in this thread) it leaves no snapshots.
    Every method raises `StreamGap` where an event that it needs is missing, and `ReplayError`
    where one was altered.
    """

    def __init__(
        self,
        store: HistoryStore,
        snapshots: SnapshotStore,
        tracked: Tracked,
        document_id: Any,
        *,
        session: Any = None,
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._tracked = tracked
        self._document_id = document_id
        self._session = session

    def at(self, version: int) -> tuple[Event, State | None] | None:
        """The event of a version and the state after it; None when the stream ends before it."""
        reached = self._start(version, version, blamed=False)
        for _ in self._go_on(reached):
            pass
        if reached.event is None or reached.version != version:
            return None
        return reached.event, reached.state

    def steps(self, first: int, last: int | None) -> Iterator[Step]:
        """Each event from version `first` to `last` (None: to the end), with its two states."""
        for step in self._go_on(self._start(first - 1, last, blamed=False)):
            if step.event.version >= first:
                yield step

    def origins(self, last: int) -> tuple[State | None, Origins | None]:
        """The state at a version, and which versions set its values."""
        reached = self._start(last, last, blamed=True)
        for _ in self._go_on(reached, blamed=True):
            pass
        return reached.state, reached.origins

    def _start(self, version: int, last: int | None, *, blamed: bool) -> _Reached:
        """Where to begin in order to know the state at a version: as late as can be."""
        snapshot = None
        if version >= self._snapshots.interval:
            stream, session = self._tracked.stream, self._session
            snapshot = self._snapshots.nearest(
                stream, self._document_id, version, blamed=blamed, session=session
            )
        if snapshot is not None:
            events = self._events(snapshot.version, last)
            event = next(events, None)
            opened = None if event is None else snapshot.opened(event)
            if opened is not None and not (blamed and opened[1] is None):
                return _Reached(event, *opened, events)
        return _Reached(None, None, None, self._events(1, last))

    def _events(self, first: int, last: int | None) -> Iterator[Event]:
        bounds = {"$gte": first} if last is None else {"$gte": first, "$lte": last}
        return self._store.events(
            self._tracked.stream,
            self._document_id,
            model=self._tracked.name,
            query={"v": bounds},
            session=self._session,
        )

    def _go_on(self, reached: _Reached, *, blamed: bool = False) -> Iterator[Step]:
        new = NewSnapshots(self._snapshots.interval, self._tracked.redaction.hidden)
        for event in reached.events:
            if event.version != reached.version + 1:
                raise StreamGap(
                    self._tracked.stream, self._document_id, missing=reached.version + 1
                )
            schema = event.schema if reached.event is None else reached.event.schema
            before, reached.state = reached.state, after(event, reached.state)
            if blamed:
                reached.origins = follow(event, reached.origins)
            reached.event = event
            new.passes(event, reached.state, reached.origins)
            if len(new.taken) == _AT_ONCE:
                self._leave(new)
            yield Step(event, before, reached.state, schema)
        self._leave(new)

    def _leave(self, new: NewSnapshots) -> None:
        if self._session is None and current_unit() is None:
            self._snapshots.keep(self._tracked.stream, self._document_id, new.taken)
        new.taken.clear()
