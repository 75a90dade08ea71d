"""The embedded database: what starts, what stays, what never stays, and each sentence it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymongo
import pytest

from bzz import embedded
from bzz.embedded import EmbeddedError

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"

KEEPS_RUNNING = """
import os, signal, sys, time
from bzz import embedded

with embedded.mongod(*sys.argv[1:]) as running:
    print(running.pid, running._process.pid, running.folder, flush=True)
    {then}
"""


def wait_until(condition: Callable[[], Any], what: str, patience: float = 30) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"It did not come to pass: {what}.")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it ended just now, or there is no /proc
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] != "Z"


def gone(*pids: int) -> None:
    for pid in pids:
        wait_until(lambda pid=pid: not is_alive(pid), f"process {pid} ends")


def sentence(**options: Any) -> str:
    """What starting a database with these options is refused with."""
    with pytest.raises(EmbeddedError) as caught, embedded.mongod(**options):
        pass
    return str(caught.value)


def failure_of(running: embedded.Mongod) -> str:
    wait_until(running.failure, "mongod ends")
    return str(running.failure())


@contextmanager
def client(uri: str) -> Iterator[Any]:
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=5000) as made:
        yield made


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Make an executable file of some content."""

    def make(content: str, *, mode: int = stat.S_IRWXU) -> Path:
        file = tmp_path / "program"
        file.write_text(content)
        file.chmod(mode)
        return file

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of some size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only who may mount a file system can fill a small one")
        return place

    yield mount
    subprocess.run(["umount", "-l", str(place)], capture_output=True)


# Which database ---------------------------------------------------------------------------


def test_the_database_that_mongodb_uri_names_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("MONGODB_URI", "mongodb://elsewhere/")

    with embedded.database(tmp_path / "data") as uri:
        assert "mongodb://elsewhere/" == uri
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_without_mongodb_uri_one_is_started(value, monkeypatch):
    monkeypatch.delenv("MONGODB_URI", raising=False)
    if value is not None:
        monkeypatch.setenv("MONGODB_URI", value)
    monkeypatch.setattr(embedded, "mongod", lambda folder: nullcontext(SimpleNamespace(uri=folder)))

    with embedded.database("data") as uri:
        assert "data" == uri


def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)


def test_the_mongod_of_the_package_comes_before_that_of_the_path(tmp_path, monkeypatch, program):
    monkeypatch.setenv("PATH", str(program("#!/bin/sh\n").rename(tmp_path / "mongod").parent))
    package = embedded.find_spec("fiftyone")
    if package is None:
        pytest.skip("the package has no mongod for this platform")

    found = embedded.find_mongod()

    assert Path(package.submodule_search_locations[0]) / "db" / "bin" / "mongod" == found


def test_without_the_package_the_mongod_of_the_path_is_taken(tmp_path, monkeypatch, program):
    monkeypatch.setenv("PATH", str(program("#!/bin/sh\n").rename(tmp_path / "mongod").parent))
    no_package(monkeypatch)

    assert tmp_path / "mongod" == embedded.find_mongod()


def test_without_any_mongod_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    no_package(monkeypatch)

    assert (
        "There is no MongoDB to start: name a replica set in MONGODB_URI, put mongod on the PATH, "
        "or (on x86-64 Linux) run: pip install 'bzz[embedded]'." == sentence()
    )


# What runs --------------------------------------------------------------------------------


def test_it_is_a_replica_set_of_one_node_on_loopback(mongod):
    with client(mongod.uri) as found:
        hello = found.admin.command("hello")
        options = found.admin.command("getCmdLineOpts")["parsed"]

    assert [f"{HOST}:{mongod.port}"] == hello["hosts"]
    assert HOST == options["net"]["bindIp"]


def test_parameters_reach_the_server(mongod):
    with client(mongod.uri) as found:
        assert found.admin.command("getParameter", enableTestCommands=1)["enableTestCommands"]


def test_a_database_that_runs_has_not_failed(mongod):
    assert mongod.failure() is None


def test_data_survives_a_restart_on_another_port(tmp_path):
    with embedded.database(tmp_path) as first, client(first) as found:
        found.shop.orders.insert_one({"_id": 1})
    with embedded.database(tmp_path) as second, client(second) as found:
        kept = found.shop.orders.find_one()

    assert first != second
    assert {"_id": 1} == kept


def test_a_port_can_be_chosen(tmp_path):
    port = free_port()

    with embedded.mongod(port=port) as running:
        assert port == running.port


def test_a_folder_is_made_with_its_parents_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with embedded.mongod("a/b") as running:
        monkeypatch.chdir("/")
        assert tmp_path / "a" / "b" == running.folder
        assert is_alive(running.pid)


# What does not stay -----------------------------------------------------------------------


def test_a_database_without_a_folder_leaves_nothing():
    with embedded.mongod() as running:
        folder, pid = running.folder, running.pid
        assert folder.exists()

    assert not folder.exists()
    assert not is_alive(pid)


def test_a_database_that_could_not_start_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    sentence(binary="/bin/false")

    assert [] == list(tmp_path.iterdir())


def test_stopping_twice_is_stopping_once():
    with embedded.mongod() as running:
        running.stop()
        assert running.failure() is None


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int, int, Path]]]:
    """Start a program that holds a database: it, mongod's and the keeper's ids, the folder."""
    started: list[subprocess.Popen[str]] = []

    def start(*folder: str, then: str = "time.sleep(600)") -> Any:
        file = tmp_path / "parent.py"
        file.write_text(KEEPS_RUNNING.replace("{then}", textwrap.indent(then, "    ").strip()))
        process = subprocess.Popen(
            [sys.executable, str(file), *folder],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        line = process.stdout.readline() if process.stdout else ""
        mongod, keeper, place = line.split()
        return process, int(mongod), int(keeper), Path(place)

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with its forks
        process.communicate()


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGINT"])
def test_a_database_ends_with_its_parent(number, parent):
    process, mongod, keeper, folder = parent()

    process.send_signal(signal.Signals[number])

    gone(process.pid, mongod, keeper)
    wait_until(lambda: not folder.exists(), "the folder is removed")


def test_a_fork_of_the_parent_does_not_keep_its_database_alive(parent):
    process, mongod, keeper, _ = parent(then="os.fork()\ntime.sleep(600)")

    process.kill()

    gone(mongod, keeper)


def test_a_fork_of_the_parent_does_not_keep_its_database_from_ending(parent):
    _, mongod, keeper, _ = parent(then="if not os.fork(): time.sleep(600)")

    gone(mongod, keeper)


def test_a_database_ends_with_its_keeper(parent):
    _, mongod, keeper, _ = parent()

    os.kill(keeper, signal.SIGKILL)

    gone(mongod)


def test_ctrl_c_reaches_the_parent_alone(mongod):
    groups = {os.getpgid(mongod.pid), os.getpgid(mongod._process.pid)}

    assert os.getpgid(0) not in groups


# What goes wrong --------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server((HOST, 0)) as listening:
        yield int(listening.getsockname()[1])


def test_a_taken_port_is_named(taken):
    assert (
        f"Port {taken} on 127.0.0.1 is taken; stop what listens there, or choose another."
        == sentence(port=taken)
    )


def test_the_database_of_somebody_else_is_never_taken_for_ones_own(mongod):
    assert (
        f"Port {mongod.port} on 127.0.0.1 is taken; stop what listens there, or choose another."
        == sentence(folder=mongod.folder, port=mongod.port)
    )


def test_a_port_that_is_taken_in_the_meantime_is_left_for_another(mongod, monkeypatch):
    ports = iter([mongod.port, free_port()])
    monkeypatch.setattr(embedded, "_free_port", lambda: next(ports))

    with embedded.mongod() as running, client(running.uri) as found:
        options = found.admin.command("getCmdLineOpts")["parsed"]

    assert mongod.port != running.port
    assert str(running.folder) == options["storage"]["dbPath"]


def test_ports_that_are_always_taken_are_given_up(mongod, monkeypatch):
    monkeypatch.setattr(embedded, "_free_port", lambda: mongod.port)

    assert (
        f"Port {mongod.port} on 127.0.0.1 is taken; stop what listens there, or choose another."
        == sentence()
    )


def test_a_folder_in_use_is_named(mongod):
    assert (
        f"The folder {mongod.folder} is in use by another mongod; stop it, or name another folder."
        == sentence(folder=mongod.folder)
    )


def test_a_stale_lock_is_no_hindrance(tmp_path):
    with embedded.mongod(tmp_path) as first, client(first.uri) as found:
        found.shop.orders.with_options(
            write_concern=pymongo.WriteConcern("majority", j=True)
        ).insert_one({"_id": 1})
        found.close()
        os.kill(first.pid, signal.SIGKILL)
        failure_of(first)
    assert (tmp_path / "mongod.lock").read_text().strip()

    with embedded.mongod(tmp_path) as second, client(second.uri) as found:
        assert {"_id": 1} == found.shop.orders.find_one()


@pytest.mark.parametrize(
    ("below", "why"),
    [
        pytest.param("", "File exists", id="a file"),
        pytest.param("/data", "Not a directory", id="below a file"),
    ],
)
def test_a_folder_that_cannot_be_made_is_named(below, why, tmp_path):
    (tmp_path / "file").touch()
    folder = f"{tmp_path / 'file'}{below}"

    assert f"The folder {folder} cannot hold a database: {why}. Name another." == sentence(
        folder=folder
    )


def test_a_folder_that_cannot_be_written_is_named(small_disk):
    folder = small_disk("ro")

    assert (
        f"The folder {folder} cannot hold a database: Read-only file system. Name another."
        == sentence(folder=folder)
    )


def test_a_missing_temporary_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    assert (
        f"The folder {tmp_path / 'none'} cannot hold a database: No such file or directory. "
        "Name another." == sentence()
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param("size=64k", id="no room for data"),
        pytest.param("size=4m,nr_inodes=2", id="no room for a file"),
    ],
)
def test_a_full_disk_is_named(options, small_disk):
    folder = small_disk(options) / "data"

    assert f"The disk that holds {folder} is full; make room, and start again." == sentence(
        folder=folder
    )


@pytest.mark.parametrize(
    "logged",
    [
        pytest.param('\'\\n{"ctx":1,"error":"No space left on device"}\\n\'', id="mongod says so"),
        pytest.param('\'\\n{"ctx":1,"error":"Disk quota exceeded"}\\n\'', id="a quota"),
        pytest.param('\'\\n{"ctx":1,"err\'', id="the log breaks off"),
    ],
)
def test_a_full_disk_is_known_by_the_log(logged, program, tmp_path):
    binary = program(f"#!/bin/sh\nprintf {logged}\nkill -ABRT $$\n")

    assert f"The disk that holds {tmp_path} is full; make room, and start again." == sentence(
        folder=tmp_path, binary=binary
    )


def test_a_mongod_that_is_not_there_is_named(tmp_path):
    binary = tmp_path / "none"

    assert (
        f"{binary} does not run as a mongod here: {binary}: No such file or directory"
        == sentence(binary=binary)
    )


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        pytest.param("", 0o600, "{}: Permission denied", id="not executable"),
        pytest.param("hello", 0o700, "{}: Exec format error", id="no program"),
        pytest.param("#!/bin/sh\necho Hello\n", 0o700, "Hello", id="another program"),
        pytest.param(
            "#!/bin/sh\nexit 3\n", 0o700, "it ended with code 3 and said nothing.", id="silent"
        ),
        pytest.param(
            "#!/bin/sh\nkill -ILL $$\n",
            0o700,
            "it needs instructions that this processor does not have.",
            id="of another processor",
        ),
    ],
)
def test_a_program_that_is_no_mongod_is_named(content, mode, why, program):
    binary = program(content, mode=mode)

    assert f"{binary} does not run as a mongod here: {why.format(binary)}" == sentence(
        binary=binary
    )


def test_an_unknown_parameter_is_named():
    assert (
        "mongod ended with code 1 (Error during global initialization: "
        "Unknown --setParameter 'nonsense')." == sentence(parameters={"nonsense": 1})
    )


def test_what_has_no_sentence_of_its_own_names_the_log(tmp_path):
    said = sentence(folder=tmp_path, parameters={"nonsense": 1})

    assert said.endswith(f"'nonsense'); its log is {tmp_path / 'mongod.log'}.")


def test_a_mongod_that_is_never_ready_is_given_up(tmp_path, monkeypatch, program):
    monkeypatch.setattr(embedded, "_PATIENCE", 0.2)
    binary = program("#!/bin/sh\nexec sleep 600\n")

    assert (
        f"mongod did not get ready within 0.2 s; its log is {tmp_path / 'data' / 'mongod.log'}."
        == sentence(folder=tmp_path / "data", binary=binary)
    )


KILLED = "mongod was killed (SIGKILL), by somebody or for want of memory; start it again."
SHUT_DOWN = "mongod was shut down by somebody else; start it again."


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(signal.SIGKILL, KILLED, id="SIGKILL"),
        pytest.param(signal.SIGTERM, SHUT_DOWN, id="SIGTERM"),
    ],
)
def test_failure_says_how_mongod_was_ended(number, expected):
    with embedded.mongod() as running:
        os.kill(running.pid, number)

        assert expected == failure_of(running)


def test_failure_says_that_mongod_was_killed_with_its_keeper():
    with embedded.mongod() as running:
        running._process.kill()

        assert KILLED == failure_of(running)


def test_failure_is_not_mistaken_for_that_of_another_start(tmp_path):
    with embedded.mongod(tmp_path) as running:
        sentence(folder=tmp_path)  # it speaks into the same log
        os.kill(running.pid, signal.SIGKILL)

        assert KILLED == failure_of(running)


def test_failure_of_a_crash_says_what_the_log_says_last():
    with embedded.mongod() as running:
        os.kill(running.pid, signal.SIGSEGV)

        assert re.fullmatch(r"mongod ended with code 139 \(.+\)\.", failure_of(running))


def test_what_a_log_says_in_many_lines_is_one_sentence():
    line = {"s": "F", "ctx": "main", "msg": "Error collecting:\nout of memory\n"}

    assert "Error collecting: out of memory" == embedded._last_error(json.dumps(line))
