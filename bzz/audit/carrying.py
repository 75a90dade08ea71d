"""Carry changes past others that start from the same state.  Knows nothing of events.

Two people change one state; each one's changes are to be applied after the other's.  Members
keep their names, but the index of a list's element moves with every element that is inserted or
removed before it (operational transformation).  Changes meet where one is at, above or below the
place of the other; then there is no telling what both together should come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bzz.audit.diff import Change, Path, apply
from bzz.values import ABSENT, State, is_list


def typed(state: State, changes: Iterable[Change]) -> list[Change]:
    """The same changes of a state, with list indexes as `int`.

    Stored pointers do not tell them from members that have a number for a name; states do.
    Raises `ReplayError` when a change does not fit.
    """
    found = []
    for change in changes:
        after = apply(state, [change])
        if any(isinstance(token, int) or token.isdecimal() for token in change.path):
            change = replace(change, path=_typed(state, change.path))
        found.append(change)
        state = after
    return found


def _typed(holder: Any, path: Path) -> Path:
    tokens: list[str | int] = []
    for token in path:
        if is_list(holder):
            tokens.append(int(token))
            holder = holder[int(token)] if int(token) < len(holder) else ABSENT
        else:
            tokens.append(str(token))
            holder = holder.get(str(token), ABSENT) if isinstance(holder, dict) else ABSENT
    return tuple(tokens)


def carried(change: Change, past: Change, *, yields: bool = False) -> Change | None:
    """`change` as it is once `past` has been made of the state from which both start.

    None where they meet.  Elements that both insert at one place keep the order of
    `change`, `past`; with `yields` the other one.
    """
    path, other = change.path, past.path
    if path[0] != other[0]:
        return change
    depth = len(other) - 1
    if _moves(past) and len(path) > depth and path[:depth] == other[:depth]:
        return _shifted(change, past, depth, yields)
    shared = min(len(path), len(other))
    if path[:shared] != other[:shared]:
        return change
    # What is inserted comes between the elements that are there: it is none of them.
    return change if _inserts(change) and len(path) <= len(other) else None


def _shifted(change: Change, past: Change, depth: int, yields: bool) -> Change | None:
    """`change` once `past` has inserted or removed an element in a list on its way."""
    path = change.path
    index, place = int(path[depth]), int(past.path[depth])
    is_gap = len(path) == depth + 1 and _inserts(change)
    if _inserts(past):
        step = 1 if place < index or (place == index and (yields or not is_gap)) else 0
    elif place == index and not is_gap:
        return None
    else:
        step = -1 if place < index else 0
    if not step:
        return change
    return replace(change, path=(*path[:depth], index + step, *path[depth + 1 :]))


def carried_both(
    changes: Sequence[Change], others: Sequence[Change]
) -> tuple[list[Change], list[Change]] | None:
    """Two runs of changes of one state, each as it is after the other; None where they meet."""
    carried_others = []
    for other in others:
        moved = []
        for change in changes:
            mine, its = carried(change, other), carried(other, change, yields=True)
            if mine is None or its is None:
                return None
            moved.append(mine)
            other = its
        changes = moved
        carried_others.append(other)
    return list(changes), carried_others


def _moves(change: Change) -> bool:
    """Whether elements of a list stand at other indexes after it."""
    return isinstance(change.path[-1], int) and (change.from_ is ABSENT) != (change.to is ABSENT)


def _inserts(change: Change) -> bool:
    return _moves(change) and change.from_ is ABSENT
