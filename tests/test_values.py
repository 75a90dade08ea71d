"""Values are the same when BSON stores them alike; hidden ones do not leave a state."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import SON, Binary, Code, DBRef, Decimal128, Int64, Regex
from hypothesis import given
from hypothesis import strategies as st

from bzz.values import ABSENT, Hidden, canonical, same
from tests.bson_values import decoded, pairs, states, values

NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(1, 1.0, id="int and float"),
        pytest.param(1, True, id="int and bool"),
        pytest.param(1, Int64(1), id="32 and 64 bits"),
        pytest.param(1, Decimal128("1"), id="int and decimal"),
        pytest.param(Decimal128("1"), Decimal128("1.0"), id="decimals of other precision"),
        pytest.param(0.0, -0.0, id="zero and its negative"),
        pytest.param([0.0], [-0.0], id="zeros in a list"),
        pytest.param({"a": 0.0}, {"a": -0.0}, id="zeros in a member"),
        pytest.param({"a": 1}, {"a": True}, id="members of other types"),
        pytest.param({"a": {"b": [1]}}, {"a": {"b": [1.0]}}, id="deep"),
        pytest.param(None, ABSENT, id="null and absent"),
        pytest.param({"a": None}, {}, id="null member and none"),
        pytest.param({"a": None}, {"b": None}, id="other names"),
        pytest.param([1, 2], [2, 1], id="other order of elements"),
        pytest.param([1], [1, 1], id="lists of other lengths"),
        pytest.param({}, [], id="empty object and list"),
        pytest.param("a", b"a", id="text and bytes"),
        pytest.param(b"a", Binary(b"a", 5), id="subtypes"),
        pytest.param("a", Code("a"), id="text and code"),
        pytest.param(Code("a"), Code("a", {}), id="code with scope"),
        pytest.param(Regex("a"), Regex("a", "i"), id="flags"),
        pytest.param(DBRef("a", 1), DBRef("a", True), id="references of other types"),
        pytest.param(DBRef("a", 1, x=1), DBRef("a", 1, x=1.0), id="members of references"),
    ],
)
def test_values_of_different_types_or_content_differ(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(NAN, -(-NAN), id="NaN"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="members in any order"),
        pytest.param({"a": 1}, SON({"a": 1}), id="mappings"),
        pytest.param([1, (2,)], (1, [2]), id="tuples"),
        pytest.param(b"a", Binary(b"a"), id="binary without subtype"),
        pytest.param(2**40, Int64(2**40), id="numbers that take 64 bits"),
        pytest.param(
            uuid.UUID(int=7), Binary.from_uuid(uuid.UUID(int=7)), id="a UUID and its bytes"
        ),
        pytest.param(
            datetime(2024, 1, 1, 0, 0, 0, 1999), datetime(2024, 1, 1, 0, 0, 0, 1000), id="ms"
        ),
        pytest.param(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), id="UTC"),
        pytest.param(DBRef("a", 1, x=1), DBRef("a", 1, x=1), id="references"),
    ],
)
def test_values_that_are_stored_alike_are_the_same(one: Any, other: Any) -> None:
    assert same(one, other)
    assert canonical(one) == canonical(other)


@given(pairs)
def test_states_are_the_same_exactly_if_their_canonical_bytes_are(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    one, other = pair

    assert same(one, other) == (canonical(one) == canonical(other))


@given(values, values)
def test_values_are_the_same_exactly_if_their_canonical_bytes_are(one: Any, other: Any) -> None:
    one, other = decoded({"": one})[""], decoded({"": other})[""]

    assert same(one, other) == (canonical(one) == canonical(other))


@given(states)
def test_a_state_is_the_same_as_its_copy_with_members_in_another_order(
    state: dict[str, Any],
) -> None:
    turned = _turned(decoded(state))

    assert same(state, turned)
    assert canonical(state) == canonical(turned)


def _turned(value: Any) -> Any:
    if type(value) is dict:
        return {name: _turned(each) for name, each in reversed(value.items())}
    return [_turned(each) for each in value] if type(value) is list else value


def test_absent_is_false_and_names_itself() -> None:
    assert not ABSENT
    assert repr(ABSENT) == str(ABSENT) == "ABSENT"
    assert canonical(ABSENT) == b""


def test_what_bson_cannot_store_is_not_compared() -> None:
    with pytest.raises(bson.errors.InvalidDocument):
        same(object(), 1)


# Hidden


STATE: dict[str, Any] = {
    "name": "Ana",
    "secret": 1,
    "address": {"street": "a", "code": 2},
    "cards": [{"number": 3, "kind": "x"}, 4, [{"number": 5}], {"kind": "y"}],
    "map": {"a.b": 6, "a": {"b": 7, "c": 8}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("secret", {"secret": ABSENT}, id="a member"),
        pytest.param("address.code", {"address": {"street": "a"}}, id="an embedded one"),
        pytest.param(
            "cards.number",
            {"cards": [{"kind": "x"}, 4, [{}], {"kind": "y"}]},
            id="one of each element, at any depth",
        ),
        pytest.param("map.a.b", {"map": {"a": {"c": 8}}}, id="a name with a dot too"),
    ],
)
def test_strip_takes_out_what_a_path_names(path: str, expected: dict[str, Any]) -> None:
    remaining = {k: v for k, v in {**STATE, **expected}.items() if v is not ABSENT}
    untouched = decoded(STATE)

    assert same(Hidden.of([path]).strip(STATE), remaining)
    assert same(STATE, untouched)


@pytest.mark.parametrize("path", ["other", "name.first", "address.other", "cards.other.number"])
def test_strip_returns_the_state_itself_when_nothing_in_it_is_hidden(path: str) -> None:
    assert Hidden.of([path]).strip(STATE) is STATE


def test_strip_leaves_the_state_of_a_deleted_document_alone() -> None:
    assert Hidden.of(["a"]).strip(None) is None


@pytest.mark.parametrize("paths", [["a", "a.b"], ["a.b", "a"]])
def test_the_shorter_of_two_paths_hides_the_whole(paths: list[str]) -> None:
    assert Hidden.of(paths).strip({"a": {"b": 1, "c": 2}, "d": 3}) == {"d": 3}


@pytest.mark.parametrize(
    ("path", "covered"),
    [
        pytest.param(("secret",), True, id="itself"),
        pytest.param(("secret", "x"), True, id="within"),
        pytest.param(("cards", 0, "number"), True, id="of an element"),
        pytest.param(("cards", "0", "number"), True, id="index as text"),
        pytest.param(("cards", 0), False, id="above"),
        pytest.param(("cards", 0, "kind"), False, id="beside"),
        pytest.param(("cards", "x", "number"), False, id="no index"),
        pytest.param(("cards.number",), True, id="dotted"),
        pytest.param((), False, id="the whole"),
    ],
)
def test_covers_tells_whether_a_path_leads_to_what_is_hidden(
    path: tuple[str | int, ...], covered: bool
) -> None:
    assert Hidden.of(["secret", "cards.number"]).covers(path) is covered


def test_hidden_is_true_when_it_names_something() -> None:
    assert Hidden.of(["a"])
    assert not Hidden.of([])


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="An empty path hides nothing; name a stored member."):
        Hidden.of(["a", ""])


@given(states, st.sampled_from(["a", "id", "a.b", "0", "id.id", "名前.🐝"]))
def test_nothing_that_strip_leaves_is_covered(state: dict[str, Any], path: str) -> None:
    hidden = Hidden.of([path])

    stripped = hidden.strip(state)

    assert hidden.strip(stripped) is stripped
