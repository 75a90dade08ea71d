"""An application for `bzz serve`, which is a process of its own.

Told by its environment: MONGODB_URI; DATABASE; GATE, a file for which the slow requests wait;
BROKEN, a file that breaks its start once it is there; LOGS, in front of what it logs, if it does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import mongoengine
import tornado.web
from mongoengine import Document, StringField

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor

GATE = Path(os.environ["GATE"])
if Path(os.environ["BROKEN"]).exists():
    raise RuntimeError("It is broken.")

if "LOGS" in os.environ:
    logging.basicConfig(level=logging.INFO, format=f"{os.environ['LOGS']} %(message)s")

mongoengine.connect(
    os.environ["DATABASE"],
    host=os.environ["MONGODB_URI"],
    uuidRepresentation="standard",
    serverSelectionTimeoutMS=2000,
)


class Note(Document):
    text = StringField()


class Slow(MongoEngineRestHandler):
    """Waits for the gate before it writes."""

    async def prepare(self):
        told = super().prepare()
        if told is not None:
            await told
        if self.request.headers.get("X-Slow"):
            GATE.with_suffix(".reached").touch()
            while not GATE.exists():
                await asyncio.sleep(0.01)


class Process(tornado.web.RequestHandler):
    """Tells which process answers, and to whom."""

    def get(self):
        self.write({"pid": os.getpid(), "address": self.request.remote_ip})

    def post(self):
        self.write({"bytes": len(self.request.body)})


auditor = Auditor()
notes = Slow.routes_for("mongoengine", Note, audit=auditor)
application = tornado.web.Application(flatten([notes, auditor.routes(), (r"/process", Process)]))
unlike = "a text"


def made():
    return application


async def made_later():
    await asyncio.sleep(0)
    return application
