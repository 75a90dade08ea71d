"""Edge: a route that knows only the methods which its handler says that it has."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, ClassVar

from tornado.web import HTTPError

from bzz.errors import NotFound
from bzz.mongoengine_handler import MongoEngineRestHandler

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor


async def is_allowed(asking: Awaitable[None]) -> bool:
    """Whether what is asked raises no 403; what else it raises is raised."""
    try:
        await asking
    except HTTPError as error:
        if error.status_code != 403:
            raise
        return False
    return True


class AuditHandler(MongoEngineRestHandler):
    """Refuses every method; one without `methods` takes what is not there.

    A subclass implements the `methods` that it names.
    """

    auditor: Auditor
    template: ClassVar[str] = ""
    methods: ClassVar[tuple[str, ...]] = ()

    async def get(self, *_: str) -> None:
        """Not here, unless a subclass says so."""
        self.refuse()

    async def head(self, *_: str) -> None:
        """As GET; the body is not sent."""
        await self.get(*_)

    async def post(self, *_: str) -> None:
        """Not here, unless a subclass says so."""
        self.refuse()

    async def put(self, *_: str) -> None:
        """A history is written by writes alone."""
        self.refuse()

    patch = delete = put

    def refuse(self) -> None:
        """Raises `NotFound` where there is nothing, else `HTTPError` 405."""
        if not self.methods:
            raise NotFound(f"There is nothing at {self.request.path!r}.")
        raise HTTPError(405)

    def allowed(self) -> list[str]:
        """The methods that the request's path allows."""
        return sorted(["OPTIONS", *self.methods])
