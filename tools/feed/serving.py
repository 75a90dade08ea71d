"""The server that is fed by default: one model, audited, on a database that is named."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mongoengine
import tornado.httpserver
import tornado.netutil
import tornado.web

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from feed.client import ACTOR_HEADER

DATABASE = "bzz_feed"
_COMMAND = Path(__file__).resolve().parent.parent / "feed_history.py"


def record_model() -> type[mongoengine.Document]:
    """What the file's records are stored as; a class of its own each time.

    A model belongs to one auditor for life.
    """

    class Record(mongoengine.Document):
        key = mongoengine.StringField(primary_key=True)
        content = mongoengine.DictField()

    return Record


def actor_of(handler: Any) -> str | None:
    """Who writes, as this client says it: percent-encoded, since a header is ASCII."""
    return unquote(handler.request.headers.get(ACTOR_HEADER, "")) or None


def routes_of(model: type[mongoengine.Document]) -> list[Any]:
    """What the server has: the records, their histories, and what goes across them."""
    auditor = Auditor(actor=actor_of)
    own = MongoEngineRestHandler.routes_for("mongoengine", model, audit=auditor)
    return flatten([own, auditor.routes()])


def serve(uri: str) -> None:
    """Serve the records on a free port, say where, and end with standard input."""
    mongoengine.connect(DATABASE, host=uri, uuidRepresentation="standard")
    application = tornado.web.Application(routes_of(record_model()))
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # 410 is what is asked for here
    asyncio.run(_serve(application))


async def _serve(application: tornado.web.Application) -> None:
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(application)
    server.add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/record", flush=True)
    # The parent holds the other end: it closes however the parent ends.
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.stop()
    await server.close_all_connections()


@contextmanager
def own_server(uri: str) -> Iterator[str]:
    """A server in a process of its own, for the length of the block; gives its URL."""
    command = [sys.executable, str(_COMMAND), "--serve", "--uri", uri]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise SystemExit("The server did not start; its own words are above.")
        try:
            yield url
        finally:
            if process.stdin is not None:
                process.stdin.close()
