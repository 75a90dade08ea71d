"""Edge: subscriptions as pages: how they stand, their parked events, to retry one or to skip it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bzz.audit.handlers.across_pages import AcrossPageHandler
from bzz.audit.handlers.paging import EXPLAINED
from bzz.audit.handlers.subscriptions import (
    ParkedHandler,
    RetryHandler,
    SkipHandler,
    SubscriptionHandler,
    SubscriptionsHandler,
)
from bzz.audit.pages import subscriptions as pages
from bzz.audit.pages.subscriptions import Decision, Standing
from bzz.problems import Problem


class SubscriptionsPageHandler(AcrossPageHandler, SubscriptionsHandler):
    """All that the reader may see."""

    async def page(self) -> None:
        """A table of them."""
        answer = await self.read()
        await self.show(pages.subscriptions, answer["items"], self.root, keep="no-store")


class SubscriptionPageHandler(AcrossPageHandler, SubscriptionHandler):
    """One, and what it has set aside."""

    async def page(self) -> None:
        """How it stands, and a page of its events."""
        answer = await self.read()
        told = {**answer, "items": [self._with_history(each) for each in answer["items"]]}
        subscription = await self._subscription(answer["name"])
        standing = Standing(
            told=told,
            state=dict(self.query_arguments()).get("state", "parked"),
            may_decide=await self._may("rebuild", subscription.models),
            path=self.root,
        )
        await self.show(pages.subscription, standing, keep="no-store")

    def _with_history(self, parked: dict[str, Any]) -> dict[str, Any]:
        return {**parked, "event": self.with_history(parked["event"])}


class DecisionPageHandler(AcrossPageHandler, ParkedHandler):
    """Asks before it is done; a form that comes back is carried out as an order by the API is."""

    word = ""
    """How the path ends."""

    async def page(self) -> None:
        """The parked event, what the decision means, and a form that asks for it."""
        self.check_arguments()
        await self._ask()

    async def post(self, *_: str) -> None:
        """Do what a page's form asks for; other bodies are the API's."""
        if not self.is_form_of_page():
            await super().post(*_)
            return
        self.check_arguments()
        form = self.read_form(*self.body)
        try:
            subscription = await self.decide(dict(form))
        except Exception as error:  # which of them the reader can mend, their problems tell
            problem = self.problem(error)
            if problem.status not in (*EXPLAINED, 503):
                raise
            self.set_status(problem.status)
            await self._ask(form.get("reason", ""), problem)
            return
        self.set_header("Cache-Control", "no-store")
        self.redirect(f"{self.root}subscriptions/{quote(subscription.name)}/", status=303)

    async def _ask(self, reason: str = "", problem: Problem | None = None) -> None:
        subscription, parked = await self.parked()
        asked = Decision(
            what=self.word,
            name=subscription.name,
            parked={**parked, "event": self.with_history(parked["event"])},
            token=self.token(),
            path=self.root,
            reason=reason,
            trouble=None if problem is None else self.trouble(problem),
        )
        await self.show(pages.decision, asked, keep="no-store")


class RetryPageHandler(DecisionPageHandler, RetryHandler):
    """Lets a worker try again."""

    word = "retry"


class SkipPageHandler(DecisionPageHandler, SkipHandler):
    """Leaves an event out."""

    word = "skip"
