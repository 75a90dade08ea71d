"""What the tests of subscriptions share: a worker in a block, and soon instead of in a second."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bzz import MongoEngineRestHandler
from bzz.audit import parking, running
from tests.house import House


@contextmanager
def working(house: House, *names: str) -> Iterator[Any]:
    """A worker of the house's subscriptions, or of some, for the length of a block."""
    worker = house.auditor.worker(names or None)
    worker.start()
    try:
        yield worker
    finally:
        worker.close()


def hurry(monkeypatch: Any, *, pause: float = 0.01) -> None:
    """Let workers look and try again after hundredths of seconds."""
    monkeypatch.setattr(parking, "FIRST_PAUSE", pause)
    monkeypatch.setattr(parking, "LONGEST_PAUSE", pause)
    monkeypatch.setattr(running, "POLL", 0.02)


def caught_up(house: House, name: str = "index") -> Any:
    """The subscription, once it has dealt with all that was committed."""
    subscription = house.auditor.subscription(name)
    subscription.wait_until_caught_up(30)
    return subscription


class Guarded(MongoEngineRestHandler):
    """Refuses the actions that the header names."""

    def may(self, action, model, pk):
        return action not in self.request.headers.get("X-Never", "").split(",")


class Sickness:
    """A consumer that fails at the documents that are `ill`, and writes down the others' events."""

    def __init__(self, house: House, **options: Any) -> None:
        self.ill: set[Any] = set()
        self.done: list[int] = []
        self.tried: list[tuple[int, int]] = []
        house.auditor.subscribe("index", **options)(self.index)

    def index(self, event: Any, ctx: Any) -> None:
        self.tried.append((event.position, ctx.attempt))
        if event.document in self.ill:
            raise ValueError("ill")
        ctx.collection("done").insert_one({"_id": event.position})
        self.done.append(event.position)
