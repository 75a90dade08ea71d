"""Excluded and masked values never reach a change, and stay where they are in a restore."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.diff import changes_between
from bzz.audit.redaction import Redaction
from bzz.values import same
from tests.bson_values import State, pairs

REDACTION = Redaction(exclude=["password", "cards.code"], mask=["salary", "cards.number"])


def card(owner: str, number: int, **more: Any) -> State:
    return {"owner": owner, "number": number, "code": number * 10, **more}


def test_strip_takes_out_what_is_excluded_and_what_is_masked() -> None:
    state = {"name": "Ana", "password": "p", "salary": 1, "cards": [card("Ana", 7)]}

    assert REDACTION.strip(state) == {"name": "Ana", "cards": [{"owner": "Ana"}]}


def test_strip_of_no_document_is_none() -> None:
    assert REDACTION.strip(None) is None


def test_a_redaction_of_nothing_hides_nothing() -> None:
    state = {"name": "Ana"}

    assert not Redaction().hidden
    assert Redaction().strip(state) is state
    assert Redaction().masked_changes(None, state) == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"salary": 1}, {"salary": 2}, ["/salary"], id="changed"),
        pytest.param({"salary": 1}, {"salary": 1.0}, ["/salary"], id="another type"),
        pytest.param({}, {"salary": 2}, ["/salary"], id="appeared"),
        pytest.param({"salary": 2}, {}, ["/salary"], id="vanished"),
        pytest.param({"salary": 2, "a": 1}, {"salary": 2}, [], id="did not change"),
        pytest.param({"salary": {"m": 1}}, {"salary": {"m": 2}}, ["/salary"], id="within"),
        pytest.param({"salary": [1, 2]}, {"salary": [3, 4]}, ["/salary"], id="once only"),
        pytest.param({"password": 1}, {"password": 2}, [], id="excluded"),
        pytest.param(None, {"_id": 1, "salary": 2}, ["/salary"], id="created"),
        pytest.param({"_id": 1, "salary": 2}, None, ["/salary"], id="deleted"),
        pytest.param(
            {"cards": [card("a", 1), card("b", 2)]},
            {"cards": [card("a", 1), card("b", 3)]},
            ["/cards/1/number"],
            id="of an element",
        ),
        pytest.param(
            {"cards": [card("a", 1), card("b", 2)]},
            {"cards": [card("b", 2)]},
            ["/cards/0/number"],
            id="with its element",
        ),
        pytest.param(
            {"cards": [card("a", 1, id=1)]},
            {"cards": [card("b", 1, id=2)]},
            [],
            id="the same in the element that took the place",
        ),
        pytest.param({"cards": [card("a", 1)]}, {}, ["/cards/0/number"], id="with its list"),
        pytest.param(
            {"cards": card("a", 1)},
            {"cards": [card("a", 1)]},
            ["/cards/number", "/cards/0/number"],
            id="elsewhere",
        ),
    ],
)
def test_masked_changes(before: State | None, after: State | None, expected: list[str]) -> None:
    assert expected == REDACTION.masked_changes(before, after)


def test_what_is_excluded_and_masked_is_not_spoken_of() -> None:
    redaction = Redaction(exclude=["a"], mask=["a", "a.b"])

    assert redaction.masked_changes({"a": {"b": 1}}, {"a": {"b": 2}}) == []


# Restoring


@pytest.mark.parametrize(
    ("target", "current", "expected"),
    [
        pytest.param(
            {"name": "Ana"},
            {"name": "Bea", "password": "p", "salary": 3},
            {"name": "Ana", "password": "p", "salary": 3},
            id="put back",
        ),
        pytest.param({"name": "Ana"}, {"name": "Bea"}, {"name": "Ana"}, id="none now"),
        pytest.param({"salary": 1}, {"salary": 2}, {"salary": 2}, id="as it is now"),
        pytest.param({"salary": 1}, {}, {}, id="gone stays gone"),
        pytest.param({"name": "Ana", "salary": 1}, None, {"name": "Ana"}, id="undelete"),
        pytest.param(None, {"name": "Ana", "salary": 1}, None, id="no target"),
        pytest.param({}, {"cards": [card("a", 1)]}, {}, id="its place is gone"),
        pytest.param(
            {"cards": [{"owner": "x"}, {"owner": "b"}]},
            {"cards": [card("a", 1), card("b", 2)]},
            {"cards": [card("x", 1), card("b", 2)]},
            id="element by element",
        ),
        pytest.param(
            {"cards": [{"owner": "b"}]},
            {"cards": [card("a", 1), card("b", 2)]},
            {"cards": [card("b", 2)]},
            id="another element went",
        ),
        pytest.param(
            {"cards": [{"owner": "new"}, {"owner": "a"}]},
            {"cards": [card("a", 1)]},
            {"cards": [{"owner": "new"}, card("a", 1)]},
            id="another element comes back",
        ),
        pytest.param(
            {"cards": [{"owner": "b"}, {"owner": "c"}, {"owner": "a"}]},
            {"cards": [card("a", 1), card("b", 2), card("c", 3)]},
            {"cards": [card("b", 2), card("c", 3), card("a", 1)]},
            id="moved, known by content",
        ),
        pytest.param(
            {"cards": [{"id": 2, "owner": "x"}, {"id": 3}, {"id": 1, "owner": "y"}]},
            {"cards": [card("a", 1, id=1), card("b", 2, id=2)]},
            {"cards": [card("x", 2, id=2), {"id": 3}, card("y", 1, id=1)]},
            id="moved, known by id",
        ),
        pytest.param(
            {"cards": [{"id": 2}]},
            {"cards": [card("a", 1, id=1)]},
            {"cards": [{"id": 2}]},
            id="not another's",
        ),
        pytest.param({"cards": {}}, {"cards": [card("a", 1)]}, {"cards": {}}, id="another kind"),
    ],
)
def test_keep_hidden(target: State | None, current: State | None, expected: State | None) -> None:
    assert same(expected, REDACTION.keep_hidden(target, current))


PATHS = st.lists(st.sampled_from(["id", "0", "a.b", "$", "~", "名前.id", "id.id"]), max_size=3)


@given(pairs, PATHS, PATHS)
def test_what_is_restored_differs_from_the_target_in_hidden_values_only(
    pair: tuple[State, State], exclude: list[str], mask: list[str]
) -> None:
    redaction = Redaction(exclude, mask)
    target, current = redaction.strip(pair[0]), pair[1]

    restored = redaction.keep_hidden(target, current)

    assert same(target, redaction.strip(restored))


@given(pairs, PATHS, PATHS)
def test_bringing_back_the_present_state_changes_nothing(
    pair: tuple[State, State], exclude: list[str], mask: list[str]
) -> None:
    redaction = Redaction(exclude, mask)
    current = pair[1]

    assert same(current, redaction.keep_hidden(redaction.strip(current), current))


@given(pairs, PATHS)
def test_masked_changes_are_told_when_nothing_else_changed(
    pair: tuple[State, State], mask: list[str]
) -> None:
    redaction = Redaction(mask=mask)
    before, after = pair
    visible = changes_between(redaction.strip(before), redaction.strip(after))

    told = redaction.masked_changes(before, after)

    assert same(before, after) == (not visible and not told)
