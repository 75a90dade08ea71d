"""An application with a subscription, for workers that are processes of their own.

    python -m bzz worker tests.audit.subscriber:auditor

Told by its environment: MONGODB_URI; DATABASE; CRASHES, of a hundred events how many kill the
process between their effects and the commit; HANG_AT, a position at which it writes its effect,
says so, and then hangs.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

import mongoengine
from mongoengine import Document, IntField, StringField

from bzz.audit import Auditor

mongoengine.connect(os.environ["DATABASE"], host=os.environ["MONGODB_URI"])
CRASHES = float(os.environ.get("CRASHES", "0"))
HANG_AT = int(os.environ.get("HANG_AT", "0"))


class Page(Document):
    name = StringField()
    number = IntField()


auditor = Auditor(work=False)
auditor.track(Page)
nothing = Auditor(work=False)
nothing.track(type("Leaf", (Document,), {"name": StringField()}))


def made():
    return auditor


@auditor.subscribe("index", model=Page)
def index(event, ctx):
    effects = ctx.collection("effects")
    last = ctx.collection("last")
    before = last.find_one_and_update(
        {"_id": event.document}, {"$set": {"version": event.version}}, upsert=True
    )
    version = 0 if before is None else before["version"]
    effects.insert_one({"event": event.id, "position": event.position, "after": version})
    if event.position == HANG_AT:
        sys.stdout.write("hanging\n")
        sys.stdout.flush()
        time.sleep(100)
    if random.random() * 100 < CRASHES:
        os.kill(os.getpid(), signal.SIGKILL)


@auditor.subscribe("other")
def other(event, ctx):
    ctx.collection("others").insert_one({"position": event.position})
