"""What a check has found, and how checks are run: each for a bounded time, whatever they raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from bzz.transactions import said

OK, WARN, FAIL = "ok", "warn", "fail"
_UNAUTHORIZED = 13


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report.

    Attributes
    ----------
    check: what was looked at.
    state: 'ok', 'warn' (it works, and something should be done) or 'fail' (it does not).
    message: what was found, a sentence.
    remedy: what to do; None where there is nothing to do.
    makes: what `prepare()` would make of what is missing.
    """

    check: str
    state: str
    message: str
    remedy: str | None = None
    makes: tuple[str, ...] = ()


Check = Callable[[], Iterable[Finding]]


def findings(checks: Iterable[tuple[str, Check]], seconds: float) -> Iterator[Finding]:
    """What some checks find, each within so many seconds."""
    for name, check in checks:
        try:
            # Not around a yield: who reads may take any time.
            with pymongo.timeout(seconds):
                found = list(check())
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                found = [_forbidden(name, error)]
            else:
                found = [Finding(name, FAIL, f"It could not be looked at: {said(error)}.")]
        except PyMongoError as error:
            found = [Finding(name, FAIL, f"The database does not answer: {said(error)}.")]
        yield from found


def _forbidden(name: str, error: OperationFailure) -> Finding:
    return Finding(
        name,
        WARN,
        f"This user may not look at it: {said(error)}.",
        "Run this as a user with the role clusterMonitor too, to know.",
    )
