"""Writes in code: `auditor.write`, `auditor.recording`, who and why, many writers at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from pathlib import Path

import mongoengine
import pytest
from bson import ObjectId
from mongoengine import Document, IntField, StringField
from pymongo.errors import InvalidOperation

from bzz.audit import Actor, Auditor
from bzz.audit.errors import ContextError
from bzz.errors import Conflict, SetupError, Unavailable
from bzz.recording import recorder_of
from bzz.signals import (
    before_commit,
    connected,
    post_create_instance,
    post_delete_instance,
    post_update_instance,
)
from bzz.unit import current_unit
from tests.audit.checking import check_histories
from tests.house import (
    built,
    elsewhere,
    history_bytes,
    new_database,
    own_registry,
    raw,
    stored,
)

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def house(database):
    with built() as built_house:
        built_house.track()
        yield built_house


# Values, errors, context


def test_write_returns_the_value_of_the_function(house):
    assert 42 == house.write(lambda: 42)


def test_write_raises_what_the_function_raises(house):
    error = KeyError("mine")

    def work():
        raise error

    with pytest.raises(KeyError) as caught:
        house.write(work)

    assert error is caught.value


@pytest.mark.parametrize(
    ("given", "actor"),
    [
        pytest.param("eva", Actor("user", "eva"), id="string"),
        pytest.param("", Actor("user", ""), id="empty string"),
        pytest.param(("robot", "r2"), Actor("robot", "r2"), id="pair"),
        pytest.param(("robot", 7), Actor("robot", "7"), id="pair with a number"),
        pytest.param(("system", None), Actor("system"), id="pair without id"),
        pytest.param(None, Actor("anonymous"), id="none"),
        pytest.param(ObjectId(b"1" * 12), Actor("user", "31" * 12), id="object id"),
        pytest.param(uuid.UUID(int=1), Actor("user", str(uuid.UUID(int=1))), id="uuid"),
        pytest.param("Zoë 名".encode(), Actor("user", "Zoë 名"), id="bytes"),
        pytest.param(Actor("job", "nightly"), Actor("job", "nightly"), id="actor"),
    ],
)
def test_an_actor_has_many_spellings(house, given, actor):
    user = house.write(lambda: house.User(name="Ana").save(), actor=given)

    assert actor == house.events(user)[0].actor


@pytest.mark.parametrize("given", [True, 1.5, {"id": 1}, ("a", "b", "c"), (1, 2)])
def test_what_is_no_actor_is_refused(house, given):
    with pytest.raises(ContextError, match="The actor is a .*; name it by a string"):
        house.write(lambda: house.User(name="Ana").save(), actor=given)

    assert b"" == history_bytes()


def test_the_actor_of_code_is_the_system(house):
    event = house.events(house.make(name="Ana"))[0]

    assert (Actor("system"), None, None) == (event.actor, event.reason, event.request)
    assert event.correlation


def test_reason_and_correlation_are_those_given(house):
    user = house.write(
        lambda: house.User(name="Ana").save(), reason=" Grüße ", correlation="order-7"
    )
    event = house.events(user)[0]

    assert ("Grüße", "order-7") == (event.reason, event.correlation)


def test_all_events_of_one_write_have_one_correlation(house):
    users = house.write(lambda: [house.User(name=name).save() for name in "ab"])

    assert 1 == len({house.events(user)[0].correlation for user in users})


def test_a_reason_that_is_too_long_is_refused(house):
    with pytest.raises(ContextError, match="The reason has 5000 characters; at most 4096 are"):
        house.write(lambda: None, reason="x" * 5000)


def test_a_nested_write_joins_the_outer_one(house):
    def outer():
        user = house.write(lambda: house.User(name="Ana").save(), actor="inner")
        assert 0 == elsewhere(lambda: raw(house.User).count_documents({}))
        return user

    user = house.write(outer, actor="outer")

    assert ["outer"] == [event.actor.id for event in house.events(user)]


def test_a_nested_recording_joins_the_outer_one(house):
    with pytest.raises(KeyError), house.auditor.recording():
        with house.auditor.recording():
            house.User(name="Ana").save()
        raise KeyError

    assert 0 == raw(house.User).count_documents({})


def round_bzz(document, update):
    """Another writer changes a document."""
    elsewhere(lambda: raw(type(document)).update_one({"_id": document.pk}, update))


def test_write_runs_again_when_another_writer_was_faster(house):
    user = house.make(name="Ana", age=0)
    runs = []

    def work():
        found = house.User.objects.get(pk=user.pk)
        if not runs:
            round_bzz(user, {"$set": {"age": 10}})
        runs.append(found.age)
        found.age += 1
        found.save()

    house.write(work)

    assert ([0, 10], 11) == (runs, stored(user)["age"])
    assert ["created", "external", "updated"] == house.told(user)


def test_an_atomic_receiver_counts_the_call_of_every_attempt(house):
    user = house.make(name="Ana", age=0)
    runs = []

    def receiver(instance):
        if not runs:
            round_bzz(user, {"$set": {"age": 10}})
        runs.append(instance.name)
        house.User.objects(pk=user.pk).update(score=1)

    def work():
        house.User.objects.get(pk=user.pk)
        team = house.Team(name="red").save()
        current_unit().announce("create", team)

    with post_create_instance.connected_to(receiver, sender=house.Team, atomic=True):
        house.write(work)
        [row] = connected(post_create_instance)

    assert (2, 1) == (row.calls, row.failures)


def test_the_auditor_is_listed_among_the_receivers_and_its_calls_are_counted(house):
    house.make(name="Ana")
    [row] = connected(before_commit)

    assert ("bzz.audit.auditor.Auditor._record", "atomic", False) == (
        row.name,
        row.moment,
        row.weak,
    )
    assert {house.User, house.Team, house.Club, house.Order, house.Deed} <= set(row.senders)
    assert (1, 0) == (row.calls, row.failures)


def test_an_error_that_was_being_handled_is_no_reason_to_run_again(house):
    runs = []

    def work():
        runs.append(1)
        raise KeyError("mine")

    user = house.make(name="Ana")
    with pytest.raises(KeyError, match="mine"):
        try:
            with house.auditor.recording():
                house.User.objects.get(pk=user.pk)
                round_bzz(user, {"$set": {"age": 10}})
                house.User.objects(pk=user.pk).update(age=2)
        except Conflict:
            house.write(work)

    assert [1] == runs


def test_an_exception_with_a_timeout_of_its_own_is_raised_as_it_is(house):
    def work():
        raise subprocess.TimeoutExpired("cmd", 3)

    with pytest.raises(subprocess.TimeoutExpired):
        house.write(work)


def test_write_is_done_off_the_loop_by_to_thread(house):
    variable: ContextVar[str] = ContextVar("variable")

    async def main():
        variable.set("seen")
        return await asyncio.to_thread(
            house.auditor.write, lambda: house.User(name=variable.get()).save(), actor="eva"
        )

    user = asyncio.run(main())

    assert ("seen", "eva") == (user.name, house.events(user)[0].actor.id)


def test_write_gives_up_at_its_deadline(database):
    with built(deadline=0.3) as house:
        house.track()
        user = house.make(name="Ana")

        def work():
            house.User.objects.get(pk=user.pk)
            round_bzz(user, {"$inc": {"age": 1}})
            house.User.objects(pk=user.pk).update(name="Eva")

        # Which of its sentences depends on where the last attempt was when the time was up.
        with pytest.raises(Unavailable, match="nothing was stored"):
            house.write(work)

        assert "Ana" == stored(user)["name"]


# Signals


def test_writes_in_code_are_announced_after_the_commit_with_their_events(house):
    told = []

    @post_create_instance.connect_via(house.User)
    def created(instance, event, handler):
        told.append((instance.name, event.version, handler, current_unit()))

    @post_update_instance.connect_via(house.User)
    def updated(instance, updated_fields, event):
        told.append((instance.name, event.version, updated_fields))

    @post_delete_instance.connect_via(house.User)
    async def deleted(instance, event):
        told.append((instance.name, event.version))

    user = house.make(name="Ana")
    house.write(lambda: house.User.objects.update(name="Eva"))
    house.write(user.delete)

    assert [
        ("Ana", 1, None, None),
        ("Eva", 2, {"name": {"from": "Ana", "to": "Eva"}}),
        ("Eva", 3),
    ] == told


def test_nothing_is_announced_of_a_write_that_failed(house):
    told = []

    @post_create_instance.connect_via(house.User)
    def created(instance):
        told.append(instance)

    def work():
        house.User(name="Ana").save()
        raise KeyError

    with pytest.raises(KeyError):
        house.write(work)

    assert [] == told


def test_a_receiver_that_raises_after_the_commit_is_logged_and_the_write_stands(house, caplog):
    @post_create_instance.connect_via(house.User)
    def broken(instance):
        raise ValueError("broken")

    user = house.make(name="Ana")

    assert ["created"] == house.told(user)
    assert ["broken"] == [str(record.exc_info[1]) for record in caplog.records]


def test_a_write_that_blocks_a_running_loop_announces_in_it(house):
    told = []

    @post_create_instance.connect_via(house.User)
    async def created(instance):
        await asyncio.sleep(0)
        told.append(instance.name)

    async def main():
        house.make(name="Ana")
        while not told:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 10))

    assert ["Ana"] == told


# recording()


def test_recording_records_the_block(house):
    with house.auditor.recording(actor="eva", reason="why"):
        user = house.User(name="Ana").save()
        user.age = 3
        user.save()
    (event,) = house.events(user)

    assert ("created", "eva", "why") == (event.operation, event.actor.id, event.reason)


def test_recording_stores_nothing_when_the_block_raises(house):
    with pytest.raises(KeyError, match="mine"), house.auditor.recording():
        house.User(name="Ana").save()
        raise KeyError("mine")

    assert (0, b"") == (raw(house.User).count_documents({}), history_bytes())


def test_recording_is_a_conflict_when_another_writer_was_faster(house):
    user = house.make(name="Ana", age=1)

    with (
        pytest.raises(Conflict, match="Another writer changed the same documents first; nothing"),
        house.auditor.recording(),
    ):
        found = house.User.objects.get(pk=user.pk)
        round_bzz(user, {"$set": {"age": 10}})
        found.age = 2
        found.save()

    assert (10, ["created"]) == (stored(user)["age"], house.told(user))


def test_recording_is_refused_in_a_coroutine(house):
    async def main():
        with house.auditor.recording():
            house.User(name="Ana").save()

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(main())

    assert (
        "auditor.recording() cannot be used in a coroutine: an await inside it would carry the "
        "transaction into other tasks. Use await asyncio.to_thread(auditor.write, function)."
    ) == str(caught.value)


def test_recording_works_on_mongomock(mock_database):
    with built() as house:
        house.track()
        with house.auditor.recording(actor="eva"):
            user = house.User(name="Ana").save()

        assert ["eva"] == [event.actor.id for event in house.events(user)]


def test_a_restore_and_an_undo_work_on_mongomock(mock_database):
    with built() as house:
        house.track()
        user = house.make(name="Ana")
        house.write(lambda: house.User.objects.get(pk=user.pk).modify(age=1))
        house.write(lambda: house.User.objects.get(pk=user.pk).modify(name="Bea"))
        history = house.auditor.history(house.User, user.pk)

        assert 4 == history.undo(2)
        assert ("Bea", None) == (house.User.objects.get().name, house.User.objects.get().age)
        assert 5 == history.restore(2)
        assert ("Ana", 1) == (house.User.objects.get().name, house.User.objects.get().age)


# What leaks, and does not


def test_no_session_stays_bound_after_a_write(house):
    copies = []

    def work():
        house.User(name="Ana").save()
        copies.append(copy_context())

    house.write(work)
    house.User(name="Eva").save()

    assert current_unit() is None
    assert copies[0].run(current_unit) is None
    with pytest.raises(InvalidOperation, match="ended session"):
        copies[0].run(house.User(name="late").save)
    assert 2 == raw(house.User).count_documents({})


def test_a_callback_from_within_a_write_may_write_later(house):
    copies = []
    house.write(lambda: copies.append(copy_context()))
    user = copies[0].run(house.make, name="Ana")

    assert ["created"] == house.told(user)


def test_a_thread_that_a_write_starts_is_in_no_transaction(house):
    def work():
        house.User(name="Ana").save()
        thread = threading.Thread(target=lambda: house.Team(name="red").save())
        thread.start()
        thread.join()
        raise KeyError

    with pytest.raises(KeyError):
        house.write(work)

    assert (0, 1) == tuple(raw(each).count_documents({}) for each in (house.User, house.Team))


# Registration


def test_an_auditor_without_models_says_so(database):
    with pytest.raises(SetupError, match="This auditor has no models: pass audit= to routes_for"):
        Auditor().prepare()


def test_a_model_belongs_to_one_auditor(house):
    with pytest.raises(SetupError, match="User is recorded by another auditor already; give each"):
        Auditor().track(house.User)


def test_two_models_cannot_share_a_stream(house):
    class Person(Document):
        name = StringField()

    with pytest.raises(SetupError) as caught:
        house.auditor.track(Person, stream="user")

    assert (
        "Person cannot have the stream 'user', which is that of User; give it another with "
        "track(…, stream='…')."
    ) == str(caught.value)
    assert recorder_of(Person) is None


def test_a_subclass_may_have_options_of_its_own_in_the_stream_of_its_parent(house):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        chip = StringField()

    house.auditor.track(Animal)
    house.auditor.track(Dog, mask=["chip"])
    (event,) = house.events(house.make(Dog, name="Rex", chip="123"))

    assert ("animal", ("/chip",)) == (event.stream, event.masked)


def test_options_that_are_refused_leave_the_model_unaudited(house):
    class Note(Document):
        text = StringField()

    with pytest.raises(SetupError, match="Note has no field 'txet' to hide"):
        house.auditor.track(Note, exclude=["txet"])

    assert recorder_of(Note) is None


def test_a_model_of_another_client_is_refused(house, mongod_uri):
    mongoengine.connect("elsewhere", alias="other", host=mongod_uri + "&appName=other")

    class Parcel(Document):
        name = StringField()
        meta = {"db_alias": "other"}

    house.auditor.track(Parcel)

    with pytest.raises(SetupError) as caught:
        house.auditor.prepare()

    assert (
        "Parcel is stored through another client than Team, and one transaction cannot span "
        "two: give it an auditor of its own."
    ) == str(caught.value)


def test_a_write_to_a_model_of_another_client_is_refused(house, mongod_uri):
    mongoengine.connect("elsewhere", alias="other", host=mongod_uri + "&appName=other")

    class Parcel(Document):
        name = StringField()
        meta = {"db_alias": "other"}

    def work():
        house.User(name="Ana").save()
        Parcel(name="box").save()

    with pytest.raises(InvalidOperation):
        house.write(work)

    assert 0 == raw(house.User).count_documents({})


def test_a_model_that_is_not_tracked_has_no_history(house):
    class Note(Document):
        text = StringField()

    with pytest.raises(SetupError, match="Note is not audited: pass audit= to routes_for, or"):
        house.auditor.history(Note, 1)
    assert recorder_of(Note) is None


def test_the_store_before_prepare_says_what_is_missing():
    with pytest.raises(SetupError, match=r"Call prepare\(\) first."):
        Auditor().store


def test_an_auditor_goes_on_after_a_reconnection(mongod_uri):
    with new_database(mongod_uri) as name, built() as house:
        kept = mongoengine.connect(name, host=mongod_uri)  # alive, and equal to the next one
        house.track()
        house.make(name="Ana")
        mongoengine.disconnect_all()
        assert kept == mongoengine.connect(name, host=mongod_uri + "&w=majority")
        user = house.make(name="Eva")

        assert ["created"] == house.told(user)
        assert 2 == check_histories(house.auditor, house.User)


def test_an_auditor_without_a_connection_says_so(mongod_uri):
    with new_database(mongod_uri), built() as house:
        house.auditor.track(house.User)

        with pytest.raises(SetupError, match=r"User has no connection 'default'; call mongoeng"):
            house.make(name="Ana")


# Many writers

WRITERS, TIMES = 16, 4


def increment(house, pks):
    """Increment each document once; how often it succeeded."""
    done = 0

    def work(pk):
        counter = house.User.objects.get(pk=pk)
        counter.age += 1
        counter.save()

    for pk in pks:
        try:
            house.write(lambda pk=pk: work(pk), actor=threading.current_thread().name)
            done += 1
        except Unavailable:
            pass
    return done


def test_many_writers_of_one_document_lose_and_double_nothing(house):
    user = house.make(name="Ana", age=0)
    with ThreadPoolExecutor(WRITERS) as pool:
        done = sum(pool.map(lambda _: increment(house, [user.pk] * TIMES), range(WRITERS)))

    assert done == stored(user)["age"] == len(house.events(user)) - 1 > 0
    check_histories(house.auditor, house.User)


def test_many_writers_of_many_documents_lose_and_double_nothing(house):
    users = [house.make(name=str(number), age=0) for number in range(WRITERS)]
    pks = [user.pk for user in users]
    shifted = [pks[number:] + pks[:number] for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        done = sum(pool.map(lambda mine: increment(house, mine[:TIMES]), shifted))

    assert done == sum(stored(user)["age"] for user in users) > 0
    assert WRITERS + done == check_histories(house.auditor, house.User)


def test_many_creators_of_one_id_make_one_document(house):
    pk = ObjectId()

    def create(name):
        try:
            house.write(lambda: house.User(pk=pk, name=str(name)).save(force_insert=True))
            return 1
        except mongoengine.NotUniqueError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert 1 == sum(pool.map(create, range(8)))
    assert 1 == check_histories(house.auditor, house.User)


class Counter(Document):
    key = StringField(primary_key=True)
    count = IntField(default=0)


def test_two_processes_lose_and_double_nothing(database, mongod_uri):
    with own_registry(), built() as house:
        house.auditor.track(Counter)
        house.write(lambda: Counter(key="a").save())
        code = "from tests.audit.test_auditor import count_up; count_up()"
        command = [sys.executable, "-c", code, mongod_uri, database.name]
        processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]

        assert [0, 0] == [process.wait(60) for process in processes]
        assert 40 == Counter.objects.get(key="a").count
        assert 41 == check_histories(house.auditor, Counter)


def count_up():
    """What each of the two processes does."""
    mongoengine.connect(sys.argv[2], host=sys.argv[1])
    auditor = Auditor(work=False)
    auditor.track(Counter)

    def work():
        counter = Counter.objects.get(key="a")
        counter.count += 1
        counter.save()

    for _ in range(20):
        auditor.write(work)
