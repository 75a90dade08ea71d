"""One subscription to those who look after it: how it stands, and what is to become of it.

Reads and writes what its workers read; the work itself is theirs.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from bzz.audit.checkpoints import Checkpoint
from bzz.audit.context import actor_from, checked_reason
from bzz.audit.delivering import Delivery, first_position
from bzz.audit.errors import ContextError, NotReplayable, SubscriptionStopped, TargetNotEmpty
from bzz.audit.events import SYSTEM
from bzz.audit.parking import Parked, Waits
from bzz.audit.recorder import utc_now
from bzz.audit.running import Caller
from bzz.audit.store import unpacked
from bzz.audit.subscribing import Declaration, Start, checked_start
from bzz.errors import SetupError
from bzz.transactions import Deadline

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

T = TypeVar("T")

_INTO = re.compile(r"[A-Za-z0-9_]{1,60}")
_LOOK = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """How a subscription stands.

    Attributes
    ----------
    name: of the subscription.
    state: 'running' where a worker has it, 'idle' where none has, 'stopped' where its positions
        are not those of the database any more.
    position: the last one that is dealt with.
    lag: how many positions there are behind it.
    age: seconds since the first event behind it was made; None when there is none.
    parked: events that wait for somebody to retry or skip them.
    waiting: events that wait for their next try.
    skipped: events that somebody has left out.
    delivered: events that its consumer was done with.
    failed: how often its consumer failed.
    error: what it failed with last, or why it has stopped; None before the first time.
    error_position, error_time: at which event, and when.
    worker: the host and process that has it; None when none has.
    """

    name: str
    state: str
    position: int
    lag: int
    age: float | None
    parked: int
    waiting: int
    skipped: int
    delivered: int
    failed: int
    error: str | None
    error_position: int | None
    error_time: datetime | None
    worker: str | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has done.

    Attributes
    ----------
    position: the last position that it dealt with.
    delivered: how many events the consumer got in all.
    """

    position: int
    delivered: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Restart:
    """What a restart will do.

    Attributes
    ----------
    position: behind which the subscription goes on.
    head: the last position that there is.
    again: events that its consumer was done with, or that were left out, and that come again.
    passed: events that it has not dealt with yet, and that will not come.
    forgotten: events that it has set aside and forgets, since they come again.
    """

    position: int
    head: int
    again: int
    passed: int
    forgotten: int


class Subscription:
    """One subscription, to be looked after.  `auditor.subscription(name)` gives it.

    Attributes
    ----------
    name: of the subscription.
    """

    def __init__(self, auditor: Auditor, declaration: Declaration) -> None:
        self._auditor = auditor
        self._declaration = declaration
        self._books = auditor.books
        self.name = declaration.name

    @property
    def models(self) -> list[Any]:
        """The classes whose events it wants."""
        return [each.model for each in self._auditor.tracked_for(self._declaration)]

    # How it stands -----------------------------------------------------------------------

    def status(self) -> Status:
        """How it stands now; one that no worker has begun yet stands where it will begin."""
        checkpoint = self._checkpoint()
        head = self._auditor.feed.head()
        worker = self._books.checkpoints.lease(self.name).holder()
        state, stopped = "idle" if worker is None else "running", None
        try:
            checkpoint.check(head)
        except SubscriptionStopped as error:
            state, stopped = "stopped", str(error)
        counts = self._books.parking.counts(self.name)
        trouble = checkpoint.trouble
        return Status(
            name=self.name,
            state=state,
            position=checkpoint.position,
            lag=max(head.position - checkpoint.position, 0),
            age=self._age(checkpoint, head.position),
            parked=counts.get(Waits.PARKED, 0),
            waiting=counts.get(Waits.WAITING, 0),
            skipped=counts.get(Waits.SKIPPED, 0),
            delivered=checkpoint.delivered,
            failed=checkpoint.failed,
            error=stopped or (trouble and trouble.what),
            error_position=None if trouble is None else trouble.position,
            error_time=None if trouble is None else trouble.time,
            worker=worker,
        )

    def parked(self, *, after: int = 0, limit: int = 0, skipped: bool = False) -> list[Parked]:
        """Events that it has parked, in the order of their positions; or those skipped.

        Only those `after` a position, and the first `limit` (0: all) of them.
        """
        state = Waits.SKIPPED if skipped else Waits.PARKED
        return self.set_aside(state, after=after, limit=limit)

    def set_aside(self, state: Waits, *, after: int = 0, limit: int = 0) -> list[Parked]:
        """As `parked`, of any state."""
        return self._books.parking.listed(self.name, state, after=after, limit=limit)

    def wait_until_caught_up(self, seconds: float) -> None:
        """Wait until it has dealt with all events that were committed before the call.

        Parked ones are dealt with.  Gives them their positions first, and waits until a worker
        has begun the subscription.  Raises `TimeoutError` when that takes longer than so many
        seconds, `SubscriptionStopped`.
        """
        self._auditor.sequence()
        head = self._auditor.feed.head()
        deadline = Deadline(seconds)
        while not self._has_passed(head.position):
            if not deadline.remaining:
                raise TimeoutError(
                    f"The subscription {self.name!r} has not dealt with position {head.position} "
                    f"within {seconds:g} s: {self.status()}"
                )
            time.sleep(_LOOK)

    def _has_passed(self, position: int) -> bool:
        checkpoint = self._books.checkpoints.read(self.name)
        if checkpoint is None:  # no worker has begun it, and 'latest' is decided when one does
            return False
        checkpoint.check(self._auditor.feed.head())
        waiting = self._books.parking.listed(self.name, Waits.WAITING, limit=1)
        is_waited_for = bool(waiting) and waiting[0].position <= position
        return checkpoint.position >= position and not is_waited_for

    def _checkpoint(self) -> Checkpoint:
        found = self._books.checkpoints.read(self.name)
        if found is not None:
            return found
        head = self._auditor.feed.head()
        position = first_position(self._auditor, self._declaration.start, head)
        return Checkpoint(self.name, position, head.epoch)

    def _age(self, checkpoint: Checkpoint, last: int) -> float | None:
        bounds = range(checkpoint.position + 1, last + 1)
        for stored in self._auditor.store.numbered({}, bounds, newest_first=False, limit=1):
            return max((utc_now() - unpacked(stored, "").time).total_seconds(), 0.0)
        return None

    # What is to become of it -------------------------------------------------------------

    def retry(self, position: int | None = None) -> int:
        """Let parked events be tried again, by whichever worker has the subscription.

        That of a position with all others of its stream, in their order, until one fails; without
        a position those of all streams.  The number of streams.  Raises `NotParked`,
        `Unavailable` when the worker leaves no moment for it.
        """

        def ask(session: Any) -> int:
            parking = self._books.parking
            if position is None:
                return parking.ask_all(self.name, session=session)
            parked = parking.one(self.name, position, session=session)
            parking.ask(self.name, parked, session=session)
            return 1

        return self._change(ask)

    def skip(self, position: int, *, reason: str, actor: Any = SYSTEM) -> None:
        """Leave a parked event out, for good; it is kept with who did that, when and why.

        If it was the first one that is parked of its stream, the others are tried again.
        Raises `NotParked`, `ContextError` for a reason or an actor that cannot be kept,
        `Unavailable` as `retry`.
        """
        who = actor_from(actor)
        by = who.kind if who.id is None else f"{who.kind}:{who.id}"
        why = checked_reason(reason)
        if why is None:
            raise ContextError("A skipped event needs a reason: say why it is left out.")

        def skip(session: Any) -> None:
            parking = self._books.parking
            parked = parking.one(self.name, position, session=session)
            parking.skip(self.name, parked, by=by, reason=why, session=session)

        self._change(skip)

    def preview_restart(self, start: Start) -> Restart:
        """What `restart` will do from how it stands now.  Raises as `restart`.

        Counts events, which takes a while where there are many.
        """
        head = self._auditor.feed.head()
        position = first_position(self._auditor, checked_start(self.name, start), head)
        present = min(self._checkpoint().position, head.position)
        return Restart(
            position=position,
            head=head.position,
            again=self._count(position, present),
            passed=self._count(present, position),
            forgotten=self._books.parking.behind(self.name, position),
        )

    def _count(self, after: int, last: int) -> int:
        """How many events that it wants have positions after one, up to another."""
        if after >= last:
            return 0
        declaration = self._declaration
        wanted = declaration.query(self._auditor.tracked_for(declaration))
        _, events = self._auditor.store.count(
            {"$and": [{"p": {"$gt": after, "$lte": last}}, wanted]}
        )
        return events

    def restart(self, start: Start) -> None:
        """Let it go on from another place: 'first', 'latest', a position or a time.

        What it has parked from there on is forgotten, since it comes again.  Raises `SetupError`
        for what is no start.
        """
        start = checked_start(self.name, start)
        head = self._auditor.feed.head()
        position = first_position(self._auditor, start, head)
        self._books.checkpoints.begin(self._checkpoint())

        def restart(unit: Any) -> None:
            checkpoints, session = self._books.checkpoints, unit.session
            held = checkpoints.hold(self.name, session=session)
            if held is not None:
                checkpoints.restart(held, position, head.epoch, session=session)
                self._books.parking.forget(self.name, after=position, session=session)

        self._auditor.alone(restart, deadline=Deadline())

    def replay(
        self,
        into: str,
        *,
        after: int = 0,
        progress: Callable[[Replayed], object] | None = None,
    ) -> Replayed:
        """Run the consumer over the history again, into a fresh target, in this thread.

        It gets the events after a position, up to the last one there is, with `ctx.replay` true;
        `ctx.collection('name')` is then the collection `name_into`.  It has a checkpoint of its
        own until it is done: where it was interrupted, call it again with the same target to go
        on where it ended, whatever `after` is then.  `progress` is called with how far it is,
        now and then.

        Raises `NotReplayable` for a consumer that is not to be run again, `SetupError` for a
        target that cannot be part of a name, `TargetNotEmpty` where a new one has documents,
        `ConsumerFailed` at the first event at which the consumer fails, `SubscriptionStopped`.
        """
        if not self._declaration.options.replayable:
            raise NotReplayable(self.name)
        if _INTO.fullmatch(into) is None:
            raise SetupError(
                f"A replay goes into a target named with letters, digits and '_', not {into!r}."
            )
        caller = Caller(self.name, self._declaration.options.deadline, threading.Event())
        delivery = Delivery(self._auditor, self._declaration, caller, into=into)
        head = self._auditor.feed.head()
        if self._books.checkpoints.read(delivery.name) is None:
            self._check_empty(into)
            self._books.checkpoints.begin(Checkpoint(delivery.name, after, head.epoch))
        try:
            while (checkpoint := delivery.checkpoint()).position < head.position:
                if progress is not None:
                    progress(Replayed(checkpoint.position, checkpoint.delivered))
                delivery.step()
            checkpoint.check(self._auditor.feed.head())
            self._books.checkpoints.drop(checkpoint)
        finally:
            caller.close()
            delivery.close()
        return Replayed(checkpoint.position, checkpoint.delivered)

    def _check_empty(self, into: str) -> None:
        database = self._auditor.books_database
        for name in database.list_collection_names():
            if name.endswith(f"_{into}") and database[name].find_one() is not None:
                raise TargetNotEmpty(name, "name another target, or drop it first.")

    def _change(self, work: Callable[[Any], T]) -> T:
        """Change what is parked, while no worker moves the checkpoint."""

        def change(unit: Any) -> T:
            self._books.checkpoints.hold(self.name, session=unit.session)
            return work(unit.session)

        return self._auditor.alone(change, deadline=Deadline())
