"""What has to be true of a history, from its states alone, in plain Python.

Nothing here is bzz's: slow, short, and for states that are JSON.  Two values are the same when
their JSON with sorted member names is the same text, so 1, 1.0 and true differ.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from typing import Any, NamedTuple, TypeAlias

from feed.changes import canonical

Path: TypeAlias = tuple[str | int, ...]


class Missing:
    """That there is no value; null is one."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


def same(one: Any, other: Any) -> bool:
    """Whether two values, or their absence, are the same."""
    if one is MISSING or other is MISSING:
        return one is other
    return canonical(one) == canonical(other)


def shown(key: str, state: Any) -> Any:
    """A record as the API shows it; None where it is deleted."""
    return None if state is None else {"id": key, "key": key, "content": state}


# Changes ------------------------------------------------------------------------------------


class DoesNotApply(Exception):
    """A change that does not start from what is there."""


def applied(state: Any, changes: Iterable[dict[str, Any]]) -> Any:
    """A state after changes as the API shows them.  Raises `DoesNotApply`."""
    document = {} if state is None else {"content": copy.deepcopy(state)}
    for change in changes:
        *way, last = _tokens(change["path"])
        old, new = change.get("from", MISSING), change.get("to", MISSING)
        holder: Any = document
        for token in way:
            holder = holder[int(token) if isinstance(holder, list) else token]
        if isinstance(holder, list):
            index = int(last)
            if old is MISSING:
                holder.insert(index, new)
                continue
            _check(change, old, holder[index])
            holder[index : index + 1] = [] if new is MISSING else [new]
        else:
            _check(change, old, holder.get(last, MISSING))
            holder[last] = new
            if new is MISSING:
                del holder[last]
    return document.get("content")


def _check(change: dict[str, Any], told: Any, found: Any) -> None:
    if not same(told, found):
        raise DoesNotApply(f"{change['path']} is {found!r} where the change has {told!r}")


def _tokens(pointer: str) -> list[str]:
    return [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]


def pointer(path: Iterable[str | int]) -> str:
    """A path as RFC 6901 writes it."""
    return "".join("/" + str(each).replace("~", "~0").replace("/", "~1") for each in path)


# Blame --------------------------------------------------------------------------------------


class Told(NamedTuple):
    """The version that set a value, and the same for all in it."""

    version: int
    below: dict[str, Told] | list[Told] | None = None


def blame(states: Sequence[Any]) -> dict[Path, int]:
    """For each value of the last state that holds no others the version that set it.

    Each state beside the one before it.  A member keeps its version while its value stays the
    same.  An element of a list keeps its own wherever it moves to, as `pairs` tells; one that
    was replaced by another of the same kind of container is compared with it, member by member
    or element by element.  An empty object or list was set when it was emptied or made.
    """
    told: Told | None = None
    before: Any = MISSING
    for version, state in enumerate(states, 1):
        after = MISSING if state is None else state
        told = None if state is None else _told(before, after, told, version)
        before = after
    return {} if told is None else dict(_leaves(told, ()))


def _told(before: Any, after: Any, told: Told | None, version: int) -> Told:
    if told is not None and isinstance(before, dict) and isinstance(after, dict):
        known = told.below
        assert isinstance(known, dict)
        members = {
            name: _told(before.get(name, MISSING), each, known.get(name), version)
            for name, each in after.items()
        }
        kept = before.keys() == after.keys()
        return Told(told.version if kept else version, members)
    if told is not None and isinstance(before, list) and isinstance(after, list):
        known_elements = told.below
        assert isinstance(known_elements, list)
        elements = [_new(each, version) for each in after]
        for i, j in pairs(before, after):
            if i is not None and j is not None and same(_id(before[i]), _id(after[j])):
                elements[j] = _told(before[i], after[j], known_elements[i], version)
        kept = len(before) == len(after) and all(None not in each for each in pairs(before, after))
        return Told(told.version if kept else version, elements)
    if told is not None and same(before, after):
        return told
    return _new(after, version)


def _new(value: Any, version: int) -> Told:
    if isinstance(value, dict):
        return Told(version, {name: _new(each, version) for name, each in value.items()})
    if isinstance(value, list):
        return Told(version, [_new(each, version) for each in value])
    return Told(version)


def _leaves(told: Told, path: Path) -> Iterator[tuple[Path, int]]:
    if not told.below:
        yield path, told.version
        return
    items = told.below.items() if isinstance(told.below, dict) else enumerate(told.below)
    for token, each in items:
        yield from _leaves(each, (*path, token))


def pairs(before: Sequence[Any], after: Sequence[Any]) -> list[tuple[int | None, int | None]]:
    """Which element of one list became which of the other; None: removed, or inserted.

    What both begin and end with stays.  Between, from the left: two that are the same, or
    carry the same id, belong together.  Of two that do not, one that the other list has
    further on waits for it there, the nearer one if both do (the new list's on a tie); two that
    are nowhere else are one that was replaced.
    """
    start = 0
    while start < min(len(before), len(after)) and same(before[start], after[start]):
        start += 1
    i, j = len(before), len(after)
    while i > start and j > start and same(before[i - 1], after[j - 1]):
        i, j = i - 1, j - 1
    tail = list(zip(range(i, len(before)), range(j, len(after)), strict=True))
    old, new = ([_name(each) for each in side] for side in (before[:i], after[:j]))
    found: list[tuple[int | None, int | None]] = [(each, each) for each in range(start)]
    i = j = start
    while i < len(old) and j < len(new):
        in_new, in_old = _ahead(new, old[i], j), _ahead(old, new[j], i)
        if old[i] == new[j] or (in_new is None and in_old is None):
            found.append((i, j))
            i, j = i + 1, j + 1
        elif in_old is None or (in_new is not None and in_new <= in_old):
            found.append((None, j))
            j += 1
        else:
            found.append((i, None))
            i += 1
    found += [(each, None) for each in range(i, len(old))]
    found += [(None, each) for each in range(j, len(new))]
    return found + tail


def _ahead(names: Sequence[str], name: str, index: int) -> int | None:
    """How far ahead the next such name is; None when there is none."""
    try:
        return names.index(name, index) - index
    except ValueError:
        return None


def _name(element: Any) -> str:
    """What tells an element from others: its id, else its text, members as they come."""
    own = _id(element)
    return f"value {dumps(element)}" if own is MISSING else f"id {dumps(own)}"


def _id(element: Any) -> Any:
    if not isinstance(element, dict):
        return MISSING
    names = (name for name in ("_id", "id") if element.get(name) is not None)
    return next((element[name] for name in names), MISSING)


# Time ---------------------------------------------------------------------------------------


def version_at(times: Sequence[datetime], moment: datetime) -> int:
    """The last version not later than a moment; 0 before the first."""
    return bisect_right(times, moment)


# Undo ---------------------------------------------------------------------------------------


class Edit(NamedTuple):
    """One place in which two states differ; lists are places as wholes."""

    path: Path
    old: Any
    new: Any

    @property
    def within_list(self) -> bool:
        """Whether a list was edited, as against put there, replaced or taken away."""
        return isinstance(self.old, list) and isinstance(self.new, list)


def edits(before: Any, after: Any, path: Path = ()) -> Iterator[Edit]:
    """Where two states differ; a delete, or coming to be, is one edit of everything."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(each for each in after if each not in before)]:
            old, new = before.get(name, MISSING), after.get(name, MISSING)
            yield from edits(old, new, (*path, name))
    elif not same(before, after):
        yield Edit(path, before, after)


@dataclass(frozen=True)
class Undone:
    """What an undo of one version must come to.

    Attributes
    ----------
    state: the record as if the version had not been, where the undo has to succeed.
    refused: it has to be refused.
    in_the_way: the later versions of which a refusal may name some.
    required: those of them that a refusal has to name.
    lists: the lists that a later version edited as well.  Whether both edits meet is a matter
        of single elements, which is not told here: the undo may be refused, or it leaves
        everything but these lists as `state` has it.
    """

    state: Any = None
    refused: bool = False
    in_the_way: frozenset[int] = frozenset()
    required: frozenset[int] = frozenset()
    lists: tuple[Path, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether both ends are right."""
        return not self.refused and bool(self.lists)


def undone(states: Sequence[Any], version: int, last: int | None = None) -> Undone:
    """What taking one version back, and none of the later ones, must come to.

    `last` is the record's last version, where more came after those of `states` and left the
    record as it was then: a deleted one was deleted by that.
    """
    before = states[version - 2] if version > 1 else None
    after, now = states[version - 1], states[-1]
    last = last or len(states)
    if before is None:
        return Undone(refused=True)
    if after is None and version == last:
        return Undone(before)
    if now is None or after is None:
        later = frozenset([last if now is None else version + 1])
        return Undone(refused=True, in_the_way=later, required=later)
    return _undone(list(edits(before, after)), states, version)


def _undone(own: Sequence[Edit], states: Sequence[Any], version: int) -> Undone:
    in_the_way, required, lists = set[int](), set[int](), list[Path]()
    refused = False
    for edit in own:
        meets = []
        for later in range(version + 1, len(states) + 1):
            for its in edits(states[later - 2], states[later - 1]):
                if _overlap(edit.path, its.path):
                    meets.append((later, edit.within_list and its.within_list))
        in_the_way |= {later for later, _ in meets}
        surely = [later for later, within_list in meets if not within_list]
        refused = refused or bool(surely)
        if meets and not meets[0][1]:
            required.add(meets[0][0])
        if meets and not surely:
            lists.append(edit.path)
    state = None if refused else copy.deepcopy(states[-1])
    if not refused:
        for edit in own:
            _put(state, edit.path, edit.old)
    return Undone(state, refused, frozenset(in_the_way), frozenset(required), tuple(lists))


def _overlap(one: Path, other: Path) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _put(state: Any, path: Path, value: Any) -> None:
    holder = state
    for token in path[:-1]:
        holder = holder[token]
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(value)


def without(state: Any, lists: Iterable[Path]) -> Any:
    """A state without some of its lists."""
    state = copy.deepcopy(state)
    for path in lists:
        _put(state, path, MISSING)
    return state


def elements_after_undo(states: Sequence[Any], version: int, path: Path) -> Counter[str] | None:
    """The elements that a list has to have, in whatever order, if the undo did succeed.

    None where elements hold others: these may have been changed one after the other.
    """
    before, after, now = (_at(states[each], path) for each in (version - 2, version - 1, -1))
    if any(isinstance(each, dict | list) for each in (*before, *after, *now)):
        return None
    own, others, present = (Counter(map(canonical, each)) for each in (before, after, now))
    present.subtract(others)
    present.update(own)
    return +present


def _at(state: Any, path: Path) -> Any:
    for token in path:
        state = state[token]
    return state


def elements(state: Any, path: Path) -> Counter[str]:
    """The elements of a list of a state, in whatever order."""
    return Counter(map(canonical, _at(state, path)))


def came_to_nothing(states: Sequence[Any], version: int) -> set[int]:
    """The versions, from this one on, that changed nothing in the end.

    From the end of the history, each state goes with the first one, not before that version,
    that is the same: all that lies between came to nothing.
    """
    known = [canonical(each) for each in ([None, *states])[version - 1 :]]
    found: set[int] = set()
    end = len(known) - 1
    while end > 0:
        begin = known.index(known[end])
        found.update(range(version + begin, version + end))
        end = min(begin, end - 1)
    return found
