"""One try to run the writes of many requests in one transaction, each with a fate of its own.

The first write to each document of the batch is one wave, the second writes are the next: what a
wave loads and reads again is one command a collection.  Knows transactions and units; nothing of
queues and threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from bzz.deferral import Deferral, deferring
from bzz.errors import Superseded
from bzz.member import Member
from bzz.receivers import describe_receiver
from bzz.recording import Model
from bzz.sessions import kill
from bzz.settling import read_together, settle
from bzz.silence import is_silence
from bzz.source import Key, Source
from bzz.transactions import Deadline, chain, is_conflict, outcome_of
from bzz.unit import Batch, Unit


class Aborted(Exception):
    """A batch came to nothing; `culprit` is the member at fault, None when it is nobody's.

    `unclear` says that it is somebody's, who is known once they no longer send writes together.
    """

    def __init__(
        self, culprit: Member | None, error: BaseException, *, unclear: bool = False
    ) -> None:
        super().__init__(str(error))
        self.culprit = culprit
        self.error = error
        self.unclear = unclear


class Lost(BaseException):
    """The thread was stuck in somebody's code for so long that another has taken its place.

    No Exception: nobody's code on the way up may take it for an error of its own.
    """


class Attempt:
    """One try to run the members of a batch in one transaction.

    Attributes
    ----------
    deadline: the first of its members' deadlines.
    last_deadline: the last of them.
    entered: since when a member's code has been running (`time.monotonic`), if it is.
    lost: whether another thread has taken the place of the one that runs it.
    """

    def __init__(self, session: Any, members: list[Member]) -> None:
        self.members = members
        deadlines = sorted((each.job.deadline for each in members), key=_left)
        self.deadline, self.last_deadline = deadlines[0], deadlines[-1]
        self._batch = Batch(session, settle=self._settle_early)
        self._deferral = Deferral(session)
        self._member_of: dict[Unit, Member] = {}
        self._running: list[Member] = []
        self._settled: set[Member] = set()
        self._culprit: Member | None = None
        self._failure: BaseException | None = None
        self._session_id = session.session_id
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
            self._check()
            self._batch.flush()

    def describe(self) -> str:
        """Whose code is running, for a message."""
        activity = self._batch.activity
        if activity is not None:
            return f"{describe_receiver(activity.receiver)}, a receiver of {activity.signal},"
        models = {model.__name__ for each in self._running[-1:] for model in each.job.models}
        return f"A write of {' and '.join(sorted(models)) or 'this model'}"

    @property
    def running(self) -> list[Member]:
        """The members whose code is running: more than one where one is settled for another."""
        return list(self._running)

    def kill(self, client: Any) -> None:
        """Let the server end the transaction, so that its locks are free at once."""
        kill(client, self._session_id)

    def blame(self, error: BaseException) -> Aborted:
        """The error with whom it is to be put down to."""
        if isinstance(error, Aborted):
            return error
        culprit, refused = self._culprit, self._deferral.failure
        if refused is not None:
            # Whose write it is, through whosever code the error came.
            error, at_fault = refused, self._deferral.at_fault
            culprit = None if at_fault is None else self._member_of[at_fault]
        elif self._batch.at_fault is not None:
            # Whose event it is, whoever needed it to be there.
            culprit = self._member_of[self._batch.at_fault]
        if is_of_the_connection(error):
            return Aborted(None, outcome_of(error))
        if culprit is None and len(self.members) == 1:
            culprit = self.members[0]
        unclear = culprit is None and refused is not None
        return Aborted(culprit, outcome_of(error), unclear=unclear)

    # Waves -----------------------------------------------------------------------------

    def _run_wave(self, wave: list[Member]) -> None:
        self._read_first(wave)
        together = [each for each in wave if not each.is_alone]
        with self._deferring(together):
            for each in together:
                self._work(each)
        self._settle_all(together)
        for each in wave:
            if each not in self._settled:
                self._work(each)
                self._settle_all([each])

    def _deferring(self, members: list[Member]) -> AbstractContextManager[None]:
        """Around the work of members: what they save plainly is sent together."""
        if len(members) > 1 and all(each.defers for each in members):
            return deferring(self._deferral)
        return nullcontext()

    def _read_first(self, wave: list[Member]) -> None:
        by_model: dict[Model, list[Member]] = {}
        for each in wave:
            if each.job.first is not None:
                by_model.setdefault(each.job.first[0], []).append(each)
        for model, members in by_model.items():
            if len(members) == 1:
                continue  # its own load asks for just what it needs
            if not members[0].is_alone:
                self._batch.read(Source.of(model), _first_ids(members))
            ids, unit = _first_ids(members), members[0].unit
            if unit is not None:
                unit.read_heads(model, [each for each in ids if not unit.knows_head(model, each)])

    def _work(self, member: Member) -> None:
        unit = member.unit
        try:
            self._in(member, self._do_work, member)
        except Exception as error:
            self._check()
            if unit is None or unit.begun or unit.failure is not None or _is_of_server(error):
                self._culprit = self._culprit or member
                raise
            member.refusal = error
        self._check()
        if unit is not None and unit.failure is not None:
            self._culprit = self._culprit or member
            raise unit.failure
        if unit is not None and unit.opaque:
            self._batch.forget_all()

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
            except Exception as error:
                self._fail(member, error)
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
            error = Superseded("Two writes of one batch touch each other's documents.")
            self._fail(member, error)
            raise error
        if member not in self._settled:
            self._settle_all([member])

    def _fail(self, member: Member, error: Exception) -> None:
        # It may be raised through the code of another member, which may catch it.
        self._culprit, self._failure = self._culprit or member, self._failure or error

    def _check(self) -> None:
        """Raise what has ended the attempt, if somebody caught it."""
        failure = self._failure or self._deferral.failure
        if failure is not None:
            raise failure

    def _in(self, member: Member, function: Callable[..., Any], *args: Any) -> None:
        if self.lost:
            raise Lost
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
        seen: set[Key] = set()
        for each in rest:
            key = each.key
            (later if key is not None and key in seen else wave).append(each)
            if key is not None:
                seen.add(key)
        yield wave
        rest = later


def _first_ids(members: Iterable[Member]) -> list[Any]:
    return [each.job.first[1] for each in members if each.job.first is not None]


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
