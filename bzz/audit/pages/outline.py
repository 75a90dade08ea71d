"""A document as lines, a line a value, and two documents side by side.  Knows plain values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from bzz.audit.diff import alignment

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A member or an element of a document.

    Attributes
    ----------
    path: names and indexes.
    value: a value that holds no others, or an empty list or object; None too where `holds`.
    holds: the lines behind it, which are one level deeper, are in it.
    is_element: it stands in a list; its index changes when others come before it.
    """

    path: Path
    value: Any
    holds: bool = False
    is_element: bool = False

    @property
    def depth(self) -> int:
        """How many values it is in."""
        return len(self.path) - 1

    @property
    def name(self) -> str:
        """Its name, or its index."""
        return self.path[-1]

    @property
    def place(self) -> tuple[Any, ...]:
        """Where it is, wherever its list elements are."""
        return self.depth, None if self.is_element else self.name, self.holds

    @property
    def content(self) -> str:
        """All that makes it the same line as another."""
        return json.dumps([*self.place, self.value], default=str)


class Pair(NamedTuple):
    """Two lines that stand beside each other; one may be missing.  `is_same`: both are alike."""

    left: Line | None
    right: Line | None
    is_same: bool = False


def outline(value: Any, path: Path = ()) -> list[Line]:
    """The lines of a document, in the order of its members."""
    return list(_lines(value, path))


def _lines(value: Any, path: Path) -> Iterator[Line]:
    if isinstance(value, list):
        members = [(str(index), each) for index, each in enumerate(value)]
    else:
        members = list(value.items())
    for name, each in members:
        inner, is_element = (*path, name), isinstance(value, list)
        if isinstance(each, dict | list) and each:
            yield Line(inner, None, holds=True, is_element=is_element)
            yield from _lines(each, inner)
        else:
            yield Line(inner, each, is_element=is_element)


def side_by_side(left: Any, right: Any) -> list[Pair]:
    """The lines of two documents, those that belong together in one pair; None is no document."""
    one, other = outline(left or {}), outline(right or {})
    before, after = [each.content for each in one], [each.content for each in other]
    return [
        pair
        for i, j in alignment(before, after)
        for pair in _paired(
            None if i is None else one[i],
            None if j is None else other[j],
            is_same=i is not None and j is not None and before[i] == after[j],
        )
    ]


def _paired(left: Line | None, right: Line | None, *, is_same: bool) -> Iterator[Pair]:
    """One pair, or two halves where the lines are of two places."""
    if left is None or right is None or left.place == right.place:
        yield Pair(left, right, is_same)
    else:
        yield Pair(left, None)
        yield Pair(None, right)
