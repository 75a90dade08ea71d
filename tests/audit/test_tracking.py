"""The options of one model: stream, hidden fields, schema."""

from __future__ import annotations

import pytest
from mongoengine import (
    DictField,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    ListField,
    StringField,
)

from bzz.audit.tracking import tracked
from bzz.errors import SetupError
from tests.house import own_registry


@pytest.fixture
def member():
    with own_registry():

        class Card(EmbeddedDocument):
            number = StringField(db_field="no")

        class TeamMember(Document):
            name = StringField()
            pin = StringField(db_field="p")
            card = EmbeddedDocumentField(Card, db_field="c")
            cards = ListField(EmbeddedDocumentField(Card))

        yield TeamMember


def test_the_stream_is_named_as_the_collection(member):
    assert "team_member" == tracked(member).stream


def test_a_given_stream_survives_a_rename_of_the_collection(member):
    assert "people" == tracked(member, stream="people").stream


def test_events_show_the_models_resource_name(member):
    assert ("team_member", "people") == (
        tracked(member).name,
        tracked(member, name="people").name,
    )


def test_the_schema_is_1_unless_told(member):
    assert (1, 3) == (tracked(member).schema, tracked(member, schema=3).schema)


@pytest.mark.parametrize(
    ("field", "state", "left"),
    [
        pytest.param("name", {"name": 1, "p": 2}, {"p": 2}, id="plain"),
        pytest.param("pin", {"name": 1, "p": 2}, {"name": 1}, id="stored under another name"),
        pytest.param("card", {"c": {"no": 1}}, {}, id="an embedded document"),
        pytest.param("card.number", {"c": {"no": 1, "x": 2}}, {"c": {"x": 2}}, id="dotted"),
        pytest.param(
            "cards.number", {"cards": [{"no": 1, "x": 2}]}, {"cards": [{"x": 2}]}, id="in a list"
        ),
    ],
)
@pytest.mark.parametrize("option", ["exclude", "mask"])
def test_hidden_fields_are_named_in_python_and_hidden_as_stored(member, option, field, state, left):
    assert left == tracked(member, **{option: [field]}).redaction.strip(state)


def test_members_of_dynamic_documents_may_be_hidden():
    with own_registry():

        class Thing(DynamicDocument):
            pass

        assert {} == tracked(Thing, exclude=["secret"]).redaction.strip({"secret": 1})


@pytest.mark.parametrize("field", ["nmae", "nmae.x"])
def test_a_field_that_is_not_there_is_refused(member, field):
    with pytest.raises(SetupError) as caught:
        tracked(member, exclude=[field])

    assert "TeamMember has no field 'nmae' to hide; it has id, name, pin, card, cards." == str(
        caught.value
    )


def test_a_field_that_an_embedded_document_does_not_have_is_refused(member):
    for field in ("card.nubmer", "cards.nubmer"):
        with pytest.raises(SetupError, match="Card has no field 'nubmer' to hide; it has number"):
            tracked(member, mask=[field])


def test_below_a_map_any_name_may_be_hidden():
    with own_registry():

        class Thing(Document):
            more = DictField()

        assert {"more": {}} == tracked(Thing, mask=["more.x"]).redaction.strip({"more": {"x": 1}})


@pytest.mark.parametrize("field", ["id", "pk"])
def test_the_id_cannot_be_hidden(member, field):
    with pytest.raises(SetupError, match="is the id, by which events find their document; it can"):
        tracked(member, mask=[field])


def test_an_abstract_model_is_refused():
    with own_registry():

        class Base(Document):
            meta = {"abstract": True}

        with pytest.raises(SetupError) as caught:
            tracked(Base)

        assert "Base is abstract: track the classes that inherit from it." == str(caught.value)
