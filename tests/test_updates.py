"""Which fields a write changed, as receivers are told."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from bson import DBRef, Decimal128, Int64, ObjectId
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    GenericEmbeddedDocumentField,
    ListField,
    ReferenceField,
    StringField,
)

from bzz import updates
from bzz.values import Hidden
from tests.house import own_registry

TEAM = ObjectId()


@pytest.fixture
def model() -> Iterator[Any]:
    with own_registry():

        class Home(EmbeddedDocument):
            street = StringField(db_field="s")
            inner = EmbeddedDocumentField("self")

        class User(Document):
            name = StringField(db_field="n")
            home = EmbeddedDocumentField(Home)
            other = GenericEmbeddedDocumentField()
            tags = ListField(StringField())
            team = ReferenceField("self")

        yield User


def fields(model: Any, before: Any, after: Any) -> Any:
    return updates.updated_fields(SimpleNamespace(model=model, before=before, after=after))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"n": "a"}, {"n": "a"}, {}, id="nothing"),
        pytest.param({"n": "a"}, {"n": "b"}, {"name": {"from": "a", "to": "b"}}, id="one"),
        pytest.param({}, {"n": "b"}, {"name": {"from": None, "to": "b"}}, id="new"),
        pytest.param({"n": "a"}, {}, {"name": {"from": "a", "to": None}}, id="gone"),
        pytest.param({}, {"n": None}, {"name": {"from": None, "to": None}}, id="absent to null"),
        pytest.param({"n": 1}, {"n": True}, {"name": {"from": 1, "to": True}}, id="1 to true"),
        pytest.param({"n": 0}, {"n": 0.0}, {"name": {"from": 0, "to": 0.0}}, id="0 to 0.0"),
        pytest.param({"n": 1}, {"n": Int64(1)}, {"name": {"from": 1, "to": 1}}, id="1 to Int64"),
        pytest.param(
            {"n": Decimal128("1.0")},
            {"n": Decimal128("1.00")},
            {"name": {"from": Decimal128("1.0"), "to": Decimal128("1.00")}},
            id="digits",
        ),
        pytest.param(
            {"home": {"s": "a", "inner": {"s": "x"}}},
            {"home": {"s": "b", "inner": {"s": "y"}}},
            {
                "home.street": {"from": "a", "to": "b"},
                "home.inner.street": {"from": "x", "to": "y"},
            },
            id="inside embedded documents",
        ),
        pytest.param(
            {}, {"home": {"s": "b"}}, {"home": {"from": None, "to": {"s": "b"}}}, id="a new one"
        ),
        pytest.param(
            {"other": {"_cls": "Home", "s": "a"}},
            {"other": {"_cls": "Home", "s": "b"}},
            {"other": {"from": {"_cls": "Home", "s": "a"}, "to": {"_cls": "Home", "s": "b"}}},
            id="a generic one, which may change its class",
        ),
        pytest.param(
            {"tags": ["a", "b"]},
            {"tags": ["b"]},
            {"tags": {"from": ["a", "b"], "to": ["b"]}},
            id="a list, whole",
        ),
        pytest.param(
            {},
            {"team": DBRef("user", TEAM)},
            {"team": {"from": None, "to": TEAM}},
            id="a reference",
        ),
        pytest.param(
            {"tags": []},
            {"tags": [DBRef("user", TEAM)]},
            {"tags": {"from": [], "to": [TEAM]}},
            id="a list of references",
        ),
        pytest.param({"x": 1}, {"x": 2}, {"x": {"from": 1, "to": 2}}, id="no field"),
    ],
)
def test_updated_fields(model: Any, before: Any, after: Any, expected: Any) -> None:
    found = fields(model, before, after)

    assert repr(expected) == repr(found)


def test_hidden_values_are_left_out(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = SimpleNamespace(hidden=lambda model: Hidden.of(["n", "home.s"]))
    monkeypatch.setattr(updates, "recorder_of", lambda model: recorder)
    before = {"n": "a", "home": {"s": "a"}, "tags": []}
    after = {"n": "b", "home": {"s": "b"}, "tags": ["x"]}

    assert {"tags": {"from": [], "to": ["x"]}} == fields(model, before, after)
