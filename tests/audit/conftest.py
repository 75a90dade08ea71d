"""The house of a module's tests: one server and database, emptied after each visit."""

from __future__ import annotations

import pytest

from tests.house import standing, visit


@pytest.fixture(scope="module")
def standing_house(mongod_uri):
    with standing(mongod_uri) as house:
        yield house


@pytest.fixture
def house(standing_house):
    with visit(standing_house):
        yield standing_house


@pytest.fixture
def server(house):
    return house.running
