"""Edge: what the handlers of routes across models share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bzz.audit.handlers.verbs import AuditHandler
from bzz.openapi.book import Book, Json
from bzz.problems import Problem, problem_for
from bzz.resource import Resource


class AcrossHandler(AuditHandler):
    """What stands beside the histories of single documents: it is about all models at once.

    By itself it takes what is not there.  `below` is what stands at the end of the template of
    OpenAPI where the pattern of the route does not say it.
    """

    below: ClassVar[str] = ""
    root: ClassVar[str]
    """The path below which all of them stand."""

    @classmethod
    def describe(cls, book: Book, resource: Resource) -> dict[str, Json]:
        """The path of the route, for OpenAPI; `template` is its own."""
        operations = cls.operations(book)
        return {cls.template: operations} if operations else {}

    @classmethod
    def operations(cls, book: Book) -> dict[str, Json]:
        """The operations of the route by their methods, for OpenAPI."""
        return {}

    def initialize(self, resource: Resource) -> None:
        """`resource` gives what holds for the request as a whole: deadline, size of its body."""
        super().initialize(resource)
        self._described: Mapping[Any, object] | None = None

    def problem(self, error: BaseException) -> Problem:
        """The problem as which an error is answered; it is about no one model."""
        return problem_for(error)

    def resources(self) -> dict[str, Resource]:
        """The audited resources that are served, by name."""
        return {each.name: each for each in self.auditor.resources}

    async def _contexts(self, reason: str | None) -> Mapping[Any, object]:
        # Once a request: its writes share one correlation id, by which they can be taken back.
        if self._described is None:
            self._described = await super()._contexts(reason)
        return self._described
