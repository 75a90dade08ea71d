"""The example applications as their users start them: processes of their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo

from tests.support import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def new_database(uri: str) -> Iterator[str]:
    """The URI of a database of its own, for the length of a block."""
    name = f"t{uuid.uuid4().hex}"
    yield uri.replace("/?", f"/{name}?")
    with pymongo.MongoClient(uri) as client:
        client.drop_database(name)


@contextmanager
def started(*arguments: object, folder: Path, **environment: object) -> Iterator[subprocess.Popen]:
    """A Python program in a folder; killed at the end of the block if it still runs."""
    told = {"PYTHONPATH": str(ROOT), **{name: str(each) for name, each in environment.items()}}
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Wait until a program listens; fails with what it said when it ends before."""

    def listens() -> bool:
        assert process.poll() is None, process.communicate()[1]
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, 60)
