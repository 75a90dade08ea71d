"""Preparing a connection: what is checked, what is made, and what is said when it cannot be."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pymongo
import pytest
from mongoengine import Document, IntField, StringField, get_db
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.synchronous.database import Database

from bzz import MongoEngineRestHandler, connection
from bzz.audit import Auditor
from bzz.errors import SetupError, Unavailable
from bzz.signals import post_create_instance
from tests.audit.checking import check_histories
from tests.house import built, failing, new_database, own_registry, stored
from tests.support import Server

HOSTED = "&w=majority&journal=true&readPreference=secondaryPreferred"


@pytest.fixture
def house(database):
    with built() as built_house:
        yield built_house


# The server


def test_a_standalone_server_is_refused_with_the_remedy(standalone):
    mongoengine.disconnect_all()
    mongoengine.connect("app", host=standalone)
    with built() as house, pytest.raises(SetupError) as caught:
        house.track()
    mongoengine.disconnect_all()

    assert (
        "The MongoDB server is a standalone, which has no transactions: start mongod with "
        "--replSet rs0 and run rs.initiate() once; a replica set of one node is enough."
    ) == str(caught.value)


def test_a_standalone_server_is_refused_for_atomic_receivers_too(standalone):
    mongoengine.disconnect_all()
    mongoengine.connect("app", host=standalone)
    with built() as house:
        post_create_instance.connect(lambda instance: None, weak=False, atomic=True)
        routes = MongoEngineRestHandler.routes_for("mongoengine", house.Team)
        with Server(routes) as server:
            answer = server.post("/team/", {"name": "red"})
            messages = [str(each.exc_info[1]) for each in server.take_errors() if each.exc_info]
    mongoengine.disconnect_all()

    assert (500, [connection.STANDALONE]) == (answer.status, messages)


def hello_as(monkeypatch, **changes):
    """The server answers `hello` with some members changed, or (None) left out."""
    command = Database.command

    def faked(self, name, *args, **kwargs):
        answer = command(self, name, *args, **kwargs)
        if name != "hello":
            return answer
        return {key: each for key, each in {**answer, **changes}.items() if each is not None}

    monkeypatch.setattr(Database, "command", faked)


def test_a_server_older_than_6_0_is_refused(house, monkeypatch):
    hello_as(monkeypatch, maxWireVersion=13)

    with pytest.raises(SetupError) as caught:
        house.track()

    assert "The MongoDB server is older than 6.0, which bzz needs: upgrade it." == str(caught.value)


def test_a_sharded_cluster_is_no_standalone(house, monkeypatch):
    hello_as(monkeypatch, setName=None, msg="isdbgrid")

    house.track()


def test_a_model_without_a_connection_says_so(mongod_uri):
    with new_database(mongod_uri), built() as house, pytest.raises(SetupError) as caught:
        house.track()

    assert "Team has no connection 'default'; call mongoengine.connect() first." == str(
        caught.value
    )


def test_a_server_that_does_not_answer_is_unavailable():
    mongoengine.disconnect_all()
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=50&uuidRepresentation=standard"
    mongoengine.connect("app", host=uri)
    with built() as house, pytest.raises(Unavailable) as caught:
        house.track()
    mongoengine.disconnect_all()

    assert str(caught.value).startswith("The database does not answer: ")
    assert not [part for part in ("127.0.0.1", "Topology") if part in str(caught.value)]


def test_a_trial_that_fails_says_what_is_needed(house, database):
    with (
        failing(database.client, ["insert"], errorCode=13),
        pytest.raises(SetupError, match="A trial transaction on the database 't.*' failed: Fail.*"),
    ):
        house.track()


def test_without_the_right_to_make_collections_it_says_so(house, database):
    with (
        failing(database.client, ["create"], times=0, errorCode=13),
        pytest.raises(SetupError, match=r"The collection and the indexes of \w+ cannot be made: "),
    ):
        house.track()


def test_a_trial_collection_that_may_not_be_made_says_so(database):
    client = database.client
    with (
        failing(client, ["create"], errorCode=13),
        pytest.raises(SetupError, match="A trial transaction on the database 't.*' failed: "),
    ):
        connection.try_transaction(client, database)


def test_a_trial_leaves_nothing_behind(house):
    house.track()

    assert [] == [name for name in get_db().list_collection_names() if "trial" in name]


def test_a_session_that_does_not_bind_is_found(house, monkeypatch):
    class Unbound:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(
        pymongo.client_session.ClientSession, "bind", lambda self, **options: Unbound()
    )

    with pytest.raises(SetupError, match="A trial write did not join its transaction: this vers"):
        house.track()


# What is made


def test_the_history_is_compressed_with_zstd_and_has_its_unique_index(house):
    house.track()
    stats = get_db().command("collStats", "bzz_history")
    index = get_db()["bzz_history"].index_information()["stream_version"]

    assert "block_compressor=zstd" in stats["wiredTiger"]["creationString"]
    assert ([("s", 1), ("d", 1), ("v", 1)], True) == (index["key"], index["unique"])


def test_all_documents_of_the_connection_get_collection_and_indexes(house):
    class Unaudited(Document):
        name = StringField(unique=True)

    house.auditor.track(house.Team)
    house.auditor.prepare()

    assert {"unaudited", "team", "user", "bzz_history"} <= set(get_db().list_collection_names())
    assert "name_1" in get_db()["unaudited"].index_information()


def test_an_index_that_cannot_be_made_says_so(house):
    get_db()["pair"].insert_many([{"name": "a"}, {"name": "a"}])

    class Pair(Document):
        name = StringField(unique=True)

    with pytest.raises(SetupError) as caught:
        house.track()

    said = str(caught.value)
    assert said.startswith("The collection and the indexes of Pair cannot be made: ")
    assert said.endswith(
        ". They cannot be made inside transactions; correct meta['indexes'] or the data."
    )
    assert "full error" not in said


def test_a_history_with_another_index_says_so(house):
    get_db()["bzz_history"].create_index("s", name="stream_version")

    with pytest.raises(SetupError) as caught:
        house.track()

    said = str(caught.value)
    assert said.startswith("The collection bzz_history cannot be made as it has to be: ")
    assert said.endswith("It needs readWrite rights, and a unique index on s, d and v.")


def test_preparing_again_asks_the_server_nothing(house, monkeypatch):
    house.track()
    monkeypatch.setattr(
        pymongo.MongoClient, "_retry_internal", lambda *_, **__: pytest.fail("It asked.")
    )
    house.auditor.prepare()


def test_a_dropped_collection_gets_its_indexes_again(house):
    house.track()
    house.User.drop_collection()
    house.make(name="Ana")

    assert "email_1" in get_db()["user"].index_information()


@pytest.mark.parametrize("count", [2, 8])
def test_threads_may_prepare_at_once(house, count):
    for model in (house.Team, house.User):
        house.auditor.track(model)
    barrier = threading.Barrier(count)

    def prepare(number):
        barrier.wait()
        return house.make(name=str(number))

    with ThreadPoolExecutor(count) as pool:
        users = list(pool.map(prepare, range(count)))

    assert [["created"]] * count == [house.told(user) for user in users]


def test_who_asks_for_a_collection_while_another_prepares_gets_one(database, monkeypatch):
    with built() as house:
        house.auditor.track(house.User)
        client = connection.client_of(house.User)
        monkeypatch.setattr(
            house.User, "ensure_indexes", lambda: connection._bind_databases(client)
        )

        assert "user" == house.User._get_collection().name


def test_clients_may_prepare_the_same_database_at_once(database, mongod_uri):
    count = 6
    clients = [pymongo.MongoClient(mongod_uri) for _ in range(count)]
    barrier = threading.Barrier(count)

    def prepare(client):
        barrier.wait()
        connection.make_collection(client[database.name], "made")
        connection.try_transaction(client, client[database.name])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(prepare, clients))
    for client in clients:
        client.close()

    assert ["made"] == database.list_collection_names()


def test_a_collection_that_cannot_be_made_is_an_error(database):
    with failing(database.client, ["create"], errorCode=13), pytest.raises(OperationFailure):
        connection.make_collection(database, "refused")


# Options of the connection


def test_a_hosted_databases_uri_works_all_the_way(mongod_uri):
    with new_database(mongod_uri) as name, built() as house:
        mongoengine.connect(name, host=mongod_uri + HOSTED)
        house.track()
        user = house.make(name="Ana", age=1)
        with house.auditor.recording(actor="eva"):
            found = house.User.objects.get(name="Ana")
            found.age = 2
            found.save()
        house.write(lambda: house.User.objects(age=2).update(inc__age=1))
        counted = house.write(
            lambda: (house.User.objects.count(), house.User.objects.distinct("age"))
        )
        with house.server as server:
            path = f"/user/{user.pk}/"
            assert [200, 200, 200, 200] == [
                server.get(path).status,
                server.patch(path, {"age": 4}).status,
                server.get("/user/?age=4").status,
                server.get(path + "history/").status,
            ]
            assert 204 == server.delete(path).status

        assert (1, [3]) == counted
        assert ["created", "updated", "updated", "updated", "deleted"] == house.told(user)
        assert 5 == check_histories(house.auditor, house.User)


def test_a_new_connection_with_other_options_is_prepared_anew(mongod_uri):
    with new_database(mongod_uri) as name, built() as house:
        kept = mongoengine.connect(name, host=mongod_uri)
        house.track()
        mongoengine.disconnect_all()
        again = mongoengine.connect(name, host=mongod_uri + HOSTED)
        user = house.make(name="Ana")

        assert kept == again
        assert "Ana" == stored(user)["name"]


def test_a_refused_connection_is_refused_again(standalone):
    mongoengine.disconnect_all()
    mongoengine.connect("app", host=standalone)
    with built() as house:
        house.auditor.track(house.Team)
        for _ in range(2):
            with pytest.raises(SetupError, match="is a standalone"):
                house.make(house.Team, name="red")
    mongoengine.disconnect_all()


def test_two_aliases_of_one_client_are_prepared_together(mongod_uri):
    with new_database(mongod_uri) as name, own_registry():
        mongoengine.connect(name, host=mongod_uri)
        mongoengine.connect(name + "b", alias="second", host=mongod_uri)

        class Near(Document):
            n = IntField()

        class Far(Document):
            n = IntField()
            meta = {"db_alias": "second"}

        auditor = Auditor(work=False)
        auditor.track(Near)
        auditor.track(Far)
        auditor.write(lambda: (Near(n=1).save(), Far(n=1).save()))
        get_db("second").client.drop_database(name + "b")

        assert connection.client_of(Near) is connection.client_of(Far)
        assert 1 == check_histories(auditor, Near)


# mongomock


def test_mongomock_has_no_transactions_and_works(mock_database):
    with built() as house:
        house.track()

        assert not connection.has_transactions(connection.client_of(house.User))
        assert ["created"] == house.told(house.make(name="Ana"))


def test_an_error_of_the_driver_while_preparing_is_unavailable(house, monkeypatch):
    def broken(client):
        raise PyMongoError("broken")

    monkeypatch.setattr(connection, "check_server", broken)

    with pytest.raises(Unavailable, match="The database does not answer: broken"):
        house.track()
