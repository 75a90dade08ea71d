"""What one unit of work read and wrote: every touched document, as stored before and after.

MongoEngine sends no signal for what NULLIFY and PULL change, nor for updates made with
querysets; so the capture stands where all of its writes pass, at the collection of a
Document class.  Knows nothing of transactions' begin and end, of HTTP, of the audit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib import import_module
from typing import Any

import bson
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from mongoengine.base.common import get_document
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from bzz.errors import BzzError, Conflict
from bzz.recording import Head, Model, Recorder, State, recorder_of
from bzz.signals import before_commit
from bzz.values import EXACT, encoded, same

_current: ContextVar[Unit | None] = ContextVar("bzz_unit", default=None)


def current_unit() -> Unit | None:
    """The unit of work in which the calling code runs, or None.

    Code that runs later in a copy of the context (a callback given to an event loop) is in none.
    """
    unit = _current.get()
    return unit if unit is not None and unit.is_open else None


class Write:
    """One document that a unit of work touched.

    Attributes
    ----------
    model: the document's class.
    id: its primary key, as stored.
    before, after: its stored content before the unit's first touch and at its end;
        None where there was, or is, no document.
    context: who writes and why, as the model's recorder described it; None without one.
    event: what the recorder made of the write; None until then, and when nothing changed.
    intent: what the caller of the write meant by it, for the recorder (a restore names
        the version it goes back to); None for an ordinary write.
    """

    __slots__ = (
        "_instance",
        "_source",
        "after",
        "before",
        "context",
        "event",
        "fresh",
        "id",
        "intent",
        "model",
        "recorded",
        "unit",
    )

    def __init__(self, unit: Unit, source: Source, document_id: Any, before: State | None) -> None:
        self.unit = unit
        self._source = source
        self.model: Model = source.model
        self.id = document_id
        self.before = before
        self.after: State | None = None
        self.fresh = False
        self.context: object = None
        self.event: Any = None
        self.recorded = False
        self.intent: Any = None
        self._instance: Any = None

    @property
    def changed(self) -> bool:
        """Whether the stored content differs, typed, from what it was."""
        return not same(self.before, self.after)

    @property
    def instance(self) -> Any:
        """The document: the object that was written where it is known, else loaded as stored."""
        if self._instance is None:
            state = self.before if self.after is None else self.after
            self._instance = None if state is None else self._source.load(state)
        return self._instance

    @instance.setter
    def instance(self, document: Any) -> None:
        self._instance = document

    def record(self, event: Any) -> None:
        """Called by the recorder: the write is dealt with; `event` (or None) stands for it."""
        self.event = event
        self.recorded = True


class Unit:
    """One unit of work: its session, the documents it touched, what it is about to announce.

    Lives in one thread.  `session` is None where there is no transaction: on mongomock,
    and for models that neither are recorded nor have atomic receivers.  With `announce_all`
    every changed document of a recorded model counts as an operation of the caller's.
    """

    def __init__(
        self,
        session: ClientSession | None = None,
        contexts: Mapping[Recorder, object] | None = None,
        handler: Any = None,
        *,
        announce_all: bool = False,
    ) -> None:
        self.session = session
        self.is_open = False
        self.announce_all = announce_all
        self.contexts = contexts or {}
        self.handler = handler
        self.failure: Exception | None = None
        self.operations: list[tuple[str, Write]] = []
        self._writes: dict[tuple[str, bytes], Write] = {}
        self._heads: dict[tuple[str, bytes], Head | None] = {}

    # Reading ---------------------------------------------------------------------------

    def load(self, model: Model, query: Mapping[str, Any]) -> Write | None:
        """Read one document of `model` and keep its content as the state before the write.

        Returns the (so far empty) write to it, or None when nothing matches `query`.
        """
        source = Source.of(model)
        state = source.find_one(self, query)
        return None if state is None else self._touch(source, state["_id"], state)

    def find(self, model: Model, query: Mapping[str, Any]) -> list[Write]:
        """As `load`, for all documents that match."""
        source = Source.of(model)
        return [self._touch(source, each["_id"], each) for each in source.find(self, query)]

    def head(self, model: Model, document_id: Any) -> Head | None:
        """The last event of a document of a recorded model, read once in a unit."""
        if not self.knows_head(model, document_id):
            self.read_heads(model, [document_id])
        return self._heads.get(Source.of(model).key(document_id))

    def knows_head(self, model: Model, document_id: Any) -> bool:
        """Whether `head` would answer without reading."""
        return Source.of(model).key(document_id) in self._heads

    def read_heads(self, model: Model, ids: Iterable[Any]) -> None:
        """Read the last events of many documents of a model at once."""
        recorder, wanted, source = recorder_of(model), list(ids), Source.of(model)
        if recorder is None or not wanted:
            return
        for document_id, head in zip(wanted, recorder.heads(self, model, wanted), strict=True):
            self._heads[source.key(document_id)] = head

    def writes(self) -> list[Write]:
        """All touched documents, in the order of their first touch."""
        return list(self._writes.values())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the current unit of the calling code for the length of a block."""
        token = _current.set(self)
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False
            _current.reset(token)

    # Writing ---------------------------------------------------------------------------

    def announce(self, kind: str, instance: Any) -> Write:
        """Note that the caller created, updated or deleted `instance`.

        `kind` is 'create', 'update' or 'delete'.  The signals of that kind are sent for it
        when the unit comes to its end.
        """
        source = Source.of(type(instance))
        document_id = stored_id(instance)
        write = self._touch(source, document_id, None)
        write.instance = instance
        self.operations.append((kind, write))
        return write

    def infer_operations(self) -> None:
        """Note as operations what the writes so far did to documents of recorded models."""
        for write in self._writes.values():
            known = any(each is write for _, each in self.operations)
            if not known and write.changed and recorder_of(write.model) is not None:
                kind = "create" if write.before is None else "update"
                self.operations.append(("delete" if write.after is None else kind, write))

    def touched(self, source: Source, document_id: Any, before: State | None) -> Write:
        """Called by the capture before (an update, a delete) or after (an insert) a write."""
        write = self._touch(source, document_id, before)
        write.fresh = False
        return write

    def is_touched(self, source: Source, document_id: Any) -> bool:
        """Whether the state of a document before this unit is already known."""
        return source.key(document_id) in self._writes

    def reread(self) -> None:
        """Read what is stored now for every document touched since the last call."""
        stale: dict[str, list[Write]] = {}
        for write in self._writes.values():
            if not write.fresh:
                stale.setdefault(write._source.name, []).append(write)
        for writes in stale.values():
            self._reread(writes)

    def _reread(self, writes: list[Write]) -> None:
        source = writes[0]._source
        query = {"_id": writes[0].id if len(writes) == 1 else {"$in": [w.id for w in writes]}}
        found = {id_key(state["_id"]): state for state in source.find(self, query)}
        for write in writes:
            write.after = found.get(id_key(write.id))
            write.fresh = True
            write.model = write._source.class_of(write.after or write.before)
            recorder = recorder_of(write.model)
            if recorder is not None:
                write.context = self.contexts.get(recorder)

    def _touch(self, source: Source, document_id: Any, before: State | None) -> Write:
        key = source.key(document_id)
        write = self._writes.get(key)
        if write is None:
            write = self._writes[key] = Write(self, source, source.exact(document_id), before)
        return write


class Source:
    """Where the documents of a class are stored, read exactly as they are stored."""

    def __init__(self, model: Model, collection: Any) -> None:
        self.model = model
        self.collection = collection
        self.name: str = collection.full_name
        self._real = isinstance(collection, Collection)
        self._raw = (
            collection.with_options(
                # Queries are written as the model's own are: with its representation of UUIDs.
                codec_options=collection.codec_options.with_options(document_class=RawBSONDocument),
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern(),
            )
            if self._real
            else collection
        )

    @classmethod
    def of(cls, model: Model) -> Source:
        """The source of a Document class."""
        collection = model._get_collection()
        if isinstance(collection, CapturedCollection):
            return collection.source
        return cls(model, collection)

    def exact(self, value: Any) -> Any:
        """A value as `find` gives it: models and drivers have Python types of their own."""
        if not self._real or isinstance(value, ObjectId | str | int):
            return value
        stored = bson.encode({"": value}, codec_options=self.collection.codec_options)
        return bson.decode(stored, EXACT)[""]

    def key(self, document_id: Any) -> tuple[str, bytes]:
        """What tells a document from all others."""
        return self.name, id_key(self.exact(document_id))

    def find(self, unit: Unit | None, query: Mapping[str, Any], **options: Any) -> Iterable[State]:
        """The stored content of all documents that match a query of MongoDB's language."""
        if not self._real:
            return [copy.deepcopy(state) for state in self._raw.find(query, **options)]
        session = None if unit is None else unit.session
        return [_exactly(raw) for raw in self._raw.find(query, session=session, **options)]

    def find_one(self, unit: Unit | None, query: Mapping[str, Any], **options: Any) -> State | None:
        """The first match, or None."""
        for state in self.find(unit, query, limit=1, **options):
            return state
        return None

    def load(self, state: State) -> Any:
        """The document of a stored state, as MongoEngine would have loaded it.

        Raises what MongoEngine raises for a state that its model cannot hold.
        """
        if self._real:
            state = bson.decode(bson.encode(state), self.collection.codec_options)
        else:
            state = copy.deepcopy(state)
        return self.class_of(state)._from_son(state)

    def matches(self, state: State, query: Mapping[str, Any]) -> bool:
        """Whether a state, stored or past, would be found by a query; the server decides."""
        if not self._real:
            filtering = import_module("mongomock.filtering")
            return bool(filtering.filter_applies(query, state))
        database = self._raw.database
        pipeline: list[Mapping[str, Any]] = [
            {"$documents": [{"$literal": state}]},
            {"$match": query},
            {"$project": {"_id": 1}},
        ]
        return any(True for _ in database.aggregate(pipeline))

    def class_of(self, state: State | None) -> Model:
        """The class that a stored state names in `_cls`, else this source's."""
        name = None if state is None else state.get("_cls")
        if not isinstance(name, str) or name == self.model._class_name:
            return self.model
        if not self.model._meta.get("allow_inheritance"):
            return self.model
        try:
            found: Model = get_document(name)
        except Exception:  # MongoEngine's NotRegistered: the class has been removed since
            return self.model
        return found


class CapturedCollection:
    """A collection whose writes within a unit of work are seen by it.

    Takes the place of a Document class's collection; outside of a unit it hands every
    call on unchanged.  `prepared` says that the class has all its indexes.
    """

    def __init__(self, model: Model, collection: Any, source: Source | None = None) -> None:
        self._collection = collection
        self.source = source or Source(model, collection)
        self.prepared = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def __getitem__(self, name: str) -> Any:
        return self._collection[name]

    # MongoEngine compares collections to find documents that refer to their own kind.
    def __eq__(self, other: object) -> bool:
        if isinstance(other, CapturedCollection):
            return bool(self._collection == other._collection)
        return bool(self._collection == other)

    def __hash__(self) -> int:
        return hash(self.source.name)

    def __repr__(self) -> str:
        return f"CapturedCollection({self._collection!r})"

    def with_options(self, *args: Any, **kwargs: Any) -> CapturedCollection:
        """As PyMongo's; the result is captured too."""
        model = self.source.model
        return CapturedCollection(
            model, self._collection.with_options(*args, **kwargs), self.source
        )

    # Writes ----------------------------------------------------------------------------

    def insert_one(self, document: Any, *args: Any, **kwargs: Any) -> Any:
        result = self._run("insert_one", document, *args, **kwargs)
        self._inserted([result.inserted_id])
        return result

    def insert_many(self, documents: Any, *args: Any, **kwargs: Any) -> Any:
        result = self._run("insert_many", documents, *args, **kwargs)
        self._inserted(result.inserted_ids)
        return result

    def update_one(self, query: Any, update: Any, *args: Any, **kwargs: Any) -> Any:
        query, found = self._one(query, kwargs)
        if not found and kwargs.get("upsert") and "array_filters" not in kwargs:
            self._refuse_fragment(query)
        result = self._run("update_one", query, update, *args, **kwargs)
        self._inserted([] if result.upserted_id is None else [result.upserted_id])
        return result

    def replace_one(self, query: Any, replacement: Any, *args: Any, **kwargs: Any) -> Any:
        query, _ = self._one(query, kwargs)
        result = self._run("replace_one", query, replacement, *args, **kwargs)
        self._inserted([] if result.upserted_id is None else [result.upserted_id])
        return result

    def update_many(self, query: Any, update: Any, *args: Any, **kwargs: Any) -> Any:
        self._many(query, kwargs)
        result = self._run("update_many", query, update, *args, **kwargs)
        self._inserted([] if result.upserted_id is None else [result.upserted_id])
        return result

    def delete_one(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        query, _ = self._one(query, kwargs)
        return self._run("delete_one", query, *args, **kwargs)

    def delete_many(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        self._many(query, kwargs)
        return self._run("delete_many", query, *args, **kwargs)

    def find_one_and_delete(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        query, _ = self._one(query, kwargs)
        return self._run("find_one_and_delete", query, *args, **kwargs)

    def find_one_and_replace(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        return self._find_and("find_one_and_replace", query, *args, **kwargs)

    def find_one_and_update(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        return self._find_and("find_one_and_update", query, *args, **kwargs)

    def bulk_write(self, *args: Any, **kwargs: Any) -> Any:
        if self._unit() is not None:
            raise BzzError(
                f"bulk_write on {self.source.name} cannot be recorded; "
                "save the documents, or update them with a queryset."
            )
        return self._run("bulk_write", *args, **kwargs)

    # How -------------------------------------------------------------------------------

    def _unit(self) -> Unit | None:
        unit = current_unit()
        if unit is None:
            return None
        model = self.source.model
        # Without a recorder and with nobody listening, reading before and after is waste.
        if recorder_of(model) is None and not before_commit.has_receivers_for(model):
            return None
        return unit

    def _run(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        unit = current_unit()
        if unit is None or unit.session is None:
            return getattr(self._collection, operation)(*args, **kwargs)
        kwargs.setdefault("session", unit.session)
        try:
            return getattr(self._collection, operation)(*args, **kwargs)
        except PyMongoError as error:
            # The server has aborted the transaction, whatever the caller makes of the error.
            unit.failure = unit.failure or error
            raise

    def _inserted(self, ids: Iterable[Any]) -> None:
        unit = self._unit()
        if unit is not None:
            for document_id in ids:
                unit.touched(self.source, document_id, None)

    def _one(self, query: Any, options: Mapping[str, Any]) -> tuple[Any, bool]:
        """Note the one document that the operation is about to touch, and name it in the query."""
        unit = self._unit()
        if unit is None:
            return query, True
        if set(query) == {"_id"} and unit.is_touched(self.source, query["_id"]):
            unit.touched(self.source, query["_id"], None)
            return query, True
        how = {name: options[name] for name in _WHICH_ONE if options.get(name)}
        state = self.source.find_one(unit, query, **how)
        if state is None:
            return query, False
        unit.touched(self.source, state["_id"], state)
        return {**query, "_id": state["_id"]}, True

    def _many(self, query: Any, options: Mapping[str, Any]) -> None:
        unit = self._unit()
        if unit is None:
            return
        how = {name: options[name] for name in _WHICH_MANY if options.get(name)}
        for state in self.source.find(unit, query, **how):
            unit.touched(self.source, state["_id"], state)

    def _find_and(self, operation: str, query: Any, *args: Any, **kwargs: Any) -> Any:
        query, found = self._one(query, kwargs)
        result = self._run(operation, query, *args, **kwargs)
        unit = self._unit()
        if unit is not None and not found and kwargs.get("upsert"):
            for state in self.source.find(unit, query):
                unit.touched(self.source, state["_id"], None)
        return result

    def _refuse_fragment(self, query: Any) -> None:
        # Document.save() upserts; of a document that vanished it would store only what
        # changed.  A queryset's own upsert passes `array_filters` and is left alone.
        if set(query) == {"_id"} and self._unit() is not None:
            name = self.source.model.__name__
            raise Conflict(
                f"{name} {query['_id']} was deleted by another writer; "
                "saving it would store a fragment. Load it again."
            )


# The options of a write that decide which documents it meets.
_WHICH_MANY = ("collation",)
_WHICH_ONE = ("sort", *_WHICH_MANY)


def watch(model: Model) -> None:
    """See the writes of a model, and of the classes that inherit from it, from now on.

    A queryset is given its collection when it is made, which may be long before the
    connection is prepared: what it writes later is seen too.
    """
    given = model._get_collection.__func__
    if hasattr(given, "__wrapped__"):
        return

    @wraps(given)
    def captured(cls: Model) -> Any:
        collection = given(cls)
        # Another one only while `switch_collection` holds: those documents are not the model's.
        if isinstance(collection, CapturedCollection) or collection.name != _own_name(cls):
            return collection
        cls._collection = CapturedCollection(cls, collection)
        return cls._collection

    model._get_collection = classmethod(captured)


def _own_name(model: Model) -> str | None:
    name: str | None = model._meta.get("collection")
    return name


def id_key(document_id: Any) -> bytes:
    """A document id as a dictionary key: typed, and hashable for ids that are objects."""
    if isinstance(document_id, float | int) and not isinstance(document_id, bool):
        # MongoDB takes 1, 1.0 and NumberLong(1) for one and the same _id.
        document_id = int(document_id) if document_id == document_id // 1 else document_id
    return encoded(document_id)


def stored_id(instance: Any) -> Any:
    """The primary key of a document, as its model would store it."""
    field = instance._fields[instance._meta["id_field"]]
    return None if instance.pk is None else field.to_mongo(instance.pk)


def _exactly(raw: RawBSONDocument) -> State:
    return bson.decode(raw.raw, EXACT)
