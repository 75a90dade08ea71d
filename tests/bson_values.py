"""What hypothesis can make of BSON: any value, any document, and documents that differ a little."""

from __future__ import annotations

import random
import struct
from datetime import datetime
from typing import Any

import bson
from bson import (
    Binary,
    Code,
    DatetimeMS,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from hypothesis import strategies as st

from bzz.values import EXACT

State = dict[str, Any]

ODD_NAMES = ["", ".", "$", "/", "~", "~1", " ", "0", "1", "a.b", "$set", "_id", "id", "名前", "🐝"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(ODD_NAMES) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
)

int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
bits = st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0])
uint32s = st.integers(0, 2**32 - 1)


def _reference(collection: str, document: Any, members: State) -> DBRef:
    more = {name: value for name, value in members.items() if name[:1] != "$"}
    return DBRef(collection, document, None, more)


scalars = st.one_of(
    st.sampled_from([0, 0.0, -0.0, Int64(0), False, None, Decimal128("0"), "", b"", "0"]),
    st.sampled_from([1, 1.0, Int64(1), True, Decimal128("1"), Decimal128("1.0"), "1", b"1"]),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), Decimal128("NaN")]),
    int32s,
    int64s.map(Int64),
    bits,
    texts,
    st.binary(max_size=8),
    st.builds(Binary, st.binary(min_size=16, max_size=16), st.sampled_from([3, 4, 5, 128])),
    st.builds(Binary, st.binary(max_size=4), st.sampled_from([1, 6, 255])),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    int64s.map(DatetimeMS),
    st.decimals(allow_nan=False, places=2, min_value=-(10**9), max_value=10**9).map(Decimal128),
    st.builds(Timestamp, uint32s, uint32s),
    st.sampled_from([MinKey(), MaxKey()]),
    st.builds(Regex, texts.map(lambda text: text.replace("\0", "")), st.sampled_from(["", "i"])),
    st.builds(Code, texts),
    st.builds(Code, texts, st.dictionaries(names, int32s, max_size=2)),
    st.builds(_reference, texts, int32s | texts, st.dictionaries(names, int32s, max_size=1)),
)


def _containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=6) | st.dictionaries(names, values, max_size=5)


values = st.recursive(scalars, _containers, max_leaves=12)


def decoded(state: State) -> State:
    """The state as it comes back from the database."""
    return bson.decode(bson.encode(state), EXACT)


states = st.dictionaries(names, values, max_size=6).map(decoded)


@st.composite
def neighbours(draw: st.DrawFn, firsts: st.SearchStrategy[State] = states) -> tuple[State, State]:
    """Two states of which the second is made of the first by a few edits at any depth."""
    before = draw(firsts)
    after = decoded(before)
    edits = draw(st.lists(values, max_size=4))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for value in edits:
        _edit(after, value, chance)
    return before, decoded(after)


def _edit(container: Any, value: Any, chance: random.Random) -> None:
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    if not keys or chance.random() < 0.3:
        _add(container, value, chance)
        return
    key = chance.choice(keys)
    if isinstance(container[key], dict | list) and chance.random() < 0.7:
        _edit(container[key], value, chance)
    elif chance.random() < 0.5:
        del container[key]
    else:
        container[key] = value


def _add(container: Any, value: Any, chance: random.Random) -> None:
    if isinstance(container, list):
        container.insert(chance.randint(0, len(container)), value)
    else:
        container[chance.choice(ODD_NAMES)] = value


pairs = neighbours() | st.tuples(states, states)
