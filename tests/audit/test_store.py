"""The history collection: what an event is stored as, appended and read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import BSON, Int64, ObjectId, Timestamp
from pymongo.errors import OperationFailure

from bzz.audit.diff import ABSENT, Change
from bzz.audit.errors import EventNotStored, VersionTaken
from bzz.audit.events import Actor, Event, Operation, Request
from bzz.audit.store import HistoryStore, letter_of, utc
from tests.house import failing


@pytest.fixture(params=["mongod", "mongomock"])
def store(request):
    real = request.param == "mongod"
    database = request.getfixturevalue("database" if real else "mock_database")
    made = HistoryStore(database, real=real)
    made.prepare()
    return made


def event(version=1, **options):
    facts = {
        "id": ObjectId(),
        "stream": "users",
        "model": "user",
        "document": 1,
        "version": version,
        "operation": Operation.UPDATED,
        "time": datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
        "changes": (Change(("name",), "a", "b"),),
        "digest": b"d" * 32,
        "salt": b"s" * 16,
    }
    return Event(**{**facts, **options})


FULL = {
    "changes": (
        Change(("a/b", "~", ""), ABSENT, None),
        Change(("list", "1"), 1.0, ABSENT),
        Change(("$set", "a.b"), {"$x": [1]}, Int64(1)),
    ),
    "masked": ("/pin",),
    "actor": Actor("robot", "r2"),
    "reason": "why",
    "correlation": "c-1",
    "request": Request("PUT", "/user/1/", "::1"),
    "gone": True,
    "restored_from": 3,
    "undo_of": 4,
    "schema": 2,
}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param(FULL, id="all there can be"),
        pytest.param({"actor": Actor("anonymous")}, id="nobody"),
        pytest.param({"document": "a/b"}, id="text id"),
        pytest.param({"document": {"a": 1}}, id="object id"),
        pytest.param({"request": Request("PUT", "/", None)}, id="no address"),
        *(pytest.param({"operation": each}, id=each.value) for each in Operation),
    ],
)
def test_an_event_comes_back_as_it_was(store, options):
    written = event(**options)
    store.append([written], session=None)

    assert [written] == list(store.events("users", written.document, model="user"))


def test_a_plain_event_is_small(store):
    store.append([event()], session=None)

    assert len(BSON.encode(store._database["bzz_history"].find_one())) < 250


def test_the_server_puts_its_time_into_an_event(database):
    store = HistoryStore(database, real=True)
    store.prepare()
    store.append([event()], session=None)

    assert database["bzz_history"].find_one()["n"] > Timestamp(1, 0)


def test_an_event_has_no_position_until_it_is_given_one(store):
    store.append([event()], session=None)

    assert store.event("users", 1, 1, model="user").position is None


def test_a_version_that_is_taken_is_refused(store):
    store.append([event(1)], session=None)

    with pytest.raises(VersionTaken, match="has stored version 1 in stream 'users'; read the"):
        store.append([event(1)], session=None)


def test_a_version_that_is_taken_is_refused_among_many(database):
    store = HistoryStore(database, real=True)
    store.prepare()
    store.append([event(2)], session=None)

    with pytest.raises(VersionTaken):
        store.append([event(1), event(2)], session=None)


@pytest.mark.parametrize("count", [1, 2])
def test_events_that_the_database_refuses_are_not_quoted(database, count):
    store = HistoryStore(database, real=True)
    store.prepare()
    database.command("collMod", "bzz_history", validator={"x": "never"})

    with pytest.raises(EventNotStored) as caught:
        store.append([event(number, reason="secret") for number in range(count)], session=None)

    assert "Document failed validation" == str(caught.value)


def test_an_error_without_words_is_named(store, monkeypatch):
    def refuse(*_, **__):
        raise OperationFailure("", 1)

    monkeypatch.setattr(store, "_inside", type("Fake", (), {"insert_one": refuse})())

    with pytest.raises(EventNotStored, match="OperationFailure"):
        store.append([event()], session=None)


def test_the_heads_of_many_documents_are_their_last_events(store):
    for document, versions in (("a", 3), ("b", 1)):
        for version in range(1, versions + 1):
            store.append([event(version, document=document)], session=None)
    heads = store.heads("users", ["a", "b", "c"])

    assert {"a": 3, "b": 1} == {each["d"]: each["v"] for each in heads}


@pytest.mark.parametrize("ids", [["a"], ["a", "b"]])
def test_a_head_has_only_what_continuing_takes(store, ids):
    store.append([event(document="a", **FULL)], session=None)
    (head,) = store.heads("users", ids)

    assert {"_id", "d", "v", "o", "g", "t", "h", "z"} == set(head)


def test_of_nothing_there_are_no_heads(store):
    assert [] == store.heads("users", ["a"])


def test_streams_of_one_id_are_apart(store):
    store.append([event(stream="users"), event(stream="teams")], session=None)

    assert ["teams"] == [each.stream for each in store.events("teams", 1, model="team")]


def test_events_are_read_in_order_of_version(store):
    for version in (2, 3, 1):
        store.append([event(version)], session=None)

    assert [1, 2, 3] == [each.version for each in store.events("users", 1, model="user")]
    newest = store.events("users", 1, model="user", newest_first=True, limit=2)
    assert [3, 2] == [each.version for each in newest]


def test_an_event_that_is_not_there_is_none(store):
    assert store.event("users", 1, 7, model="user") is None


def test_a_trace_finds_the_last_deleted_document_that_had_a_value(store):
    for document, name in ((1, "ana"), (2, "ana"), (3, "eva")):
        gone = (Change(("name",), name, ABSENT),)
        store.append([event(document=document, changes=gone, gone=True)], session=None)

    assert (2, None) == (
        store.trace("users", "name", "ana"),
        store.trace("users", "name", "none"),
    )


def test_preparing_twice_changes_nothing(store):
    store.prepare()

    assert "stream_version" in store._database["bzz_history"].index_information()


def test_where_zstd_is_refused_the_default_compresses(database):
    store = HistoryStore(database, real=True)
    with failing(database.client, ["create"], errorCode=72):
        store.prepare()

    stats = database.command("collStats", "bzz_history")
    assert "block_compressor=snappy" in stats["wiredTiger"]["creationString"]


def test_a_database_that_refuses_the_collection_says_why(database):
    store = HistoryStore(database, real=True)
    with (
        failing(database.client, ["create"], times=2, errorCode=13),
        pytest.raises(EventNotStored, match="Failing command"),
    ):
        store.prepare()


def test_operations_have_letters():
    assert ("c", "x") == (letter_of("created"), letter_of("external"))


def test_an_unknown_operation_has_none():
    with pytest.raises(ValueError, match="'moved' is not a valid Operation"):
        letter_of("moved")


def test_a_stored_time_is_utc():
    aware = datetime(2026, 1, 2, tzinfo=UTC)

    assert (aware, aware) == (utc(datetime(2026, 1, 2)), utc(aware))
