"""Workers as processes: they start, end when told, take over, and do nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from mongoengine import Document, IntField, StringField

from bzz.audit import Auditor
from bzz.cli.main import bzz
from tests.house import own_receivers, own_registry
from tests.support import wait_until

ROOT = Path(__file__).parents[2]
APPLICATION = "tests.audit.subscriber:auditor"


@pytest.fixture
def pages(database):
    """The model of the application's pages, and an auditor that only writes."""
    with own_registry(), own_receivers():

        class Page(Document):
            name = StringField()
            number = IntField()

        auditor = Auditor(work=False)
        auditor.track(Page)
        auditor.prepare()

        def make(count):
            for number in range(count):
                auditor.write(lambda number=number: Page(name=f"p{number}").save())
                if number % 2:
                    page = Page.objects.first()
                    auditor.write(lambda page=page, number=number: page.update(number=number))

        auditor.make = make
        yield auditor
        auditor.close()


@contextmanager
def worker(database, uri, *arguments, name=APPLICATION, **environment):
    """A worker in a process of its own; without a name the environment has it."""
    told = {"MONGODB_URI": uri, "DATABASE": database.name, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "bzz", "worker", *([name] if name else []), *arguments],
        env={**os.environ, **told, **{key: str(value) for key, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def at(database, name="index"):
    found = database.bzz_subscriptions.find_one({"_id": name})
    return 0 if found is None else found["p"]


def effects(database):
    """What the consumer has written: each event once, in the order of each stream."""
    found = list(database.effects.find())
    assert len(found) == len({each["event"] for each in found})
    order = {}
    for each in sorted(found, key=lambda each: each["position"]):
        stored = database.bzz_history.find_one({"_id": each["event"]})
        assert each["after"] == order.get(stored["d"], 0) == stored["v"] - 1
        order[stored["d"]] = stored["v"]
    return len(found)


def test_a_worker_gives_positions_and_runs_all_subscriptions(database, mongod_uri, pages):
    pages.make(4)
    with worker(database, mongod_uri) as process:
        wait_until(lambda: at(database) == at(database, "other") == 6, 30)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)

    assert 6 == effects(database) == database.others.count_documents({})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_end_gives_its_lease_up(database, mongod_uri, pages, number):
    pages.make(1)
    with worker(database, mongod_uri) as process:
        wait_until(lambda: at(database) == 1, 30)
        process.send_signal(number)
        _, log = process.communicate(timeout=20)

    lease = database.bzz_subscriptions.find_one({"_id": "index:lease"})
    assert 0 == process.returncode
    assert "At work: index, other" in log
    assert lease["session"] is None


def test_a_worker_may_run_some_of_them(database, mongod_uri, pages):
    pages.make(1)
    with worker(database, mongod_uri, "--only", "other"):
        wait_until(lambda: at(database, "other") == 1, 30)

    assert 0 == at(database)


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        pytest.param([], {"BZZ_APP": APPLICATION}, id="environment"),
        pytest.param(["--app", APPLICATION], {"BZZ_APP": "no_such:auditor"}, id="option"),
    ],
)
def test_a_worker_may_be_told_its_auditor_as_other_commands_are(
    database, mongod_uri, pages, arguments, environment
):
    pages.make(1)
    with worker(database, mongod_uri, *arguments, name=None, **environment):
        wait_until(lambda: at(database) == 1, 30)


def test_at_the_end_the_event_in_work_is_taken_back(database, mongod_uri, pages):
    pages.make(2)
    with worker(database, mongod_uri, "--grace", "0.2", HANG_AT=2) as process:
        assert "hanging\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(20)

    assert 1 == at(database) == effects(database)


def test_another_takes_over_from_one_that_was_killed_at_work(database, mongod_uri, pages):
    pages.make(10)
    with worker(database, mongod_uri, "--only", "index", HANG_AT=3) as first:
        assert "hanging\n" == first.stdout.readline()
        with worker(database, mongod_uri, "--only", "index"):
            first.send_signal(signal.SIGKILL)
            begun = time.monotonic()
            wait_until(lambda: at(database) == 15, 40)

    assert time.monotonic() - begun < 30  # the server alone would take a minute
    assert 15 == effects(database)


def killed_again_and_again(database, uri, total, *, times):
    """Two workers that kill themselves, each started anew, until they may no more."""
    deaths, until = 0, time.monotonic() + 300
    with ExitStack() as running:

        def start():
            crashes = 5 if deaths < times else 0
            return running.enter_context(worker(database, uri, CRASHES=crashes))

        processes = [start(), start()]
        while at(database) < total:
            assert time.monotonic() < until
            for place, each in enumerate(processes):
                if each.poll() is not None:
                    assert -signal.SIGKILL == each.returncode
                    deaths += 1
                    processes[place] = start()
            time.sleep(0.02)
    return deaths


@pytest.mark.parametrize(
    ("count", "times"),
    [
        pytest.param(60, 2, id="short"),
        pytest.param(600, 25, id="long", marks=pytest.mark.soak),
    ],
)
def test_workers_that_kill_themselves_do_nothing_twice(database, mongod_uri, pages, count, times):
    pages.make(count)
    total = count + count // 2
    deaths = killed_again_and_again(database, mongod_uri, total, times=times)

    assert deaths
    assert total == effects(database)


# Arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        pytest.param(["app"], 2, "'app' is not of the form module:attribute", id="form"),
        pytest.param(["no_such:auditor"], 2, "There is no module 'no_such'", id="module"),
        pytest.param(["tests.audit.subscribers:x"], 2, "has no 'x'", id="attribute"),
        pytest.param(["tests.audit.truths:__name__"], 2, "is no Auditor", id="auditor"),
        pytest.param([], 2, "Which application? Say --app module:auditor", id="nothing"),
    ],
)
def test_wrong_arguments_end_it_with_2(arguments, status, message):
    result = CliRunner().invoke(bzz, ["worker", *arguments])

    assert status == result.exit_code
    assert message in result.output


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        pytest.param("made", ["--only", "x"], "no subscription 'x'; there are: index", id="name"),
        pytest.param("nothing", [], "The auditor has no subscriptions", id="none"),
    ],
)
def test_a_worker_that_cannot_work_ends_with_1(database, mongod_uri, name, arguments, message):
    with worker(database, mongod_uri, *arguments, name=f"tests.audit.subscriber:{name}") as process:
        _, log = process.communicate(timeout=30)

    assert 1 == process.returncode
    assert message in log


def test_the_command_line_tells_its_version():
    result = CliRunner().invoke(bzz, ["--version"])

    assert 0 == result.exit_code
    assert "bzz, version" in result.output
