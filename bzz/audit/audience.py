"""The readers of this process that follow events live, woken together.

Each has a seat: it is told that there is news, and reads for itself.  Readers of one event loop
are told by one call into it, and those that the news does not concern sleep on.  Knows asyncio
and the hub; neither HTTP nor what readers do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from bzz.audit.errors import AudienceFull
from bzz.audit.hub import Hub, News

Loop = asyncio.AbstractEventLoop

AT_ONCE = 20
"""Readers that are woken together."""
PAUSE = 0.005
"""Seconds after that, in which requests on the same loop get their turn.

What comes in the meantime a reader sends with the rest: a thousand readers of everything are
told less often, and not more slowly.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """How live streams are served: `Auditor(live=Live(streams=200))`.

    Attributes
    ----------
    streams: how many this process serves at once; one more is answered 503.
    heartbeat: seconds of silence after which a stream says that it lives.
    patience: seconds within which a client has to take what was sent; else it is dropped.
    retry: seconds after which a browser comes back when its stream has ended.
    kept: how many events are kept in memory for all streams.
    kept_bytes: how many bytes they have at most.

    Raises `ValueError` for what is not above 0.
    """

    streams: int = 1000
    heartbeat: float = 15.0
    patience: float = 30.0
    retry: float = 2.0
    kept: int = 1000
    kept_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise ValueError(f"Live({name}=…) is above 0, not {getattr(self, name)!r}.")


class Reader(Protocol):
    """Who has a seat."""

    def hear(self, news: News) -> bool:
        """Whether there is something to read after this.  Called on the loop; does not block."""


class Seat:
    """A place in the audience.  Belongs to the event loop on which it was taken."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sign = asyncio.Event()
        self.is_over = False
        """Whether nothing will be told any more."""

    def tell(self, news: News | None) -> None:
        """Wake who waits here if the news concerns him; None is the end."""
        if news is None:
            self.leave()
        elif not self._sign.is_set() and self._reader.hear(news):
            self._sign.set()

    def leave(self) -> None:
        """Let who waits here go on: it is over."""
        self.is_over = True
        self._sign.set()

    def look(self) -> None:
        """Say that all that was told so far will be read now."""
        if not self.is_over:
            self._sign.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most for some seconds; whether there is some, or the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._sign.wait()
        except TimeoutError:
            return False
        return True


class _Row:
    """The seats of one event loop, woken some at a time.  Belongs to the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._untold: list[News | None] = []
        self._is_telling = False
        self.seats: set[Seat] = set()

    def tell(self, news: News | None) -> None:
        """Tell all seats, one news after the other."""
        self._untold.append(news)
        if not self._is_telling:
            self._is_telling = True
            self._begin()

    def _begin(self) -> None:
        news, self._untold = self._untold, []
        self._go_on(news, iter(tuple(self.seats)))

    def _go_on(self, news: list[News | None], seats: Iterator[Seat]) -> None:
        some = list(islice(seats, AT_ONCE))
        for seat in some:
            for each in news:
                seat.tell(each)
        if len(some) == AT_ONCE:
            self._loop.call_later(PAUSE, self._go_on, news, seats)
        elif self._untold:
            self._loop.call_soon(self._begin)
        else:
            self._is_telling = False


class Audience:
    """All seats of a process at one hub, at most `size`."""

    def __init__(self, hub: Hub, *, size: int) -> None:
        self._hub = hub
        self._size = size
        self._lock = threading.Lock()
        self._rows: dict[Loop, _Row] = {}
        self._let_go: Callable[[], None] | None = None

    @property
    def hub(self) -> Hub:
        """Where the newest events are."""
        return self._hub

    def __len__(self) -> int:
        return sum(len(row.seats) for row in self._rows.values())

    @contextmanager
    def seat(self, reader: Reader) -> Iterator[Seat]:
        """A seat for the length of a block, in a coroutine.

        What gets a position within the block is told; once the hub was closed it is over at
        once.  Raises `AudienceFull`.
        """
        loop, seat = asyncio.get_running_loop(), Seat(reader)
        with self._lock:
            if len(self) >= self._size:
                raise AudienceFull(self._size)
            row = self._rows.setdefault(loop, _Row(loop))
            row.seats.add(seat)
            if self._let_go is None:
                self._let_go = self._hub.listen(self._tell)
        if self._hub.is_closed:
            seat.leave()
        try:
            yield seat
        finally:
            with self._lock:
                row.seats.discard(seat)
                if not row.seats:
                    self._clear(loop)

    def _tell(self, news: News | None) -> None:
        """In the thread of the hub."""
        with self._lock:
            rows = list(self._rows.items())
        for loop, row in rows:
            try:
                loop.call_soon_threadsafe(row.tell, news)
            except RuntimeError:  # the loop is closed, and nobody sits there any more
                with self._lock:
                    self._clear(loop)

    def _clear(self, loop: Loop) -> None:
        self._rows.pop(loop, None)
        if not self._rows and self._let_go is not None:
            self._let_go()
            self._let_go = None
