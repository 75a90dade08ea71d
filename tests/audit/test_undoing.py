"""Undo takes back one event alone: what came later elsewhere stays, what it meets is told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.carrying import carried_both
from bzz.audit.diff import Change, apply, changes_between, pack, unpack
from bzz.audit.errors import CannotUndo
from bzz.audit.events import Event, Operation
from bzz.audit.replay import fold
from bzz.audit.undoing import Touch, undone
from bzz.values import ABSENT, Hidden, State, canonical, same
from tests.audit.test_carrying import forks
from tests.audit.test_events import EVENT
from tests.bson_values import states

NOTHING = Hidden.of([])


class Story:
    """A document and its events, as a history would have them."""

    def __init__(self, *told: State | None) -> None:
        self.events: list[Event] = []
        self.stored: State | None = None
        for state in told:
            self.become(state)

    def become(self, state: State | None, **facts: Any) -> Event:
        """The next event: the document is as `state` from now on."""
        state = None if state is None else {**state, "_id": 1}
        operation = Operation.UPDATED if self.stored is not None else Operation.CREATED
        event = replace(
            EVENT,
            document=1,
            version=len(self.events) + 1,
            changes=tuple(unpack(pack(changes_between(self.stored, state)))),
            gone=state is None,
            **{"operation": Operation.DELETED if state is None else operation, **facts},
        )
        self.events.append(event)
        self.stored = state
        return event

    def plan(self, version: int, **options: Any) -> Any:
        earlier = fold(self.events[: version - 1])
        options = {"hidden": NOTHING, **options}
        stored = options["hidden"].strip(self.stored)
        return undone(earlier, self.events[version - 1 :], stored, **options)

    def undo(self, version: int, **options: Any) -> State | None:
        """Undo, with an event where that changes something; the state after it."""
        found = self.plan(version, **options)
        assert () == found.touches
        if not same(found.state, self.stored):
            self.become(found.state, undo_of=version, operation=Operation.RESTORED)
        return self.without_id()

    def without_id(self) -> State | None:
        return self.stored and {k: v for k, v in self.stored.items() if k != "_id"}

    def touches(self, version: int, **options: Any) -> list[tuple[Any, int | None]]:
        return [(each.path, each.version) for each in self.plan(version, **options).touches]


# One undo -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([{"a": 1}, {"a": 2}], {"a": 1}, id="changed"),
        pytest.param([{"a": 1}, {"a": 1, "b": 2}], {"a": 1}, id="added"),
        pytest.param([{"a": 1, "b": None}, {"a": 1}], {"a": 1, "b": None}, id="removed"),
        pytest.param([{"a": 1}, {"a": 2}, {"a": 2, "b": 3}], {"a": 1, "b": 3}, id="later member"),
        pytest.param(
            [{"a": {"x": 1, "y": 1}}, {"a": {"x": 2, "y": 1}}, {"a": {"x": 2, "y": 2}}],
            {"a": {"x": 1, "y": 2}},
            id="later beside it",
        ),
        pytest.param(
            [{"l": ["a", "b"]}, {"l": ["a", "B"]}, {"l": ["x", "a", "B"]}],
            {"l": ["x", "a", "b"]},
            id="inserted before a changed element",
        ),
        pytest.param(
            [{"l": ["a", "b"]}, {"l": ["a", "b", "c"]}, {"l": ["b", "c"]}],
            {"l": ["b"]},
            id="removed before an inserted element",
        ),
        pytest.param(
            [{"l": ["a", "b", "c"]}, {"l": ["a", "c"]}, {"l": ["a", "c", "d"]}],
            {"l": ["a", "b", "c", "d"]},
            id="appended after a removed element",
        ),
        pytest.param(
            [{"l": ["a", "b", "c"]}, {"l": ["c"]}, {"l": ["x", "c"]}],
            {"l": ["a", "b", "x", "c"]},
            id="what comes back stands before what took its place",
        ),
        pytest.param(
            [{"l": [{"0": 1}]}, {"l": [{"0": 2}]}, {"l": [9, {"0": 2}]}],
            {"l": [9, {"0": 1}]},
            id="a member that is named by a number",
        ),
        pytest.param(
            [
                {"l": [{"id": 1, "a": 1}]},
                {"l": [{"id": 1, "a": 2}]},
                {"l": [{"id": 2}, {"id": 1, "a": 2}]},
            ],
            {"l": [{"id": 2}, {"id": 1, "a": 1}]},
            id="below an element that moved",
        ),
    ],
)
def test_only_the_event_is_taken_back(told, expected):
    assert same(expected, Story(*told).undo(2))


def test_what_was_inserted_at_one_place_before_it_stays():
    story = Story({"l": []}, {"l": ["a"]}, {"l": ["a", "b"]})

    assert {"l": ["b"]} == story.undo(2)


@pytest.mark.parametrize(
    ("told", "touches"),
    [
        pytest.param([{"a": 1}, {"a": 2}, {"a": 3}], [(("a",), 3)], id="the same member"),
        pytest.param(
            [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}],
            [
                (("a",), 3),
            ],
            id="and back",
        ),
        pytest.param([{}, {"a": {"x": 1}}, {"a": {"x": 2}}], [(("a",), 3)], id="below"),
        pytest.param([{"a": {"x": 1}}, {"a": {"x": 2}}, {"a": 3}], [(("a", "x"), 3)], id="above"),
        pytest.param(
            [{"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 2}, {"a": 3, "b": 3}],
            [(("a",), 3), (("b",), 4)],
            id="two members",
        ),
        pytest.param(
            [
                {"l": [{"id": 1}]},
                {"l": [{"id": 1}, {"id": 2, "a": 1}]},
                {"l": [{"id": 3}, {"id": 1}, {"id": 2, "a": 2}]},
            ],
            [(("l", 1), 3)],
            id="below an inserted element that moved",
        ),
        pytest.param(
            [{"l": ["a", "b"]}, {"l": ["a", "B"]}, {"l": ["B"]}, {"l": []}],
            [(("l", 1), 4)],
            id="an element that is gone",
        ),
        pytest.param([{"l": ["a"]}, {"l": ["a", "b"]}, {"l": 5}], [(("l", 1), 3)], id="the list"),
        pytest.param([{"a": 1}, {"a": 2}, None, {"a": 2}], [(("a",), 3)], id="deleted meanwhile"),
    ],
)
def test_what_was_touched_again_is_told_with_the_version(told, touches):
    assert touches == Story(*told).touches(2)


def test_a_write_round_bzz_counts_as_well():
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 1})
    story.stored = {"_id": 1, "a": 3, "b": 1}

    assert [(("a",), None)] == story.touches(2)


def test_a_write_round_bzz_elsewhere_stays():
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 1})
    story.stored = {"_id": 1, "a": 2, "b": 3}

    assert {"a": 1, "b": 3} == story.undo(2)


# What has no undo ---------------------------------------------------------------------------


def refused(story: Story, version: int, **options: Any) -> tuple[str, int | None]:
    with pytest.raises(CannotUndo) as caught:
        story.plan(version, **options)
    assert version == caught.value.version
    return str(caught.value).removeprefix(f"Version {version} of users 1 "), caught.value.later


DELETE_INSTEAD = "delete that instead."


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Operation.CREATED, f"it created the document; {DELETE_INSTEAD}"),
        (Operation.BASELINE, "it is where the history begins, and changed nothing."),
        (Operation.EXTERNAL, f"it found a document that was made round bzz; {DELETE_INSTEAD}"),
        (Operation.RESTORED, f"it brought the document back; {DELETE_INSTEAD}"),
        (Operation.UPDATED, f"it brought the document into being; {DELETE_INSTEAD}"),
    ],
)
def test_what_made_the_document_has_no_undo(operation, message):
    story = Story()
    story.become({"a": 1}, operation=operation)

    assert (f"cannot be undone: {message}", None) == refused(story, 1)


def test_an_erasure_has_no_undo():
    story = Story({"a": 1})
    story.become({}, operation=Operation.ERASED)

    message = "cannot be undone: it took values away, which were not kept."
    assert (message, None) == refused(story, 2)


def test_an_update_of_a_deleted_document_names_the_delete():
    message = "cannot be undone: version 3 deleted the document; restore it first."

    assert (message, 3) == refused(Story({"a": 1}, {"a": 2}, None), 2)


def test_an_update_of_a_document_that_was_deleted_round_bzz():
    story = Story({"a": 1}, {"a": 2})
    story.stored = None

    message = "cannot be undone: the document was deleted round bzz; restore it first."
    assert (message, None) == refused(story, 2)


def test_an_event_of_masked_values_alone_has_no_undo():
    story = Story({"a": 1})
    story.become({"a": 1}, masked=("/secret",))

    message = "changed only hidden values, which are not kept to be put back."
    assert (message, None) == refused(story, 2)


# Deletes ------------------------------------------------------------------------------------


def test_the_undo_of_a_delete_is_the_state_before_it():
    assert {"a": 2} == Story({"a": 1}, {"a": 2}, None).undo(3)


@pytest.mark.parametrize(
    ("told", "stored", "message", "later"),
    [
        pytest.param(
            [{"a": 1}, None, {"a": 1}, {"a": 2}],
            {"a": 2},
            "is a delete, and the document is there again since version 3.",
            3,
            id="there again",
        ),
        pytest.param(
            [{"a": 1}, None],
            {"a": 2},
            "is a delete, and the document was made again round bzz.",
            None,
            id="round bzz",
        ),
        pytest.param(
            [{"a": 1}, None, {"a": 2}, None],
            None,
            "is a delete, and version 4 deleted the document again; undo that instead.",
            4,
            id="deleted again",
        ),
        pytest.param(
            [{"a": 1}, None, {"a": 2}],
            None,
            "is a delete, and the document came back and was deleted again round bzz; restore it.",
            None,
            id="deleted again round bzz",
        ),
    ],
)
def test_a_delete_that_is_not_the_last_word_has_no_undo(told, stored, message, later):
    story = Story(*told)
    story.stored = stored and {"_id": 1, **stored}

    assert (message, later) == refused(story, 2)


@pytest.mark.parametrize("facts", [{"undo_of": 3}, {"restored_from": 2}], ids=str)
def test_a_delete_that_was_taken_back_is_not_in_the_way(facts):
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 1}, None)
    story.become({"a": 2, "b": 1}, operation=Operation.RESTORED, **facts)

    assert {"a": 1, "b": 1} == story.undo(2)


# Hidden values ------------------------------------------------------------------------------


def test_what_is_hidden_by_now_is_left_alone():
    story = Story({"a": 1, "pin": 1}, {"a": 2, "pin": 2})

    assert same({"_id": 1, "a": 1}, story.plan(2, hidden=Hidden.of(["pin"])).state)


def test_what_is_hidden_inside_a_value_does_not_come_back():
    story = Story({"c": {"no": 1, "pin": 1}}, {"c": 5})
    found = story.plan(2, hidden=Hidden.of(["c.pin"]))

    assert {"c": {"no": 1}, "_id": 1} == found.state


def test_what_the_history_forgets_is_no_change():
    story = Story({"a": 1, "pin": 1}, {"a": 2, "pin": 1})
    forgets = Change(("pin",), ABSENT, ABSENT)
    story.become({"a": 2, "b": 1})
    changes = (forgets, *(each for each in story.events[2].changes if each.path != ("pin",)))
    story.events[2] = replace(story.events[2], changes=changes)
    hidden = Hidden.of(["pin"])

    assert same({"_id": 1, "a": 2}, story.plan(3, hidden=hidden).state)
    assert same({"_id": 1, "a": 1, "b": 1}, story.plan(2, hidden=hidden).state)


# Only some paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        pytest.param([("a",)], {"a": 1, "l": ["y", "b", "z"]}, id="a member"),
        pytest.param([("l",)], {"a": 2, "l": ["a", "b", "c"]}, id="a list"),
        pytest.param([("l", "0")], {"a": 2, "l": ["a", "b", "z"]}, id="an element"),
        pytest.param([("l", "2")], {"a": 2, "l": ["y", "b", "c"]}, id="the last element"),
        pytest.param([("a",), ("l",)], {"a": 1, "l": ["a", "b", "c"]}, id="several"),
    ],
)
def test_only_some_paths_are_taken_back(only, expected):
    story = Story({"a": 1, "l": ["a", "b", "c"]}, {"a": 2, "l": ["y", "b", "z"]})

    assert same(expected, story.undo(2, only=only))


def test_an_element_that_stays_moves_those_that_come_back():
    story = Story({"l": [1, 2, 3]}, {"l": [9, 1, 3]})

    assert {"l": [9, 1, 2, 3]} == story.undo(2, only=[("l", "2")])


def test_what_the_other_paths_met_is_not_in_the_way():
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 3})

    assert {"a": 1, "b": 3} == story.undo(2, only=[("a",)])


# Undoing undos ------------------------------------------------------------------------------


def test_undone_twice_changes_nothing():
    story = Story({"a": 1}, {"a": 2})
    story.undo(2)

    assert ({"a": 1}, 3) == (story.undo(2), len(story.events))


def test_an_undo_can_be_undone_and_the_event_undone_again():
    story = Story({"a": 1}, {"a": 2})
    story.undo(2)

    assert {"a": 2} == story.undo(3)
    assert {"a": 1} == story.undo(2)


def test_the_rest_is_undone_after_single_paths():
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 2})
    story.undo(2, only=[("a",)])

    assert {"a": 1, "b": 1} == story.undo(2)


def test_what_an_undo_of_single_paths_left_is_still_in_the_way():
    story = Story({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3})
    story.undo(3, only=[("a",)])

    assert [(("b",), 4)] == story.touches(2)
    assert {"a": 1, "b": 3} == story.undo(2, only=[("a",)])


def test_what_saving_made_different_is_in_the_way():
    story = Story({"a": 1, "n": 1}, {"a": 2, "n": 2}, {"a": 3, "n": 3})
    story.become({"a": 2, "n": 4}, undo_of=3, operation=Operation.RESTORED)

    assert [(("n",), 4)] == story.touches(2)


def test_a_change_between_an_event_and_its_undo_is_found_where_it_is_now():
    story = Story({"l": ["a", "b"]}, {"l": ["a", "B"]}, {"l": ["x", "a", "B"]})
    story.become({"l": ["x", "a", "B", "c"]})
    story.undo(3)

    assert {"l": ["a", "b", "c"]} == story.undo(2)


def test_what_calls_itself_an_undo_and_cannot_be_one_is_in_the_way():
    story = Story({"a": 1}, {"a": 2}, {"a": 3}, {"a": 4})
    story.become({"a": 2}, undo_of=3, operation=Operation.RESTORED)

    assert [(("a",), 3)] == story.touches(2)


# Whatever happens ---------------------------------------------------------------------------


@given(st.lists(states, min_size=2, max_size=6))
def test_undoing_all_from_the_newest_on_leads_through_all_earlier_states(told):
    told = [{**state, "_id": 1} for state in told]
    told = [told[0], *(after for before, after in pairwise(told) if not same(before, after))]
    story = Story(*told)

    for version in range(len(told), 1, -1):
        story.undo(version)
        assert same(told[version - 2], story.stored)


@given(forks())
def test_undone_the_event_has_never_been(fork):
    before, one, other = ({**state, "_id": 1} for state in fork)
    ones, others = changes_between(before, one), changes_between(before, other)
    both = carried_both(ones, others)
    if not ones or not others or both is None:
        return
    story = Story(before, one, apply(one, both[1]))

    found = story.plan(2)
    assert () == found.touches
    assert canonical(unordered(other)) == canonical(unordered(found.state))


def unordered(value: Any) -> Any:
    """Of two elements that came and came back at one place nobody can tell the order."""
    if isinstance(value, dict):
        return {name: unordered(each) for name, each in value.items()}
    if isinstance(value, list):
        return sorted(map(unordered, value), key=canonical)
    return value


# A model of it ------------------------------------------------------------------------------


@dataclass
class Deed:
    """What somebody did: set a member, or put in, replace or take out an element of the list."""

    kind: str
    slot: Any
    value: str = ""
    after: Any = None
    target: int | None = None
    """The version that it undoes."""


@dataclass
class Model:
    """Documents as plain intentions, which are all followed again without those undone."""

    deeds: list[Deed] = field(default_factory=list)
    """Of version 2 on."""

    def cancelled(self) -> dict[int, int]:
        """Each undone version with its undo, and the other way."""
        pairs: dict[int, int] = {}
        for version in range(len(self.deeds) + 1, 1, -1):
            target = self.deed(version).target
            if target is not None and version not in pairs and target not in pairs:
                pairs |= {version: target, target: version}
        return pairs

    def deed(self, version: int) -> Deed:
        return self.deeds[version - 2]

    def in_the_way(self, version: int) -> bool:
        later = range(version + 1, len(self.deeds) + 2)
        pairs = self.cancelled()
        standing = [each for each in later if pairs.get(each, 0) <= version or each not in pairs]
        return any(self.deed(each).slot == self.deed(version).slot for each in standing)

    def state(self) -> State:
        members: State = {}
        slots: list[tuple[Any, str]] = []
        pairs = self.cancelled()
        for version, deed in enumerate(self.deeds, 2):
            if version in pairs or deed.target is not None:
                continue
            if deed.kind == "set":
                members[deed.slot] = deed.value
            elif deed.kind == "insert":
                slots.append((deed.slot, deed.value))
            else:
                rest = [each for each in slots if each[0] != deed.slot]
                slots = rest if deed.kind == "remove" else [*rest, (deed.slot, deed.value)]
        return {**members, "l": sorted(value for _, value in slots)}


class World:
    """The story and its model, led through the same deeds."""

    def __init__(self) -> None:
        self.story = Story({"l": []})
        self.model = Model()
        self.slots: list[Any] = []  # of the elements of the stored list, in order
        self.fresh = (f"v{number}" for number in count())

    def do(self, kind: str, number: int) -> None:
        value, elements = next(self.fresh), list(self.story.stored["l"])
        members = self.story.without_id()
        if kind == "set":
            slot = "abc"[number % 3]
            self._told({**members, slot: value}, Deed("set", slot, value))
        elif kind == "insert":
            place = number % (len(elements) + 1)
            elements.insert(place, value)
            self._told({**members, "l": elements}, Deed("insert", value, value))
        elif elements:
            place = number % len(elements)
            slot = self.slot_of(elements[place])
            elements[place : place + 1] = [value] if kind == "replace" else []
            self._told({**members, "l": elements}, Deed(kind, slot, value))

    def slot_of(self, value: str) -> Any:
        return next(deed.slot for deed in self.model.deeds if deed.value == value)

    def _told(self, state: State, deed: Deed) -> None:
        self.model.deeds.append(deed)
        self.story.become(state)

    def undo(self, number: int) -> None:
        if not self.model.deeds:
            return
        version = number % len(self.model.deeds) + 2
        deed, pairs = self.model.deed(version), self.model.cancelled()
        found = self.story.plan(version)
        if pairs.get(version, 0) > version:
            assert same(found.state, self.story.stored)
        elif self.model.in_the_way(version):
            assert found.touches
        else:
            assert () == found.touches
            undo = Deed("undo", deed.slot, target=version)
            self.model.deeds.append(undo)
            self.story.become(found.state, undo_of=version, operation=Operation.RESTORED)
        self.check()

    def check(self) -> None:
        stored = self.story.without_id()
        assert self.model.state() == {**stored, "l": sorted(stored["l"])}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "insert", "replace", "remove", "undo", "undo"]),
            st.integers(0, 50),
        ),
        max_size=24,
    )
)
def test_deeds_and_undos_in_any_order_come_to_what_the_deeds_alone_come_to(steps):
    world = World()
    for kind, number in steps:
        if kind == "undo":
            world.undo(number)
        else:
            world.do(kind, number)
        world.check()


def test_touches_are_told_once():
    story = Story({"a": 1}, {"a": 2}, {"a": 3}, {"a": 4})

    assert (Touch(("a",), 3),) == story.plan(2).touches
