"""Subscriptions: each matching event, in order, once where it is written through the context."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from mongoengine import Document, IntField, StringField, get_db

from bzz.audit import Operation
from bzz.audit.errors import UnknownSubscription
from bzz.errors import BzzError, SetupError
from tests.audit.subscribers import caught_up, hurry, working
from tests.support import wait_until


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    hurry(monkeypatch)


def seen_by(house, **options):
    """The events that a subscription 'index' gets, in a list that grows."""
    seen = []
    house.auditor.subscribe("index", **options)(lambda event, ctx: seen.append(event))
    return seen


# What it gets --------------------------------------------------------------------------------


def test_it_gets_every_event_in_the_order_of_positions(house):
    seen = seen_by(house)
    ana = house.make(name="Ana")
    house.make(house.Team, name="red")
    house.write(lambda: ana.update(name="Eva"))
    with working(house):
        house.write(lambda: ana.delete())
        caught_up(house)

    assert [1, 2, 3, 4] == [each.position for each in seen]
    assert ["user", "team", "user", "user"] == [each.model for each in seen]
    assert Operation.DELETED == seen[-1].operation


def test_an_event_has_native_ids_and_what_its_json_has(house):
    seen = seen_by(house)
    ana = house.write(lambda: house.User(name="Ana").save(), actor="eva", reason="new")
    with working(house):
        caught_up(house)

    [event] = seen
    assert (ana.pk, 1, "new", "eva") == (
        event.document,
        event.version,
        event.reason,
        event.actor.id,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"operations": ["deleted"]}, [4], id="an operation"),
        pytest.param({"operations": "created"}, [1, 2], id="one name"),
        pytest.param({"fields": ["age"]}, [3, 4], id="a field, set and gone"),
        pytest.param({"fields": ["/home/street"]}, [2, 4], id="a path, with what is above it"),
        pytest.param({"fields": ["age"], "operations": ["updated"]}, [3], id="both"),
    ],
)
def test_it_gets_only_what_it_wants(house, options, expected):
    seen = seen_by(house, model=house.User, **options)
    house.make(name="Ana")
    ben = house.make(name="Ben", home=house.Address(street="Elm"))
    house.write(lambda: ben.update(age=3))
    house.write(lambda: ben.delete())
    with working(house):
        subscription = caught_up(house)

    assert expected == [each.position for each in seen]
    assert 0 == subscription.status().lag


def test_it_gets_events_of_several_models(house):
    seen = seen_by(house, model=[house.Team, house.Club])
    house.make(name="Ana")
    house.make(house.Team, name="red")
    house.make(house.Club)
    with working(house):
        caught_up(house)

    assert ["team", "club"] == [each.model for each in seen]


def test_of_classes_that_share_a_stream_it_gets_those_that_are_meant(house):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True}

    class Dog(Animal):
        age = IntField()

    house.track(Animal, Dog)
    seen = seen_by(house, model=Dog)
    house.make(Animal, name="any")
    dog = house.make(Dog, name="rex")
    with working(house):
        caught_up(house)

    assert [dog.pk] == [each.document for each in seen]


def test_values_that_are_hidden_by_now_are_not_told(house):
    house.track(house.User)
    seen = seen_by(house)
    house.make(name="Ana", secret="s3cret")
    house.track(house.User, exclude=["secret"])
    with working(house):
        caught_up(house)

    assert ["name"] == [path for each in seen[0].changes for path in each.path if path != "tags"]


def test_the_decorator_gives_the_function_back(house):
    def index(event, ctx): ...

    assert index is house.auditor.subscribe("index")(index)


# Where it starts -----------------------------------------------------------------------------


def test_one_that_starts_with_the_latest_gets_what_comes(house):
    seen = seen_by(house, start="latest")
    house.make(name="Ana")
    house.auditor.sequence()
    with working(house):
        caught_up(house)
        house.make(name="Ben")
        caught_up(house)

    assert [2] == [each.position for each in seen]


def test_one_may_start_at_a_position(house):
    seen = seen_by(house, start=2)
    for name in ("Ana", "Ben", "Cid"):
        house.make(name=name)
    house.auditor.sequence()
    with working(house):
        caught_up(house)

    assert [2, 3] == [each.position for each in seen]


def test_one_may_start_at_a_time(house):
    now = datetime.now(UTC)
    times = iter(now + timedelta(minutes=minute) for minute in range(20))
    house.auditor._recorder = None
    house.auditor._client = None
    house.auditor._clock, kept = (lambda: next(times)), house.auditor._clock
    try:
        for number in range(10):
            house.make(name=f"u{number}")
    finally:
        house.auditor._clock = kept
        house.auditor._client = None
    house.auditor.sequence()
    seen = seen_by(house, start=now + timedelta(minutes=6, seconds=30))
    with working(house):
        caught_up(house)

    assert [8, 9, 10] == [each.position for each in seen]


def test_it_goes_on_where_it_was_after_a_restart(house):
    seen = seen_by(house)
    house.make(name="Ana")
    with working(house):
        caught_up(house)
    house.make(name="Ben")
    with working(house):
        caught_up(house)

    assert [1, 2] == [each.position for each in seen]


# Its effects ---------------------------------------------------------------------------------


def test_what_it_writes_through_its_context_is_stored_with_the_checkpoint(house):
    @house.auditor.subscribe("index")
    def index(event, ctx):
        names = ctx.collection("names")
        names.update_one({"_id": event.document}, {"$set": {"at": event.position}}, upsert=True)
        assert event.position == names.find_one({"_id": event.document})["at"]

    ana = house.make(name="Ana")
    with working(house):
        caught_up(house)

    assert {"_id": ana.pk, "at": 1} == get_db().names.find_one()


def test_nothing_is_stored_of_an_attempt_that_fails(house):
    attempts = []

    @house.auditor.subscribe("index")
    def index(event, ctx):
        ctx.collection("names").insert_one({"attempt": ctx.attempt})
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise ValueError("not yet")

    house.make(name="Ana")
    with working(house):
        caught_up(house)

    assert [1, 2, 3] == attempts
    assert [3] == [each["attempt"] for each in get_db().names.find()]


def test_an_error_of_the_database_that_is_caught_is_no_success(house):
    calls = []

    @house.auditor.subscribe("index", retries=0)
    def index(event, ctx):
        calls.append(event)
        for _ in range(2):
            with suppress(Exception):
                ctx.collection("names").insert_one({"_id": 1})

    house.make(name="Ana")
    get_db().names.insert_one({"_id": 1})
    with working(house):
        wait_until(lambda: house.auditor.subscription("index").status().failed)

    assert 1 == house.auditor.subscription("index").status().parked


def test_a_coroutine_function_is_awaited_on_one_loop(house):
    loops = []

    @house.auditor.subscribe("index")
    async def index(event, ctx):
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        ctx.collection("names").insert_one({"_id": event.position})

    house.make(name="Ana")
    house.make(name="Ben")
    with working(house):
        caught_up(house)

    assert 2 == get_db().names.count_documents({})
    assert 1 == len(set(loops))


def test_events_may_share_a_transaction(house):
    commits = []

    @house.auditor.subscribe("index", batch=10)
    def index(event, ctx):
        ctx.collection("names").insert_one({"_id": event.position})
        commits.append(ctx.collection("names").count_documents({}))

    for number in range(25):
        house.make(name=f"u{number}")
    house.auditor.sequence()
    with working(house):
        subscription = caught_up(house)
    stored = get_db().bzz_subscriptions.find_one({"_id": "index"})

    assert 25 == get_db().names.count_documents({}) == subscription.status().delivered
    assert 3 == stored["n"]


def test_of_events_that_share_a_transaction_only_the_one_that_fails_is_parked(house):
    @house.auditor.subscribe("index", batch=10, retries=0)
    def index(event, ctx):
        ctx.collection("names").insert_one({"_id": event.position})
        if event.position == 4:
            raise ValueError("poison")

    for number in range(8):
        house.make(name=f"u{number}")
    house.auditor.sequence()
    with working(house):
        subscription = caught_up(house)

    assert [1, 2, 3, 5, 6, 7, 8] == sorted(each["_id"] for each in get_db().names.find())
    assert [4] == [each.position for each in subscription.parked()]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        pytest.param(lambda c: c("n").create_index("a"), "has no 'create_index'", id="an index"),
        pytest.param(lambda c: c("n").drop(), "has no 'drop'", id="drop"),
        pytest.param(lambda c: c("n").find_one({}, session=None), "is not needed", id="session"),
        pytest.param(lambda c: c("bzz_history"), "is a collection of bzz", id="of bzz"),
    ],
)
def test_what_cannot_be_in_the_transaction_is_refused(house, use, message):
    told = []

    @house.auditor.subscribe("index")
    def index(event, ctx):
        with pytest.raises(BzzError) as error:
            use(ctx.collection)
        told.append(str(error.value))

    house.make(name="Ana")
    with working(house):
        caught_up(house)

    assert message in told[0]


def test_a_context_knows_where_it_is(house):
    told = []

    @house.auditor.subscribe("index")
    def index(event, ctx):
        told.append((ctx.subscription, ctx.attempt, ctx.replay, ctx.collection("n").name))

    house.make(name="Ana")
    with working(house):
        caught_up(house)

    assert [("index", 1, False, "n")] == told


def test_a_context_that_is_kept_writes_nothing_more(house):
    kept = []
    house.auditor.subscribe("index")(lambda event, ctx: kept.append(ctx))
    house.make(name="Ana")
    with working(house):
        caught_up(house)
        with pytest.raises(BzzError) as error:
            kept[0].collection("names").insert_one({})

    assert "The time of this attempt is over" in str(error.value)


# Registration --------------------------------------------------------------------------------


def nothing(event, ctx): ...


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("a b", {}, "letters, digits", id="name"),
        pytest.param("", {}, "letters, digits", id="no name"),
        pytest.param("a", {"model": []}, "names no model", id="no model"),
        pytest.param("a", {"model": int}, "no Document class", id="model"),
        pytest.param("a", {"operations": ["made"]}, "there are created, updated", id="operation"),
        pytest.param("a", {"fields": [3]}, "names or JSON Pointers", id="field"),
        pytest.param("a", {"start": "now"}, "'first', 'latest', a position", id="start"),
        pytest.param("a", {"start": 0}, "'first', 'latest', a position", id="position"),
        pytest.param("a", {"start": True}, "'first', 'latest', a position", id="true"),
        pytest.param("a", {"start": datetime(2026, 5, 1)}, "without a zone", id="time"),
        pytest.param("a", {"deadline": 0}, "number of seconds", id="deadline"),
        pytest.param("a", {"retries": -1}, "again 0 to 1000 times", id="retries"),
        pytest.param("a", {"batch": 0}, "takes 1 to 100 events", id="batch"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(house, name, options, message):
    with pytest.raises(SetupError) as error:
        house.auditor.subscribe(name, **options)(nothing)

    assert message in str(error.value)


def test_two_of_one_name_are_refused(house):
    house.auditor.subscribe("index")(nothing)
    with pytest.raises(SetupError) as error:
        house.auditor.subscribe("index")(nothing)

    assert "There is a subscription 'index' already" in str(error.value)


def test_what_is_no_function_is_refused(house):
    with pytest.raises(SetupError) as error:
        house.auditor.subscribe("index")(3)

    assert "needs a function of (event, ctx), not 3" in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"fields": ["size"]}, "'size', which none of", id="field"),
        pytest.param({"fields": ["a\0"]}, "is no name and no path", id="path"),
    ],
)
def test_fields_that_no_model_has_are_refused(house, options, message):
    with pytest.raises(SetupError) as error:
        house.auditor.subscribe("index", **options)(nothing)

    assert message in str(error.value)


def test_an_unknown_subscription_is_refused_with_those_that_there_are(house):
    house.auditor.subscribe("index")(nothing)
    with pytest.raises(UnknownSubscription) as error:
        house.auditor.subscription("other")

    assert "no subscription 'other'; there are: index" in str(error.value)
    with pytest.raises(UnknownSubscription):
        house.auditor.worker(["other"])


# How it stands -------------------------------------------------------------------------------


def test_one_that_has_not_begun_stands_where_it_will_begin(house):
    house.auditor.subscribe("index")(nothing)
    house.make(name="Ana")
    house.auditor.sequence()
    [status] = house.auditor.subscriptions()

    assert ("index", "idle", 0, 1, None) == (
        status.name,
        status.state,
        status.position,
        status.lag,
        status.worker,
    )
    assert 0 <= status.age < 60


def test_one_that_works_tells_who_has_it(house):
    house.auditor.subscribe("index")(nothing)
    house.make(name="Ana")
    with working(house):
        status = caught_up(house).status()
        assert ("running", 1, 0, None, 1) == (
            status.state,
            status.position,
            status.lag,
            status.age,
            status.delivered,
        )
        assert status.worker

    assert "idle" == house.auditor.subscription("index").status().state


def test_waiting_for_what_nobody_does_ends_with_the_time(house):
    house.auditor.subscribe("index")(nothing)
    house.make(name="Ana")
    with pytest.raises(TimeoutError) as error:
        house.auditor.subscription("index").wait_until_caught_up(0.1)

    assert "has not dealt with position 1 within 0.1 s" in str(error.value)


def test_one_that_no_worker_has_begun_is_waited_for_though_nothing_is_behind_it(house):
    house.auditor.subscribe("index", start="latest")(nothing)
    house.make(name="Ana")
    house.auditor.sequence()
    with pytest.raises(TimeoutError):
        house.auditor.subscription("index").wait_until_caught_up(0.1)


def test_the_threads_end_with_the_worker(house):
    house.auditor.subscribe("index")(nothing)
    house.make(name="Ana")
    with working(house):
        caught_up(house)

    wait_until(lambda: not [each for each in threading.enumerate() if "index" in each.name])
