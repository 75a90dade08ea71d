"""What the tests of faults share: databases that they may hurt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bzz import embedded

LIFETIME = 2
"""Seconds after which a transaction whose client died is taken back (the reaper's pause on top)."""


@pytest.fixture(scope="module")
def own_mongod() -> Iterator[embedded.Mongod]:
    """A one-node set that takes what dead clients have left behind back soon."""
    parameters = {"enableTestCommands": True, "transactionLifetimeLimitSeconds": LIFETIME}
    with embedded.mongod(parameters=parameters) as running:
        yield running
