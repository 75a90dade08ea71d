"""The end of a unit of work: who is called, in which order, and what is refused."""

from __future__ import annotations

import pytest
from bson import DBRef
from mongoengine import Document, StringField

from bzz import connection, signals
from bzz.errors import Unrecorded
from bzz.settling import settle, settled, signal_arguments
from bzz.signals import (
    before_commit,
    post_create_instance,
    post_delete_instance,
    post_update_instance,
)
from bzz.unit import Batch, Unit
from bzz.updates import updated_fields
from tests.house import built, raw


@pytest.fixture
def house(mock_database):
    with built() as built_house:
        built_house.track()
        yield built_house


@pytest.fixture
def told():
    """What receivers saw, in order."""
    return []


def unit_of(house, work, **options):
    """Do something as a settled unit; without a transaction, which settling does not know."""
    unit = Unit(**options)
    with settled(unit):
        work(unit)
    return unit


def create(house, name="Ana"):
    def work(unit):
        unit.announce("create", house.User(name=name).save(force_insert=True))

    return work


def test_atomic_receivers_run_before_before_commit(house, told):
    before_commit.connect(lambda: told.append("commit"), sender=house.User, weak=False)
    post_create_instance.connect(lambda: told.append("created"), weak=False, atomic=True)
    unit_of(house, create(house))

    assert ["created", "commit"] == told


def test_before_commit_is_sent_once_for_all_writes_to_a_model(house, told):
    @before_commit.connect
    def commit(sender, writes):
        told.append((sender.__name__, [(write.before, write.after["name"]) for write in writes]))

    unit_of(
        house,
        lambda unit: (
            house.User(name="Ana").save(),
            house.Team(name="red").save(),
            house.User(name="Eva").save(),
        ),
    )

    assert [("User", [(None, "Ana"), (None, "Eva")]), ("Team", [(None, "red")])] == told


def test_before_commit_sees_what_atomic_receivers_made_of_a_document(house, told):
    @post_create_instance.connect_via(house.User, atomic=True)
    def number(instance):
        instance.age = 42
        instance.save()

    @before_commit.connect_via(house.User)
    def commit(writes):
        told.append(writes[0].after["age"])

    unit_of(house, create(house))

    assert [42] == told


def test_nothing_is_sent_for_what_did_not_change(house, told):
    user = house.make(name="Ana")
    before_commit.connect(lambda: told.append("commit"), sender=house.User, weak=False)
    post_update_instance.connect(lambda: told.append("updated"), weak=False, atomic=True)

    def work(unit):
        write = unit.load(house.User, {"_id": user.pk})
        write.instance.save()
        unit.announce("update", write.instance)

    unit_of(house, work)

    assert [] == told


def test_receivers_after_the_commit_are_not_called_here(house, told):
    post_create_instance.connect(lambda: told.append("created"), weak=False)
    unit_of(house, create(house))

    assert [] == told


def test_neighbours_are_not_announced_unless_all_are(house, told):
    post_create_instance.connect(lambda sender: told.append(sender), weak=False, atomic=True)

    def work(unit):
        house.Team(name="red").save()

    unit_of(house, work)
    unit_of(house, work, announce_all=True)

    assert [house.Team] == told


def test_the_context_of_a_write_is_that_of_its_recorder(house, told):
    context = object()
    before_commit.disconnect(house.auditor._record, sender=house.User)

    @before_commit.connect_via(house.User)
    def commit(writes):
        told.extend(write.context for write in writes)
        writes[0].record(None)

    unit_of(house, create(house), contexts={house.auditor: context})

    assert [context] == told


def test_a_write_that_no_recorder_dealt_with_is_refused(house):
    before_commit.disconnect(house.auditor._record)

    with pytest.raises(Unrecorded) as caught:
        unit_of(house, create(house))

    user_id = raw(house.User).find_one()["_id"]
    assert (
        f"User {user_id} is audited, and its write came to the commit without an event: the "
        "auditor's receiver of before_commit was disconnected or muted, or a receiver of "
        "before_commit wrote the document itself (an atomic receiver may). Nothing was stored."
    ) == str(caught.value)


def test_a_unit_that_nobody_watches_is_not_read_again(mock_database, monkeypatch):
    for each in signals.namespace.values():  # whatever is connected elsewhere
        monkeypatch.setattr(each, "receivers", {})
    with built() as house:
        connection.prepare(house.Team)
        unit = unit_of(house, lambda unit: unit.announce("create", house.Team(name="a").save()))

        assert [False] == [write.fresh for write in unit.writes()]


def test_a_unit_with_a_transaction_is_always_read_again(database):
    class Note(Document):
        text = StringField()

    with built(), database.client.start_session() as session:
        connection.prepare(Note)
        note = Note(text="a").save()
        unit = Unit(Batch(session))
        with unit.entered():
            unit.announce("update", note)
            settle(unit)

        assert [True] == [write.fresh for write in unit.writes()]


@pytest.mark.parametrize(
    ("kind", "signal", "names"),
    [
        ("create", post_create_instance, {"instance", "handler", "event"}),
        ("update", post_update_instance, {"instance", "handler", "event", "updated_fields"}),
        ("delete", post_delete_instance, {"instance", "handler", "event"}),
    ],
)
def test_a_signal_is_sent_with_its_own_arguments(house, kind, signal, names):
    unit = unit_of(house, create(house))
    (write,) = unit.writes()

    assert names == set(signal_arguments(kind, write))
    assert names <= {*signal.arguments}


def test_without_an_event_the_arguments_name_none(house):
    unit = Unit(handler="handler")
    with unit.entered():
        write = unit.announce("create", house.User(name="Ana").save())
        unit.reread()

    assert {"instance", "handler"} == set(signal_arguments("create", write))


# What receivers are told of an update


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"age": 1}, {"age": 2}, {"age": (1, 2)}, id="a field"),
        pytest.param({"age": 1}, {"age": 1.0}, {"age": (1, 1.0)}, id="another type"),
        pytest.param({"age": 1}, {}, {"age": (1, None)}, id="gone"),
        pytest.param({}, {"age": None}, {"age": (None, None)}, id="null"),
        pytest.param(
            {"tags": ["a"]}, {"tags": ["a", "b"]}, {"tags": (["a"], ["a", "b"])}, id="list"
        ),
        pytest.param(
            {"home": {"street": "a", "c": "x"}},
            {"home": {"street": "b", "c": "y"}},
            {"home.street": ("a", "b"), "home.city": ("x", "y")},
            id="within an embedded document",
        ),
        pytest.param(
            {}, {"home": {"c": "x"}}, {"home": (None, {"c": "x"})}, id="an embedded document"
        ),
        pytest.param(
            {"note": {"a": 1}}, {"note": {"a": 2}}, {"note": ({"a": 1}, {"a": 2})}, id="dynamic"
        ),
        pytest.param(
            {"note": [DBRef("team", 1)]}, {"note": DBRef("team", 2)}, {"note": ([1], 2)}, id="ref"
        ),
        pytest.param({"odd": 1}, {"odd": 2}, {"odd": (1, 2)}, id="a member without a field"),
        pytest.param({"age": 1, "name": "x"}, {"name": "x", "age": 1}, {}, id="order"),
    ],
)
def test_updated_fields_are_what_differs_as_stored(house, before, after, expected):
    raw(house.User).insert_one({"_id": 1, **before})
    write = Unit().load(house.User, {"_id": 1})
    write.after = {"_id": 1, **after}

    assert {name: {"from": old, "to": new} for name, (old, new) in expected.items()} == (
        updated_fields(write)
    )


def test_updated_fields_of_a_model_without_a_recorder_are_all_that_differ(mock_database):
    with built() as house:
        raw(house.User).insert_one({"_id": 1, "secret": "a"})
        write = Unit().load(house.User, {"_id": 1})
        write.after = {"_id": 1, "secret": "b"}

        assert {"secret": {"from": "a", "to": "b"}} == updated_fields(write)
