"""What tests of faults stand on: a database with lists in it, and servers of it."""

from __future__ import annotations

import copy
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mongoengine
from bson import ObjectId

from tests.faults.program import define
from tests.house import new_database, own_receivers, own_registry
from tests.support import Client

ROOT = Path(__file__).parents[2]

figures = logging.getLogger("tests.faults")
"""What the long forms came to: `make soak` with `--log-cli-level=INFO` shows it."""

SOAK_SECONDS = 60.0
"""How long the long form of a test puts its load on."""


@contextmanager
def lists(uri: str, number: int = 4, **options: Any) -> Iterator[SimpleNamespace]:
    """A new database with some empty lists.

    Has the model, its auditor and routes as `define` made them; `uri` and `database` to start
    programs with, and `ids` of the lists.
    """
    connection = options.pop("connection", {})
    with new_database(uri) as name, own_registry(), own_receivers():
        client = mongoengine.connect(name, host=uri, uuidRepresentation="standard", **connection)
        world = define(**options)
        world.auditor.prepare()
        world.client, world.uri, world.database = client, uri, name
        begin(world, number)
        yield world


def begin(world: Any, number: int = 4) -> None:
    """Take all documents and histories away, and make new lists; `world.ids` names them."""
    for name in (world.Page._get_collection_name(), "bzz_history"):
        world.client[world.database][name].delete_many({})
    world.ids = [str(ObjectId()) for _ in range(number)]
    pages = [world.Page(id=each, name=f"list {each}") for each in world.ids]
    world.auditor.write(lambda: [copy.deepcopy(page).save() for page in pages])


class Program:
    """A running `tests.faults.program`, for the length of a `with` block.

    Attributes
    ----------
    port: where it listens.
    """

    def __init__(
        self, world: Any, *, kill: str | None = None, at: int = 1, deadline: float = 10
    ) -> None:
        command = [sys.executable, "-m", "tests.faults.program"]
        command += ["--uri", world.uri, "--database", world.database, "--deadline", str(deadline)]
        if kill is not None:
            command += ["--kill", kill, "--at", str(at)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )
        self.port = 0

    def __enter__(self) -> Program:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        assert line, f"The program did not start: {self.log}"
        self.port = int(line)
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            sys.stdout.write(self.log[-10_000:])  # pytest shows it with the failure
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()  # type: ignore[union-attr]
            self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def was_killed(self) -> bool:
        return self._process.poll() == -signal.SIGKILL

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def client(self, timeout: float = 60) -> Client:
        return Client(self.port, timeout)


def ports_of(programs: Sequence[Program]) -> list[int]:
    """Where those listen that are alive."""
    return [each.port for each in programs if each.port and not each.is_dead]
