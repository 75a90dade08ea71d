"""Lists of routes: several flattened into one, and two of one path refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tornado.routing import URLSpec as Route

from bzz.errors import SetupError

__all__ = ["Route", "Routes", "flatten"]


class Routes(list[Route]):
    """A list of routes in which no path stands twice; adding one that does raises `SetupError`."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        super().__init__()
        self.extend(routes)

    def append(self, route: Route) -> None:
        """Add a route."""
        pattern = route.regex.pattern
        if any(present.regex.pattern == pattern for present in self):
            raise SetupError(
                f"Two routes have the path {_readable(pattern)}: give one model another "
                "resource_name or prefix."
            )
        super().append(route)

    def extend(self, routes: Iterable[Route]) -> None:
        """Add routes."""
        for route in routes:
            self.append(route)

    def __add__(self, others: Any) -> Any:
        return Routes([*self, *others])

    def __iadd__(self, others: Any) -> Any:
        self.extend(others)
        return self


def flatten(routes: Iterable[Any]) -> Routes:
    """Return one list of the routes in `routes`, which may hold lists of routes, nested.

    A tuple is a route as Tornado takes it.  Raises `SetupError` when two have one path.
    """
    result = Routes()
    for each in routes:
        if isinstance(each, Route):
            result.append(each)
        elif isinstance(each, tuple):
            result.append(Route(*each))
        else:
            result.extend(flatten(each))
    return result


def _readable(pattern: str) -> str:
    return pattern.removesuffix("$").removesuffix("(?:/.*)?") + "/"
