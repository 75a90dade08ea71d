"""Plain saves of one batch go to the database together, and nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import mongoengine
import pytest
from bson import ObjectId
from mongoengine import Document, IntField, NotUniqueError, StringField
from mongoengine.signals import post_save
from pymongo.errors import BulkWriteError

from bzz.deferral import Deferral
from bzz.documents import create, load_document, save
from bzz.errors import Superseded
from bzz.member import Job
from bzz.unit import Unit
from tests.audit.checking import check_histories
from tests.test_commit_lane import (
    account,
    alone,
    balance,
    changing,
    deposit,
    job,
    making,
    together,
    world,
)

__all__ = ["world"]


def stored_with_pymongo(name: str) -> Any:
    return mongoengine.get_db()[name]


def looking(world: Any, look: Callable[[], Any]) -> Job:
    return job(world, lambda unit: look())


# Together -------------------------------------------------------------------------------------


def test_documents_that_are_made_together_are_one_command(world):
    together(world, *(making(world, f"owner {n}") for n in range(6)))

    assert 6 == world.Account.objects.count()
    assert 2 == world.commands["insert"]  # all of them, and their events
    check_histories(world.auditor, world.Account)


def test_what_is_made_and_what_is_changed_is_stored_in_the_order_of_the_members(world):
    ana = account(world, "ana")

    rename = changing(world, ana, lambda each: setattr(each, "owner", "rui"))
    results = together(world, rename, making(world, "ana"), making(world, "eva"))

    assert not [each for each in results if isinstance(each, Exception)]
    assert {"rui", "ana", "eva"} == set(world.Account.objects.distinct("owner"))
    assert 1 == world.commands["commitTransaction"]


def test_a_write_that_is_alone_is_sent_by_its_own_save(world, monkeypatch):
    monkeypatch.delattr(Deferral, "insert_one")

    alone(world, making(world, "ana"))

    assert 1 == world.Account.objects.count()


def test_what_is_saved_is_what_it_was_when_it_was_saved(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def work(unit: Unit) -> None:
        write = load_document(unit, world.Account, {"_id": ana})
        write.instance.log = ["saved"]
        save(unit, write, ["log"])
        write.instance.log.append("not saved")

    together(world, job(world, work, ana), deposit(world, rui))

    assert ["saved"] == world.Account.objects.get(pk=ana).log


# Nobody can tell --------------------------------------------------------------------------------


def test_a_query_of_a_later_member_finds_what_is_deferred(world):
    keys = [account(world, f"owner {n}") for n in range(3)]
    seen: list[int] = []

    def count() -> None:
        seen.append(world.Account.objects(balance=1).count())

    together(
        world, deposit(world, keys[0]), deposit(world, keys[1]), looking(world, count),
        deposit(world, keys[2]),
    )  # fmt: skip

    assert [2] == seen
    assert 2 == world.commands["update"]


def test_an_update_of_a_later_member_meets_what_is_deferred(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def pay() -> None:
        world.Account.objects(balance=1).update(inc__balance=10)

    together(world, deposit(world, ana), looking(world, pay), deposit(world, rui))

    assert (11, 1) == (balance(world, ana), balance(world, rui))
    check_histories(world.auditor, world.Account)


def test_a_later_member_that_loads_a_document_meets_what_is_deferred(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def load(unit: Unit) -> int:
        write = load_document(unit, world.Account, {"_id": ana})
        balance: int = write.instance.balance
        return balance

    results = together(world, deposit(world, ana), deposit(world, rui), job(world, load))

    assert 1 == results[-1]


def test_an_insert_of_a_later_member_comes_after_what_is_deferred(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def insert() -> None:
        world.Account.objects.insert([world.Account(owner="ana"), world.Account(owner="eva")])

    rename = changing(world, ana, lambda each: setattr(each, "owner", "ana maria"))
    results = together(world, rename, looking(world, insert), deposit(world, rui))

    assert not [each for each in results if isinstance(each, Exception)]
    assert 1 == world.commands["commitTransaction"]


def test_code_of_a_model_sees_with_pymongo_what_is_deferred(world):
    seen: list[int] = []

    class Curious(Document):
        name = StringField()

        def clean(self) -> None:
            seen.append(stored_with_pymongo("account").count_documents({"balance": 1}))

    world.auditor.track(Curious)
    world.auditor.prepare()
    ana, rui = account(world, "ana"), account(world, "rui")
    look = job(
        world,
        lambda unit: create(unit, Curious(name="who")),
        models=frozenset([Curious]),
    )

    together(world, deposit(world, ana), look, deposit(world, rui))

    assert [1] == seen


def test_a_receiver_of_post_save_sees_with_pymongo_what_was_saved(world):
    seen: list[int] = []

    def look(sender: Any, document: Any, **more: Any) -> None:
        seen.append(stored_with_pymongo("account").find_one({"_id": document.pk})["balance"])

    ana, rui = account(world, "ana"), account(world, "rui")
    post_save.connect(look, sender=world.Account)
    try:
        together(world, deposit(world, ana), deposit(world, rui))
    finally:
        post_save.disconnect(look, sender=world.Account)

    assert [1, 1] == seen


# Errors -----------------------------------------------------------------------------------------


def test_a_unique_clash_says_what_it_says_to_a_write_that_is_alone(world):
    account(world, "taken")
    keys = [account(world, f"owner {n}") for n in range(3)]
    own = ObjectId()

    def clash() -> Job:
        return job(world, lambda unit: create(unit, world.Account(id=own, owner="taken")))

    with pytest.raises(NotUniqueError) as expected:
        alone(world, clash())
    results = together(world, *(deposit(world, pk) for pk in keys), clash())

    assert NotUniqueError is type(results[-1])
    assert str(expected.value) == str(results[-1])
    assert 2 == world.commands["abortTransaction"]  # with the others, who run again, and alone
    assert [1, 1, 1] == [balance(world, pk) for pk in keys]


def test_a_clash_that_comes_through_the_code_of_another_member_is_not_put_down_to_it(world):
    account(world, "taken")
    ana = account(world, "ana")

    def count() -> None:
        with suppress(Exception):
            world.Account.objects.count()

    results = together(
        world, making(world, "taken"), looking(world, count), deposit(world, ana)
    )  # fmt: skip

    assert NotUniqueError is type(results[0])
    assert [None, ana] == [results[1], results[2].pk]
    assert 1 == balance(world, ana)
    check_histories(world.auditor, world.Account)


def test_what_cannot_be_encoded_is_put_down_to_its_own_member(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    results = together(world, deposit(world, ana, 2**70), deposit(world, rui))

    assert OverflowError is type(results[0])
    assert (0, 1) == (balance(world, ana), balance(world, rui))


def test_a_document_that_is_too_large_is_put_down_to_its_own_member(world):
    rui = account(world, "rui")

    results = together(world, deposit(world, rui), making(world, "x" * (17 * 1024 * 1024)))

    assert "TooLarge" == type(results[1]).__name__
    assert 1 == balance(world, rui)


def test_a_document_that_another_process_holds_leaves_the_others_alone(world):
    keys = [account(world, f"owner {n}") for n in range(4)]
    with world.client.start_session() as session, session.start_transaction():
        collection = world.Account._get_collection()
        collection.update_one({"_id": keys[2]}, {"$inc": {"balance": 50}}, session=session)

        def let_go() -> None:
            if world.commands["abortTransaction"] == 2:  # together, and one by one
                session.commit_transaction()

        results = together(
            world, *(deposit(world, pk) for pk in keys), looking(world, let_go)
        )  # fmt: skip

    assert keys == [each.pk for each in results[:-1]]
    assert [1, 1, 51, 1] == [balance(world, pk) for pk in keys]
    check_histories(world.auditor, world.Account)


# The parts --------------------------------------------------------------------------------------


@pytest.fixture
def things(world) -> Any:
    class Thing(Document):
        number = IntField(unique=True)

    Thing.ensure_indexes()
    return Thing._get_collection()


def test_nothing_is_sent_before_it_has_to_be(world, things):
    with world.client.start_session() as session:
        deferral = Deferral(session)
        result = deferral.insert_one(things, {"number": 1}, "me")
        assert 0 == things.count_documents({})

        deferral.send()
        deferral.send()

    assert [result.inserted_id] == [each["_id"] for each in things.find()]


def test_a_refusal_names_its_owner(world, things):
    with world.client.start_session() as session:
        deferral = Deferral(session)
        deferral.insert_one(things, {"number": 1}, "first")
        deferral.insert_one(things, {"number": 1}, "second")
        with pytest.raises(BulkWriteError) as error:
            deferral.send()

    assert ("second", error.value) == (deferral.at_fault, deferral.failure)


def test_an_update_that_meets_nothing_is_no_update(world, things):
    with world.client.start_session() as session:
        deferral = Deferral(session)
        assert (
            1
            == deferral.update_one(things, {"_id": 1}, {"$set": {"number": 1}}, "me").matched_count
        )
        with pytest.raises(Superseded):
            deferral.send()

    assert deferral.at_fault is None
