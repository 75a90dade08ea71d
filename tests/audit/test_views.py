"""Events and past states as JSON-ready values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import Decimal128, Int64, ObjectId
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    StringField,
)

from bzz.audit import Actor, Change, Event, Operation, Request
from bzz.audit.views import show_actor, show_changes, show_event
from bzz.schema import schema_of
from bzz.values import ABSENT
from bzz.work import show_state
from tests.house import own_registry

KEY = ObjectId("0123456789abcdef01234567")
TIME = datetime(2026, 5, 1, 12, 30, 15, 123000, tzinfo=UTC)


@pytest.fixture
def model(mock_database):
    with own_registry():

        class Part(EmbeddedDocument):
            size = IntField(db_field="s")

        class Item(Document):
            name = StringField(db_field="n")
            parts = ListField(EmbeddedDocumentField(Part), db_field="p")

        yield Item


def event(**facts):
    bare = {
        "id": KEY,
        "stream": "item",
        "model": "item",
        "document": KEY,
        "version": 1,
        "operation": Operation.CREATED,
        "time": TIME,
        "changes": (),
    }
    return Event(**bare | facts)


def test_an_event_without_facts_has_nulls(model):
    assert {
        "id": str(KEY),
        "model": "item",
        "document": str(KEY),
        "version": 1,
        "operation": "created",
        "time": "2026-05-01T12:30:15.123Z",
        "actor": {"kind": "system", "id": None},
        "reason": None,
        "correlation": None,
        "request": None,
        "changes": [],
        "restored_from": None,
        "undo_of": None,
        "position": None,
    } == show_event(event(), schema_of(model))


def test_an_event_with_facts_has_them(model):
    shown = show_event(
        event(
            actor=Actor("user", "ana"),
            reason="why",
            correlation="c",
            request=Request("PUT", "/item/1/", None),
            operation=Operation.RESTORED,
            restored_from=3,
            undo_of=4,
            position=5,
        ),
        schema_of(model),
    )

    assert {"kind": "user", "id": "ana"} == shown["actor"]
    assert ("why", "c") == (shown["reason"], shown["correlation"])
    assert {"method": "PUT", "path": "/item/1/", "address": None} == shown["request"]
    assert (3, 4, 5) == (shown["restored_from"], shown["undo_of"], shown["position"])


def test_masked_changes_have_a_path_and_no_values(model):
    shown = show_event(event(masked=("/n", "/p/0/s")), schema_of(model))

    expected = [{"path": "/name", "masked": True}, {"path": "/parts/0/size", "masked": True}]
    assert expected == shown["changes"]


@pytest.mark.parametrize(
    ("path", "from_", "to", "expected"),
    [
        pytest.param(("n",), "a", "b", {"path": "/name", "from": "a", "to": "b"}, id="both"),
        pytest.param(("n",), ABSENT, "b", {"path": "/name", "to": "b"}, id="absent before"),
        pytest.param(("n",), "a", ABSENT, {"path": "/name", "from": "a"}, id="absent after"),
        pytest.param(("n",), None, "b", {"path": "/name", "from": None, "to": "b"}, id="null"),
        pytest.param(
            ("p", "2", "s"), 1, 2, {"path": "/parts/2/size", "from": 1, "to": 2}, id="deep"
        ),
        pytest.param(("a/b~c",), ABSENT, 1, {"path": "/a~1b~0c", "to": 1}, id="unknown name"),
        pytest.param(
            ("n",),
            Int64(1),
            Decimal128("1.0"),
            {"path": "/name", "from": 1, "to": "1.0"},
            id="types of BSON",
        ),
        pytest.param(
            ("n",), float("nan"), 1.0, {"path": "/name", "from": "NaN", "to": 1.0}, id="NaN"
        ),
    ],
)
def test_a_change_is_shown_under_todays_names(model, path, from_, to, expected):
    assert [expected] == show_changes([Change(path, from_, to)], schema_of(model))


def test_an_actor_has_kind_and_id():
    assert {"kind": "robot", "id": None} == show_actor(Actor("robot"))


def test_a_state_is_shown_as_the_document_that_it_was(model):
    state = {"_id": KEY, "n": "a", "p": [{"s": 1}]}

    expected = {"id": str(KEY), "name": "a", "parts": [{"size": 1}]}
    assert expected == show_state(model, state)


def test_a_state_that_todays_model_cannot_load_is_shown_as_stored(model):
    state = {"_id": KEY, "n": "a", "gone": {"x": Decimal128("1.0")}}

    assert {"id": str(KEY), "name": "a", "gone": {"x": "1.0"}} == show_state(model, state)
