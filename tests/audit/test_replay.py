"""Events fold into states."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzz.audit.diff import ABSENT, Change, changes_between
from bzz.audit.errors import ReplayError
from bzz.audit.replay import after, fold
from bzz.values import same
from tests.audit.test_events import EVENT
from tests.bson_values import states


def event(*changes, gone=False):
    return replace(EVENT, changes=changes, gone=gone)


CREATED = event(Change(("name",), ABSENT, "a"))
UPDATED = event(Change(("name",), "a", "b"))
DELETED = event(Change(("name",), "b", ABSENT), gone=True)


def test_no_events_are_no_document():
    assert fold([]) is None


@pytest.mark.parametrize(
    ("events", "state"),
    [
        pytest.param([CREATED], {"_id": 1, "name": "a"}, id="created"),
        pytest.param([CREATED, UPDATED], {"_id": 1, "name": "b"}, id="updated"),
        pytest.param([CREATED, UPDATED, DELETED], None, id="deleted"),
        pytest.param([CREATED, UPDATED, DELETED, CREATED], {"_id": 1, "name": "a"}, id="again"),
    ],
)
def test_events_fold_into_the_state_after_the_last(events, state):
    assert state == fold(events)


def test_folding_goes_on_from_a_state():
    assert {"_id": 1, "name": "b"} == fold([UPDATED], {"_id": 1, "name": "a"})


def test_the_state_before_is_left_as_it_was():
    before = {"_id": 1, "name": "a"}
    after(UPDATED, before)

    assert {"_id": 1, "name": "a"} == before


def test_an_event_that_does_not_fit_is_an_error():
    with pytest.raises(ReplayError, match="The change of /name does not start from"):
        fold([CREATED, UPDATED, UPDATED])


def test_a_missing_event_is_an_error():
    with pytest.raises(ReplayError):
        fold([UPDATED])


@given(st.lists(st.none() | states, max_size=6))
def test_any_sequence_of_states_is_replayed(wanted):
    wanted = [None if state is None else {**state, "_id": 1} for state in wanted]
    events, before = [], None
    for state in wanted:
        events.append(event(*changes_between(before, state), gone=state is None))
        before = state

    assert same(fold(events), before)
