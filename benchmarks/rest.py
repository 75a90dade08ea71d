"""Requests a second of audited documents, beside what one would write by hand.

    python benchmarks/rest.py [--clients 1,16,64] [--rounds 3] [--seconds 3] [--json FILE]

Three servers, each a process of its own, on one embedded database:

bzz       `MongoEngineRestHandler` with an auditor
by hand   Tornado and PyMongo: the document and its event in one transaction, a counter in the
          document as its version, a diff of top-level members
plain     the same by hand without any history

The load comes from another process over kept connections.  Servers take turns within each round,
so that a machine that is slow for a while is slow for all; what is printed is the median of the
rounds' ratios, with the lowest and the highest, and the CPU time of a request in the server and
in the database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bzz import embedded

DOCUMENTS = 200
HISTORY = 20
"""Versions that each document has before it is measured."""

SERVERS = ("bzz", "by hand", "plain")
TICK = os.sysconf("SC_CLK_TCK")


# The servers --------------------------------------------------------------------------------


@dataclass
class Running:
    """A server that is up."""

    process: subprocess.Popen[str]
    port: int
    ids: list[str]


@contextmanager
def server(kind: str, uri: str) -> Iterator[Running]:
    """A server in a process of its own, its documents made."""
    command = [sys.executable, str(Path(__file__).with_name("servers.py")), kind, uri]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            port = int(process.stdout.readline())  # type: ignore[union-attr]
            running = Running(process, port, [])
            asyncio.run(_fill(running))
            yield running
        finally:
            process.stdin.close()  # type: ignore[union-attr]


async def _fill(running: Running) -> None:
    connection = await Connection.open(running.port)
    for number in range(DOCUMENTS):
        _, body = await connection.send("POST", "/user/", body_of(number))
        running.ids.append(json.loads(body)["id"])
    for version in range(HISTORY):
        for key in running.ids:
            await connection.send("PUT", f"/user/{key}/", json.dumps({"age": version}).encode())
    connection.close()


def body_of(number: int) -> bytes:
    """A user as it is created."""
    user = {
        "name": f"User {number}",
        "age": 1000,
        "tags": ["one", "two", "three"],
        "address": {"street": f"Long Street {number}", "city": "Rio de Janeiro"},
    }
    return json.dumps(user).encode()


# The load -----------------------------------------------------------------------------------


class Connection:
    """One kept HTTP connection, as lean as can be: the load must cost less than the servers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-User: ana\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in answer.split(b"\r\n"):
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        return int(answer[9:12]), await self._reader.readexactly(length) if length else b""

    def close(self) -> None:
        self._writer.close()


Request = Callable[[random.Random, Sequence[str], int], tuple[str, str, bytes]]


def put(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "PUT", f"/user/{chance.choice(ids)}/", json.dumps({"age": number}).encode()


def put_hot(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "PUT", f"/user/{ids[0]}/", json.dumps({"age": number}).encode()


def post(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "POST", "/user/", body_of(number)


def get(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "GET", f"/user/{chance.choice(ids)}/", b""


def history(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "GET", f"/user/{chance.choice(ids)}/history/", b""


def version(chance: random.Random, ids: Sequence[str], number: int) -> tuple[str, str, bytes]:
    return "GET", f"/user/{chance.choice(ids)}/history/{chance.randint(1, HISTORY)}/", b""


REQUESTS: dict[str, Request] = {
    "GET": get,
    "history": history,
    "version": version,
    "POST": post,
    "PUT": put,
    "PUT hot": put_hot,
}


async def drive(port: int, ids: Sequence[str], what: str, clients: int, seconds: float) -> Any:
    """Send requests for some seconds; how many were answered, how many of them well, how late."""
    connections = [await Connection.open(port) for _ in range(clients)]
    times: list[float] = []
    bad = 0
    numbers = iter(range(random.randrange(10**6), 10**9))
    end = time.perf_counter() + seconds

    async def client(connection: Connection, seed: int) -> None:
        nonlocal bad
        chance = random.Random(seed)
        while (begun := time.perf_counter()) < end:
            status, _ = await connection.send(*REQUESTS[what](chance, ids, next(numbers)))
            times.append(time.perf_counter() - begun)
            bad += status >= 300
        connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(each, seed) for seed, each in enumerate(connections)))
    took = time.perf_counter() - begun
    times.sort()
    return {
        "rate": len(times) / took,
        "bad": bad,
        "count": len(times),
        "p50": times[len(times) // 2] * 1000,
        "p99": times[int(len(times) * 0.99)] * 1000,
    }


def cpu_seconds(pid: int) -> float:
    """The CPU time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(running: Running, mongod: int, what: str, clients: int, seconds: float) -> Any:
    """One run of one kind of request against one server."""
    before = cpu_seconds(running.process.pid), cpu_seconds(mongod)
    command = [sys.executable, str(Path(__file__).resolve()), "--drive", what]
    command += ["--port", str(running.port), "--clients", str(clients), "--seconds", str(seconds)]
    done = subprocess.run(
        command, input=json.dumps(running.ids), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    after = cpu_seconds(running.process.pid), cpu_seconds(mongod)
    found["server ms"] = (after[0] - before[0]) / found["count"] * 1000
    found["mongod ms"] = (after[1] - before[1]) / found["count"] * 1000
    return found


# The table ----------------------------------------------------------------------------------


def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All measurements, one row for each kind of request and number of clients."""
    rows = []
    with ExitStack() as stack:
        mongod = stack.enter_context(embedded.mongod())
        running = {kind: stack.enter_context(server(kind, mongod.uri)) for kind in SERVERS}
        for what in options.what.split(","):
            for clients in map(int, options.clients.split(",")):
                rounds: dict[str, list[Any]] = {kind: [] for kind in SERVERS}
                kinds = [k for k in SERVERS if k != "plain" or what not in ("history", "version")]
                for number in range(options.rounds):
                    for kind in kinds if number % 2 == 0 else reversed(kinds):
                        found = measure(running[kind], mongod.pid, what, clients, options.seconds)
                        rounds[kind].append(found)
                row = _row(what, clients, rounds)
                rows.append(row)
                print(_line(row), flush=True)
    return rows


def _row(what: str, clients: int, rounds: dict[str, list[Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"request": what, "clients": clients}
    for kind, found in rounds.items():
        if found:
            keys = ("rate", "p50", "p99", "server ms", "mongod ms")
            row[kind] = {key: statistics.median(each[key] for each in found) for key in keys}
            row[kind]["bad"] = sum(each["bad"] for each in found)
    for other in ("by hand", "plain"):
        pairs = zip(rounds["bzz"], rounds[other], strict=False)
        ratios = [mine["rate"] / theirs["rate"] for mine, theirs in pairs]
        if ratios:
            row[f"bzz / {other}"] = [min(ratios), statistics.median(ratios), max(ratios)]
    return row


HEADER = (
    "request  clients |  bzz/s  by hand/s  plain/s | bzz/by hand (low-high)   bzz/plain |"
    " server ms bzz, hand | mongod ms bzz, hand | p99 ms bzz, hand"
)


def _line(row: dict[str, Any]) -> str:
    bzz, hand, plain = row["bzz"], row["by hand"], row.get("plain")
    low, middle, high = row["bzz / by hand"]
    beside = f"{row['bzz / plain'][1]:.2f}" if plain else "-"
    bad = sum(row[kind]["bad"] for kind in SERVERS if kind in row)
    return (
        f"{row['request']:<8} {row['clients']:>7} | {bzz['rate']:>6.0f} {hand['rate']:>10.0f} "
        f"{plain['rate'] if plain else 0:>8.0f} | {middle:>5.2f} ({low:.2f}-{high:.2f}) "
        f"{beside:>14} | {bzz['server ms']:>8.2f} {hand['server ms']:>7.2f}     | "
        f"{bzz['mongod ms']:>7.2f} {hand['mongod ms']:>7.2f}     | "
        f"{bzz['p99']:>6.0f} {hand['p99']:>6.0f}" + (f"  BAD ANSWERS: {bad}" if bad else "")
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", default="1,16,64", help="numbers of clients, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--what", default=",".join(REQUESTS), help="kinds of requests")
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    for hidden in ("--drive", "--port"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        ids = json.load(sys.stdin)
        work = drive(options.port, ids, options.drive, int(options.clients), options.seconds)
        print(json.dumps(asyncio.run(work)))
    else:
        print(HEADER)
        rows = compare(options)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
