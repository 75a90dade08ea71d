"""Changes of one state are carried past each other: both orders lead to the same state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.carrying import carried, carried_both, typed
from bzz.audit.diff import Change, apply, changes_between, inverse, pack, unpack
from bzz.audit.errors import ReplayError
from bzz.values import ABSENT, same
from tests.bson_values import neighbours, pairs, states

LIST = ("l",)


def insert(index: int, *, above: tuple[str | int, ...] = LIST) -> Change:
    return Change((*above, index), ABSENT, "new")


def remove(index: int) -> Change:
    return Change((*LIST, index), "old", ABSENT)


def put(*path: str | int) -> Change:
    return Change(path, "old", "new")


# One change past another --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "past", "path"),
    [
        pytest.param(put("a"), put("b"), ("a",), id="another member"),
        pytest.param(put("a", "x"), put("a", "y"), ("a", "x"), id="another member below"),
        pytest.param(put("l", 2), insert(1), ("l", 3), id="inserted before"),
        pytest.param(put("l", 2), insert(2), ("l", 3), id="inserted at it"),
        pytest.param(put("l", 2), insert(3), ("l", 2), id="inserted behind"),
        pytest.param(put("l", 2), remove(1), ("l", 1), id="removed before"),
        pytest.param(put("l", 2), remove(3), ("l", 2), id="removed behind"),
        pytest.param(put("l", 2, "x"), remove(1), ("l", 1, "x"), id="below an element"),
        pytest.param(remove(2), insert(0), ("l", 3), id="a removal"),
        pytest.param(insert(2), insert(2), ("l", 2), id="two insertions at one place"),
        pytest.param(insert(2), insert(1), ("l", 3), id="two insertions"),
        pytest.param(insert(2), remove(2), ("l", 2), id="inserted where one is removed"),
        pytest.param(insert(2), put("l", 2), ("l", 2), id="inserted before a changed one"),
        pytest.param(insert(2), put("l", 2, "x"), ("l", 2), id="and before one changed below"),
        pytest.param(
            insert(1, above=("l", 3, "m")), insert(0), ("l", 4, "m", 1), id="a list in a list"
        ),
        pytest.param(insert(0), insert(1, above=("l", 0, "m")), ("l", 0), id="and the other way"),
    ],
)
def test_a_change_keeps_its_place(change, past, path):
    moved = carried(change, past)

    assert (path, change.from_, change.to) == (moved.path, moved.from_, moved.to)


@pytest.mark.parametrize(
    ("change", "past"),
    [
        pytest.param(put("a"), put("a"), id="the same member"),
        pytest.param(put("a"), put("a", "x"), id="below"),
        pytest.param(put("l", 2), put("l", 2), id="the same element"),
        pytest.param(put("l", 2), remove(2), id="a removed element"),
        pytest.param(remove(2), remove(2), id="removed twice"),
        pytest.param(put("l", 2, "x"), remove(2), id="below a removed element"),
        pytest.param(insert(2), put("l"), id="an element of a list that is replaced"),
        pytest.param(put("l", 2, "x"), put("l", 2, "x", "y"), id="deep"),
    ],
)
def test_changes_of_one_place_meet_either_way(change, past):
    assert (None, None) == (carried(change, past), carried(past, change))


def test_of_two_insertions_at_one_place_one_yields():
    assert ("l", 3) == carried(insert(2), insert(2), yields=True).path


# Typed --------------------------------------------------------------------------------------


def test_what_is_an_index_the_state_says():
    state = {"l": ["a", {"0": 1}], "d": {"0": [5]}}
    changes = [
        Change(("l", "1", "0"), 1, 2),
        Change(("d", "0", "0"), 5, 6),
        Change(("l", "0"), "a", ABSENT),
        Change(("l", "1"), ABSENT, "b"),
    ]

    found = [change.path for change in typed(state, changes)]
    assert [("l", 1, "0"), ("d", "0", 0), ("l", 0), ("l", 1)] == found


def test_changes_that_do_not_fit_the_state_are_not_typed():
    with pytest.raises(ReplayError):
        typed({"a": 1}, [Change(("a",), 2, 3)])


@given(pairs)
def test_stored_changes_are_typed_as_they_were(pair):
    before, after = pair
    changes = changes_between(before, after)

    found = typed(before, unpack(pack(changes)))
    assert [change.path for change in changes] == [change.path for change in found]


# Runs of changes ----------------------------------------------------------------------------


@st.composite
def forks(draw):
    """A state, and what two people make of it."""
    before, one = draw(neighbours())
    other = draw(neighbours(st.just(before)))[1]
    return before, one, other


@given(forks())
def test_both_orders_lead_to_one_state(fork):
    before, one, other = fork
    ones, others = changes_between(before, one), changes_between(before, other)
    both = carried_both(ones, others)

    if both is not None:
        carried_ones, carried_others = both
        assert same(apply(one, carried_others), apply(other, carried_ones))


@given(forks())
def test_runs_meet_either_way(fork):
    before, one, other = fork
    ones, others = changes_between(before, one), changes_between(before, other)

    assert (carried_both(ones, others) is None) == (carried_both(others, ones) is None)


@given(states, states)
def test_a_run_carried_past_nothing_stays(before, after):
    changes = inverse(changes_between(before, after))

    assert (changes, []) == carried_both(changes, [])
