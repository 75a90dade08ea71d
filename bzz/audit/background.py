"""A thread of this process that does something until it is told to end.

Knows nothing of what it does.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial

_CLOSING = 2.0


class Background:
    """A daemon thread, started on demand, in each process of its own.

    `work` is called in it with the event that says that it has to end, and returns soon after
    that is set.  It ends with `close()`, and with the program.  `renew` is called at once and in
    each process that is forked: it makes anew what threads that are not there may have locked.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[threading.Event], None],
        renew: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._work = work
        self._renew = renew
        self._closed = threading.Event()
        self._begin()
        this = weakref.ref(self)
        atexit.register(_with, this, Background.close)
        if hasattr(os, "register_at_fork"):  # where there are forks
            os.register_at_fork(after_in_child=partial(_with, this, Background._begin))

    def _begin(self) -> None:
        """A forked process has no thread but the one that forked, and locks that others held."""
        self._closed = _copy(self._closed)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._renew()

    @property
    def is_closed(self) -> bool:
        """Whether it has been told to end."""
        return self._closed.is_set()

    def start(self) -> None:
        """Start the thread, unless it runs, or was told to end."""
        with self._lock:
            if self._closed.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(
                target=self._work, args=[self._closed], name=self._name, daemon=True
            )
            thread.start()
            self._thread = thread

    def tell(self) -> None:
        """Tell it to end, for good."""
        self._closed.set()

    def close(self, seconds: float = _CLOSING) -> None:
        """Tell it to end, for good, and wait until it has, at most for some seconds."""
        self.tell()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)


def _copy(event: threading.Event) -> threading.Event:
    copy = threading.Event()
    if event.is_set():
        copy.set()
    return copy


def _with(reference: weakref.ref[Background], what: Callable[[Background], None]) -> None:
    background = reference()
    if background is not None:
        what(background)
