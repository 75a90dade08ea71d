"""Follow a stream from its first event on, and note where it is broken.  Knows nothing of storage.

An event is sound when its version follows that of the one before it, its changes fit the state
before it, and its digest is that of the state after it.  What the digest does not cover (actor,
reason, time) is covered by the seals, with which the caller has compared it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bzz.audit.diff import apply, digest
from bzz.audit.errors import EventAltered, ReplayError, StreamGap
from bzz.audit.events import Event, State
from bzz.audit.replay import after


class ProblemKind(StrEnum):
    """What is wrong with a history, besides a document that is stored otherwise.

    Attributes
    ----------
    GAP: events are missing.
    ALTERED: an event is not as it was stored.
    UNTOLD: the stored document is not the last state, and which differences there are nobody
        can tell from a broken stream.
    CLASH: a rebuild met a value that another document has and that is to be unique.
    NO_BASELINE: the document has no history yet, which is not wrong.
    UNSEALED: an event has a position that nothing was given.
    MISPLACED: positions do not follow versions.
    REMOVED: a position has no event.
    CHAIN: the seals themselves are not as they were stored.
    """

    GAP = "gap"
    ALTERED = "altered"
    UNTOLD = "untold"
    CLASH = "clash"
    NO_BASELINE = "baseline missing"
    UNSEALED = "unsealed"
    MISPLACED = "misplaced"
    REMOVED = "removed"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a verification met.

    Attributes
    ----------
    kind: what is wrong.
    version: the first event that it is about; None when it is about none.
    detail: one sentence for people.
    """

    kind: ProblemKind
    version: int | None
    detail: str


class Trail:
    """The events of one document so far.

    Attributes
    ----------
    document: its id.
    state: what the document was after the last event, as far as it can be told.
    is_known: whether it can: false from the first event that is not sound to one that is.
    last: the last event; None before the first, and when it could not be read.
    last_class: the `_cls` of the last state in which there was a document.
    version: the number of the last event.
    error: the first fault as an exception; None while there is none.
    """

    __slots__ = (
        "_position",
        "_stream",
        "document",
        "error",
        "is_known",
        "last",
        "last_class",
        "problems",
        "state",
        "version",
    )

    def __init__(self, stream: str, document: Any) -> None:
        self._stream = stream
        self._position = 0
        self.document = document
        self.state: State | None = None
        self.is_known = True
        self.last: Event | None = None
        self.last_class: Any = None
        self.version = 0
        self.problems: list[Problem] = []
        self.error: StreamGap | ReplayError | None = None

    def follow(self, event: Event, flaw: tuple[ProblemKind, str] | None = None) -> None:
        """Take the next event; `flaw` is what is wrong between it and its seal."""
        self._reach(event.version)
        self.last = event
        if self.is_known:
            self._prove(event)
        else:
            self._guess(event)
        if self.state is not None:
            self.last_class = self.state.get("_cls")
        self._compare(event, flaw)

    def _compare(self, event: Event, flaw: tuple[ProblemKind, str] | None) -> None:
        """Note what the seal and the position say, unless the event is blamed already."""
        position, before = event.position or 0, self._position
        if flaw is None and 0 < position < before:
            told = f"position {position}, and the one before it at {before}: one of them was moved."
            flaw = ProblemKind.MISPLACED, f"Version {event.version} stands at {told}"
        if flaw is None:
            self._position = position or before
        elif event.version not in {each.version for each in self.problems}:
            self.problems.append(Problem(flaw[0], event.version, flaw[1]))

    def unreadable(self, version: int) -> None:
        """Take an event that is stored in no form that an event has."""
        self._reach(version)
        self.last = None
        if self.is_known:
            self._blame(version)

    def _reach(self, version: int) -> None:
        missing, self.version = self.version + 1, version
        if version == missing:
            return
        self.is_known = False
        error = StreamGap(self._stream, self.document, missing=missing)
        self.error = self.error or error
        which = f"{missing} is" if version <= missing + 1 else f"{missing} to {version - 1} are"
        detail = f"Version {which} missing from the history. Bring it back from a backup."
        self.problems.append(Problem(ProblemKind.GAP, missing, detail))

    def _prove(self, event: Event) -> None:
        try:
            state = after(event, self.state)
        except ReplayError:
            self._blame(event.version)
            self._guess(event)
            return
        self.state = state
        if digest(state, event.salt) != event.digest:
            self._blame(event.version)

    def _guess(self, event: Event) -> None:
        """Go on from a state that may be wrong; a digest that fits proves that it is not."""
        try:
            base = {"_id": event.document} if self.state is None else self.state
            state = None if event.gone else apply(base, event.changes, strict=False)
        except ReplayError:
            return
        self.state = state
        self.is_known = digest(state, event.salt) == event.digest

    def _blame(self, version: int) -> None:
        self.is_known = False
        error = EventAltered(self._stream, self.document, version=version)
        self.error = self.error or error
        self.problems.append(Problem(ProblemKind.ALTERED, version, str(error)))
