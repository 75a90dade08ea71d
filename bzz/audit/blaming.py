"""What set each value of a document: versions, carried forward while its events are folded.

The versions form a tree of the shape of the state.  A change puts its own version in the place
of all that was below its path; what is inserted into a list, or removed, moves the versions of
the elements behind it along with them.  Knows nothing of storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from bzz.audit.diff import Change, Path
from bzz.audit.events import Actor, Event, State
from bzz.values import ABSENT, is_list

Packed: TypeAlias = int | list[Any] | None


@dataclass(frozen=True, slots=True)
class Blame:
    """What set one value of a document.

    Attributes
    ----------
    path: stored names and list indexes, down to a value that holds no others.
    version: of the event that set it; None for a value that was written round bzz and that no
        event tells of yet.
    time, actor: the event's; None without one.
    value: as stored.
    """

    path: Path
    version: int | None
    time: datetime | None = None
    actor: Actor | None = None
    value: Any = None


class Origins:
    """The versions that set a value and all that is in it.

    `version` is that of the event that set the value as a whole, or that gave it or took from
    it a member or an element last; None for no event.
    """

    __slots__ = ("below", "version")

    def __init__(
        self, version: int | None, below: dict[str, Origins] | list[Origins] | None = None
    ) -> None:
        self.version = version
        self.below = below

    @classmethod
    def of(cls, value: Any, version: int | None) -> Origins:
        """The origins of a value that one event has set, with all that is in it."""
        if isinstance(value, dict):
            return cls(version, {name: cls.of(each, version) for name, each in value.items()})
        if is_list(value):
            return cls(version, [cls.of(each, version) for each in value])
        return cls(version)

    def set(self, changes: Iterable[Change], version: int | None) -> None:
        """Attribute changes, which apply to the value in this order, to an event."""
        for change in changes:
            self._set(change, version)

    def _set(self, change: Change, version: int | None) -> None:
        holder = self
        for token in change.path[:-1]:
            holder = holder._at(token)
        if isinstance(holder.below, list):
            holder._set_element(holder.below, int(change.path[-1]), change, version)
        elif holder.below is not None:
            holder._set_member(holder.below, str(change.path[-1]), change, version)

    def _at(self, token: str | int) -> Origins:
        if isinstance(self.below, list):
            return self.below[int(token)]
        return (self.below or {})[str(token)]

    def _set_member(
        self, below: dict[str, Origins], name: str, change: Change, version: int | None
    ) -> None:
        if change.to is ABSENT:
            below.pop(name, None)
        else:
            below[name] = Origins.of(change.to, version)
        if change.to is ABSENT or change.from_ is ABSENT:
            self.version = version

    def _set_element(
        self, below: list[Origins], index: int, change: Change, version: int | None
    ) -> None:
        if change.from_ is ABSENT:
            below.insert(index, Origins.of(change.to, version))
        elif change.to is ABSENT:
            del below[index]
        else:
            below[index] = Origins.of(change.to, version)
            return
        self.version = version

    # Stored form

    def pack(self) -> Packed:
        """The tree in BSON's own types: a version, or a pair of it and of what is below."""
        if isinstance(self.below, dict):
            return [self.version, {name: each.pack() for name, each in self.below.items()}]
        if isinstance(self.below, list):
            return [self.version, [each.pack() for each in self.below]]
        return self.version

    @classmethod
    def unpack(cls, packed: Packed) -> Origins:
        """The tree that `pack` made this of."""
        if not isinstance(packed, list):
            return cls(packed)
        version, below = packed
        if isinstance(below, dict):
            return cls(version, {name: cls.unpack(each) for name, each in below.items()})
        return cls(version, [cls.unpack(each) for each in below])


def follow(event: Event, origins: Origins | None) -> Origins | None:
    """The origins after one event, from those before it, which become those after it.

    None where there is no document.  The changes are taken to fit: fold the state first.
    """
    if event.gone:
        return None
    origins = Origins(event.version, {}) if origins is None else origins
    origins.set(event.changes, event.version)
    return origins


def leaves(state: State, origins: Origins) -> Iterator[tuple[Path, int | None]]:
    """The path and the version of each value of a document that holds no others, but its id.

    An empty list, and an embedded document without members, is such a value.  `state` may have
    less than what `origins` were made for: what is hidden is left out.
    """
    for name, value in state.items():
        if name != "_id":
            yield from _leaves(value, origins._at(name), (name,))


def _leaves(value: Any, origins: Origins, path: Path) -> Iterator[tuple[Path, int | None]]:
    if not value or not (isinstance(value, dict) or is_list(value)):
        yield path, origins.version
        return
    for token, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(each, origins._at(token), (*path, token))
