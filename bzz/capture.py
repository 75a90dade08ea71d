"""Let a unit of work see every write to the collection of a Document class.

MongoEngine sends no signal for what NULLIFY and PULL change, nor for updates made with
querysets; so the capture stands where all of its writes pass, at the collection itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import wraps
from typing import Any

from pymongo.errors import PyMongoError

from bzz import deferral
from bzz.errors import BzzError, Conflict
from bzz.recording import Model
from bzz.source import Captured, Source
from bzz.unit import Unit, current_unit, is_observed


class CapturedCollection(Captured):
    """A collection whose writes within a unit of work are seen by it.

    Takes the place of a Document class's collection; outside of a unit it hands every
    call on unchanged.  `prepared` says that the class has all its indexes.
    """

    def __init__(self, model: Model, collection: Any, source: Source | None = None) -> None:
        self._collection = collection
        self.source = source or Source(model, collection)
        self.prepared = False

    def __getattr__(self, name: str) -> Any:
        if name not in _DESCRIPTIONS:
            deferral.send_deferred()
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
        # Each `save()` asks for the write concern that the collection has already.
        if not args and kwargs == {"write_concern": self._collection.write_concern}:
            return self
        model = self.source.model
        return CapturedCollection(
            model, self._collection.with_options(*args, **kwargs), self.source
        )

    # Writes ----------------------------------------------------------------------------

    def insert_one(self, document: Any, *args: Any, **kwargs: Any) -> Any:
        self._inserting([document])
        unit, deferred = self._unit(), deferral.of_this_save()
        if unit is None or deferred is None or args or kwargs:
            result = self._run("insert_one", document, *args, **kwargs)
        else:
            unit.begun = True
            result = deferred.insert_one(self._collection, document, unit)
        self._inserted([result.inserted_id])
        return result

    def insert_many(self, documents: Any, *args: Any, **kwargs: Any) -> Any:
        documents = list(documents)
        self._inserting(documents)
        result = self._run("insert_many", documents, *args, **kwargs)
        self._inserted(result.inserted_ids)
        return result

    def update_one(self, query: Any, update: Any, *args: Any, **kwargs: Any) -> Any:
        query, found = self._one(query, kwargs)
        if not found and kwargs.get("upsert") and "array_filters" not in kwargs:
            self._refuse_fragment(query)
        unit, deferred = self._unit(), deferral.of_this_save()
        can_wait = found and not args and _is_by_id(query, kwargs)
        if unit is not None and deferred is not None and can_wait:
            unit.begun = True
            return deferred.update_one(self._collection, query, update, unit)
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
        # Without a recorder and with nobody listening, reading before and after is waste.
        return current_unit() if is_observed(self.source.model) else None

    def _run(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        deferral.send_deferred()
        unit = current_unit()
        if unit is None or unit.session is None:
            return getattr(self._collection, operation)(*args, **kwargs)
        unit.begun = True
        kwargs.setdefault("session", unit.session)
        try:
            return getattr(self._collection, operation)(*args, **kwargs)
        except PyMongoError as error:
            # The server has aborted the transaction, whatever the caller makes of the error.
            unit.failure = unit.failure or error
            raise

    def _inserting(self, documents: Iterable[Any]) -> None:
        unit = self._unit()
        if unit is not None:
            for document in documents:
                if "_id" in document:
                    unit.claim(self.source, document["_id"])

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
        state = unit.find_one(self.source, query, **how)
        if state is None:
            return query, False
        unit.touched(self.source, state["_id"], state)
        return {**query, "_id": state["_id"]}, True

    def _many(self, query: Any, options: Mapping[str, Any]) -> None:
        unit = self._unit()
        if unit is None:
            return
        how = {name: options[name] for name in _WHICH_MANY if options.get(name)}
        for state in unit.find_all(self.source, query, **how):
            unit.touched(self.source, state["_id"], state)

    def _find_and(self, operation: str, query: Any, *args: Any, **kwargs: Any) -> Any:
        query, found = self._one(query, kwargs)
        result = self._run(operation, query, *args, **kwargs)
        unit = self._unit()
        if unit is not None and not found and kwargs.get("upsert"):
            for state in self.source.find(unit.session, query):
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


def _is_by_id(query: Any, options: Mapping[str, Any]) -> bool:
    """Whether an update meets one document, whatever is in it."""
    return set(query) == {"_id"} and options.keys() <= {"upsert"}


# What a collection says of itself; whatever else it is asked may be about its documents.
_DESCRIPTIONS = frozenset(
    {"codec_options", "database", "full_name", "name", "read_concern", "write_concern"}
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
