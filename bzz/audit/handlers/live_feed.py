"""Edge: the events of all models, followed live: one client's place among the positions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError

from bzz.actions import Action
from bzz.audit.errors import PositionGone
from bzz.audit.handlers.base import answered
from bzz.audit.handlers.sight import Sight
from bzz.audit.handlers.streaming import CHUNK, checkpoint, frame
from bzz.audit.handlers.verbs import is_allowed
from bzz.audit.hub import Kept, News
from bzz.audit.matching import matcher
from bzz.audit.seals import LogHead
from bzz.resource import Resource

if TYPE_CHECKING:
    from bzz.audit.handlers.across import AcrossHandler

_AT_ONCE = 100
"""Events that are looked at in memory before others get their turn."""
_A_MOMENT = 0.2


class FeedFollower:
    """Follows the positions, from one on; ids are `<position>-<epoch>`.

    `query` is what is asked for, in stored names, of the `resources` that may be read; they are
    asked for again before anything is shown.
    """

    def __init__(
        self,
        handler: AcrossHandler,
        resources: list[Resource],
        query: dict[str, Any],
        *,
        correlation: str | None,
        after: int | None,
        epoch: str | None,
    ) -> None:
        self._handler = handler
        self._resources = resources
        self._query = query
        self._correlation = correlation
        wanted = query if correlation is None else {"$and": [query, {"k": correlation}]}
        self._is_wanted = matcher(wanted)
        self._after, self._epoch = after, epoch
        self._position = -1
        self._head = LogHead(-1, "")

    @property
    def mark(self) -> str:
        return f"{self._position}-{self._head.epoch}"

    def hear(self, news: News) -> bool:
        """Whether there may be something in it; if not, this is as far as this client is."""
        is_behind = not 0 <= news.before.position <= self._position
        if is_behind or news.head.epoch != self._head.epoch or news.concerns(self._is_wanted):
            return True
        self._position = max(self._position, news.head.position)
        return False

    async def start(self) -> None:
        """Begin behind the position that the client knows.  Raises `Gone`."""
        feed = self._handler.auditor.feed

        def look() -> LogHead:
            with answered():
                return feed.head_after(self._after or 0, self._epoch)

        self._head = await self._handler.off_loop(look)
        self._position = self._head.position if self._after is None else self._after

    async def read(self) -> bytes | None:
        window = self._handler.auditor.window
        if window is not None:
            await self._see(window.head)
        if window is not None and window.head.epoch != self._head.epoch:
            window = None
        if self._position >= self._head.position:
            return None
        kept = None if window is None else window.after(self._position, _AT_ONCE)
        if window is None or kept is None:
            resources = await self._permitted()
            last = self._head.position
            text = await self._handler.off_loop(self._read_stored, last, resources)
            if text is None:  # a new primary knows less for a moment than was told
                await asyncio.sleep(_A_MOMENT)
            return text or b""
        reached = kept[-1].position if kept else window.head.position
        wanted = [each for each in kept if self._is_wanted(each.stored)]
        if not wanted:
            self._position = reached
            return b""
        resources = await self._permitted()
        text = self._show_common(wanted, reached, resources)
        if text is None:
            stored = [each.stored for each in wanted]
            text = await self._handler.off_loop(self._show, stored, reached, resources)
        return text

    def _show_common(
        self, events: list[Kept], reached: int, resources: list[Resource]
    ) -> bytes | None:
        """As `_show`, where all clients are shown the same, made once; else None."""
        sight, text = Sight(self._handler, resources), bytearray()
        for each in events:
            name = sight.common(each.stored)
            if name is None:
                return None
            if name not in each.frames:
                shown = sight.show(each.stored)
                mark = f"{each.position}-{self._head.epoch}"
                each.frames[name] = b"" if shown is None else frame(mark, shown)
            text += each.frames[name]
            if len(text) >= CHUNK:
                reached = each.position
                break
        self._position = reached
        return bytes(text)

    async def _see(self, head: LogHead) -> None:
        """Take notice of how far positions go.  Raises `Gone` when they are of another epoch."""
        if head.epoch != self._head.epoch:
            # Unless the hub itself is late: it may have looked before this client did.
            now = await self._handler.off_loop(self._handler.auditor.feed.head)
            if now.epoch != self._head.epoch:
                with answered():
                    raise PositionGone(self._position, now.position, other_epoch=True)
        elif head.position > self._head.position:
            self._head = head

    async def _permitted(self) -> list[Resource]:
        return await permitted(self._resources, self._handler.ask_may)

    # Off the loop --------------------------------------------------------------------------

    def _read_stored(self, last: int, resources: list[Resource]) -> bytes | None:
        """What comes next in the database; how far it is where nothing is shown.

        None where it does not reach as far.
        """
        bounds = range(self._position + 1, last + 1)
        pieces = self._handler.auditor.feed.pieces(
            self._query, bounds, correlation=self._correlation
        )
        with closing(pieces):
            piece = next(pieces, None)
        if piece is None:
            return None
        return self._show(piece.events, piece.reached, resources) or checkpoint(self)

    def _show(self, events: list[dict[str, Any]], reached: int, resources: list[Resource]) -> bytes:
        """The events that the client may see, as frames, as many as are sent at once."""
        sight, text = Sight(self._handler, resources), bytearray()
        for stored in events:
            shown = sight.show(stored)
            if shown is None:
                continue
            position = int(stored["p"])
            text += frame(f"{position}-{self._head.epoch}", shown)
            if len(text) >= CHUNK:
                self._position = position
                return bytes(text)
        self._position = reached
        return bytes(text)


async def permitted(
    resources: Iterable[Resource], ask: Callable[[list[Action]], Awaitable[None]]
) -> list[Resource]:
    """Those resources whose events may be read.  Raises `HTTPError` 403 when none may."""
    found = [each for each in resources if await is_allowed(ask([("feed", each.model, None)]))]
    if not found:
        raise HTTPError(403)
    return found
