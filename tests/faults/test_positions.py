"""Positions under load: no reader skips an event, whoever is killed meanwhile."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.positions import (
    ByObjectId,
    Reader,
    Worker,
    Writers,
    check,
    told,
    yard,
)
from tests.faults.replica import replica_set
from tests.faults.worlds import SOAK_SECONDS, figures
from tests.support import wait_until


def forms(short: Any, long: Any) -> Any:
    return [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.soak)]


def unnumbered(world: Any) -> int:
    return int(world.history.count_documents({"p": 0}))


def is_numbered(world: Any, writers: Writers) -> bool:
    return writers.are_done and not unnumbered(world)


def following(world: Any, writers: Writers, readers: list[Any]) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=each.follow, args=(lambda: is_numbered(world, writers),))
        for each in readers
    ]
    for each in threads:
        each.start()
    return threads


@pytest.mark.parametrize("transactions", forms(400, 10_400))
def test_readers_that_crash_see_each_event_once_and_in_order(mongod_uri, transactions):
    with yard(mongod_uri, work=True) as world:
        readers, begun = [Reader(world) for _ in range(2)], time.monotonic()
        with Writers(world, transactions) as writers:
            threads = following(world, writers, readers)
            for each in threads:
                each.join(1200)

        events = check(world, writers, readers)
        assert 2 * transactions <= events
        assert readers[0].crashes
        told(world, writers, readers[0], events, time.monotonic() - begun)


def test_a_reader_by_object_id_loses_events_under_the_same_load(mongod_uri):
    """The control: the load above is one under which numbers drawn before the commit fail."""
    with yard(mongod_uri, work=False) as world:
        reader = ByObjectId(world)
        with Writers(world) as writers:

            def has_lost() -> bool:
                # What it has not seen and will not: below the last that it asks behind.
                reader.poll()
                return world.history.count_documents({"_id": {"$lte": reader._last}}) > len(
                    reader.seen
                )

            wait_until(has_lost, 60)
            wait_until(lambda: reader.poll() or len(writers.acknowledged) >= 800, 60)
        reader.poll()
        stored = world.history.count_documents({})

        figures.info(f"by ObjectId {stored - len(reader.seen)} of {stored} events were lost")
        assert len(reader.seen) < stored


@pytest.mark.parametrize("seconds", forms(None, SOAK_SECONDS))
def test_workers_that_are_killed_leave_no_gap_and_do_nothing_twice(mongod_uri, seconds):
    chance, begun = random.Random(7), time.monotonic()
    with yard(mongod_uri, work=False) as world, ExitStack() as stack:
        workers = [stack.enter_context(Worker(world)) for _ in range(3)]
        reader, kills = Reader(world), 0
        with Writers(world) as writers:
            threads = following(world, writers, [reader])
            while kills < 4 if seconds is None else time.monotonic() < begun + seconds:
                some = world.auditor.seals.head().position + chance.randrange(100)
                wait_until(lambda some=some: world.auditor.seals.head().position > some, 60)
                victim = chance.randrange(3)
                workers[victim].kill()
                workers[victim] = stack.enter_context(Worker(world))
                kills += 1
            writers.stop()
            for each in threads:
                each.join(120)

        events = check(world, writers, [reader])
        figures.info(f"{kills} kills")
        told(world, writers, reader, events, time.monotonic() - begun)


@pytest.fixture(scope="module")
def replica():
    with replica_set() as running:
        yield running


@pytest.mark.parametrize("seconds", forms(None, SOAK_SECONDS))
def test_a_primary_that_goes_takes_no_position_and_no_effect_with_it(replica, seconds):
    chance, begun, faults = random.Random(11), time.monotonic(), 0
    with yard(replica.uri, work=True) as world, Worker(world):
        reader = Reader(world)
        with Writers(world) as writers:
            threads = following(world, writers, [reader])
            wait_until(lambda: len(reader.seen) > 20, 60)
            causes = [replica.step_down, replica.kill_primary]
            while faults < 2 if seconds is None else time.monotonic() < begun + seconds:
                chance.choice(causes)() if seconds else causes[faults]()
                replica.wait()
                some = len(reader.seen) + 20
                wait_until(lambda some=some: len(reader.seen) > some, 60)
                faults += 1
            writers.stop()
            for each in threads:
                each.join(120)
        world.server.logged.clear()  # reads that no primary answered

        events = check(world, writers, [reader])
        figures.info(f"{faults} faults")
        told(world, writers, reader, events, time.monotonic() - begun)
