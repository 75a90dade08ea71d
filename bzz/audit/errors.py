"""The errors of the audit, as a tree; facts are attributes.  Knows nothing of HTTP.

AuditError
├── ContextError          an actor, a reason or a correlation id that cannot be recorded
├── ReplayError           a change does not fit the state to which it is applied
│   └── EventAltered      an event is not as it was stored: changes, states and digests disagree
├── VersionTaken          another writer has appended that version to the stream
├── EventNotStored        the database refused an event
├── UnknownVersion        the stream does not reach that version
├── DocumentDeleted       the version is a delete: there is no state after it
├── CannotUndo            the event has no undo, at all or as things are now
├── UndoConflict          what the event changed has been changed again since
├── HistoryTooShort       nobody knows how the document was at that time
├── UpcastError           an application's upcaster failed
├── StreamGap             an event in the middle of a stream is missing
├── PositionGone          a reader comes back with a position that is not the one it was given
├── AudienceFull          a process has as many readers that follow events live as it may have
├── UnknownSubscription   nobody subscribed under that name
├── SubscriptionStopped   what a subscription remembers does not fit the positions that there are
├── CheckpointMoved       another worker of a subscription was faster
├── NotParked             no event waits under that position
├── ConsumerLate          a consumer was not done within its deadline
├── ConsumerFailed        a consumer raised in a replay, which ends there
├── NotReplayable         the consumer of a subscription is not to be run again
├── TargetNotEmpty        a rebuild into a collection that has documents already
└── BulkFailed            a bulk write that stopped after some of its transactions
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from bzz.values import ABSENT

__all__ = [
    "AudienceFull",
    "AuditError",
    "BulkFailed",
    "CannotUndo",
    "CheckpointMoved",
    "ConsumerFailed",
    "ConsumerLate",
    "ContextError",
    "DocumentDeleted",
    "EventAltered",
    "EventNotStored",
    "HistoryTooShort",
    "NotParked",
    "NotReplayable",
    "PositionGone",
    "ReplayError",
    "StreamGap",
    "SubscriptionStopped",
    "TargetNotEmpty",
    "UndoConflict",
    "UnknownSubscription",
    "UnknownVersion",
    "UpcastError",
    "VersionTaken",
]


class AuditError(Exception):
    """The root of all errors of the audit.  `str(error)` is one sentence for people."""


class ContextError(AuditError):
    """An actor, a reason or a correlation id that cannot be recorded."""


class ReplayError(AuditError):
    """A change does not fit the state to which it is applied.

    `path` is where, `expected` what the change starts from, `found` what the state holds
    there; both may be `ABSENT`.
    """

    def __init__(self, path: Sequence[str | int], expected: Any, found: Any) -> None:
        self.path = tuple(path)
        self.expected = expected
        self.found = found
        place = "".join(f"/{token}" for token in path) or "the root"
        # Without the two values: they may be hidden by now, and messages reach answers and logs.
        super().__init__(
            f"The change of {place} does not start from what the state has there: an event "
            "before it is missing or was altered."
        )


class EventAltered(ReplayError):
    """Event `version` of `document` in `stream` does not follow from the one before it.

    Or it is not what it was: its changes do not start from the state before it, or the state
    after it does not have the digest that the event had.
    """

    def __init__(self, stream: str, document: Any, *, version: int) -> None:
        super().__init__((), ABSENT, ABSENT)
        self.stream = stream
        self.document = document
        self.version = version
        message = (
            f"Version {version} of {stream} {_shown(document)} was altered: its changes, the "
            "states around it and its digest do not agree. Bring it back from a backup."
        )
        self.args = (message,)


class VersionTaken(AuditError):
    """Another writer has appended `version` to `stream` since the caller looked.

    `index` is the place of the event among those that were to be stored together.
    """

    def __init__(self, stream: str, version: int, *, index: int = 0) -> None:
        self.stream = stream
        self.version = version
        self.index = index
        super().__init__(
            f"Another writer has stored version {version} in stream {stream!r}; "
            "read the document again and repeat the write."
        )


class EventNotStored(AuditError):
    """The database refused an event; the message says why."""


class UnknownVersion(AuditError):
    """The events of `document` in `stream` do not reach `version`.

    The last one is `last_version`, 0 if there is none.
    """

    def __init__(self, stream: str, document: Any, *, version: int, last_version: int) -> None:
        self.stream = stream
        self.document = document
        self.version = version
        self.last_version = last_version
        known = f"its last version is {last_version}" if last_version else "it has no history"
        super().__init__(f"{stream} {_shown(document)} has no version {version}; {known}.")


class DocumentDeleted(AuditError):
    """There is no state after `version`, which deleted the `document` of `stream`."""

    def __init__(self, stream: str, document: Any, *, version: int) -> None:
        self.stream = stream
        self.document = document
        self.version = version
        super().__init__(
            f"Version {version} of {stream} {_shown(document)} is a delete; "
            f"the last state before it is that of version {version - 1}."
        )


class CannotUndo(AuditError):
    """Event `version` has no undo, at all or as things are now; the message says why.

    It is of `document` in `stream`; `later` is the version that is in the way, None when it is
    none.
    """

    def __init__(
        self, stream: str, document: Any, *, version: int, why: str, later: int | None = None
    ) -> None:
        self.stream = stream
        self.document = document
        self.version = version
        self.later = later
        super().__init__(f"Version {version} of {stream} {_shown(document)} {why}")


class UndoConflict(AuditError):
    """What event `version` of `document` in `stream` changed has been changed again since.

    `conflicts` holds, for each such path (a JSON Pointer of today's field names, as the event
    shows it), the later version; None where the document was written round bzz.
    """

    def __init__(
        self,
        stream: str,
        document: Any,
        *,
        version: int,
        conflicts: Sequence[tuple[str, int | None]],
    ) -> None:
        self.stream = stream
        self.document = document
        self.version = version
        self.conflicts = tuple(conflicts)
        told = [f"{path} was changed again {_by(later)}" for path, later in conflicts[:_TOLD]]
        if len(conflicts) > _TOLD:
            told.append(f"{len(conflicts) - _TOLD} more")
        super().__init__(
            f"Version {version} of {stream} {_shown(document)} cannot be undone: "
            f"{', '.join(told)}. Undo what came later first, or undo other fields alone."
        )


_TOLD = 3


def _by(version: int | None) -> str:
    return "round bzz" if version is None else f"by version {version}"


class HistoryTooShort(AuditError):
    """The `document` of `stream` is older than its history, which begins at `since` (UTC)."""

    def __init__(self, stream: str, document: Any, *, since: datetime) -> None:
        self.stream = stream
        self.document = document
        self.since = since
        super().__init__(
            f"{stream} {_shown(document)} was there before its history began at "
            f"{since.isoformat(timespec='seconds')}; how it was before that was not recorded."
        )


class UpcastError(AuditError):
    """The upcaster `function` for states of version `from_schema` failed."""

    def __init__(self, function: str, *, from_schema: int, why: str) -> None:
        self.function = function
        self.from_schema = from_schema
        super().__init__(
            f"The upcaster {function} for states of schema {from_schema} {why}; it gets a state "
            "and returns it in the next schema."
        )


class StreamGap(AuditError):
    """Event `missing` of `document` in `stream` is not there, though later ones are.

    Raised where a state cannot be told without the missing event.
    """

    def __init__(self, stream: str, document: Any, *, missing: int) -> None:
        self.stream = stream
        self.document = document
        self.missing = missing
        super().__init__(
            f"Version {missing} of {stream} {_shown(document)} is missing from the history; "
            "states after it cannot be told. Bring it back from a backup."
        )


class PositionGone(AuditError):
    """A reader comes back with a position that is not, or no more, the one that it was given.

    `position` is what it knows, `last` the last one that there is, `other_epoch` that it was
    given before the database was restored from a backup.
    """

    def __init__(self, position: int, last: int, *, other_epoch: bool) -> None:
        self.position = position
        self.last = last
        self.other_epoch = other_epoch
        if other_epoch:
            message = (
                f"Position {position} is of another epoch, since the database was restored from "
                "a backup: other events may stand under it and after it."
            )
        else:
            message = f"There is no position {position}; the last one is {last}."
        super().__init__(f"{message} Begin anew, without a position.")


class AudienceFull(AuditError):
    """This process serves `size` readers that follow events live, and no more."""

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(
            f"This process serves {size} live streams already, and no more; come back later."
        )


class UnknownSubscription(AuditError):
    """Nobody subscribed as `name`; `known` are the names that there are."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        told = ", ".join(self.known) or "none"
        super().__init__(f"There is no subscription {name!r}; there are: {told}.")


class SubscriptionStopped(AuditError):
    """What subscription `name` remembers does not fit the positions that there are.

    `position` is its checkpoint, `last` the last position, `other_epoch` that the database was
    restored from a backup since.
    """

    def __init__(self, name: str, position: int, last: int, *, other_epoch: bool) -> None:
        self.name = name
        self.position = position
        self.last = last
        self.other_epoch = other_epoch
        if other_epoch:
            why = (
                "is of another epoch, since the database was restored from a backup: other events "
                "may stand under it and after it"
            )
        else:
            why = f"is none: the last one is {last}"
        super().__init__(
            f"The subscription {name!r} has stopped: its position {position} {why}. Bring what it "
            "feeds in order, and say where it goes on: "
            f"auditor.subscription({name!r}).restart(start=…)."
        )


class CheckpointMoved(AuditError):
    """Another worker of subscription `name` was faster; what this one did is not stored."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"Another worker of the subscription {name!r} was faster.")


class NotParked(AuditError):
    """No event of `position` is parked by subscription `name`."""

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        super().__init__(
            f"The subscription {name!r} has no parked event of position {position}; it was "
            "retried or skipped by now, or never parked."
        )


class ConsumerLate(AuditError):
    """A consumer was not done within its deadline of `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"The consumer was not done within {seconds:g} s and was left behind.")


class ConsumerFailed(AuditError):
    """The consumer of `name` raised at `position` of a replay; the cause is what it raised."""

    def __init__(self, name: str, position: int, cause: BaseException) -> None:
        self.name = name
        self.position = position
        super().__init__(
            f"The replay of {name!r} ended at position {position}: {cause!r}. What was done before "
            "stays; call it again with the same target to go on from there."
        )


class NotReplayable(AuditError):
    """The consumer of subscription `name` said that it is not to be run again."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"The subscription {name!r} is declared with replayable=False: what its consumer does "
            "outside the database would be done again."
        )


class TargetNotEmpty(AuditError):
    """What was to be filled, `collection`, has documents already; `way_out` says what to do."""

    def __init__(self, collection: str, way_out: str | None = None) -> None:
        self.collection = collection
        way_out = way_out or (
            "give the name of a new one, or go on with a rebuild of your own by "
            "after=<the token of its last report>."
        )
        super().__init__(f"The collection {collection!r} is not empty: {way_out}")


class BulkFailed(AuditError):
    """A transaction of a bulk write failed, and others had been committed before it.

    `done` is the number of documents that these wrote; the cause is the error that stopped it.
    """

    def __init__(self, done: int, cause: BaseException) -> None:
        self.done = done
        super().__init__(
            f"The bulk write stopped after {done} documents, which are written and stay so; "
            f"the next transaction failed: {cause}"
        )


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "nothing"
    text = f"{value}" if type(value).__name__ == "ObjectId" else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
