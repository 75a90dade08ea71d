"""Events and their parts are values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest
from bson import ObjectId

from bzz.audit.events import ANONYMOUS, SYSTEM, Actor, Context, Event, Operation

EVENT = Event(
    id=ObjectId(),
    stream="users",
    model="user",
    document=1,
    version=1,
    operation=Operation.CREATED,
    time=datetime(2026, 1, 2, tzinfo=UTC),
    changes=(),
)


@pytest.mark.parametrize(
    ("value", "name"),
    [(EVENT, "version"), (Actor("user", "ana"), "id"), (Context(), "reason")],
)
def test_a_fact_cannot_be_changed(value, name):
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 2)


def test_two_events_of_the_same_facts_are_equal():
    assert replace(EVENT) == EVENT
    assert replace(EVENT, version=2) != EVENT


def test_what_is_not_said_is_the_system_without_a_reason():
    assert Context(SYSTEM, None, None, None) == Context()
    assert SYSTEM == EVENT.actor


def test_the_actors_without_an_id_have_kinds():
    assert (Actor("system", None), Actor("anonymous", None)) == (SYSTEM, ANONYMOUS)


def test_operations_are_their_names():
    names = ["created", "updated", "deleted", "restored", "external", "baseline", "erased"]

    assert names == [*Operation]
