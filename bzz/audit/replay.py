"""Fold events, in order, into the state of a document.  Knows nothing of storage."""

from __future__ import annotations

from collections.abc import Iterable

from bzz.audit.diff import apply, inverse
from bzz.audit.events import Event, State


def fold(events: Iterable[Event], state: State | None = None) -> State | None:
    """The state after the last of `events`, which follow each other from `state` on.

    None is the state in which there is no document.  Raises `ReplayError` when a change does
    not fit the state before it, which means that an event is missing or was altered.
    """
    for event in events:
        state = after(event, state)
    return state


def after(event: Event, state: State | None) -> State | None:
    """The state after one event, from the state before it."""
    base: State = {"_id": event.document} if state is None else state
    result = apply(base, event.changes)
    return None if event.gone else result


def before(deletion: Event) -> State:
    """The state that a delete took away: its changes hold all of it."""
    return apply({"_id": deletion.document}, inverse(deletion.changes))
