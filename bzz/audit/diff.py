"""Compare two states, and apply or take back the difference.  Knows nothing of storage.

A state is a decoded BSON document, or None when there is none.  Values are compared by type
(`bzz.values.same`).  Changes apply in order, as RFC 6902 operations do: the index of a list
element is the one it has when all changes before it have been applied.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from bzz.audit.errors import ReplayError
from bzz.values import ABSENT, IF_EQUAL_SAME, State, canonical, encoded, is_list, same

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two states.

    Attributes
    ----------
    path: member names and list indexes, from the root.
    from_: the value before; `ABSENT` when there was none, in a list when it was inserted.
    to: the value after; `ABSENT` when there is none, in a list when it was removed.

    Where both are `ABSENT` the member is forgotten: gone whatever it was, and not to be told.
    """

    path: Path
    from_: Any
    to: Any

    @property
    def forgets(self) -> bool:
        """Whether the member leaves the history without a word of its value."""
        return self.from_ is ABSENT and self.to is ABSENT


# Comparing


def changes_between(before: State | None, after: State | None) -> list[Change]:
    """The changes that lead from one state to the other, in the order in which they apply.

    Members are compared by name, list elements one by one; embedded documents that carry the
    same `_id` or `id` are taken for the same element.  A state that appears or goes as a whole
    has one change for each of its members but `_id`.  Values are not copied.
    """
    if before is None or after is None:
        return [
            *(Change((name,), value, ABSENT) for name, value in _content(before)),
            *(Change((name,), ABSENT, value) for name, value in _content(after)),
        ]
    changes: list[Change] = []
    _compare_members(before, after, (), changes)
    return changes


def _content(state: State | None) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in (state or {}).items() if name != "_id")


def _compare_members(before: State, after: State, path: Path, changes: list[Change]) -> None:
    for name, old in before.items():
        new = after.get(name, ABSENT)
        if new is old:
            continue
        kind = type(old)
        if kind is not type(new) or kind not in IF_EQUAL_SAME or old != new:
            _compare(old, new, (*path, name), changes)
    if not after.keys() <= before.keys():
        added = (name for name in after if name not in before)
        changes.extend(Change((*path, name), ABSENT, after[name]) for name in added)


def _compare(old: Any, new: Any, path: Path, changes: list[Change]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        _compare_members(old, new, path, changes)
    elif is_list(old) and is_list(new):
        _compare_elements(old, new, path, changes)
    elif not same(old, new):
        changes.append(Change(path, old, new))


def _compare_elements(
    before: Sequence[Any], after: Sequence[Any], path: Path, changes: list[Change]
) -> None:
    start, stop, end = _unequal_part(before, after)
    index = start
    for i, j in _aligned(before, after, start, stop, end):
        if i is None:
            changes.append(Change((*path, index), ABSENT, after[index]))
        elif j is None:
            changes.append(Change((*path, index), before[i], ABSENT))
            continue
        elif same(id_of(before[i]), id_of(after[j])):
            _compare(before[i], after[j], (*path, index), changes)
        else:
            changes.append(Change((*path, index), before[i], after[j]))
        index += 1


def alignment(
    before: Sequence[Any], after: Sequence[Any]
) -> Iterator[tuple[int | None, int | None]]:
    """Which index of `before` became which of `after`; None for removed and inserted elements."""
    start, stop, end = _unequal_part(before, after)
    yield from ((index, index) for index in range(start))
    yield from _aligned(before, after, start, stop, end)
    yield from zip(range(stop, len(before)), range(end, len(after)), strict=True)


def _unequal_part(before: Sequence[Any], after: Sequence[Any]) -> tuple[int, int, int]:
    """Where two lists begin to differ, and where in each of them the common tail begins."""
    start, stop, end = 0, len(before), len(after)
    for old, new in zip(before, after, strict=False):
        if old is not new and not same(old, new):
            break
        start += 1
    while stop > start and end > start and same(before[stop - 1], after[end - 1]):
        stop -= 1
        end -= 1
    return start, stop, end


def _aligned(
    before: Sequence[Any], after: Sequence[Any], start: int, stop: int, end: int
) -> Iterator[tuple[int | None, int | None]]:
    if start < stop and start < end:
        for i, j in _paired(before[start:stop], after[start:end]):
            yield None if i is None else start + i, None if j is None else start + j
        return
    yield from ((index, None) for index in range(start, stop))
    yield from ((None, index) for index in range(start, end))


def _paired(before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[int | None, int | None]]:
    """Pair elements greedily, in linear time.

    Of two that differ, one that the other list has further on waits for it there: the nearer
    one, if both do.  Two that the other list does not have are taken for one that changed.
    """
    old, new = [_key(each) for each in before], [_key(each) for each in after]
    old_places, new_places = _Places(old), _Places(new)
    i = j = 0
    while i < len(old) and j < len(new):
        inserted = removed = 0.0
        if old[i] != new[j]:
            inserted, removed = new_places.distance(old[i], j), old_places.distance(new[j], i)
        if inserted == removed and inserted in (0, math.inf):
            yield i, j
            i, j = i + 1, j + 1
        elif inserted <= removed:
            yield None, j
            j += 1
        else:
            yield i, None
            i += 1
    yield from ((index, None) for index in range(i, len(old)))
    yield from ((None, index) for index in range(j, len(new)))


class _Places:
    """Where in a list each key comes next, asked from left to right."""

    def __init__(self, keys: Sequence[Hashable]) -> None:
        self._places: dict[Hashable, list[int]] = {}
        for index in range(len(keys) - 1, -1, -1):
            self._places.setdefault(keys[index], []).append(index)

    def distance(self, key: Hashable, index: int) -> float:
        """How far the next such key is from an index; infinite when there is none."""
        places = self._places.get(key, [])
        while places and places[-1] < index:
            places.pop()
        return places[-1] - index if places else math.inf


def _key(element: Any) -> Hashable:
    """What tells an element from its neighbours; equal for elements that belong together."""
    own = id_of(element)
    if own is not ABSENT:
        return "id", encoded(own)
    kind = type(element)
    return (kind, element) if kind in _HASHABLE else encoded(element)


# Some versions of PyMongo give Decimal128 and DatetimeMS an `==` and no hash.
_HASHABLE = frozenset(kind for kind in IF_EQUAL_SAME if kind.__hash__ is not None)


def id_of(element: Any) -> Any:
    """The `_id` of an embedded document, else its `id`; `ABSENT` where there is none."""
    if not isinstance(element, dict):
        return ABSENT
    found = element.get("_id")
    if found is None:
        found = element.get("id")
    return ABSENT if found is None else found


# Applying


def apply(state: State, changes: Iterable[Change], *, strict: bool = True) -> State:
    """The state after `changes`; `state` itself is left as it is.

    Only what changes is copied, the rest is shared with `state` and with the changes.  A token
    of a path counts as an index where the state holds a list.  Raises `ReplayError` when a
    change does not start from what the state holds; without `strict` only when its place
    cannot be found: members and elements are then set or removed whatever they were.
    """
    after = dict(state)
    # By id(), and holding the containers themselves so that no id is used again.
    own: dict[int, Any] = {id(after): after}
    for change in changes:
        holder = _holder(after, change, own)
        if isinstance(holder, dict):
            _apply_to_members(holder, change, strict)
        else:
            _apply_to_elements(holder, change, strict)
    return after


def _holder(root: State, change: Change, own: dict[int, Any]) -> Any:
    """The container whose member or element a change is about, copied with all above it."""
    if not change.path:
        raise ReplayError(change.path, change.from_, root)
    holder: Any = root
    for token in change.path[:-1]:
        key = _key_in(holder, token, change)
        below = holder[key]
        if id(below) not in own:
            if not isinstance(below, dict) and not is_list(below):
                raise ReplayError(change.path, change.from_, ABSENT)
            below = dict(below) if isinstance(below, dict) else list(below)
            own[id(below)] = below
            holder[key] = below
        holder = below
    return holder


def _key_in(holder: Any, token: str | int, change: Change) -> Any:
    if isinstance(holder, dict):
        if token in holder:
            return token
    elif (index := _index(token)) is not None and index < len(holder):
        return index
    raise ReplayError(change.path, change.from_, ABSENT)


def _apply_to_members(holder: State, change: Change, strict: bool) -> None:
    name = str(change.path[-1])
    if strict and not change.forgets:
        _check(change, holder.get(name, ABSENT))
    if change.to is ABSENT:
        holder.pop(name, None)
    else:
        holder[name] = change.to


def _apply_to_elements(holder: list[Any], change: Change, strict: bool) -> None:
    index = _index(change.path[-1])
    inserts = change.from_ is ABSENT
    if index is None or index >= len(holder) + inserts:
        raise ReplayError(change.path, change.from_, ABSENT)
    if inserts:
        holder.insert(index, change.to)
        return
    if strict:
        _check(change, holder[index])
    if change.to is ABSENT:
        del holder[index]
    else:
        holder[index] = change.to


def _check(change: Change, found: Any) -> None:
    if not same(change.from_, found):
        raise ReplayError(change.path, change.from_, found)


def _index(token: str | int) -> int | None:
    """A list index as RFC 6901 writes it: digits without leading zeros."""
    if isinstance(token, int):
        return token if token >= 0 else None
    return int(token) if _INDEX.fullmatch(token) else None


_INDEX = re.compile("0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile("~(?![01])")


def inverse(changes: Sequence[Change]) -> list[Change]:
    """The changes that take back `changes`."""
    return [Change(change.path, change.to, change.from_) for change in reversed(changes)]


# Paths and stored forms


def pointer(path: Iterable[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path."""
    return "".join([f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in path])


def parse(text: str) -> tuple[str, ...]:
    """The path of a JSON Pointer; indexes stay text.  Raises `ValueError` for anything else."""
    if text and text[0] != "/":
        raise ValueError(f"{text!r} is not a JSON Pointer: it has to be empty or begin with '/'.")
    tokens = text.split("/")[1:]
    if "~" not in text:
        return tuple(tokens)
    if _BAD_ESCAPE.search(text):
        raise ValueError(f"{text!r} is not a JSON Pointer: a '~' in a name is written '~0'.")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def pack(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Changes as they are stored: p is the pointer, f and t are missing where `ABSENT`."""
    return [_packed(change) for change in changes]


def _packed(change: Change) -> dict[str, Any]:
    packed = {"p": pointer(change.path)}
    if change.from_ is not ABSENT:
        packed["f"] = change.from_
    if change.to is not ABSENT:
        packed["t"] = change.to
    return packed


def unpack(stored: Iterable[Mapping[str, Any]]) -> list[Change]:
    """The changes that `pack` made this of; list indexes come back as text."""
    return [
        Change(parse(each["p"]), each.get("f", ABSENT), each.get("t", ABSENT)) for each in stored
    ]


def digest(state: State | None, salt: bytes) -> bytes:
    """SHA-256 over a salt and a state; equal for two states exactly if they are the same."""
    return hashlib.sha256(salt + canonical(state)).digest()
