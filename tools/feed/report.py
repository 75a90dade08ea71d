"""What a run has found, and how far it is."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter


class Report:
    """What was counted, how long it took, and what differs.  Used by several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.differences: list[str] = []
        self.broken: set[str] = set()
        self.told: set[str] = set()
        self._lock = threading.Lock()

    def count(self, what: str, by: int = 1) -> None:
        """Count one more (or `by` more) of something."""
        with self._lock:
            self.counts[what] += by

    def differ(self, key: str, what: str) -> None:
        """Note a difference of one record."""
        with self._lock:
            self.differences.append(f"{key!r}: {what}")

    def give_up(self, key: str, what: str) -> None:
        """Note a difference after which nothing else can be said of a record."""
        self.differ(key, what)
        self.broken.add(key)

    def expect(self, key: str, what: str, expected: object, actual: object) -> None:
        """Compare one thing, and note it if it differs."""
        if expected != actual:
            self.differ(key, f"{what} is {_short(actual)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


class Progress:
    """One line on a terminal that tells how far a stage is; silent elsewhere."""

    _WIDTH = 30

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._begun = time.monotonic()
        self._next = 0.0
        self._shown = sys.stderr.isatty()
        self._lock = threading.Lock()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if self._shown and (now >= self._next or self._done == self._total):
                self._next = now + 0.1
                self._draw(now - self._begun)

    def _draw(self, seconds: float) -> None:
        share = self._done / self._total
        bar = "█" * int(share * self._WIDTH)
        rate = self._done / seconds if seconds else 0.0
        left = (self._total - self._done) / rate if rate else 0.0
        sys.stderr.write(
            f"\r{self._label:<10} {bar:░<{self._WIDTH}} {self._done:,}/{self._total:,}"
            f"  {rate:,.0f}/s  {int(left) // 60}:{int(left) % 60:02d} left \x1b[K"
        )
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
