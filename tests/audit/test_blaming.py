"""What set each value, carried forward, is what comparing the consecutive states says."""

from __future__ import annotations

from dataclasses import replace

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzz.audit.blaming import Origins, follow, leaves
from bzz.audit.diff import alignment, changes_between, id_of, pack, unpack
from bzz.audit.replay import after
from bzz.values import ABSENT, same
from tests.audit.test_events import EVENT
from tests.bson_values import neighbours, states


def blamed(*wanted):
    """The leaves of the last of some states, each of which is a version."""
    origins = state = None
    for version, target in enumerate(wanted, 1):
        # Through the stored form, in which indexes are text.
        changes = tuple(unpack(pack(changes_between(state, target))))
        event = replace(EVENT, version=version, changes=changes, gone=target is None)
        state, origins = after(event, state), follow(event, origins)
    return dict(leaves(state, origins))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([{"a": 1, "b": 1}, {"a": 2, "b": 1}], {("a",): 2, ("b",): 1}, id="a change"),
        pytest.param([{"a": 1}, {"a": 2}, {"a": 1}], {("a",): 3}, id="there and back"),
        pytest.param([{"a": 1}, {"a": 1.0}], {("a",): 2}, id="another type"),
        pytest.param([{}, {"a": {"b": 1}}], {("a", "b"): 2}, id="a new member"),
        pytest.param([{"a": {"b": 1, "c": 1}}, {"a": {"b": 1}}], {("a", "b"): 1}, id="one less"),
        pytest.param([{"a": {"b": 1}}, {"a": {}}], {("a",): 2}, id="emptied"),
        pytest.param([{"a": [1, 2]}, {"a": []}], {("a",): 2}, id="an emptied list"),
        pytest.param([{"a": []}, {"a": []}], {("a",): 1}, id="an empty list stays"),
        pytest.param([{"a": [7, 8]}, {"a": [9, 7, 8]}], {("a", 0): 2, ("a", 1): 1, ("a", 2): 1}),
        pytest.param([{"a": [7, 8, 9]}, {"a": [8, 9]}], {("a", 0): 1, ("a", 1): 1}),
        pytest.param(
            [{"a": [{"_id": 1, "n": 1}, {"_id": 2, "n": 1}]}, {"a": [{"_id": 2, "n": 3}]}],
            {("a", 0, "_id"): 1, ("a", 0, "n"): 2},
            id="an element with an id",
        ),
        pytest.param([{"a": 1}, None, {"a": 1}], {("a",): 3}, id="deleted and made again"),
        pytest.param([{"a": {"0": 1}}, {"a": {"0": 1, "1": 2}}], {("a", "0"): 1, ("a", "1"): 2}),
    ],
)
def test_a_value_is_blamed_on_what_set_it(states, expected):
    assert expected == blamed(*states)


def oracle(versions):
    """The same, naively: each state beside the one before it."""
    told = before = None
    for version, state in enumerate(versions, 1):
        told = None if state is None else _compared(before, state, told, version)
        before = state
    return dict(_flat(before, told, ()))


def _compared(before, value, told, version):
    """What set a value and each below it, as (version, below)."""
    if isinstance(before, dict) and isinstance(value, dict):
        below = {
            name: _compared(before.get(name, ABSENT), each, told[1].get(name), version)
            for name, each in value.items()
        }
        return (told[0] if before.keys() == value.keys() else version), below
    if isinstance(before, list) and isinstance(value, list):
        below = [None] * len(value)
        for i, j in alignment(before, value):
            if j is None:
                continue
            its = ABSENT if i is None else before[i]
            if its is not ABSENT and not same(id_of(its), id_of(value[j])):
                its = ABSENT
            below[j] = _compared(its, value[j], None if i is None else told[1][i], version)
        return (told[0] if len(before) == len(value) else version), below
    if before is not ABSENT and same(before, value):
        return told
    if isinstance(value, dict):
        below = {name: _compared(ABSENT, each, None, version) for name, each in value.items()}
        return version, below
    if isinstance(value, list):
        return version, [_compared(ABSENT, each, None, version) for each in value]
    return version, None


def _flat(value, told, path):
    version, below = told
    if not below:
        yield path, version
        return
    items = below.items() if isinstance(below, dict) else enumerate(below)
    for token, each in items:
        if (*path, token) != ("_id",):
            yield from _flat(value[token], each, (*path, token))


@st.composite
def histories(draw):
    """States of which most are made of the one before by a few edits."""
    told = []
    for before, following in draw(st.lists(neighbours(), min_size=1, max_size=4)):
        told += [before, following]
        if draw(st.booleans()):
            told.append(None)
    told.append(draw(states))
    return [None if state is None else {**state, "_id": 1} for state in told]


@settings(max_examples=300)
@given(histories())
def test_blame_is_what_comparing_each_two_states_says(versions):
    expected = oracle(versions)
    expected.pop((), None)  # a document without members

    assert expected == blamed(*versions)


@given(histories())
def test_origins_are_stored_as_they_are(versions):
    origins = Origins(1, {})
    before = {}
    for version, state in enumerate([each for each in versions if each is not None], 2):
        origins.set(changes_between(before, state), version)
        before = state
    packed = bson.decode(bson.encode({"": origins.pack()}))[""]

    assert dict(leaves(before, origins)) == dict(leaves(before, Origins.unpack(packed)))


def test_what_is_written_round_is_nobodys():
    origins = Origins.of({"a": 1, "b": [1]}, 1)
    origins.set(changes_between({"a": 1, "b": [1]}, {"a": 1, "b": [2, 1]}), None)

    told = {("a",): 1, ("b", 0): None, ("b", 1): 1}
    assert told == dict(leaves({"a": 1, "b": [2, 1]}, origins))
