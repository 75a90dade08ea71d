"""Tells readers in this process when events have got their positions.

A change stream wakes them where there is one, and a look at the head now and then where there is
none.  What they then read, and from where on, is theirs: a sign that is lost costs time alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pymongo
from pymongo.errors import InvalidOperation, PyMongoError

from bzz.audit.background import Background
from bzz.audit.listeners import Listeners
from bzz.audit.seals import LogHead, SealStore
from bzz.sessions import is_closed

LOOK = 1.0
"""Seconds after which the head is looked at without a sign."""
_ANSWER = 10.0

Listener = Callable[[LogHead], None]
_log = logging.getLogger("bzz.audit")


class Watch:
    """Knows the head of the positions, nearly as it is.

    Its thread starts with the first that waits or listens.
    """

    def __init__(self, seals: SealStore) -> None:
        self._seals = seals
        self._head: LogHead | None = None
        self._changed = threading.Condition()
        self._listeners = Listeners[LogHead]()
        self._background = Background("bzz-watch", self._serve)

    def wait(self, head: LogHead, seconds: float) -> LogHead:
        """The head once it is another than the caller's; after some seconds whatever it is."""
        self._background.start()
        until = time.monotonic() + seconds
        with self._changed:
            while self._head in (None, head) and not self._background.is_closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return self._head or head

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each new head, in the thread of the watch, until it is let go.

        Returns the function that lets go.  The listener returns soon and raises nothing.
        """
        let_go = self._listeners.add(listener)
        self._background.start()
        return let_go

    @property
    def is_closed(self) -> bool:
        """Whether nobody is told any more."""
        return self._background.is_closed

    def close(self) -> None:
        """End the thread; who waits goes on at once."""
        self._background.close()
        with self._changed:
            self._changed.notify_all()

    # The thread --------------------------------------------------------------------------

    def _serve(self, closed: threading.Event) -> None:
        while not closed.is_set():
            try:
                self._follow(closed)
            except Exception as error:  # whatever it is, the next look may do better
                if isinstance(error, InvalidOperation) and is_closed(self._seals.database.client):
                    return
                level = logging.DEBUG if isinstance(error, PyMongoError) else logging.WARNING
                _log.log(level, "Positions are looked for again: %r", error)
                closed.wait(LOOK)

    def _follow(self, closed: threading.Event) -> None:
        try:
            stream = self._seals.signs(LOOK)
        except PyMongoError:  # not everywhere, and not for everybody
            stream = None
        if stream is None:
            self._look()
            closed.wait(LOOK)
            return
        with stream:
            while not closed.is_set():
                self._look()
                with pymongo.timeout(LOOK + _ANSWER):
                    stream.try_next()

    def _look(self) -> None:
        with pymongo.timeout(_ANSWER):
            head = self._seals.head()
        with self._changed:
            if head == self._head:
                return
            self._head = head
            self._changed.notify_all()
        self._listeners.tell(head)
