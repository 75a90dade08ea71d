"""Bring states that older code wrote to the shape that today's model has.  On reading alone.

Events say with which version of the schema they were made, and never change.  Knows nothing of
storage.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeAlias

from bzz.audit.errors import UpcastError
from bzz.values import State

Upcaster: TypeAlias = Callable[[State], State]
"""Gets a state (a copy, by stored names) of one schema version and returns it as of the next."""


class Upcasts:
    """The functions of one model, each from one version of its schema to the next."""

    def __init__(self) -> None:
        self._by_version: dict[int, Upcaster] = {}

    def __bool__(self) -> bool:
        return bool(self._by_version)

    def add(self, from_schema: int, function: Upcaster) -> bool:
        """Use a function for states of version `from_schema`; False when there is another one."""
        return self._by_version.setdefault(from_schema, function) is function

    def apply(self, state: State | None, schema: int, today: int) -> State | None:
        """A state of version `schema` as one of version `today`; None stays None.

        A version without a function is as the next one.  Raises `UpcastError` when a function
        raises, or returns no state.
        """
        if state is None:
            return None
        for version in range(schema, today):
            function = self._by_version.get(version)
            if function is not None:
                state = _called(function, version, state)
        return state


def _called(function: Upcaster, version: int, state: State) -> State:
    name = getattr(function, "__qualname__", repr(function))
    try:
        # States share what has not changed; what a function does to its own must stay there.
        found: Any = function(deepcopy(state))
    except Exception as error:
        raise UpcastError(name, from_schema=version, why=f"raised {error!r}") from error
    if not isinstance(found, dict):
        raise UpcastError(name, from_schema=version, why=f"returned {type(found).__name__}")
    return {**found, "_id": state["_id"]}
