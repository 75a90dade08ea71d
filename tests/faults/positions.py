"""Writers that pause inside their transactions, readers that crash, workers that are killed.

    python -m tests.faults.positions URI DATABASE

numbers the events of a database, and runs its subscription, until standard input ends or it is
killed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import mongoengine
from bson import ObjectId
from mongoengine import Document, StringField
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from bzz.errors import BzzError
from tests.faults.worlds import ROOT, figures
from tests.house import new_database, own_receivers, own_registry
from tests.support import Server

WRITERS = 16
LONGEST_PAUSE = 0.02


class Hesitant(Auditor):
    """An auditor that pauses between the events of a transaction and its commit."""

    def append(self, events: Any, session: Any) -> None:
        super().append(events, session)
        time.sleep(random.uniform(0, LONGEST_PAUSE))


def audited(auditor: Auditor) -> SimpleNamespace:
    """Two models that are written together, and a subscription with an effect for each event."""

    class Crate(Document):
        name = StringField()

    class Label(Document):
        name = StringField()

    auditor.track(Crate)
    auditor.track(Label)

    @auditor.subscribe("effects", batch=20)
    def effects(event: Any, ctx: Any) -> None:
        last = ctx.collection("last").find_one_and_update(
            {"_id": 0}, {"$set": {"position": event.position}}, upsert=True
        )
        effect = {"_id": event.position, "event": event.id, "after": last and last["position"]}
        ctx.collection("effects").insert_one(effect)

    return SimpleNamespace(Crate=Crate, Label=Label, auditor=auditor)


@contextmanager
def yard(uri: str, *, work: bool) -> Iterator[SimpleNamespace]:
    """A new database, two models that are written together, and a feed of them."""
    with new_database(uri) as name, own_registry(), own_receivers():
        client = mongoengine.connect(name, host=uri, uuidRepresentation="standard")

        client[name].create_collection("effects")
        client[name].create_collection("last")
        world = audited(Hesitant(work=work))
        world.uri, world.database = uri, name
        auditor = world.auditor
        models = [
            MongoEngineRestHandler.routes_for("mongoengine", each, audit=auditor)
            for each in (world.Crate, world.Label)
        ]
        auditor.prepare()
        majority = ReadConcern("majority")
        world.history = client[name].get_collection("bzz_history", read_concern=majority)
        try:
            routes = flatten([models, auditor.routes()])
            with Server(routes, log_function=lambda handler: None) as world.server:
                yield world
        finally:
            auditor.close()


class Writers:
    """Threads that write transactions of two events, until each has done its share or `stop()`.

    Attributes
    ----------
    acknowledged: when the write of each document was, by the document's id.
    """

    def __init__(self, world: Any, transactions: int | None = None) -> None:
        self.acknowledged: dict[str, float] = {}
        self.refused = 0
        self._world, self._stopped = world, threading.Event()
        share = None if transactions is None else transactions // WRITERS
        self._threads = [
            threading.Thread(target=self._run, args=(share,), daemon=True) for _ in range(WRITERS)
        ]

    def __enter__(self) -> Writers:
        self._begun = time.monotonic()
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    @property
    def are_done(self) -> bool:
        return not any(each.is_alive() for each in self._threads)

    def stop(self) -> None:
        self._stopped.set()
        for each in self._threads:
            each.join(60)

    def _run(self, share: int | None) -> None:
        done = 0
        while done != share and not self._stopped.is_set():
            crate, label = ObjectId(), ObjectId()
            try:
                self._world.auditor.write(lambda: self._write(crate, label))
            except (BzzError, PyMongoError):  # the primary is gone; it may have been stored
                self.refused += 1
                continue
            now = time.monotonic()
            self.acknowledged |= {str(crate): now, str(label): now}
            done += 1

    def _write(self, crate: ObjectId, label: ObjectId) -> None:
        self._world.Crate(id=crate, name="crate").save()
        self._world.Label(id=label, name="label").save()


class Reader:
    """Follows the feed over HTTP; crashes now and then, and comes back with what it remembers.

    It remembers an event's position with the event, as a reader does that stores both in one
    transaction; a crash loses the rest of the page.
    """

    def __init__(self, world: Any) -> None:
        self._client = world.server.client()
        self._next = "/history/?order=asc&limit=100"
        self._epoch = ""
        self.seen: list[tuple[int, str]] = []
        self.at: dict[str, float] = {}
        self.crashes = 0

    def poll(self) -> None:
        """Read one page, or as much of it as a crash leaves."""
        answer = self._client.get(self._next)
        if answer.status == 503:  # there is no primary
            return
        assert 200 == answer.status, answer.body
        items, following = answer.json["items"], answer.json["next"]
        is_crash = len(items) > 1 and (not self.crashes or random.random() < 0.1)
        for each in items[: random.randrange(len(items)) if is_crash else None]:
            self.seen.append((each["position"], each["id"]))
            self.at[each["document"]] = time.monotonic()
        if is_crash:
            self.crashes += 1
            epoch = following.rpartition("epoch=")[2]
            last = self.seen[-1][0] if self.seen else 0
            following = f"/history/?order=asc&limit=100&after={last}&epoch={epoch}"
        self._next = following

    def follow(self, is_over: Callable[[], bool]) -> None:
        """Poll until it is over, and once more to the end."""
        with closing(self._client):
            while not is_over():
                self.poll()
            before: Any = None
            while before != (len(self.seen), self.crashes):
                before = len(self.seen), self.crashes
                self.poll()


class ByObjectId:
    """A reader as one would write it: the events whose id is greater than the last one's."""

    def __init__(self, world: Any) -> None:
        self._history, self._last = world.history, ObjectId(bytes(12))
        self.seen: set[ObjectId] = set()

    def poll(self) -> None:
        for each in self._history.find({"_id": {"$gt": self._last}}, {"_id": 1}, sort=[("_id", 1)]):
            self._last = each["_id"]
            self.seen.add(each["_id"])


def check(world: Any, writers: Writers, readers: list[Reader]) -> int:
    """Positions are 1..n, who followed had each once, in order; verify is clean; how many."""
    stored = list(world.history.find({}, {"p": 1, "d": 1, "s": 1}, sort=[("p", 1)]))
    expected = [(int(each["p"]), str(each["_id"])) for each in stored]
    assert list(range(1, len(stored) + 1)) == [position for position, _ in expected]
    documents = [str(each["d"]) for each in stored]
    assert len(documents) == len(set(documents))  # each was written once
    assert writers.acknowledged.keys() <= set(documents)
    for reader in readers:
        assert expected == reader.seen
    world.auditor.subscription("effects").wait_until_caught_up(120)
    effects = world.history.database["effects"].find(sort=[("_id", 1)])
    told = [(each["_id"], str(each["event"]), each["after"]) for each in effects]
    assert [(position, event, position - 1 or None) for position, event in expected] == told
    counts = world.auditor.verify().run()
    assert counts.ok
    assert len(stored) == counts.versions
    return len(stored)


def lag(writers: Writers, reader: Reader) -> str:
    """From the acknowledgement of a write to its event in the hands of a reader."""
    known = [
        max(0.0, reader.at[document] - at)
        for document, at in writers.acknowledged.items()
        if document in reader.at
    ]
    known.sort()
    p50, p99 = known[len(known) // 2], known[int(len(known) * 0.99)]
    return f"lag p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"


class Worker:
    """A sequencer, and a worker of the subscription, as a process of its own."""

    def __init__(self, world: Any) -> None:
        command = [sys.executable, "-m", "tests.faults.positions", world.uri, world.database]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Worker:
        assert b"ready\n" == self._process.stdout.readline()  # type: ignore[union-attr]
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        try:
            self._process.wait(20)
        finally:
            self.kill()
            self._process.stdout.close()  # type: ignore[union-attr]

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    uri, name = sys.argv[1:]
    mongoengine.connect(name, host=uri, uuidRepresentation="standard")
    world = audited(Auditor(work=False))
    worker = world.auditor.worker()
    worker.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        sys.stdin.buffer.read()
    worker.close()
    world.auditor.close()


def told(world: Any, writers: Writers, reader: Reader, events: int, seconds: float) -> None:
    """What the long form came to."""
    batches = world.auditor.seals.database["bzz_positions"].find_one({"_id": "head"})["b"]
    figures.info(
        f"{events} events, {events / seconds:.0f}/s, {batches} batches, "
        f"{lag(writers, reader)}, {reader.crashes} crashes of a reader, {writers.refused} refused"
    )


if __name__ == "__main__":
    main()
