"""Leaves and seals: what they cover, and that values can be erased under them."""

from __future__ import annotations

from datetime import datetime

import pytest
from bson import Binary, Int64, ObjectId, Timestamp

from bzz.audit.sealing import LEAF, START, leaf, seal, without


def stored(**other):
    return {
        "_id": ObjectId("65a000000000000000000001"),
        "s": "user",
        "d": 7,
        "v": 2,
        "o": "u",
        "t": datetime(2026, 5, 1),
        "n": Timestamp(1700000000, 3),
        "c": [{"p": "/name", "f": "Ana", "t": "Bea"}, {"p": "/age", "t": 30}],
        "x": ["/pin"],
        "a": ["user", "ana"],
        "w": "asked to",
        "k": "c-1",
        "q": {"m": "PUT", "p": "/user/7/", "a": "::1"},
        "h": Binary(b"h" * 32),
        "z": Binary(b"z" * 16),
        "p": Int64(12),
        **other,
    }


def test_the_leaf_of_an_event_is_what_the_description_says():
    """Fixed bytes: a leaf that comes out otherwise makes every stored seal worthless."""
    assert "51434434f53456fb61c20b82dd8bc6a9" == leaf(stored()).hex()
    assert LEAF == len(leaf(stored()))


def test_members_may_come_in_any_order():
    assert leaf(stored()) == leaf(dict(reversed(stored().items())))


def test_an_event_without_a_position_has_the_leaf_of_the_one_that_it_gets():
    assert leaf(stored()) == leaf(stored(p=Int64(0)), 12)


@pytest.mark.parametrize(
    "changed",
    [
        {"c": [{"p": "/name", "f": "Ana", "t": "Bob"}, {"p": "/age", "t": 30}]},
        {"c": [{"p": "/age", "t": 30}, {"p": "/name", "f": "Ana", "t": "Bea"}]},
        {"c": [{"p": "/name", "f": "Ana", "t": "Bea"}]},
        {"c": [{"p": "/name", "f": "Ana", "t": "Bea"}, {"p": "/age", "t": 30.0}]},
        {"x": []},
        {"a": ["user", "bob"]},
        {"w": "nobody asked"},
        {"k": "c-2"},
        {"q": {"m": "PUT", "p": "/user/8/", "a": "::1"}},
        {"z": Binary(b"y" * 16)},
        {"h": Binary(b"i" * 32)},
        {"t": datetime(2026, 5, 2)},
        {"v": 3},
        {"o": "r"},
        {"d": "7"},
        {"s": "team"},
        {"p": Int64(13)},
        {"n": Timestamp(1700000000, 4)},
        {"more": 1},
    ],
    ids=str,
)
def test_a_leaf_covers_all_that_an_event_holds(changed):
    assert leaf(stored()) != leaf(stored(**changed))


@pytest.mark.parametrize("member", ["x", "a", "w", "k", "q"])
def test_a_leaf_covers_that_a_part_is_there(member):
    less = {name: value for name, value in stored().items() if name != member}

    assert leaf(stored()) != leaf(less)


@pytest.mark.parametrize("labels", [["a"], ["c/0"], ["c/1", "w", "q"], ["x", "k"], ["c/0", "c/1"]])
def test_what_is_erased_leaves_the_leaf_as_it_was(labels):
    assert leaf(stored()) == leaf(without(stored(), labels))


def test_parts_can_be_erased_one_after_another():
    assert leaf(stored()) == leaf(without(without(stored(), ["c/0"]), ["a", "w"]))


def test_what_is_erased_is_gone_with_the_salts_that_would_give_it_away():
    left = without(stored(), ["a", "c/0"])

    assert "a" not in left
    assert "z" not in left
    assert {"a", "c/0"}.isdisjoint(left["ys"])
    assert [None, {"p": "/age", "t": 30}] == left["c"]


def test_what_was_left_stays_proved():
    left = without(stored(), ["a"])

    assert leaf(stored()) != leaf({**left, "w": "nobody asked"})


def test_a_seal_covers_the_one_before_it_and_the_order_of_its_leaves():
    first, second = leaf(stored()), leaf(stored(v=3))
    seals = {
        seal(START, first + second),
        seal(START, second + first),
        seal(START, first),
        seal(seal(START, first), second),
    }

    assert 4 == len(seals)
