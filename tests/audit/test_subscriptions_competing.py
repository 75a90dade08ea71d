"""Workers that all believe that they are the only one: the checkpoint alone keeps them apart."""

from __future__ import annotations

import random
import threading

import pytest
from mongoengine import get_db

from bzz.audit.delivering import Delivery
from bzz.audit.leasing import Lease
from tests.audit.subscribers import caught_up, hurry, working
from tests.support import wait_until


class Crash(BaseException):
    """Ends a worker in the middle of an event, as a kill does."""


@pytest.fixture
def no_lease(monkeypatch):
    hurry(monkeypatch)
    monkeypatch.setattr(Lease, "take", lambda *_: True)


def orderly(count):
    """Whether each event had its effect once, in the order of its stream."""
    found = list(get_db().effects.find(sort=[("p", 1)]))
    last = {}
    for each in found:
        assert each["v"] == last.get(each["d"], 0) + 1 == each["before"] + 1
        last[each["d"]] = each["v"]
    return count == len(found) == len({each["p"] for each in found})


def write(event, ctx):
    before = ctx.collection("last").find_one_and_update(
        {"_id": event.document}, {"$set": {"v": event.version}}, upsert=True
    )
    effect = {"p": event.position, "d": event.document, "v": event.version}
    ctx.collection("effects").insert_one({**effect, "before": before["v"] if before else 0})


def make(house, count):
    users = [house.make(name=f"u{number}") for number in range(5)]
    for number in range(count - 5):
        user = users[number % 5]
        house.write(lambda user=user, number=number: user.update(age=number))
    house.auditor.sequence()


def test_two_workers_at_once_do_nothing_twice(house, no_lease):
    workers = set()

    @house.auditor.subscribe("index")
    def index(event, ctx):
        workers.add(threading.current_thread())
        write(event, ctx)

    make(house, 60)
    with working(house), working(house):
        caught_up(house)

    assert 2 == len(workers)
    assert orderly(60)


def test_two_workers_that_crash_anywhere_do_nothing_twice(house, no_lease):
    chance = random.Random(1)

    def consumer(event, ctx):
        for _ in range(2):
            if chance.random() < 0.05:
                raise Crash
            if not _:
                write(event, ctx)

    house.auditor.subscribe("index")(consumer)
    make(house, 60)
    declaration = house.auditor._declarations["index"]
    crashes = []

    def work():
        while True:
            delivery = Delivery(house.auditor, declaration, lambda call, effects: call())
            try:
                while delivery.step():
                    pass
                return
            except Crash:
                crashes.append(1)
            finally:
                delivery.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)

    assert crashes
    assert orderly(60)


def test_two_workers_retry_what_is_parked_once(house, no_lease):
    ill = [True]

    @house.auditor.subscribe("index", retries=0)
    def index(event, ctx):
        if ill[0] and event.position == 1:
            raise ValueError
        write(event, ctx)

    make(house, 30)
    with working(house), working(house):
        subscription = caught_up(house)
        parked = subscription.status().parked
        ill.clear()
        ill.append(False)
        subscription.retry()
        caught_up(house)
        wait_until(lambda: not subscription.status().waiting)

    assert 6 == parked
    assert orderly(30)
