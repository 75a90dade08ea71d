"""What a signal keeps of each of its receivers: its shape, its moment, and what it did so far.

Knows receivers; nothing of signals and of how they are sent.
"""

from __future__ import annotations

import threading
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any

from bzz.receivers import Receiver, Shape, place_of

LONGEST_TEXT = 500
"""Characters that are kept of a failure."""


class Moment(StrEnum):
    """When a receiver runs.

    Attributes
    ----------
    BEFORE: before anything is read or written.
    READ: after something was read.
    COMMITTED: after the commit of a write.
    ATOMIC: inside the transaction of a write.
    """

    BEFORE = "before the request"
    READ = "after the read"
    COMMITTED = "after the commit"
    ATOMIC = "atomic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """A receiver as it was connected to a signal when somebody asked, and what it did so far.

    Attributes
    ----------
    signal: the name of the signal.
    name: `module.qualname` of the receiver; of a partial, of what it calls.
    where: `file:line` of its definition; None of what is no Python function.
    moment: when it runs: 'atomic', 'after the commit', 'before the request', 'after the read'.
    senders: the models that it listens to; `(bzz.signals.ANY,)` for all.
    weak: whether it vanishes when nobody else holds it.
    calls: how many of its calls have ended, those of repeated transactions among them.
    failures: how many of these raised; a refusal is one, and so is being too slow.
    seconds: how long all calls took together, what they awaited included.
    longest: how long the longest one took, in seconds.
    last_failure: what the last failure raised, as text, cut at 500 characters.
    last_failed: when that was (UTC).
    """

    signal: str
    name: str
    where: str | None
    moment: Moment
    senders: tuple[Any, ...]
    weak: bool
    calls: int
    failures: int
    seconds: float
    longest: float
    last_failure: str | None
    last_failed: datetime | None


class Connection:
    """One receiver of one signal; the receiver itself is not held.

    Attributes
    ----------
    shape: what the receiver takes.
    moment: when it runs.
    """

    def __init__(self, shape: Shape, moment: Moment, reference: Any = None) -> None:
        self.shape = shape
        self.moment = moment
        self._reference = reference  # kept, since what calls back has to be there
        self._lock = threading.Lock()
        self._calls = self._failures = 0
        self._seconds = self._longest = 0.0
        self._last: tuple[str, datetime] | None = None

    def called(self) -> _Call:
        """A context for one call of the receiver, which counts it, from any thread."""
        return _Call(self)

    def count(self, seconds: float, error: BaseException | None) -> None:
        """Note a call that has ended."""
        last = None if error is None else (_text(error), datetime.now(UTC))
        # The receiver's own lock, held for these few lines: calls wait for nobody.
        with self._lock:
            self._calls += 1
            self._seconds += seconds
            self._longest = max(self._longest, seconds)
            if last is not None:
                self._failures += 1
                self._last = last

    def told(
        self, signal: str, receiver: Receiver, senders: tuple[Any, ...], *, weak: bool
    ) -> Connected:
        """The connection as it is now."""
        with self._lock:
            last_failure, last_failed = self._last or (None, None)
            return Connected(
                signal=signal,
                name=self.shape.name,
                where=place_of(receiver),
                moment=self.moment,
                senders=senders,
                weak=weak,
                calls=self._calls,
                failures=self._failures,
                seconds=self._seconds,
                longest=self._longest,
                last_failure=last_failure,
                last_failed=last_failed,
            )


class _Call:
    """A class and no generator: it stands in the way of every write."""

    __slots__ = ("_begun", "_connection")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.count(time.perf_counter() - self._begun, error)


def _text(error: BaseException) -> str:
    """An error as the log shows it, without its stack; also one that cannot be shown."""
    return "".join(traceback.format_exception_only(error)).strip()[:LONGEST_TEXT]
