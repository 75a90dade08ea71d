"""Events of older code stay readable: upcasters bring their states to today's model."""

from __future__ import annotations

from typing import Any

import pytest
from mongoengine import Document, IntField, StringField, get_db

from bzz import MongoEngineRestHandler
from bzz.audit.errors import UpcastError
from bzz.audit.upcasting import Upcasts
from bzz.errors import SetupError
from tests.house import history_bytes, own_registry, raw
from tests.support import Server


@pytest.fixture
def person(house):
    """A document that code of schema 1 wrote twice, and whose model was changed since.

    Then: one `name`, and an `age` that was a text.  Now: first and last name, a number.
    """

    class Old(Document):
        meta = {"collection": "person"}
        name = StringField()
        age = StringField()

    with own_registry():
        house.auditor.track(Old, stream="people")
        document = house.make(Old, name="Ana Lima", age="41")
        document.age = "42"
        house.write(document.save)
    del house.auditor._tracked[Old]

    class Person(Document):
        first = StringField()
        last = StringField()
        age = IntField()

    house.auditor.track(Person, stream="people", schema=2)
    house.auditor.prepare()
    house.Person = Person
    yield document.pk
    get_db()["person"].drop()


@pytest.fixture
def upcast(house, person):
    @house.auditor.upcast(house.Person, from_schema=1)
    def split(state: dict[str, Any]) -> dict[str, Any]:
        state["first"], state["last"] = state.pop("name").split(" ")
        state["age"] = int(state["age"])
        return state

    return house


def test_an_old_state_is_shown_as_todays_model_would_have_it(upcast, person):
    state = upcast.auditor.history(upcast.Person, person).state_at(1)

    assert {"first": "Ana", "last": "Lima", "age": 41} == {k: state[k] for k in state if k != "_id"}


def test_changes_between_old_states_are_told_in_todays_terms(upcast, person):
    [change] = upcast.auditor.history(upcast.Person, person).changes(1, 2)

    assert (("age",), 41, 42) == (change.path, change.from_, change.to)


def test_the_stored_events_stay_as_they_are(upcast, person):
    before = history_bytes()
    upcast.auditor.history(upcast.Person, person).state_at(2)

    assert before == history_bytes()


def test_a_migration_is_an_event_that_changes_nothing_for_todays_readers(upcast, person):
    raw(upcast.Person).update_one(
        {"_id": person},
        {"$set": {"first": "Ana", "last": "Lima", "age": 42}, "$unset": {"name": 1}},
    )
    document = upcast.Person.objects.get(pk=person)
    document.age = 43
    upcast.write(document.save)
    history = upcast.auditor.history(upcast.Person, person)

    steps = {step.event.operation.value: step for step in history.walk(3)}

    assert ["external", "updated"] == list(steps)
    assert steps["external"].before == steps["external"].after
    assert [] == history.changes(2, 3)


def test_an_old_version_is_restored_in_todays_shape(upcast, person):
    raw(upcast.Person).update_one(
        {"_id": person},
        {"$set": {"first": "A", "last": "L", "age": 1}, "$unset": {"name": 1}},
    )

    upcast.auditor.history(upcast.Person, person).restore(1)

    found = upcast.Person.objects.get(pk=person)
    assert ("Ana", "Lima", 41) == (found.first, found.last, found.age)


def test_a_document_that_was_never_migrated_is_restored_too(upcast, person):
    upcast.auditor.history(upcast.Person, person).restore(1)

    found = upcast.Person.objects.get(pk=person)
    assert ("Ana", "Lima", 41) == (found.first, found.last, found.age)


def test_a_deleted_document_of_old_code_is_seen_by_todays_query(upcast, person):
    def only_limas(model: Any, queryset: Any, instance_id: Any, handler: Any) -> Any:
        return queryset.filter(last="Lima")

    raw(upcast.Person).update_one(
        {"_id": person},
        {"$set": {"first": "Ana", "last": "Lima", "age": 42}, "$unset": {"name": 1}},
    )
    upcast.write(upcast.Person.objects.get(pk=person).delete)
    upcast.Person.get_instance_queryset = staticmethod(only_limas)
    routes = MongoEngineRestHandler.routes_for("mongoengine", upcast.Person, audit=upcast.auditor)
    with Server(routes) as server:
        answer = server.get(f"/person/{person}/history/?order=asc&limit=1")

    assert 200 == answer.status, answer


def test_over_http_old_events_are_told_in_todays_terms(upcast, person):
    routes = MongoEngineRestHandler.routes_for("mongoengine", upcast.Person, audit=upcast.auditor)
    with Server(routes) as server:
        listed = server.get(f"/person/{person}/history/?order=asc").json["items"]
        event = server.get(f"/person/{person}/history/1/?view=event").json
        version = server.get(f"/person/{person}/history/1/").json
        past = server.get(f"/person/{person}/?at=1").json

    created = [
        {"path": "/age", "to": 41},
        {"path": "/first", "to": "Ana"},
        {"path": "/last", "to": "Lima"},
    ]
    assert created == sorted(listed[0]["changes"], key=lambda each: each["path"])
    assert [{"path": "/age", "from": 41, "to": 42}] == listed[1]["changes"]
    assert listed[0]["changes"] == event["changes"]
    assert ("Ana", 41) == (version["first"], version["age"])
    assert version == past


def test_without_an_upcaster_old_states_are_shown_as_they_were_stored(house, person):
    routes = MongoEngineRestHandler.routes_for("mongoengine", house.Person, audit=house.auditor)
    with Server(routes) as server:
        version = server.get(f"/person/{person}/history/1/").json
        listed = server.get(f"/person/{person}/history/").json["items"]

    assert ("Ana Lima", "41") == (version["name"], version["age"])
    assert [{"path": "/age", "from": "41", "to": "42"}] == listed[0]["changes"]


def test_what_an_upcaster_does_to_its_state_stays_there(upcast, person):
    history = upcast.auditor.history(upcast.Person, person)

    assert history.state_at(1) == history.state_at(1)
    assert [1, 2] == [step.event.version for step in history.walk()]


def test_the_options_of_a_model_can_be_set_again_and_keep_its_upcasters(upcast, person):
    upcast.auditor.track(upcast.Person, stream="people", schema=2, mask=["age"])

    state = upcast.auditor.history(upcast.Person, person).state_at(1)

    assert ("Ana", False) == (state["first"], "age" in state)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda state: state["nix"], "raised KeyError('nix')"),
        (lambda state: None, "returned NoneType"),
    ],
)
def test_an_upcaster_that_fails_is_named(house, person, function, why):
    house.auditor.upcast(house.Person, from_schema=1)(function)

    with pytest.raises(UpcastError) as caught:
        house.auditor.history(house.Person, person).state_at(1)

    assert str(caught.value).endswith(
        f"for states of schema 1 {why}; it gets a state and returns it in the next schema."
    )


@pytest.mark.parametrize("version", [0, 2, 3])
def test_an_upcaster_is_for_an_older_schema(house, person, version):
    with pytest.raises(SetupError, match=f"Person has the schema 2, .* not for {version}: track"):
        house.auditor.upcast(house.Person, from_schema=version)


def test_a_schema_has_one_upcaster(upcast):
    with pytest.raises(SetupError, match="Person has an upcaster from schema 1 already"):
        upcast.auditor.upcast(upcast.Person, from_schema=1)(lambda state: state)


def test_a_schema_without_an_upcaster_is_as_the_next_one():
    upcasts = Upcasts()
    upcasts.add(1, lambda state: {**state, "one": True})
    upcasts.add(3, lambda state: {**state, "three": True})

    assert {"_id": 1, "one": True, "three": True} == upcasts.apply({"_id": 1}, 1, 4)
    assert {"_id": 1, "three": True} == upcasts.apply({"_id": 1}, 2, 4)
    assert {"_id": 1} == upcasts.apply({"_id": 1}, 4, 4)


def test_no_document_is_no_document_in_any_schema():
    assert Upcasts().apply(None, 1, 2) is None


def test_an_upcaster_cannot_change_whose_state_it_is():
    upcasts = Upcasts()
    upcasts.add(1, lambda state: {"_id": 2})

    assert {"_id": 1} == upcasts.apply({"_id": 1}, 1, 2)


def test_a_class_that_was_removed_stays_readable(house):
    class Shape(Document):
        meta = {"allow_inheritance": True, "collection": "shape"}
        name = StringField()

    class Circle(Shape):
        radius = IntField()

    house.auditor.track(Shape)
    circle = house.make(Circle, name="c", radius=3)
    square = {**raw(Shape).find_one({"_id": circle.pk}), "_cls": "Shape.Square"}
    raw(Shape).replace_one({"_id": circle.pk}, square)
    house.auditor.history(Shape, circle.pk).restore(1)  # tells of the square on its way
    raw(Shape).replace_one({"_id": circle.pk}, square)
    routes = MongoEngineRestHandler.routes_for("mongoengine", Shape, audit=house.auditor)
    with Server(routes) as server:
        listed = server.get(f"/shape/{circle.pk}/history/?include=state").json["items"]
        version = server.get(f"/shape/{circle.pk}/history/2/").json

    assert [3, 2, 1] == [each["version"] for each in listed]
    assert ("Shape.Square", 3) == (version["_cls"], version["radius"])
    get_db()["shape"].drop()
