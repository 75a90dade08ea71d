"""The database fails commands in every way it has; each write is answered as the contract says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.faults.lists import check_lists
from tests.faults.load import Load
from tests.faults.worlds import begin, lists
from tests.house import failing
from tests.support import Server, wait_until

DEADLINE = 1.0
MARGIN = 1.0
"""Seconds by which an answer may come after the deadline on a machine that has other work."""

CALM = 10.0
"""Seconds in which what passes has passed, on such a machine too."""

NOT_HELD = {
    "code": 64,
    "codeName": "WriteConcernFailed",
    "errmsg": "waiting for replication timed out",
    "errInfo": {"wtimeout": True},
}
TRANSIENT = ["TransientTransactionError"]
COMMANDS = ["find", "update", "insert", "aggregate", "commitTransaction", "abortTransaction"]

FAULTS: dict[str, dict[str, Any]] = {
    "write conflict": {"errorCode": 112, "errorLabels": TRANSIENT},
    "no such transaction": {"errorCode": 251, "errorLabels": TRANSIENT},
    "interrupted by a state change": {"errorCode": 11602},
    "shutdown in progress": {"errorCode": 91},
    "primary stepped down": {"errorCode": 189},
    "time limit exceeded": {"errorCode": 50},
    # Without the extra a server cannot make this error, and says so with another one.
    "duplicate key": {
        "errorCode": 11000,
        "errorExtraInfo": {"keyPattern": {"tag": 1}, "keyValue": {"tag": "x"}},
    },
    "blocked for a while": {"blockConnection": True, "blockTimeMS": 200},
    "cut": {"closeConnection": True},
    "cut twice": {"closeConnection": True, "times": 2},
    "cut five times": {"closeConnection": True, "times": 5},
}
TOLD = {"time limit exceeded", "duplicate key", "cut five times"}
"""Faults that may cost a write its success: what they look like, or how long they last."""


@pytest.fixture(scope="module")
def world(mongod_uri):
    """Lists and their server, on a connection that alone is hit by what fails."""
    name = f"faults {uuid.uuid4().hex}"
    with lists(
        mongod_uri, connection={"appname": name, "heartbeatFrequencyMS": 500}, deadline=DEADLINE
    ) as world:
        patient = world.routes_for(prefix="/patient", deadline=3 * DEADLINE)
        calm = world.routes_for(prefix="/calm", deadline=CALM)
        with Server(
            [*world.routes, *patient, *calm], log_function=lambda handler: None
        ) as world.server:
            world.name = name
            yield world


@pytest.fixture(autouse=True)
def _new_lists_and_no_error_in_the_log(world):
    begin(world)
    yield
    logged = [record.getMessage() for record in world.server.logged]
    world.server.logged.clear()
    assert [] == logged


def failing_here(world: Any, commands: list[str], **how: Any) -> Any:
    return failing(world.client, commands, appName=world.name, **how)


def some_load(world: Any, **options: Any) -> Load:
    return Load(lambda: [world.server.port], world.ids, clients=4, **options)


def check_answers(load: Load, *, deadline: float = DEADLINE) -> None:
    """Nothing but success, a refusal, or an invitation to come back; and all in time."""
    statuses = set(load.statuses)
    assert statuses <= {200, 201, 409, 412, 503}, load.statuses
    assert all(int(note.retry_after) >= 1 for note in load.notes if note.status == 503)
    writes = [note for note in load.notes if note.element is not None]
    late = [note for note in writes if note.seconds > deadline + MARGIN]
    assert [] == late


def meet(world: Any, commands: list[str], **how: Any) -> Load:
    """A load of which some commands fail; what it was told is checked."""
    with some_load(world, prefix="/calm") as load:
        wait_until(load.more(4))
        with failing_here(world, commands, times=how.pop("times", 1), **how):
            wait_until(load.more(8))
        wait_until(load.more(4))
        load.stop()
    check_lists(world, load.notes)
    check_answers(load, deadline=CALM)
    return load


SHORT = [
    *(("commitTransaction", fault) for fault in FAULTS if fault != "duplicate key"),
    *(("update", fault) for fault in ("interrupted by a state change", "duplicate key")),
    *((command, "cut") for command in COMMANDS),
    ("update", "write conflict"),
    ("insert", "write conflict"),
]
LONG = [
    (command, fault)
    for fault in FAULTS
    for command in COMMANDS
    # No server ends a transaction, or a read, with a duplicate key.
    if (command, fault) not in SHORT and (fault != "duplicate key" or command == "insert")
]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        *(pytest.param(*each, id=" ".join(each)) for each in dict.fromkeys(SHORT)),
        *(pytest.param(*each, id=" ".join(each), marks=pytest.mark.soak) for each in LONG),
    ],
)
def test_what_passes_is_tried_again_and_nothing_is_doubled(world, command, fault):
    load = meet(world, [command], **FAULTS[fault])

    assert fault in TOLD or 503 not in load.statuses


def test_a_commit_that_is_applied_and_not_yet_held_by_a_majority_is_asked_for_again(world):
    load = meet(world, ["commitTransaction"], times=3, writeConcernError=NOT_HELD)

    assert 503 not in load.statuses


ALWAYS: dict[str, dict[str, Any]] = {
    "write conflict": {"errorCode": 112, "errorLabels": TRANSIENT},
    "no such transaction": {"errorCode": 251, "errorLabels": TRANSIENT},
    "time limit exceeded": {"errorCode": 50},
    "cut": {"closeConnection": True},
    "blocked": {"blockConnection": True, "blockTimeMS": 2500},
}
BRIEFLY = [
    ("update", "write conflict"),
    ("update", "cut"),
    ("commitTransaction", "cut"),
    ("commitTransaction", "blocked"),
]


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        pytest.param(command, fault, id=f"{command} {fault}", marks=marks)
        for fault in ALWAYS
        for command in COMMANDS[:-1]
        # An error of what batches alone send is got round: each member is run by itself.
        if command != "aggregate" or fault in ("cut", "blocked")
        for marks in [() if (command, fault) in BRIEFLY else pytest.mark.soak]
    ],
)
def test_what_does_not_pass_is_answered_by_the_deadline(world, command, fault):
    check_always(world, command, **ALWAYS[fault])


def check_always(world: Any, command: str, **how: Any) -> None:
    with some_load(world, mix={"patch": 1}) as load:
        wait_until(load.more(4))
        with failing_here(world, [command], times=0, **how):
            wait_until(lambda: load.statuses[503] >= 4)
            load.stop()
    with some_load(world, mix={"patch": 1}) as after:
        wait_until(after.more(4))
        after.stop()

    check_lists(world, load.notes + after.notes)
    check_answers(load)


def test_a_commit_that_is_applied_and_never_confirmed_is_undecided_and_not_run_again(world):

    with (
        some_load(world, mix={"patch": 1}) as load,
        some_load(world, mix={"patch": 1}, prefix="/patient") as patient,
    ):
        wait_until(load.more(4))
        with failing_here(world, ["commitTransaction"], times=0, writeConcernError=NOT_HELD):
            wait_until(lambda: min(each.statuses[503] for each in (load, patient)) >= 4)
        wait_until(load.more(4))
        wait_until(patient.more(4))
        for each in (load, patient):
            each.stop()

    check_lists(world, load.notes + patient.notes)
    check_answers(load)
    check_answers(patient, deadline=3 * DEADLINE)
