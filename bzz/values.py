"""BSON values as the database holds them: when two are the same, and which of them are hidden.

Knows the types of BSON and nothing of documents, models or storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import Enum
from struct import Struct
from typing import Any, Final, Literal, TypeAlias, TypeVar

import bson
from bson import Binary, CodecOptions, Decimal128, Int64, ObjectId, Timestamp
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS

State: TypeAlias = dict[str, Any]
T = TypeVar("T")


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"

    __str__ = __repr__

    def __bool__(self) -> Literal[False]:
        return False


ABSENT: Final = Absent.ABSENT
"""Not there, which is not the same as null."""

EXACT: CodecOptions[dict[str, Any]] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""How states are decoded, so that encoding them again gives what was stored."""

# Decoded states hold no native UUIDs; those of models and of mongomock do.
_STORABLE = EXACT.with_options(uuid_representation=UuidRepresentation.STANDARD)

# Of two values of one of these types `==` says whether they are the same.
_EQUAL_IS_SAME = frozenset(
    {str, int, bool, Int64, ObjectId, bytes, Binary, Timestamp, Decimal128, DatetimeMS}
)
# Two datetimes that differ may still be stored as the same millisecond.
IF_EQUAL_SAME = _EQUAL_IS_SAME | {datetime}
"""Types of which two values are the same if they are equal; most values have one of them."""

_bits = Struct("<d").pack


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same as BSON stores them: by type, and at every depth.

    1, Int64(1), 1.0, True and Decimal128("1") all differ, and so do 0.0 and -0.0, null and
    `ABSENT`; floats are compared by their bits, so NaN is the same as itself.  Members may
    come in any order, elements may not.  Raises `bson.errors.InvalidDocument` for values of
    which BSON has no form.
    """
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return _same_across_types(one, other)
    if kind is dict:
        return _same_members(one, other)
    if kind in _EQUAL_IS_SAME:
        return bool(one == other)
    if kind is list:
        return _same_elements(one, other)
    if kind is float:
        return (one == other and one != 0.0) or _bits(one) == _bits(other)
    if kind is datetime and one == other:
        return True
    return _same_across_types(one, other)


def _same_members(one: State, other: State) -> bool:
    if len(one) != len(other):
        return False
    for name, value in one.items():
        its = other.get(name, ABSENT)
        if its is value:
            continue
        # What `same` would do, without the call: with thousands of members that is what costs.
        kind = type(value)
        if kind is type(its) and kind in IF_EQUAL_SAME and value == its:
            continue
        if kind is float and kind is type(its) and value == its != 0.0:
            continue
        if not same(value, its):
            return False
    return True


def _same_elements(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def _same_across_types(one: Any, other: Any) -> bool:
    """Compare what Python has several types for: a tuple and a list, or a UUID and its bytes."""
    if one is ABSENT or other is ABSENT:
        return False
    if isinstance(one, dict) or isinstance(other, dict):
        return isinstance(one, dict) and isinstance(other, dict) and _same_members(one, other)
    if is_list(one) or is_list(other):
        return is_list(one) and is_list(other) and _same_elements(one, other)
    return encoded(one) == encoded(other)


def is_list(value: Any) -> bool:
    """Whether BSON stores the value as an array."""
    return isinstance(value, list | tuple)


def canonical(value: Any) -> bytes:
    """Bytes that are equal for two values exactly if they are the same; none for `ABSENT`."""
    return b"" if value is ABSENT else encoded(_ordered(value))


def encoded(value: Any) -> bytes:
    """A value's type and content in BSON, members in the order in which they come."""
    return bson.encode({"": value}, codec_options=_STORABLE)


def _ordered(value: Any) -> Any:
    kind = type(value)
    if kind in IF_EQUAL_SAME:
        return value
    if isinstance(value, dict):
        return {
            name: each if type(each := value[name]) in IF_EQUAL_SAME else _ordered(each)
            for name in sorted(value)
        }
    if is_list(value):
        return [_ordered(each) for each in value]
    return value


Tree: TypeAlias = dict[str, "Tree | None"]
"""Stored names, each with what is named below it; None: the whole value is meant."""


class Hidden:
    """A set of places in a state whose values must not leave the database.

    A place is named by a dotted path of stored names.  Lists are passed through: the path
    applies to each of their elements, and a number in it is a member's name, never an index.
    True when it names anything.
    """

    __slots__ = ("tree",)

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @classmethod
    def of(cls, paths: Iterable[str]) -> Hidden:
        """The places that `paths` name.  Raises `ValueError` for an empty path."""
        tree: Tree = {}
        for path in paths:
            if not path:
                raise ValueError("An empty path hides nothing; name a stored member.")
            _plant(tree, path.split("."))
        return cls(tree)

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __repr__(self) -> str:
        return f"Hidden({self.tree!r})"

    def strip(self, state: T) -> T:
        """The state without the hidden values; the state itself when it holds none of them."""
        stripped: T = _strip(state, self.tree)
        return stripped

    def covers(self, path: Sequence[str | int]) -> bool:
        """Whether what is at a path of member names and list indexes is hidden, or in what is.

        Without the state nobody can tell an index from a member that is named by a number:
        when in doubt the answer is yes.
        """
        return self._below(path) is None

    def strip_at(self, path: Sequence[str | int], value: T) -> T:
        """A value that stands at a path without what is hidden in it, when in doubt as well."""
        for tree in self._below(path) or ():
            value = _strip(value, tree)
        return value

    def _below(self, path: Sequence[str | int]) -> list[Tree] | None:
        """What is hidden below a path; None when that is hidden itself."""
        trees = [self.tree]
        for token in path:
            below = [tree[token] for tree in trees if isinstance(token, str) and token in tree]
            if None in below:
                return None
            passed = trees if isinstance(token, int) or token.isdecimal() else []
            trees = [*passed, *(tree for tree in below if tree is not None)]
        return trees


def _plant(tree: Tree, names: Sequence[str]) -> None:
    # A member's own name may hold dots, so "a.b.c" also means the member "b.c" of "a".
    for length in range(1, len(names)):
        below = tree.setdefault(".".join(names[:length]), {})
        if below is not None:
            _plant(below, names[length:])
    tree[".".join(names)] = None


def _strip(value: Any, tree: Tree) -> Any:
    if isinstance(value, dict):
        return _strip_members(value, tree)
    if is_list(value):
        stripped = [_strip(each, tree) for each in value]
        return value if _are(stripped, value) else stripped
    return value


def _strip_members(value: State, tree: Tree) -> State:
    stripped = value
    for name, below in tree.items():
        if name not in value:
            continue
        kept = ABSENT if below is None else _strip(value[name], below)
        if kept is value[name]:
            continue
        if stripped is value:
            stripped = dict(value)
        if kept is ABSENT:
            del stripped[name]
        else:
            stripped[name] = kept
    return stripped


def _are(ones: Sequence[Any], others: Sequence[Any]) -> bool:
    pairs: Iterator[tuple[Any, Any]] = zip(ones, others, strict=True)
    return all(one is other for one, other in pairs)
