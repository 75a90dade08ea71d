"""Two states beside each other: as a JSON Patch and as text."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime

import jsonpatch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzz.audit.comparing import Comparison, Side, as_text, json_patch
from bzz.audit.events import ANONYMOUS, Actor
from tests.audit.test_events import EVENT

# JSON Patch --------------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "id", "", "/", "~", "0", "1", "-", "a/b"])
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4),
    max_leaves=15,
)
documents = st.none() | st.dictionaries(names, values, max_size=5)
items = st.lists(
    st.fixed_dictionaries({"id": st.integers(1, 6), "n": st.integers(1, 2)}),
    max_size=6,
    unique_by=lambda item: item["id"],
)


def applied(patch, document):
    return jsonpatch.apply_patch(copy.deepcopy(document), json.loads(json.dumps(patch)))


def exactly(value):
    """What tells 1 from 1.0 and from true."""
    return json.dumps(value, sort_keys=True)


@settings(max_examples=300)
@given(documents, documents)
def test_applying_a_patch_gives_the_other_document(before, after):
    assert exactly(after) == exactly(applied(json_patch(before, after), before))


@given(items, items)
def test_items_are_told_apart_by_their_id(before, after):
    before, after = {"items": before}, {"items": after}
    patch = json_patch(before, after)

    assert after == applied(patch, before)
    assert all(not each["path"].endswith("/id") for each in patch)


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="nothing"),
        pytest.param({}, {"a": None}, [{"op": "add", "path": "/a", "value": None}], id="null"),
        pytest.param({"a": None}, {}, [{"op": "remove", "path": "/a"}], id="null goes"),
        pytest.param({"a": 1}, {"a": None}, [{"op": "replace", "path": "/a", "value": None}]),
        pytest.param({"a": 1}, None, [{"op": "replace", "path": "", "value": None}], id="delete"),
        pytest.param(None, {"a": 1}, [{"op": "replace", "path": "", "value": {"a": 1}}]),
        pytest.param({"a": [1, 2]}, {"a": [2]}, [{"op": "remove", "path": "/a/0"}], id="element"),
        pytest.param({"a": [1]}, {"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 2}]),
    ],
)
def test_a_patch_has_one_operation_for_each_change(before, after, patch):
    assert patch == json_patch(before, after)


# Text --------------------------------------------------------------------------------------


def side(version=1, *, state=None, **facts):
    time = datetime(2026, 5, 1, 12, version, tzinfo=UTC)
    facts = {"actor": Actor("user", "ana"), **facts}
    return Side(version, replace(EVENT, version=version, time=time, **facts), state or {})


def shown(*changes):
    """The lines of a text below its two headings."""
    return as_text(Comparison(side(1), side(2)), changes).split("\n")[2:-1]


def test_a_text_begins_with_the_two_versions_and_when_and_who():
    text = as_text(Comparison(side(3), side(7, actor=ANONYMOUS)), [])

    assert text == (
        "--- version 3  2026-05-01T12:03:00.000Z  user:ana\n"
        "+++ version 7  2026-05-01T12:07:00.000Z  anonymous\n"
    )


def test_a_text_says_where_there_is_no_document():
    deleted = replace(side(2), state=None)
    text = as_text(Comparison(Side(0, None, None), deleted), [])

    assert text == (
        "--- version 0  (no document yet)\n"
        "+++ version 2  2026-05-01T12:02:00.000Z  user:ana  (no document: deleted)\n"
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        pytest.param({"from": 1, "to": 2}, "~ /a: 1 -> 2", id="changed"),
        pytest.param({"to": "x"}, '+ /a: "x"', id="added"),
        pytest.param({"from": [1, None]}, "- /a: [1,null]", id="removed"),
        pytest.param({"from": None, "to": {"b": "ü"}}, '~ /a: null -> {"b":"ü"}', id="objects"),
        pytest.param({"to": None}, "+ /a: null", id="null is something"),
        pytest.param({"to": "x" * 300}, f'+ /a: "{"x" * 300}"', id="long and new"),
    ],
)
def test_a_change_is_one_line(change, line):
    assert [line] == shown({"path": "/a", **change})


def test_a_long_text_is_shown_without_what_stayed():
    old = "The quick brown fox jumps over the lazy dog, again and again and again, all day long."
    lines = shown({"path": "/a", "from": old, "to": old.replace("lazy", "sleeping")})

    assert lines == [
        "~ /a:",
        '    - "…uick brown fox jumps over the lazy dog, again and again and agai…"',
        '    + "…uick brown fox jumps over the sleeping dog, again and again and agai…"',
    ]


def test_a_long_text_that_became_short_is_shown():
    lines = shown({"path": "/a", "from": "x" * 200, "to": "x"})

    assert ["~ /a:", f'    - "x{"x" * 199}"', '    + "x"'] == lines


def test_a_text_of_many_lines_is_shown_by_line():
    old = "one\ntwo\nthree\nfour\nfive\nsix"
    new = "one\ntwo\nTHREE\nfour\nfive\nsix\nseven"

    assert shown({"path": "/a", "from": old, "to": new}) == [
        "~ /a:",
        "      …",
        "      two",
        "    - three",
        "    + THREE",
        "      four",
        "      …",
        "      six",
        "    + seven",
    ]


def test_a_new_text_of_many_lines_keeps_them():
    assert ["+ /a:", "    + one", "    + two"] == shown({"path": "/a", "to": "one\ntwo"})


@pytest.mark.parametrize("value", ["\x1b[2J", "\x07", "\x7f", "\x9b31m", "\u202egnp", "\r"])
@pytest.mark.parametrize("where", ["{}", "{}\nmore lines", "long " * 30 + "{}"])
def test_no_value_can_steer_the_terminal(value, where):
    text = where.format(value)
    lines = shown(
        {"path": f"/{value}", "from": text, "to": "x"}, {"path": "/b", "from": "", "to": text}
    )

    assert all(line.isprintable() for line in lines)
