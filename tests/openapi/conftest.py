"""The described world: its models, audited, and their running server with its description."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import mongoengine
import pytest

from bzz import MongoEngineRestHandler, flatten, openapi_route
from bzz.audit import Auditor
from tests.house import new_database, own_receivers, own_registry
from tests.openapi.world import SERVED, define
from tests.support import Server


def routes_of(world: Any, auditor: Any = None, **options: Any) -> Any:
    """The routes of all models that are served."""
    return flatten(
        MongoEngineRestHandler.routes_for(
            "mongoengine", getattr(world, name), audit=auditor, **options
        )
        for name in SERVED
    )


@pytest.fixture(scope="module")
def world(mongod_uri: str) -> Iterator[SimpleNamespace]:
    """The models as attributes, their `auditor`, and the running `server` of their routes."""
    with new_database(mongod_uri) as name, own_registry(), own_receivers():
        mongoengine.connect(name, host=mongod_uri, uuidRepresentation="standard")
        found = define()
        found.auditor = Auditor(work=False)
        found.auditor.track(found.Person, mask=["secret"])
        found.auditor.subscribe("parking", model=found.Counter, retries=0)(_fail)
        routes = flatten([routes_of(found, found.auditor), found.auditor.routes()])
        description = openapi_route(routes, title="World", version="1")
        with Server([*routes, description]) as server:
            found.auditor.prepare()
            found.server = server
            yield found


def _fail(event: Any, ctx: Any) -> None:
    raise ValueError("parked")
