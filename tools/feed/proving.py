"""Verify and rebuild everything, in code, against the database itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import mongoengine
import pymongo
from mongoengine.connection import DEFAULT_CONNECTION_NAME

from bzz.audit import Auditor
from feed.changes import Truth, canonical
from feed.report import Report
from feed.serving import DATABASE, record_model

_REBUILT = "feed_rebuilt"


def sizes(uri: str) -> Mapping[str, Any]:
    """What the database says of the history collection: count, size, storageSize, indexes."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    with client:
        with suppress(pymongo.errors.PyMongoError):
            client.admin.command("fsync")  # sizes on disk are those of the last checkpoint
        database = client.get_default_database(DATABASE)
        return database.command("collStats", "bzz_history")


def prove(uri: str, records: Mapping[str, Truth], report: Report, size: int, seed: int) -> None:
    """Verify all; rebuild all elsewhere; tamper with a sample, find just that, and mend it.

    Nobody may write meanwhile.  The database is left as it was.
    """
    with _connected(uri) as (model, auditor):
        proof = _Proof(model, auditor, records, report)
        proof.timed("verify", proof.verify)
        proof.timed("rebuild", proof.rebuild_elsewhere)
        proof.timed("tamper", lambda: proof.tamper(size, random.Random(seed)))


@contextmanager
def _connected(uri: str) -> Iterator[tuple[Any, Auditor]]:
    mongoengine.connect(DATABASE, host=uri, uuidRepresentation="standard")
    try:
        model, auditor = record_model(), Auditor()
        auditor.track(model)
        yield model, auditor
    finally:
        mongoengine.disconnect(DEFAULT_CONNECTION_NAME)


class _Proof:
    def __init__(
        self, model: Any, auditor: Auditor, records: Mapping[str, Truth], report: Report
    ) -> None:
        self._model, self._auditor = model, auditor
        self._records, self._report = records, report
        self._stored = model._get_collection()
        self._versions = sum(truth.version for truth in records.values())

    def timed(self, what: str, work: Callable[[], object]) -> None:
        """Do something, and note how long it takes."""
        begun = time.monotonic()
        work()
        self._report.seconds[what] = time.monotonic() - begun

    def verify(self) -> None:
        """All histories are whole, and the documents are what they and the file say."""
        counts = self._auditor.verify().run()
        self._report.count("verified records", counts.documents)
        self._report.count("verified versions", counts.versions)
        found = (counts.ok, counts.documents, counts.versions, counts.without_baseline)
        expected = (True, len(self._records), self._versions, 0)
        self._report.expect("verify", "what it counts", expected, found)
        live = {key: truth.now for key, truth in self._records.items() if truth.now is not None}
        self._expect_documents("the stored document", self._stored, live)

    def rebuild_elsewhere(self) -> None:
        """A rebuild into an empty collection gives just the documents that are stored."""
        database = self._stored.database
        try:
            counts = self._auditor.rebuild(self._model, into=_REBUILT).run()
            self._report.expect("rebuild", "whether it is ok", True, counts.ok)
            stored = {each["_id"]: typed(each) for each in self._stored.find()}
            rebuilt = {each["_id"]: typed(each) for each in database[_REBUILT].find()}
            self._report.count("rebuilt elsewhere", len(rebuilt))
            for key in sorted(stored.keys() | rebuilt.keys()):
                self._report.expect(key, "the rebuilt", stored.get(key), rebuilt.get(key))
        finally:
            database.drop_collection(_REBUILT)

    def tamper(self, size: int, chooser: random.Random) -> None:
        """What was written round bzz is found, nothing else is, and a rebuild mends it."""
        before = {each["_id"]: each for each in self._stored.find()}
        alive, deleted = sorted(before), sorted(self._records.keys() - before.keys())
        chosen = chooser.sample(alive, min(size, len(alive)))
        tampered = set(chosen)
        for number, key in enumerate(chosen):
            _TAMPERING[number % len(_TAMPERING)](self._stored, before[key])
        for key in chooser.sample(deleted, min(max(size // 10, 1), len(deleted))):
            self._stored.insert_one({"_id": key, "content": {"back": "from nowhere"}})
            tampered.add(key)
        self._report.count("tampered with", len(tampered))
        found = [each for each in self._auditor.verify(self._model) if not each.ok]
        self._report.expect("verify", "the tampered", tampered, {each.document for each in found})
        for each in found:
            self._report.expect(each.document, "whether it differs", True, bool(each.differences))
        mended = [each for each in self._auditor.rebuild(self._model) if each.rebuilt]
        self._report.expect("rebuild", "the mended", tampered, {each.document for each in mended})
        self._report.count("mended", len(mended))
        self._report.expect("verify", "the mended", True, self._auditor.verify().run().ok)
        after = {each["_id"]: typed(each) for each in self._stored.find()}
        for key in sorted(before.keys() | after.keys()):
            stored = typed(before[key]) if key in before else None
            self._report.expect(key, "the mended", stored, after.get(key))

    def _expect_documents(self, what: str, collection: Any, live: Mapping[str, Any]) -> None:
        stored = {each["_id"]: each.get("content", {}) for each in collection.find()}
        for key in sorted(live.keys() | stored.keys()):
            pair = (canonical(each.get(key)) for each in (live, stored))
            self._report.expect(key, what, *pair)


def typed(value: Any) -> Any:
    """A stored value with its types, members in the order of their names."""
    if isinstance(value, dict):
        return {name: typed(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return (type(value).__name__, value)


# Ways to tamper -----------------------------------------------------------------------------


def _add(collection: Any, document: Any) -> None:
    collection.update_one({"_id": document["_id"]}, {"$set": {"content.tampered": [1, None]}})


def _empty(collection: Any, document: Any) -> None:
    collection.update_one({"_id": document["_id"]}, {"$unset": {"content": ""}})


def _delete(collection: Any, document: Any) -> None:
    collection.delete_one({"_id": document["_id"]})


def _retype(collection: Any, document: Any) -> None:
    """The first value that is a number, or else the whole, becomes one of another type."""
    for name, value in document.get("content", {}).items():
        if type(value) is int and "." not in name:
            collection.update_one(
                {"_id": document["_id"]}, {"$set": {f"content.{name}": float(value)}}
            )
            return
    collection.update_one({"_id": document["_id"]}, {"$set": {"content": 1}})


_TAMPERING = (_add, _retype, _delete, _empty)
