"""Write many documents in bounded transactions, each document with an event of its own.

The writes are MongoEngine's, of a part of the documents at a time, within `auditor.write`; the
capture sees them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mongoengine import Document

from bzz.audit.context import correlation_from
from bzz.audit.errors import BulkFailed
from bzz.audit.events import SYSTEM
from bzz.audit.scope import batches
from bzz.recording import Model
from bzz.source import Source, stored_id
from bzz.unit import current_unit

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

BATCH = 100
"""Documents of one transaction; what rules of deletion change besides comes on top."""


def update_all(
    auditor: Auditor, queryset: Any, changes: dict[str, Any], context: dict[str, Any]
) -> int:
    """Update the documents of a queryset.  `Auditor.update` says the rest."""
    auditor.tracked_as(queryset._document)
    _check_names(queryset._document, changes, context)
    return _in_transactions(auditor, _updates(queryset, changes), context)


def delete_all(auditor: Auditor, queryset: Any, context: dict[str, Any]) -> int:
    """Delete the documents of a queryset.  `Auditor.delete` says the rest."""
    auditor.tracked_as(queryset._document)
    return _in_transactions(auditor, _deletions(queryset), context)


def insert_all(auditor: Auditor, documents: Iterable[Any], context: dict[str, Any]) -> int:
    """Insert new documents.  `Auditor.insert` says the rest."""
    given = [documents] if isinstance(documents, Document) else documents
    return _in_transactions(auditor, _insertions(auditor, given), context)


def _in_transactions(
    auditor: Auditor, works: Iterable[Callable[[], int]], context: dict[str, Any]
) -> int:
    """Each of `works` in a transaction, or all in the one that there is; the sum of their values.

    They are made one by one, each when those before it are committed.
    """
    if current_unit() is not None:
        return sum(work() for work in works)
    auditor.prepare()
    context = {**context, "correlation": context["correlation"] or correlation_from({})}
    done = 0
    try:
        for work in works:
            done += auditor.write(work, **context)
    except Exception as error:
        if not done:
            raise
        raise BulkFailed(done, error) from error
    return done


# Updating ------------------------------------------------------------------------------


def _updates(queryset: Any, changes: dict[str, Any]) -> Iterator[Callable[[], int]]:
    if queryset._none or queryset._empty:
        return
    found = False
    if changes.get("multi", True) and current_unit() is None:
        for ids in _matching(queryset):
            found = True
            # Where none of these matches any more, nothing is to be made of the query.
            yield partial(_update, _part(queryset, ids), {**changes, "upsert": False})
    if not found:
        yield partial(_update, queryset, changes)


def _update(queryset: Any, changes: dict[str, Any]) -> int:
    return int(queryset.update(**changes) or 0)


def _check_names(model: Any, changes: dict[str, Any], context: dict[str, Any]) -> None:
    for name, value in context.items():
        if value is not None and value is not SYSTEM and name in model._fields:
            raise TypeError(
                f"{model.__name__} has a field {name!r}, and {name}= of a bulk write is that of "
                f"its events: set__{name}=… sets the field; for the events, run the update "
                f"within auditor.write(function, {name}=…)."
            )
    if "full_result" in changes:
        raise TypeError("auditor.update returns the number of documents: there is no full_result.")


# Deleting ------------------------------------------------------------------------------


def _deletions(queryset: Any) -> Iterator[Callable[[], int]]:
    if queryset._none or queryset._empty:
        return
    if current_unit() is not None:
        yield partial(_delete, queryset)
    elif queryset._skip or queryset._limit:
        # MongoEngine then deletes document by document, in the order of the queryset.
        for ids in batches((each["_id"] for each in queryset.clone()._cursor), BATCH):
            yield partial(_delete_each, _part(queryset, ids), ids)
    else:
        for ids in _matching(queryset):
            yield partial(_delete, _part(queryset, ids))


def _delete(queryset: Any) -> int:
    return int(queryset.delete() or 0)


def _delete_each(queryset: Any, ids: list[Any]) -> int:
    source = Source.of(queryset._document)
    place = {source.key(each): number for number, each in enumerate(ids)}
    documents = sorted(queryset, key=lambda each: place[source.key(stored_id(each))])
    for document in documents:
        document.delete()
    return len(documents)


# Inserting -----------------------------------------------------------------------------


def _insertions(auditor: Auditor, documents: Iterable[Any]) -> Iterator[Callable[[], int]]:
    for batch in batches(documents, BATCH):
        for each in batch:
            if not isinstance(each, Document):
                raise TypeError(f"auditor.insert takes documents, not a {type(each).__name__}.")
            auditor.tracked_as(type(each))
        yield partial(_insert, batch, [each._created for each in batch])


def _insert(documents: list[Any], created: list[bool]) -> int:
    for document, is_new in zip(documents, created, strict=True):
        # An attempt that the database has taken back leaves them with ids, and no longer new.
        document._created = is_new
    for kind, group in groupby(documents, type):
        model: Model = kind
        model.objects.insert(list(group), load_bulk=False)
    return len(documents)


# Parts of a queryset -------------------------------------------------------------------


def _matching(queryset: Any) -> Iterator[list[Any]]:
    """The ids of the documents that match now, in batches.

    In the order of the ids, so that no change of a document makes the server find it twice.
    """
    source = Source.of(queryset._document)
    found = source.each(None, queryset._query, projection={"_id": 1}, sort=[("_id", 1)])
    yield from batches((each["_id"] for each in found), BATCH)


def _part(queryset: Any, ids: list[Any]) -> Any:
    """The documents of some ids that match a queryset, as a queryset of its class."""
    query, mine = queryset._query, {"_id": {"$in": ids}}
    # Side by side where that is possible: some operators must not stand below an $and.
    both = {"$and": [query, mine]} if "_id" in query else {**query, **mine}
    return type(queryset)(queryset._document, queryset._collection_obj)(__raw__=both)
