"""One unit of work in one transaction: begin, run, settle, commit; again when the database asks.

Knows the outcomes that MongoDB and its driver have for a transaction; knows nothing of
HTTP, nor of what is recorded.
"""

from __future__ import annotations

import itertools
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pymongo
from pymongo import ReadPreference
from pymongo.errors import (
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.errors import Superseded, TooLarge, Unavailable, Undecided
from bzz.recording import Recorder
from bzz.settling import settle, settled
from bzz.silence import WRITE_CONFLICT, is_silence
from bzz.unit import Batch, Unit, current_unit

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds within which a write is answered, queueing included."""

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.005, 0.5, 1.5
_GROWING = 100  # attempts; by far enough to have reached the longest


class Deadline:
    """A moment after which nothing more is tried.  `seconds` from now."""

    def __init__(self, seconds: float = DEADLINE) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; never less than nothing."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """Raises `Unavailable` when the moment has come."""
        if not self.remaining:
            raise Unavailable(
                f"The write was not finished within {self.seconds:g} s and has been given up; "
                "nothing was stored."
            )


def transaction_options() -> dict[str, Any]:
    """What every transaction of bzz is started with."""
    return {
        "read_concern": ReadConcern("snapshot"),
        "write_concern": WriteConcern("majority"),
        "read_preference": ReadPreference.PRIMARY,
    }


def run(
    work: Callable[[Unit], T],
    *,
    client: Any,
    transactional: bool = True,
    contexts: Mapping[Recorder, object] | None = None,
    handler: Any = None,
    deadline: Deadline | None = None,
    announce_all: bool = False,
) -> tuple[T, Unit]:
    """Run `work` as one unit, in one transaction, and return its value with the unit.

    `work` is called with a new `Unit` for each attempt, so it must load what it changes.
    It runs in the calling thread with the session bound: all that MongoEngine and PyMongo
    write on `client` is in the transaction.  Within another unit it joins that one.
    `transactional=False` does the same without a transaction, for clients that have none.
    With `announce_all` all changed documents of recorded models are announced by signals, not
    just those that `work` announces.

    Raises what `work` raises; `Unavailable` when the database cannot decide in time;
    `Undecided` when the commit was sent and its outcome is unknown.  After any other
    exception nothing of the unit is stored.
    """
    outer = current_unit()
    if outer is not None:
        return work(outer), outer
    deadline = deadline or Deadline()
    new_unit = partial(Unit, contexts=contexts, handler=handler, announce_all=announce_all)
    if transactional:
        return _repeatedly(work, client, new_unit, deadline)
    deadline.check()
    unit = new_unit()
    with settled(unit):
        value = work(unit)
    return value, unit


def _repeatedly(
    work: Callable[[Unit], T], client: Any, new_unit: Callable[..., Unit], deadline: Deadline
) -> tuple[T, Unit]:
    earlier, pauses = sys.exception(), _pauses()
    while True:
        deadline.check()
        try:
            with client.start_session() as session:
                unit = new_unit(Batch(session))
                with transaction(unit, deadline):
                    value = work(unit)
                return value, unit
        except Exception as error:
            if isinstance(error, Unavailable) or not is_transient(error, earlier):
                raise
            last = error
        pause = next(pauses)
        if deadline.remaining <= pause:
            raise given_up(last, deadline) from last
        # Waiting is what spreads colliding writers out; full jitter, as the driver's own.
        time.sleep(random.uniform(0, pause))


def _pauses() -> Iterator[float]:
    """How long to wait at most before each further attempt."""
    return map(longest_pause, itertools.count())


def longest_pause(attempts: int) -> float:
    """How long to wait at most, in seconds, after some attempts that met another writer."""
    return min(_FIRST_PAUSE * _GROWTH ** min(attempts, _GROWING), _LONGEST_PAUSE)


def given_up(last: BaseException, deadline: Deadline) -> Unavailable:
    """What to raise when the deadline is passed, and `last` was why the last attempt failed."""
    *_, first = chain(last)
    if is_silence(first):
        return unanswered(first)
    if _code(first) == _NO_SUCH_TRANSACTION:
        return Unavailable(
            f"For {deadline.seconds:g} s the database ended each transaction before its commit: "
            "it took too long, or an error of the database was caught in it and not raised again; "
            "nothing was stored."
        )
    return Unavailable(
        f"Other writers of the same documents were faster for {deadline.seconds:g} s; "
        "nothing was stored."
    )


@contextmanager
def transaction(unit: Unit, deadline: Deadline) -> Iterator[None]:
    """The block as one transaction of the unit's session: settled and committed at its end.

    An exception in the block aborts it and is raised again, as is what the commit raises.
    """
    session = unit.session
    if session is None:
        raise ValueError("A transaction needs a unit with a session.")
    earlier = sys.exception()
    session.start_transaction(**transaction_options())
    try:
        with unit.entered(), session.bind(end_session=False), pymongo.timeout(deadline.remaining):
            yield
            _check(unit)
            settle(unit)
            unit.batch.flush()
            _check(unit)
    except BaseException as error:
        abort(session)
        outcome = outcome_of(_first(unit, error, earlier), earlier)
        if outcome is error:
            raise
        raise outcome from error
    commit(session, deadline)


def _check(unit: Unit) -> None:
    """Raise the error that ended the transaction, if there was one and somebody caught it."""
    if unit.failure is not None:
        raise unit.failure


def _first(unit: Unit, error: BaseException, earlier: BaseException | None) -> BaseException:
    """The error that ended the transaction: those after it only say that there is none."""
    missing = any(_code(each) == _NO_SUCH_TRANSACTION for each in chain(error, earlier))
    return unit.failure if missing and unit.failure is not None else error


def abort(session: Any) -> None:
    """Take back what the session's transaction did; nothing when it has none."""
    # The time of the unit may be spent; an abort that is not sent leaves its locks for a minute.
    with pymongo.timeout(1):
        if session.in_transaction:
            session.abort_transaction()


def commit(session: Any, deadline: Deadline) -> None:
    """Commit the session's transaction, again until its outcome is known.

    Raises `Undecided` when it is not by the deadline; what else the database says against it.
    """
    for pause in _pauses():
        try:
            with pymongo.timeout(max(deadline.remaining, 0.01)):
                session.commit_transaction()
            return
        except PyMongoError as error:
            if not error.has_error_label("UnknownTransactionCommitResult"):
                abort(session)
                raise
            if deadline.remaining:
                time.sleep(min(random.uniform(0, pause), deadline.remaining))
                continue
            raise undecided(deadline) from error


def undecided(deadline: Deadline) -> Undecided:
    """What to raise when the commit was sent and is not confirmed by the deadline."""
    return Undecided(
        f"The write was sent, and the database did not confirm it within {deadline.seconds:g} s: "
        "it may or may not be stored. Repeat it with If-Match (or an id of your own choosing); "
        "412 or 409 then says that it had arrived.",
        retry_after=5,
    )


def outcome_of(error: BaseException, earlier: BaseException | None = None) -> BaseException:
    """What to raise for an error that ended a transaction before its commit."""
    if is_transient(error, earlier):
        return error
    for each in chain(error, earlier):
        if _is_too_deep(each):
            return TooLarge(
                "A document, or the event of its change, is nested too deep: MongoDB stores "
                "180 levels, and an event needs three of them; nothing was stored."
            )
        if isinstance(each, DocumentTooLarge) or _is_too_large(each):
            return TooLarge(f"A document, or the event of its change, is too large: {said(each)}")
        if is_silence(each):
            return unanswered(each)
    return error


def is_transient(error: BaseException, earlier: BaseException | None = None) -> bool:
    """Whether the same work may succeed when it is run again from the start.

    `earlier` is the exception that was being handled when the work began, if any: Python makes
    it the context of all that is raised since, and it says nothing of the work.
    """
    return any(
        isinstance(each, Superseded)
        or (isinstance(each, PyMongoError) and each.has_error_label("TransientTransactionError"))
        or _code(each) == WRITE_CONFLICT
        for each in chain(error, earlier)
    )


def is_conflict(error: BaseException) -> bool:
    """Whether another writer of the same documents was in the way."""
    return any(
        isinstance(each, Superseded) or _code(each) == WRITE_CONFLICT for each in chain(error)
    )


def unanswered(error: BaseException) -> Unavailable:
    """What to raise when it did not."""
    outcome = Unavailable(f"The database did not answer in time; nothing was stored: {said(error)}")
    outcome.add_note(str(error))  # for the log
    return outcome


def _code(error: BaseException) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None


def _is_too_deep(error: BaseException) -> bool:
    return _OVERFLOW in _codes(error) and "nest" in str(error)


def _is_too_large(error: BaseException) -> bool:
    codes = _codes(error)
    if codes & _TOO_LARGE:
        return True
    # What is above the limit by less than the driver allows for is refused as a bad value.
    return _BAD_VALUE in codes and "too large" in str(error)


def _codes(error: BaseException) -> set[Any]:
    if not isinstance(error, OperationFailure):
        return set()
    faults = (error.details or {}).get("writeErrors", ())
    return {error.code, *(each.get("code") for each in faults)}


def said(error: BaseException) -> str:
    """What an error of the driver says, without the documents and hosts that it lists."""
    return _HOST.sub("", _DUMP.split(str(error), maxsplit=1)[0])


# An error of a connection starts with its host and port, or its socket.
_HOST = re.compile(r"(?:[^\s,]*[\w.\]]:\d{1,5}|/\S+\.sock): ")
_DUMP = re.compile(", full error: |, Timeout: | \\(configured timeouts: ")
_NO_SUCH_TRANSACTION = 251
_BAD_VALUE, _OVERFLOW = 2, 15
_TOO_LARGE = {10334, 17419, 17420}  # BSONObjectTooLarge, and an update's result above 16 MB


def chain(
    error: BaseException | None, earlier: BaseException | None = None
) -> Iterator[BaseException]:
    """An error and what it was raised from or while handling: MongoEngine wraps the driver's.

    Ends with the first of the driver's own, which says all that there is to say, and before
    `earlier`.
    """
    seen = set() if earlier is None else {id(earlier)}
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = None if isinstance(error, PyMongoError) else error.__cause__ or error.__context__
