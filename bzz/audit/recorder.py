"""Adapter: what a unit of work wrote becomes events, from the database's own content.

A receiver of `before_commit`.  Knows the capture's writes and the store; nothing of HTTP.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from bzz.audit.diff import Change, changes_between, digest
from bzz.audit.errors import EventNotStored, StreamGap, VersionTaken
from bzz.audit.events import SYSTEM, Context, Event, Intent, Operation, State
from bzz.audit.folding import Folding
from bzz.audit.snapshots import SnapshotStore
from bzz.audit.store import HistoryStore
from bzz.audit.tracking import Tracked
from bzz.errors import Superseded, Unavailable
from bzz.recording import Head, Recorder
from bzz.unit import Unit, Write

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time, UTC, cut to the milliseconds that BSON keeps."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class WriteRecorder:
    """Makes events of writes and appends them in the writes' own transaction."""

    def __init__(
        self, store: HistoryStore, snapshots: SnapshotStore, *, clock: Clock = utc_now
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._clock = clock

    def record(self, recorder: Recorder, tracked: Tracked, writes: Sequence[Write]) -> None:
        """Make the events of all changed `writes` of one model, and leave them to be appended.

        Each write gets its event; one that changed only what is excluded gets none.
        `recorder` is whose `append` is called with them, with all others of the transaction.
        """
        unit = writes[0].unit
        time = self._clock()
        self._read_heads(unit, tracked, writes)
        for write in writes:
            events = self._events(unit, tracked, write, time)
            events = [of_transaction(unit, event) for event in events]
            for event in events:
                unit.batch.defer(recorder, event, unit)
            if events:
                unit.batch.set_head(write.source.key(write.id), head_after(events[-1]))
            write.record(events[-1] if events else None)

    def append(self, events: Sequence[Event], session: Any) -> None:
        """Store events in their writes' own transaction.

        Raises `Superseded` when another writer has appended to a stream in the meantime, and
        `Unavailable` when the events cannot be stored.
        """
        try:
            self._store.append(events, session=session)
        except VersionTaken as error:
            raise Superseded(str(error), index=error.index) from error
        except EventNotStored as error:
            raise Unavailable(
                f"The event could not be stored, so the write was refused: {error}"
            ) from error

    def baseline(self, tracked: Tracked, document_id: Any, state: State) -> Event:
        """The event for a document that was found without a history."""
        shown = tracked.redaction.strip(state)
        return self._baseline(tracked, document_id, shown, self._clock())

    def _read_heads(self, unit: Unit, tracked: Tracked, writes: Sequence[Write]) -> None:
        unknown = [write for write in writes if not unit.knows_head(tracked.model, write.id)]
        unit.read_heads(tracked.model, [write.id for write in unknown])

    def _events(self, unit: Unit, tracked: Tracked, write: Write, time: datetime) -> list[Event]:
        redaction = tracked.redaction
        before, after = redaction.strip(write.before), redaction.strip(write.after)
        changes = changes_between(before, after)
        masked = redaction.masked_changes(write.before, write.after)
        if not changes and not masked and (before is None) == (after is None):
            return []
        head = unit.head(tracked.model, write.id)
        events: list[Event] = []
        if head is None or not is_state_of(head, before):
            found, forgotten = self._found(tracked, write.id, head, before, time, unit)
            events.extend(found)
            changes = changes if found else [*forgotten, *changes]
        version = (head.version if head else 0) + len(events) + 1
        context = write.context if isinstance(write.context, Context) else Context()
        intent = write.intent if isinstance(write.intent, Intent) else Intent()
        events.append(
            self._event(
                tracked,
                write.id,
                version,
                _operation(write, intent),
                after,
                time,
                changes=tuple(changes),
                masked=tuple(masked),
                actor=context.actor,
                reason=context.reason,
                correlation=context.correlation,
                request=context.request,
                restored_from=intent.restored_from,
                undo_of=intent.undo_of,
            )
        )
        return events

    def _found(
        self,
        tracked: Tracked,
        document_id: Any,
        head: Head | None,
        before: State | None,
        time: datetime,
        unit: Unit,
    ) -> tuple[list[Event], list[Change]]:
        """The event for what was found: a document without history, or a write made round bzz.

        And what older events told that is hidden since: changes that take it out.
        """
        if head is None:
            new = before is None
            return [] if new else [self._baseline(tracked, document_id, before, time)], []
        unit.batch.flush()  # the stream's last event may still be waiting
        recorded = self._recorded(tracked, document_id, head, unit)
        forgotten = tracked.redaction.forgotten(recorded)
        shown = tracked.redaction.strip(recorded)
        changes = changes_between(shown, before)
        if not changes and (shown is None) == (before is None):
            return [], forgotten
        found = self._event(
            tracked,
            document_id,
            head.version + 1,
            Operation.EXTERNAL,
            before,
            time,
            changes=(*forgotten, *changes),
            actor=SYSTEM,
        )
        return [found], []

    def _recorded(self, tracked: Tracked, document_id: Any, head: Head, unit: Unit) -> State | None:
        """The state that the last event left, with what has been hidden since."""
        folding = Folding(self._store, self._snapshots, tracked, document_id, session=unit.session)
        found = folding.at(head.version)
        if found is None:
            raise StreamGap(tracked.stream, document_id, missing=head.version)
        return found[1]

    def _baseline(
        self, tracked: Tracked, document_id: Any, state: State | None, time: datetime
    ) -> Event:
        return self._event(
            tracked,
            document_id,
            1,
            Operation.BASELINE,
            state,
            time,
            changes=tuple(changes_between(None, state)),
            actor=SYSTEM,
        )

    def _event(
        self,
        tracked: Tracked,
        document_id: Any,
        version: int,
        operation: Operation,
        state: State | None,
        time: datetime,
        **rest: Any,
    ) -> Event:
        salt = os.urandom(16)
        return Event(
            id=ObjectId(),
            stream=tracked.stream,
            model=tracked.name,
            document=document_id,
            version=version,
            operation=operation,
            time=time,
            gone=state is None,
            digest=digest(state, salt),
            salt=salt,
            schema=tracked.schema,
            **rest,
        )


def of_transaction(unit: Unit, event: Event) -> Event:
    """An event that knows which others are of its transaction."""
    first = unit.batch.first(event.id)
    return event if first == event.id else replace(event, first=first)


def head_after(event: Event) -> Head:
    """What is to be known of a stream's last event."""
    return Head(
        version=event.version,
        deleted=event.gone,
        time=event.time,
        facts={"h": event.digest, "z": event.salt},
    )


def is_state_of(head: Head, state: State | None) -> bool:
    """Whether a stored document, stripped of what is hidden, is the state after the last event."""
    if state is None or head.deleted:
        return state is None and head.deleted
    return digest(state, bytes(head.facts["z"])) == bytes(head.facts["h"])


def _operation(write: Write, intent: Intent) -> Operation:
    if intent.restored_from is not None or intent.undo_of is not None:
        return Operation.RESTORED
    if write.before is None:
        return Operation.CREATED
    return Operation.DELETED if write.after is None else Operation.UPDATED
