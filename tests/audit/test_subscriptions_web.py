"""Subscriptions inside a web process: they come with its requests and go with its loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from mongoengine import Document, StringField

from bzz.errors import SetupError
from tests.audit.subscribers import hurry
from tests.house import built
from tests.support import Server, wait_until


@pytest.fixture
def seen(database, monkeypatch):
    """The positions that a subscription of a house gets that works by itself."""
    hurry(monkeypatch)
    with built(work=True) as house:
        found = []
        house.auditor.subscribe("index")(lambda event, ctx: found.append(event.position))
        found_in = Found(house, found)
        yield found_in
        house.auditor.close()


class Found:
    def __init__(self, house, positions):
        self.house, self.positions = house, positions


def threads():
    return [each for each in threading.enumerate() if each.name == "bzz-index"]


@pytest.mark.parametrize("path", ["/user/", "/history/"])
def test_they_start_with_the_first_request_and_end_with_the_loop(seen, path):
    house = seen.house
    routes = [*house.routes(), *house.auditor.routes()]
    house.make(name="Ana")
    assert [] == threads()
    with Server(routes) as server:
        server.get(path)
        wait_until(lambda: [1] == seen.positions)
    wait_until(lambda: not threads())


def test_a_request_that_writes_is_followed_by_its_event(seen):
    with Server(seen.house.routes()) as server:
        assert 201 == server.post("/user/", {"name": "Ana"}).status
        wait_until(lambda: [1] == seen.positions)


def test_they_go_on_with_the_next_loop(seen):
    routes = seen.house.routes()
    for expected in ([1], [1, 2]):
        with Server(routes) as server:
            server.post("/user/", {"name": "Ana"})
            wait_until(lambda expected=expected: expected == seen.positions)
        wait_until(lambda: not threads())


def test_they_may_be_started_sooner(seen):
    seen.house.track()
    seen.house.make(name="Ana")

    async def main():
        await seen.house.auditor.start()
        while not seen.positions:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 20))
    wait_until(lambda: not threads())

    assert [1] == seen.positions


def test_one_that_is_declared_later_runs_too(seen):
    others = []
    with Server(seen.house.routes()) as server:
        server.post("/user/", {"name": "Ana"})
        wait_until(lambda: seen.positions)
        seen.house.auditor.subscribe("other")(lambda event, ctx: others.append(event.position))
        wait_until(lambda: [1] == others)


def test_they_are_left_to_a_worker_when_the_auditor_does_no_work(database):
    with built(work=False) as house:
        house.auditor.subscribe("index")(print)
        with Server(house.routes()) as server:
            server.post("/user/", {"name": "Ana"})
            asyncio.run(house.auditor.start())

            assert [] == threads()


def test_closing_the_auditor_ends_them(seen):
    with Server(seen.house.routes()) as server:
        server.get("/user/")
        wait_until(threads)
        seen.house.auditor.close()

        assert [] == threads()


def test_a_model_that_is_not_audited_is_refused_when_the_auditor_is_prepared(database):
    class Stray(Document):
        name = StringField()

    with built() as house:
        house.auditor.subscribe("index", model=Stray)(print)
        with pytest.raises(SetupError) as error:
            house.track()

    assert "Stray is not audited" in str(error.value)


def test_mongomock_has_none(mock_database):
    with built() as house:
        house.track()
        house.auditor.subscribe("index")(print)
        with pytest.raises(SetupError) as error:
            house.auditor.subscriptions()
        with pytest.raises(SetupError):
            house.auditor.worker()

    assert "only a replica set has" in str(error.value)
