"""The checker itself: it must find what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.lists import check_lists
from tests.faults.load import Note, Outcome
from tests.faults.worlds import begin, lists


@pytest.fixture(scope="module")
def standing(mongod_uri):
    with lists(mongod_uri, 1) as world:
        yield world


@pytest.fixture
def world(standing):
    """One list of the elements a, b and c, which are its versions 2, 3 and 4."""
    begin(standing, 1)
    for element in "abc":
        page = standing.Page.objects.get(id=standing.ids[0])
        page.log.append(element)
        standing.auditor.write(page.save)
    return standing


def notes_of(world: Any) -> list[Note]:
    """What clients were told that wrote the elements one after another."""
    return [
        Note(
            kind="patch",
            document=world.ids[0],
            element=element,
            outcome=Outcome.ACKNOWLEDGED,
            status=200,
            version=number + 2,
            told=list("abc"[: number + 1]),
            begun=number,
            ended=number + 0.5,
        )
        for number, element in enumerate("abc")
    ]


def test_what_was_told_as_it_is_passes(world):
    assert 4 == check_lists(world, notes_of(world))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"element": "x"}, "acknowledged and lost", id="lost"),
        pytest.param({"outcome": Outcome.REFUSED}, "refused and stored", id="refused"),
        pytest.param({"version": 2}, "differs from the version", id="other version"),
        pytest.param({"told": ["b", "a"]}, "was never so", id="other list"),
        pytest.param({"begun": 9.0, "ended": 9.1}, "was answered", id="overtaken"),
    ],
)
def test_what_was_told_otherwise_is_found(world, change, message):
    first, second, third = notes_of(world)
    # One that overtook a later one is seen from the later one's side.
    changed = (
        [replace(first, **change), second, third]
        if "begun" in change
        else [first, replace(second, **change), third]
    )

    with pytest.raises(AssertionError, match=message):
        check_lists(world, changed)


def test_an_element_that_is_there_twice_is_found(world):
    page = world.Page.objects.get(id=world.ids[0])
    page.log.append("a")
    world.auditor.write(page.save)

    with pytest.raises(AssertionError, match="stored twice"):
        check_lists(world, notes_of(world))


def test_a_list_that_forgets_is_found(world):
    page = world.Page.objects.get(id=world.ids[0])
    page.log = ["a", "b"]
    world.auditor.write(page.save)

    with pytest.raises(AssertionError, match="lost an element"):
        check_lists(world, notes_of(world))
