"""The disk is full; what was acknowledged is there once there is room again."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bzz import embedded
from tests.faults.lists import check_lists
from tests.faults.load import Load
from tests.faults.worlds import lists
from tests.house import elsewhere
from tests.support import Server, wait_until

MEGABYTES = 450
"""Enough for mongod to start; its journal alone takes 100 MB at a time."""
DEADLINE = 2.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred megabytes."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("A small file system cannot be mounted here.")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024 * 1024))
        except OSError:
            pass


def test_nothing_acknowledged_is_lost_when_the_disk_is_full(small_disk):
    folder, port = small_disk / "data", embedded._free_port()
    running = embedded._started(embedded.find_mongod(), folder, port, {})
    try:
        with lists(running.uri, deadline=DEADLINE) as world:
            with (
                Server(world.routes, log_function=lambda handler: None) as server,
                Load(lambda: [server.port], world.ids, clients=4, mix={"patch": 1}) as load,
            ):
                wait_until(load.more(20))
                fill(small_disk)
                write_until_it_fails(world, running)
                wait_until(lambda: load.statuses[503] >= 4)
                running.stop()
                (small_disk / "ballast").unlink()
                running = embedded._started(embedded.find_mongod(), folder, port, {})
                wait_until(load.more(20), 60)
                load.stop()

            check_lists(world, load.notes)
    finally:
        running.stop()
    late = [note for note in load.notes if note.seconds > DEADLINE + 1]
    assert (set(load.statuses), late) == ({200, 503}, [])


def write_until_it_fails(world: Any, running: Any) -> None:
    """The journal is written ahead; much has to be written before it wants more room."""
    filler = world.client[world.database]["filler"]

    def write() -> None:
        while running.failure() is None:
            try:
                filler.insert_one({"bytes": threading.get_ident().to_bytes(8) * 500_000})
            except Exception:  # it is failing
                return

    elsewhere(write)
    wait_until(lambda: running.failure() is not None, 60)
