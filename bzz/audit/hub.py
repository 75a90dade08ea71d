"""The newest events in memory, read once for all readers of this process that follow them.

The hub reads on after each sign of the watch, and tells its listeners.  It keeps the last events,
bounded in number and bytes; a reader that is further behind reads from the database by itself.
So nothing rests on it but speed: it queues nothing for anybody, and loses nothing of anybody's.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import bson
import pymongo
from pymongo.errors import InvalidOperation, PyMongoError

from bzz.audit.background import Background
from bzz.audit.listeners import Listeners
from bzz.values import EXACT

if TYPE_CHECKING:
    from bzz.audit.feed import Feed
    from bzz.audit.seals import LogHead
    from bzz.audit.watching import Watch

KEPT = 1000
"""Events that are kept."""
KEPT_BYTES = 8 * 1024 * 1024
"""And their bytes as they are stored; in memory they take several times that."""
_AGAIN = 1.0
"""Seconds after which a reading that failed is tried again."""
_ANSWER = 10.0

_log = logging.getLogger("bzz.audit")


class Kept(NamedTuple):
    """An event in memory: its position, what is stored, and how many bytes that is.

    `frames` is for readers, who leave there what they have made of it for others.
    """

    position: int
    stored: dict[str, Any]
    size: int
    frames: dict[str, bytes]


class Window(NamedTuple):
    """The newest events: all whose positions are above `start`, up to that of `head`."""

    start: int
    head: LogHead
    events: tuple[Kept, ...] = ()

    def after(self, position: int, limit: int) -> tuple[Kept, ...] | None:
        """The next events after a position; None when it is not in the window."""
        if not self.start <= position <= self.head.position:
            return None
        first = bisect_right(self.events, position, key=_position)
        return self.events[first : first + limit]

    def moved(self, events: list[Kept], head: LogHead, *, kept: int, size: int) -> Window:
        """The window with the events that come next, and without those that it has no room for."""
        found = [*self.events, *events]
        room, first = size - sum(each.size for each in found), max(len(found) - kept, 0)
        room += sum(each.size for each in found[:first])
        while room < 0:
            room += found[first].size
            first += 1
        start = found[first - 1].position if first else self.start
        return Window(start, head, tuple(found[first:]))


@dataclass(frozen=True, slots=True)
class News:
    """What listeners are told: the head has moved from one to another.

    `events` are those between the two; None when they were too many to read, or the epoch is
    another.
    """

    before: LogHead
    head: LogHead
    events: tuple[Kept, ...] | None
    _asked: dict[Callable[[dict[str, Any]], bool], bool] = field(default_factory=dict)

    def concerns(self, is_wanted: Callable[[dict[str, Any]], bool]) -> bool:
        """Whether there is an event that is wanted, or may be.

        Found out once for all that give the same function.
        """
        if self.events is None:
            return True
        if is_wanted not in self._asked:
            self._asked[is_wanted] = any(is_wanted(each.stored) for each in self.events)
        return self._asked[is_wanted]


Listener = Callable[[News | None], object]


class Hub:
    """The newest events of one database, for as long as somebody listens.

    Its thread starts with the first that does; without listeners nothing is read.
    """

    def __init__(
        self, feed: Feed, watch: Watch, *, kept: int = KEPT, size: int = KEPT_BYTES
    ) -> None:
        self._feed = feed
        self._watch = watch
        self._kept, self._size = kept, size
        self._window: Window | None = None
        self._listeners = Listeners[News | None]()
        self._lock = threading.Lock()
        self._sign = threading.Event()
        self._let_go: Callable[[], None] | None = None
        self._background = Background("bzz-hub", self._serve)

    @property
    def window(self) -> Window | None:
        """The newest events as of the last look; None before the first."""
        return self._window

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be told any more."""
        return self._background.is_closed

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` whenever the head has moved, in the thread of the hub, until let go.

        Returns the function that lets go.  What moves after this call is told, later or sooner;
        a reader who looks at the head after it misses nothing.  The listener returns soon and
        raises nothing; None tells it that the hub was closed.
        """
        with self._lock:
            let_go_one = self._listeners.add(listener)
            if self._let_go is None:
                self._let_go = self._watch.listen(lambda _: self._sign.set())
        self._background.start()
        self._sign.set()

        def let_go() -> None:
            with self._lock:
                let_go_one()
                if not self._listeners and self._let_go is not None:
                    self._let_go()
                    self._let_go = None

        return let_go

    def close(self) -> None:
        """End the thread, and tell the listeners so."""
        self._sign.set()
        self._background.close()
        self._listeners.tell(None)

    # The thread --------------------------------------------------------------------------

    def _serve(self, closed: threading.Event) -> None:
        while not closed.is_set():
            # The time-out is for being closed; what there is to read the watch tells.
            if not self._sign.wait(_AGAIN) or closed.is_set():
                continue
            self._sign.clear()
            if not self._listeners:
                continue
            try:
                self._read(closed)
            except Exception as error:  # whatever it is, the next reading may do better
                if isinstance(error, InvalidOperation) and self._feed.has_ended():
                    return
                level = logging.DEBUG if isinstance(error, PyMongoError) else logging.WARNING
                _log.log(level, "New events are read again: %r", error)
                closed.wait(_AGAIN)
                self._sign.set()

    def _read(self, closed: threading.Event) -> None:
        with pymongo.timeout(_ANSWER):
            head = self._feed.head()
        window = self._window
        if window is None:
            self._move(Window(head.position, head), News(head, head, None))
            return
        if head == window.head:
            return
        ahead = head.position - window.head.position
        if head.epoch != window.head.epoch or not 0 <= ahead <= self._kept:
            self._move(Window(head.position, head), News(window.head, head, None))
            return
        pieces = self._feed.pieces({}, range(window.head.position + 1, head.position + 1))
        while not closed.is_set():
            with pymongo.timeout(_ANSWER):
                piece = next(pieces, None)
            if piece is None:
                break
            window = self._append(window, piece.events, piece.reached, head)
        if window.head.position < head.position:  # a new primary knows less for a moment
            closed.wait(_AGAIN)
            self._sign.set()

    def _append(
        self, window: Window, stored: list[dict[str, Any]], reached: int, head: LogHead
    ) -> Window:
        events = [Kept(int(each["p"]), each, _size_of(each), {}) for each in stored]
        here = replace(head, position=reached)
        moved = window.moved(events, here, kept=self._kept, size=self._size)
        self._move(moved, News(window.head, here, tuple(events)))
        return moved

    def _move(self, window: Window, news: News) -> None:
        self._window = window
        self._listeners.tell(news)


def _position(kept: Kept) -> int:
    return kept.position


def _size_of(stored: dict[str, Any]) -> int:
    return len(bson.encode(stored, codec_options=EXACT))
