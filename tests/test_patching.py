"""Patches on BSON values."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from bzz.errors import BadRequest, PatchConflict, TooLarge
from bzz.patching import json_patch, merge_patch
from bzz.values import same

WHEN = datetime(2024, 5, 31)
OID = ObjectId("5f5f5f5f5f5f5f5f5f5f5f5f")


def document() -> dict[str, Any]:
    return {
        "n": Int64(1),
        "price": Decimal128("1.50"),
        "when": WHEN,
        "ref": OID,
        "data": b"ab",
        "list": [1, 2.0, {"a": WHEN}],
        "map": {"a/b": 1, "": 2, "x": None},
    }


# RFC 7396, appendix A, for targets that are objects
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert result == merge_patch(target, patch)


@pytest.mark.parametrize("patch", [None, 1, "a", [], [{"a": 1}]])
def test_a_merge_patch_must_be_an_object(patch: Any) -> None:
    with pytest.raises(BadRequest):
        merge_patch({}, patch)


def test_a_merge_patch_leaves_types_alone() -> None:
    expected = document()
    expected["list"] = []

    assert same(expected, merge_patch(document(), {"list": []}))


@pytest.mark.parametrize(
    ("operations", "change"),
    [
        ([{"op": "add", "path": "/list/-", "value": 3}], {"list": [1, 2.0, {"a": WHEN}, 3]}),
        ([{"op": "add", "path": "/list/0", "value": 3}], {"list": [3, 1, 2.0, {"a": WHEN}]}),
        ([{"op": "remove", "path": "/list/1"}], {"list": [1, {"a": WHEN}]}),
        (
            [{"op": "replace", "path": "/map/a~1b", "value": 5}],
            {"map": {"a/b": 5, "": 2, "x": None}},
        ),
        ([{"op": "remove", "path": "/map/"}], {"map": {"a/b": 1, "x": None}}),
        ([{"op": "copy", "from": "/price", "path": "/cost"}], {"cost": Decimal128("1.50")}),
        (
            [{"op": "move", "from": "/list/2/a", "path": "/then"}],
            {"list": [1, 2.0, {}], "then": WHEN},
        ),
        (
            [{"op": "copy", "from": "/n", "path": "/list/0"}],
            {"list": [Int64(1), 1, 2.0, {"a": WHEN}]},
        ),
        ([{"op": "add", "path": "/new", "value": {"a": 1}}], {"new": {"a": 1}}),
        (
            [
                {"op": "add", "path": "/new", "value": []},
                {"op": "add", "path": "/new/-", "value": 1},
                {"op": "copy", "from": "/new", "path": "/other"},
                {"op": "add", "path": "/new/-", "value": 2},
            ],
            {"new": [1, 2], "other": [1]},
        ),
    ],
)
def test_operations_apply_and_keep_types(operations: Any, change: dict[str, Any]) -> None:
    assert same({**document(), **change}, json_patch(document(), operations))


def test_the_whole_document_can_be_put_in_its_place() -> None:
    assert {"a": 1} == json_patch(document(), [{"op": "replace", "path": "", "value": {"a": 1}}])
    assert {"a/b": 1, "": 2, "x": None} == json_patch(
        document(), [{"op": "copy", "from": "/map", "path": ""}]
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/n", 1),
        ("/n", 1.0),
        ("/list/1", 2),
        ("/price", "1.50"),
        ("/when", "2024-05-31T00:00:00.000Z"),
        ("/ref", str(OID)),
        ("/data", "YWI="),
        ("/map", {"": 2, "x": None, "a/b": 1.0}),
        ("/map/x", None),
    ],
)
def test_a_test_compares_json_forms(path: str, value: Any) -> None:
    json_patch(document(), [{"op": "test", "path": path, "value": value}])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/n", "value": True},
        {"op": "test", "path": "/n", "value": "1"},
        {"op": "test", "path": "/map/x", "value": 0},
        {"op": "test", "path": "/list", "value": [1, 2]},
        {"op": "test", "path": "/missing", "value": None},
        {"op": "test", "path": "/list/-", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/list/3"},
        {"op": "remove", "path": "/list/01"},
        {"op": "remove", "path": "/list/-"},
        {"op": "remove", "path": "/list/-1"},
        {"op": "remove", "path": "/list/" + "9" * 30},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/list/4", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "/missing/a", "value": 1},
        {"op": "add", "path": "/data/0", "value": 1},
        {"op": "remove", "path": "/data/0"},
        {"op": "test", "path": "/ref/0", "value": 1},
        {"op": "move", "from": "/missing", "path": "/a"},
        {"op": "copy", "from": "/missing", "path": "/a"},
        {"op": "copy", "from": "/n", "path": "/missing/a"},
    ],
)
def test_what_does_not_apply_is_a_conflict_with_its_place(operation: Any) -> None:
    fine = {"op": "test", "path": "/n", "value": 1}

    with pytest.raises(PatchConflict) as error:
        json_patch(document(), [fine, operation])

    assert 1 == error.value.index
    assert error.value.path in (operation["path"], operation.get("from"))


@pytest.mark.parametrize(
    "operations",
    [
        None,
        {},
        {"op": "add", "path": "/a", "value": 1},
        [1],
        [{}],
        [{"op": ["add"], "path": "/a"}],
        [{"op": "spam", "path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "value": 1}],
        [{"op": "add", "path": 5, "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "add", "path": "/a~2", "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "move", "from": "/map", "path": "/map/a"}],
        [{"op": "move", "from": None, "path": "/map/a"}],
        [{"op": "remove", "path": ""}],
        [{"op": "replace", "path": "", "value": [1]}],
        [{"op": "copy", "from": "/n", "path": ""}],
    ],
)
def test_a_malformed_patch_is_refused(operations: Any) -> None:
    with pytest.raises(BadRequest):
        json_patch(document(), operations)


def test_a_patch_that_is_refused_at_its_end_applies_nothing() -> None:
    before = document()

    with pytest.raises(PatchConflict):
        json_patch(before, [{"op": "remove", "path": "/n"}, {"op": "remove", "path": "/n"}])

    assert same(document(), before)


def test_copies_that_explode_are_refused() -> None:
    double = [{"op": "copy", "from": "/map", "path": f"/map/{step}"} for step in range(60)]

    with pytest.raises(TooLarge):
        json_patch(document(), double)


def test_a_patch_that_builds_a_tower_is_refused_and_does_not_crash() -> None:
    tower = [{"op": "add", "path": "/a", "value": {}}]
    for _ in range(2000):
        tower += [
            {"op": "add", "path": "/b", "value": {}},
            {"op": "move", "from": "/a", "path": "/b/a"},
            {"op": "move", "from": "/b", "path": "/a"},
        ]

    with pytest.raises(BadRequest):
        json_patch({}, [*tower, {"op": "test", "path": "/a", "value": 1}])


def test_too_many_operations_are_refused() -> None:
    with pytest.raises(TooLarge):
        json_patch({}, [{"op": "test", "path": "", "value": {}}] * 10_001)


def test_a_conflict_does_not_say_what_the_value_is() -> None:
    with pytest.raises(PatchConflict) as error:
        json_patch({"pin": "secret"}, [{"op": "test", "path": "/pin", "value": "guess"}])

    assert "secret" not in str(error.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_changes_nothing_given(target: Any, patch: Any) -> None:
    given_target, given_patch = copy.deepcopy(target), copy.deepcopy(patch)

    once = merge_patch(target, patch)

    assert once == merge_patch(once, patch)
    assert (given_target, given_patch) == (target, patch)


@given(OBJECTS, st.text(max_size=2), JSON)
def test_an_added_member_is_there_and_what_is_given_stays(
    target: Any, name: str, value: Any
) -> None:
    path = "/" + name.replace("~", "~0").replace("/", "~1")
    operations = [
        {"op": "add", "path": path, "value": value},
        {"op": "test", "path": path, "value": value},
    ]
    given_target, given_operations = copy.deepcopy(target), copy.deepcopy(operations)

    assert {**target, name: value} == json_patch(target, operations)
    assert (given_target, given_operations) == (target, operations)
