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
from collections.abc import Iterable, Iterator
from typing import Any

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from bzz import connection
from bzz.attempt import Aborted, Attempt, Lost, is_of_the_connection
from bzz.errors import Unavailable, Undecided
from bzz.member import Job, Member, Stage
from bzz.sessions import Sessions
from bzz.silence import is_silence
from bzz.source import Key
from bzz.transactions import (
    abort,
    chain,
    commit,
    given_up,
    is_conflict,
    is_transient,
    transaction_options,
    undecided,
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
        # Members of the current batch that are run by themselves, after all others.
        self._alone: deque[Member] = deque()
        # Documents that another process holds, and until when to leave them alone.
        self._held: dict[Key, float] = {}

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
            if self._thread is None:
                self._start()
            self._queue.append(member)
            self._changed.notify()

    def _give_up(self, member: Member) -> Unavailable:
        """The error for a member whose deadline has passed."""
        seconds = f"{member.job.deadline.seconds:g} s"
        with self._changed:
            member.abandoned = True
            if member.stage is Stage.WAITING and member.hindrance is not None:
                return given_up(member.hindrance, member.job.deadline)
            if member.stage is Stage.COMMITTING:
                return undecided(member.job.deadline)
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
        who, running = attempt.describe(), attempt.running
        lasted = time.monotonic() - entered
        if running and lasted >= 0.9 * max(each.job.deadline.seconds for each in running):
            self._go_on_without(attempt)
        return f" {who} has held up the writes of this process for {lasted:.1f} s."

    def _go_on_without(self, attempt: Attempt) -> None:
        """Leave the thread that is stuck in an attempt to itself, and start another."""
        if attempt.lost:
            return
        attempt.lost = True
        running = attempt.running
        for member in running:
            member.fail(Unavailable(f"{attempt.describe()} did not end; nothing was stored."))
        rest = [each for each in (*attempt.members, *self._alone) if each not in running]
        for each in rest:
            each.stage = Stage.WAITING
        self._queue.extendleft(reversed(rest))
        self._alone.clear()
        self._current = self._thread = None
        self._start(attempt)

    def _start(self, stuck: Attempt | None = None) -> None:
        thread = threading.Thread(target=self._serve, args=(stuck,), name="bzz-lane", daemon=True)
        thread.start()  # may fail; the next write tries again
        self._thread = thread

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

    def _postpone(self, members: Iterable[Member], until: float, why: BaseException) -> None:
        """Let members wait for a moment, to be run again then."""
        with self._changed:
            for each in members:
                each.attempts += 1
                each.stage = Stage.WAITING
                each.hindrance = why
                heapq.heappush(self._later, (until, next(self._count), each))

    def _hold(self, culprit: Member, members: list[Member], why: BaseException) -> list[Member]:
        """Leave the document of a member alone for a moment; those who do not want it."""
        key, until = culprit.key, time.monotonic() + culprit.pause()
        wanting = [each for each in members if each is culprit or (key and each.key == key)]
        with self._changed:
            if key is not None:
                self._held[key] = until
            self._postpone(wanting, until, why)
        return [each for each in members if each not in wanting]

    # Running ---------------------------------------------------------------------------

    def _serve(self, stuck: Attempt | None) -> None:
        client = self.client
        if client is None:
            self._thread = None
            return
        if stuck is not None:
            stuck.kill(client)
        sessions = Sessions(client)
        try:
            while (members := self._take()) is not None:
                self._run(sessions, members)
                del members  # with all that their requests hold, while nothing comes
            sessions.close()
        except Lost:
            pass  # another thread has taken the lane over meanwhile

    def _run(self, sessions: Sessions, members: list[Member]) -> None:
        """Bring members to their ends, together as far as that goes."""
        self._run_together(sessions, members)
        while self._alone:
            self._run_together(sessions, [self._alone.popleft()])

    def _run_together(self, sessions: Sessions, members: list[Member]) -> None:
        members = [each for each in members if _is_prepared(sessions.client, each)]
        while members := [each for each in members if not each.abandoned]:
            try:
                self._attempt(sessions, members)
                self._bound = min(self._bound + 1, self._most)
                return
            except Aborted as aborted:
                members = self._after(aborted, members)
            except Exception as error:  # a bug of ours must not end the lane
                for each in members:
                    each.fail(error)
                return

    def _after(self, aborted: Aborted, members: list[Member]) -> list[Member]:
        """Who is to run again at once; the others are answered, postponed or to be run alone."""
        error, culprit = aborted.error, aborted.culprit
        if aborted.unclear:
            for each in members:
                each.defers = False
            return members
        if is_conflict(error):
            self._bound = max(1, self._bound // 2)
        if culprit is None:
            return self._after_nobodys_fault(error, members)
        if is_transient(error):
            return self._hold(culprit, members, error)
        rest = [each for each in members if each is not culprit]
        if rest:
            self._alone.append(culprit)
        else:
            culprit.fail(error)
        return rest

    def _after_nobodys_fault(self, error: BaseException, members: list[Member]) -> list[Member]:
        # What may be stored already must not be run again, whatever has left it undecided.
        is_undecided = isinstance(error, Undecided)
        passes = not is_undecided and (is_transient(error) or is_of_the_connection(error))
        if len(members) > 1 and not is_undecided and not any(map(is_silence, chain(error))):
            for each in members:  # one of them it must be
                each.stage = Stage.RUNNING  # and no more committing
                self._alone.append(each)
            return []
        for each in members:
            if passes and each.job.deadline.remaining > _LEAST_TIME:
                self._postpone([each], time.monotonic() + each.pause(), error)
            else:
                each.fail(given_up(error, each.job.deadline) if passes else error)
        return []

    def _attempt(self, sessions: Sessions, members: list[Member]) -> None:
        """One transaction with all members; answers them.  Raises `Aborted`."""
        with sessions.one() as session:
            attempt = Attempt(session, members)
            with self._changed:
                self._current = attempt
            try:
                self._transact(session, attempt)
            finally:
                with self._changed:
                    if self._current is attempt:
                        self._current = None
        for each in members:
            each.deliver()

    def _transact(self, session: ClientSession, attempt: Attempt) -> None:
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
            # As long as anybody waits: who waits no longer has been told that it is not decided.
            commit(session, attempt.last_deadline)
        except (PyMongoError, Undecided) as error:
            raise Aborted(None, error) from error

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
    if member.abandoned:
        return False  # looking for a server that is down takes long
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
