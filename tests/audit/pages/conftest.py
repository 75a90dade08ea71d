"""What tests of pages share: a house, asked as a browser asks, and a real browser."""

from __future__ import annotations

import pytest

from tests.browsing import CHROMIUM, MISSING, chromium


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as running:
        yield running
