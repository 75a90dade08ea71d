"""Brings the events of one subscription to its consumer, in their order, a step at a time.

What the consumer writes through its context is stored in one transaction with the checkpoint,
which moves only from where this worker has seen it: of any number of workers one is right at a
time, whatever they believe.  Knows no threads and no leases: how a consumer is called is given.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pymongo
from pymongo.errors import PyMongoError

from bzz.audit.checkpoints import Checkpoint, CheckpointStore, Trouble
from bzz.audit.consuming import ConsumerContext, Effects
from bzz.audit.errors import CheckpointMoved, ConsumerFailed, ConsumerLate
from bzz.audit.events import Event
from bzz.audit.parking import Parked, ParkingStore, Waits, stream_key
from bzz.audit.recorder import utc_now
from bzz.audit.seals import LogHead
from bzz.audit.store import unpacked
from bzz.audit.subscribing import FIRST, LATEST, Declaration, Start
from bzz.errors import Undecided
from bzz.recording import Model
from bzz.sessions import kill
from bzz.silence import is_silence
from bzz.source import Source
from bzz.transactions import (
    Deadline,
    abort,
    commit,
    is_transient,
    longest_pause,
    said,
    transaction_options,
)

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

T = TypeVar("T")

Stored = dict[str, Any]
Caller = Callable[[Callable[[], Any], Effects], None]
"""Calls a consumer's work, which may be awaitable, and raises what it raises."""

_STORING = 10.0
"""Seconds for what is read and stored beside the consumer."""
_SLICE = 1.0
"""Seconds after which it is looked whether an earlier event is to be tried again."""


class Interrupted(Exception):
    """The worker is to end: the event in work is taken back, and nothing is counted."""


class _Away(Exception):
    """The database was away when an event was read; `away` is what the driver raised."""

    def __init__(self, away: Exception) -> None:
        super().__init__(str(away))
        self.away = away


_NOBODYS_FAULT = (CheckpointMoved, Interrupted, Undecided, _Away)
"""What is no failure of a consumer."""


@dataclass(frozen=True, slots=True)
class Books:
    """Where subscriptions of one database are kept."""

    database: Any
    checkpoints: CheckpointStore
    parking: ParkingStore

    @classmethod
    def of(cls, database: Any) -> Books:
        """Those of a database."""
        return cls(database, CheckpointStore(database), ParkingStore(database))

    def prepare(self) -> None:
        """Make what is missing."""
        self.checkpoints.prepare()
        self.parking.prepare()


def first_position(auditor: Auditor, start: Start, head: LogHead) -> int:
    """The position behind which a subscription begins."""
    if start == FIRST:
        return 0
    if start == LATEST:
        return head.position
    if isinstance(start, datetime):
        return _position_before(auditor, start, head.position)
    return int(start) - 1


def _position_before(auditor: Auditor, time: datetime, last: int) -> int:
    """About the last position whose event is older: times follow positions but roughly."""
    low, high = 0, last
    while low < high:
        middle = (low + high + 1) // 2
        found = auditor.store.numbered({}, range(middle, last + 1), newest_first=False, limit=1)
        if found and _time(found[0]) < time:
            low = middle
        else:
            high = middle - 1
    return low


def _time(stored: Stored) -> datetime:
    return unpacked(stored, "").time


class Delivery:
    """One subscription's work, for one worker.

    `call` calls its consumer.  With `into` it is a replay into that target: a checkpoint of its
    own, and a failure ends it.
    """

    def __init__(
        self, auditor: Auditor, declaration: Declaration, call: Caller, *, into: str | None = None
    ) -> None:
        self._auditor = auditor
        self._declaration = declaration
        self._call = call
        self._into = into
        self.name = declaration.name if into is None else f"{declaration.name}>{into}"
        self._books = auditor.books
        self._database = auditor.books_database
        self._client = self._database.client
        self._session: Any = None
        self._has_tried_again = False
        tracked = auditor.tracked_for(declaration)
        self._query = declaration.query(tracked)
        self._models: tuple[Model, ...] = tuple(each.model for each in tracked)

    # Steps -------------------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The session of its transactions."""
        if self._session is None:
            self._session = self._client.start_session()
        return self._session

    def checkpoint(self) -> Checkpoint:
        """How far it has come; begins where it was declared to, when it has not begun yet."""
        found = self._books.checkpoints.read(self.name)
        if found is not None:
            return found
        head = self._auditor.feed.head()
        position = first_position(self._auditor, self._declaration.start, head)
        return self._books.checkpoints.begin(Checkpoint(self.name, position, head.epoch))

    def step(self) -> bool:
        """Try one event that waits, or go on with some of the next; whether there was anything.

        Raises `SubscriptionStopped`, `Interrupted`, and what the driver raises.  Another worker
        that is faster is no error.
        """
        with pymongo.timeout(_STORING):
            checkpoint = self.checkpoint()
            head = self._auditor.feed.head()
            checkpoint.check(head)
            # In turn: streams that fail, one after another, must not hold up those that do not.
            is_new_turn, self._has_tried_again = self._has_tried_again, False
            parked = None if is_new_turn else self._books.parking.due(self.name)
        try:
            if parked is not None:
                self._has_tried_again = True
                self._try_again(checkpoint, parked)
                return True
            return self._go_on(checkpoint, head) or is_new_turn
        except CheckpointMoved:
            return True
        except _Away as error:
            raise error.away from error
        except Undecided:
            self._end_session()  # whatever it was: it is decided now, and the next step sees it
            return True

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            session.end_session()

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            kill(self._client, session.session_id)
            session.end_session()

    # The next events ---------------------------------------------------------------------

    def _go_on(self, checkpoint: Checkpoint, head: LogHead) -> bool:
        bounds = range(checkpoint.position + 1, head.position + 1)
        until = time.monotonic() + _SLICE
        with pymongo.timeout(_STORING):
            piece = next(self._auditor.feed.pieces(self._query, bounds), None)
            if piece is None:
                return False
            if not piece.events:
                self._books.checkpoints.move(checkpoint, piece.reached)
                return True
            queues = self._books.parking.queues(self.name, piece.events)
        rest = piece.events
        while rest and time.monotonic() < until:
            size = self._size(rest, queues)
            part, rest = rest[:size], rest[size:]
            last = int(part[-1]["p"]) if rest else piece.reached
            checkpoint = self._deal_with(checkpoint, part, last, queues)
        return True

    def _size(self, events: list[Stored], queues: dict[Any, Waits]) -> int:
        """How many of some events to take at once: those up to one that has to queue."""
        size = 0
        for event in events[: self._declaration.options.batch]:
            if stream_key(event) in queues:
                break
            size += 1
        return max(size, 1)

    def _deal_with(
        self, checkpoint: Checkpoint, events: list[Stored], last: int, queues: dict[Any, Waits]
    ) -> Checkpoint:
        state = queues.get(stream_key(events[0]))
        if state is not None:
            return self._queue(checkpoint, events[0], last, state)
        try:
            return self._deliver(checkpoint, events, last)
        except _NOBODYS_FAULT:
            raise
        except Exception as error:  # whatever a consumer raises
            if len(events) > 1:  # which of them it was is found out one by one
                return self._one_by_one(checkpoint, events, last, queues)
            return self._set_aside(checkpoint, events[0], last, queues, error)

    def _one_by_one(
        self, checkpoint: Checkpoint, events: list[Stored], last: int, queues: dict[Any, Waits]
    ) -> Checkpoint:
        for event in events[:-1]:
            checkpoint = self._deal_with(checkpoint, [event], int(event["p"]), queues)
        return self._deal_with(checkpoint, events[-1:], last, queues)

    def _deliver(self, checkpoint: Checkpoint, events: list[Stored], last: int) -> Checkpoint:
        """Give events to the consumer, with the move of the checkpoint."""
        moved = checkpoint

        def fence(session: Any) -> None:
            nonlocal moved
            moved = self._books.checkpoints.move(
                checkpoint, last, delivered=len(events), session=session
            )

        self._attempt(events, 1, fence)
        return moved

    def _queue(self, checkpoint: Checkpoint, event: Stored, last: int, state: Waits) -> Checkpoint:
        """Let an event wait behind others of its stream."""

        def store(session: Any) -> Checkpoint:
            moved = self._books.checkpoints.move(checkpoint, last, session=session)
            self._books.parking.join(self.name, event, state, session=session)
            return moved

        return self._store(store)

    def _set_aside(
        self,
        checkpoint: Checkpoint,
        event: Stored,
        last: int,
        queues: dict[Any, Waits],
        error: Exception,
    ) -> Checkpoint:
        """Let an event that has failed wait for its next try."""
        if self._into is not None:
            raise ConsumerFailed(self._declaration.name, int(event["p"]), error) from error
        retries = self._retries(error)
        trouble = Trouble(int(event["p"]), _said(error), utc_now())

        def store(session: Any) -> Checkpoint:
            moved = self._books.checkpoints.move(checkpoint, last, trouble=trouble, session=session)
            self._books.parking.begin(
                self.name, event, trouble.what, retries=retries, session=session
            )
            return moved

        moved = self._store(store)
        queues[stream_key(event)] = Waits.WAITING if retries else Waits.PARKED
        return moved

    # Events that wait --------------------------------------------------------------------

    def _try_again(self, checkpoint: Checkpoint, parked: Parked) -> None:
        bounds = range(parked.position, parked.position + 1)
        events = self._auditor.store.numbered({}, bounds, newest_first=False, limit=1)

        def fence(session: Any) -> None:
            self._books.checkpoints.move(
                checkpoint, checkpoint.position, delivered=1, session=session
            )
            self._books.parking.done(self.name, parked, session=session)

        try:
            self._attempt(events, parked.attempts + 1, fence)
        except _NOBODYS_FAULT:
            raise
        except Exception as error:  # whatever a consumer raises
            self._failed_again(checkpoint, parked, error)

    def _failed_again(self, checkpoint: Checkpoint, parked: Parked, error: Exception) -> None:
        trouble = Trouble(parked.position, _said(error), utc_now())
        retries = self._retries(error)

        def store(session: Any) -> None:
            self._books.checkpoints.move(
                checkpoint, checkpoint.position, trouble=trouble, session=session
            )
            self._books.parking.failed(
                self.name, parked, trouble.what, retries=retries, session=session
            )

        self._store(store)

    def _retries(self, error: Exception) -> int:
        """How often to try again: what hangs costs a thread each time, which may never end."""
        retries = self._declaration.options.retries
        return min(retries, 1) if isinstance(error, ConsumerLate) else retries

    # One attempt -------------------------------------------------------------------------

    def _attempt(self, events: list[Stored], attempt: int, fence: Callable[[Any], object]) -> None:
        """Give events to the consumer and store what it does; again when the database asks."""
        deadline = Deadline(self._declaration.options.deadline)
        for count in range(1_000_000):
            try:
                self._once(events, attempt, fence)
                return
            except _NOBODYS_FAULT:
                raise
            except Exception as error:
                pause = longest_pause(count)
                if not is_transient(error) or deadline.remaining <= pause:
                    raise
                time.sleep(random.uniform(0, pause))

    def _once(self, events: list[Stored], attempt: int, fence: Callable[[Any], object]) -> None:
        told = self._read(events)
        effects = Effects(self._client, self.session, fence)
        try:
            for event in told:
                context = ConsumerContext(
                    self._declaration.name,
                    attempt=attempt,
                    into=self._into,
                    database=self._database,
                    effects=effects,
                )
                self._call(partial(self._declaration.consumer, event, context), effects)
            with pymongo.timeout(_STORING):
                effects.commit(Deadline(_STORING))
        except BaseException as error:
            if effects.is_cut_off:
                self._session = None  # the consumer's, as long as it runs
            else:
                effects.abort()
            if effects.failure is not None and effects.failure is not error:
                raise effects.failure from error  # the consumer has caught it, or wrapped it
            raise

    def _read(self, events: list[Stored]) -> list[Event]:
        """As `_told`.  Raises `_Away` while no database answers, for which no consumer can help."""
        try:
            return self._told(events)
        except Exception as error:
            if is_silence(error):
                raise _Away(error) from error
            raise

    def _told(self, events: list[Stored]) -> list[Event]:
        """Events as they may be told today, of those documents that are meant."""
        found = list[Event]()
        for stored in events:
            history = self._auditor.history_under(stored["s"], stored["d"])
            if history is not None and self._is_meant(history):
                found.extend(history.told([unpacked(stored, "")]))
        return found

    def _is_meant(self, history: Any) -> bool:
        """Whether a document is of a class that is wanted; some share a stream with others."""
        if issubclass(history.model, self._models):
            return True
        own = Source.of(history.model).class_of(history.last_state())
        return issubclass(own, self._models)

    def _store(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, again when the database asks for it."""
        deadline = Deadline(_STORING)
        while True:
            session = self.session
            session.start_transaction(**transaction_options())
            try:
                with pymongo.timeout(_STORING):
                    found = work(session)
                commit(session, deadline)
                return found
            except BaseException as error:
                abort(session)
                if not is_transient(error) or not deadline.remaining:
                    raise
            time.sleep(random.uniform(0, longest_pause(3)))


def _said(error: BaseException) -> str:
    """What a consumer raised, in short; of the database without the documents that it lists."""
    told = said(error) if isinstance(error, PyMongoError) else str(error)
    return f"{type(error).__name__}: {told}"
