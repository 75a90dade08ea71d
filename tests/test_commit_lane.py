"""Many writes in one transaction, each with a fate of its own, on a real mongod."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import mongoengine
import pytest
from mongoengine import Document, IntField, ListField, StringField
from pymongo.monitoring import CommandListener
from tornado.web import HTTPError

from bzz import commit_lane, settling
from bzz.audit import Auditor
from bzz.commit_lane import CommitLane
from bzz.documents import create, delete, load_document, not_found, save
from bzz.errors import Conflict, NotFound, SlowReceiver, Unavailable
from bzz.member import Job
from bzz.signals import before_commit, post_create_instance, post_update_instance
from bzz.transactions import Deadline
from bzz.unit import Unit
from tests.audit.checking import check_histories
from tests.house import own_receivers, own_registry
from tests.support import wait_until


class Commands(CommandListener):
    """Counts the commands that a client sends."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def started(self, event: Any) -> None:
        self.counts[event.command_name] += 1

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


@pytest.fixture
def world(mongod_uri: str) -> Iterator[SimpleNamespace]:
    """An audited model, its lane, and the commands that are sent."""
    mongoengine.disconnect_all()
    name, commands = f"t{uuid.uuid4().hex}", Commands()
    with own_registry(), own_receivers():
        client = mongoengine.connect(name, host=mongod_uri, event_listeners=[commands])

        class Account(Document):
            owner = StringField(unique=True, required=True)
            balance = IntField(default=0)
            log = ListField(StringField())

        class Total(Document):
            name = StringField(primary_key=True)
            count = IntField(default=0)

        auditor = Auditor(work=False)
        auditor.track(Account)
        auditor.track(Total)
        auditor.prepare()
        yield SimpleNamespace(
            Account=Account,
            Total=Total,
            auditor=auditor,
            client=client,
            lane=CommitLane(client),
            commands=commands.counts,
        )
        client.drop_database(name)
        mongoengine.disconnect_all()


def job(world: Any, work: Callable[[Unit], Any], pk: Any = None, **options: Any) -> Job:
    first = None if pk is None else (world.Account, pk)
    return Job(
        work=work,
        finish=lambda unit, value: value,
        models=options.pop("models", frozenset([world.Account])),
        first=first,
        **options,
    )


def making(world: Any, owner: str, **options: Any) -> Job:
    return job(world, lambda unit: create(unit, world.Account(owner=owner)).id, **options)


def changing(world: Any, pk: Any, change: Callable[[Any], Any], **options: Any) -> Job:
    def work(unit: Unit) -> Any:
        write = load_document(unit, world.Account, {"_id": pk})
        if write is None:
            raise not_found(world.Account, pk)
        change(write.instance)
        save(unit, write, write.instance._get_changed_fields())
        return write.instance

    return job(world, work, pk, **options)


def deposit(world: Any, pk: Any, amount: int = 1, **options: Any) -> Job:
    def change(account: Any) -> None:
        account.balance += amount

    return changing(world, pk, change, **options)


def account(world: Any, owner: str, **values: Any) -> Any:
    made = world.Account(owner=owner, **values)
    world.auditor.write(made.save)
    return made.pk


def together(world: Any, *jobs: Job) -> list[Any]:
    """Run jobs that all wait when the lane gets free; what they return or raise, in order."""
    held, go = threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        held.set()
        go.wait(10)

    async def run() -> list[Any]:
        gate = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        runs = [asyncio.ensure_future(world.lane(each)) for each in jobs]
        while world.lane.waiting < len(jobs):
            await asyncio.sleep(0)
        world.commands.clear()
        go.set()
        results = await asyncio.gather(*runs, return_exceptions=True)
        await gate
        return results

    return asyncio.run(run())


def alone(world: Any, each: Job) -> Any:
    return asyncio.run(world.lane(each))


def balance(world: Any, pk: Any) -> int:
    return world.Account.objects.get(pk=pk).balance


# Together -----------------------------------------------------------------------------------


def test_a_write_that_is_alone_does_not_wait_for_company(world):
    pk = alone(world, making(world, "ana"))

    assert "ana" == world.Account.objects.get(pk=pk).owner


def test_what_waits_is_committed_in_one_transaction(world):
    keys = [account(world, f"owner {n}") for n in range(8)]

    together(world, *(deposit(world, pk) for pk in keys))

    assert [1] * 8 == [balance(world, pk) for pk in keys]
    # What held the lane did nothing, and so has no commit.
    assert 1 == world.commands["commitTransaction"]
    check_histories(world.auditor, world.Account)


def test_loads_heads_saves_and_events_of_a_batch_are_one_command_each(world):
    keys = [account(world, f"owner {n}") for n in range(8)]

    together(world, *(deposit(world, pk) for pk in keys))

    assert {"find": 2, "aggregate": 1, "update": 1, "insert": 1} == {
        name: world.commands[name] for name in ("find", "aggregate", "update", "insert")
    }


def test_a_batch_has_a_bound(world):
    world.lane = CommitLane(world.client, most=3)
    keys = [account(world, f"owner {n}") for n in range(6)]

    together(world, *(deposit(world, pk) for pk in keys))

    assert 2 == world.commands["commitTransaction"]


def test_a_batch_has_a_bound_in_bytes(world):
    keys = [account(world, f"owner {n}") for n in range(4)]
    big = commit_lane.MOST_BYTES // 2

    together(world, *(deposit(world, pk, size=big) for pk in keys))

    assert 2 == world.commands["commitTransaction"]


def test_writes_to_one_document_see_each_other_in_order(world):
    pk = account(world, "ana")

    def note(word: str) -> Job:
        return changing(world, pk, lambda each: each.log.append(word))

    together(world, *(note(word) for word in "abcdef"))

    assert list("abcdef") == world.Account.objects.get(pk=pk).log
    assert 7 == world.auditor.history(world.Account, pk).last_version()
    check_histories(world.auditor, world.Account)


def test_a_write_after_a_delete_in_its_batch_does_not_find_the_document(world):
    pk = account(world, "ana")

    def remove(unit: Unit) -> None:
        delete(unit, load_document(unit, world.Account, {"_id": pk}))

    _, refused = together(world, job(world, remove, pk), deposit(world, pk))

    assert NotFound is type(refused)


def test_a_document_that_is_made_again_in_one_batch_goes_on_counting(world):
    pk = account(world, "ana")

    def remove(unit: Unit) -> None:
        delete(unit, load_document(unit, world.Account, {"_id": pk}))

    def make(unit: Unit) -> None:
        create(unit, world.Account(id=pk, owner="ana"))

    together(world, job(world, remove, pk), job(world, make), deposit(world, pk))

    told = [each.operation.value for each in world.auditor.history(world.Account, pk).versions()]
    assert ["created", "deleted", "created", "updated"] == told
    check_histories(world.auditor, world.Account)


def test_a_save_that_writes_a_document_of_other_members_is_settled_before_theirs(world):
    keys = [account(world, f"owner {n}") for n in range(5)]
    world.auditor.write(world.Total(name="all").save)

    def count(unit: Unit, pk: Any) -> None:
        write = load_document(unit, world.Account, {"_id": pk})
        write.instance.balance += 1
        save(unit, write, ["balance"])
        total = world.Total.objects.get(pk="all")
        total.count += 1
        total.save()

    together(world, *(job(world, lambda unit, pk=pk: count(unit, pk), pk) for pk in keys))

    changes = [
        (each.from_, each.to)
        for event in list(world.auditor.history(world.Total, "all").versions())[1:]
        for each in event.changes
    ]
    assert [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)] == changes
    check_histories(world.auditor, world.Account)
    check_histories(world.auditor, world.Total)


# Each its own fate ----------------------------------------------------------------------------


def test_what_is_refused_before_its_first_write_leaves_the_batch_alone(world):
    keys = [account(world, f"owner {n}") for n in range(3)]

    def refuse(unit: Unit) -> None:
        raise NotFound("There is nothing.")

    results = together(
        world,
        deposit(world, keys[0]),
        job(world, refuse),
        changing(world, keys[1], lambda each: setattr(each, "owner", None)),
        deposit(world, keys[2]),
    )

    kinds = [type(each).__name__ for each in results]
    assert ["Account", "NotFound", "ValidationError", "Account"] == kinds
    assert (1, 0) == (world.commands["commitTransaction"], world.commands["abortTransaction"])


def test_a_unique_clash_is_put_down_to_the_member_that_has_it(world):
    account(world, "taken")
    keys = [account(world, f"owner {n}") for n in range(4)]

    results = together(
        world,
        deposit(world, keys[0]),
        making(world, "taken"),
        *(deposit(world, pk) for pk in keys[1:]),
    )

    assert "NotUniqueError" == type(results[1]).__name__
    assert [1, 1, 1, 1] == [balance(world, pk) for pk in keys]
    check_histories(world.auditor, world.Account)


def test_two_of_one_batch_that_want_one_unique_value_get_it_once(world):
    results = together(world, making(world, "ana"), making(world, "ana"))

    assert 1 == world.Account.objects(owner="ana").count()
    assert 1 == sum(isinstance(each, Exception) for each in results)


def test_a_receiver_that_raises_takes_its_own_write_alone(world):
    keys = [account(world, f"owner {n}") for n in range(4)]

    def veto(instance: Any) -> None:
        if instance.owner == "owner 2":
            raise HTTPError(409)

    post_update_instance.connect(veto, sender=world.Account, weak=False, atomic=True)
    results = together(world, *(deposit(world, pk) for pk in keys))

    assert [None, None, 409, None] == [getattr(each, "status_code", None) for each in results]
    assert [1, 1, 0, 1] == [balance(world, pk) for pk in keys]
    check_histories(world.auditor, world.Account)


def test_a_receiver_sees_what_it_would_see_if_writes_ran_one_by_one(world):
    seen: list[int] = []

    def count() -> None:
        seen.append(len(world.Account.objects.only("id")))

    post_create_instance.connect(count, sender=world.Account, weak=False, atomic=True)
    together(world, *(making(world, f"owner {n}") for n in range(4)))

    assert [1, 2, 3, 4] == seen[-4:]


def test_a_receiver_of_before_commit_sees_the_writes_of_one_request_at_a_time(world):
    keys = [account(world, f"owner {n}") for n in range(4)]
    seen: list[int] = []
    before_commit.connect(
        lambda writes: seen.append(len(writes)), sender=world.Account, weak=False, atomic=True
    )

    together(world, *(deposit(world, pk) for pk in keys))

    assert [1, 1, 1, 1] == seen


def test_context_variables_of_requests_never_mix(world):
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    seen: dict[str, set[str]] = {}

    def note(instance: Any) -> None:
        seen.setdefault(instance.owner, set()).add(who.get())

    post_create_instance.connect(note, sender=world.Account, weak=False, atomic=True)

    async def request(name: str) -> None:
        who.set(name)
        await world.lane(making(world, name))

    async def requests() -> None:
        await asyncio.gather(*(asyncio.create_task(request(f"r{n}")) for n in range(20)))

    asyncio.run(requests())

    assert {f"r{n}": {f"r{n}"} for n in range(20)} == seen


# Other processes ------------------------------------------------------------------------------


def test_a_document_that_another_process_holds_does_not_hold_up_the_others(world):
    held, free = account(world, "held"), account(world, "free")
    with world.client.start_session() as session, session.start_transaction():
        collection = world.Account._get_collection()
        collection.update_one({"_id": held}, {"$set": {"balance": 50}}, session=session)

        async def run() -> Any:
            stuck = asyncio.ensure_future(world.lane(deposit(world, held, deadline=Deadline(1.0))))
            for _ in range(20):
                await world.lane(deposit(world, free))
            return (await asyncio.gather(stuck, return_exceptions=True))[0]

        outcome = asyncio.run(run())
        session.abort_transaction()

    assert Unavailable is type(outcome)
    assert (0, 20) == (balance(world, held), balance(world, free))


def test_a_write_that_met_another_process_is_repeated_from_what_is_stored(world):
    pk = account(world, "ana")
    session = world.client.start_session()
    session.start_transaction()
    world.Account._get_collection().update_one(
        {"_id": pk}, {"$set": {"balance": 50}}, session=session
    )

    async def run() -> None:
        waiting = asyncio.ensure_future(world.lane(deposit(world, pk)))
        while not world.commands["abortTransaction"]:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(session.commit_transaction)
        await waiting

    world.commands.clear()
    asyncio.run(run())
    session.end_session()

    assert 51 == balance(world, pk)
    operations = [
        each.operation.value for each in world.auditor.history(world.Account, pk).versions()
    ]
    assert ["created", "external", "updated"] == operations


# Deadlines ------------------------------------------------------------------------------------


def test_waiting_counts_against_the_deadline_and_what_is_given_up_never_runs(world):
    pk = account(world, "ana")
    given_up, kept = together_slowly(
        world, deposit(world, pk, deadline=Deadline(0.2)), deposit(world, pk, 10)
    )

    assert Unavailable is type(given_up)
    assert "was not finished within 0.2 s and has been given up; nothing was stored." in str(
        given_up
    )
    assert 10 == balance(world, pk)


def together_slowly(world: Any, *jobs: Job) -> list[Any]:
    """As `together`, while the lane is held until the first job has been given up."""
    held, go = threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        held.set()
        go.wait(10)

    async def run() -> list[Any]:
        gate = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        runs = [asyncio.ensure_future(world.lane(each)) for each in jobs]
        await asyncio.wait({runs[0]})
        go.set()
        results = await asyncio.gather(*runs, return_exceptions=True)
        await gate
        return results

    return asyncio.run(run())


def test_a_full_queue_refuses_with_an_invitation_to_come_back(world):
    world.lane = CommitLane(world.client, longest=2)
    pk = account(world, "ana")
    held, go = threading.Event(), threading.Event()

    def hold(unit: Unit) -> None:
        held.set()
        go.wait(10)

    async def run() -> list[Any]:
        gate = asyncio.ensure_future(world.lane(job(world, hold)))
        await asyncio.to_thread(held.wait, 10)
        runs = [asyncio.ensure_future(world.lane(deposit(world, pk))) for _ in range(3)]
        await asyncio.wait({runs[2]})
        go.set()
        await gate
        return await asyncio.gather(*runs, return_exceptions=True)

    full = asyncio.run(run())[2]

    assert "2 writes are waiting already; nothing was stored. Try again." == str(full)
    assert 1 == full.retry_after
    assert 2 == balance(world, pk)


def test_a_slow_atomic_receiver_is_named_and_its_write_refused(world, monkeypatch):
    monkeypatch.setattr(settling, "RECEIVER_BUDGET", 0.0)

    def slow_one(instance: Any) -> None:
        """Takes longer than nothing."""

    post_create_instance.connect(slow_one, sender=world.Account, weak=False, atomic=True)

    with pytest.raises(SlowReceiver) as raised:
        alone(world, making(world, "ana"))

    assert (
        "test_a_slow_atomic_receiver_is_named_and_its_write_refused.<locals>.slow_one, an atomic "
        "receiver of post_create_instance, took 0.0 s; at most 0 s are allowed, since other "
        "writes wait for it. Connect it without atomic=True. Nothing was stored."
    ) in str(raised.value)
    assert 0 == world.Account.objects.count()


def test_the_lane_goes_on_without_a_receiver_that_hangs(world):
    pk, go = account(world, "ana"), threading.Event()

    def hang(instance: Any) -> None:
        if instance.owner == "hangs":
            go.wait(30)

    post_create_instance.connect(hang, sender=world.Account, weak=False, atomic=True)
    with pytest.raises(Unavailable) as raised:
        alone(world, making(world, "hangs", deadline=Deadline(0.3)))
    alone(world, deposit(world, pk))
    go.set()

    assert "hang, a receiver of post_create_instance, has held up the writes" in str(raised.value)
    assert 1 == balance(world, pk)
    wait_until(lambda: world.Account.objects(owner="hangs").count() == 0)


def test_an_idle_lane_ends_its_thread_and_starts_another(world, monkeypatch):
    monkeypatch.setattr(commit_lane, "IDLE_SECONDS", 0.01)
    alone(world, making(world, "ana"))
    wait_until(lambda: world.lane._thread is None)

    alone(world, making(world, "rui"))

    assert 2 == world.Account.objects.count()


def test_two_writes_that_touch_each_others_documents_both_succeed(world):
    ana, rui = account(world, "ana"), account(world, "rui")

    def also(pk: Any, other: Any) -> Job:
        def work(unit: Unit) -> None:
            write = load_document(unit, world.Account, {"_id": pk})
            write.instance.balance += 1
            save(unit, write, ["balance"])
            neighbour = world.Account.objects.get(pk=other)
            neighbour.balance += 10
            neighbour.save()

        return job(world, work, pk)

    together(world, also(ana, rui), also(rui, ana))

    assert (11, 11) == (balance(world, ana), balance(world, rui))
    check_histories(world.auditor, world.Account)


def test_an_error_that_cannot_be_put_down_to_a_member_is_met_by_running_each_alone(world):
    keys = [account(world, f"owner {n}") for n in range(3)]
    big = ["x" * 1024 * 1024] * 9  # the document fits; its event, with from and to, does not
    fat = account(world, "fat", log=["y" * 1024 * 1024] * 9)

    results = together(
        world,
        *(deposit(world, pk) for pk in keys),
        changing(world, fat, lambda each: setattr(each, "log", big)),
    )

    assert ["Account", "Account", "Account", "TooLarge"] == [type(e).__name__ for e in results]
    assert [1, 1, 1] == [balance(world, pk) for pk in keys]


def test_a_conflict_within_the_batch_is_no_conflict(world):
    pk = account(world, "ana")

    results = together(world, *(deposit(world, pk) for _ in range(16)))

    assert [] == [each for each in results if isinstance(each, Conflict)]
    assert 16 == balance(world, pk)
