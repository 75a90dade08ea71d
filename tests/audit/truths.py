"""What is to be true of documents and their histories: plain lists of states.

Nothing here asks bzz, but for when two values are the same.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bzz.values import ABSENT, same
from tests.audit.kinds import Kind, State

Path = tuple[Any, ...]
UNTOLD = object()
"""What a plain model does not tell."""


@dataclass(frozen=True)
class Told:
    """One event."""

    operation: str
    state: State | None
    actor: str | None
    correlation: str | None


@dataclass
class Truth:
    """What is to be true of one document."""

    kind: Kind
    key: str
    stored: State | None = None
    events: list[Told] = field(default_factory=list)

    @property
    def states(self) -> list[State | None]:
        """After each event, without what is hidden."""
        return [each.state for each in self.events]

    @property
    def last(self) -> State | None:
        """What the history says that the document is."""
        return self.events[-1].state if self.events else None

    @property
    def visible(self) -> State | None:
        """What is stored, without what is hidden."""
        return self.kind.strip(self.stored)

    @property
    def is_told(self) -> bool:
        """Whether the document is as its history says."""
        return same(self.visible, self.last)

    @property
    def tag(self) -> str | None:
        """Its ETag."""
        if not self.events:
            return '"0"'
        return f'"{len(self.events)}"' if self.is_told else None

    @property
    def missing(self) -> int | None:
        """The status for a document that is not there."""
        if self.stored is not None:
            return None
        return 410 if self.events else 404

    def write(
        self,
        state: State | None,
        actor: str | None,
        correlation: str | None = None,
        operation: str | None = None,
    ) -> bool:
        """Note a write through bzz; whether it makes an event."""
        before, after = self.visible, self.kind.strip(state)
        veiled = same(self.kind.veiled(self.stored), self.kind.veiled(state))
        if same(before, after) and veiled:
            self.stored = state
            return False
        if operation is None:
            operation = "created" if before is None else "deleted" if after is None else "updated"
        if not self.is_told:
            found = "external" if self.events else "baseline"
            self.events.append(Told(found, before, None, None))
        self.events.append(Told(operation, after, actor, correlation))
        self.stored = state
        return True

    def undone(self, version: int) -> Any:
        """What undoing an event comes to: a state, a status, or `UNTOLD`.

        Lists are taken as a whole: where one is touched twice, it depends on what is in it.
        """
        if version > len(self.events):
            return 404
        states = [None, *self.states]
        before, after, later = states[version - 1], states[version], states[version + 1 :]
        if before is None:
            return 409
        if after is None:
            return before if not later and self.stored is None else 409
        if self.stored is None:
            return 409
        if same(before, after):
            return 409  # only what is hidden was changed
        if None in later:
            return UNTOLD
        mine = set(spots(before, after))
        for old, new in itertools.pairwise([after, *later, self.visible]):
            if any(_overlap(one, other) for one in mine for other in spots(old, new)):
                return UNTOLD
        state = copy.deepcopy(self.visible)
        for path in mine:
            put(state, path, at(before, path))
        return self.kind.keep_hidden(state, self.stored)


# States ------------------------------------------------------------------------------------


def spots(before: Any, after: Any, above: Path = ()) -> Iterator[Path]:
    """The members that differ, through embedded documents; lists count as one."""
    for name in {**before, **after}:
        old, new, path = before.get(name, ABSENT), after.get(name, ABSENT), (*above, name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from spots(old, new, path)
        elif not same(old, new):
            yield path


def _overlap(one: Path, other: Path) -> bool:
    return one[: len(other)] == other or other[: len(one)] == one


def at(state: Any, path: Path) -> Any:
    """The value at a path of members; `ABSENT` where there is none."""
    for name in path:
        if not isinstance(state, dict) or name not in state:
            return ABSENT
        state = state[name]
    return state


def put(state: Any, path: Path, value: Any) -> None:
    """Set the member at a path; `ABSENT` takes it away."""
    for name in path[:-1]:
        state = state[name]
    if value is ABSENT:
        state.pop(path[-1], None)
    else:
        state[path[-1]] = value


def changed(value: Any, changes: Iterable[Any], paint: Any = None) -> Any:
    """What changes, applied one after the other, make of a value; `paint` what each sets."""
    paint = paint or copy.deepcopy
    found = copy.deepcopy(value)
    for each in changes:
        holder = found
        for token in each.path[:-1]:
            holder = holder[int(token) if isinstance(holder, list) else token]
        token = each.path[-1]
        if isinstance(holder, list):
            token = int(token)
            if each.from_ is ABSENT:
                holder.insert(token, paint(each.to))
                continue
        if each.to is ABSENT:
            del holder[token]
        else:
            holder[token] = paint(each.to)
    return found


# Blame -------------------------------------------------------------------------------------


def last_set(states: list[State | None], path: Path) -> int:
    """The version since which the member at a path has been what it is, through members alone."""
    version, value = len(states), at(states[-1], path)
    while version > 1 and same(at(states[version - 2], path), value):
        version -= 1
    return version


def painted(value: Any, version: Any) -> Any:
    """A value with the version in the place of all that holds no others."""
    if isinstance(value, dict):
        return {name: painted(each, version) for name, each in value.items()}
    if isinstance(value, list):
        return [painted(each, version) for each in value]
    return version


def leaves(value: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The paths of what holds no others."""
    if not value or not isinstance(value, dict | list):
        yield above, value
        return
    for token, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(each, (*above, token))
