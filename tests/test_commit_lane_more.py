"""The commit lane where members of a batch meet each other's code, errors and ends."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from contextlib import suppress
from typing import Any

import mongoengine
import pytest
from bson import ObjectId
from mongoengine import Document, IntField, ListField, StringField
from pymongo.errors import DuplicateKeyError, InvalidOperation
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler
from bzz.documents import create, load_document, save
from bzz.errors import Gone, Unavailable, Undecided, Unrecorded
from bzz.member import Job, Member
from bzz.schema import schema_of
from bzz.signals import before_commit, post_create_instance, post_update_instance
from bzz.targets import parse_target
from bzz.transactions import Deadline
from bzz.unit import Unit
from bzz.work import Worker
from tests.audit.checking import check_histories
from tests.house import failing
from tests.support import Server, wait_until
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


# What members know of each other's documents -------------------------------------------------


def test_what_a_receiver_wrote_is_what_the_next_member_loads(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def give(instance: Any) -> None:
        if instance.pk == ana:
            collection = mongoengine.get_db()["account"]
            collection.update_one({"_id": rui}, {"$push": {"log": "a gift"}})

    post_update_instance.connect(give, sender=world.Account, weak=False, atomic=True)
    together(
        world,
        deposit(world, ana),
        changing(world, rui, lambda each: setattr(each, "log", [*each.log, "own"])),
    )

    assert ["a gift", "own"] == world.Account.objects.get(pk=rui).log
    check_histories(world.auditor, world.Account)


def test_what_a_save_wrote_with_pymongo_is_what_the_next_member_loads(world):
    class Generous(Document):
        log = ListField(StringField())
        gives_to = StringField()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            result = super().save(*args, **kwargs)
            if self.gives_to:
                collection = mongoengine.get_db()["generous"]
                other = collection.find_one({"gives_to": {"$exists": False}})
                collection.update_one({"_id": other["_id"]}, {"$push": {"log": "a gift"}})
            return result

    world.auditor.track(Generous)
    world.auditor.prepare()
    ana = Generous(gives_to="rui")
    rui = Generous()
    world.auditor.write(rui.save)
    world.auditor.write(ana.save)

    def note(pk: Any) -> Any:
        def work(unit: Unit) -> None:
            write = load_document(unit, Generous, {"_id": pk})
            write.instance.log = [*write.instance.log, "own"]
            save(unit, write, ["log"])

        return Job(
            work=work,
            finish=lambda unit, value: value,
            models=frozenset([Generous]),
            first=(Generous, pk),
        )

    together(world, note(ana.pk), note(rui.pk))

    assert ["a gift", "a gift", "own"] == Generous.objects.get(pk=rui.pk).log


def test_members_whose_models_nobody_records_see_each_other_in_order(world):
    class Note(Document):
        words = ListField(StringField())
        other = StringField()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            if self.other:
                Note.objects(words="here").update(push__words="from the other")
            return super().save(*args, **kwargs)

    here, there = Note(words=["here"]).save(), Note(words=["there"]).save()
    Note.objects(pk=there.pk).update(set__other="here")

    def note(pk: Any) -> Any:
        def work(unit: Unit) -> None:
            write = load_document(unit, Note, {"_id": pk})
            write.instance.words = [*write.instance.words, "own"]
            save(unit, write, ["words"])

        return Job(
            work=work,
            finish=lambda unit, value: value,
            models=frozenset([Note]),
            first=(Note, pk),
        )

    together(world, note(there.pk), note(here.pk))

    assert ["here", "from the other", "own"] == Note.objects.get(pk=here.pk).words


def test_a_receiver_of_an_inheriting_class_makes_its_members_run_one_by_one(world):
    class Base(Document):
        number = IntField(default=0)
        meta = {"allow_inheritance": True}

    class Special(Base):
        pass

    world.auditor.track(Base)
    world.auditor.prepare()
    made = [Special() for _ in range(3)]
    world.auditor.write(lambda: [each.save() for each in made])
    seen: list[int] = []

    def look() -> None:
        seen.append(Base.objects(number=1).count())

    post_update_instance.connect(look, sender=Special, weak=False, atomic=True)

    def count(pk: Any) -> Any:
        def work(unit: Unit) -> None:
            write = load_document(unit, Base, {"_id": pk})
            write.instance.number = 1
            save(unit, write, ["number"])

        return Job(
            work=work, finish=lambda unit, value: value, models=frozenset([Base]), first=(Base, pk)
        )

    together(world, *(count(each.pk) for each in made))

    assert [1, 2, 3] == seen


# Whose error it is ---------------------------------------------------------------------------


def touching(world: Any, pk: Any, other: Any, *, swallow: bool = False) -> Any:
    """A job that names one document and also writes another."""

    def work(unit: Unit) -> str:
        write = load_document(unit, world.Account, {"_id": pk})
        write.instance.balance += 1
        save(unit, write, ["balance"])
        neighbour = world.Account.objects.get(pk=other)
        neighbour.balance += 10
        try:
            neighbour.save()
        except Exception:
            if not swallow:
                raise
        return "done"

    return job(world, work, pk)


def test_a_member_that_meets_anothers_error_is_not_refused_with_it(world):
    ana, rui = account(world, "ana"), account(world, "rui")
    with before_commit.muted():
        results = together(world, touching(world, ana, rui), deposit(world, rui))

    assert [Unrecorded, Unrecorded] == [type(each) for each in results]
    assert (0, 0) == (balance(world, ana), balance(world, rui))


def test_an_error_of_another_member_that_somebody_swallows_still_counts(world):
    keys = [account(world, name) for name in ("ana", "rui", "eva")]
    refused: list[Any] = []

    def veto(writes: Any) -> None:
        if any(each.id == keys[0] for each in writes) and not refused:
            refused.append(keys[0])
            raise HTTPError(409)

    world.auditor.prepare()
    # Connected to nobody's model, so that members are settled together.
    original = world.auditor._recorder.record

    def record(recorder: Any, tracked: Any, writes: Any) -> None:
        veto(writes)
        original(recorder, tracked, writes)

    world.auditor._recorder.record = record
    results = together(
        world,
        touching(world, keys[0], keys[1]),
        touching(world, keys[2], keys[1], swallow=True),
    )

    assert [] == [each for each in results if each != "done"]
    assert (1, 20, 1) == tuple(balance(world, pk) for pk in keys)
    check_histories(world.auditor, world.Account)


def test_a_swallowed_error_of_the_database_is_not_everybodys(world):
    keys = [account(world, f"owner {n}") for n in range(3)]

    def swallow(unit: Unit) -> None:
        unit.begun = True
        collection = world.client[world.Account._get_db().name]["account"]
        with suppress(DuplicateKeyError):
            collection.insert_one({"_id": keys[0]})

    bad = job(world, swallow, deadline=Deadline(1.0))
    results = together(world, bad, *(deposit(world, pk) for pk in keys))

    assert [1, 1, 1] == [balance(world, pk) for pk in keys]
    assert "an error of the database was caught in it" in str(results[0])
    # Once all together, and from then on nobody waited for the one.
    assert [] == [each for each in results[1:] if isinstance(each, Exception)]


def test_stop_iteration_is_an_error_like_any_other(world):
    def stop(unit: Unit) -> None:
        next(iter([]))

    with pytest.raises(RuntimeError, match="StopIteration"):
        alone(world, job(world, stop, deadline=Deadline(2.0)))


def test_an_id_that_bson_cannot_hold_fails_alone_even_while_documents_are_held(world):
    pk = account(world, "ana")
    world.lane._held[world.Account, b"another"] = float("inf")

    with pytest.raises(OverflowError):
        alone(world, changing(world, 2**70, lambda each: None, deadline=Deadline(2.0)))
    alone(world, deposit(world, pk))

    assert 1 == balance(world, pk)


# Deadlines and commits -------------------------------------------------------------------------


def test_a_commit_is_awaited_as_long_as_anybody_waits_for_it(world):
    ana, rui = account(world, "ana"), account(world, "rui")
    hasty, patient = deposit(world, ana, deadline=Deadline(1.0)), deposit(world, rui)
    with failing(world.client, ["commitTransaction"], blockConnection=True, blockTimeMS=1500):
        results = together(world, hasty, patient)

    assert [Undecided, world.Account] == [type(each) for each in results]
    assert (1, 1) == (balance(world, ana), balance(world, rui))


def test_one_conflict_with_another_process_is_enough_to_leave_a_document_alone(world, monkeypatch):
    pk = account(world, "ana")
    monkeypatch.setattr(Member, "pause", lambda self: 10.0)
    with world.client.start_session() as session, session.start_transaction():
        collection = world.Account._get_collection()
        collection.update_one({"_id": pk}, {"$set": {"balance": 50}}, session=session)

        results = together(world, *(deposit(world, pk, deadline=Deadline(0.5)) for _ in range(8)))
        conflicts = world.commands["abortTransaction"]
        session.abort_transaction()

    assert {"Other writers of the same documents were faster for 0.5 s; nothing was stored."} == {
        str(each) for each in results
    }
    assert 1 == conflicts


# Threads and sessions --------------------------------------------------------------------------


def test_what_outlives_its_transaction_does_not_join_the_next_one(world):
    copies: list[contextvars.Context] = []

    def leak(instance: Any) -> None:
        copies.append(contextvars.copy_context())

    post_create_instance.connect(leak, sender=world.Account, weak=False, atomic=True)
    alone(world, making(world, "ana"))

    def late(unit: Unit) -> None:
        copies[0].run(world.Account.objects.count)

    with pytest.raises(InvalidOperation, match="ended session"):
        alone(world, job(world, late))


def test_a_transaction_whose_end_did_not_arrive_is_ended_by_the_next_one(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def refuse(instance: Any) -> None:
        raise HTTPError(409)

    post_update_instance.connect(refuse, sender=world.Account, weak=False, atomic=True)
    lost = failing(world.client, ["abortTransaction"], times=0, closeConnection=True)
    with lost, pytest.raises(HTTPError):
        alone(world, deposit(world, ana))
    post_update_instance.disconnect(refuse)
    alone(world, deposit(world, rui))

    # Another transaction meets a conflict where the document is locked still.
    collection = world.client[world.Account._get_db().name]["account"]
    with world.client.start_session() as session, session.start_transaction():
        collection.update_one({"_id": ana}, {"$inc": {"balance": 5}}, session=session)

    assert (5, 1) == (balance(world, ana), balance(world, rui))


def hanging(world: Any, go: threading.Event, seconds: float) -> Any:
    def hang(unit: Unit) -> None:
        go.wait(30)

    return job(world, hang, deadline=Deadline(seconds))


def test_those_who_were_with_a_write_that_hangs_are_run_without_it(world):
    pk, go = account(world, "ana"), threading.Event()
    hung, served = together(world, hanging(world, go, 1.0), deposit(world, pk))
    go.set()

    assert "has held up the writes of this process" in str(hung)
    assert (world.Account, 1) == (type(served), balance(world, pk))


def test_those_who_are_to_be_run_alone_are_not_lost_with_a_thread_that_hangs(world):
    account(world, "taken")
    pk, go = account(world, "ana"), threading.Event()
    runs: list[int] = []

    def hang_at_second(unit: Unit) -> None:
        runs.append(1)
        if len(runs) > 1:
            go.wait(30)

    hangs = job(world, hang_at_second, deadline=Deadline(1.0))
    results = together(world, hangs, making(world, "taken"), deposit(world, pk))
    go.set()

    assert ["Unavailable", "NotUniqueError", "Account"] == [type(e).__name__ for e in results]
    assert 1 == balance(world, pk)


def test_a_thread_that_cannot_be_started_fails_one_write_and_not_the_lane(world, monkeypatch):
    pk = account(world, "ana")

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            alone(world, deposit(world, pk))
    alone(world, deposit(world, pk, 10))

    assert 10 == balance(world, pk)


def test_a_lane_that_waits_holds_nothing_of_its_last_batch(world):
    class Heavy:
        """What a request holds."""

    async def run() -> weakref.ref[Heavy]:
        heavy = Heavy()
        await world.lane(making(world, "ana", handler=heavy))
        return weakref.ref(heavy)

    held = asyncio.run(run())

    def is_gone() -> bool:
        gc.collect()
        return held() is None

    wait_until(is_gone)
    assert None is not world.lane._thread


def test_two_event_loops_share_a_lane(world):
    keys = [account(world, f"owner {n}") for n in range(4)]

    def serve(pk: Any) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(world.lane(deposit(world, pk)) for _ in range(5)))

        asyncio.run(all_of_them())

    threads = [threading.Thread(target=serve, args=(pk,)) for pk in keys]
    [each.start() for each in threads]
    [each.join(20) for each in threads]

    assert [5] * 4 == [balance(world, pk) for pk in keys]


def test_a_request_that_is_cancelled_while_it_waits_never_runs(world):
    pk, held, go = account(world, "ana"), threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        held.set()
        go.wait(10)

    async def run() -> None:
        gate = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        cancelled = asyncio.ensure_future(world.lane(deposit(world, pk)))
        while not world.lane.waiting:
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        go.set()
        await gate
        await world.lane(deposit(world, pk, 10))

    asyncio.run(run())

    assert 10 == balance(world, pk)


def test_a_loop_that_is_closed_while_its_write_runs_does_not_end_the_lane(world):
    pk, held, go = account(world, "ana"), threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        held.set()
        go.wait(10)

    async def leave() -> None:
        running = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        running.cancel()

    asyncio.run(leave())
    go.set()
    alone(world, deposit(world, pk))

    assert 1 == balance(world, pk)


def test_code_in_a_member_that_writes_through_the_auditor_joins_it(world):
    pk = account(world, "ana")

    def work(unit: Unit) -> None:
        def add() -> None:
            each = world.Account.objects.get(pk=pk)
            each.balance += 1
            each.save()

        world.auditor.write(add)
        raise HTTPError(409)

    with pytest.raises(HTTPError):
        alone(world, job(world, work))

    assert 0 == balance(world, pk)


def test_a_slow_write_is_not_given_up_because_another_was_in_a_hurry(world):
    ana, rui = account(world, "ana"), account(world, "rui")
    gone = threading.Event()

    def wait(each: Any) -> None:
        gone.wait(10)
        each.balance += 1

    async def run() -> list[Any]:
        held, go = threading.Event(), threading.Event()

        def hold(unit: Unit) -> None:
            held.set()
            go.wait(10)

        gate = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        slow = asyncio.ensure_future(world.lane(changing(world, ana, wait)))
        hasty = asyncio.ensure_future(world.lane(deposit(world, rui, deadline=Deadline(0.3))))
        while world.lane.waiting < 2:
            await asyncio.sleep(0)
        go.set()
        await asyncio.wait({hasty})
        gone.set()
        await gate
        return await asyncio.gather(slow, hasty, return_exceptions=True)

    slow, hasty = asyncio.run(run())

    assert (world.Account, Unavailable) == (type(slow), type(hasty))
    assert (1, 0) == (balance(world, ana), balance(world, rui))


# Which writes are in a transaction ------------------------------------------------------------


def test_a_receiver_of_an_inheriting_class_is_in_a_transaction_for_routes_of_its_base(world):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        pass

    rex = Dog(name="Rex").save()

    def veto(instance: Any) -> None:
        raise HTTPError(409)

    post_update_instance.connect(veto, sender=Dog, weak=False, atomic=True)
    with Server(MongoEngineRestHandler.routes_for("mongoengine", Animal)) as server:
        answer = server.put(f"/animal/{rex.pk}/", {"name": "Rover"})

    assert (409, "Rex") == (answer.status, Dog.objects.get(pk=rex.pk).name)


def test_what_was_made_and_deleted_in_one_batch_is_gone_and_not_unknown(world):
    class Paper(Document):
        title = StringField()

        @classmethod
        def get_instance_queryset(
            cls, model: Any, queryset: Any, instance_id: Any, handler: Any
        ) -> Any:
            return queryset.filter(title="to be seen")

    world.auditor.track(Paper)
    pk = ObjectId()
    target = parse_target(schema_of(Paper), "paper", [str(pk)])

    def paper(work: Any, first: Any = None) -> Job:
        return Job(
            work=work,
            finish=lambda unit, value: value,
            models=frozenset([Paper]),
            first=first,
        )

    results = together(
        world,
        paper(lambda unit: create(unit, Paper(id=pk, title="to be seen"))),
        paper(Worker(target).remove, (Paper, pk)),
        paper(Worker(target).remove, (Paper, pk)),
    )

    assert Gone is type(results[2])
