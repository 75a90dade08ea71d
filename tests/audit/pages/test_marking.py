"""What of a text was changed into another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.pages.marking import Kind, Run, excerpt, marked

# Of few words, so that two texts have much in common.
TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["a", "bc", " ", "\n", "é", "…", "-"]), max_size=30).map("".join),
)


def without(runs: list[Run], kind: Kind) -> str:
    return "".join(run.text for run in runs if run.kind is not kind)


@given(TEXTS, TEXTS)
def test_the_runs_make_up_both_texts(before, after):
    runs = marked(before, after)

    assert (before, after) == (without(runs, Kind.NEW), without(runs, Kind.GONE))


@given(TEXTS)
def test_a_text_that_did_not_change_is_one_run(text):
    assert [Run(Kind.SAME, text)] * bool(text) == marked(text, text)


@given(TEXTS, TEXTS)
def test_no_run_is_empty_and_no_two_neighbours_are_alike(before, after):
    runs = marked(before, after)

    assert all(run.text for run in runs)
    assert all(one.kind is not other.kind for one, other in zip(runs, runs[1:], strict=False))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param("a big dog", "a small dog", "a [-big-]{+small+} dog", id="a word"),
        pytest.param("one two three", "one x y three", "one [-two-]{+x y+} three", id="a space"),
        pytest.param("the end", "the end.", "the end{+.+}", id="added"),
        pytest.param("", "new", "{+new+}", id="from nothing"),
        pytest.param("a b", "c d", "[-a b-]{+c d+}", id="all"),
    ],
)
def test_words_are_marked_as_a_whole(before, after, expected):
    signs = {Kind.SAME: "{}", Kind.GONE: "[-{}-]", Kind.NEW: "{{+{}+}}"}

    assert expected == "".join(signs[kind].format(text) for kind, text in marked(before, after))


def test_texts_that_take_too_long_to_compare_are_marked_as_a_whole():
    before, after = " ".join(f"a{n}" for n in range(2000)), " ".join(f"b{n}" for n in range(2000))

    assert [Run(Kind.GONE, before), Run(Kind.NEW, after)] == marked(before, after)


def test_an_excerpt_keeps_what_stands_around_a_change():
    text = "word " * 100
    runs = excerpt(marked(f"{text}old{text}", f"{text}new{text}"))

    kinds = [run.kind for run in runs]
    middle = [Kind.SAME, Kind.GONE, Kind.NEW, Kind.SAME]
    assert [Kind.CUT, *middle, Kind.CUT] == kinds
    assert sum(len(run.text) for run in runs) < 200


@given(TEXTS, TEXTS)
def test_an_excerpt_leaves_no_change_out(before, after):
    runs = marked(before, after)
    changes = [run for run in runs if run.kind is not Kind.SAME]

    shown = excerpt(runs)
    assert changes == [run for run in shown if run.kind in (Kind.GONE, Kind.NEW)]
