"""How reading a history keeps its pace as it grows: one stream, and the collection around it.

    python benchmarks/history.py [--events 10000,100000,1000000] [--versions 100,1000,10000]

For each size of the collection, streams of each length are asked the same things.  What is
printed is milliseconds (the fastest of several calls), and the ratio to the shortest stream in the
smallest collection of the same run: the machine's pace is in both.  `first` is the first call for
a stream, which has its snapshots to make; the others come after it.

Events are packed as the store packs them and written in bulk, not one write after another.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import mongoengine
from bson import ObjectId
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    ListField,
    StringField,
)

from bzz import embedded
from bzz.audit import Auditor, Event, History, Operation
from bzz.audit.diff import changes_between, digest
from bzz.audit.events import Actor
from bzz.audit.store import packed

START = datetime(2026, 1, 1, tzinfo=UTC)
CALLS = 15
BATCH = 10_000
FILLERS = 20
"""Versions of each of the streams that fill the collection."""

State = dict[str, Any]
Question = Callable[[History, int], object]


class Address(EmbeddedDocument):
    """Where somebody lives."""

    street = StringField()
    city = StringField()


class User(Document):
    """What the events are about: some 200 bytes."""

    name = StringField()
    age = IntField()
    tags = ListField(StringField())
    address = EmbeddedDocumentField(Address)


def main() -> None:
    """Fill the collection step by step, and ask at each of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", default="10000,100000,1000000")
    parser.add_argument("--versions", default="100,1000,10000")
    given = parser.parse_args()
    sizes, lengths = _numbers(given.events), _numbers(given.versions)
    with embedded.mongod() as server:
        mongoengine.connect("bench_history", host=server.uri)
        auditor = Auditor()
        auditor.track(User)
        auditor.prepare()
        run(auditor, sizes, lengths)


def run(auditor: Auditor, sizes: Sequence[int], lengths: Sequence[int]) -> None:
    """Print a table for each size of the collection."""
    first: dict[str, float] = {}
    events = 0
    for size in sizes:
        began = time.perf_counter()
        streams = {length: ObjectId() for length in lengths if length <= size}
        for length, key in streams.items():
            events += fill(auditor, [key], length)
        rest = max(size - events, 0) // FILLERS
        events += fill(auditor, [ObjectId() for _ in range(rest)], FILLERS)
        took = time.perf_counter() - began
        print(f"\n{events:,} events ({took:.0f} s to fill)")
        print(f"{'milliseconds (ratio)':34}", *(f"{length:>16,}" for length in streams))
        for name, question in QUESTIONS.items():
            cells = []
            for length, key in streams.items():
                history = auditor.history(User, key)
                once = name.startswith("first")
                taken = milliseconds(partial(question, history, length), once=once)
                cells.append(f"{taken:9.2f} {taken / first.setdefault(name, taken):5.1f}x")
            print(f"{name:34}", *(f"{each:>16}" for each in cells), flush=True)
        print_sizes()


def print_sizes() -> None:
    """What an event takes in each collection."""
    database = mongoengine.get_db()
    count = database["bzz_history"].estimated_document_count()
    for name in ("bzz_history", "bzz_snapshots"):
        stats = database.command("collStats", name)
        indexes = ", ".join(f"{k} {v / count:.0f}" for k, v in stats["indexSizes"].items())
        each = stats["storageSize"] / count
        raw = stats["size"] / count
        print(f"bytes an event: {name} {each:.0f} ({raw:.0f} uncompressed), indexes: {indexes}")


# What is asked ---------------------------------------------------------------------------


def _when(version: int) -> datetime:
    return START + timedelta(minutes=version)


def _listed(history: History, **options: Any) -> list[Event]:
    return list(history.versions(newest_first=True, limit=21, **options))


QUESTIONS: dict[str, Question] = {
    "first: last version": lambda h, n: h.version(n),
    "first: version in the middle": lambda h, n: h.version(n // 2 + 7),
    "first: blame": lambda h, n: h.blame(),
    "version 90": lambda h, n: h.version(90),
    "version in the middle": lambda h, n: h.version(n // 2 + 7),
    "last version": lambda h, n: h.version(n),
    "changes, last two": lambda h, n: h.changes(n - 1, n),
    "changes, first to last": lambda h, n: h.changes(1, n),
    "blame": lambda h, n: h.blame(),
    "newest 20": lambda h, n: _listed(h),
    "20 from the middle": lambda h, n: _listed(h, query={"v": {"$lt": n // 2}}),
    "at a time, late": lambda h, n: h.state_at(_when(n - 3)),
    "at a time, middle": lambda h, n: h.state_at(_when(n // 2)),
    "at a time, early": lambda h, n: h.state_at(_when(5)),
    "since, late": lambda h, n: _listed(h, query={"t": {"$gte": _when(n - 9)}}),
    "until, early": lambda h, n: _listed(h, query={"t": {"$lte": _when(9)}}),
    "between, middle": lambda h, n: _listed(
        h, query={"t": {"$gte": _when(n // 2), "$lte": _when(n // 2 + 9)}}
    ),
    "by actor, often": lambda h, n: _listed(h, query={"a.1": "ana"}),
    "by actor, once": lambda h, n: _listed(h, query={"a.1": "once"}),
    "by field, often": lambda h, n: _listed(h, query={"c.p": {"$regex": "^/age(?:$|/)"}}),
    "by field, once": lambda h, n: _listed(h, query={"c.p": {"$regex": "^/name(?:$|/)"}}),
    "by operation, once": lambda h, n: _listed(h, query={"o": "c"}),
}
"""Times and actors of the events are those that `stream` gives them."""


def milliseconds(function: Callable[[], object], *, once: bool) -> float:
    """The fastest of several calls."""
    taken = []
    for _ in range(1 if once else CALLS):
        start = time.perf_counter()
        function()
        taken.append((time.perf_counter() - start) * 1_000)
    return min(taken)


# Filling ---------------------------------------------------------------------------------


def fill(auditor: Auditor, keys: Sequence[ObjectId], versions: int) -> int:
    """Write the events of some documents, and the documents; the number of events."""
    database = mongoengine.get_db()
    history = database["bzz_history"]
    batch: list[dict[str, Any]] = []
    last: list[State] = []
    for key in keys:
        for event, state in stream(key, versions):
            batch.append(packed(event))
            if event.version == versions:
                last.append(state)
            if len(batch) == BATCH:
                history.insert_many(batch, ordered=False)
                batch = []
    if batch:
        history.insert_many(batch, ordered=False)
    if last:
        database["user"].insert_many(last, ordered=False)
    return len(keys) * versions


def stream(key: ObjectId, versions: int) -> Iterator[tuple[Event, State]]:
    """The events of one document, and the state after each: one a minute."""
    before: State | None = None
    state: State = {
        "_id": key,
        "name": "Ana Lima",
        "age": 0,
        "tags": ["a", "b"],
        "address": {"street": "Rua Direita 7", "city": "Olinda"},
    }
    for version in range(1, versions + 1):
        if before is not None:
            state = dict(before)
            state["age"] = version
            if version % 5 == 0:
                state["tags"] = [f"tag {version}", *before["tags"][:20]]
        salt = os.urandom(16)
        yield (
            Event(
                id=ObjectId(),
                stream="user",
                model="user",
                document=key,
                version=version,
                operation=Operation.CREATED if before is None else Operation.UPDATED,
                time=START + timedelta(minutes=version),
                changes=tuple(changes_between(before, state)),
                actor=Actor("user", "once" if version == 3 else ("ana", "rui")[version % 2]),
                digest=digest(state, salt),
                salt=salt,
            ),
            state,
        )
        before = state


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
