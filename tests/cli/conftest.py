"""The house of a module's tests, whose auditor the commands find."""

from __future__ import annotations

import pytest

from tests.cli import here
from tests.house import standing, visit


@pytest.fixture(scope="module")
def standing_house(mongod_uri):
    with standing(mongod_uri) as house:
        yield house


@pytest.fixture
def house(standing_house, monkeypatch):
    with visit(standing_house):
        monkeypatch.setattr(here, "auditor", standing_house.auditor)
        yield standing_house
