"""How values, documents and days are shown, without any request."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import date
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.pages import words
from bzz.audit.pages.chart import HEIGHT, chart
from bzz.audit.pages.outline import outline, side_by_side
from bzz.audit.pages.rendering import HEADERS, render
from bzz.audit.pages.values import shown, shown_change, two_sides

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=5)


# Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Ana", '<span class="text">Ana</span>', id="text"),
        pytest.param("", '<i class="kind">empty text</i>', id="empty text"),
        pytest.param(None, '<i class="kind">null</i>', id="null"),
        pytest.param(1, '<code class="number">1</code>', id="number"),
        pytest.param(True, '<code class="number">true</code>', id="truth"),
        pytest.param([], '<i class="kind">empty list</i>', id="empty list"),
        pytest.param({}, '<i class="kind">empty object</i>', id="empty object"),
        pytest.param([1, "a"], "<code>[1, &quot;a&quot;]</code>", id="list"),
    ],
)
def test_a_value_looks_like_its_kind(value, expected):
    assert expected == shown(value)


@pytest.mark.parametrize(("lines", "tag"), [(5, "<pre>"), (50, "<details>")])
def test_a_long_structure_has_lines_of_its_own(lines, tag):
    assert shown(["a long element of a list"] * lines).startswith(tag)


@given(VALUES)
def test_no_value_makes_elements_of_its_own(value):
    html = shown(["<b>", value, "</b>", {"<i>": value}])

    assert set(re.findall("<(/?[a-z]+)", html)) <= {
        *("code", "/code", "pre", "/pre", "details", "/details", "summary", "/summary")
    }


@given(st.text(min_size=1))
def test_a_text_is_shown_whole(text):
    assert text == unescape(re.sub("<[^>]+>", "", shown(text)))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"from": 1, "to": 2}, ["<del>", "<ins>"], id="changed"),
        pytest.param({"to": 2}, ["not there", "<ins>"], id="added"),
        pytest.param({"from": 1}, ["<del>", "not there"], id="removed"),
        pytest.param({"masked": True}, ["its values are not kept here"], id="masked"),
        pytest.param({"from": None, "to": ""}, ["null", "empty text"], id="null is not absent"),
    ],
)
def test_a_change_says_what_was_there_and_what_is(change, expected):
    html = shown_change(change)

    assert sorted(expected, key=html.index) == expected


def test_short_texts_stand_beside_each_other():
    assert 2 == shown_change({"from": "ordered", "to": "delivered"}).count("<td>")


def test_times_stand_beside_each_other():
    times = {"from": "2026-11-21T00:00:00.000Z", "to": "2026-12-01T00:00:00.000Z"}

    assert 2 == shown_change(times).count("<td>")


def test_long_texts_that_have_little_in_common_stand_beside_each_other():
    assert 2 == shown_change({"from": "x" * 50, "to": "y" * 50}).count("<td>")


def test_each_side_has_its_own_words_marked():
    left, right = two_sides("a long text with an old word", "a long text with a new word")

    assert ("<del>an old</del>", "<ins>a new</ins>") == (
        re.search("<del>.*</del>", left)[0],
        re.search("<ins>.*</ins>", right)[0],
    )


# Documents -----------------------------------------------------------------------------------


def test_a_document_is_a_line_a_value():
    lines = outline({"a": 1, "b": {"c": [2, {"d": None}]}, "e": []})

    assert [
        ("a", 0, 1),
        ("b", 0, None),
        ("c", 1, None),
        ("0", 2, 2),
        ("1", 2, None),
        ("d", 3, None),
        ("e", 0, []),
    ] == [(line.name, line.depth, line.value) for line in lines]


@given(DOCUMENTS, DOCUMENTS)
def test_both_sides_are_whole(left, right):
    pairs = side_by_side(left, right)

    assert outline(left) == [pair.left for pair in pairs if pair.left]
    assert outline(right) == [pair.right for pair in pairs if pair.right]


@given(DOCUMENTS)
def test_a_document_beside_itself_has_no_difference(document):
    assert all(pair.is_same for pair in side_by_side(document, document))


def test_an_element_before_others_leaves_them_beside_each_other():
    pairs = side_by_side({"tags": ["a", "b"]}, {"tags": ["new", "a", "b"]})

    assert [None, "a", "b"] == [pair.left and pair.left.value for pair in pairs[1:]]
    assert [False, True, True] == [pair.is_same for pair in pairs[1:]]


def test_lines_of_two_members_are_no_pair():
    assert all(None in pair[:2] for pair in side_by_side({"a": 1}, {"b": 2}))


def test_no_document_has_no_lines():
    assert [None] == [pair.left for pair in side_by_side(None, {"a": 1})]


# Words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        ({"kind": "user", "id": "ana"}, "ana"),
        ({"kind": "service", "id": "mail"}, "service mail"),
        ({"kind": "system", "id": None}, "the system"),
        ({"kind": "anonymous", "id": None}, "somebody who gave no name"),
        ({"kind": "robot", "id": None}, "robot"),
        (None, "nobody known"),
    ],
)
def test_an_actor_has_a_name(actor, expected):
    assert expected == words.actor(actor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T12:00:00Z", "2026-05-01T12:00:00"),
        ("2026-05-01T12:00:00+02:00", "2026-05-01T10:00:00"),
        ("2026-05-01T12:00:00 02:00", "2026-05-01T10:00:00"),
        ("2026-05-01", "2026-05-01T00:00:00"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_time_fits_into_its_input(text, expected):
    assert expected == words.for_input(text)


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [("/home/city", "home › city"), ("/a~1b/0", "a/b › 0"), ("/", "(no name)")],
)
def test_a_path_is_read_from_the_outside_in(pointer, expected):
    assert expected == words.path(pointer)


@pytest.mark.parametrize(("number", "expected"), [(1, "1 day"), (1200, "1,200 days")])
def test_numbers_have_their_words(number, expected):
    assert expected == words.count(number, "day")


# The chart -----------------------------------------------------------------------------------


def test_a_chart_has_a_bar_for_each_day():
    made = chart({date(2026, 3, 1): 4, date(2026, 2, 27): 1}, date(2026, 3, 1), 3)

    assert [1, 0, 4] == [bar.count for bar in made.bars]
    assert (5, date(2026, 3, 1)) == (made.total, made.highest.day)


@given(st.dictionaries(st.dates(date(2026, 1, 1), date(2026, 1, 31)), st.integers(0, 10**6)))
def test_bars_stand_on_the_ground_and_within_the_chart(counts):
    for bar in chart(counts, date(2026, 1, 31), 31).bars:
        assert HEIGHT == pytest.approx(bar.y + bar.height, abs=0.11)
        assert (bar.height > 0) == (bar.count > 0)


# The policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["style", "script"])
def test_the_policy_names_what_stands_in_a_page(kind):
    html = render("problem.html", title="t", status=404, detail=None, faults=[]).decode()
    inner = re.search(f"<{kind}>(.*?)</{kind}>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()

    assert f"{kind}-src 'sha256-{digest}'" in HEADERS["Content-Security-Policy"]


def test_pages_load_nothing_from_elsewhere():
    html = render("problem.html", title="t", status=404, detail=None, faults=[]).decode()

    assert not re.search(r'(?:src|href)="(?!#|data:,)', html)
    assert "http" not in html
    assert " style=" not in html


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 seconds"), (1, "1 second"), (119, "1 minute"), (7200, "2 hours"), (90000, "1 day")],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds, expected):
    assert expected == words.span(seconds)
