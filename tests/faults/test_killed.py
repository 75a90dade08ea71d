"""The server process is killed with -9 at every step of a write; what was answered stays true."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.faults.lists import check_lists
from tests.faults.load import Load
from tests.faults.program import POINTS
from tests.faults.worlds import SOAK_SECONDS, Program, figures, lists, ports_of
from tests.house import failing
from tests.support import wait_until


def kill_and_go_on(world: Any, load_of: Any, points: list[tuple[str, int]], *, more: int) -> Load:
    """Under load, run a program to its death at each of some points, and at last one that stays."""
    running: list[Program] = []
    with load_of(lambda: ports_of(running)) as load:
        for point, at in points:
            with Program(world, kill=point, at=at) as program:
                running[:] = [program]
                wait_until(lambda program=program: program.is_dead, 60)
                assert program.was_killed, program.log
        with Program(world) as program:
            running[:] = [program]
            wait_until(load.more(more), 60)
            load.stop()
    return load


@pytest.mark.parametrize("point", POINTS)
def test_nothing_that_was_answered_is_lost_or_doubled_when_it_is_killed(own_mongod, point):
    with lists(own_mongod.uri) as world:
        load = kill_and_go_on(
            world, lambda ports: Load(ports, world.ids, clients=6), [(point, 12)], more=15
        )

        check_lists(world, load.notes)
    assert {None, 200} <= set(load.statuses)
    assert not [status for status in load.statuses if status and status >= 500]


def wait_for_the_commit(admin: Any) -> None:
    """Until the fail point has been met once more than now."""
    entered = admin.command("getParameter", **{"failpoint.failCommand": 1})
    times = entered["failpoint.failCommand"].get("timesEntered", 0)
    admin.command("waitForFailPoint", "failCommand", timesEntered=times + 1, maxTimeMS=20000)


@pytest.mark.parametrize("outcome", ["delayed", "cut"])
def test_a_commit_that_was_sent_and_not_answered_counts_once_or_not_at_all(own_mongod, outcome):
    how = (
        {"blockConnection": True, "blockTimeMS": 300}
        if outcome == "delayed"
        else {"closeConnection": True}
    )
    with lists(own_mongod.uri) as world, Program(world) as program:
        running = [program]
        with Load(lambda: ports_of(running), world.ids, clients=6) as load:
            wait_until(load.more(20))
            with failing(world.client, ["commitTransaction"], times=0, **how):
                wait_for_the_commit(world.client.admin)
                program.kill()
            with Program(world) as successor:
                running[:] = [successor]
                wait_until(load.more(30), 60)
                load.stop()

        check_lists(world, load.notes)
    assert load.counts["unknown"]


@pytest.mark.soak
def test_again_and_again_killed_at_any_point(own_mongod):
    chance, end = random.Random(3), time.monotonic() + SOAK_SECONDS
    with lists(own_mongod.uri, 20) as world:
        running: list[Program] = []
        kills = 0
        with Load(lambda: ports_of(running), world.ids, clients=16) as load:
            while time.monotonic() < end:
                point, at = chance.choice(list(POINTS)), chance.randint(1, 400)
                with Program(world, kill=point, at=at) as program:
                    running[:] = [program]
                    wait_until(lambda program=program: program.is_dead, 60)
                    assert program.was_killed, program.log
                kills += 1
            with Program(world) as program:
                running[:] = [program]
                wait_until(load.more(50), 60)
                load.stop()

        events = check_lists(world, load.notes)
    figures.info(
        f"{kills} kills, {events} events, {load.counts}, {load.statuses}, {load.slowest:.1f} s"
    )
    assert not [status for status in load.statuses if status and status >= 500]
