"""What a unit of work sees of the reads and writes made within it."""

from __future__ import annotations

import uuid
from datetime import datetime

import mongoengine
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from mongoengine import (
    Document,
    DynamicDocument,
    IntField,
    ReferenceField,
    StringField,
    UUIDField,
)
from mongoengine.base.common import _document_registry
from mongoengine.context_managers import switch_collection
from mongoengine.errors import FieldDoesNotExist

from bzz import connection
from bzz.capture import CapturedCollection, watch
from bzz.signals import before_commit
from bzz.source import Source, id_key
from bzz.unit import Unit, current_unit
from tests.house import built, new_database, own_receivers, own_registry, raw


@pytest.fixture(params=["mongod", "mongomock"])
def house(request):
    """A house on either kind of database."""
    request.getfixturevalue("database" if request.param == "mongod" else "mock_database")
    with built() as built_house:
        built_house.track()
        yield built_house


@pytest.fixture
def unit():
    """The current unit of work, without a transaction."""
    new = Unit()
    with new.entered():
        yield new


def seen(unit):
    """What a unit saw: state before and after of each document."""
    unit.reread()
    return [(write.before, write.after) for write in unit.writes()]


# The unit


def test_outside_of_a_unit_there_is_none():
    assert current_unit() is None


def test_within_a_unit_it_is_the_current_one(unit):
    assert unit is current_unit()


def test_a_document_is_seen_once_with_its_first_and_its_last_state(house, unit):
    team = house.Team(name="red").save()
    for name in ("green", "blue"):
        team.name = name
        team.save()

    assert [(None, {"_id": team.pk, "name": "blue"})] == seen(unit)


def test_a_loaded_document_that_is_not_written_is_unchanged(house, unit):
    team_id = raw(house.Team).insert_one({"name": "red"}).inserted_id
    write = unit.load(house.Team, {"_id": team_id})
    unit.reread()

    assert ("red", False) == (write.before["name"], write.changed)


def test_load_gives_none_when_nothing_matches(house, unit):
    assert unit.load(house.Team, {"name": "none"}) is None


def test_find_gives_all_that_match(house, unit):
    raw(house.Team).insert_many([{"name": "red"}, {"name": "red"}, {"name": "blue"}])

    assert ["red", "red"] == [
        write.before["name"] for write in unit.find(house.Team, {"name": "red"})
    ]


def test_a_deleted_document_has_no_state_after(house, unit):
    team_id = raw(house.Team).insert_one({"name": "red"}).inserted_id
    house.Team.objects(pk=team_id).delete()

    assert [({"_id": team_id, "name": "red"}, None)] == seen(unit)


def test_documents_that_nobody_records_or_listens_to_are_not_read(house, unit):
    class Note(Document):
        text = StringField()

    connection.prepare(Note)
    Note(text="a").save()
    Note.objects.update(text="b")

    assert [] == unit.writes()


def test_documents_that_somebody_listens_to_are_seen(house, unit):
    class Note(Document):
        text = StringField()

    before_commit.connect(lambda writes: None, sender=Note, weak=False)
    connection.prepare(Note)
    note = Note(text="a").save()

    assert [(None, {"_id": note.pk, "text": "a"})] == seen(unit)


def test_the_instance_of_a_write_is_loaded_when_nobody_gave_it(house, unit):
    raw(house.Team).insert_one({"name": "red"})
    house.Team.objects.update(name="blue")
    (write,) = unit.writes()
    unit.reread()

    assert ("blue", house.Team) == (write.instance.name, type(write.instance))


def test_the_instance_of_a_deleted_document_is_what_it_was(house, unit):
    raw(house.Team).insert_one({"name": "red"})
    house.Team.objects.delete()
    (write,) = unit.writes()
    unit.reread()

    assert "red" == write.instance.name


def test_a_write_that_came_to_nothing_has_no_instance(house, unit):
    house.Team(name="red").save().delete()
    (write,) = unit.writes()
    unit.reread()

    assert write.instance is None


@pytest.mark.parametrize(
    ("work", "kinds"),
    [
        pytest.param(lambda team: team(name="a").save(), ["create"], id="create"),
        pytest.param(lambda team: team.objects(name="red").update(name="b"), ["update"], id="up"),
        pytest.param(lambda team: team.objects(name="red").delete(), ["delete"], id="delete"),
        pytest.param(lambda team: team.objects(name="red").update(name="red"), [], id="nothing"),
    ],
)
def test_operations_are_inferred_from_what_changed(house, unit, work, kinds):
    raw(house.Team).insert_one({"name": "red"})
    work(house.Team)
    unit.reread()
    unit.infer_operations()

    assert kinds == [kind for kind, _ in unit.operations]


def test_the_head_of_a_document_is_read_once(house, monkeypatch):
    team = house.make(house.Team, name="red")
    unit = Unit()

    assert 1 == unit.head(house.Team, team.pk).version
    monkeypatch.setattr(type(house.auditor), "heads", lambda *_: pytest.fail("It was read again."))
    assert 1 == unit.head(house.Team, team.pk).version


def test_heads_of_many_documents_come_in_the_order_of_their_ids(house):
    teams = [house.make(house.Team, name=name) for name in "ab"]
    for _ in range(2):
        house.write(lambda: teams[1].modify(name=teams[1].name + "x"))
    unknown = ObjectId()
    heads = house.auditor.heads(None, house.Team, [teams[1].pk, unknown, teams[0].pk])

    assert [3, None, 1] == [head and head.version for head in heads]


def test_a_model_without_a_recorder_has_no_heads(house):
    class Note(Document):
        text = StringField()

    assert Unit().head(Note, ObjectId()) is None


# Sources


def test_a_state_is_matched_as_the_database_does(house):
    source = Source.of(house.User)
    state = {"_id": 1, "name": "Ana", "tags": ["a", "b"], "$odd": {"a.b": 1}}

    assert [True, True, False] == [
        source.matches(state, query) for query in ({"tags": "b"}, {}, {"name": "Eva"})
    ]


def test_a_state_is_loaded_as_mongoengine_would(house):
    state = {"_id": ObjectId(), "name": "Ana", "home": {"street": "x", "c": "y"}}
    user = Source.of(house.User).load(state)

    assert ("Ana", "y", False) == (user.name, user.home.city, user._created)


def test_a_state_that_its_model_cannot_hold_is_not_loaded(house):
    with pytest.raises(FieldDoesNotExist):
        Source.of(house.User).load({"_id": 1, "odd": 1})


def test_loading_leaves_the_state_as_it_was(house):
    state = {"_id": ObjectId(), "name": "Ana", "tags": ["a"]}
    user = Source.of(house.User).load(state)
    user.tags.append("b")

    assert ["a"] == state["tags"]


def test_a_class_that_is_gone_falls_back_to_the_one_that_was_asked(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        pass

    source = Source.of(Animal)

    assert Dog is source.class_of({"_cls": "Animal.Dog"})
    _document_registry.pop("Animal.Dog")
    assert Animal is source.class_of({"_cls": "Animal.Dog"})


@pytest.mark.parametrize("state", [None, {}, {"_cls": 1}, {"_cls": "Team"}, {"_cls": "User"}])
def test_without_inheritance_a_class_in_the_state_says_nothing(house, state):
    assert house.Team is Source.of(house.Team).class_of(state)


# Ids


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(1, 1.0, True, id="1 and 1.0"),
        pytest.param(1, Int64(1), True, id="1 and a long"),
        pytest.param(1, True, False, id="1 and true"),
        pytest.param(1, "1", False, id="1 and text"),
        pytest.param(1.5, 1, False, id="a fraction"),
        pytest.param(float("inf"), float("-inf"), False, id="infinities"),
        pytest.param(float("nan"), float("nan"), True, id="not numbers"),
        pytest.param({"a": 1}, {"a": 1}, True, id="objects"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, False, id="objects in another order"),
        pytest.param(Decimal128("1"), 1, False, id="decimal"),
        pytest.param(datetime(2026, 1, 1), datetime(2026, 1, 1), True, id="dates"),
    ],
)
def test_ids_are_told_apart_as_the_database_does(one, other, same):
    assert same == (id_key(one) == id_key(other))


@pytest.mark.parametrize(("representation", "subtype"), [("standard", 4), ("pythonLegacy", 3)])
def test_a_uuid_is_the_id_that_its_connection_makes_of_it(mongod_uri, representation, subtype):
    with new_database(mongod_uri) as name, own_registry():
        uri = mongod_uri.replace("=standard", f"={representation}")
        mongoengine.connect(name, host=uri)

        class Thing(Document):
            key = UUIDField(primary_key=True)

        exact = Source.of(Thing).exact(uuid.UUID(int=5))

        assert Binary(uuid.UUID(int=5).bytes, subtype) == exact
        assert Source.of(Thing).key(exact) == Source.of(Thing).key(uuid.UUID(int=5))


# The collection in the place of a class's own


def test_outside_of_a_unit_every_call_goes_through_unchanged(house):
    collection = house.Team._get_collection()
    collection.insert_one({"name": "a"})

    assert (1, "team") == (collection.count_documents({}), collection.name)


def test_a_captured_collection_equals_the_one_it_captures(house):
    captured = house.Team._get_collection()

    assert captured == captured._collection
    assert captured == captured.with_options()
    assert captured != house.User._get_collection()
    assert 1 == len({captured, captured.with_options()})
    assert repr(captured).startswith("CapturedCollection(")


def test_sub_collections_are_the_drivers(house):
    assert "team.sub" == house.Team._get_collection()["sub"].name


def test_a_watched_class_gives_out_captured_collections_before_it_is_prepared(mock_database):
    with own_registry():

        class Note(Document):
            text = StringField()

        watch(Note)
        watch(Note)

        assert isinstance(Note._get_collection(), CapturedCollection)
        assert not Note._get_collection().prepared


def test_so_do_the_classes_that_inherit_from_it(mock_database):
    with own_registry():

        class Animal(Document):
            meta = {"allow_inheritance": True}

        watch(Animal)

        class Dog(Animal):
            pass

        assert Dog is Dog._get_collection().source.model


def test_another_collection_is_not_the_models(house, unit):
    with switch_collection(house.Team, "archive") as team:
        team(name="old").save()

    assert [] == unit.writes()


def test_a_self_reference_is_found_through_captured_collections(house):
    class Node(Document):
        parent = ReferenceField("self")
        n = IntField()

    house.auditor.track(Node)
    root = house.make(Node, n=1)
    leaf = house.make(Node, n=2, parent=root)

    assert 1 == Node.objects.get(pk=leaf.pk).parent.n


def test_dynamic_documents_are_captured(house, unit):
    class Thing(DynamicDocument):
        pass

    with own_receivers():
        house.auditor.track(Thing)
        house.auditor.prepare()
        thing = Thing(colour="red").save()

    assert [(None, {"_id": thing.pk, "colour": "red"})] == seen(unit)
