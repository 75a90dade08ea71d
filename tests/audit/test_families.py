"""Documents of a class that inherits are recorded its own way, through whichever class one asks."""

from __future__ import annotations

import pytest
from mongoengine import Document, IntField, StringField

from bzz import MongoEngineRestHandler
from tests.house import raw, stored
from tests.support import Server


@pytest.fixture
def animals(house):
    """Animals; of dogs, which are animals, the pin is masked."""

    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        pin = StringField()

    class Cat(Animal):
        lives = IntField()

    house.auditor.track(Animal)
    house.auditor.track(Dog, mask=["pin"])
    house.auditor.prepare()
    house.Animal, house.Dog, house.Cat = Animal, Dog, Cat
    yield house
    raw(Animal).drop()


@pytest.fixture
def dog(animals):
    """Versions 1 (a) and 2 (b)."""
    dog = animals.make(animals.Dog, name="a", pin="1234")
    dog.name = "b"
    animals.write(dog.save)
    return dog


@pytest.mark.parametrize(("done", "version"), [("restore", 1), ("undo", 2)])
def test_what_is_masked_of_the_own_class_stays_and_is_not_shown(animals, dog, done, version):
    path = f"/animal/{dog.pk}/history/{version}/{done}/"
    with Server(
        MongoEngineRestHandler.routes_for("mongoengine", animals.Animal, audit=animals.auditor)
    ) as server:
        preview = server.post(path, {"dry_run": True})
        answer = server.post(path, {})

    assert [{"path": "/name", "from": "b", "to": "a"}] == preview.json["changes"]
    assert (201, "a", "1234") == (answer.status, stored(dog)["name"], stored(dog)["pin"])


def test_what_is_masked_of_the_own_class_has_no_blame(animals, dog):
    blames = animals.auditor.history(animals.Animal, dog.pk).blame()

    assert [("_cls",), ("name",)] == [each.path for each in blames]


def test_what_is_masked_of_the_own_class_later_is_in_no_state(animals, dog):
    animals.auditor.track(animals.Dog, mask=["name"])

    assert "name" not in animals.auditor.history(animals.Animal, dog.pk).state_at(1)


def test_a_document_has_its_tag_through_the_class_above_too(animals, dog):
    with Server(
        MongoEngineRestHandler.routes_for("mongoengine", animals.Animal, audit=animals.auditor)
    ) as server:
        answer = server.get(f"/animal/{dog.pk}/")

    assert '"2"' == answer.etag


def test_a_set_of_one_class_leaves_those_beside_it(animals):
    dog = animals.write(animals.Dog(name="d").save, correlation="bad")
    cat = animals.write(animals.Cat(name="c").save, correlation="bad")

    restoration = animals.auditor.restoration(model=animals.Cat, correlation="bad")

    assert (1, 1) == restoration.count()
    assert 1 == restoration.run().documents
    assert ("d", None) == (stored(dog)["name"], stored(cat))


def test_a_set_of_the_class_above_has_those_that_inherit(animals):
    dog = animals.write(animals.Dog(name="d", pin="1").save, correlation="bad")
    cat = animals.write(animals.Cat(name="c").save, correlation="bad")

    animals.auditor.restoration(model=animals.Animal, correlation="bad").run()

    assert [None, None] == [stored(dog), stored(cat)]


def test_a_deleted_document_is_of_the_class_that_it_had(animals):
    dog, cat = animals.make(animals.Dog, name="d"), animals.make(animals.Cat, name="c")
    animals.write(dog.delete, correlation="bad")
    animals.write(cat.delete, correlation="bad")

    animals.auditor.restoration(model=animals.Dog, correlation="bad").run()

    assert ("d", None) == (stored(dog)["name"], stored(cat))


@pytest.mark.parametrize("below", ["?include=state,patch", "1/?view=event", "2/?view=event"])
def test_what_is_masked_of_the_own_class_later_is_in_no_event(animals, dog, below):
    animals.auditor.track(animals.Dog, mask=["pin", "name"])
    with Server(
        MongoEngineRestHandler.routes_for("mongoengine", animals.Animal, audit=animals.auditor)
    ) as server:
        answer = server.get(f"/animal/{dog.pk}/history/{below}")

    assert 200 == answer.status
    assert b"/name" not in answer.body
    assert b'"a"' not in answer.body
