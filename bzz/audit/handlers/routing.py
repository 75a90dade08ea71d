"""Edge: which handler takes which path below a history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches

from bzz.audit.handlers.across import AcrossHandler
from bzz.audit.handlers.activity_pages import ActivityPageHandler, RequestPageHandler
from bzz.audit.handlers.base import HistoryHandler
from bzz.audit.handlers.change_pages import RestorePageHandler, UndoPageHandler
from bzz.audit.handlers.document_pages import (
    BlamePageHandler,
    ComparePageHandler,
    HistoryPageHandler,
    VersionPageHandler,
)
from bzz.audit.handlers.replay import ReplayAcrossHandler, ReplayHandler
from bzz.audit.handlers.subscription_pages import (
    RetryPageHandler,
    SkipPageHandler,
    SubscriptionPageHandler,
    SubscriptionsPageHandler,
)
from bzz.errors import NotFound
from bzz.mongoengine_handler import MongoEngineRestHandler
from bzz.recording import recorder_of
from bzz.resource import Resource
from bzz.routes import Route, Routes
from bzz.targets import parse_target, segments_of

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_HANDLERS = (
    HistoryPageHandler,
    VersionPageHandler,
    ComparePageHandler,
    BlamePageHandler,
    RestorePageHandler,
    UndoPageHandler,
    ReplayHandler,
    HistoryHandler,
)
"""In the order in which a path is tried; the last takes what is left, and answers 404."""

_ACROSS = {
    "": ActivityPageHandler,
    "/restore": RequestPageHandler,
    "/replay": ReplayAcrossHandler,
    "/subscriptions": SubscriptionsPageHandler,
    "/subscriptions/([^/]+)": SubscriptionPageHandler,
    "/subscriptions/([^/]+)/parked/([1-9][0-9]{0,17})/retry": RetryPageHandler,
    "/subscriptions/([^/]+)/parked/([1-9][0-9]{0,17})/skip": SkipPageHandler,
    "(?:/.*)?": AcrossHandler,
}


def routes_for_history(
    handler: type[MongoEngineRestHandler], resource: Resource, auditor: Auditor
) -> Routes:
    """The history routes of a resource, served by subclasses of the handler that serves it.

    They stand under its documents, and under those to which a path through them leads.
    """
    segment = re.escape(quote(auditor.segment(), safe=""))
    root = re.escape(resource.root)
    routes = Routes()
    for each in _HANDLERS:
        for document in ("[^/]+", "[^/]+/.+?"):
            pattern = rf"{root}/({document})/{segment}{each.below}/?"
            nested = document != "[^/]+"
            own = {"auditor": auditor, "path": re.compile(f"{pattern}$"), "nested": nested}
            serving = type(f"{handler.__name__}{each.__name__}", (each, handler), own)
            route = Route(pattern, serving, {"resource": resource})
            if nested:
                route.matcher = _Referenced(route, resource, auditor)
            routes.append(route)
    return routes


def path_across(auditor: Auditor, prefix: str) -> str:
    """The path of what is about all models, without a slash at its end."""
    return quote(f"{prefix}/{auditor.segment()}", safe="/:@!$&'()*+,;=~%")


def routes_across(auditor: Auditor, handler: type[MongoEngineRestHandler], prefix: str) -> Routes:
    """The routes that are about all models of an auditor at once."""
    root = path_across(auditor, prefix)
    first = auditor.resources[0]
    routes = Routes()
    for below, each in _ACROSS.items():
        own = {"auditor": auditor, "template": f"{root}{each.below or below}/", "root": f"{root}/"}
        serving = type(f"{handler.__name__}{each.__name__}", (each, handler), own)
        routes.append(Route(rf"{re.escape(root)}{below}/?", serving, {"resource": first}))
    return routes


class _Referenced(PathMatches):
    """Matches below a document that a path leads to by reference, if its history is kept.

    What a path names is known only from the models: `/team/1/users/history/` is the user whose
    id reads 'history', `/student/1/person/history/` the history of the one person.
    """

    def __init__(self, route: Route, resource: Resource, auditor: Auditor) -> None:
        super().__init__(route.regex)
        self._resource = resource
        self._auditor = auditor

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """As Tornado asks: the arguments of the handler, or None."""
        found = self.regex.match(request.path)
        if found is None:
            return None
        resource = self._resource
        try:
            target = parse_target(resource.schema, resource.name, segments_of(found.group(1)))
        except NotFound:
            return None
        last = target.last
        kept = recorder_of(last.schema.model) is self._auditor
        return super().match(request) if kept and not (last.is_list or last.embedded) else None
