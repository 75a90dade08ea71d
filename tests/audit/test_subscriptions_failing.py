"""Consumers that fail, are slow or hang: their events wait, in order, and nobody else does."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from mongoengine import get_db
from pymongo.errors import AutoReconnect, InvalidOperation

from bzz.audit import parking
from bzz.audit.delivering import Delivery
from bzz.audit.errors import (
    ConsumerFailed,
    ContextError,
    NotParked,
    NotReplayable,
    SubscriptionStopped,
    TargetNotEmpty,
)
from bzz.audit.running import LEFT_BEHIND
from bzz.errors import SetupError
from bzz.transactions import Deadline
from tests.audit.subscribers import Sickness, caught_up, hurry, working
from tests.support import wait_until


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def two(house):
    """Two documents, Ana and Ben, with the events 1, 3, 5 and 2, 4, 6; Ana is ill."""

    def make(**options):
        consumer = Sickness(house, **options)
        documents = [house.make(name=name) for name in ("Ana", "Ben")]
        for age in (1, 2):
            for each in documents:
                house.write(lambda each=each, age=age: each.update(age=age))
        house.auditor.sequence()
        consumer.ill.add(documents[0].pk)
        return consumer

    return make


def positions(parked):
    return [each.position for each in parked]


# Trying again --------------------------------------------------------------------------------


def test_an_event_is_tried_again_while_other_streams_go_on(house, two, monkeypatch):
    hurry(monkeypatch, pause=0.3)
    consumer = two(retries=1000)
    with working(house):
        wait_until(lambda: [2, 4, 6] == consumer.done)
        assert [(1, 1)] == [each for each in consumer.tried if each[0] == 1]
        consumer.ill.clear()
        subscription = caught_up(house)

    assert [2, 4, 6, 1, 3, 5] == consumer.done
    assert (1, 2) in consumer.tried
    assert 0 == subscription.status().parked


def test_pauses_grow_up_to_a_minute(house, two, monkeypatch):
    monkeypatch.setattr(parking, "FIRST_PAUSE", 1.0)
    monkeypatch.setattr(parking, "LONGEST_PAUSE", 60.0)
    two(retries=8)
    with working(house):
        wait_until(lambda: 1 == house.auditor.subscription("index").status().failed)
    books, collection = house.auditor.books, get_db().bzz_parked
    pauses = []
    for _ in range(7):
        [waiting] = books.parking.listed("index", parking.Waits.WAITING, limit=1)
        house.auditor.alone(
            lambda unit, waiting=waiting: books.parking.failed(
                "index", waiting, "ill", retries=8, session=unit.session
            ),
            deadline=Deadline(),
        )
        found = collection.aggregate(
            [
                {"$match": {"p": 1}},
                {"$project": {"left": {"$subtract": ["$u", "$$NOW"]}}},
            ]
        )
        pauses.append(round(next(found)["left"] / 1000))

    assert [2, 4, 8, 16, 32, 60, 60] == pauses


def test_after_its_retries_it_is_parked_with_the_rest_of_its_stream(house, two):
    consumer = two(retries=2)
    with working(house):
        subscription = caught_up(house)

    first, *others = subscription.parked()
    assert [1, 3, 5] == positions([first, *others])
    assert (3, "ValueError: ill") == (first.attempts, first.error)
    assert [(0, None)] * 2 == [(each.attempts, each.error) for each in others]
    assert [2, 4, 6] == consumer.done
    assert [(1, 1), (1, 2), (1, 3)] == [each for each in consumer.tried if each[0] % 2]


def test_the_status_tells_of_parked_events_and_the_last_error(house, two):
    two(retries=0)
    with working(house):
        status = caught_up(house).status()

    assert (6, 0, 3, 0, 3, 1) == (
        status.position,
        status.lag,
        status.parked,
        status.waiting,
        status.delivered,
        status.failed,
    )
    assert ("ValueError: ill", 1) == (status.error, status.error_position)
    assert status.error_time is not None


def test_events_that_come_later_are_parked_behind(house, two):
    two(retries=0)
    with working(house):
        subscription = caught_up(house)
        ana = house.User.objects.get(name="Ana")
        house.write(lambda: ana.update(age=9))
        caught_up(house)

    assert [1, 3, 5, 7] == positions(subscription.parked())


# What is parked ------------------------------------------------------------------------------


def test_a_retry_goes_through_the_stream_in_order(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
        consumer.ill.clear()
        assert 1 == subscription.retry(3)
        caught_up(house)

    assert [2, 4, 6, 1, 3, 5] == consumer.done
    assert [] == subscription.parked()
    assert [(1, 2), (3, 1), (5, 1)] == consumer.tried[-3:]


def test_a_stream_whose_retry_went_well_goes_on_as_others_do(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
        consumer.ill.clear()
        subscription.retry()
        caught_up(house)
        ana = house.User.objects.get(name="Ana")
        house.write(lambda: ana.update(age=9))
        caught_up(house)

    assert 7 == consumer.done[-1]


def test_a_retry_that_fails_parks_it_again(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
        subscription.retry(1)
        wait_until(lambda: (1, 2) in consumer.tried)
        caught_up(house)

    assert [1, 3, 5] == positions(subscription.parked())
    assert 2 == subscription.parked()[0].attempts
    assert [2, 4, 6] == consumer.done


def test_a_retry_waits_for_a_worker(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
    consumer.ill.clear()
    subscription.retry()
    assert 3 == subscription.status().waiting
    with working(house):
        caught_up(house)

    assert [2, 4, 6, 1, 3, 5] == consumer.done


def test_all_streams_are_retried_together(house, two):
    consumer = two(retries=0)
    consumer.ill.update(each.pk for each in house.User.objects)
    with working(house):
        subscription = caught_up(house)
        assert [1, 2, 3, 4, 5, 6] == positions(subscription.parked())
        consumer.ill.clear()
        assert 2 == subscription.retry()
        caught_up(house)

    assert [1, 3, 5] == [each for each in consumer.done if each % 2]
    assert [2, 4, 6] == [each for each in consumer.done if not each % 2]


def test_a_skipped_event_is_kept_with_who_when_and_why_and_the_others_go_on(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
        consumer.ill.clear()
        subscription.skip(1, reason="not a person", actor="eva")
        caught_up(house)

    [skipped] = subscription.parked(skipped=True)
    assert [2, 4, 6, 3, 5] == consumer.done
    assert (1, "user:eva", "not a person") == (
        skipped.position,
        skipped.skipped_by,
        skipped.reason,
    )
    assert skipped.skipped_at is not None
    assert (0, 1) == (subscription.status().parked, subscription.status().skipped)


def test_skipping_one_that_is_not_the_first_starts_nothing(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
    subscription.skip(3, reason="no")
    with working(house):
        caught_up(house)

    assert [1, 5] == positions(subscription.parked())
    assert [2, 4, 6] == consumer.done


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda s: s.retry(2), id="retry"),
        pytest.param(lambda s: s.skip(2, reason="x"), id="skip"),
    ],
)
def test_what_is_not_parked_can_be_neither_retried_nor_skipped(house, two, act):
    two(retries=0)
    with working(house):
        subscription = caught_up(house)
    with pytest.raises(NotParked) as error:
        act(subscription)

    assert "'index' has no parked event of position 2" in str(error.value)


def test_nothing_is_parked_before_it_began(house):
    Sickness(house)
    subscription = house.auditor.subscription("index")

    assert 0 == subscription.retry()
    with pytest.raises(NotParked):
        subscription.retry(1)


def test_a_skip_needs_a_reason(house, two):
    two(retries=0)
    with working(house):
        subscription = caught_up(house)
    with pytest.raises(ContextError) as error:
        subscription.skip(1, reason=" ")

    assert "needs a reason" in str(error.value)
    assert [1, 3, 5] == positions(subscription.parked())


def test_parked_events_are_listed_in_pages(house, two):
    two(retries=0)
    with working(house):
        subscription = caught_up(house)

    assert [3] == positions(subscription.parked(after=1, limit=1))


# Slow and hanging ones -----------------------------------------------------------------------


def test_a_hanging_consumer_is_left_behind_and_its_late_writes_fail(house):
    go, told = threading.Event(), []

    @house.auditor.subscribe("index", deadline=0.2, retries=0)
    def index(event, ctx):
        names = ctx.collection("names")
        if event.position == 1:
            names.insert_one({"_id": "early"})
            go.wait(30)
            try:
                names.insert_one({"_id": "late"})
            except Exception as error:
                told.append(str(error))
        names.insert_one({"_id": event.position})

    house.make(name="Ana")
    house.make(name="Ben")
    with working(house):
        subscription = caught_up(house)
        [parked] = subscription.parked()
        go.set()
        wait_until(lambda: told)

    assert "not done within 0.2 s" in parked.error
    assert "The time of this attempt is over" in told[0]
    assert [2] == [each["_id"] for each in get_db().names.find()]


def test_one_that_begins_to_write_when_it_is_late_is_refused(house):
    go, told = threading.Event(), []

    @house.auditor.subscribe("index", deadline=0.2, retries=0)
    def index(event, ctx):
        go.wait(30)
        try:
            ctx.collection("names").insert_one({})
        except Exception as error:
            told.append(str(error))

    house.make(name="Ana")
    with working(house):
        caught_up(house)
        go.set()
        wait_until(lambda: told)

    assert "The time of this attempt is over" in told[0]


def test_a_coroutine_that_hangs_is_cancelled(house):
    told = []

    @house.auditor.subscribe("index", deadline=0.2, retries=0)
    async def index(event, ctx):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    house.make(name="Ana")
    with working(house):
        subscription = caught_up(house)

    assert ["cancelled"] == told
    assert [1] == positions(subscription.parked())


def test_so_many_calls_may_hang_and_no_more(house, caplog):
    go, called = threading.Event(), []

    @house.auditor.subscribe("index", deadline=0.05, retries=0)
    def index(event, ctx):
        called.append(event.position)
        if event.position <= LEFT_BEHIND:
            go.wait(60)

    for number in range(LEFT_BEHIND + 2):
        house.make(name=f"u{number}")
    house.auditor.sequence()
    with caplog.at_level(logging.ERROR, "bzz.audit"), working(house):
        wait_until(lambda: "calls of its consumer hang" in caplog.text, seconds=60)
        assert list(range(1, LEFT_BEHIND + 1)) == called
        go.set()
        caught_up(house)

    house.running.logged.clear()
    assert list(range(1, LEFT_BEHIND + 3)) == called


def test_an_event_at_which_it_hangs_is_parked_after_one_more_try(house):
    go, called = threading.Event(), []

    @house.auditor.subscribe("index", deadline=0.05)
    def index(event, ctx):
        called.append(event.position)
        if event.position == 1:
            go.wait(60)

    for number in range(3):
        house.make(name=f"u{number}")
    with working(house):
        subscription = caught_up(house)
        wait_until(lambda: [1] == positions(subscription.parked()))
        go.set()

    assert [1, 1, 2, 3] == sorted(called)


def test_streams_that_fail_take_turns_with_those_that_do_not(house, monkeypatch):
    """However soon the failed ones are due again."""
    hurry(monkeypatch, pause=0.0)
    seen = []

    @house.auditor.subscribe("index", retries=1000)
    def index(event, ctx):
        seen.append(event.position)
        if event.position == 1 and 3 not in seen:
            raise ValueError

    for number in range(2):
        house.make(name=f"u{number}")
    with working(house):
        wait_until(lambda: seen.count(1) > 3)
        house.make(name="new")
        caught_up(house)

    assert {1, 2, 3} == set(seen)


def test_slow_failing_and_hanging_consumers_hold_up_no_other(house):
    go, seen = threading.Event(), []

    @house.auditor.subscribe("hanging", deadline=60)
    def hanging(event, ctx):
        go.wait(60)

    @house.auditor.subscribe("failing")
    def failing(event, ctx):
        raise ValueError

    house.auditor.subscribe("index")(lambda event, ctx: seen.append(event.position))
    for number in range(10):
        house.make(name=f"u{number}")
    with working(house):
        caught_up(house)
        assert 10 == house.auditor.subscription("hanging").status().lag
        go.set()

    assert list(range(1, 11)) == seen


def test_a_consumer_that_wants_to_end_the_program_has_failed(house):
    @house.auditor.subscribe("index", retries=0)
    def index(event, ctx):
        raise SystemExit(3)

    house.make(name="Ana")
    with working(house):
        subscription = caught_up(house)

    assert "SystemExit(3)" in subscription.parked()[0].error


def test_closing_takes_back_what_a_consumer_is_at(house):
    begun, go = threading.Event(), threading.Event()

    @house.auditor.subscribe("index")
    def index(event, ctx):
        ctx.collection("names").insert_one({"_id": event.position, "attempt": ctx.attempt})
        begun.set()
        go.wait(20)

    house.make(name="Ana")
    house.auditor.sequence()
    worker = house.auditor.worker()
    worker.start()
    begun.wait(20)
    worker.close(grace=0.1)
    assert 0 == get_db().names.count_documents({})
    assert "idle" == house.auditor.subscription("index").status().state
    go.set()
    with working(house):
        caught_up(house)

    assert [(1, 1)] == [(each["_id"], each["attempt"]) for each in get_db().names.find()]


def test_closing_lets_a_consumer_finish_its_event(house):
    begun, go = threading.Event(), threading.Event()

    @house.auditor.subscribe("index")
    def index(event, ctx):
        begun.set()
        go.wait(20)
        ctx.collection("names").insert_one({"_id": event.position})

    house.make(name="Ana")
    house.make(name="Ben")
    house.auditor.sequence()
    worker = house.auditor.worker()
    worker.start()
    begun.wait(20)
    threading.Timer(0.2, go.set).start()
    worker.close(grace=20)

    assert [1] == [each["_id"] for each in get_db().names.find()]
    assert 1 == house.auditor.subscription("index").status().position


# Epochs --------------------------------------------------------------------------------------


def test_a_new_epoch_stops_it_loudly_once(house, caplog):
    consumer = Sickness(house)
    house.make(name="Ana")
    with caplog.at_level(logging.ERROR, "bzz.audit"), working(house):
        subscription = caught_up(house)
        house.auditor.begin_epoch()
        house.make(name="Ben")
        house.auditor.sequence()
        wait_until(lambda: "has stopped" in caplog.text)
        status = subscription.status()
        with pytest.raises(SubscriptionStopped):
            subscription.wait_until_caught_up(1)
    house.running.logged.clear()

    assert [1] == consumer.done
    assert "stopped" == status.state
    assert "is of another epoch" in status.error
    assert 1 == len([each for each in caplog.records if "has stopped" in each.getMessage()])


def test_a_checkpoint_behind_the_head_stops_it(house, caplog):
    Sickness(house, start=7)
    house.make(name="Ana")
    house.auditor.sequence()
    with caplog.at_level(logging.ERROR, "bzz.audit"), working(house):
        wait_until(lambda: "has stopped" in caplog.text)
    house.running.logged.clear()

    assert "its position 6 is none: the last one is 1" in caplog.text


def test_it_goes_on_where_it_is_told_to(house, caplog):
    consumer = Sickness(house)
    for name in ("Ana", "Ben", "Cid"):
        house.make(name=name)
    with working(house):
        subscription = caught_up(house)
    get_db().done.delete_many({})
    house.auditor.begin_epoch()
    subscription.restart(2)
    with working(house):
        caught_up(house)

    assert [1, 2, 3, 2, 3] == consumer.done


def test_what_is_parked_behind_a_new_start_is_forgotten(house, two):
    consumer = two(retries=0)
    with working(house):
        subscription = caught_up(house)
    subscription.restart(3)
    assert [1] == positions(subscription.parked())
    get_db().done.delete_many({})
    with working(house):
        caught_up(house)

    assert [1, 3, 5] == positions(subscription.parked())
    assert [2, 4, 6, 4, 6] == consumer.done


def test_a_new_start_is_checked(house):
    Sickness(house)
    with pytest.raises(SetupError) as error:
        house.auditor.subscription("index").restart("now")

    assert "'first', 'latest', a position" in str(error.value)


# Replays -------------------------------------------------------------------------------------


def test_a_replay_fills_a_fresh_target_and_leaves_the_subscription_alone(house):
    told = []

    @house.auditor.subscribe("index")
    def index(event, ctx):
        told.append((ctx.replay, ctx.into))
        ctx.collection("done").insert_one({"_id": event.position})

    for number in range(5):
        house.make(name=f"u{number}")
    with working(house):
        subscription = caught_up(house)
    told.clear()
    replayed = subscription.replay("v2", after=2)

    assert (5, 3) == (replayed.position, replayed.delivered)
    assert [(True, "v2")] * 3 == told
    assert [3, 4, 5] == [each["_id"] for each in get_db().done_v2.find()]
    assert 5 == get_db().done.count_documents({}) == subscription.status().delivered


def test_a_replay_ends_where_its_consumer_fails_and_can_be_resumed(house):
    ill = {3}

    @house.auditor.subscribe("index")
    async def index(event, ctx):
        ctx.collection("done").insert_one({"_id": event.position})
        if event.position in ill:
            raise ValueError("ill")

    for number in range(5):
        house.make(name=f"u{number}")
    house.auditor.sequence()
    subscription = house.auditor.subscription("index")
    with pytest.raises(ConsumerFailed) as error:
        subscription.replay("v2")
    assert "ended at position 3: ValueError('ill')" in str(error.value)
    assert [1, 2] == [each["_id"] for each in get_db().done_v2.find()]
    ill.clear()
    replayed = subscription.replay("v2")

    assert (5, 5) == (replayed.position, replayed.delivered)
    assert 0 == subscription.status().parked


def test_a_target_that_has_documents_is_refused(house):
    Sickness(house)
    house.make(name="Ana")
    house.auditor.sequence()
    get_db().done_v2.insert_one({})
    with pytest.raises(TargetNotEmpty) as error:
        house.auditor.subscription("index").replay("v2")

    assert "'done_v2' is not empty: name another target" in str(error.value)


def test_a_replay_ends_though_others_write_meanwhile(house):
    @house.auditor.subscribe("index")
    def index(event, ctx):
        if event.position == 1:  # they come while it is at its first event
            for number in range(5):
                house.make(name=f"later {number}")
            house.auditor.sequence()
        ctx.collection("done").insert_one({"_id": event.position})

    house.make(name="first")
    house.auditor.sequence()
    replayed = house.auditor.subscription("index").replay("v2")

    assert replayed.position >= 1
    assert replayed.position == get_db().done_v2.count_documents({})


def test_a_replay_that_was_done_begins_anew(house):
    @house.auditor.subscribe("index")
    def index(event, ctx):
        ctx.collection("done").insert_one({"_id": event.position})

    house.make(name="first")
    house.auditor.sequence()
    subscription = house.auditor.subscription("index")
    subscription.replay("v2")
    get_db().done_v2.rename("done", dropTarget=True)
    subscription.replay("v2")

    assert [1] == [each["_id"] for each in get_db().done_v2.find()]


def test_a_consumer_that_is_not_to_be_repeated_is_not_replayed(house):
    Sickness(house, replayable=False)
    with pytest.raises(NotReplayable) as error:
        house.auditor.subscription("index").replay("v2")

    assert "replayable=False" in str(error.value)


def test_the_name_of_a_target_is_checked(house):
    Sickness(house)
    with pytest.raises(SetupError) as error:
        house.auditor.subscription("index").replay("v 2")

    assert "not 'v 2'" in str(error.value)


def test_an_invalid_operation_that_is_not_the_end_of_the_client_stops_nothing(house, monkeypatch):
    consumer = Sickness(house)
    house.make(name="Ana")
    fails, usual = [InvalidOperation("of a session")], Delivery.step

    def step(delivery):
        if fails:
            raise fails.pop()
        return usual(delivery)

    monkeypatch.setattr(Delivery, "step", step)
    with working(house):
        caught_up(house)

    house.running.logged.clear()
    assert [1] == consumer.done


def test_a_database_that_is_away_is_no_failure_of_the_consumer(house, two, monkeypatch):
    consumer = two()
    consumer.ill.clear()
    fails, usual = [AutoReconnect("no primary")], Delivery._told

    def told(delivery, events):
        if fails:
            raise fails.pop()
        return usual(delivery, events)

    monkeypatch.setattr(Delivery, "_told", told)
    with working(house):
        status = caught_up(house).status()

    house.running.logged.clear()
    assert [1, 2, 3, 4, 5, 6] == consumer.done
    assert (0, None) == (status.failed, status.error)
