"""Edge: a route that also answers as a page for people, to whoever prefers HTML.

The page says what the answer in JSON would say: it is read by the same code, under the same
permissions.  How a page looks is the business of `bzz.audit.pages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from tornado.web import HTTPError, RequestHandler

from bzz.actions import Action
from bzz.audit.asking import Asked
from bzz.audit.handlers.verbs import AuditHandler
from bzz.audit.pages.change import Trouble
from bzz.audit.pages.change import problem as problem_page
from bzz.audit.pages.rendering import HEADERS
from bzz.body import FORM
from bzz.errors import BadRequest
from bzz.negotiation import preferred
from bzz.openapi import answers
from bzz.openapi.answers import JSON
from bzz.openapi.book import Book, Json
from bzz.problems import Problem

HTML = "text/html"
_FRESH = "private, no-cache"

EXPLAINED = (409, 412, 422)
"""What the reader can do something about, and so is told beside a new preview."""
REPEATED = ("operation",)
"""Parameters that a form sends once for each value; the API takes them with commas."""


class PageHandler(AuditHandler):
    """Stands before a handler of the API, whose `get` it calls and whose answer it shows.

    A subclass says with `page` what it looks like, and in `formats` what the API offers.
    """

    formats: ClassVar[tuple[str, ...]] = (JSON,)
    _caught: Any = None
    _is_read: bool = False
    _wanted: str | None = None

    def wants_page(self) -> bool:
        """Whether the request prefers HTML to all that the API offers."""
        if self._wanted is None:
            self._wanted = preferred(self.request.headers.get("Accept"), (*self.formats, HTML))
        return self._wanted == HTML

    async def get(self, *_: str) -> None:
        """The page, or the API's answer."""
        self.set_header("Vary", "Accept")
        if self.wants_page():
            await self.page()
        else:
            await super().get()

    async def page(self) -> None:
        """Answer with the page."""
        raise NotImplementedError

    async def read(self) -> Any:
        """What the API would answer to the same request: permitted and read by its own code."""
        self.request.headers["Accept"] = JSON
        # Tags are of the API's formats; what a cache has of them says nothing of the page.
        self.request.headers.pop("If-None-Match", None)
        self._is_read = True
        try:
            await super().get()
        finally:
            self._is_read = False
        for name in ("Etag", "Link", "Memento-Datetime"):
            self.clear_header(name)
        return self._caught

    def respond(self, value: Any, *, content_type: str = JSON) -> None:
        """As the API does; what is only read is kept for the page."""
        if self._is_read:
            self._caught = value
        else:
            super().respond(value, content_type=content_type)

    async def show(self, page: Callable[..., bytes], *values: Any, keep: str = _FRESH) -> None:
        """Write a page as the answer; it is made off the loop."""
        made = await self.off_loop(page, *values)
        self._write_page(made, keep)

    def _write_page(self, made: bytes, keep: str) -> None:
        for name, value in HEADERS.items():
            self.set_header(name, value)
        self.set_header("Cache-Control", keep)
        self.set_header("Vary", "Accept")
        self.write(made)

    def query_arguments(self) -> list[tuple[str, str]]:
        """As the API reads them; of a page without those that its form has left empty."""
        pairs = super().query_arguments()
        if not self.wants_page():
            return pairs
        found: dict[str, str] = {}
        others = []
        for name, value in pairs:
            if not value.strip():
                continue
            if name in REPEATED:
                found[name] = f"{found[name]},{value}" if name in found else value
            else:
                others.append((name, value))
        return [*others, *found.items()]

    async def may_do(self, actions: list[Action]) -> bool:
        """Whether the request may do something, to offer it or not."""
        try:
            await self.ask_may(actions)
        except HTTPError:
            return False
        return True

    def ways_on(
        self, below: str, asked: Asked, numbers: Sequence[int], following: str | None
    ) -> dict[str, str | None]:
        """The links of a list to its newest events, to newer and to older ones.

        `numbers` are those of the events that are shown, the newest first, `following` the API's
        next page, in the order that was asked for.
        """
        kept = {k: v for k, v in self.query_arguments() if k not in ("before", "after", "order")}

        def way(**bounds: str) -> str:
            query = urlencode({**kept, **bounds})
            return f"{below}?{query}" if query else below

        if not asked.newest_first:
            older = way(before=str(numbers[-1])) if numbers and numbers[-1] > 1 else None
            return {"newest": way(), "newer": following, "older": older}
        if asked.before is None:
            return {"newest": None, "newer": None, "older": following}
        newer = way(after=str(numbers[0]), order="asc") if numbers else None
        return {"newest": way(), "newer": newer, "older": following}

    # For OpenAPI -------------------------------------------------------------------------

    @staticmethod
    def paged(book: Book, found: dict[str, Json]) -> dict[str, Json]:
        """Operations as OpenAPI has them, of which that of GET has a page too."""
        if "get" in found:
            success = found["get"]["responses"]["200"]
            told = "The same as a page for people."
            success["content"][HTML] = {"schema": {"type": "string", "description": told}}
            vary = answers.headers(book, always=["Vary"])
            success["headers"] = {**success.get("headers", {}), **vary}
        return found

    # Forms -------------------------------------------------------------------------------

    def is_form_of_page(self) -> bool:
        """Whether a form of a page was sent, and not an order by the API."""
        sent = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return sent == FORM and self.wants_page()

    def token(self) -> str:
        """What a form of this request's reader has to send back."""
        return self.xsrf_token.decode()

    def read_form(self, *known: str) -> dict[str, str]:
        """The values of a form of a page, by name, without empty ones.

        Raises `HTTPError` 403 without its token, whatever the application does about other
        requests: Tornado's own check is asked.  Raises `BadRequest` for a value that is no text.
        """
        RequestHandler.check_xsrf_cookie(self)
        values = self.read_body().nested()
        found = {name: values[name] for name in known if values.get(name)}
        for name, value in found.items():
            if not isinstance(value, str):
                raise BadRequest(f"The form has {name!r} more than once; send it once.")
        return found

    # Errors ------------------------------------------------------------------------------

    def trouble(self, problem: Problem) -> Trouble:
        """An error as a page tells it."""
        members: Json = problem.members()
        return Trouble(
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            faults=members.get("errors", []),
            conflicts=members.get("conflicts", []),
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error as a page to whoever prefers HTML."""
        self.set_header("Vary", "Accept")
        if not self.wants_page():
            super().write_error(status_code, **kwargs)
            return
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = self.problem(error or HTTPError(status_code))
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self.allowed()))
        told = self.trouble(problem)
        made = problem_page(told.title, told.status, told.detail, told.faults)
        self._write_page(made, "no-store")
        self.finish()
