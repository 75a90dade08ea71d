"""What still stands of the events that came after one.  Knows nothing of storage.

An event that was undone counts for nothing, and neither does the undo that took it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bzz.audit.carrying import carried_both, typed
from bzz.audit.diff import Change, apply, changes_between, inverse
from bzz.audit.events import Event
from bzz.values import State


@dataclass(frozen=True, slots=True)
class Later:
    """The changes of a later event, typed; `before` is the state from which they start.

    `version` is None for what was written round bzz.  `takes_back` says that it is itself
    an undo of the event in question.
    """

    version: int | None
    changes: Sequence[Change]
    before: State
    takes_back: bool = False


def standing(event: Event, later: Sequence[Event], state: State) -> tuple[list[Later], State]:
    """What stands of the events after `event`, and the state after the last of them.

    `state` is the one after `event`.  Raises `ReplayError` when an event does not fit.
    """
    laters: list[Later] = []
    for each in later:
        changes = typed(state, each.changes)
        laters.append(Later(each.version, changes, state, each.undo_of == event.version))
        state = {"_id": each.document} if each.gone else apply(state, changes)
    for undo, target in sorted(taken_back(later).items()):
        laters = _cancelled(laters, target, undo)
    return laters, state


def taken_back(later: Sequence[Event]) -> dict[int, int]:
    """Which of some events takes back which, where both count for nothing by now.

    From the newest to the oldest: an undo that was itself undone takes nothing back.
    """
    known = {each.version: each for each in later}
    pairs: dict[int, int] = {}
    cancelled: set[int] = set()
    for event in reversed(later):
        target = _target(event, known)
        if target in known and not cancelled & {event.version, target}:
            cancelled |= {event.version, target}
            pairs[event.version] = target
    return pairs


def _target(event: Event, known: dict[int, Event]) -> int:
    """The version that an event takes back; 0 when it is no undo."""
    deletion = known.get(event.version - 1)
    if deletion is not None and deletion.gone and event.restored_from == deletion.version - 1:
        return deletion.version  # bringing back what was there is to undo the delete
    return event.undo_of or 0


def _cancelled(laters: list[Later], target: int, undo: int) -> list[Later]:
    """The later events as if one of them, and the one that took it back, had not been.

    What the undo did besides (`clean()` may have, or it took back single fields) stays as its
    own.  Where those between them cannot do without the first, all stay as they are.
    """
    versions = [each.version for each in laters]
    first, last = versions.index(target), versions.index(undo)
    state, back, between = laters[first].before, inverse(laters[first].changes), list[Later]()
    for each in laters[first + 1 : last]:
        both = carried_both(back, each.changes)
        if both is None:
            return laters
        back, changes = both
        between.append(replace(each, changes=changes, before=state))
        state = apply(state, changes)
    rest = changes_between(state, apply(laters[last].before, laters[last].changes))
    if rest:
        between.append(replace(laters[last], changes=rest, before=state))
    return [*laters[:first], *between, *laters[last + 1 :]]
