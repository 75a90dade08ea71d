"""Many readers of one loop are woken some at a time, and each is told all."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from bzz.audit.audience import AT_ONCE, Audience

MANY = 5 * AT_ONCE + 1


class FakeHub:
    """Tells what a test says."""

    is_closed = False

    def listen(self, listener):
        self.tell = listener
        return lambda: None


class Reader:
    def __init__(self, told):
        self.told = told

    def hear(self, news):
        self.told.append((self, news))
        return False


def told_to_many(*news, also=lambda loop, told: None):
    """What many readers were told, in order; `also` is done when the telling has begun."""
    told, hub = [], FakeHub()

    async def follow():
        loop = asyncio.get_running_loop()
        audience = Audience(hub, size=MANY)
        with ExitStack() as stack:
            for _ in range(MANY):
                stack.enter_context(audience.seat(Reader(told)))
            for each in news:
                hub.tell(each)
            also(loop, told)
            async with asyncio.timeout(30):
                while len(told) < MANY * len(news):
                    await asyncio.sleep(0)

    asyncio.run(follow())
    return told


def test_each_is_told_all_in_order():
    told = told_to_many("first", "second", "third")

    by_reader = {}
    for reader, news in told:
        by_reader.setdefault(reader, []).append(news)
    assert [["first", "second", "third"]] * MANY == list(by_reader.values())


def test_what_else_is_on_the_loop_gets_its_turn_in_between():
    counts = []
    told_to_many("news", also=lambda loop, told: loop.call_later(0.001, _count, counts, told))

    assert 0 < counts[0] < MANY


def _count(counts, told):
    counts.append(len(told))


def test_the_end_is_told_to_all():
    hub = FakeHub()

    async def follow():
        audience = Audience(hub, size=MANY)
        with ExitStack() as stack:
            seats = [stack.enter_context(audience.seat(Reader([]))) for _ in range(MANY)]
            hub.tell(None)
            async with asyncio.timeout(30):
                await asyncio.gather(*(each.wait(30) for each in seats))
            return [each.is_over for each in seats]

    assert [True] * MANY == asyncio.run(follow())
