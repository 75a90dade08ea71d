"""What of a state must never be stored, and what is left alone when a state is brought back.

An excluded value is never spoken of; of a masked one events tell that it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bzz.audit.diff import Change, Path, alignment, changes_between, id_of, parse, pointer
from bzz.values import ABSENT, Hidden, State, Tree, canonical, is_list, same


class Redaction:
    """The excluded and the masked values of one model, by dotted paths of stored names.

    A path is as in `bzz.values.Hidden`: it applies to each element of the lists on its way.
    What is both excluded and masked is excluded.
    """

    def __init__(self, exclude: Iterable[str] = (), mask: Iterable[str] = ()) -> None:
        exclude, mask = list(exclude), list(mask)
        self.hidden = Hidden.of([*exclude, *mask])
        """All that must not leave the database."""
        self._excluded = Hidden.of(exclude)
        self._masked = Hidden.of(mask)

    def strip(self, state: State | None) -> State | None:
        """The state without its excluded and masked values; None stays None."""
        return self.hidden.strip(state)

    def forgotten(self, state: State | None) -> list[Change]:
        """The changes that take out of a state what older events told of it, and none may now."""
        places = _leaves(state, self.hidden.tree, ())
        return [Change(parse(place), ABSENT, ABSENT) for place, _ in places]

    def masked_changes(self, before: State | None, after: State | None) -> list[str]:
        """The JSON Pointers of masked values that changed, appeared or vanished.

        Takes the states with all their values.  Pointers hold stored names, and list indexes
        as changes have them.
        """
        if not self._masked:
            return []
        before, after = self._excluded.strip(before), self._excluded.strip(after)
        found: dict[str, None] = {}
        for change in changes_between(before, after):
            found.update(dict.fromkeys(_masked_in(change, self._masked.tree)))
        return list(found)

    def keep_hidden(self, target: State | None, current: State | None) -> State | None:
        """`target`, with the hidden values that `current` has, wherever both have their place.

        Elements of lists are paired as changes pair them, and by id or content where they
        moved: a hidden value stays with its element.
        """
        target = self.strip(target)
        if target is None or current is None:
            return target
        return _keep_members(target, current, self.hidden.tree)


def visible_changes(changes: Iterable[Change], hidden: Hidden) -> Iterator[Change]:
    """The changes of an event as they may be told: it may be older than what hides some of them."""
    told = (change for change in changes if not change.forgets)
    if not hidden:
        yield from told
        return
    for change in told:
        if not hidden.covers(change.path):
            from_, to = (hidden.strip_at(change.path, each) for each in (change.from_, change.to))
            yield Change(change.path, from_, to)


def _masked_in(change: Change, tree: Tree) -> Iterator[str]:
    """The masked places at, above or below the one that changed."""
    here: Tree = tree
    for depth, token in enumerate(change.path, start=1):
        if isinstance(token, int):
            continue
        if token not in here:
            return
        below = here[token]
        if below is None:
            yield pointer(change.path[:depth])
            return
        here = below
    old = dict(_leaves(change.from_, here, change.path))
    new = dict(_leaves(change.to, here, change.path))
    for place in {**old, **new}:
        if not same(old.get(place, ABSENT), new.get(place, ABSENT)):
            yield place


def _leaves(value: Any, tree: Tree, path: Path) -> Iterator[tuple[str, Any]]:
    """The hidden values in a value, each with its pointer."""
    if isinstance(value, dict):
        for name, below in tree.items():
            if name not in value:
                continue
            if below is None:
                yield pointer((*path, name)), value[name]
            else:
                yield from _leaves(value[name], below, (*path, name))
    elif is_list(value):
        for index, element in enumerate(value):
            yield from _leaves(element, tree, (*path, index))


def _keep(target: Any, current: Any, tree: Tree) -> Any:
    if isinstance(target, dict) and isinstance(current, dict):
        return _keep_members(target, current, tree)
    if is_list(target) and is_list(current):
        partners = _partners(target, current, tree)
        return [_keep(*pair, tree) for pair in zip(target, partners, strict=True)]
    return target


def _keep_members(target: State, current: State, tree: Tree) -> State:
    kept = dict(target)
    for name, below in tree.items():
        if name not in current:
            continue
        if below is None:
            kept[name] = current[name]
        elif name in kept:
            kept[name] = _keep(kept[name], current[name], below)
    return kept


def _partners(target: Sequence[Any], current: Sequence[Any], tree: Tree) -> list[Any]:
    """For each element of `target` the one of `current` that it is or was; else `ABSENT`."""
    visible = [Hidden(tree).strip(element) for element in current]
    partners: list[Any] = [ABSENT] * len(target)
    moved: dict[bytes, Any] = {}
    aligned = list(alignment(visible, target))
    for i, j in aligned:
        if i is not None and j is not None and same(id_of(visible[i]), id_of(target[j])):
            partners[j] = current[i]
        elif i is not None:
            moved[_identity(visible[i])] = current[i]
    for j, element in enumerate(target):
        if partners[j] is ABSENT:
            partners[j] = moved.get(_identity(element), ABSENT)
    return partners


def _identity(element: Any) -> bytes:
    own = id_of(element)
    return canonical([element] if own is ABSENT else own)
