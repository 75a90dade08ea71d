"""The reading side across streams: events in the order of their positions, piece by piece.

Reads what a majority holds.  A reader that remembers a position and its epoch, and goes on from
there, misses no event and gets none twice.  Knows nothing of who reads.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from bzz.audit.errors import PositionGone
from bzz.audit.seals import LogHead
from bzz.sessions import is_closed

if TYPE_CHECKING:
    from bzz.audit.seals import SealStore
    from bzz.audit.store import HistoryStore

PIECE = 100
"""Events of a piece."""
SPAN = 10_000
"""Positions that are looked through for one."""


class Piece(NamedTuple):
    """Some events that were asked for, as stored, and how far they were looked for.

    `reached` is the last position that was looked at: all that were asked for up to it (or down
    to it) have been given.
    """

    events: list[dict[str, Any]]
    reached: int


class Feed:
    """The events of one database that have positions; without `seals` none of them has."""

    def __init__(self, store: HistoryStore, seals: SealStore | None) -> None:
        self._store = store
        self._seals = seals

    def head(self) -> LogHead:
        """How far events have positions."""
        return LogHead(0, "") if self._seals is None else self._seals.head()

    def has_ended(self) -> bool:
        """Whether nothing can be read any more, since the client was closed."""
        return self._seals is not None and is_closed(self._seals.database.client)

    def head_after(self, position: int, epoch: str | None) -> LogHead:
        """The head, for who comes back with a position and its epoch (None: unknown).

        Raises `PositionGone` when other events may stand under the numbers that he knows.
        """
        head = self.head()
        if self._seals is not None and (
            position > head.position or epoch not in (None, head.epoch)
        ):
            head = self._seals.latest()  # after a fail-over it may have been behind
        if position > head.position or epoch not in (None, head.epoch):
            raise PositionGone(position, head.position, other_epoch=epoch not in (None, head.epoch))
        return head

    def pieces(
        self,
        query: dict[str, Any],
        bounds: range,
        *,
        newest_first: bool = False,
        correlation: str | None = None,
    ) -> Generator[Piece, None, None]:
        """The events that match `query` and whose positions are in a range, in their order.

        `query` is in stored names; `correlation` limits it to one request's, which an index
        finds.  Each piece is read when it is asked for; the last one reaches the end of the
        range, or the last position that there is.
        """
        if self._seals is None:
            return
        with self._seals.in_order() as session:
            # Read here, and in one session with the events: so it is never ahead of what they
            # show, though a new primary knows less for a moment.
            last = self._seals.head(session=session).position
            bounds = range(bounds.start, min(bounds.stop, last + 1))
            span = len(bounds) if correlation is not None else SPAN
            while bounds:
                part = bounds[-span:] if newest_first else bounds[:span]
                events = self._store.numbered(
                    query,
                    part,
                    newest_first=newest_first,
                    limit=PIECE,
                    correlation=correlation,
                    session=session,
                )
                end = part.start if newest_first else part.stop - 1
                reached = int(events[-1]["p"]) if len(events) == PIECE else end
                yield Piece(events, reached)
                if newest_first:
                    bounds = range(bounds.start, reached)
                else:
                    bounds = range(reached + 1, bounds.stop)


def _is_gone(position: int, epoch: str | None, head: LogHead) -> bool:
    return position > head.position or epoch not in (None, head.epoch)
