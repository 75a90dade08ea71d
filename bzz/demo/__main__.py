"""Serve the demo: `python -m bzz.demo [--port PORT] [--data FOLDER]`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from socket import socket

from mongoengine import connect, disconnect, get_db
from mongoengine.connection import ConnectionFailure
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from bzz import BzzError, embedded
from bzz.demo.seed import Clock, seed
from bzz.demo.server import make_application, make_auditor

HOST = "127.0.0.1"

BANNER = """
  The demo of bzz is at  {url}
  Its data is in         {data}
  To stop it             press Ctrl-C
"""

SILENT = (
    "No database answers where MONGODB_URI points to; start it, or unset MONGODB_URI for an "
    "embedded one."
)


class Stopped(Exception):
    """The demo cannot go on; `str(error)` is one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C; the exit code."""
    options = parse(arguments)
    return run(options.port, options.data)


def run(port: int, data: str, *, elsewhere: str = "make run PORT=8889") -> int:
    """Serve until Ctrl-C; the exit code.

    Args:
        port: 0 for a free one.
        data: the folder of the embedded database.
        elsewhere: the command that somebody types when the port is taken.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        # The port comes first: whoever has it, no database was started in vain.
        with listening(port, elsewhere) as sockets, database(data) as mongod:
            asyncio.run(serve(sockets, mongod))
    except KeyboardInterrupt:
        pass
    except (Stopped, embedded.EmbeddedError) as error:
        print(error, file=sys.stderr)
        return 1
    print("\nStopped.")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser("python -m bzz.demo", description="Serve the demo of bzz.")
    parser.add_argument("--port", type=port, default=8888, help="8888; 0 is a free one")
    parser.add_argument("--data", default="demo-data", help="the folder of the embedded database")
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """A port's number."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


@contextmanager
def listening(port: int, elsewhere: str) -> Iterator[list[socket]]:
    """Sockets on a port of this machine, which no other machine can reach."""
    try:
        sockets = bind_sockets(port, HOST)
    except OSError as error:
        raise Stopped(
            f"Port {port} on {HOST} cannot be had ({error.strerror}); stop what listens there, "
            f"or choose another: {elsewhere}."
        ) from error
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextmanager
def database(folder: str) -> Iterator[embedded.Mongod | None]:
    """Connect MongoEngine to the database that MONGODB_URI names, else to an embedded one."""
    uri = os.environ.get("MONGODB_URI")
    if uri:
        with connected(uri):
            yield None
        return
    with embedded.mongod(folder) as mongod, connected(mongod.uri):
        yield mongod


@contextmanager
def connected(uri: str) -> Iterator[None]:
    """MongoEngine's default connection for the length of a block."""
    try:
        connect("bzz_demo", host=uri, serverSelectionTimeoutMS=5000)
    except (PyMongoError, ConnectionFailure, ValueError) as error:
        raise Stopped(f"MONGODB_URI names no database: {error}") from error
    yield
    disconnect()  # not after an error: saying goodbye to a database that has died takes long


async def serve(sockets: list[socket], mongod: embedded.Mongod | None) -> None:
    """Serve until a signal; raises `Stopped` when the database ends before."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clock = Clock()
    auditor = make_auditor(clock)

    def prepare() -> None:
        is_new = not get_db().list_collection_names()
        auditor.prepare()
        if is_new:
            seed(auditor, clock)

    try:
        await asyncio.to_thread(prepare)
    except ServerSelectionTimeoutError as error:
        raise Stopped((mongod and mongod.failure()) or SILENT) from error
    except (BzzError, PyMongoError) as error:
        raise Stopped((mongod and mongod.failure()) or str(error)) from error
    server = HTTPServer(make_application(auditor))
    server.add_sockets(sockets)
    welcome(sockets[0].getsockname()[1], mongod)
    try:
        await until(stop, mongod)
    finally:
        server.stop()
        await server.close_all_connections()


def welcome(port: int, mongod: embedded.Mongod | None) -> None:
    """Say where the demo is."""
    data = f"the database {get_db().name} that MONGODB_URI names"
    if mongod is not None:
        data = f"{mongod.folder}{os.sep} (kept; delete the folder to begin anew)"
    print(BANNER.format(url=f"http://{HOST}:{port}/", data=data), flush=True)


async def until(stop: asyncio.Event, mongod: embedded.Mongod | None) -> None:
    """Wait for the signal, and watch the database."""
    while not stop.is_set():
        failure = mongod and mongod.failure()
        if failure:
            raise Stopped(failure)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)


if __name__ == "__main__":
    sys.exit(main())
