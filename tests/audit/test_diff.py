"""Changes lead from one state to the other and back, typed, through their stored form."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.diff import (
    Change,
    alignment,
    apply,
    changes_between,
    digest,
    inverse,
    pack,
    parse,
    pointer,
    unpack,
)
from bzz.audit.errors import AuditError, ReplayError
from bzz.values import ABSENT, EXACT, canonical, same
from tests.bson_values import State, decoded, names, pairs, scalars, states

Pair = tuple[State, State]


def stored(changes: list[Change]) -> list[Change]:
    """The changes as they come back from the database."""
    return unpack(bson.decode(bson.encode({"c": pack(changes)}), EXACT)["c"])


@given(pairs)
def test_changes_lead_from_one_state_to_the_other(pair: Pair) -> None:
    before, after = pair

    result = apply(before, stored(changes_between(before, after)))

    assert same(after, result)


@given(pairs)
def test_the_inverse_leads_back(pair: Pair) -> None:
    before, after = pair

    result = apply(after, inverse(stored(changes_between(before, after))))

    assert same(before, result)


@given(pairs)
def test_there_are_changes_exactly_if_the_states_differ(pair: Pair) -> None:
    before, after = pair

    assert bool(changes_between(before, after)) == (not same(before, after))


@given(pairs)
def test_applying_leaves_its_input_alone(pair: Pair) -> None:
    before, after = pair
    changes = changes_between(before, after)
    kept = canonical(before), canonical(after), bson.encode({"c": pack(changes)})

    apply(before, changes)

    assert kept == (canonical(before), canonical(after), bson.encode({"c": pack(changes)}))


@given(st.lists(states, min_size=2, max_size=4))
def test_changes_can_be_folded_forwards_and_backwards(history: list[State]) -> None:
    steps = [stored(changes_between(old, new)) for old, new in pairwise(history)]
    state = history[0]

    for step in steps:
        state = apply(state, step)
    assert same(history[-1], state)

    for step in reversed(steps):
        state = apply(state, inverse(step))
    assert same(history[0], state)


@given(states, scalars)
def test_a_document_that_appears_has_one_change_for_each_member_but_its_id(
    state: State, document_id: Any
) -> None:
    state = {**state, "_id": document_id}

    changes = changes_between(None, state)

    assert sorted(set(state) - {"_id"}) == sorted(str(change.path[0]) for change in changes)
    assert all(change.from_ is ABSENT for change in changes)
    assert same(state, apply({"_id": document_id}, stored(changes)))


@given(states)
def test_a_document_that_goes_has_the_inverse_changes(state: State) -> None:
    gone, made = pack(changes_between(state, None)), pack(changes_between(None, state))

    assert canonical(gone) == canonical([{"p": each["p"], "f": each["t"]} for each in made])


def test_no_document_before_and_after_is_no_change() -> None:
    assert changes_between(None, None) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({}, {"a": None}, [Change(("a",), ABSENT, None)], id="null appears"),
        pytest.param({"a": None}, {}, [Change(("a",), None, ABSENT)], id="null goes"),
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, [], id="another order of members"),
        pytest.param({"a": 1}, {"a": True}, [Change(("a",), 1, True)], id="another type"),
        pytest.param({"a": 1}, {"a": Int64(1)}, [Change(("a",), 1, Int64(1))], id="64 bits"),
        pytest.param({"a": {"b": 1}}, {"a": {"b": 2}}, [Change(("a", "b"), 1, 2)], id="embedded"),
        pytest.param({"a": {"b": 1}}, {"a": [1]}, [Change(("a",), {"b": 1}, [1])], id="kind"),
        pytest.param({"": {"": 1}}, {"": {}}, [Change(("", ""), 1, ABSENT)], id="no name"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, [Change(("a", 1), 2, 3)], id="element"),
        pytest.param({"a": [1, 2]}, {"a": [2]}, [Change(("a", 0), 1, ABSENT)], id="head goes"),
        pytest.param(
            {"a": [1]},
            {"a": [1, 2, 3]},
            [Change(("a", 1), ABSENT, 2), Change(("a", 2), ABSENT, 3)],
            id="tail grows",
        ),
        pytest.param(
            {"a": [1, 2, 3]},
            {"a": []},
            [Change(("a", 0), 1, ABSENT), Change(("a", 0), 2, ABSENT), Change(("a", 0), 3, ABSENT)],
            id="emptied",
        ),
        pytest.param(
            {"a": [{"x": 1, "y": 2}]},
            {"a": [{"x": 1, "y": 3}]},
            [Change(("a", 0, "y"), 2, 3)],
            id="within an element",
        ),
        pytest.param(
            {"a": [{"id": 1, "x": 1}]},
            {"a": [{"id": 2, "x": 1}]},
            [Change(("a", 0), {"id": 1, "x": 1}, {"id": 2, "x": 1})],
            id="another element in its place",
        ),
        pytest.param(
            {"a": [{"id": 1, "x": 1}, {"id": 2, "x": 2}]},
            {"a": [{"id": 3}, {"id": 1, "x": 5}, {"id": 2, "x": 2}]},
            [Change(("a", 0), ABSENT, {"id": 3}), Change(("a", 1, "x"), 1, 5)],
            id="an element moved and edited, known by its id",
        ),
        pytest.param(
            {"a": [{"id": None, "x": 1}]},
            {"a": [{"id": None, "x": 2}]},
            [Change(("a", 0, "x"), 1, 2)],
            id="null is no id",
        ),
    ],
)
def test_changes_between(before: State, after: State, expected: list[Change]) -> None:
    changes = changes_between(before, after)

    assert expected == changes
    assert same(after, apply(before, changes))


ROWS = [{"n": n, "text": f"row {n}"} for n in range(1_000)]
ITEMS = [{"_id": ObjectId(), **row} for row in ROWS]


@pytest.mark.parametrize("rows", [ROWS, ITEMS, list(range(1_000)), ["same"] * 1_000])
@pytest.mark.parametrize("index", [0, 1, 500, 999])
def test_one_insert_or_delete_in_a_long_list_is_one_change(rows: list[Any], index: int) -> None:
    shorter = [*rows[:index], *rows[index + 1 :]]

    assert len(changes_between({"a": shorter}, {"a": rows})) == 1
    assert len(changes_between({"a": rows}, {"a": shorter})) == 1


@pytest.mark.parametrize("rows", [ROWS, ITEMS, list(range(1_000))])
@pytest.mark.parametrize("seed", range(5))
def test_scattered_edits_of_a_long_list_make_as_many_changes(rows: list[Any], seed: int) -> None:
    chance = Random(seed)
    after = list(rows)
    for n in range(20):
        del after[chance.randrange(len(after))]
        after.insert(chance.randrange(len(after)), {"_id": n, "n": -n})

    changes = changes_between({"a": rows}, {"a": after})

    assert len(changes) <= 40
    assert same({"a": after}, apply({"a": rows}, stored(changes)))


def test_a_long_run_inserted_in_front_does_not_touch_the_rest() -> None:
    run = [{"n": n, "text": "new"} for n in range(2_000, 2_300)]
    after = [*run, *ROWS[:-1], {"n": 999, "text": "edited"}]

    changes = changes_between({"a": ROWS}, {"a": after})

    assert len(changes) == len(run) + 1


def test_lists_that_have_nothing_in_common_are_changed_element_by_element() -> None:
    after = [f"other {n}" for n in range(1_000)]

    changes = changes_between({"a": list(range(1_000))}, {"a": after})

    assert [("a", n) for n in range(1_000)] == [change.path for change in changes]


def test_alignment_names_every_element_once() -> None:
    before, after = [1, 2, 3, 4, 5], [1, 9, 3, 7, 4, 5]

    assert [(0, 0), (1, 1), (2, 2), (None, 3), (3, 4), (4, 5)] == list(alignment(before, after))


# Applying


STATE: State = {"a": {"b": [1, {"c": 2}]}, "n": 1}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param(Change(("n",), 2, 3), 1, id="another value"),
        pytest.param(Change(("n",), 1.0, 3), 1, id="another type"),
        pytest.param(Change(("n",), ABSENT, 3), 1, id="there already"),
        pytest.param(Change(("x",), 1, 3), ABSENT, id="no such member"),
        pytest.param(Change(("x", "y"), ABSENT, 3), ABSENT, id="nothing to put it into"),
        pytest.param(Change(("n", "y"), ABSENT, 3), ABSENT, id="no container"),
        pytest.param(Change(("a", "b", "0"), 7, 3), 1, id="another element"),
        pytest.param(Change(("a", "b", 2), 7, 3), ABSENT, id="behind the list"),
        pytest.param(Change(("a", "b", 3), ABSENT, 3), ABSENT, id="insert behind the list"),
        pytest.param(Change(("a", "b", -1), ABSENT, 3), ABSENT, id="negative index"),
        pytest.param(Change(("a", "b", "01"), ABSENT, 3), ABSENT, id="leading zero"),
        pytest.param(Change(("a", "b", "-"), ABSENT, 3), ABSENT, id="no index"),
        pytest.param(Change(("a", "b", "7", "c"), 2, 3), ABSENT, id="within no element"),
        pytest.param(Change((), 2, 3), STATE, id="the whole state"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change, found: Any) -> None:
    with pytest.raises(ReplayError) as caught:
        apply(STATE, [change])

    assert change.path == caught.value.path
    assert same(change.from_, caught.value.expected)
    assert same(found, caught.value.found)
    assert isinstance(caught.value, AuditError)


def test_the_refusal_names_the_place_and_keeps_the_values_to_itself() -> None:
    with pytest.raises(ReplayError) as caught:
        apply(STATE, [Change(("a", "b", 1, "c"), "two", 3)])

    assert str(caught.value) == (
        "The change of /a/b/1/c does not start from what the state has there: "
        "an event before it is missing or was altered."
    )
    assert ("two", 2) == (caught.value.expected, caught.value.found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(Change(("n",), 7, 2), {"n": 2}, id="replaced"),
        pytest.param(Change(("n",), 7, ABSENT), {"n": ABSENT}, id="removed"),
        pytest.param(Change(("x",), 7, ABSENT), {}, id="not there to be removed"),
        pytest.param(Change(("n",), ABSENT, 2), {"n": 2}, id="there already"),
        pytest.param(Change(("a", "b", 0), 7, 2), {"a": {"b": [2, {"c": 2}]}}, id="element"),
        pytest.param(Change(("a", "b", "0"), 7, ABSENT), {"a": {"b": [{"c": 2}]}}, id="taken out"),
    ],
)
def test_without_strict_changes_apply_whatever_was_there(change: Change, expected: State) -> None:
    wanted = {k: v for k, v in {**STATE, **expected}.items() if v is not ABSENT}

    assert same(wanted, apply(STATE, [change], strict=False))


@given(pairs)
def test_without_strict_changes_still_lead_to_the_state_after(pair: Pair) -> None:
    before, after = pair

    assert same(after, apply(before, stored(changes_between(before, after)), strict=False))


def test_what_does_not_change_is_shared() -> None:
    state: State = {"a": {"b": []}, "c": {"d": [{}]}}

    after = apply(state, [Change(("a", "x"), ABSENT, 1)])

    assert after["c"] is state["c"]
    assert after["a"]["b"] is state["a"]["b"]


def test_a_value_that_came_with_one_change_can_be_changed_by_the_next() -> None:
    added: State = {"list": [1]}
    changes = [Change(("a",), ABSENT, added), Change(("a", "list", 0), 1, 2)]

    assert apply({}, changes) == {"a": {"list": [2]}}
    assert added == {"list": [1]}


# Pointers and digests


@given(st.lists(names, max_size=4))
def test_a_pointer_leads_back_to_its_path(path: list[str]) -> None:
    assert tuple(path) == parse(pointer(path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param((), "", id="the whole"),
        pytest.param(("",), "/", id="no name"),
        pytest.param(("a", 0, "b"), "/a/0/b", id="index"),
        pytest.param(("a/b", "m~n", "~1"), "/a~1b/m~0n/~01", id="escaped"),
        pytest.param(("a.b", "$c", " "), "/a.b/$c/ ", id="odd"),
    ],
)
def test_pointer(path: tuple[str | int, ...], expected: str) -> None:
    assert expected == pointer(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "'a' is not a JSON Pointer: it has to be empty or begin with '/'."),
        ("/a~", "'/a~' is not a JSON Pointer: a '~' in a name is written '~0'."),
        ("/~2", "'/~2' is not a JSON Pointer: a '~' in a name is written '~0'."),
        ("/~~01", "'/~~01' is not a JSON Pointer: a '~' in a name is written '~0'."),
    ],
)
def test_what_is_no_pointer_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)

    assert message == str(caught.value)


def test_packed_changes_leave_out_what_is_absent() -> None:
    changes = [Change(("a",), ABSENT, None), Change(("b", 0), 1, ABSENT), Change(("c",), 1, 2)]

    assert pack(changes) == [
        {"p": "/a", "t": None},
        {"p": "/b/0", "f": 1},
        {"p": "/c", "f": 1, "t": 2},
    ]


@given(pairs)
def test_digests_are_equal_exactly_for_the_same_states(pair: Pair) -> None:
    before, after = pair

    assert same(before, after) == (digest(before, b"salt") == digest(after, b"salt"))


def test_a_digest_depends_on_its_salt_and_tells_no_document_from_an_empty_one() -> None:
    assert len({digest({}, b"1"), digest({}, b"2"), digest(None, b"1")}) == 3


def test_deep_states_are_compared_and_applied() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [{"a": deep}]
    before, after = decoded({"x": deep}), {"x": [*decoded({"x": deep})["x"], 2]}

    assert same(after, apply(before, changes_between(before, after)))
