"""Edge: `GET /history/`, the events of all models by their positions, page by page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bzz.audit.asking import EVENT_FILTERS, Asked, query_across
from bzz.audit.feed import Piece
from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.base import CHECKED, answered
from bzz.audit.handlers.describing import EVENT_PARAMETERS, event
from bzz.audit.handlers.live_feed import FeedFollower, permitted
from bzz.audit.handlers.sight import Sight
from bzz.audit.handlers.streaming import StreamingHandler, streamed
from bzz.audit.seals import LogHead
from bzz.errors import BadRequest
from bzz.openapi import answers
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import operation
from bzz.openapi.parameters import limit, query
from bzz.resource import Resource

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_FILTERS = tuple(each for each in EVENT_FILTERS if each != "include")
_OWN = ("model", "correlation", "epoch")
_SECONDS = 1.0
"""After which a page is answered with what there is by then, and where to go on."""


class FeedHandler(StreamingHandler, AcrossHandler):
    """The events that have positions: newest first, in their order for who comes back, or live."""

    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The feed, for OpenAPI."""
        told = {"before": "Events before this position.", "after": "Events after this position."}
        filters = [
            {**each, "description": told.get(each["name"], each["description"])}
            for each in EVENT_PARAMETERS
            if each["name"] != "include"
        ]
        text: Json = {"type": "string"}
        own = [
            query("model", text, "Events of this model."),
            query("correlation", text, "Events of one request, or of those that share its id."),
            query("epoch", text, "Of the position; another one is answered 410."),
        ]
        fields = answers.headers(book, "Link", always=["Cache-Control"])
        found = operation(
            book,
            book.operation_id("list", cls.template),
            "List the events of all models",
            tag="history",
            asked=[limit(book), *filters, *own],
            answers={
                "200": answers.success("A page of events.", answers.page_of(event(book)), fields)
            },
            failures=["gone"],
        )
        return {"get": streamed(book, found, "`<position>-<epoch>`")}

    async def get(self, *_: str) -> None:
        """The events that the query string asks for, and where the next ones are."""
        if self.wants_stream():
            await self._follow()
            return
        arguments = self.check_arguments(*_FILTERS, *_OWN)
        resources = await self._permitted(arguments.get("model"))
        asked = Asked.read(arguments, resources[0].schema)
        shown, following = await self.off_loop(self._page, arguments, asked, resources)
        self.set_header("Cache-Control", CHECKED)
        if following is not None:
            self.set_header("Link", f'<{following}>; rel="next"')
        self.respond({"items": shown, "next": following})

    async def _permitted(self, name: str | None) -> list[Resource]:
        """The resources that are meant and may be read.  Raises `BadRequest`, and 403 for none."""
        among = self.auditor.resources
        if name is not None and name not in self.resources():
            told = ", ".join(sorted(self.resources()))
            raise BadRequest(f"'model' is one of {told}; got {name!r}.")
        named = [each for each in among if name in (None, each.name)]
        return await permitted(named, lambda actions: self.permit(actions, []))

    async def _follow(self) -> None:
        schema = self.auditor.resources[0].schema
        arguments, asked = self.read_live(schema, *_OWN)
        after, epoch = asked.after, arguments.get("epoch")
        known = self.last_event_id()
        if known is not None:
            after, epoch = known[0], known[1] or epoch
        resources = await self._permitted(arguments.get("model"))
        follower = FeedFollower(
            self,
            resources,
            query_of(self.auditor, asked, resources),
            correlation=arguments.get("correlation"),
            after=after,
            epoch=epoch,
        )
        await self.follow(follower)

    # What is read, off the loop ------------------------------------------------------------

    def _page(
        self, arguments: dict[str, str], asked: Asked, resources: list[Resource]
    ) -> tuple[list[dict[str, Any]], str | None]:
        self.auditor.prepare()
        feed = self.auditor.feed
        with answered():
            head = feed.head_after(asked.after or 0, arguments.get("epoch"))
        bounds = range((asked.after or 0) + 1, head.position + 1)
        if asked.before is not None:
            bounds = range(bounds.start, max(min(bounds.stop, asked.before), bounds.start))
        pieces = feed.pieces(
            query_of(self.auditor, asked, resources),
            bounds,
            newest_first=asked.newest_first,
            correlation=arguments.get("correlation"),
        )
        shown, reached = self._gather(pieces, asked.limit, Sight(self, resources))
        if asked.newest_first:
            if reached is None or reached <= bounds.start:
                return shown, None
            return shown, self._url({**arguments, "before": str(reached)}, head)
        reached = bounds.start - 1 if reached is None else reached
        return shown, self._url({**arguments, "after": str(reached)}, head)

    def _gather(
        self, pieces: Iterator[Piece], limit: int, sight: Sight
    ) -> tuple[list[dict[str, Any]], int | None]:
        """As many events as are asked for, or as there is time to look for; and how far it is."""
        shown, reached, until = list[dict[str, Any]](), None, time.monotonic() + _SECONDS
        for piece in pieces:
            for stored in piece.events:
                event = sight.show(stored)
                if event is not None:
                    shown.append(event)
                reached = int(stored["p"])
                if len(shown) == limit or time.monotonic() > until:
                    return shown, reached
            reached = piece.reached
            if time.monotonic() > until:
                break
        return shown, reached

    def _url(self, arguments: dict[str, str], head: LogHead) -> str:
        return f"{self.template}?{urlencode({**arguments, 'epoch': head.epoch})}"


def query_of(auditor: Auditor, asked: Asked, resources: list[Resource]) -> dict[str, Any]:
    """What is asked for, without its bounds, in stored names.  Raises `BadRequest`."""
    return query_across(asked, [auditor.tracked_as(each.model) for each in resources])
