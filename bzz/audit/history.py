"""The reading side: the events of one document, and its states at any version or time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from mongoengine import DateTimeField

from bzz.audit.diff import Change
from bzz.audit.errors import DocumentDeleted, ReplayError, StreamGap, UnknownVersion
from bzz.audit.events import SYSTEM, Event, State
from bzz.audit.planning import Planner, plan_restore, plan_undo
from bzz.audit.replay import after, before
from bzz.audit.restoring import plan_in, restore_in, undo_in
from bzz.audit.tracking import Tracked
from bzz.errors import BadRequest, Conflict, Gone, NotFound
from bzz.jsonvalues import INT64, NotThisType, read, show
from bzz.recording import Past
from bzz.unit import Write

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_TIME = DateTimeField()


class History:
    """The history of one document.  `auditor.history(User, pk)` gives it.

    Outlives the document.  Reads what a majority of the database holds.
    """

    def __init__(self, auditor: Auditor, tracked: Tracked, document_id: Any) -> None:
        self._auditor = auditor
        self._tracked = tracked
        self.document_id = document_id

    def versions(
        self,
        *,
        query: dict[str, Any] | None = None,
        newest_first: bool = False,
        limit: int = 0,
        session: Any = None,
    ) -> Iterator[Event]:
        """The events in order of version, all of them or the first `limit`."""
        return self._auditor.store.events(
            self._tracked.stream,
            self.document_id,
            model=self._tracked.name,
            query=query,
            newest_first=newest_first,
            limit=limit,
            session=session,
        )

    def event(self, version: int, *, session: Any = None) -> Event:
        """One event.  Raises `UnknownVersion`."""
        if int(version) in INT64:
            for event in self.versions(query={"v": version}, session=session):
                return event
        raise self._missing(version)

    def last_version(self) -> int:
        """The number of the last event; 0 without any."""
        for event in self.versions(newest_first=True, limit=1):
            return event.version
        return 0

    def state_at(self, moment: int | datetime, *, session: Any = None) -> State:
        """The document as stored after an event: a version, or the last one not after a time.

        Without what is hidden by now, also where older events have it.
        Raises `UnknownVersion` for a version and `NotFound` for a time that is not in the
        history, `DocumentDeleted` where there is no document, `StreamGap` when an event before
        it is missing and `ReplayError` when one was altered.
        """
        version = moment if isinstance(moment, int) else self._version_at(moment)
        return self.version(version, session=session)[1]

    def version(self, number: int, *, session: Any = None) -> tuple[Event, State]:
        """An event, and the document as stored after it.  Raises as `state_at`."""
        event, state = self._state(number, session)
        return event, self._tracked.redaction.hidden.strip(state)

    def last_state(self) -> State | None:
        """The last state in which the document existed; None when it never did.

        Raises `StreamGap` when an event before it is missing and `ReplayError` when one was
        altered; a delete tells by itself what it took away.
        """
        for event in self.versions(newest_first=True, limit=1):
            return before(event) if event.gone else self._state(event.version)[1]
        return None

    def restore(
        self,
        version: int,
        *,
        fields: list[str] | None = None,
        actor: Any = SYSTEM,
        reason: str | None = None,
    ) -> int:
        """Make the state of a version the newest one; the version number of the new event.

        The current number when the document is so already.  Within another write it is the
        number that the event will have.  Raises as `state_at`, and what saving the document
        raises.
        """

        work = partial(restore_in, self, self._tracked, version, fields)
        return _number(*self._auditor.write(work, actor=actor, reason=reason))

    def undo(
        self,
        version: int,
        *,
        fields: list[str] | None = None,
        actor: Any = SYSTEM,
        reason: str | None = None,
    ) -> int:
        """Take back what one event changed, and nothing else; the number of the new event.

        The undo of a delete brings the document back.  `fields` (names or JSON Pointers)
        limits it to these of what the event changed.  The current number when it is taken
        back already; within another write the number that the event will have.

        Raises `UndoConflict` where later events changed the same, `CannotUndo` for an event
        that has no undo (it created the document) or has none as things are, `UnknownVersion`,
        `StreamGap`, `ReplayError`, `InvalidInput` for fields that the event did not change, and
        what saving the document raises.
        """
        work = partial(undo_in, self, self._tracked, version, fields)
        return _number(*self._auditor.write(work, actor=actor, reason=reason))

    def preview_restore(self, version: int, *, fields: list[str] | None = None) -> list[Change]:
        """What `restore` would change, before `save()` and `clean()`; nothing is written.

        Paths hold stored names; hidden values are left out.  Raises as `restore` does before
        it saves the document.
        """
        return self._preview(plan_restore, version, fields)

    def preview_undo(self, version: int, *, fields: list[str] | None = None) -> list[Change]:
        """What `undo` would change; as `preview_restore`."""
        return self._preview(plan_undo, version, fields)

    def since(self, version: int, *, session: Any = None) -> tuple[State | None, list[Event]]:
        """The state before an event, None without one, and all events from it on.

        Raises `UnknownVersion`, `StreamGap` and `ReplayError`.
        """
        state: State | None = None
        events: list[Event] = []
        for event in self._gapless(self.versions(session=session)):
            if event.version < version:
                state = after(event, state)
            else:
                events.append(event)
        if not events or events[0].version != version:
            raise self._missing(version)
        return state, events

    def past(self, at: str) -> Past:
        """The document as of a version in digits, or a time (RFC 3339).

        Raises `BadRequest`, `NotFound`, `Gone`, and `Conflict` for a stream with a gap.
        """
        try:
            moment = _version(at) if at.isdecimal() and at.isascii() else _moment(at)
            version = moment if isinstance(moment, int) else self._version_at(moment)
            event, state = self._state(version)
        except UnknownVersion as error:
            raise NotFound(str(error)) from error
        except DocumentDeleted as error:
            raise Gone(str(error), version=error.version) from error
        except (StreamGap, ReplayError) as error:
            raise Conflict(str(error)) from error
        return Past(event.version, event.time, self._tracked.redaction.hidden.strip(state))

    def _state(self, version: int, session: Any = None) -> tuple[Event, State]:
        state: State | None = None
        event = None
        if int(version) not in INT64:
            raise self._missing(version)
        events = self.versions(query={"v": {"$lte": version}}, session=session)
        for event in self._gapless(events):
            state = after(event, state)
        if event is None or event.version != version:
            raise self._missing(version)
        if state is None:
            raise DocumentDeleted(self._tracked.stream, self.document_id, version=version)
        return event, state

    def _gapless(self, events: Iterable[Event]) -> Iterator[Event]:
        for number, event in enumerate(events, 1):
            if event.version != number:
                raise StreamGap(self._tracked.stream, self.document_id, missing=number)
            yield event

    def _preview(self, planner: Planner, version: int, fields: list[str] | None) -> list[Change]:
        work = partial(plan_in, planner, self, self._tracked, version, fields)
        return self._auditor.write(work).changes

    def _version_at(self, time: datetime) -> int:
        query = {"t": {"$lte": time}}
        for event in self.versions(query=query, newest_first=True, limit=1):
            return event.version
        raise NotFound(
            f"{self._tracked.model.__name__} {self.document_id} was not known yet at {show(time)}."
        )

    def _missing(self, version: int) -> UnknownVersion | StreamGap:
        stream, last = self._tracked.stream, self.last_version()
        if 0 < version <= last:
            return StreamGap(stream, self.document_id, missing=version)
        return UnknownVersion(stream, self.document_id, version=version, last_version=last)


def _number(write: Write | None, number: int) -> int:
    """The number of a write's event; the one that it will have, as long as it has none."""
    return number if write is None or write.event is None else int(write.event.version)


def _version(digits: str) -> int:
    # A number of more digits than any version has; int() refuses thousands of them.
    return int(digits) if len(digits) < 19 else INT64.stop


def _moment(text: str) -> datetime:
    try:
        moment: datetime = read(_TIME, text, text=True)
    except NotThisType as error:
        raise BadRequest(
            f"{text!r} is neither a version nor a time such as 2026-05-01T12:00:00Z."
        ) from error
    return moment
