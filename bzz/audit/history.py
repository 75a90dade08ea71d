"""The reading side: the events of one document, and its states at any version or time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from bzz.audit.blaming import Blame, Origins, leaves
from bzz.audit.comparing import Comparison, Side
from bzz.audit.diff import Change, Path, changes_between
from bzz.audit.errors import DocumentDeleted, ReplayError, StreamGap, UnknownVersion
from bzz.audit.events import SYSTEM, Event, State
from bzz.audit.folding import Folding, Step
from bzz.audit.planning import plan_restore, plan_undo
from bzz.audit.rebuilding import rebuild_one
from bzz.audit.redaction import visible_changes
from bzz.audit.replay import before
from bzz.audit.restoring import Preview, preview_in, restore_in, undo_in
from bzz.audit.scope import Scope
from bzz.audit.tracking import Tracked
from bzz.audit.verifying import Report, verify_one
from bzz.errors import BadRequest, Conflict, Gone, NotFound
from bzz.jsonvalues import INT64, NotThisType, read_time, show
from bzz.recording import Model, Past
from bzz.source import Source
from bzz.unit import Write
from bzz.values import Hidden, same

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_SPARSE = 10
"""Events further apart than this are folded one by one, from the nearest snapshots."""


class History:
    """The history of one document.  `auditor.history(User, pk)` gives it.

    Outlives the document.  Reads what a majority of the database holds.

    Attributes
    ----------
    document_id: the id of the document, as stored.
    """

    def __init__(self, auditor: Auditor, tracked: Tracked, document_id: Any) -> None:
        self._auditor = auditor
        self._tracked = tracked
        self.document_id = document_id

    @property
    def model(self) -> Model:
        """The class as which the document is recorded, or one above it."""
        return self._tracked.model

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
        last = self.last_event()
        return 0 if last is None else last.version

    def last_event(self) -> Event | None:
        """The last event; None without any."""
        return next(self.versions(newest_first=True, limit=1), None)

    def state_at(self, moment: int | datetime, *, session: Any = None) -> State:
        """The document as stored after an event: a version, or the last one not after a time.

        Brought to today's schema by the model's upcasters.  Without what is hidden by now, also
        where older events have it.
        Raises `UnknownVersion` for a version and `NotFound` for a time that is not in the
        history, `DocumentDeleted` where there is no document, `StreamGap` when an event before
        it is missing and `ReplayError` when one was altered.
        """
        return self.version(self.version_of(moment), session=session)[1]

    def version(self, number: int, *, session: Any = None) -> tuple[Event, State]:
        """An event, and the document as stored after it.  Raises as `state_at`."""
        event, state = self._state(number, session)
        return event, self._shown(state, event.schema) or {}

    def version_of(self, moment: int | datetime) -> int:
        """The version that a moment means: itself, or the last one not after a time.

        Raises `NotFound` for a time before the first event.
        """
        return moment if isinstance(moment, int) else self._version_at(moment)

    def walk(
        self, first: int = 1, last: int | None = None, *, session: Any = None
    ) -> Iterator[Step]:
        """Each event from version `first` to `last` (None: to the end), and the states around it.

        The states are as of today's schema, without what is hidden by now; the events are as
        they were recorded.
        Raises `StreamGap` when an event is missing and `ReplayError` when one was altered.
        """
        for step in self._folding(session).steps(first, last):
            before = self._shown(step.before, step.schema)
            after = self._shown(step.after, step.event.schema)
            yield Step(step.event, before, after, self._tracked.schema)

    def around(self, events: Sequence[Event]) -> dict[int, Step]:
        """The states around some events of this history, by version.  Raises as `walk`."""
        wanted = sorted(event.version for event in events)
        if not wanted:
            return {}
        if wanted[-1] - wanted[0] < len(wanted) * _SPARSE:
            steps: Iterable[Step] = self.walk(wanted[0], wanted[-1])
        else:
            steps = (step for each in wanted for step in self.walk(each, each))
        kept = set(wanted)
        return {step.event.version: step for step in steps if step.event.version in kept}

    def as_of_today(self, events: Sequence[Event]) -> list[Event]:
        """Events as code of today would have told them: those of older schemas, upcast.

        Their changes are the difference between the two states as upcasters bring them to
        today's schema.  Raises as `walk`.
        """
        today = self._tracked.schema
        old = [each for each in events if each.schema < today] if self._tracked.upcasts else []
        if not old:
            return list(events)
        steps = self.around(old)
        return [self._of_today(each, steps.get(each.version)) for each in events]

    @staticmethod
    def _of_today(event: Event, step: Step | None) -> Event:
        if step is None:
            return event
        return replace(event, changes=tuple(changes_between(step.before, step.after)))

    def changes(
        self, from_: int | datetime, to: int | datetime, *, session: Any = None
    ) -> list[Change]:
        """What leads from one state of the document to another, in the order in which it applies.

        Both are versions or times, as in `state_at`, in any order: from the later to the earlier
        one is the way back.  Version 0 is the time before the first event; there, and after a
        delete, every member is absent.  Without what is hidden by now.
        Raises `UnknownVersion`, `NotFound`, `StreamGap` and `ReplayError` as `state_at`.
        """
        return self.compare(from_, to, session=session).changes

    def compare(
        self, from_: int | datetime, to: int | datetime, *, session: Any = None
    ) -> Comparison:
        """As `changes`, with the two states and the events that led to them."""
        one, other = self.version_of(from_), self.version_of(to)
        low, high = sorted((one, other))
        if high == 0 and not self.last_version():
            raise self._missing(0)  # before nothing there is no time before
        if 0 < low < high <= low + self._auditor.snapshots.interval and high in INT64:
            sides = self._near(low, high, session)
        else:
            sides = {each: self._side(each, session) for each in (low, high)}
        return Comparison(sides[one], sides[other])

    def compared(
        self, from_: int | datetime | None = None, to: int | datetime | None = None
    ) -> Comparison:
        """As `compare`, by default from the version before `to`, to the latest one."""
        if to is None:
            # A document without history has no version 1 either, and the error says so.
            to = self.last_version() or 1
        to = self.version_of(to)
        return self.compare(max(to - 1, 0) if from_ is None else from_, to)

    def blame(self) -> list[Blame]:
        """For each value of the document that holds no others, the event that set it.

        In the order in which the members are stored; without the id, which no event sets, and
        without what is hidden by now.  What is stored and not recorded yet was written round
        bzz, and is attributed to no version.
        Raises `DocumentDeleted`; `Gone` where the document was taken away round bzz;
        `UnknownVersion` for one that never was; `StreamGap` and `ReplayError` as `state_at`.
        """
        return self.blamed()[1]

    def blamed(self) -> tuple[int | None, list[Blame]]:
        """As `blame`, and the version that the document has; None where it has none of its own."""
        last, recorded, origins, stored = self._present()
        if stored is None:
            raise self._not_there(last, recorded)
        if recorded is None or origins is None:
            origins = Origins.of(stored, None)
        else:
            origins.set(changes_between(recorded, stored), None)
        told = list(leaves(stored, origins))
        known = self._auditor.store.facts(
            self._tracked.stream, self.document_id, {version for _, version in told if version}
        )
        nothing = (None, None)
        blames = []
        for path, version in told:
            time, actor = known.get(version or 0, nothing)
            blames.append(Blame(path, version, time, actor, _value_at(stored, path)))
        return last if same(recorded, stored) or not last else None, blames

    def last_state(self) -> State | None:
        """The last state in which the document existed; None when it never did.

        Raises `StreamGap` when an event before it is missing and `ReplayError` when one was
        altered; a delete tells by itself what it took away.
        """
        last = self.last_event()
        if last is None:
            return None
        if not last.gone:
            return self._shown(self._state(last.version)[1], last.schema)
        # It was left as the event before had it, if its schema matters at all.
        left = last
        if self._tracked.upcasts and last.version > 1:
            left = self.event(last.version - 1)
        return self._shown(before(last), left.schema)

    def restore(
        self,
        version: int,
        *,
        fields: list[str] | None = None,
        actor: Any = SYSTEM,
        reason: str | None = None,
        seen: Preview | None = None,
    ) -> int:
        """Make the state of a version the newest one; the version number of the new event.

        The current number when the document is so already.  Within another write it is the
        number that the event will have.  Raises as `state_at`, what saving the document
        raises, and `PreconditionFailed` when the document was changed since it was `seen` by
        `foresee_restore`.
        """

        work = partial(restore_in, self, version, fields, seen=seen)
        return _number(*self._auditor.write(work, actor=actor, reason=reason))

    def undo(
        self,
        version: int,
        *,
        fields: list[str] | None = None,
        actor: Any = SYSTEM,
        reason: str | None = None,
        seen: Preview | None = None,
    ) -> int:
        """Take back what one event changed, and nothing else; the number of the new event.

        The undo of a delete brings the document back.  `fields` (names or JSON Pointers)
        limits it to these of what the event changed.  The current number when it is taken
        back already; within another write the number that the event will have.

        Raises `UndoConflict` where later events changed the same, `CannotUndo` for an event
        that has no undo (it created the document) or has none as things are, `UnknownVersion`,
        `StreamGap`, `ReplayError`, `InvalidInput` for fields that the event did not change,
        what saving the document raises, and `PreconditionFailed` as `restore`.
        """
        work = partial(undo_in, self, version, fields, seen=seen)
        return _number(*self._auditor.write(work, actor=actor, reason=reason))

    def preview_restore(self, version: int, *, fields: list[str] | None = None) -> list[Change]:
        """What `restore` would change, before `save()` and `clean()`; nothing is written.

        Paths hold stored names; hidden values are left out.  Raises as `restore` does before
        it saves the document.
        """
        return self.foresee_restore(version, fields=fields).changes

    def preview_undo(self, version: int, *, fields: list[str] | None = None) -> list[Change]:
        """What `undo` would change; as `preview_restore`."""
        return self.foresee_undo(version, fields=fields).changes

    def foresee_restore(self, version: int, *, fields: list[str] | None = None) -> Preview:
        """As `preview_restore`, with what `restore` has to see again: give it that as `seen`."""
        return self._auditor.write(partial(preview_in, plan_restore, self, version, fields))

    def foresee_undo(self, version: int, *, fields: list[str] | None = None) -> Preview:
        """As `preview_undo`, with what `undo` has to see again: give it that as `seen`."""
        return self._auditor.write(partial(preview_in, plan_undo, self, version, fields))

    def since(self, version: int, *, session: Any = None) -> tuple[State | None, list[Event]]:
        """The state before an event, None without one, and all events from it on.

        Raises `UnknownVersion`, `StreamGap` and `ReplayError`.
        """
        steps = list(self._folding(session).steps(version, None)) if version in INT64 else []
        if not steps or steps[0].event.version != version:
            raise self._missing(version)
        return steps[0].before, [step.event for step in steps]

    def recorded_as(self, state: State | None) -> Tracked:
        """How the document is recorded that has a state: by its own class."""
        return self._auditor.tracked_of(self._tracked.model, state)

    def own(self) -> Tracked:
        """How the document is recorded: by its own class, as its last state tells it."""
        if not self._auditor.is_of_many(self._tracked.model):
            return self._tracked
        try:
            state = self.last_state()
        except (ReplayError, StreamGap):  # nobody can tell which class it is
            state = None
        return self.recorded_as(state)

    def hidden(self) -> Hidden:
        """What is hidden by now of this document, by its own class."""
        return self.own().redaction.hidden

    def told(self, events: Sequence[Event]) -> list[Event]:
        """Events as they may be told today, under the name of the document's own class.

        As of today's schema and without what is hidden by now.  Raises as `walk`.
        """
        own = self.own()
        hidden = own.redaction.hidden
        return [
            replace(each, model=own.name, changes=tuple(visible_changes(each.changes, hidden)))
            for each in self.as_of_today(events)
        ]

    def verify(self) -> Report:
        """Prove this history, and that the stored document is what it says, in one snapshot.

        What is wrong is in the report.  Raises `BzzError` within a write, whose events are made
        at its end.
        """
        return verify_one(self._scope, self.document_id)

    def rebuild(self, *, seen: Report | None = None) -> Report:
        """Make the stored document exactly what its last event says: no event, no signal.

        Hidden values stay as they are now; a deleted document is removed.  The report lists
        what was overwritten.  Raises `UnknownVersion` without a history, `StreamGap` when an
        event is missing and `ReplayError` when one was altered, MongoEngine's `NotUniqueError`
        when another document has a value that is to be unique, `PreconditionFailed` when it is
        not as it was `seen` by `verify`; nothing is written then.
        """
        return rebuild_one(self._scope, self.document_id, seen=seen)

    @property
    def _scope(self) -> Scope:
        return Scope(self._auditor, self._tracked.stream, self._tracked.model)

    def past(self, at: str) -> Past:
        """The document as of a version in digits, or a time (RFC 3339).

        Raises `BadRequest`, `NotFound`, `Gone`, and `Conflict` for a stream with a gap.
        """
        try:
            event, state = self._state(self.version_of(moment_of(at)))
        except UnknownVersion as error:
            raise NotFound(str(error)) from error
        except DocumentDeleted as error:
            raise Gone(str(error), version=error.version) from error
        except (StreamGap, ReplayError) as error:
            raise Conflict(str(error)) from error
        return Past(event.version, event.time, self._shown(state, event.schema) or {})

    def _present(self) -> tuple[int, State | None, Origins | None, State | None]:
        """The last version, its state and their origins, and what is stored, all of one moment."""
        last = self.last_version()
        recorded, origins = self._folding().origins(last) if last else (None, None)
        stored = Source.of(self._tracked.model).find_one(None, {"_id": self.document_id})
        strip = self.recorded_as(recorded if stored is None else stored).redaction.strip
        recorded, stored = strip(recorded), strip(stored)
        if same(recorded, stored) or self.last_version() == last:
            return last, recorded, origins, stored
        # A writer came between the two: what the last event left was stored a moment ago.
        return (last, recorded, origins, recorded) if last else self._present()

    def _not_there(self, last: int, recorded: State | None) -> Exception:
        if last == 0:
            return self._missing(1)
        if recorded is None:
            return DocumentDeleted(self._tracked.stream, self.document_id, version=last)
        name = self._tracked.model.__name__
        return Gone(f"{name} {self.document_id} was deleted round bzz; its history is still there.")

    def _state(self, version: int, session: Any = None) -> tuple[Event, State]:
        event, state = self._after(version, session)
        if state is None:
            raise DocumentDeleted(self._tracked.stream, self.document_id, version=version)
        return event, state

    def _shown(self, state: State | None, schema: int) -> State | None:
        """A state that code of `schema` left, as of today's and without what is hidden by now."""
        return self.recorded_as(state).shown(state, schema)

    def _after(self, version: int, session: Any = None) -> tuple[Event, State | None]:
        found = self._folding(session).at(version) if int(version) in INT64 else None
        if found is None:
            raise self._missing(version)
        return found

    def _side(self, version: int, session: Any) -> Side:
        if version == 0:
            return Side(0, None, None)
        event, state = self._after(version, session)
        return Side(version, event, self._shown(state, event.schema))

    def _near(self, low: int, high: int, session: Any) -> dict[int, Side]:
        """Two sides that are told faster in one go than one by one."""
        sides = {
            step.event.version: Side(step.event.version, step.event, step.after)
            for step in self.walk(low, high, session=session)
            if step.event.version in (low, high)
        }
        for version in (low, high):
            if version not in sides:
                raise self._missing(version)
        return sides

    def _folding(self, session: Any = None) -> Folding:
        auditor = self._auditor
        return Folding(
            auditor.store, auditor.snapshots, self._tracked, self.document_id, session=session
        )

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


def moment_of(text: str) -> int | datetime:
    """The version (in digits) or the time (RFC 3339) that a text names.

    Raises `BadRequest` for what is neither.
    """
    return _version(text) if text.isdecimal() and text.isascii() else _moment(text)


def _number(write: Write | None, number: int) -> int:
    """The number of a write's event; the one that it will have, as long as it has none."""
    return number if write is None or write.event is None else int(write.event.version)


def _value_at(state: State, path: Path) -> Any:
    found: Any = state
    for token in path:
        found = found[token]
    return found


def _version(digits: str) -> int:
    # A number of more digits than any version has; int() refuses thousands of them.
    return int(digits) if len(digits) < 19 else INT64.stop


def _moment(text: str) -> datetime:
    try:
        return read_time(text)
    except NotThisType as error:
        raise BadRequest(
            f"{text!r} is neither a version nor a time such as 2026-05-01T12:00:00Z."
        ) from error
