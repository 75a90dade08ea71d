"""What idle live streams cost: memory, CPU, and the writers' latency with and without them.

    python benchmarks/live.py [--streams 1000] [--writes 300]

One server process, whose history is followed by clients that are told nothing (`idle`: their
filter matches none of the writes) or everything (`all`).  Writers are 4 threads over HTTP.  The
ratios are to the same writes in the same run without streams, which are measured before and after.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median, quantiles

from bzz import embedded

WRITERS = 4
QUIET = 10.0
SERVER = """
import asyncio, sys, tornado.web
from mongoengine import Document, StringField, connect
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor, Live

class User(Document):
    name = StringField()

connect("bench_live", host=sys.argv[1])
auditor = Auditor(live=Live(streams=100000))
routes = MongoEngineRestHandler.routes_for("mongoengine", User, audit=auditor)
auditor.prepare()

async def main():
    sockets = bind_sockets(0, "127.0.0.1", backlog=4096)
    log = {"log_function": lambda handler: None}
    server = HTTPServer(tornado.web.Application(flatten([routes, auditor.routes()]), **log))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    auditor.close()

asyncio.run(main())
"""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--writes", type=int, default=300)
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 3 * given.streams + 500), hard))
    with embedded.mongod() as mongod:
        command = [sys.executable, "-c", SERVER, mongod.uri]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            measure(server.pid, int(server.stdout.readline()), given.streams, given.writes)
            server.stdin.close()


def measure(pid: int, port: int, streams: int, writes: int) -> None:
    """The table, line by line."""
    write(port, writes)  # warms up
    before = write(port, writes)
    row("no streams", before, before)
    for name, query in (("idle", "?operation=deleted"), ("all", "")):
        memory = resident(pid)
        clients = [follow(port, query) for _ in range(streams)]
        each = (resident(pid) - memory) / streams
        used, began = cpu(pid), time.monotonic()
        time.sleep(QUIET)
        share = 100 * (cpu(pid) - used) / (time.monotonic() - began)
        print(f"{streams} {name}: {each / 1024:.1f} KB a stream, {share:.1f} % of a CPU in silence")
        drain = Drain(clients)
        row(f"{streams} {name}", write(port, writes), before)
        drain.close()
        time.sleep(2)
    row("no streams again", write(port, writes), before)


def row(name: str, times: list[float], before: list[float]) -> None:
    """The latency of writes, in ms and as a ratio."""
    half, most = median(times), quantiles(times, n=100)[98]
    ratio = half / median(before), most / quantiles(before, n=100)[98]
    print(
        f"{name}: writes p50 {half:.1f} ms (x{ratio[0]:.2f}), p99 {most:.1f} ms (x{ratio[1]:.2f})",
        flush=True,
    )


def write(port: int, count: int) -> list[float]:
    """Milliseconds of each write, of several writers side by side."""
    times: list[float] = []

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number in range(count // WRITERS):
            body = json.dumps({"name": f"u{number}"})
            began = time.perf_counter()
            connection.request("POST", "/user/", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
            times.append((time.perf_counter() - began) * 1000)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(WRITERS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return times


def follow(port: int, query: str) -> socket.socket:
    """A client that has its stream."""
    client = socket.create_connection(("127.0.0.1", port))
    head = f"GET /history/{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
    client.sendall(head.encode())
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    return client


class Drain:
    """Takes what comes for all clients, in a process of its own, so that it is not measured."""

    def __init__(self, clients: list[socket.socket]) -> None:
        self._pid = os.fork()
        if not self._pid:
            poll = select.epoll()
            for each in clients:
                poll.register(each.fileno(), select.EPOLLIN)
            while True:
                for number, _ in poll.poll():
                    if not os.read(number, 1 << 16):
                        poll.unregister(number)
        for each in clients:
            each.close()

    def close(self) -> None:
        """Let all clients go."""
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    found = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(found[11]) + int(found[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
