"""Three mongods as a replica set, whose members can be killed, frozen and told to step down."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from bzz import embedded, keeper
from tests.support import wait_until

NAME = "faults"
ELECTION_MS = 2000
"""After which the others miss a primary that is silent."""


class Node:
    """One member of the set."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.host = f"127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on its folder; it takes its place in the set by itself."""
        command = [str(embedded.find_mongod()), "--dbpath", str(self.folder)]
        command += ["--port", str(self.port), "--bind_ip", "127.0.0.1", "--replSet", NAME]
        command += ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "100"]
        command += ["--setParameter", "transactionLifetimeLimitSeconds=3"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, "0", "", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self._signal(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in any state."""
        if self._process is not None and self._process.poll() is None:
            self._process.stdin.close()  # type: ignore[union-attr]
            self._wait()

    def command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command of its admin database; None when it does not answer."""
        uri = f"mongodb://{self.host}/?directConnection=true&timeoutMS=1000"
        with suppress(PyMongoError), pymongo.MongoClient[Any](uri) as client:
            return client.admin.command(*args, **kwargs)
        return None

    @property
    def is_primary(self) -> bool:
        return bool((self.command("hello") or {}).get("isWritablePrimary"))

    def _signal(self, number: int) -> None:
        os.kill(int((self.folder / "mongod.lock").read_text()), number)

    def _wait(self) -> None:
        process = self._process
        if process is not None:
            process.wait(30)
            process.stdin.close()  # type: ignore[union-attr]


class ReplicaSet:
    """Three nodes on loopback.

    Attributes
    ----------
    uri: to connect with.
    """

    def __init__(self, folder: Path) -> None:
        self.nodes = [Node(folder / str(n), embedded._free_port()) for n in range(3)]
        hosts = ",".join(node.host for node in self.nodes)
        self.uri = f"mongodb://{hosts}/?replicaSet={NAME}&heartbeatFrequencyMS=500"

    def start(self) -> None:
        for node in self.nodes:
            node.folder.mkdir()
            node.start()
        wait_until(lambda: all(node.command("ping") for node in self.nodes), 60)
        members = [{"_id": n, "host": node.host} for n, node in enumerate(self.nodes)]
        settings = {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": 500}
        config = {"_id": NAME, "members": members, "settings": settings}
        self.nodes[0].command("replSetInitiate", config)
        self.wait()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def wait(self) -> None:
        """Wait until there is a primary, and two that follow it."""
        wait_until(self._is_whole, 60)

    @property
    def primary(self) -> Node:
        """The node that takes writes, as soon as there is one."""
        found: list[Node] = []

        def look() -> bool:
            found[:] = [node for node in self.nodes if node.is_primary]
            return len(found) == 1

        wait_until(look, 60)
        return found[0]

    @property
    def secondaries(self) -> list[Node]:
        primary = self.primary
        return [node for node in self.nodes if node is not primary]

    def step_down(self) -> None:
        """Let the primary make way, for long enough that another is elected."""
        self.primary.command("replSetStepDown", 5, secondaryCatchUpPeriodSecs=2)

    def kill_primary(self) -> None:
        """kill -9 of the primary, which is started again once there is another one."""
        node = self.primary
        node.kill()
        self.primary  # noqa: B018 - waits for another one
        node.start()

    def _is_whole(self) -> bool:
        hellos = [node.command("hello") or {} for node in self.nodes]
        primaries = sum(bool(hello.get("isWritablePrimary")) for hello in hellos)
        return primaries == 1 and sum(bool(hello.get("secondary")) for hello in hellos) == 2


@contextmanager
def replica_set() -> Iterator[ReplicaSet]:
    """A set of three for the length of a `with` block; its data is thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="bzz-replica-"))
    replica = ReplicaSet(folder)
    try:
        replica.start()
        yield replica
    finally:
        replica.stop()
        shutil.rmtree(folder, ignore_errors=True)
