"""One try to run the writes of many requests in one transaction, each with a fate of its own.

The first write to each document of the batch is one wave, the second writes are the next: what a
wave loads and reads again is one command a collection.  Knows transactions and units; nothing of
queues and threads.
"""

from __future__ import annotations

import contextvars
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from bzz.errors import Superseded
from bzz.receivers import describe_receiver
from bzz.recording import Model, Recorder
from bzz.settling import is_alone, read_together, settle
from bzz.source import Source
from bzz.transactions import Deadline, chain, is_conflict, is_silence, outcome_of
from bzz.unit import Batch, Unit

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.5, 1.5


class Stage(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    COMMITTING = "committing"


@dataclass(eq=False, kw_only=True)
class Job:
    """One write as it is handed to the lane.

    Attributes
    ----------
    work: called with a new unit for each attempt; loads, applies, saves.
    finish: called with the value of `work` once the unit is settled; gives what the caller of
        the lane gets.  Still in the transaction.
    first: the class and the id (as stored) of the document that `work` loads first, if known:
        writes to one document queue behind each other, and first loads are read together.
    models: the classes whose documents are written; their receivers decide what may run
        together.
    size: bytes that came in.
    """

    work: Callable[[Unit], Any]
    finish: Callable[[Unit, Any], Any]
    models: frozenset[Model]
    first: tuple[Model, Any] | None = None
    contexts: Mapping[Recorder, object] = field(default_factory=dict)
    handler: Any = None
    deadline: Deadline = field(default_factory=Deadline)
    size: int = 0


class Member:
    """A job in the lane: where it is, and how it ended."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.context = contextvars.copy_context()
        self.future: Future[Any] = Future()
        self.stage = Stage.WAITING
        self.abandoned = False
        self.attempts = 0
        self.unit: Unit | None = None
        self.result: Any = None
        self.refusal: Exception | None = None

    @property
    def is_alone(self) -> bool:
        """Whether it is settled before another member runs."""
        return any(map(is_alone, self.job.models))

    @cached_property
    def key(self) -> tuple[Model, bytes] | None:
        """Names the document that it loads first."""
        if self.job.first is None:
            return None
        model, document_id = self.job.first
        return model, Source.of(model).key(document_id)[1]

    def begin(self, batch: Batch) -> None:
        """Forget an earlier attempt."""
        job = self.job
        self.unit = Unit(batch, contexts=job.contexts, handler=job.handler)
        self.result, self.refusal = None, None

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the member's own context, with its unit and the session bound."""
        return self.context.run(self._bound, function, args)

    def _bound(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        unit = self.unit
        if unit is None or unit.session is None:
            raise RuntimeError("A member runs in a batch.")
        left = max(self.job.deadline.remaining, 0.001)
        with unit.entered(), unit.session.bind(end_session=False), pymongo.timeout(left):
            return function(*args)

    def pause(self) -> float:
        """How long to stay away after a conflict, in seconds."""
        return random.uniform(0, min(_FIRST_PAUSE * _GROWTH**self.attempts, _LONGEST_PAUSE))

    def deliver(self) -> None:
        """Tell the waiting caller how it ended."""
        if self.refusal is not None:
            self._set(self.future.set_exception, self.refusal)
        else:
            self._set(self.future.set_result, self.result)

    def fail(self, error: BaseException) -> None:
        """Tell the waiting caller that nothing came of it."""
        self._set(self.future.set_exception, error)

    def _set(self, setter: Callable[[Any], None], value: Any) -> None:
        # The caller may have given up in this very moment.
        with suppress(Exception):
            setter(value)


class Aborted(Exception):
    """A batch came to nothing; `culprit` is the member at fault, None when it is nobody's."""

    def __init__(self, culprit: Member | None, error: BaseException) -> None:
        super().__init__(str(error))
        self.culprit = culprit
        self.error = error


class Lost(Exception):
    """The thread was stuck in somebody's code for so long that another has taken its place."""


class Attempt:
    """One try to run the members of a batch in one transaction."""

    def __init__(self, session: Any, members: list[Member]) -> None:
        self.members = members
        self.deadline = min((each.job.deadline for each in members), key=_left)
        self._batch = Batch(session, settle=self._settle_early)
        self._member_of: dict[Unit, Member] = {}
        self._running: list[Member] = []
        self._settled: set[Member] = set()
        self._culprit: Member | None = None
        self._session = session
        self.entered: float | None = None
        self.lost = False
        for each in members:
            each.begin(self._batch)
            if each.unit is not None:
                self._member_of[each.unit] = each

    def run(self) -> None:
        """Run, settle, append; all but the commit."""
        with pymongo.timeout(max(self.deadline.remaining, 0.001)):
            for wave in _waves(self.members):
                self._run_wave(wave)
            self._batch.flush()

    def describe(self) -> str:
        """Whose code is running, for a message."""
        activity = self._batch.activity
        if activity is not None:
            return f"{describe_receiver(activity.receiver)}, a receiver of {activity.signal},"
        models = {model.__name__ for each in self._running[-1:] for model in each.job.models}
        return f"A write of {' and '.join(sorted(models)) or 'this model'}"

    def kill(self, client: Any) -> None:
        """Let the server end the transaction, so that its locks are free at once."""
        with suppress(PyMongoError):
            client.admin.command("killSessions", [self._session.session_id])

    def blame(self, error: BaseException) -> Aborted:
        """The error with whom it is to be put down to."""
        if isinstance(error, Aborted):
            return error
        culprit = self._culprit
        if culprit is None and self._batch.at_fault is not None:
            culprit = self._member_of[self._batch.at_fault]
        if is_of_the_connection(error):
            culprit = None
        elif culprit is None and len(self.members) == 1:
            culprit = self.members[0]
        return Aborted(culprit, outcome_of(error))

    # Waves -----------------------------------------------------------------------------

    def _run_wave(self, wave: list[Member]) -> None:
        self._read_first(wave)
        together = [each for each in wave if not each.is_alone]
        for each in together:
            self._work(each)
        self._settle_all(together)
        for each in wave:
            if each not in self._settled:
                self._work(each)
                self._settle_all([each])

    def _read_first(self, wave: list[Member]) -> None:
        by_model: dict[Model, list[Member]] = {}
        for each in wave:
            if each.job.first is not None:
                by_model.setdefault(each.job.first[0], []).append(each)
        for model, members in by_model.items():
            if len(members) == 1:
                continue  # its own load asks for just what it needs
            ids = [each.job.first[1] for each in members if each.job.first is not None]
            self._batch.read(Source.of(model), ids)
            unit = members[0].unit
            if unit is not None:
                unit.read_heads(model, [each for each in ids if not unit.knows_head(model, each)])

    def _work(self, member: Member) -> None:
        unit = member.unit
        try:
            self._in(member, self._do_work, member)
        except Exception as error:
            if unit is None or unit.begun or unit.failure is not None or _is_of_server(error):
                self._culprit = self._culprit or member
                raise
            member.refusal = error
        if unit is not None and unit.failure is not None:
            self._culprit = self._culprit or member
            raise unit.failure

    @staticmethod
    def _do_work(member: Member) -> None:
        member.result = member.job.work(member.unit)  # type: ignore[arg-type]

    def _settle_all(self, members: Iterable[Member]) -> None:
        members = [each for each in members if each not in self._settled]
        read_together([each.unit for each in members if each.refusal is None and each.unit])
        for each in members:
            if each not in self._settled:
                self._settle(each)

    def _settle(self, member: Member) -> None:
        self._settled.add(member)
        unit = member.unit
        if unit is None:
            return
        if member.refusal is None:
            try:
                self._in(member, self._do_settle, member)
                if unit.failure is not None:
                    raise unit.failure
            except Exception:
                self._culprit = self._culprit or member
                raise
        self._batch.release(unit, trusted=not member.is_alone)

    @staticmethod
    def _do_settle(member: Member) -> None:
        unit = member.unit
        if unit is not None:
            settle(unit)
            member.result = member.job.finish(unit, member.result)

    def _settle_early(self, unit: Unit) -> None:
        """Settle a unit whose document another one is about to touch."""
        member = self._member_of[unit]
        if member in self._running:
            # Each waits for the other's end; one of them has to run without the other.
            self._culprit = self._culprit or member
            raise Superseded("Two writes of one batch touch each other's documents.")
        if member not in self._settled:
            self._settle_all([member])

    def _in(self, member: Member, function: Callable[..., Any], *args: Any) -> None:
        self._running.append(member)
        outer, self.entered = self.entered, time.monotonic()
        try:
            member.run(function, *args)
        finally:
            self._running.pop()
            self.entered = outer
            if self.lost:
                raise Lost


def _waves(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Members in waves: the first to each document, then the second to each, and so on."""
    rest = list(members)
    while rest:
        wave: list[Member] = []
        later: list[Member] = []
        seen: set[tuple[Model, bytes]] = set()
        for each in rest:
            key = each.key
            (later if key is not None and key in seen else wave).append(each)
            if key is not None:
                seen.add(key)
        yield wave
        rest = later


def _left(deadline: Deadline) -> float:
    return deadline.remaining


def _is_of_server(error: BaseException) -> bool:
    return any(isinstance(each, PyMongoError) for each in chain(error))


def is_of_the_connection(error: BaseException) -> bool:
    """Whether the way to the server, or the whole transaction, was lost; that is nobody's fault."""
    return any(
        is_silence(each)
        or (
            isinstance(each, OperationFailure)
            and each.has_error_label("TransientTransactionError")
            and not is_conflict(each)
        )
        for each in chain(error)
    )
