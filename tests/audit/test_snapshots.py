"""Snapshots shorten a replay and are never believed: with them and without, the answers are one."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from bson import Binary, ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from mongoengine import get_db

from bzz.audit import Auditor
from bzz.audit.blaming import Origins
from bzz.audit.diff import changes_between, digest
from bzz.audit.errors import DocumentDeleted, ReplayError, StreamGap, UnknownVersion
from bzz.audit.events import SYSTEM, Event, Operation
from bzz.audit.snapshots import NewSnapshots, Snapshot
from bzz.audit.store import packed
from bzz.values import Hidden, encoded, same
from tests.bson_values import neighbours
from tests.house import built, failing

TIME = datetime(2026, 5, 1, tzinfo=UTC)
INTERVAL = 5


@pytest.fixture
def house(house):
    kept = house.auditor.snapshots.interval
    house.auditor.snapshots.interval = INTERVAL
    yield house
    house.auditor.snapshots.interval = kept


@pytest.fixture
def history(house):
    """Version v has age v, and tags from time to time."""
    return written(house, [state_of(version) for version in range(1, 24)])


def state_of(version):
    tags = [f"t{each}" for each in range(version // 7, -1, -1)]
    return {"name": "Ana", "age": version, "tags": tags}


def written(house, states):
    """The history of a document that had some states, one after the other."""
    document_id, before, documents = ObjectId(), None, []
    for version, state in enumerate(states, 1):
        after = None if state is None else {**state, "_id": document_id}
        event = Event(
            id=ObjectId(),
            stream="user",
            model="user",
            document=document_id,
            version=version,
            operation=Operation.UPDATED,
            time=TIME,
            changes=tuple(changes_between(before, after)),
            gone=after is None,
            digest=digest(after, b"salt"),
            salt=b"salt",
        )
        documents.append(packed(event))
        before = after
    get_db()["bzz_history"].insert_many(documents)
    if before is not None:
        get_db()["user"].insert_one(before)
    return house.auditor.history(house.User, document_id)


def kept():
    """The versions that have snapshots, with what blame has left or not."""
    found = get_db()["bzz_snapshots"].find(sort=[("v", 1)])
    return {each["v"]: "o" in each for each in found}


def spoil(version, **values):
    get_db()["bzz_snapshots"].update_one({"v": version}, {"$set": values})


# What is left ------------------------------------------------------------------------------


def test_a_reader_leaves_the_states_that_it_passes(history):
    history.version(12)

    assert {5: False, 10: False} == kept()


def test_a_short_history_has_none(history):
    history.version(4)

    assert {} == kept()


def test_blame_leaves_what_set_the_values_too(history):
    history.version(12)
    history.blame()

    assert dict.fromkeys([5, 10, 15, 20], True) == kept()


def test_the_next_reader_goes_on_from_there(history):
    history.version(23)
    spoil(20, b=snapshot_of(history, 20))
    get_db()["bzz_history"].delete_many({"v": {"$lt": 20}})

    assert 22 == history.state_at(22)["age"]


def snapshot_of(history, version):
    return Binary(encoded({**state_of(version), "_id": history.document_id}))


def test_a_version_with_a_snapshot_is_told_by_its_event_alone(history):
    history.version(23)
    get_db()["bzz_history"].delete_many({"v": {"$ne": 20}})

    assert 20 == history.state_at(20)["age"]


def test_a_delete_has_no_snapshot(house):
    states = [*(state_of(version) for version in range(1, 5)), None, state_of(6), state_of(7)]
    history = written(house, states)

    assert 7 == history.state_at(7)["age"]
    assert {} == kept()
    with pytest.raises(DocumentDeleted):
        history.state_at(5)


def test_large_states_have_fewer(house):
    large = "x" * 70_000
    history = written(house, [{"name": large, "age": age} for age in range(1, 13)])
    history.version(12)

    assert {10: False} == kept()


def test_a_long_history_is_left_in_batches(house):
    house.auditor.snapshots.interval = 1
    history = written(house, [{"age": age} for age in range(1, 251)])
    history.version(250)

    assert list(range(1, 251)) == list(kept())


def test_reading_again_leaves_nothing_new(history):
    history.version(23)
    before = list(get_db()["bzz_snapshots"].find())
    history.version(23)

    assert before == list(get_db()["bzz_snapshots"].find())


def test_a_reader_in_a_transaction_leaves_nothing(house, history):
    with get_db().client.start_session() as session, session.start_transaction():
        assert 23 == history.state_at(23, session=session)["age"]
    assert 23 == house.write(lambda: history.state_at(23)["age"])

    assert {} == kept()


def test_a_reader_in_a_transaction_uses_what_is_there(history):
    history.version(23)
    get_db()["bzz_history"].delete_many({"v": {"$lt": 20}})

    with get_db().client.start_session() as session, session.start_transaction():
        assert 23 == history.state_at(23, session=session)["age"]


def test_what_cannot_be_kept_is_not_missed(house, history, caplog):
    database = get_db()
    database.drop_collection("bzz_snapshots")
    database.create_collection("bzz_snapshots", validator={"nothing": "fits"})
    try:
        with caplog.at_level(logging.DEBUG, "bzz.audit"):
            assert 23 == history.state_at(23)["age"]
    finally:
        database.drop_collection("bzz_snapshots")
        house.auditor.snapshots.prepare()

    assert ["4 snapshots were not kept: BulkWriteError"] == [
        record.getMessage() for record in caplog.records
    ]
    assert {"DEBUG"} == {record.levelname for record in caplog.records}


def test_what_cannot_be_read_is_not_missed(history, caplog):
    history.version(23)
    with (
        caplog.at_level(logging.DEBUG, "bzz.audit"),
        failing(get_db().client, ["find"], errorCode=13),
    ):
        assert 23 == history.state_at(23)["age"]

    assert ["The snapshots cannot be read: OperationFailure"] == [
        record.getMessage() for record in caplog.records
    ]


def test_a_collection_that_cannot_be_made_is_not_missed(house, history, caplog):
    with (
        caplog.at_level(logging.DEBUG, "bzz.audit"),
        failing(get_db().client, ["createIndexes"], errorCode=13),
    ):
        house.auditor.snapshots.prepare()

    assert "bzz_snapshots cannot be made" in caplog.text
    assert 23 == history.state_at(23)["age"]


# What is believed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda h: {"b": Binary(encoded({"_id": h.document_id, "age": 66}))}),
        pytest.param(lambda h: {"b": snapshot_of(h, 19)}, id="of another version"),
        pytest.param(lambda h: {"b": Binary(b"")}, id="empty"),
        pytest.param(lambda h: {"b": Binary(b"\x05\x00\x00\x00\x00")}, id="no state in it"),
        pytest.param(lambda h: {"b": Binary(encoded([1]))}, id="no document"),
        pytest.param(lambda h: {"b": "text"}, id="text"),
        pytest.param(lambda h: {"b": None}, id="null"),
    ],
)
def test_a_state_that_its_event_does_not_confirm_is_not_believed(history, fault):
    history.version(23)
    spoil(20, **fault(history))

    assert [22, 20, 21] == [history.state_at(v)["age"] for v in (22, 20, 21)]
    assert [20, 21] == [step.before["age"] for step in history.walk(21, 22)]


def test_a_bad_snapshot_is_replaced(history):
    history.version(23)
    good = get_db()["bzz_snapshots"].find_one({"v": 20})
    spoil(20, b=snapshot_of(history, 19))
    history.version(23)

    assert good == get_db()["bzz_snapshots"].find_one({"v": 20})


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"o": Binary(encoded(Origins.of(state_of(20), 3).pack()))}, id="forged"),
        pytest.param({"k": Binary(b"x" * 32)}, id="seal"),
        pytest.param({"o": Binary(b"")}, id="empty"),
        pytest.param({"o": "text"}, id="text"),
        pytest.param({"k": None}, id="no seal"),
    ],
)
def test_origins_without_their_seal_are_not_believed(history, fault):
    expected = history.blame()
    spoil(20, **fault)

    assert expected == history.blame()


def test_a_snapshot_of_an_event_that_is_not_there_is_not_believed(history):
    history.version(23)
    get_db()["bzz_history"].delete_one({"v": 20})

    with pytest.raises(StreamGap, match="Version 20"):
        history.state_at(22)
    with pytest.raises(StreamGap, match="Version 20"):
        history.state_at(20)


def test_a_gap_behind_a_snapshot_is_noticed(history):
    history.version(23)
    get_db()["bzz_history"].delete_one({"v": 21})

    with pytest.raises(StreamGap, match="Version 21"):
        history.state_at(22)


def test_an_altered_event_behind_a_snapshot_is_noticed(history):
    history.version(23)
    get_db()["bzz_history"].update_one({"v": 22}, {"$set": {"c.0.f": 1}})

    with pytest.raises(ReplayError):
        history.state_at(23)


def test_an_unknown_version_stays_unknown(history):
    history.version(23)

    for version in (24, 99, 2**40):
        with pytest.raises(UnknownVersion, match="its last version is 23"):
            history.state_at(version)


# What is hidden ----------------------------------------------------------------------------


def test_what_has_been_hidden_since_is_not_shown_from_a_snapshot(house, history):
    history.version(23)
    house.auditor.track(house.User, exclude=["name"])
    history = house.auditor.history(house.User, history.document_id)

    assert "name" not in history.state_at(22)
    assert not any("name" in step.after for step in history.walk(19, 23))
    assert "Ana" not in str(history.changes(1, 23))
    assert ("name",) not in [each.path for each in history.blame()]


def test_a_write_round_bzz_is_told_from_the_nearest_snapshot(house, history):
    history.version(23)
    get_db()["user"].update_one({"_id": history.document_id}, {"$set": {"age": 100}})
    get_db()["bzz_history"].delete_many({"v": {"$lt": 20}})  # which nobody has to read

    house.write(lambda: house.User.objects.get(pk=history.document_id).update(name="Eva"))

    external = history.event(24)
    assert ("external", 23, 100) == (
        external.operation,
        external.changes[0].from_,
        external.changes[0].to,
    )


def test_a_write_round_bzz_after_a_gap_is_refused(house, history):
    get_db()["user"].update_one({"_id": history.document_id}, {"$set": {"age": 100}})
    get_db()["bzz_history"].delete_one({"v": 22})

    with pytest.raises(StreamGap):
        house.write(lambda: house.User.objects.get(pk=history.document_id).update(name="Eva"))

    assert 100 == get_db()["user"].find_one()["age"]
    assert 23 == history.last_version()


def test_what_has_been_hidden_since_gets_into_no_snapshot(house, history):
    house.auditor.track(house.User, mask=["name"])
    history = house.auditor.history(house.User, history.document_id)
    history.version(23)
    history.blame()

    assert {} == kept()


def test_a_state_with_something_hidden_is_passed_by():
    new = NewSnapshots(1, Hidden.of(["a"]))
    event = event_of({"a": 1})
    new.passes(event, {"a": 1}, None)

    assert [] == new.taken


def event_of(state):
    return Event(
        id=ObjectId(),
        stream="user",
        model="user",
        document=1,
        version=1,
        operation=Operation.CREATED,
        time=TIME,
        changes=(),
        actor=SYSTEM,
        digest=digest(state, b"z"),
        salt=b"z",
    )


# With them as without ----------------------------------------------------------------------


@st.composite
def histories(draw):
    told = []
    for pair in draw(st.lists(neighbours(), min_size=2, max_size=8)):
        told += pair
        if draw(st.integers(0, 5)) == 0:
            told.append(None)
    members = {"_id", "_cls"}
    return [
        None if state is None else {k: v for k, v in state.items() if k not in members}
        for state in [*told, {"a": 1}]
    ]


@settings(max_examples=20)
@given(histories(), st.data())
def test_every_answer_is_the_same_with_snapshots_and_without(standing_house, states, data):
    house = standing_house
    house.auditor.snapshots.interval = 10**9
    history = written(house, states)
    last = len(states)
    expected = answers(history, last)
    house.auditor.snapshots.interval = data.draw(st.integers(1, 4))
    try:
        for version in data.draw(st.permutations(range(1, last + 1))):
            state_or_none(history, version)
        for _ in range(2):  # making them, and using them
            assert same(expected, answers(history, last))
    finally:
        house.auditor.snapshots.interval = 100
        get_db()["bzz_snapshots"].delete_many({})


def state_or_none(history, version):
    try:
        return history.state_at(version)
    except DocumentDeleted:
        return None


def answers(history, last):
    """Everything that folding tells, in BSON's own types."""
    middle = last // 2 + 1
    return [
        [state_or_none(history, version) for version in range(1, last + 1)],
        [[step.before, step.after] for step in history.walk()],
        [[step.before, step.after] for step in history.walk(middle, last - 1)],
        [[*change.path, str(change.from_), str(change.to)] for change in history.changes(1, last)],
        [[*blame.path, blame.version] for blame in history.blame()],
    ]


@given(neighbours())
def test_a_snapshot_opens_as_what_it_was_made_of(pair):
    state, _ = pair
    event = event_of(state)
    origins = Origins.of(state, 1)
    opened = Snapshot.of(event, state, origins).opened(event)

    assert same([state, origins.pack()], [opened[0], opened[1].pack()])


def test_an_auditor_that_is_not_prepared_says_so():
    with pytest.raises(Exception, match="Call prepare"):
        _ = Auditor().snapshots


def test_mongomock_answers_without_snapshots(mock_database):
    with built() as house:
        house.track(house.User)
        house.auditor.snapshots.interval = 2
        user = house.make(name="Ana")
        for age in range(1, 6):
            house.write(lambda age=age: house.User.objects.get().modify(age=age))
        history = house.auditor.history(house.User, user.pk)

        for _ in range(2):
            assert [1, 4] == [history.state_at(version)["age"] for version in (2, 5)]
            assert {6, 1} == {each.version for each in history.blame()}
        assert 0 == mock_database["bzz_snapshots"].count_documents({})
