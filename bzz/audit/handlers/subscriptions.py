"""Edge: `/history/subscriptions/…`, how the subscriptions stand, and their parked events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from bzz.audit.context import checked_reason
from bzz.audit.errors import ContextError, NotParked, UnknownSubscription
from bzz.audit.events import SYSTEM
from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.describing import (
    ORDERED_POSITION,
    SUBSCRIPTION,
    subscription_state,
    subscription_with_parked,
)
from bzz.audit.handlers.sight import Sight
from bzz.audit.handlers.verbs import is_allowed
from bzz.audit.parking import Parked, Waits
from bzz.audit.subscription import Subscription
from bzz.audit.views import show_parked, show_status
from bzz.errors import BadRequest, FieldError, InvalidInput, NotFound
from bzz.jsonvalues import INT64
from bzz.openapi import answers, bodies
from bzz.openapi.book import Book, Json
from bzz.openapi.operations import operation
from bzz.openapi.parameters import limit, query
from bzz.query import DEFAULT_LIMIT, MAX_LIMIT
from bzz.recording import Model
from bzz.resource import Resource

_NO_STORE = "no-store"


class SubscriptionsSight(AcrossHandler):
    """What handlers that show subscriptions share: whom they may be shown to, and how."""

    parameters: ClassVar[tuple[Json, ...]] = ()

    @classmethod
    def describe(cls, book: Book, resource: Resource) -> dict[str, Json]:
        """The path of the route, with its parameters, for OpenAPI."""
        described = super().describe(book, resource)
        return {
            path: {"parameters": list(cls.parameters), **each} for path, each in described.items()
        }

    async def shown_subscriptions(self) -> list[dict[str, Any]]:
        """How all stand whose models' feeds the request may read, as they were declared."""
        items = list[dict[str, Any]]()
        for each in await self.off_loop(self._all):
            if await self._may("feed", each.models):
                items.append(await self._shown(each))
        return items

    def _all(self) -> list[Subscription]:
        auditor = self.auditor
        return [auditor.subscription(name) for name in auditor.subscription_names()]

    async def _subscription(self, name: str, action: str = "feed") -> Subscription:
        """A subscription of which the request may do something.  Raises `NotFound`, 403."""
        found = await self.off_loop(self._find, name)
        for each in ("feed", action):
            await self.ask_may([(each, model, None) for model in found.models])
        return found

    def _find(self, name: str) -> Subscription:
        try:
            return self.auditor.subscription(name)
        except UnknownSubscription as error:
            raise NotFound(f"There is no subscription {name!r}.") from error

    async def _may(self, action: str, models: Iterable[Model]) -> bool:
        return await is_allowed(self.ask_may([(action, model, None) for model in models]))

    def _shown_parked(self, parked: Sequence[Parked]) -> list[dict[str, Any] | None]:
        """Parked events as the API shows them; None for those of unseen documents.  Blocks."""
        if not parked:
            return []
        positions = [each.position for each in parked]
        bounds = range(min(positions), max(positions) + 1)
        found = self.auditor.store.numbered(
            {"p": {"$in": positions}}, bounds, newest_first=False, limit=0
        )
        sight = Sight(self, self.auditor.resources)
        events = {int(stored["p"]): sight.show(stored) for stored in found}
        shown = ((each, events.get(each.position)) for each in parked)
        return [None if event is None else show_parked(each, event) for each, event in shown]

    async def _shown(self, subscription: Subscription) -> dict[str, Any]:
        """How it stands; what its consumer raised only to who may mend it."""
        shown = show_status(await self.off_loop(subscription.status))
        if not await self._may("rebuild", subscription.models):
            shown["error"] = None
        return shown


class SubscriptionsHandler(SubscriptionsSight):
    """How all subscriptions stand whose models' feeds the request may read."""

    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The list, for OpenAPI."""
        found = operation(
            book,
            book.operation_id("list", cls.template),
            "Tell how the subscriptions stand",
            tag="history",
            asked=[],
            answers={
                "200": answers.success(
                    "The subscriptions.", answers.page_of(subscription_state(book))
                )
            },
            failures=[],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """All of them, in the order in which they were declared."""
        self.check_arguments()
        items = await self.shown_subscriptions()
        self.set_header("Cache-Control", _NO_STORE)
        self.respond({"items": items, "next": None})


class SubscriptionHandler(SubscriptionsSight):
    """How one stands, and the events that it has set aside."""

    below = "/subscriptions/{subscription}"
    parameters = (SUBSCRIPTION,)
    methods = ("GET", "HEAD")

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The subscription, for OpenAPI."""
        states = {"enum": [each.value for each in Waits], "default": Waits.PARKED.value}
        after = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
        found = operation(
            book,
            book.operation_id("read", cls.template),
            "Tell how a subscription stands, and the events that it has set aside",
            tag="history",
            asked=[
                limit(book),
                query("after", after, "Events after this position."),
                query("state", states, "What the events wait for."),
            ],
            answers={"200": answers.success("The subscription.", subscription_with_parked(book))},
            failures=["not-found", "conflict"],
        )
        return {"get": found}

    async def get(self, *_: str) -> None:
        """How it stands, with a page of what it has parked, or skipped."""
        [name] = self.path_args
        given = self.check_arguments("limit", "after", "state")
        asked = _limit(given.get("limit")), _after(given.get("after")), _state(given.get("state"))
        subscription = await self._subscription(name)
        shown = await self._shown(subscription)
        items, following = await self.off_loop(self._page, subscription, *asked)
        if not await self._may("rebuild", subscription.models):
            items = [{**each, "error": None} for each in items]
        self.set_header("Cache-Control", _NO_STORE)
        self.respond({**shown, "items": items, "next": following})

    def _page(
        self, subscription: Subscription, size: int, after: int, state: Waits
    ) -> tuple[list[dict[str, Any]], str | None]:
        found = subscription.set_aside(state, after=after, limit=size + 1)
        shown = self._shown_parked(found[:size])
        items = [each for each in shown if each is not None]
        if len(found) <= size:
            return items, None
        path = self.request.path
        following = f"{path}?state={state.value}&limit={size}&after={found[size - 1].position}"
        return items, following


class ParkedHandler(SubscriptionsSight):
    """Decides on a parked event."""

    methods = ("POST",)
    parameters = (SUBSCRIPTION, ORDERED_POSITION)
    summary: ClassVar[str]
    body: ClassVar[Json]
    status: ClassVar[int]

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The decision, for OpenAPI."""
        shape = {"type": "object", "properties": cls.body, "additionalProperties": False}
        told = answers.success("How the subscription stands by now.", subscription_state(book))
        found = operation(
            book,
            book.operation_id("create", cls.template),
            cls.summary,
            tag="history",
            asked=[],
            answers={str(cls.status): told},
            failures=[*answers.SENDING, "not-found", "conflict", "undecided"],
            body=bodies.order(shape),
        )
        return {"post": found}

    async def post(self, *_: str) -> None:
        """Decide, and tell how the subscription stands."""
        self.check_arguments()
        given = _members(self.read_body().nested(), *self.body)
        subscription = await self.decide(given)
        self.set_status(self.status)
        self.respond(await self._shown(subscription))

    async def decide(self, given: dict[str, Any]) -> Subscription:
        """Do what the route is for, to the event that its path names.  Raises `NotFound`."""
        subscription, parked = await self.parked()
        try:
            await self._decide(subscription, parked["position"], given)
        except NotParked as error:
            raise NotFound(str(error)) from error
        return subscription

    async def parked(self) -> tuple[Subscription, dict[str, Any]]:
        """The parked event that the path names, as the API shows it, and its subscription.

        Raises `NotFound` for one that is not parked, or that the request may not see.
        """
        name, position = self.path_args[0], int(self.path_args[1])
        subscription = await self._subscription(name, "rebuild")
        return subscription, await self.off_loop(self._see, subscription, position)

    def _see(self, subscription: Subscription, position: int) -> dict[str, Any]:
        found = []
        if position in INT64:
            found = subscription.set_aside(Waits.PARKED, after=position - 1, limit=1)
        if found and found[0].position == position:
            [shown] = self._shown_parked(found)
            if shown is not None:
                return shown
        raise NotFound(str(NotParked(subscription.name, position)))

    async def _decide(
        self, subscription: Subscription, position: int, given: dict[str, Any]
    ) -> None:
        raise NotImplementedError


class RetryHandler(ParkedHandler):
    """Lets the stream of a parked event be tried again, by whoever has the subscription."""

    below = "/subscriptions/{subscription}/parked/{position}/retry"
    summary = "Try a parked event again, with all others of its stream"
    body: ClassVar[Json] = {}
    status = 202

    async def _decide(
        self, subscription: Subscription, position: int, given: dict[str, Any]
    ) -> None:
        await self.off_loop(subscription.retry, position)


class SkipHandler(ParkedHandler):
    """Leaves a parked event out."""

    below = "/subscriptions/{subscription}/parked/{position}/skip"
    summary = "Leave a parked event out, for good, and go on with its stream"
    body: ClassVar[Json] = {"reason": {"type": "string", "minLength": 1, "maxLength": 4096}}
    status = 200

    async def _decide(
        self, subscription: Subscription, position: int, given: dict[str, Any]
    ) -> None:
        try:
            reason = checked_reason(given.get("reason") or "")
        except ContextError as error:
            raise InvalidInput([FieldError("/reason", str(error))]) from error
        context = (await self._contexts(reason))[self.auditor]
        reason = getattr(context, "reason", None)
        if reason is None:
            raise InvalidInput(
                [FieldError("/reason", "A skipped event needs a reason: why it is left out.")]
            )
        actor = getattr(context, "actor", SYSTEM)
        await self.off_loop(_skip, subscription, position, reason, actor)


def _skip(subscription: Subscription, position: int, reason: str, actor: Any) -> None:
    subscription.skip(position, reason=reason, actor=actor)


def _members(values: Any, *known: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InvalidInput([FieldError("", "The body is an object.")])
    told = ", ".join(known) or "no members"
    unknown = [each for each in values if each not in known]
    if unknown:
        raise InvalidInput(
            [FieldError(f"/{each}", f"The body has {told}, not {each!r}.") for each in unknown]
        )
    return values


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= MAX_LIMIT):
        raise BadRequest(f"'limit' is 1 to {MAX_LIMIT}, not {text!r}.")
    return int(text)


def _after(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadRequest(f"'after' is a position from 0, not {text!r}.")
    return int(text)


def _state(text: str | None) -> Waits:
    try:
        return Waits(text or Waits.PARKED)
    except ValueError as error:
        told = ", ".join(each.value for each in Waits)
        raise BadRequest(f"'state' is one of {told}; got {text!r}.") from error
