"""Who is to be called when something happens, until he is let go.

Knows nothing of what happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Listeners(Generic[T]):
    """Callables of one argument; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callables: dict[object, Callable[[T], object]] = {}

    def __len__(self) -> int:
        return len(self._callables)

    def add(self, listener: Callable[[T], object]) -> Callable[[], None]:
        """Call it too from now on; the function that lets it go."""
        key = object()
        with self._lock:
            self._callables[key] = listener

        def let_go() -> None:
            with self._lock:
                self._callables.pop(key, None)

        return let_go

    def tell(self, what: T) -> None:
        """Call all of them, without a lock."""
        with self._lock:
            present = list(self._callables.values())
        for each in present:
            with suppress(Exception):  # one that raises is at fault, and the others are not
                each(what)
