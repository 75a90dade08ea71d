"""What `bzz doctor` asks about a history, its models and its subscriptions.

It makes nothing: an auditor that is prepared would make what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from pymongo import ReadPreference

from bzz import connection
from bzz.audit import Auditor, parking, snapshots, store
from bzz.audit.checkpoints import SUBSCRIPTIONS
from bzz.audit.delivering import Books
from bzz.audit.feed import Feed
from bzz.audit.recorder import utc_now
from bzz.audit.seals import POSITIONS, SEALS, SealStore
from bzz.audit.store import HistoryStore, Indexes, utc
from bzz.audit.subscription import Status, Subscription
from bzz.audit.tracking import Tracked
from bzz.cli.findings import FAIL, OK, WARN, Check, Finding
from bzz.cli.server_checks import bytes_told
from bzz.cli.telling import lasting
from bzz.recording import Model
from bzz.values import ABSENT, EXACT

_INDEXES: Mapping[str, Indexes] = {
    store.COLLECTION: store.INDEXES | store.PARTIAL_INDEXES,
    snapshots.COLLECTION: snapshots.INDEXES,
    parking.PARKED: parking.INDEXES,
}
_COLLECTIONS = (*_INDEXES, SEALS, POSITIONS, SUBSCRIPTIONS)
_LATE = 60.0
"""Seconds after which an event should have its position."""
_BEHIND = 300.0
"""Seconds that a subscription may be behind."""
_BATCH = 1000
_MOST = 10_000
"""So many events without a position are counted."""


class HistoryChecks:
    """The checks of the history in one database.

    `is_used`: whether an application has it; else there may be none.
    """

    def __init__(self, database: Any, *, is_used: bool) -> None:
        self._database = database.with_options(read_preference=ReadPreference.PRIMARY)
        self._is_used = is_used
        self._present = set[str]()

    def all(self) -> list[tuple[str, Check]]:
        """The checks, by name."""
        return [
            ("history", self._history),
            ("indexes", self._indexes),
            ("positions", self._positions),
            ("sizes", self._sizes),
        ]

    def _history(self) -> Iterable[Finding]:
        self._present = set(self._database.list_collection_names())
        missing = [each for each in _COLLECTIONS if each not in self._present]
        if not missing:
            return [Finding("history", OK, f"It is in the database {self._database.name}.")]
        if not self._is_used and len(missing) == len(_COLLECTIONS):
            return [Finding("history", OK, f"There is none in the database {self._database.name}.")]
        told = f"The database {self._database.name} has no {', '.join(missing)} yet."
        makes = tuple(f"the collection {each}" for each in missing)
        return [Finding("history", WARN, told, "The first use makes it, and --fix.", makes)]

    def _indexes(self) -> Iterable[Finding]:
        return [
            self._compared(name, wanted)
            for name, wanted in _INDEXES.items()
            if name in self._present
        ]

    def _compared(self, name: str, wanted: Indexes) -> Finding:
        found = self._database[name].index_information()
        check = f"indexes of {name}"
        wrong = [each for each in wanted if each in found and not _is(found[each], *wanted[each])]
        if wrong:
            told = f"{', '.join(wrong)} is not as it has to be."
            remedy = f"Drop it, and let --fix make it: db.{name}.dropIndex('{wrong[0]}')."
            return Finding(check, FAIL, told, remedy)
        missing = [each for each in wanted if each not in found]
        if missing:
            makes = tuple(f"the index {each} of {name}" for each in missing)
            return Finding(check, FAIL, f"{', '.join(missing)} is missing.", "Say --fix.", makes)
        others = sorted(found.keys() - wanted.keys() - {"_id_"})
        told = f"All are there{', and ' + ', '.join(others) + ' besides' if others else ''}."
        return Finding(check, OK, told)

    def _positions(self) -> Iterable[Finding]:
        if store.COLLECTION not in self._present:
            return []
        history = self._database[store.COLLECTION].with_options(codec_options=EXACT)
        oldest = history.find_one({"p": 0}, {"t": 1}, sort=[("n", 1)])
        if oldest is None:
            return [Finding("positions", OK, "All events have their positions.")]
        count = history.count_documents({"p": 0}, limit=_MOST)
        waits = max((utc_now() - utc(oldest["t"])).total_seconds(), 0.0)
        number = f"{count} or more" if count == _MOST else str(count)
        told = f"{number} events wait for their positions, the first for {lasting(waits)}."
        if waits <= _LATE:
            return [Finding("positions", OK, told)]
        remedy = "No process gives them: run the application with work=True, or bzz worker."
        return [Finding("positions", FAIL, told, remedy)]

    def _sizes(self) -> Iterable[Finding]:
        if store.COLLECTION not in self._present:
            return []
        stats = self._database.command("collStats", store.COLLECTION)
        return [
            Finding(
                "sizes",
                OK,
                f"{stats['count']} events of {bytes_told(stats['size'])} take "
                f"{bytes_told(stats['storageSize'])} on disk, and their indexes "
                f"{bytes_told(stats['totalIndexSize'])}.",
            )
        ]


class ApplicationChecks:
    """The checks of an auditor's models and subscriptions.

    `seconds`: how long documents without a baseline are counted, for each model.
    """

    def __init__(self, auditor: Auditor, client: Any, *, seconds: float) -> None:
        self._auditor = auditor
        self._client = client
        self._seconds = seconds

    def all(self) -> list[tuple[str, Check]]:
        """The checks, by name."""
        models = self._auditor.models()
        names = {each: self._auditor.tracked_as(each).name for each in models}
        found: list[tuple[str, Check]] = []
        for model, name in names.items():
            found.append((f"model {name}", partial(self._model, model)))
            found.append((f"baselines of {name}", partial(self._baselines, model)))
        found.append(("other models", self._others))
        for each in self._auditor.subscription_names():
            found.append((f"subscription {each}", partial(self._subscription, each)))
        return found

    def _model(self, model: Model) -> Iterable[Finding]:
        missing, others = self._compare(model)
        check, name = f"model {self._name(model)}", model._get_collection_name()
        if missing:
            return [_lacking(check, name, missing)]
        told = f"{name} has all indexes that {model.__name__} names"
        return [Finding(check, OK, f"{told}{', and ' + _list(others) if others else ''}.")]

    def _others(self) -> Iterable[Finding]:
        """Of the models without audit those that lack something: `prepare()` makes it too."""
        for model in connection.models_on(self._client):
            if not any(issubclass(model, each) for each in self._auditor.models()):
                missing, _ = self._compare(model)
                if missing:
                    name = model._get_collection_name()
                    yield _lacking(f"model {model.__name__}", name, missing)

    def _compare(self, model: Model) -> tuple[list[str], list[str]]:
        """The indexes that a model names and its collection lacks, and those that only this has."""
        with _left_alone(connection.models_on(self._client)):
            found = model.compare_indexes()
        own = [each for each in found["missing"] if each != [("_id", 1)]]
        return [_keys(each) for each in own], [_keys(each) for each in found["extra"]]

    def _name(self, model: Model) -> str:
        return self._auditor.tracked_as(model).name

    def _baselines(self, model: Model) -> Iterable[Finding]:
        """Documents from before the audit, as many as can be looked at in time."""
        tracked, seen, new = self._auditor.tracked_as(model), 0, 0
        until = time.monotonic() + self._seconds
        is_cut = False
        for ids in self._ids(model):
            seen += len(ids)
            new += len(self._store().without_history(tracked.stream, ids))
            if time.monotonic() > until:
                is_cut = True
                break
        check = f"baselines of {tracked.name}"
        if not seen:
            return [Finding(check, OK, "There are no documents yet.")]
        of = f"the first {seen}" if is_cut else str(seen)
        if not new:
            return [Finding(check, OK, f"Of {of} documents all have a history.")]
        told = f"Of {of} documents {new} have no history: it begins with their next change."
        return [Finding(check, WARN, told, f"Let it begin now: bzz adopt {tracked.name}.")]

    def _ids(self, model: Model) -> Iterator[list[Any]]:
        """The ids of a model's documents, some at a time."""
        collection = model._get_db()[model._get_collection_name()]
        query: dict[str, Any] = {}
        if model._meta.get("allow_inheritance") and len(model._superclasses):
            query = {"_cls": {"$in": list(model._subclasses)}}
        exact = collection.with_options(codec_options=EXACT, read_preference=ReadPreference.PRIMARY)
        found = exact.find(query, {"_id": 1})
        ids = []
        for each in found.batch_size(_BATCH):
            ids.append(each["_id"])
            if len(ids) == _BATCH:
                yield ids
                ids = []
        yield ids

    def _store(self) -> HistoryStore:
        return HistoryStore(self._database(), real=True)

    def _database(self) -> Any:
        return self._auditor.models()[0]._get_db()

    def _subscription(self, name: str) -> Iterable[Finding]:
        parts = cast("Auditor", _Parts(self._auditor, self._database()))
        status = Subscription(parts, self._auditor.declaration(name)).status()
        return [_standing(f"subscription {name}", status)]


class _Parts:
    """What a subscription asks of its auditor to tell how it stands; nothing of it is made."""

    def __init__(self, auditor: Auditor, database: Any) -> None:
        self._auditor = auditor
        self.books = Books.of(database)
        self.store = HistoryStore(database, real=True)
        self.feed = Feed(self.store, SealStore(database))

    def tracked_for(self, declaration: Any) -> list[Tracked]:
        return self._auditor.tracked_for(declaration)


def _standing(check: str, status: Status) -> Finding:
    name = status.name
    where = f"at position {status.position}, {status.lag} behind"
    if status.state == "stopped":
        remedy = f"Bring what it feeds in order, then: bzz subscriptions restart {name} --from …"
        return Finding(check, FAIL, f"It has stopped: {status.error}", remedy)
    if status.parked:
        told = f"{status.parked} events are parked; the last error: {status.error}"
        remedy = f"Mend what failed, then: bzz subscriptions retry {name} (or skip)."
        return Finding(check, WARN, told, remedy)
    if status.age is not None and status.age > _BEHIND:
        told = f"{where}: the first event has waited for {lasting(status.age)}."
        remedy = "Its consumer is too slow, or hangs: look at the log of its worker."
        if status.worker is None:
            told, remedy = f"Nobody works for it, {told}", "Start a worker: bzz worker."
        return Finding(check, WARN, told, remedy)
    waiting = f", {status.waiting} events wait for their next try" if status.waiting else ""
    return Finding(check, OK, f"It is {status.state}, {where}{waiting}.")


def _is(found: Mapping[str, Any], keys: list[tuple[str, int]], options: dict[str, Any]) -> bool:
    """Whether an index is one that was wanted."""
    if [tuple(each) for each in found["key"]] != keys:
        return False
    asked = ("unique", "partialFilterExpression")
    return all(_plain(found.get(each)) == _plain(options.get(each)) for each in asked)


def _plain(value: Any) -> Any:
    return (
        {key: _plain(each) for key, each in value.items()}
        if isinstance(value, Mapping)
        else (value or None)
    )


def _lacking(check: str, collection: str, missing: list[str]) -> Finding:
    makes = tuple(f"the index {each} of {collection}" for each in missing)
    told = f"{collection} lacks the index {_list(missing)}."
    return Finding(check, WARN, told, "The first use makes it, and --fix.", makes)


def _list(names: list[str]) -> str:
    return ", ".join(names)


def _keys(index: Iterable[tuple[str, Any]]) -> str:
    return "(" + ", ".join(f"{name} {way}" for name, way in index) + ")"


@contextmanager
def _left_alone(models: list[Model]) -> Iterator[None]:
    """MongoEngine makes the indexes of a collection when it is first asked for; not here."""
    before = {each: each.__dict__.get("_collection", ABSENT) for each in models}
    unused = [
        each for each, collection in before.items() if collection is None or collection is ABSENT
    ]
    for each in unused:
        each._collection = each._get_db()[each._get_collection_name()]
    try:
        yield
    finally:
        for each in unused:
            if before[each] is ABSENT:
                del each._collection  # it is that of the class that it inherits from
            else:
                each._collection = None
