"""The commit lane: the writes of many requests, run by one thread, many in one transaction.

Whatever waits when the lane is free is one batch, and has one commit.  No answer leaves before
the commit on which it rests.  Knows queues, threads and deadlines; nothing of HTTP or of what
is recorded.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

from pymongo.errors import PyMongoError

from bzz import connection
from bzz.attempt import Aborted, Attempt, Job, Lost, Member, Stage, is_of_the_connection
from bzz.errors import Unavailable, Undecided
from bzz.recording import Model
from bzz.transactions import (
    abort,
    commit,
    given_up,
    is_conflict,
    is_transient,
    transaction_options,
)

__all__ = ["CommitLane", "Job", "lane_of"]

MOST_MEMBERS = 16
MOST_BYTES = 4 * 1024 * 1024
LONGEST_QUEUE = 1000
IDLE_SECONDS = 5.0
"""After which an idle lane's thread ends; the next write starts another."""

_LEAST_TIME = 0.02
"""Seconds of its deadline that a member must have left to be begun."""


class CommitLane:
    """One thread that runs the transactions of one client.

    Args:
        most: how many members a batch has at most.
        longest: how many may wait; one more is refused.
    """

    def __init__(
        self, client: Any, *, most: int = MOST_MEMBERS, longest: int = LONGEST_QUEUE
    ) -> None:
        self._client = weakref.ref(client)
        self._most = self._bound = most
        self._longest = longest
        self._queue: deque[Member] = deque()
        self._later: list[tuple[float, int, Member]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._current: Attempt | None = None
        # Documents that another process holds, and until when to leave them alone.
        self._held: dict[tuple[Model, bytes], float] = {}

    @property
    def client(self) -> Any:
        """The client; None once nobody else holds it."""
        return self._client()

    @property
    def waiting(self) -> int:
        """How many writes wait for their turn."""
        return len(self._queue) + len(self._later)

    async def __call__(self, job: Job) -> Any:
        """Run a job in one of the next batches; what its `finish` returns.

        Raises what `work` and the receivers raise, with nothing stored; `Unavailable` when
        the lane is full or the deadline passes first, with nothing stored; `Undecided` when
        the commit was sent and its outcome is not known.
        """
        member = Member(job)
        self._put(member)
        waiter = asyncio.wrap_future(member.future)
        try:
            await asyncio.wait({waiter}, timeout=job.deadline.remaining)
            if not waiter.done():
                raise self._give_up(member)
            return waiter.result()
        finally:
            member.abandoned = True
            waiter.cancel()

    # The queue -------------------------------------------------------------------------

    def _put(self, member: Member) -> None:
        with self._changed:
            if self.waiting >= self._longest:
                raise Unavailable(
                    f"{self._longest} writes are waiting already; nothing was stored. Try again."
                )
            self._queue.append(member)
            if self._thread is None:
                self._start()
            self._changed.notify()

    def _give_up(self, member: Member) -> Unavailable:
        """The error for a member whose deadline has passed."""
        seconds = f"{member.job.deadline.seconds:g} s"
        with self._changed:
            member.abandoned = True
            if member.stage is Stage.COMMITTING:
                return Undecided(
                    f"The write was sent, and the database did not confirm it within {seconds}: "
                    "it may or may not be stored. Repeat it with If-Match (or an id of your own "
                    "choosing); 412 or 409 then says that it had arrived.",
                    retry_after=5,
                )
            held_up = self._held_up()
        return Unavailable(
            f"The write was not finished within {seconds} and has been given up; "
            f"nothing was stored.{held_up}"
        )

    def _held_up(self) -> str:
        """Who holds the lane up, as a sentence; near its deadline the lane goes on without it."""
        attempt = self._current
        entered = None if attempt is None else attempt.entered
        if attempt is None or entered is None:
            return ""
        who = attempt.describe()
        lasted = time.monotonic() - entered
        if lasted >= 0.9 * attempt.deadline.seconds:
            self._go_on_without(attempt)
        return f" {who} has held up the writes of this process for {lasted:.1f} s."

    def _go_on_without(self, attempt: Attempt) -> None:
        """Leave the thread that is stuck in an attempt to itself, and start another."""
        if attempt.lost:
            return
        attempt.lost = True
        # They have waited for it as long as it lasted; the callers of most are gone.
        for member in attempt.members:
            member.fail(Unavailable(f"{attempt.describe()} did not end; nothing was stored."))
        self._current = None
        self._start(attempt)

    def _start(self, stuck: Attempt | None = None) -> None:
        self._thread = threading.Thread(
            target=self._serve, args=(stuck,), name="bzz-lane", daemon=True
        )
        self._thread.start()

    def _take(self) -> list[Member] | None:
        """The next batch; None when nothing came for a while."""
        with self._changed:
            idle_at = time.monotonic() + IDLE_SECONDS
            while True:
                self._wake()
                members = list(self._next())
                if members:
                    return members
                now = time.monotonic()
                if now >= idle_at and not self._later:
                    self._thread = None
                    return None
                until = min([idle_at, *(each[0] for each in self._later[:1])])
                self._changed.wait(max(until - now, 0.001))

    def _wake(self) -> None:
        """Put back into the queue, in front, those whose pause is over."""
        now = time.monotonic()
        ready = []
        while self._later and self._later[0][0] <= now:
            ready.append(heapq.heappop(self._later)[2])
        self._queue.extendleft(reversed(ready))
        self._held = {key: until for key, until in self._held.items() if until > now}

    def _next(self) -> Iterator[Member]:
        size = number = 0
        while self._queue and number < self._bound:
            member = self._queue[0]
            if number and size + member.job.size > MOST_BYTES:
                return
            self._queue.popleft()
            held_until = self._held.get(member.key) if self._held and member.key else None
            if held_until is not None:
                heapq.heappush(self._later, (held_until, next(self._count), member))
            elif not member.abandoned and member.job.deadline.remaining > _LEAST_TIME:
                member.stage = Stage.RUNNING
                number, size = number + 1, size + member.job.size
                yield member

    def _postpone(self, member: Member, *, held: bool) -> None:
        """Let a member wait for a moment; if its document is `held`, all that want it."""
        with self._changed:
            until = time.monotonic() + member.pause()
            member.attempts += 1
            member.stage = Stage.WAITING
            if held and member.key is not None:
                self._held[member.key] = until
            heapq.heappush(self._later, (until, next(self._count), member))

    # Running ---------------------------------------------------------------------------

    def _serve(self, stuck: Attempt | None) -> None:
        client = self.client
        if client is None:
            self._thread = None
            return
        if stuck is not None:
            stuck.kill(client)
        # One session for all transactions: beginning the next one ends, on the server, one whose
        # commit or abort has not arrived.  Else its documents stay locked for a minute or more.
        with client.start_session() as session:
            while (members := self._take()) is not None:
                try:
                    self._run(session, members)
                except Lost:
                    return  # another thread has taken the lane over meanwhile

    def _run(self, session: Any, members: list[Member]) -> None:
        """Bring members to their ends, together as far as that goes."""
        alone: list[Member] = []
        members = [each for each in members if _is_prepared(session.client, each)]
        while members := [each for each in members if self._is_awaited(each)]:
            try:
                self._attempt(session, members)
                self._bound = min(self._bound + 1, self._most)
                break
            except Lost:
                raise
            except Aborted as aborted:
                members = self._after(aborted, members, alone)
            except Exception as error:  # a bug of ours must not end the lane
                for each in members:
                    each.fail(error)
                break
        for each in alone:
            self._run(session, [each])

    def _after(self, aborted: Aborted, members: list[Member], alone: list[Member]) -> list[Member]:
        """Who is to run again at once; the others are answered, postponed or put into `alone`."""
        error, culprit = aborted.error, aborted.culprit
        if is_conflict(error):
            self._bound = max(1, self._bound // 2)
        if culprit is None:
            return self._after_nobodys_fault(error, members, alone)
        rest = [each for each in members if each is not culprit]
        if is_transient(error):
            self._postpone(culprit, held=True)
        elif rest:
            alone.append(culprit)
        else:
            culprit.fail(error)
        return rest

    def _after_nobodys_fault(
        self, error: BaseException, members: list[Member], alone: list[Member]
    ) -> list[Member]:
        # What may be stored already must not be run again, whatever has left it undecided.
        undecided = isinstance(error, Undecided)
        passes = not undecided and (is_transient(error) or is_of_the_connection(error))
        if not passes and len(members) > 1 and not undecided:
            alone.extend(members)  # one of them it must be
            return []
        for each in members:
            if passes and each.job.deadline.remaining > _LEAST_TIME:
                self._postpone(each, held=False)
            else:
                each.fail(given_up(error, each.job.deadline) if passes else error)
        return []

    @staticmethod
    def _is_awaited(member: Member) -> bool:
        return not member.abandoned

    def _attempt(self, session: Any, members: list[Member]) -> None:
        """One transaction with all members; answers them.  Raises `Aborted`."""
        attempt = Attempt(session, members)
        with self._changed:
            self._current = attempt
        session.start_transaction(**transaction_options())
        try:
            attempt.run()
            self._close(attempt)
        except BaseException as error:
            abort(session)
            if attempt.lost:
                raise Lost from error
            raise attempt.blame(error) from error
        try:
            commit(session, attempt.deadline)
        except PyMongoError as error:
            raise Aborted(None, error) from error
        except Undecided as error:
            raise Aborted(None, error) from error
        for each in members:
            each.deliver()

    def _close(self, attempt: Attempt) -> None:
        """From here on nobody may give up and be told that nothing was stored."""
        members = attempt.members
        with self._changed:
            if attempt.lost:
                raise Lost
            left = [each for each in members if each.abandoned]
            if left:
                raise Aborted(left[0], Unavailable("Nobody waits for it any more."))
            for each in members:
                each.stage = Stage.COMMITTING


def _is_prepared(client: Any, member: Member) -> bool:
    """Whether what the member's transaction needs is there; it is answered if it cannot be."""
    try:
        for model in member.job.models:
            connection.prepare(model)
        for recorder in connection.recorders_on(client):
            recorder.prepare()
        return True
    except Exception as error:  # whatever: the others must not be held up by it
        member.fail(error)
        return False


# By identity: PyMongo takes all clients of the same hosts for equal.  A lane also belongs to a
# process: a forked child has no threads of its parent.
_lanes: dict[tuple[int, int], CommitLane] = {}
_making = threading.Lock()


def lane_of(client: Any) -> CommitLane:
    """The commit lane of a client in this process."""
    key = os.getpid(), id(client)
    with _making:
        lane = _lanes.get(key)
        if lane is None or lane.client is not client:
            lane = _lanes[key] = CommitLane(client)
            weakref.finalize(client, _lanes.pop, key, None)
        return lane
