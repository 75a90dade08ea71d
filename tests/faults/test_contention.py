"""Many writers of the same documents: threads, processes, and clients that died with a lock."""

from __future__ import annotations

import itertools
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.faults.lists import check_lists
from tests.faults.load import Load, in_parallel
from tests.faults.worlds import ROOT, SOAK_SECONDS, Program, begin, figures, lists, ports_of
from tests.support import wait_until

PATCHES = {"patch": 1}


@pytest.fixture(scope="module")
def world(own_mongod):
    with lists(own_mongod.uri) as world:
        yield world


@pytest.fixture(scope="module")
def program(world) -> Iterator[Program]:
    with Program(world) as program:
        yield program


def run_load(world: Any, programs: list[Program], writes: int, **options: Any) -> Load:
    with Load(lambda: ports_of(programs), world.ids, **options) as load:
        wait_until(load.more(writes), 2 * SOAK_SECONDS)
        load.stop()
    check_lists(world, load.notes)
    took = max(note.ended for note in load.notes) - min(note.begun for note in load.notes)
    figures.info(f"{load.acknowledged / took:.0f}/s, {load.statuses}, slowest {load.slowest:.2f} s")
    return load


def long(*values: Any, id: str) -> Any:
    return pytest.param(*values, id=id, marks=pytest.mark.soak)


@pytest.mark.parametrize(
    ("writers", "writes"), [pytest.param(16, 200, id="16"), long(64, 2000, id="64")]
)
def test_writers_of_one_document_all_succeed(world, program, writers, writes):
    begin(world, 1)

    load = run_load(world, [program], writes, clients=writers, mix=PATCHES)

    assert {200} == set(load.statuses)


@pytest.mark.parametrize(
    ("processes", "writes"), [pytest.param(2, 150, id="2"), long(4, 6000, id="4")]
)
def test_processes_that_write_the_same_documents_agree(world, processes, writes):
    begin(world, 200)
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(world)) for _ in range(processes)]

        load = run_load(world, programs, writes, clients=16)

    assert set(load.statuses) <= {200, 201, 409, 412}


@pytest.mark.parametrize(
    ("processes", "writes"), [pytest.param(2, 60, id="2"), long(4, 600, id="4")]
)
def test_processes_that_write_one_document_agree(world, processes, writes):
    begin(world, 1)
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(world)) for _ in range(processes)]

        load = run_load(world, programs, writes, clients=16, mix=PATCHES)

    assert {200} == set(load.statuses)


@pytest.mark.parametrize("writes", [pytest.param(200, id="short"), long(4000, id="long")])
def test_clients_that_clash_are_refused_and_the_others_are_not(world, program, writes):
    begin(world, 20)

    load = run_load(world, [program], writes, clients=16, mix={"patch": 9, "clash": 1})

    clashes = {note.status for note in load.notes if note.kind == "clash"}
    assert ({409}, {200, 409}) == (clashes, set(load.statuses))


@pytest.mark.parametrize("rounds", [pytest.param(5, id="short"), long(300, id="long")])
@pytest.mark.parametrize("processes", [1, 2])
def test_of_16_that_saw_one_version_exactly_one_wins(world, program, rounds, processes):
    begin(world, 1)
    path, winners = f"/page/{world.ids[0]}/", []
    with ExitStack() as stack:
        programs = [program]
        programs += [stack.enter_context(Program(world)) for _ in range(processes - 1)]
        clients = [each.client() for each, _ in itertools.product(programs, range(16 // processes))]

        def put(client: Any, tag: str, number: int) -> int:
            body, headers = {"log": [f"{tag} {number}"]}, {"If-Match": tag}
            return client.put(path, body, headers=headers).status

        for _ in range(rounds):
            tag = clients[0].get(path).etag
            jobs = [lambda c=c, n=n: put(c, tag, n) for n, c in enumerate(clients)]
            with in_parallel(*jobs) as statuses:
                pass
            winners.append(sorted(statuses))
        for each in clients:
            each.close()

    assert [[200] + [412] * 15] * rounds == winners


# A dead client's lock ---------------------------------------------------------------------------

HOLDER = """
import sys, pymongo
from bson import ObjectId
uri, database, document = sys.argv[1:]
client = pymongo.MongoClient(uri)
session = client.start_session()
pages = client[database]["page"]
for attempt in range(10_000):  # the document is written by others at the same time
    session.start_transaction()
    try:
        pages.update_one({"_id": ObjectId(document)}, {"$set": {"name": "held"}}, session=session)
        break
    except pymongo.errors.OperationFailure:
        session.abort_transaction()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_a_dead_client(world: Any, document: str) -> Iterator[None]:
    """A client is killed inside a transaction that has written a document."""
    command = [sys.executable, "-c", HOLDER, world.uri, world.database, document]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert b"held\n" == process.stdout.readline()  # type: ignore[union-attr]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        yield


def median(notes: list[Any], documents: set[str]) -> float:
    return statistics.median(note.seconds for note in notes if note.document in documents)


def test_a_document_that_a_dead_client_holds_does_not_hold_up_the_others(world, program):
    """Compared in one run, again if the machine had other things to do."""
    ratios = []
    while len(ratios) < 3 and (not ratios or ratios[-1] > 2):
        begin(world, 16)
        held, others = world.ids[0], set(world.ids[1:])
        with Load(lambda: [program.port], world.ids, clients=8, mix=PATCHES) as load:
            wait_until(load.more(100))
            before = list(load.notes)
            with held_by_a_dead_client(world, held):
                begun = len(load.notes)
                wait_until(lambda: count_since(load, begun, others) >= 200, 30)
            during = load.notes[begun:]
            load.stop()
        check_lists(world, load.notes)
        assert {200} == {note.status for note in load.notes if note.document in others}
        ratios.append(median(during, others) / median(before, others))

    figures.info(f"held {ratios}")
    assert ratios[-1] <= 2


def count_since(load: Load, begun: int, documents: set[str]) -> int:
    return sum(note.document in documents for note in load.notes[begun:])
