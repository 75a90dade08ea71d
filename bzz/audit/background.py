"""A thread of this process that does something until it is told to end.

Knows nothing of what it does.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable

_CLOSING = 2.0


class Background:
    """A daemon thread, started on demand, in each process of its own.

    `work` is called in it with the event that says that it has to end, and returns soon after
    that is set.  It ends with `close()`, and with the program.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    @property
    def is_closed(self) -> bool:
        """Whether it has been told to end."""
        return self._closed.is_set()

    def start(self) -> None:
        """Start the thread, unless it runs, or was told to end."""
        if self._thread is not None and self._process == os.getpid():
            return
        if self._process != os.getpid():  # a fork has no threads, and its locks may be held
            self._process = os.getpid()
            self._lock, self._thread = threading.Lock(), None
            self._closed = _copy(self._closed)
        with self._lock:
            if self._thread is not None or self._closed.is_set():
                return
            thread = threading.Thread(
                target=self._work, args=[self._closed], name=self._name, daemon=True
            )
            thread.start()
            self._thread = thread
        atexit.register(_close, weakref.ref(self))

    def close(self, seconds: float = _CLOSING) -> None:
        """Tell it to end, for good, and wait until it has, at most for some seconds."""
        self._closed.set()
        thread = self._thread
        is_own = self._process == os.getpid() and thread is not threading.current_thread()
        if thread is not None and is_own:
            thread.join(seconds)


def _copy(event: threading.Event) -> threading.Event:
    copy = threading.Event()
    if event.is_set():
        copy.set()
    return copy


def _close(reference: weakref.ref[Background]) -> None:
    background = reference()
    if background is not None:
        background.close()
