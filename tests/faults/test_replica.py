"""Three mongods: whatever happens to the primary, what was answered stays true, and in time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from bson import ObjectId

from tests.faults.lists import check_lists
from tests.faults.load import Load
from tests.faults.replica import ReplicaSet, replica_set
from tests.faults.worlds import SOAK_SECONDS, Program, figures, lists, ports_of
from tests.support import wait_until

DEADLINE = 4.0
MARGIN = 1.0


@pytest.fixture(scope="module")
def replica():
    with replica_set() as running:
        yield running


def step_down(replica: ReplicaSet) -> None:
    replica.step_down()


def freeze(replica: ReplicaSet) -> None:
    """Until the others have a primary of their own."""
    node = replica.primary
    node.freeze()
    try:
        wait_until(lambda: any(each.is_primary for each in replica.nodes if each is not node), 30)
    finally:
        node.thaw()


def lose_majority(replica: ReplicaSet) -> None:
    """Until the one that is left has noticed."""
    last = replica.primary
    gone = replica.secondaries
    for node in gone:
        node.kill()
    wait_until(lambda: not last.is_primary, 30)
    for node in gone:
        node.start()


FAULTS: dict[str, Callable[[ReplicaSet], None]] = {
    "killed": ReplicaSet.kill_primary,
    "stepped down": step_down,
    "frozen": freeze,
    "without a majority": lose_majority,
}


def run_load(replica: ReplicaSet, cause: Callable[[Load], None], **options: Any) -> Load:
    """A load on two programs of the set, while `cause` does what it does; what it was told."""
    with lists(replica.uri, 20) as world:
        with Program(world, deadline=DEADLINE) as one, Program(world, deadline=DEADLINE) as other:
            programs = [one, other]
            with Load(lambda: ports_of(programs), world.ids, **options) as load:
                wait_until(load.more(20), 60)
                cause(load)
                wait_until(load.more(20), 60)
                load.stop()
        replica.wait()
        events = check_lists(world, load.notes)
    figures.info(f"{events} events, {load.counts}, {load.statuses}, slowest {load.slowest:.1f} s")
    return load


def check_answers(load: Load) -> None:
    assert set(load.statuses) <= {200, 201, 409, 412, 503}, load.statuses
    assert all(int(note.retry_after) >= 1 for note in load.notes if note.status == 503)
    # A read has no deadline of its own; it waits for the next primary as the driver does.
    late = [n for n in load.notes if n.element is not None and n.seconds > DEADLINE + MARGIN]
    assert [] == late


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_or_doubled_and_no_answer_late_when_the_primary_is(replica, fault):
    load = run_load(replica, lambda load: FAULTS[fault](replica), clients=6)

    check_answers(load)


def test_a_clash_with_what_no_majority_holds_yet_is_not_told(replica):
    """A POST that is repeated is answered 409 only when what it clashes with will stay."""
    with (
        lists(replica.uri) as world,
        Program(world, deadline=1) as program,
        closing(program.client()) as client,
    ):
        body = {"id": str(ObjectId()), "name": "new", "log": ["x"]}
        assert 201 == client.post("/page/", {"name": "warm"}).status
        frozen = replica.secondaries
        for node in frozen:
            node.freeze()
        try:
            first = client.post("/page/", body)
            again = client.post("/page/", body)
        finally:
            for node in frozen:
                node.thaw()

    assert (503, 503) == (first.status, again.status)


@pytest.mark.soak
@pytest.mark.parametrize("faults", [("killed", "stepped down"), tuple(FAULTS)], ids=["lost", "all"])
def test_again_and_again(replica, faults):
    chance = random.Random(5)

    def cause(load: Load) -> None:
        end, count = time.monotonic() + SOAK_SECONDS, 0
        while time.monotonic() < end:
            FAULTS[chance.choice(faults)](replica)
            replica.wait()
            wait_until(load.more(20), 60)
            count += 1
        figures.info(f"{count} faults")

    check_answers(run_load(replica, cause, clients=16))
