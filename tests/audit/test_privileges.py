"""What the application's user of the database needs: readWrite on its database alone."""

from __future__ import annotations

import secrets
import socket
import subprocess

import mongoengine
import pymongo
import pytest
from pymongo.errors import OperationFailure, PyMongoError

from bzz import embedded
from tests.audit.subscribers import caught_up, hurry, working
from tests.house import built
from tests.support import wait_until


def _is_primary(client):
    try:
        return client.admin.command("hello").get("isWritablePrimary")
    except PyMongoError:
        return False


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The URI of a replica set that asks who one is, as a user with readWrite on 'shop' alone."""
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o600)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [embedded.find_mongod(), "--dbpath", folder, "--port", port, "--replSet", "guarded"]
    command += ["--keyFile", key, "--bind_ip", "127.0.0.1", "--nounixsocket"]
    command += ["--wiredTigerCacheSizeGB", "0.25"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    try:
        with pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            client.admin.command("replSetInitiate", {"_id": "guarded", "members": members})
            wait_until(lambda: _is_primary(client), 60)
            client.admin.command("createUser", "root", pwd="r", roles=["root"])  # from this machine
        root = f"mongodb://root:r@127.0.0.1:{port}/?replicaSet=guarded"
        with pymongo.MongoClient(root) as client:
            roles = [{"role": "readWrite", "db": "shop"}]
            client.admin.command("createUser", "web", pwd="w", roles=roles)
        yield f"mongodb://web:w@127.0.0.1:{port}/shop?replicaSet=guarded&authSource=admin"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def house(guarded):
    mongoengine.disconnect_all()
    mongoengine.connect(host=guarded, uuidRepresentation="standard")
    with built() as built_house:
        yield built_house
        built_house.auditor.close()
    mongoengine.disconnect_all()


def test_a_user_with_read_write_on_the_database_can_do_all_that_bzz_does(house, monkeypatch):
    hurry(monkeypatch)
    house.track()

    @house.auditor.subscribe("index")
    def index(event, ctx):
        ctx.collection("seen").insert_one({"_id": event.position})

    ana = house.make(name="Ana")
    house.write(lambda: ana.update(age=3))
    house.write(lambda: ana.delete())
    house.auditor.history(house.User, ana.pk).restore(1)
    house.auditor.sequence()
    with working(house):
        caught_up(house)
    report = house.auditor.verify().run()
    epoch = house.auditor.begin_epoch()

    assert report.ok
    assert epoch
    assert [1, 2, 3, 4] == [each["_id"] for each in mongoengine.get_db().seen.find()]


def test_it_can_do_nothing_elsewhere(house):
    client = mongoengine.get_connection()
    with pytest.raises(OperationFailure):
        client["other"].documents.insert_one({})
