"""What all tests share: one real mongod for a run, and a new database for each test."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import mongoengine
import mongomock
import pytest
from hypothesis import HealthCheck, settings

from bzz import embedded

# A database that somebody's environment names is theirs, never the tests'.
os.environ.pop("MONGODB_URI", None)

settings.register_profile("bzz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bzz")


@pytest.fixture(scope="session")
def mongod() -> Iterator[embedded.Mongod]:
    """A replica set of one node that can be told to fail commands."""
    with embedded.mongod(parameters={"enableTestCommands": True}) as running:
        yield running


@pytest.fixture(scope="session")
def mongod_uri(mongod: embedded.Mongod) -> str:
    return mongod.uri


@pytest.fixture(scope="session")
def standalone(tmp_path_factory: Any) -> Iterator[str]:
    """The URI of a mongod that is no replica set."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    folder = tmp_path_factory.mktemp("standalone")
    command = [embedded.find_mongod(), "--dbpath", folder, "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    yield f"mongodb://127.0.0.1:{port}/?uuidRepresentation=standard"
    process.terminate()
    process.wait(30)


@pytest.fixture
def database(mongod_uri: str) -> Iterator[Any]:
    """MongoEngine's default connection: a new database on the real mongod."""
    name = f"t{uuid.uuid4().hex}"
    mongoengine.disconnect_all()
    client = mongoengine.connect(name, host=mongod_uri)
    yield client[name]
    client.drop_database(name)
    mongoengine.disconnect_all()


@pytest.fixture
def mock_database() -> Iterator[Any]:
    """MongoEngine's default connection: a new database on mongomock."""
    name = f"t{uuid.uuid4().hex}"
    mongoengine.disconnect_all()
    client = mongoengine.connect(
        name, mongo_client_class=mongomock.MongoClient, uuidRepresentation="standard"
    )
    yield client[name]
    mongoengine.disconnect_all()
