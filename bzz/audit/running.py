"""Runs subscriptions in threads of this process, each in one of its own.

A slow, failing or hanging consumer holds up its own subscription alone.  A lease lets one of all
processes work and the next one take over; what is stored does not depend on it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import InvalidOperation, PyMongoError

from bzz.audit.background import Background
from bzz.audit.calling import Hand
from bzz.audit.consuming import Effects
from bzz.audit.delivering import Delivery, Interrupted
from bzz.audit.errors import ConsumerLate, SubscriptionStopped
from bzz.audit.leasing import LEASE, Lease
from bzz.audit.seals import LogHead
from bzz.audit.subscribing import Declaration
from bzz.transactions import said

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

POLL = 1.0
"""Seconds after which a worker looks at what nobody tells it of."""
LEFT_BEHIND = 16
"""Calls of one consumer that may hang at a time; with so many the subscription waits."""
_RENEWAL = LEASE / 4
_SLICE = 0.05
"""Seconds after which a waiting thread looks whether it was told to end."""
_GRACE = 1.0
"""Seconds by which a consumer that was cancelled may be later than its deadline."""
_CLOSING = 2.0
_PAUSES = (1.0, 30.0)
_log = logging.getLogger("bzz.audit")


class Caller:
    """Calls one consumer with a deadline, and leaves behind what hangs.

    While it waits it calls `renew` now and then.  Once `closed` is set it takes on nothing new,
    and waits for what runs as many seconds as `grace` says.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        closed: threading.Event,
        *,
        renew: Callable[[], object] = lambda: None,
        grace: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._name = f"bzz-consumer-{name}"
        self._seconds = seconds
        self._closed = closed
        self._renew = renew
        self._grace = grace
        self._hand = Hand(self._name)
        self._behind: list[Hand] = []

    @property
    def is_overrun(self) -> bool:
        """Whether as many calls hang as may."""
        self._behind = [each for each in self._behind if each.is_alive]
        return len(self._behind) >= LEFT_BEHIND

    def __call__(self, work: Callable[[], Any], effects: Effects) -> None:
        """Call `work`.  Raises what it raises, `ConsumerLate`, and `Interrupted`."""
        if self._closed.is_set():
            raise Interrupted
        future = self._hand.give(work, self._seconds)
        begun = time.monotonic()
        renewed, closing = begun, None
        while True:
            with suppress(TimeoutError):
                future.exception(_SLICE)
            if future.done():
                future.result()
                return
            now = time.monotonic()
            if self._closed.is_set():
                closing = closing or now
                if now - closing >= self._grace():
                    self._leave_behind(future, effects)
                    raise Interrupted
            if now - begun >= self._seconds + _GRACE:
                self._leave_behind(future, effects)
                raise ConsumerLate(self._seconds)
            if now - renewed >= _RENEWAL:
                self._renew()
                renewed = now

    def close(self) -> None:
        """Let the thread end."""
        self._hand.dismiss()

    def _leave_behind(self, future: Future[None], effects: Effects) -> None:
        effects.cut_off()
        future.add_done_callback(lambda _: effects.session.end_session())
        self._hand.dismiss()
        self._behind.append(self._hand)
        self._hand = Hand(self._name)


class Runner:
    """One subscription at work in this process, until it is closed, its loop or its client is."""

    def __init__(
        self,
        auditor: Auditor,
        declaration: Declaration,
        is_over: Callable[[], bool],
    ) -> None:
        self._auditor = auditor
        self._declaration = declaration
        self._is_over = is_over
        self._told: str | None = None
        self._background = Background(f"bzz-{declaration.name}", self._serve)
        self._grace = 0.0

    @property
    def name(self) -> str:
        """The name of the subscription."""
        return self._declaration.name

    def start(self) -> None:
        """Start the thread."""
        self._background.start()

    def close(self, grace: float) -> None:
        """End it; the event in work is done after so many seconds, or taken back."""
        self._grace = grace
        self._background.tell()

    def join(self, seconds: float) -> None:
        """Wait until it has ended, at most for some seconds."""
        self._background.close(seconds)

    # The thread --------------------------------------------------------------------------

    def _serve(self, closed: threading.Event) -> None:
        pause = _PAUSES[0]
        while not closed.is_set() and not self._is_over():
            try:
                self._auditor.prepare()
                self._work(closed)
                pause = _PAUSES[0]
            except Interrupted:
                return
            except Exception as error:  # whatever it is, it may be better later
                if isinstance(error, InvalidOperation) and self._auditor.feed.has_ended():
                    return
                self._tell(error)
                closed.wait(pause)
                pause = min(2 * pause, _PAUSES[1])

    def _work(self, closed: threading.Event) -> None:
        """Work as long as there is nothing wrong."""
        lease = self._auditor.books.checkpoints.lease(self._declaration.name)
        caller = Caller(
            self._declaration.name,
            self._declaration.options.deadline,
            closed,
            renew=lambda: self._renew(lease, delivery),
            grace=lambda: self._grace,
        )
        delivery = Delivery(self._auditor, self._declaration, caller)
        try:
            head = LogHead(-1, "")
            while not closed.is_set() and not self._is_over():
                if caller.is_overrun:
                    self._say(f"{LEFT_BEHIND} calls of its consumer hang; it waits for one to end.")
                    self._give_up(lease)
                    closed.wait(POLL)
                elif not self._renew(lease, delivery):
                    closed.wait(POLL)
                elif not delivery.step():
                    head = self._wait(head, closed)
                else:
                    self._told = None
        finally:
            self._give_up(lease)
            caller.close()
            delivery.close()

    def _wait(self, head: LogHead, closed: threading.Event) -> LogHead:
        """Wait for new positions, or a while."""
        watch = self._auditor.watch
        if watch is None or watch.is_closed:
            closed.wait(POLL)
            return head
        return watch.wait(head, POLL)

    def _renew(self, lease: Lease, delivery: Delivery) -> bool:
        with pymongo.timeout(LEASE):
            return lease.take(delivery.session.client, delivery.session.session_id)

    def _give_up(self, lease: Lease) -> None:
        with suppress(PyMongoError), pymongo.timeout(1):  # else it runs out by itself
            lease.give_up()

    def _tell(self, error: Exception) -> None:
        stopped = isinstance(error, SubscriptionStopped)
        self._say(str(error) if stopped else said(error) or repr(error))

    def _say(self, what: str) -> None:
        # Once, until it is something else: it may take an hour until somebody has mended it.
        level = logging.DEBUG if what == self._told else logging.ERROR
        _log.log(level, "Subscription %s: %s", self._declaration.name, what)
        self._told = what


class Worker:
    """The subscriptions of an auditor at work in this process, all or some.

    `auditor.worker()` gives it.  With a `loop` they end when that is closed.
    """

    def __init__(
        self,
        auditor: Auditor,
        declarations: Iterable[Declaration],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._loop = loop
        self._runners = [Runner(auditor, each, self._is_over) for each in declarations]

    @property
    def names(self) -> list[str]:
        """The subscriptions that it runs."""
        return [each.name for each in self._runners]

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop with which they end."""
        return self._loop

    def start(self) -> None:
        """Start the threads."""
        for each in self._runners:
            each.start()

    def add(self, auditor: Auditor, declaration: Declaration) -> None:
        """One more, which was declared later."""
        runner = Runner(auditor, declaration, self._is_over)
        self._runners.append(runner)
        runner.start()

    def close(self, grace: float = 2.0) -> None:
        """End the threads, for good.

        Events in work are done within `grace` seconds, or are taken back; others may take over
        at once.
        """
        for each in self._runners:
            each.close(grace)
        until = time.monotonic() + grace + _CLOSING
        for each in self._runners:
            each.join(max(until - time.monotonic(), 0.0))

    def _is_over(self) -> bool:
        return self._loop is not None and self._loop.is_closed()
