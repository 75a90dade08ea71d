"""Adopt: documents from before the audit get the baseline that their history starts from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pytest
from bson import ObjectId
from mongoengine import Document, IntField, StringField, get_db

from bzz.audit import Auditor, Operation
from bzz.audit.events import SYSTEM
from bzz.errors import BadRequest, BzzError, SetupError
from bzz.values import same
from tests.audit.checking import check_histories
from tests.house import elsewhere, failing, own_registry, raw, stored


def old(house, count, **values):
    """Documents from before the audit; their ids."""
    documents = [{"_id": ObjectId(), "name": str(n), **values} for n in range(count)]
    raw(house.User).insert_many(documents)
    return [each["_id"] for each in documents]


def facts(event):
    """All of an event but what differs from one to the next."""
    names = (
        "stream model version operation changes masked actor reason correlation request gone "
        "restored_from undo_of schema"
    )
    return {name: getattr(event, name) for name in names.split()}


def test_each_document_gets_its_baseline(house):
    ids = old(house, 5)
    done = house.auditor.adopt(house.User)

    assert (5, 0, ()) == (done.adopted, done.known, done.refused)
    assert 5 == check_histories(house.auditor, house.User)
    [event] = house.events(ids[0], house.User)
    assert (1, Operation.BASELINE, SYSTEM) == (event.version, event.operation, event.actor)


def test_the_event_is_the_one_that_the_first_change_would_have_made(house):
    house.auditor.track(house.User, exclude=["secret"], mask=["pin"], schema=3)
    ids = old(house, 2, secret="s", pin="1", age=1.5, more={"a": [None]})
    house.write(lambda: house.User.objects(pk=ids[0]).update(name="0!"))
    house.write(lambda: house.User.objects(pk=ids[0]).update(name="0"))
    house.auditor.adopt(house.User)
    mine, recorders = (facts(house.events(each, house.User)[0]) for each in reversed(ids))

    assert len(mine.pop("changes")) == len(recorders.pop("changes"))
    assert recorders == mine
    assert house.auditor.verify().run().ok


def test_a_second_run_finds_nothing_to_do(house):
    old(house, 3)
    house.auditor.adopt(house.User)
    done = house.auditor.adopt(house.User)

    assert (0, 3) == (done.adopted, done.known)


def test_documents_that_have_a_history_are_passed_over(house):
    user = house.make(name="Ana")
    old(house, 2)
    done = house.auditor.adopt(house.User)

    assert (2, 1) == (done.adopted, done.known)
    assert ["created"] == house.told(user)


def test_a_document_that_was_deleted_and_came_back_round_bzz_is_not_adopted(house):
    user = house.make(name="Ana")
    house.write(lambda: house.User.objects(pk=user.pk).delete())
    raw(house.User).insert_one({"_id": user.pk, "name": "Eve"})

    assert 0 == house.auditor.adopt(house.User).adopted
    assert ["created", "deleted"] == house.told(user)


def test_progress_is_told_after_each_batch_and_a_token_goes_on(house):
    old(house, 5)
    told = []
    house.auditor.adopt(house.User, batch=2, progress=told.append)

    assert [2, 4, 5] == [each.adopted for each in told]
    done = house.auditor.adopt(house.User, after=told[1].token)
    assert (0, 1) == (done.adopted, done.known)


def test_an_adoption_that_was_cut_off_is_finished_by_the_next(house):
    ids = old(house, 5)

    def stop(done):
        if done.adopted == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        house.auditor.adopt(house.User, batch=2, progress=stop)
    done = house.auditor.adopt(house.User)

    assert (1, 4) == (done.adopted, done.known)
    assert len(ids) == check_histories(house.auditor, house.User)


def test_a_batch_ends_before_its_transaction_grows_large(house, monkeypatch):
    monkeypatch.setattr("bzz.audit.adopting.BATCH_BYTES", 100)
    old(house, 7, note="x" * 60)

    assert 7 == house.auditor.adopt(house.User).adopted
    assert 7 == check_histories(house.auditor, house.User)


def test_a_document_that_no_event_can_hold_is_named_and_the_others_are_adopted(house):
    ids = old(house, 4)
    raw(house.User).insert_one({"_id": "large", "name": "x" * (16 * 1024 * 1024 - 100)})
    done = house.auditor.adopt(house.User)

    assert (4, ("large",)) == (done.adopted, done.refused)
    assert all(house.events(each, house.User) for each in ids)


def test_a_transaction_that_fails_for_a_moment_is_run_again(house):
    old(house, 3)
    client = get_db().client
    with failing(
        client, ["commitTransaction"], errorCode=112, errorLabels=["TransientTransactionError"]
    ):
        done = house.auditor.adopt(house.User)

    assert 3 == done.adopted
    assert 3 == check_histories(house.auditor, house.User)


def test_a_document_that_is_written_in_the_meantime_is_skipped(house, monkeypatch):
    ids = old(house, 3)
    store = type(house.auditor.store)
    look, calls = store.heads, []

    def heads(self, stream, wanted, *, session=None):
        found = look(self, stream, wanted, session=session)
        if session is not None and len(wanted) == 3 and not calls:
            calls.append(1)
            elsewhere(lambda: house.write(lambda: house.User.objects(pk=ids[1]).update(name="new")))
        return found

    monkeypatch.setattr(store, "heads", heads)
    done = house.auditor.adopt(house.User)

    assert (2, 1) == (done.adopted, done.known)
    assert ["baseline", "updated"] == [e.operation.value for e in house.events(ids[1], house.User)]


def test_an_adoption_while_writers_go_on_leaves_every_history_whole(house):
    ids = old(house, 60)
    stop = threading.Event()

    def keep_writing(number):
        done = 0
        while not stop.is_set() and done < 40:
            key = ids[(done * 11 + number * 20) % len(ids)]
            house.write(lambda: house.User.objects(pk=key).update(inc__age=1))
            if done % 10 == 9:
                house.write(lambda: house.User.objects(pk=key).delete())
            house.make(name="new")
            done += 1

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(keep_writing, number) for number in range(3)]
        adopters = [pool.submit(house.auditor.adopt, house.User, batch=size) for size in (7, 20)]
        for each in [*adopters, *writers]:
            each.result()
    stop.set()

    assert check_histories(house.auditor, house.User)
    assert house.auditor.verify(house.User).run().ok


def test_documents_of_a_family_are_adopted_with_their_own_options(house):
    class Animal(Document):
        meta = {"allow_inheritance": True}
        name = StringField()

    class Dog(Animal):
        chip = StringField()

    class Cat(Animal):
        lives = IntField()

    house.track(Animal)
    house.track(Dog, exclude=["chip"])
    raw(Animal).insert_many(
        [
            {"_id": ObjectId(b"d" * 12), "_cls": "Animal.Dog", "chip": "secret"},
            {"_id": ObjectId(b"c" * 12), "_cls": "Animal.Cat", "lives": 9},
            {"_id": ObjectId(b"x" * 12), "name": "x"},
        ]
    )

    assert 1 == house.auditor.adopt(Dog).adopted
    assert 2 == house.auditor.adopt(Animal).adopted
    key = ObjectId(b"d" * 12)
    assert {"_id": key, "_cls": "Animal.Dog"} == house.auditor.history(Dog, key).state_at(1)
    assert house.auditor.verify().run().ok


def test_the_content_of_the_document_is_left_alone(house):
    [key] = old(house, 1, age=1.5)
    before = stored(house.User(pk=key))
    house.auditor.adopt(house.User)

    assert same(before, stored(house.User(pk=key)))
    assert same(before, house.auditor.history(house.User, key).state_at(1))


def test_what_cannot_be_is_refused(house):
    with pytest.raises(SetupError, match="batch is the number of documents of a transaction"):
        house.auditor.adopt(house.User, batch=0)
    with pytest.raises(BadRequest, match="'nothing' is not a place in a run"):
        house.auditor.adopt(house.User, after="nothing")
    with pytest.raises(BzzError, match="An adoption cannot run within auditor.write"):
        house.write(lambda: house.auditor.adopt(house.User))


def test_a_database_of_tests_is_adopted_too(mock_database):
    with own_registry():

        class User(Document):
            name = StringField()

        auditor = Auditor(work=False)
        auditor.track(User)
        mongoengine.get_db()["user"].insert_many([{"name": "a"}, {"name": "b"}])

        assert 2 == auditor.adopt(User, batch=1).adopted
        assert 2 == auditor.adopt(User).known
