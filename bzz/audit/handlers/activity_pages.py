"""Edge: the pages about all models: what happened, and a request that is taken back."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bzz.audit.asking import Asked
from bzz.audit.handlers.across_pages import AcrossPageHandler
from bzz.audit.handlers.feed import FeedHandler, query_of
from bzz.audit.handlers.paging import EXPLAINED
from bzz.audit.handlers.restore_set import RestoreSetHandler
from bzz.audit.handlers.sight import Sight
from bzz.audit.handlers.subscriptions import SubscriptionsSight
from bzz.audit.pages import activity as pages
from bzz.audit.pages.activity import DAYS, Activity, Counts, Taken
from bzz.audit.store import utc
from bzz.errors import BadRequest
from bzz.openapi.answers import JSON
from bzz.resource import Resource

_SECONDS = 0.5
"""For which events are counted."""


class ActivityPageHandler(AcrossPageHandler, FeedHandler, SubscriptionsSight):
    """What happened, by request, beside the list of all events."""

    formats = (JSON, "text/event-stream")
    _counts: Counts | None = None

    async def page(self) -> None:
        """The events that the query string asks for, and a chart of the last weeks."""
        answer = await self.read()
        arguments = dict(self.query_arguments())
        first = self.auditor.resources[0]
        asked = Asked.read(arguments, first.schema)
        events = sorted(answer["items"], key=lambda each: -each["position"])
        is_full = asked.newest_first or len(events) == asked.limit
        following = answer["next"] if is_full else None
        numbers = [each["position"] for each in events]
        listed = Activity(
            events=[self.with_history(each) for each in events],
            models=sorted(self.resources()),
            filters=arguments,
            counts=self._counts or Counts(days={}, last=_today(asked), is_whole=True),
            may_undo=await self.may_do(
                [("restore", each.model, None) for each in self.auditor.resources]
            ),
            subscriptions=await self._subscriptions(),
            path=self.root,
            **self.ways_on(self.root, asked, numbers, following),
        )
        await self.show(pages.activity, listed)

    async def _subscriptions(self) -> list[dict[str, Any]]:
        # mongomock, which has no positions, has none.
        return await self.shown_subscriptions() if self.auditor.has_transactions() else []

    def _page(
        self, arguments: dict[str, str], asked: Asked, resources: list[Resource]
    ) -> tuple[list[dict[str, Any]], str | None]:
        """As for the API; counts for the chart too."""
        found = super()._page(arguments, asked, resources)
        if self.wants_page():
            self._counts = self._count(arguments, asked, resources)
        return found

    def _count(self, arguments: dict[str, str], asked: Asked, resources: list[Resource]) -> Counts:
        """How many events were on each day that may be seen, as far as there is time."""
        last, days = _today(asked), Counter[date]()
        first, until = last - timedelta(days=DAYS - 1), time.monotonic() + _SECONDS
        feed, sight = self.auditor.feed, Sight(self, resources)
        bounds = range(1, feed.head().position + 1)
        query, correlation = query_of(self.auditor, asked, resources), arguments.get("correlation")
        for piece in feed.pieces(query, bounds, newest_first=True, correlation=correlation):
            days.update(utc(each["t"]).date() for each in piece.events if sight.may_show(each))
            # Positions follow the times closely: what comes now is older still.
            if piece.events and utc(piece.events[-1]["t"]).date() < first:
                break
            if time.monotonic() > until:
                return Counts(days=days, last=last, is_whole=False)
        return Counts(days=days, last=last, is_whole=True)


def _today(asked: Asked) -> date:
    """The last day that is asked for."""
    now = datetime.now(UTC)
    return (now if asked.until is None else min(now, utc(asked.until))).date()


class RequestPageHandler(AcrossPageHandler, RestoreSetHandler):
    """A request is taken back, after a look at what that would change."""

    async def page(self) -> None:
        """What would change, and a form that asks for it."""
        correlation = self.check_arguments("correlation").get("correlation")
        if correlation is None:
            raise BadRequest("Say which request: ?correlation=<the id that its events have>.")
        await self._ask(correlation)

    async def post(self, *_: str) -> None:
        """Do what a page's form asks for; other bodies are the API's."""
        if not self.is_form_of_page():
            await super().post(*_)
            return
        self.check_arguments()
        form = self.read_form("correlation", "reason", "cursor")
        correlation = form.get("correlation", "")
        try:
            report = await self.carry_out(form)
        except Exception as error:  # which of them the reader can mend, their problems tell
            problem = self.problem(error)
            if problem.status not in EXPLAINED:
                raise
            self.set_status(problem.status)
            await self._ask(correlation, form.get("reason", ""), problem)
            return
        failed = [self.with_history(each) for each in report["failed"]]
        await self._tell(correlation, report={**report, "failed": failed})

    async def _ask(self, correlation: str, reason: str = "", problem: Any = None) -> None:
        preview = None
        if correlation:
            preview = await self.carry_out({"correlation": correlation, "dry_run": True})
            sample = [self.with_history(each) for each in preview["sample"]]
            preview = {**preview, "sample": sample}
        trouble = None if problem is None else self.trouble(problem)
        await self._tell(correlation, preview=preview, reason=reason, trouble=trouble)

    async def _tell(self, correlation: str, **more: Any) -> None:
        token, path = self.token(), self.root
        taken = Taken(correlation=correlation, path=path, token=token, **more)
        await self.show(pages.request, taken, keep="no-store")
