"""Run blocking calls off the event loop: a bounded pool of threads, the caller's context carried.

Knows asyncio and threads; nothing of databases or HTTP.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

from bzz.errors import Unavailable

__all__ = ["DeadlineExceeded", "Offload", "shared_offload"]

T = TypeVar("T")


class DeadlineExceeded(Unavailable):
    """A call was not finished in time.

    `started` tells whether it had begun: if so it runs on and may still succeed, if not
    it never runs.
    """

    def __init__(self, message: str, *, started: bool) -> None:
        super().__init__(message)
        self.started = started


class Offload:
    """A pool of at most `max_workers` threads; `await offload(function, *args)` runs a call in it.

    May be used from several event loops.  Threads are made when they are needed.
    """

    def __init__(self, max_workers: int = 16) -> None:
        self._executor = ThreadPoolExecutor(max_workers, thread_name_prefix="bzz")

    async def __call__(
        self, function: Callable[..., T], /, *args: Any, deadline: float | None = None
    ) -> T:
        """Return `function(*args)`, run in a thread, in a copy of the caller's context.

        Waits for a free thread; when the caller is cancelled before there is one, the
        function does not run.  `deadline` is in seconds, waiting included.

        Raises what the function raises, and `DeadlineExceeded`.
        """
        context = contextvars.copy_context()
        work: Future[T] = self._executor.submit(context.run, _run, function, args)
        waiter = asyncio.wrap_future(work)
        if deadline is None:
            return await waiter  # cancelled, it takes work that has not begun out of the queue
        try:
            await asyncio.wait({waiter}, timeout=deadline)
            if not work.done():
                raise _exceeded(deadline, started=not work.cancel())
            return await waiter
        finally:
            # Takes work that has not begun out of the queue; no effect on finished work.
            waiter.cancel()

    def shutdown(self, *, wait: bool = True) -> None:
        """Take no more calls, drop those that have not begun, and wait for the others."""
        self._executor.shutdown(wait=wait, cancel_futures=True)


def shared_offload() -> Offload:
    """The pool of this process, made at the first call; a forked child gets its own."""
    return _offload_of(os.getpid())


@lru_cache(maxsize=1)
def _offload_of(process: int) -> Offload:
    return Offload()


def _run(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    try:
        return function(*args)
    except StopIteration as error:
        # An asyncio future cannot carry it: the caller would wait for ever.
        raise RuntimeError(f"{function!r} raised StopIteration.") from error


def _exceeded(deadline: float | None, *, started: bool) -> DeadlineExceeded:
    outcome = (
        "it runs on, and may still succeed." if started else "it was not begun and will not be."
    )
    return DeadlineExceeded(
        f"The work was not finished within {deadline:g} s: {outcome}", started=started
    )
