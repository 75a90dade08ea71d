"""PyMongo's collections with a session bound: options that transactions refuse are set aside."""

from __future__ import annotations

import mongoengine
import pytest
from bson.codec_options import CodecOptions
from mongoengine import get_db
from pymongo import ReadPreference
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from bzz.driver import BoundCollection, BoundDatabase
from bzz.transactions import Deadline, transaction
from bzz.unit import Batch, Unit
from tests.house import new_database

MAJORITY = WriteConcern("majority", j=True)


@pytest.fixture
def bound(mongod_uri):
    """A database whose connection string has what hosted databases put there."""
    with new_database(mongod_uri) as name:
        options = "&w=majority&journal=true&readPreference=secondaryPreferred"
        mongoengine.connect(name, host=mongod_uri + options)
        database = BoundDatabase.of(get_db())
        database["things"].insert_one({"_id": 1, "n": 1})
        yield database


def in_transaction(database, work):
    with (
        database.client.start_session() as session,
        transaction(Unit(Batch(session)), Deadline()),
    ):
        return work(database["things"])


WORK = {
    "insert_one": lambda things: things.insert_one({"_id": 2}).inserted_id,
    "insert_many": lambda things: len(things.insert_many([{"_id": 2}, {"_id": 3}]).inserted_ids),
    "update_one": lambda things: things.update_one({"_id": 1}, {"$inc": {"n": 1}}).modified_count,
    "update_many": lambda things: things.update_many({}, {"$inc": {"n": 1}}).modified_count,
    "replace_one": lambda things: things.replace_one({"_id": 1}, {"n": 2}).modified_count,
    "delete_one": lambda things: things.delete_one({"_id": 1}).deleted_count,
    "delete_many": lambda things: things.delete_many({}).deleted_count,
    "find_one_and_update": lambda things: things.find_one_and_update({}, {"$inc": {"n": 1}})["n"],
    "find_one_and_delete": lambda things: things.find_one_and_delete({})["n"],
    "find": lambda things: [each["n"] for each in things.find()],
    "find_one": lambda things: things.find_one({"_id": 1})["n"],
    "aggregate": lambda things: [each["n"] for each in things.aggregate([{"$match": {}}])],
    "count_documents": lambda things: things.count_documents({}),
    "estimated_document_count": lambda things: things.estimated_document_count(),
    "distinct": lambda things: things.distinct("n"),
}


@pytest.mark.parametrize("name", WORK)
def test_every_operation_works_in_a_transaction(bound, name):
    expected = {"insert_one": 2, "insert_many": 2, "find": [1], "aggregate": [1], "distinct": [1]}

    assert expected.get(name, 1) == in_transaction(bound, WORK[name])


def test_pymongo_alone_fails(bound):
    plain = bound.client[bound.name]

    with (
        pytest.raises(OperationFailure, match="writeConcern is not allowed within a multi-state"),
        bound.client.start_session() as session,
        session.start_transaction(),
        session.bind(end_session=False),
    ):
        plain["things"].insert_one({})


def test_outside_of_transactions_the_options_hold(bound):
    things = bound["things"]

    assert MAJORITY == things._write_concern_for(None)
    assert "SecondaryPreferred" in repr(things._read_preference_for(None))
    assert 1 == things.estimated_document_count()


def test_a_session_outside_of_a_transaction_changes_nothing(bound):
    with bound.client.start_session() as session:
        assert MAJORITY == bound["things"]._write_concern_for(session)
        assert MAJORITY == bound._write_concern_for(session)


@pytest.mark.parametrize(
    "collection",
    [
        pytest.param(lambda database: database["things"], id="item"),
        pytest.param(lambda database: database.things, id="attribute"),
        pytest.param(lambda database: database.get_collection("things"), id="get_collection"),
        pytest.param(lambda database: database["things"].with_options(), id="with_options"),
    ],
)
def test_every_collection_of_the_database_is_bound(bound, collection):
    assert isinstance(collection(bound), BoundCollection)


def test_with_options_sets_what_is_given_and_keeps_the_rest(bound):
    codec, concern = CodecOptions(tz_aware=True), ReadConcern("majority")
    changed = bound["things"].with_options(codec_options=codec, read_concern=concern)

    assert (codec, concern, MAJORITY) == (
        changed.codec_options,
        changed.read_concern,
        changed.write_concern,
    )


def test_get_collection_sets_what_is_given(bound):
    found = bound.get_collection(
        "things", read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern(1)
    )

    assert (ReadPreference.PRIMARY, WriteConcern(1)) == (
        found.read_preference,
        found.write_concern,
    )


def test_the_database_keeps_its_options(bound):
    database = get_db()

    assert (database.codec_options, database.write_concern, database.read_preference) == (
        bound.codec_options,
        bound.write_concern,
        bound.read_preference,
    )


def test_commands_of_the_database_work_in_a_transaction(bound):
    def work(things):
        return things.database.aggregate([{"$documents": [{"n": 7}]}]).to_list()

    assert [{"n": 7}] == in_transaction(bound, work)
