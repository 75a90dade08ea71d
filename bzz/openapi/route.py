"""`openapi_route`: the route that serves the description of a list of routes.

Each handler class says what it serves with a classmethod `describe(book, …)`, which is called
with the keyword arguments of its route, as `initialize` is; routes of classes without one are
left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import tornado.web

from bzz.jsontext import dumps
from bzz.openapi.book import Book, Json
from bzz.problems import PROBLEM_JSON, problem_for
from bzz.routes import Route, flatten

__all__ = ["Description", "openapi_route"]

_NOTE = (
    "A path is served with and without the slash at its end. HEAD answers as GET does, and "
    "OPTIONS names the methods of a path; a method that a path does not have is 405. "
    "Errors are application/problem+json."
)


def openapi_route(routes: Iterable[Any], *, title: str, version: str, prefix: str = "") -> Route:
    """The route `/openapi.json`: an OpenAPI 3.1 description of `routes`, for tools and people.

    Args:
        routes: what `routes_for` and `auditor.routes` returned, or lists of it; routes of
            handlers that do not describe themselves are left out.
        title: the name of the API.
        version: the version of the API.
        prefix: goes in front of the path: '/api'.

    It is made when it is first asked for, and once.
    """
    described = Description(flatten(routes), title=title, version=version)
    path = f"{prefix.rstrip('/')}/openapi.json"
    return Route(path, DescriptionHandler, {"description": described})


class Description:
    """The description of routes, made once."""

    def __init__(self, routes: Iterable[Route], *, title: str, version: str) -> None:
        self._routes = list(routes)
        self._info = {"title": title, "version": version, "description": _NOTE}
        self._text: bytes | None = None

    def text(self) -> bytes:
        """The description as JSON."""
        if self._text is None:
            self._text = dumps(self.document())
        return self._text

    def document(self) -> Json:
        """The description, made anew."""
        book, paths = Book(), {}
        for route in self._routes:
            describe = getattr(route.target, "describe", None)
            found = {} if describe is None else describe(book, **(route.kwargs or {}))
            # The first route that matches a path serves it.
            paths.update({path: item for path, item in found.items() if path not in paths})
        document: Json = {"openapi": "3.1.0", "info": self._info, "paths": paths}
        return {**document, "components": book.components()}


class DescriptionHandler(tornado.web.RequestHandler):
    """Serves a description."""

    def initialize(self, description: Description) -> None:
        """Called by Tornado for each request."""
        self._description = description

    async def get(self) -> None:
        """The description; its entity tag is a digest, which Tornado makes."""
        text = await asyncio.to_thread(self._description.text)
        self.set_header("Content-Type", "application/json")
        self.write(text)

    head = get

    async def options(self) -> None:
        """What is allowed here."""
        self.set_status(204)
        self.set_header("Allow", "GET, HEAD, OPTIONS")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as `application/problem+json` (RFC 9457)."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = problem_for(error or tornado.web.HTTPError(status_code))
        if problem.status == 405:
            self.set_header("Allow", "GET, HEAD, OPTIONS")
        self.set_header("Content-Type", PROBLEM_JSON)
        self.finish(problem.to_json())
