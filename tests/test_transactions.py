"""One unit of work in one transaction: its outcomes, and when it is run again."""

from __future__ import annotations

import time
from contextvars import ContextVar

import pytest
from bson.errors import InvalidDocument
from mongoengine import NotUniqueError, OperationError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from bzz import connection
from bzz.errors import Conflict, Superseded, TooLarge, Unavailable, Undecided
from bzz.transactions import Deadline, chain, is_transient, run, said, transaction
from bzz.unit import Unit, current_unit
from tests.audit.checking import check_histories
from tests.house import built, elsewhere, failing, raw, stored


@pytest.fixture
def house(database):
    with built() as built_house:
        built_house.track()
        yield built_house


def unit_of(house, work, seconds=10.0):
    """Run a function of no arguments as a unit that the house's auditor records."""
    client = connection.client_of(house.User)
    return run(lambda _: work(), client=client, deadline=Deadline(seconds))[0]


def insert(house):
    return house.User(name="Ana").save()


# Running


def test_the_value_and_the_unit_are_returned(house):
    client = connection.client_of(house.User)
    value, unit = run(lambda unit: (unit, current_unit()), client=client)

    assert (unit, unit) == value


def test_within_a_unit_another_one_joins(house):
    client = connection.client_of(house.User)
    (_, inner), outer = run(lambda _: run(lambda _: None, client=client), client=client)

    assert outer is inner


def test_without_transactions_the_work_is_run_once_and_settled(mock_database):
    with built() as house:
        house.track()
        client = connection.client_of(house.User)
        user, unit = run(lambda _: insert(house), client=client, transactional=False)

        assert (None, ["created"]) == (unit.session, house.told(user))


def test_the_callers_context_variables_are_seen_inside(house):
    variable: ContextVar[str] = ContextVar("variable")
    variable.set("seen")

    assert "seen" == unit_of(house, variable.get)


def test_a_transaction_needs_a_session():
    with (
        pytest.raises(ValueError, match="A transaction needs a unit with a session"),
        transaction(Unit(), Deadline()),
    ):
        pass


# Again


def test_a_transient_error_runs_the_work_again_from_the_start(house):
    runs = []

    def work():
        runs.append(insert(house))
        if len(runs) < 3:
            raise Superseded("once more")

    unit_of(house, work)

    assert (3, 1) == (len(runs), raw(house.User).count_documents({}))
    assert 1 == check_histories(house.auditor, house.User)


def test_a_write_conflict_wrapped_by_mongoengine_is_run_again(house):
    user = house.make(name="Ana", age=0)
    runs = []

    def work():
        found = house.User.objects.get(pk=user.pk)
        if not runs:
            query = {"_id": user.pk}, {"$inc": {"age": 1}}
            elsewhere(lambda: raw(house.User).update_one(*query))
        runs.append(found)
        house.User.objects(pk=user.pk).update(inc__age=1)

    unit_of(house, work)

    assert (2, 2) == (len(runs), stored(user)["age"])


def test_an_aborted_transaction_is_run_again_when_the_commit_says_so(house, database):
    with failing(database.client, ["commitTransaction"], errorCode=251):
        user = unit_of(house, lambda: insert(house))

    assert ["created"] == house.told(user)


def test_a_lost_connection_before_the_commit_is_run_again(house, database):
    with failing(database.client, ["update"], closeConnection=True):
        user = house.make(name="Ana")
        unit_of(house, lambda: house.User.objects(pk=user.pk).update(age=1))

    assert ["created", "updated"] == house.told(user)


def test_at_the_deadline_nothing_more_is_tried(house):
    started = time.monotonic()

    def work():
        raise Superseded("again")

    said = "(Other writers of the same documents were faster for|The write was not finished within)"
    with pytest.raises(Unavailable, match=rf"{said} 0.2 s.*.*nothing was stored"):
        unit_of(house, work, seconds=0.2)

    assert time.monotonic() - started < 2


def test_after_the_deadline_nothing_is_begun(house):
    with pytest.raises(Unavailable) as caught:
        unit_of(house, lambda: pytest.fail("It was begun."), seconds=0)

    assert (
        "The write was not finished within 0 s and has been given up; nothing was stored."
        == str(caught.value)
    )


# Ended early


def test_an_error_ends_the_transaction_and_is_raised_as_it_is(house):
    cause, error = ValueError("cause"), KeyError("mine")
    error.__cause__ = cause

    def work():
        insert(house)
        raise error

    with pytest.raises(KeyError) as caught:
        unit_of(house, work)

    assert (error, cause) == (caught.value, caught.value.__cause__)
    assert 0 == raw(house.User).count_documents({})


def test_its_locks_are_gone_with_it(house):
    user = house.make(name="Ana")

    def work():
        house.User.objects(pk=user.pk).update(age=1)
        raise KeyError

    with pytest.raises(KeyError):
        unit_of(house, work)

    assert 1 == raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": 2}}).modified_count


def test_a_caught_error_of_a_write_is_raised_at_the_commit(house):
    house.make(name="Ana", email="a@b")

    def work():
        try:
            house.User(name="Eva", email="a@b").save()
        except NotUniqueError:
            return "caught"

    with pytest.raises(DuplicateKeyError):
        unit_of(house, work)


def test_what_follows_a_caught_error_does_not_hide_it(house):
    house.make(name="Ana", email="a@b")

    def work():
        try:
            house.User(name="Eva", email="a@b").save()
        except NotUniqueError:
            house.User(name="Eva").save()

    with pytest.raises(DuplicateKeyError):
        unit_of(house, work)

    assert 1 == raw(house.User).count_documents({})


def test_a_caught_error_of_a_read_refuses_the_commit(house):
    def work():
        insert(house)
        try:
            list(house.User.objects(__raw__={"$odd": 1}))
        except OperationFailure:
            return "caught"

    with pytest.raises(Unavailable, match=r"For 0.2 s the database ended each transaction before"):
        unit_of(house, work, seconds=0.2)

    assert 0 == raw(house.User).count_documents({})


def test_a_document_above_the_limit_is_too_large(house):
    with pytest.raises(TooLarge, match="A document, or the event of its change, is too large: "):
        unit_of(house, lambda: house.User(name="x" * 17_000_000).save())


def test_a_database_that_answers_too_late_is_unavailable(house, database):
    how = {"blockConnection": True, "blockTimeMS": 800}
    with (
        failing(database.client, ["insert"], **how),
        pytest.raises(Unavailable, match="The database did not answer in time; nothing was stored"),
    ):
        unit_of(house, lambda: insert(house), seconds=0.3)

    assert 0 == raw(house.User).count_documents({})


# The commit


@pytest.mark.parametrize(
    ("times", "how"),
    [
        pytest.param(1, {"closeConnection": True}, id="lost once"),
        pytest.param(4, {"closeConnection": True}, id="lost often"),
        pytest.param(3, {"writeConcernError": {"code": 64, "errmsg": "late"}}, id="late"),
        pytest.param(3, {"errorCode": 11602}, id="interrupted"),
    ],
)
def test_an_unknown_commit_is_resolved_by_committing_again(house, database, times, how):
    runs = []

    def work():
        runs.append(1)
        return insert(house)

    with failing(database.client, ["commitTransaction"], times=times, **how):
        user = unit_of(house, work)

    assert ([1], ["created"]) == (runs, house.told(user))


def test_a_commit_that_stays_unknown_is_undecided(house, database):
    late = {"writeConcernError": {"code": 64, "errmsg": "late"}}
    with (
        failing(database.client, ["commitTransaction"], times=0, **late),
        pytest.raises(Undecided) as caught,
    ):
        unit_of(house, lambda: insert(house), seconds=0.3)

    assert (
        "The write was sent, and the database did not confirm it within 0.3 s: it may or may not "
        "be stored. Repeat it with If-Match (or an id of your own choosing); 412 or 409 then says "
        "that it had arrived."
    ) == str(caught.value)
    assert 5 == caught.value.retry_after
    assert 1 == check_histories(house.auditor, house.User)


def test_a_commit_that_stays_unknown_is_not_hammered(house, database):
    late = {"writeConcernError": {"code": 64, "errmsg": "late"}}
    before = commits(database)
    with failing(database.client, ["commitTransaction"], times=0, **late), pytest.raises(Undecided):
        unit_of(house, lambda: insert(house), seconds=0.5)

    assert 2 <= commits(database) - before < 150


def commits(database):
    status = database.client.admin.command("serverStatus")
    return status["metrics"]["commands"]["commitTransaction"]["total"]


# Which errors are what


def labelled(error):
    error._add_error_label("TransientTransactionError")
    return error


def wrapped(cause, wrapper):
    try:
        try:
            raise cause
        except Exception:
            raise wrapper
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(Superseded("x"), True, id="superseded"),
        pytest.param(Conflict("x"), False, id="conflict"),
        pytest.param(labelled(OperationFailure("x", 251)), True, id="label"),
        pytest.param(labelled(AutoReconnect("x")), True, id="connection with label"),
        pytest.param(AutoReconnect("x"), False, id="connection"),
        pytest.param(OperationFailure("x", 112), True, id="write conflict"),
        pytest.param(OperationFailure("x", 11000), False, id="other code"),
        pytest.param(DuplicateKeyError("x", 11000), False, id="duplicate"),
        pytest.param(BulkWriteError({}), False, id="bulk"),
        pytest.param(KeyError("x"), False, id="not the driver's"),
        pytest.param(wrapped(OperationFailure("x", 112), OperationError("y")), True, id="wrapped"),
        pytest.param(wrapped(KeyError("x"), OperationError("y")), False, id="wraps another"),
    ],
)
def test_is_transient(error, expected):
    assert expected == is_transient(error)


def test_what_was_being_handled_before_says_nothing_of_the_work():
    earlier = OperationFailure("x", 112)

    assert not is_transient(wrapped(earlier, KeyError("y")), earlier)


def test_a_chain_of_errors_that_loops_ends():
    one, other = KeyError("1"), KeyError("2")
    one.__context__, other.__context__ = other, one

    assert [one, other] == list(chain(one))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(OperationFailure("no", 1, {"secret": 1}), "no", id="documents"),
        pytest.param(
            ServerSelectionTimeoutError("no, Timeout: 1s, Topology Description: <hosts>"),
            "no",
            id="hosts",
        ),
        pytest.param(
            NetworkTimeout("no (configured timeouts: connectTimeoutMS: 1ms)"), "no", id="t"
        ),
        pytest.param(InvalidDocument("no"), "no", id="plain"),
    ],
)
def test_only_what_an_error_says_is_passed_on(error, expected):
    assert expected == said(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(DocumentTooLarge("x"), TooLarge, id="the driver's limit"),
        pytest.param(OperationFailure("x", 10334), TooLarge, id="the server's limit"),
        pytest.param(OperationFailure("x", 17419), TooLarge, id="an update above it"),
        pytest.param(ExecutionTimeout("x", 50), Unavailable, id="time is up"),
        pytest.param(ConnectionFailure("x"), Unavailable, id="no connection"),
        pytest.param(NetworkTimeout("x"), Unavailable, id="no answer"),
        pytest.param(WTimeoutError("x", 64), Unavailable, id="no majority"),
        pytest.param(
            wrapped(ExecutionTimeout("x"), OperationError("y")), Unavailable, id="wrapped"
        ),
        pytest.param(OperationFailure("x", 11000), OperationFailure, id="any other"),
        pytest.param(OSError(10334, "x"), OSError, id="not the driver's"),
    ],
)
def test_an_error_of_the_database_is_told_by_its_kind(house, error, kind):
    def work():
        raise error

    with pytest.raises(kind) as caught:
        unit_of(house, work)

    assert error in chain(caught.value)


def test_a_deadline_counts_down_to_nothing():
    assert (0, True) == (Deadline(0).remaining, 9 < Deadline(10).remaining <= 10)
