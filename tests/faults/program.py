"""A server of lists that only grow, as a process of its own, which may kill itself.

    python -m tests.faults.program --uri URI --database NAME [--kill POINT] [--at N]

Prints the port on which it listens and ends with standard input.  `--kill` names a point of a
write's way; the program sends itself SIGKILL when it gets there for the N-th time.  The points
are put round functions of bzz from here: bzz itself has no hooks for it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mongoengine
import tornado.httpserver
import tornado.netutil
import tornado.web
from mongoengine import Document, ListField, StringField
from pymongo.collection import Collection

from bzz import MongoEngineRestHandler, commit_lane
from bzz.attempt import Attempt
from bzz.audit import Auditor
from bzz.capture import CapturedCollection
from bzz.signals import post_update_instance
from bzz.unit import Batch


def define(**options: Any) -> SimpleNamespace:
    """The audited model, its auditor and its routes; `options` are those of `routes_for`."""

    class Page(Document):
        name = StringField(unique=True, required=True)
        log = ListField(StringField())

    def routes_for(**options: Any) -> Any:
        return MongoEngineRestHandler.routes_for("mongoengine", Page, audit=auditor, **options)

    auditor = Auditor()
    return SimpleNamespace(
        Page=Page, auditor=auditor, routes_for=routes_for, routes=routes_for(**options)
    )


# Where it kills itself ----------------------------------------------------------------------


class Countdown:
    """Ends the process, without any last words, when it is called for the n-th time."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def before_the_transaction(tick: Callable[[], None]) -> None:
    _wrap(Attempt, "run", before=lambda *_: tick())


def after_the_document_write(tick: Callable[[], None]) -> None:
    # By a save that is sent by itself, or for all that were sent together.
    _wrap(CapturedCollection, "_run", after=lambda *_: tick())
    _wrap(Collection, "bulk_write", after=lambda *_: tick())


def in_the_middle_of_a_batch(tick: Callable[[], None]) -> None:
    def worked(attempt: Attempt, member: Any) -> None:
        if len(attempt.members) > 2 and member is attempt.members[len(attempt.members) // 2]:
            tick()

    _wrap(Attempt, "_work", after=worked)


def after_the_events(tick: Callable[[], None]) -> None:
    _wrap(Batch, "flush", after=lambda *_: tick())


def after_the_commit(tick: Callable[[], None]) -> None:
    _wrap(commit_lane, "commit", after=lambda *_: tick())


def before_the_receivers(tick: Callable[[], None]) -> None:
    _wrap(MongoEngineRestHandler, "announce_writes", before=lambda *_: tick())


def after_the_receivers(tick: Callable[[], None]) -> None:
    post_update_instance.connect(tick, weak=False)


POINTS = {
    each.__name__.replace("_", " "): each
    for each in (
        before_the_transaction,
        after_the_document_write,
        in_the_middle_of_a_batch,
        after_the_events,
        after_the_commit,
        before_the_receivers,
        after_the_receivers,
    )
}


def _wrap(
    owner: Any,
    name: str,
    *,
    before: Callable[..., None] = lambda *_: None,
    after: Callable[..., None] = lambda *_: None,
) -> None:
    function = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args)
        result = function(*args, **kwargs)
        after(*args)
        return result

    setattr(owner, name, wrapped)


# The server -----------------------------------------------------------------------------------


async def serve(routes: Any) -> None:
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    application = tornado.web.Application(routes, log_function=lambda handler: None)
    server = tornado.httpserver.HTTPServer(application, max_body_size=64 * 1024 * 1024)
    server.add_sockets(sockets)
    sys.stdout.write(f"{sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--uri", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--deadline", type=float, default=10)
    parser.add_argument("--kill", choices=POINTS)
    parser.add_argument("--at", type=int, default=1)
    options = parser.parse_args()
    mongoengine.connect(options.database, host=options.uri, uuidRepresentation="standard")
    world = define(deadline=options.deadline)
    world.auditor.prepare()
    if options.kill:
        POINTS[options.kill](Countdown(options.at))
    asyncio.run(serve(world.routes))


if __name__ == "__main__":
    main()
