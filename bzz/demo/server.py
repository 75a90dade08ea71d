"""The demo's application: routes for three models, their auditor, an index page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import tornado.web

from bzz import MongoEngineRestHandler, __version__, flatten, openapi_route
from bzz.audit import Auditor
from bzz.demo.models import MODELS, Order, Person, Team
from bzz.demo.seed import STORIES


class Handler(MongoEngineRestHandler):
    """Serves all routes of the demo, which believes whoever says who they are."""

    def get_current_user(self) -> str | None:
        """The X-User header; UTF-8, which Tornado reads as Latin-1."""
        user = self.request.headers.get("X-User", "").encode("latin-1")
        return user.decode("utf-8", "replace") or None


class Index(tornado.web.RequestHandler):
    """The page at `/`: what can be tried, on documents that are there."""

    def initialize(self, auditor: Auditor) -> None:
        """Called by Tornado for each request."""
        self.auditor = auditor

    async def get(self) -> None:
        """Render the page."""
        found = await asyncio.to_thread(self._documents)
        self.render("index.html", url=f"http://{self.request.host}", **found)

    def _documents(self) -> dict[str, Any]:
        order = Order.objects.order_by("-placed").first()
        numbers = [int(each) for each in Order.objects.scalar("number") if each.isdecimal()]
        return {
            "counts": [(each.__name__.lower(), each.objects.count()) for each in MODELS],
            "order": order,
            "version": 0 if order is None else self._versions(Order, order.pk),
            "new": max(numbers, default=1000) + 1,
            "person": Person.objects.order_by("handle").first(),
            "team": Team.objects.order_by("name").first(),
            "stories": [
                (f"/{model.__name__.lower()}/{pk}/history/", words)
                for model, pk, words in STORIES
                if self._versions(model, pk)
            ],
        }

    def _versions(self, model: Any, pk: str) -> int:
        return self.auditor.history(model, pk).last_version()


def make_auditor(clock: Callable[[], datetime]) -> Auditor:
    """The auditor of the demo's models."""
    auditor = Auditor(actor=lambda handler: handler.current_user, clock=clock)
    auditor.track(Person, mask=["salary"], exclude=["last_seen"])
    auditor.track(Team)
    auditor.track(Order)
    auditor.subscribe("invoices", model=Order, fields=["status"], retries=0)(invoice)
    return auditor


def invoice(event: Any, ctx: Any) -> None:
    """Write an invoice for each order that is delivered."""
    if not any(change.to == "delivered" for change in event.changes):
        return
    if event.operation == "external":  # parked, for somebody to decide
        raise ValueError(f"Order {event.document} was delivered, and nobody signed for it.")
    invoices = ctx.collection("invoices")
    invoices.update_one({"_id": event.document}, {"$set": {"since": event.time}}, upsert=True)


def make_application(auditor: Auditor) -> tornado.web.Application:
    """All that the demo serves."""
    models = [Handler.routes_for("mongoengine", each, audit=auditor) for each in MODELS]
    routes = flatten([*models, auditor.routes()])
    description = openapi_route(routes, title="The bzz demo", version=__version__)
    index = (r"/", Index, {"auditor": auditor})
    return tornado.web.Application(
        [*routes, description, index], template_path=str(Path(__file__).parent)
    )
