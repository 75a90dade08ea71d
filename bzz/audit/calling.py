"""A thread that calls consumers, one after another, and can be left behind by who waits for it.

Coroutine functions run on an event loop of its own.  Knows nothing of what is called.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import pymongo

Work = Callable[[], Any]
_GRACE = 1.0
"""Seconds by which a coroutine may end later than it was told to."""


class Hand:
    """A daemon thread for calls of some seconds; begins with the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Future[None], Work, float] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def give(self, work: Work, seconds: float) -> Future[None]:
        """Let it call `work`; the future is done when that, and what it awaits, has returned.

        After so many seconds a coroutine is cancelled, and no command is sent to the database
        any more; a plain function that hangs is left to itself.
        """
        future: Future[None] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._jobs.put((future, work, seconds))
        return future

    def dismiss(self) -> None:
        """Let the thread end, once what it has been given is done."""
        self._jobs.put(None)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            while (job := self._jobs.get()) is not None:
                future, work, seconds = job
                try:
                    with pymongo.timeout(seconds):
                        value = work()
                        if inspect.isawaitable(value):
                            runner.run(_awaited(value, seconds))
                except Exception as error:
                    future.set_exception(error)
                except BaseException as error:  # sys.exit() in a consumer ends no worker
                    future.set_exception(RuntimeError(f"The consumer raised {error!r}."))
                else:
                    future.set_result(None)
                del job, work, future  # what a consumer was given lives no longer than its call


async def _awaited(value: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await value
