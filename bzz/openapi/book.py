"""What the paths of one description share: schemas and answers under names of their own.

Knows OpenAPI's shape; nothing of models, routes or HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WORD = re.compile(r"[A-Za-z0-9]+")


class Book:
    """Collects the shared parts of one description, and the names of its operations.

    What is defined under one key is made once; names are made unique by a number.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, Any]] = {}
        self._names: dict[tuple[str, Hashable], str] = {}
        self._operations: set[str] = set()

    def schema(self, key: Hashable, name: str, make: Callable[[], Json]) -> Json:
        """A reference to the schema of a key; `make` is asked for it the first time.

        A schema may refer to itself: its name stands before it is made.
        """
        return self._shared("schemas", key, name, make)

    def response(self, key: Hashable, name: str, make: Callable[[], Json]) -> Json:
        """A reference to the answer of a key, as `schema`."""
        return self._shared("responses", key, name, make)

    def header(self, name: str, make: Callable[[], Json]) -> Json:
        """A reference to a header field of answers, as `schema`."""
        return self._shared("headers", name, name, make)

    def parameter(self, name: str, make: Callable[[], Json]) -> Json:
        """A reference to a parameter, as `schema`."""
        return self._shared("parameters", name, name, make)

    def operation_id(self, verb: str, path: str) -> str:
        """A name for an operation: `list /team/{id}/users/` is `listTeamUsers`."""
        segments = [each for each in path.split("/") if "{" not in each]
        words = [word for segment in segments for word in _WORD.findall(segment)]
        name = _free(
            verb + "".join(word[:1].upper() + word[1:] for word in words), self._operations
        )
        self._operations.add(name)
        return name

    def components(self) -> dict[str, Mapping[str, Any]]:
        """All shared parts, by kind and name."""
        return {kind: dict(sorted(parts.items())) for kind, parts in sorted(self._parts.items())}

    def _shared(self, kind: str, key: Hashable, name: str, make: Callable[[], Json]) -> Json:
        parts = self._parts.setdefault(kind, {})
        own = self._names.get((kind, key))
        if own is None:
            own = _free(_NOT_IN_NAMES.sub("_", name) or "_", parts)
            self._names[kind, key] = own
            parts[own] = {}
            parts[own] = make()
        return {"$ref": f"#/components/{kind}/{own}"}


def _free(name: str, taken: Any) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}{number}"
    return free
