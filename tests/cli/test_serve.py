"""`bzz serve` as processes with real sockets: they serve, end in good order, and are kept."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pymongo
import pytest

from tests.support import Client, wait_until

ROOT = Path(__file__).parents[2]
APPLICATION = "tests.cli.served:application"


@pytest.fixture
def database(mongod_uri):
    """A new database, and a client of it that no application shares."""
    with pymongo.MongoClient(mongod_uri) as client:
        found = client[f"t{uuid.uuid4().hex}"]
        yield found
        client.drop_database(found.name)


class Served:
    """A server that runs: its process, its port, and what it has said."""

    def __init__(self, process, errors, gate, broken):
        self.process, self.errors = process, errors
        self.gate, self.broken = gate, broken
        self.banner = process.stdout.readline()
        assert self.banner, self.said()
        self.port = int(re.findall(r":(\d+)/", self.banner)[0])

    def said(self):
        return self.errors.read_text()

    def client(self):
        return closing(Client(self.port))

    def pid(self):
        """The process that answers a new connection."""
        with self.client() as client:
            return client.get("/process").json["pid"]

    def pids(self, count):
        """All processes that answer, once there are so many."""
        found = set()

        def look():
            found.add(self.pid())
            return len(found) == count

        wait_until(look)
        return found

    def end(self, number=signal.SIGTERM):
        """Tell it to end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def waits_for_the_gate(self):
        wait_until(self.gate.with_suffix(".reached").exists)


def start(folder, name, *arguments, uri, database="none", **options):
    told = {
        "MONGODB_URI": uri,
        "DATABASE": database,
        "PYTHONPATH": str(ROOT),
        "GATE": str(folder / "gate"),
        "BROKEN": str(folder / "broken"),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "bzz", "serve", name, "--port=0", *arguments],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def serving(database, mongod_uri, tmp_path):
    """Start a server, for the length of a block."""

    @contextmanager
    def serve(*arguments, name=APPLICATION, uri=mongod_uri):
        errors = tmp_path / "errors"
        with errors.open("w") as file:
            process = start(
                tmp_path, name, *arguments, uri=uri, database=database.name, stderr=file
            )
        try:
            yield Served(process, errors, tmp_path / "gate", tmp_path / "broken")
        finally:
            process.kill()  # and those below it end of that
            process.communicate()

    return serve


def is_alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def slow(served, client, pool):
    """A request that waits for the gate, once a process has it."""
    answer = pool.submit(client.post, "/note/", {"text": "slow"}, headers={"X-Slow": "1"})
    served.waits_for_the_gate()
    return answer


# One process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["application", "made", "made_later"])
def test_an_application_is_served_or_what_a_function_returns(serving, name):
    with serving(name=f"tests.cli.served:{name}") as served, served.client() as client:
        made = client.post("/note/", {"text": "a"})

        assert (201, '"1"') == (made.status, made.etag)
    assert f"Serving tests.cli.served:{name} at http://127.0.0.1:{served.port}/" in served.banner


@pytest.mark.parametrize("count", ["1", "2"])
def test_an_application_may_log_in_its_own_way(serving, monkeypatch, count):
    monkeypatch.setenv("LOGS", "mine:")
    with serving(f"--processes={count}") as served, served.client() as client:
        client.get("/note/")
        wait_until(lambda: "mine: 200 GET /note/ (127.0.0.1)" in served.said())

    assert "INFO 200 GET" not in served.said()


def test_requests_are_logged_as_tornado_does(serving):
    with serving() as served, served.client() as client:
        client.get("/note/")
        wait_until(lambda: "INFO 200 GET /note/ (127.0.0.1)" in served.said())


@pytest.mark.parametrize("arguments", [(), ("--processes=2",)], ids=["one", "two"])
def test_a_write_in_flight_is_answered_and_stored_when_the_server_is_told_to_end(
    serving, database, arguments
):
    with serving(*arguments) as served, served.client() as client, ThreadPoolExecutor() as pool:
        answer = slow(served, client, pool)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Ending" in served.said())
        served.gate.touch()
        told = answer.result(30)

        assert 0 == served.process.wait(30)
    assert (201, "close") == (told.status, told.headers["Connection"])
    assert 1 == database.note.count_documents({"text": "slow"})
    assert 1 == database.bzz_history.count_documents({})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_that_is_told_to_end_ends_with_0(serving, number):
    with serving() as served:
        served.pid()

        assert 0 == served.end(number)
    assert "Traceback" not in served.said()


def test_what_is_not_answered_within_the_grace_is_cut_off(serving, database):
    with serving("--grace=0.3") as served, served.client() as client, ThreadPoolExecutor() as pool:
        answer = slow(served, client, pool)

        assert 0 == served.end()
        with pytest.raises((HTTPException, OSError)):
            answer.result(30)
    assert "1 requests were cut off after 0.3 s" in served.said()


def test_a_second_signal_ends_it_at_once(serving):
    with serving("--grace=100") as served, served.client() as client, ThreadPoolExecutor() as pool:
        slow(served, client, pool)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Ending" in served.said())

        assert 1 == served.end()


def test_an_idle_connection_does_not_hold_up_the_end(serving):
    with serving("--grace=100") as served, served.client() as client:
        client.get("/process")

        assert 0 == served.end()


def test_a_live_stream_ends_cleanly(serving):
    with serving("--grace=100") as served:
        stream = HTTPConnection("127.0.0.1", served.port, timeout=30)
        stream.request("GET", "/history/?after=0", headers={"Accept": "text/event-stream"})
        answer = stream.getresponse()
        opening = answer.readline()

        assert 0 == served.end()
        rest = answer.read()  # raises for one that breaks off within a chunk
        stream.close()
    assert b"retry: 2000\n" == opening
    assert rest.startswith(b"id: 0-")


@pytest.mark.parametrize("count", ["1", "2"])
def test_no_connection_is_taken_any_more_while_it_ends(serving, count):
    with (
        serving("--grace=100", f"--processes={count}") as served,
        served.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        served.pids(int(count))
        answer = slow(served, client, pool)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: served.said().count("Ending") == int(count))
        with pytest.raises(ConnectionRefusedError):
            served.pid()
        served.gate.touch()

        assert 201 == answer.result(30).status


@pytest.mark.parametrize(
    ("arguments", "address"), [((), "127.0.0.1"), (("--xheaders",), "10.1.2.3")]
)
def test_the_address_that_a_proxy_tells_is_believed_if_asked_to(serving, arguments, address):
    with serving(*arguments) as served, served.client() as client:
        told = client.get("/process", headers={"X-Real-Ip": "10.1.2.3"})

    assert address == told.json["address"]


@pytest.mark.parametrize(("megabytes", "status"), [(1, 400), (2, 200)])
def test_larger_bodies_are_not_read(serving, megabytes, status):
    with serving(f"--max-body={megabytes}") as served, served.client() as client:
        try:
            told = client.post("/process", body=b"a" * (1024 * 1024 + 1)).status
        except OSError:  # it closes the connection, which the client may find before the answer
            told = 400

    assert status == told


def test_without_a_database_it_serves_and_says_so(serving):
    with serving(uri="mongodb://127.0.0.1:9/") as served, served.client() as client:
        assert 503 == client.get("/note/").status
    assert "The database does not answer" in served.said()


# Several ---------------------------------------------------------------------------------------


def test_several_processes_answer(serving):
    with serving("--processes=2") as served:
        assert served.process.pid not in served.pids(2)
    assert served.banner.endswith("/ in 2 processes, until Ctrl-C\n")


def test_0_is_one_process_a_core(serving):
    with serving("--processes=0") as served:
        count = len(os.sched_getaffinity(0))
        assert (f"in {count} processes" in served.banner) == (count > 1)


def test_a_process_that_was_killed_is_started_again(serving):
    with serving("--processes=2") as served:
        killed, other = served.pids(2)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: served.pid() not in (killed, other), 40)

        assert f"Process {killed} has ended by SIGKILL" in served.said()
        assert 0 == served.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_processes_end_with_the_one_that_keeps_them(serving, number):
    with serving("--processes=2") as served:
        pids = served.pids(2)

        assert 0 == served.end(number)
        assert [] == [each for each in pids if is_alive(each)]


def test_processes_whose_keeper_was_killed_end(serving):
    with serving("--processes=2") as served:
        pids = served.pids(2)
        served.process.kill()
        wait_until(lambda: not any(map(is_alive, pids)))


def test_a_second_signal_kills_the_processes(serving):
    with (
        serving("--processes=2", "--grace=100") as served,
        served.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        slow(served, client, pool)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Ending" in served.said())

        assert 1 == served.end()
    assert "Ending at once" in served.said()


def test_sighup_starts_all_anew_without_a_refused_connection(serving):
    with serving("--processes=2") as served:
        before, after, wrong = served.pids(2), set(), []
        over = threading.Event()

        def ask():
            while not over.is_set():
                try:
                    after.add(served.pid())
                except (HTTPException, OSError) as error:
                    wrong.append(error)

        with ThreadPoolExecutor() as pool:
            for _ in range(2):
                pool.submit(ask)
            served.process.send_signal(signal.SIGHUP)
            try:
                wait_until(lambda: "All processes were started anew" in served.said(), 60)
                wait_until(lambda: not any(map(is_alive, before)), 60)
            finally:
                over.set()
        assert [] == wrong
        assert 2 == len(served.pids(2) - before)
        assert 0 == served.end()


def test_a_request_in_flight_is_answered_by_the_process_that_leaves(serving):
    with (
        serving("--processes=2", "--grace=100") as served,
        served.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        answer = slow(served, client, pool)
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "All processes were started anew" in served.said(), 60)
        served.gate.touch()

        assert 201 == answer.result(30).status


def test_a_signal_to_all_processes_at_once_is_one(serving):
    with (
        serving("--processes=2", "--grace=100") as served,
        served.client() as client,
        ThreadPoolExecutor() as pool,
    ):
        pids = served.pids(2)
        answer = slow(served, client, pool)
        for each in (*pids, served.process.pid):  # as systemd does
            os.kill(each, signal.SIGTERM)
        wait_until(lambda: served.said().count("Ending") == 2)
        served.gate.touch()

        assert 201 == answer.result(30).status
        assert 0 == served.process.wait(30)


def test_where_nothing_new_can_be_started_the_old_processes_go_on(serving):
    with serving("--processes=2") as served:
        before = served.pids(2)
        served.broken.touch()
        served.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old ones go on" in served.said(), 40)

        assert before == served.pids(2)
        assert 0 == served.end()
    assert "RuntimeError: It is broken." in served.said()


def test_when_no_process_can_be_started_any_more_it_ends_with_1(serving):
    with serving("--processes=2") as served:
        pids = served.pids(2)
        served.broken.touch()
        for each in pids:
            os.kill(each, signal.SIGKILL)

        assert 1 == served.process.wait(60)
    assert "No process can be started any more" in served.said()


# What cannot be served ---------------------------------------------------------------------------


def refused(folder, name, *arguments, uri="mongodb://127.0.0.1:9/"):
    """The exit code of a server that does not start, and what it says."""
    process = start(folder, name, *arguments, uri=uri, stderr=subprocess.STDOUT)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize("arguments", [(), ("--processes=2",)], ids=["one", "two"])
def test_an_application_that_fails_at_import_shows_its_error_once(tmp_path, arguments):
    (tmp_path / "broken").touch()

    code, said = refused(tmp_path, APPLICATION, *arguments)

    assert 1 == code
    assert 1 == said.count("RuntimeError: It is broken.")


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_taken_port_is_one_sentence(tmp_path, count):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(tmp_path, APPLICATION, f"--port={port}", f"--processes={count}")

    assert 1 == code
    assert (
        f"Error: Port {port} on 127.0.0.1 cannot be had (Address already in use); stop what "
        "listens there, or choose others with --port and --address.\n" == said
    )


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("served", 2, "'served' is not of the form module:attribute"),
        ("tests.cli.none:application", 2, "There is no module 'tests.cli.none'"),
        ("tests.cli.served:none", 2, "tests.cli.served has no 'none'"),
        ("tests.cli.served:unlike", 1, "'a text' is no tornado.web.Application, and no function"),
    ],
)
@pytest.mark.parametrize("count", ["1", "2"])
def test_what_is_no_application_is_one_sentence(tmp_path, name, code, message, count):
    told, said = refused(tmp_path, name, f"--processes={count}")

    assert code == told
    assert message in said
    assert "Traceback" not in said


def test_an_address_of_somebody_else_is_one_sentence(tmp_path):
    code, said = refused(tmp_path, APPLICATION, "--address=192.0.2.1")

    assert 1 == code
    assert said.startswith("Error: Port 0 on 192.0.2.1 cannot be had (")
