"""Take back the changes of one event, and leave what later events changed elsewhere.

Knows events and states, nothing of how they are stored.  A later event that was itself undone
counts for nothing, and neither does the undo that took it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bzz.audit.carrying import carried, typed
from bzz.audit.diff import Change, Path, apply, changes_between, inverse
from bzz.audit.errors import CannotUndo
from bzz.audit.events import Event, Operation
from bzz.audit.replay import before as before_delete
from bzz.audit.standing import Later, standing
from bzz.values import Hidden, State, same


@dataclass(frozen=True, slots=True)
class Touch:
    """A path of the event (stored names) that was touched again, and by which later version.

    The version is None where the document was written round bzz since its last event.
    """

    path: Path
    version: int | None


@dataclass(frozen=True, slots=True)
class Undone:
    """The state that an undo makes of the stored one; not to be used where there are `touches`."""

    state: State
    touches: tuple[Touch, ...] = ()


def undone(
    before: State | None,
    events: Sequence[Event],
    stored: State | None,
    *,
    hidden: Hidden,
    only: Sequence[Path] | None = None,
) -> Undone:
    """What taking back the first of `events` makes of a document.

    Args:
        before: the state before that event.
        events: it and all that came after it.
        stored: the document as it is now, without what is hidden.
        hidden: what is hidden by now; it is left alone, also where the event tells of it.
        only: the paths of the event (stored names) to take back, with all below; None: all.

    Raises `CannotUndo` for an event that has no undo, at all or by now, and `ReplayError` when
    an event was altered.
    """
    event, later = events[0], events[1:]
    if before is None or event.operation is Operation.ERASED:
        raise _refusal(event, f"cannot be undone: it {_BEGINS[event.operation]}.")
    if event.gone:
        return _undelete(event, later, stored, hidden)
    if stored is None:
        raise _deleted(event, events[-1])
    changes = typed(before, event.changes)
    steps = list(_steps(changes, hidden, only))
    if not steps and only is None:
        raise _refusal(event, "changed only hidden values, which are not kept to be put back.")
    laters, state = standing(event, later, apply(before, changes))
    laters.append(Later(None, changes_between(hidden.strip(state), stored), state))
    return _carried_on(steps, laters, stored)


_BEGINS = {
    Operation.CREATED: "created the document; delete that instead",
    Operation.UPDATED: "brought the document into being; delete that instead",
    Operation.BASELINE: "is where the history begins, and changed nothing",
    Operation.ERASED: "took values away, which were not kept",
    Operation.EXTERNAL: "found a document that was made round bzz; delete that instead",
    Operation.RESTORED: "brought the document back; delete that instead",
    Operation.DELETED: "deleted nothing",
}


def _deleted(event: Event, last: Event) -> CannotUndo:
    if last.gone:
        why = f"cannot be undone: version {last.version} deleted the document; restore it first."
        return _refusal(event, why, later=last.version)
    return _refusal(
        event, "cannot be undone: the document was deleted round bzz; restore it first."
    )


def _undelete(event: Event, later: Sequence[Event], stored: State | None, hidden: Hidden) -> Undone:
    if stored is None and not later:
        return Undone(hidden.strip(before_delete(event)))
    if not later:
        raise _refusal(event, "is a delete, and the document was made again round bzz.")
    if stored is None:
        raise _deleted_again(event, later[-1])
    first = later[0].version
    why = f"is a delete, and the document is there again since version {first}."
    raise _refusal(event, why, later=first)


def _deleted_again(event: Event, last: Event) -> CannotUndo:
    if not last.gone:
        why = "is a delete, and the document came back and was deleted again round bzz; restore it."
        return _refusal(event, why)
    number = last.version
    why = f"is a delete, and version {number} deleted the document again; undo that instead."
    return _refusal(event, why, later=number)


def _refusal(event: Event, why: str, *, later: int | None = None) -> CannotUndo:
    return CannotUndo(event.stream, event.document, version=event.version, why=why, later=later)


# What is taken back -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """One change to make, and the path that the event has for what it takes back."""

    change: Change
    path: Path


def _steps(
    changes: Sequence[Change], hidden: Hidden, only: Sequence[Path] | None
) -> Iterator[_Step]:
    """The changes that take back the selected ones of an event's, in the order to make them."""
    steps = [
        _Step(undo, change.path)
        for undo, change in zip(inverse(changes), reversed(changes), strict=True)
    ]
    for index in range(len(steps) - 1, -1, -1):
        change = steps[index].change
        kept = change.forgets or hidden.covers(change.path)
        if kept or not (only is None or is_selected(steps[index].path, only)):
            steps = _without(steps, index)
    for step in steps:
        path, from_, to = step.change.path, step.change.from_, step.change.to
        visible = Change(path, hidden.strip_at(path, from_), hidden.strip_at(path, to))
        if not same(visible.from_, visible.to):
            yield replace(step, change=visible)


def is_selected(path: Path, only: Iterable[Path]) -> bool:
    """Whether a path is one of some, or below one; indexes may be numbers or text."""
    tokens = tuple(map(str, path))
    return any(tokens[: len(each)] == tuple(map(str, each)) for each in only)


def _without(steps: list[_Step], index: int) -> list[_Step]:
    """The steps but one, which stays as the event left it: those after it get past that."""
    rest = steps[:index]
    [stays] = inverse([steps[index].change])
    for step in steps[index + 1 :]:
        change, others = carried(step.change, stays), carried(stays, step.change, yields=True)
        if change is not None and others is not None:
            rest.append(replace(step, change=change))
            stays = others
    return rest


# Past what came later -----------------------------------------------------------------------


def _carried_on(steps: list[_Step], laters: Sequence[Later], stored: State) -> Undone:
    """Take the steps past all that came later, and make them of the stored state."""
    touches: list[Touch] = []
    for later in laters:
        if later.takes_back and not touches and _is_done(steps, later):
            return Undone(stored)
        for change in later.changes:
            steps = _past(steps, change, later, touches)
    if touches:
        return Undone(stored, tuple(dict.fromkeys(touches)))
    return Undone(apply(stored, [step.change for step in steps]))


def _is_done(steps: Sequence[_Step], later: Later) -> bool:
    """Whether a later undo did just what the steps would do."""
    own = apply(later.before, [step.change for step in steps], strict=False)
    return same(own, apply(later.before, later.changes))


def _past(steps: list[_Step], change: Change, later: Later, touches: list[Touch]) -> list[_Step]:
    """The steps once a later change has been made; those that it meets are noted, and left out."""
    moved, rest, other = list[_Step](), list(steps), change
    while rest:
        step = rest[0]
        if later.takes_back and _are_same(step.change, other):
            return [*moved, *rest[1:]]
        mine, its = carried(step.change, other), carried(other, step.change, yields=True)
        if mine is None or its is None:
            touches.append(Touch(step.path, later.version))
            rest = _without(rest, 0)
        else:
            moved.append(replace(step, change=mine))
            rest, other = rest[1:], its
    return moved


def _are_same(one: Change, other: Change) -> bool:
    return one.path == other.path and same(one.from_, other.from_) and same(one.to, other.to)
