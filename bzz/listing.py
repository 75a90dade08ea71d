"""Read one page of a list from MongoDB, and say where the next one begins.

Owns paging by cursor (`bzz.keyset` says what a cursor is) and by number, what filters mean to
MongoDB, and the links between pages.  Knows no HTTP but the shape of these links.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from bson.codec_options import CodecOptions
from bson.errors import BSONError, InvalidBSON
from pymongo import MongoClient
from pymongo.errors import DocumentTooLarge, OperationFailure

from bzz.documents import unreadable
from bzz.errors import BadRequest, Unreadable
from bzz.filters import EQUALS, PATTERNS, Filter, stored_reference
from bzz.keyset import beyond, key_of, make_cursor, order_of, read_cursor, wrong_cursor
from bzz.query import ListQuery, Sort
from bzz.schema import Model, schema_of

QuerySet: TypeAlias = Any

_KEY: Final = "bzz sort key"
_BAD_VALUE: Final = 2
_TOO_DEEP: Final = 15
# A bare $ would also match before a line break that ends the text.
_ANCHORS: Final = {
    "contains": "{}",
    "startswith": "^{}",
    "endswith": "{}$(?!\n)",
    "exact": "^{}$(?!\n)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list.

    Attributes
    ----------
    documents: the documents, in order.
    cursor: where the next page begins; None on the last page, and when pages are counted.
    page, pages, total: number of this page, of all pages, of all documents; None unless the
        query asked for a page by its number.
    """

    documents: tuple[Any, ...]
    cursor: str | None = None
    page: int | None = None
    pages: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """The way on from a page: `next` relative to the host or None, `header` for `Link`."""

    next: str | None
    header: str


def run(queryset: QuerySet, query: ListQuery) -> Page:
    """Read the page of `queryset` that `query` asks for.

    Without a sort of its own the query follows the queryset's order, or the model's, and at
    last the primary key, which also decides between equals.  A page number past the end gives
    the last page.

    Raises `BadRequest` for a cursor that is not of this list, and for a sort that MongoDB
    refuses; `Unreadable` when a stored document cannot be loaded by its model.
    """
    try:
        if query.page is not None:
            return _counted(queryset, query, query.page)
        return _after_cursor(queryset, query)
    except InvalidBSON as error:
        name = queryset._document.__name__
        raise Unreadable(f"A stored {name} cannot be read from the database: {error}") from error
    except (OverflowError, UnicodeEncodeError, DocumentTooLarge, BSONError) as error:
        raise BadRequest(f"The list cannot be asked for that: {error}") from error
    except OperationFailure as error:
        refused = _refusal(query, error)
        if refused is None:
            raise
        raise refused from error


def _refusal(query: ListQuery, error: OperationFailure) -> BadRequest | None:
    """Which of the server's errors are the client's: one for rows, one for forged cursors."""
    if error.code == _BAD_VALUE and "parallel arrays" in str(error):
        return BadRequest(
            "A document holds lists in two of the sort fields, which MongoDB cannot sort by;"
            " sort by one of them."
        )
    return wrong_cursor() if query.cursor and error.code == _TOO_DEEP else None


def run_items(items: Sequence[Any], query: ListQuery) -> Page:
    """Page through items that are at hand, such as embedded documents; their order stays.

    Raises `BadRequest` when the query filters or sorts, or has a cursor of another list.
    """
    if query.filters or query.sort:
        raise BadRequest("This list shows its items as they are stored: no filters, no sort.")
    if query.page is not None:
        page, pages = _clamped(query.page, len(items), query.limit)
        start = (page - 1) * query.limit
        shown = tuple(items[start : start + query.limit])
        return Page(documents=shown, page=page, pages=pages, total=len(items))
    [start] = read_cursor(query, CodecOptions(), 1) if query.cursor else [0]
    if not isinstance(start, int) or start < 0:
        raise wrong_cursor()
    end = start + query.limit
    cursor = make_cursor(query, [end], CodecOptions()) if end < len(items) else None
    return Page(documents=tuple(items[start:end]), cursor=cursor)


def links(path: str, arguments: Iterable[tuple[str, str]], page: Page) -> Links:
    """Say how to go on from `page`.

    Args:
        path: the list's path, percent-encoded, as the request had it.
        arguments: the decoded arguments of the request's query string.
        page: what `run` returned for them.

    Returns the URL of the next page and the value of a `Link` header (RFC 8288) with `first`,
    `prev`, `next` and `last` as far as they are known.
    """
    kept = [(name, value) for name, value in arguments if name not in ("cursor", "page")]
    # A path that begins with // would name another host.
    base = "/" + quote(path.lstrip("/"), safe="/%:@!$&'()*+,;=~")

    def url(*place: tuple[str, str]) -> str:
        text = urlencode([*kept, *place], errors="surrogatepass")
        return f"{base}?{text}" if text else base

    found = {relation: url(*place) for relation, place in _places(page)}
    header = ", ".join(f'<{target}>; rel="{relation}"' for relation, target in found.items())
    return Links(found.get("next"), header)


def _places(page: Page) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    if page.page is None or page.pages is None:
        yield "first", []
        if page.cursor is not None:
            yield "next", [("cursor", page.cursor)]
        return
    yield "first", [("page", "1")]
    if page.page > 1:
        yield "prev", [("page", str(page.page - 1))]
    if page.page < page.pages:
        yield "next", [("page", str(page.page + 1))]
    yield "last", [("page", str(page.pages))]


# Pages


def _counted(queryset: QuerySet, query: ListQuery, asked: int) -> Page:
    match = _match(query.filters)
    counts = list(_aggregate(queryset, [*match, {"$count": "n"}]))
    total = counts[0]["n"] if counts else 0
    page, pages = _clamped(asked, total, query.limit)
    stages = [*match, {"$sort": order_of(_sort_of(queryset, query))}]
    if page > 1:
        stages.append({"$skip": (page - 1) * query.limit})
    stages.append({"$limit": query.limit})
    rows = _aggregate(queryset, stages)
    documents = tuple(_load(queryset, row) for row in rows)
    return Page(documents=documents, page=page, pages=pages, total=total)


def _clamped(asked: int, total: int, size: int) -> tuple[int, int]:
    pages = max(1, math.ceil(total / size))
    return min(asked, pages), pages


def _after_cursor(queryset: QuerySet, query: ListQuery) -> Page:
    collection = queryset._collection
    if not isinstance(collection.database.client, MongoClient):
        return _after_row(queryset, query)
    sort = _sort_of(queryset, query)
    options = collection.codec_options
    stages = _match(query.filters)
    if query.cursor is not None:
        keys = read_cursor(query, options, len(sort))
        stages.append({"$match": beyond(sort, keys)})
    stages += [{"$sort": order_of(sort)}, {"$limit": query.limit + 1}]
    # Read with the row, since a key read later could be that of a changed row.
    stages.append({"$set": {_KEY: [key_of(each) for each in sort]}})
    rows = list(_aggregate(queryset, stages))
    found = [row.pop(_KEY) for row in rows]
    more = len(rows) > query.limit
    documents = tuple(_load(queryset, row) for row in rows[: query.limit])
    cursor = make_cursor(query, found[query.limit - 1], options) if more else None
    return Page(documents=documents, cursor=cursor)


def _after_row(queryset: QuerySet, query: ListQuery) -> Page:
    """Page on mongomock, which cannot compare as MongoDB does: after the last row's id."""
    stages = [*_match(query.filters), {"$sort": order_of(_sort_of(queryset, query))}]
    rows = list(_aggregate(queryset, stages))
    if query.cursor is not None:
        [last] = read_cursor(query, CodecOptions(), 1)
        ids = [row["_id"] for row in rows]
        rows = rows[ids.index(last) + 1 :] if last in ids else []
    shown = rows[: query.limit]
    more = len(rows) > query.limit
    cursor = make_cursor(query, [shown[-1]["_id"]], CodecOptions()) if more else None
    return Page(documents=tuple(_load(queryset, row) for row in shown), cursor=cursor)


def _aggregate(queryset: QuerySet, stages: list[dict[str, Any]]) -> Any:
    """Run stages behind the queryset's own conditions and limits."""
    if queryset._limit is None and queryset._skip is None:
        # What follows sorts by itself.
        queryset = queryset.order_by()
    options = {
        "collation": queryset._collation,
        "hint": None if queryset._hint == -1 else queryset._hint,
        "comment": queryset._comment,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return queryset.aggregate(_projected(queryset, stages), **given)


def _projected(queryset: QuerySet, stages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add what the queryset's `only()` and `exclude()` leave of a row."""
    loaded = queryset._loaded_fields.as_dict() if queryset._loaded_fields else {}
    if not loaded or "$count" in stages[-1]:
        return stages
    if any(value == 1 for name, value in loaded.items() if name != "_id"):
        loaded = {**loaded, _KEY: 1}
    return [*stages, {"$project": loaded}]


def _load(queryset: QuerySet, row: dict[str, Any]) -> Any:
    model = queryset._document
    try:
        return model._from_son(row)
    except Exception as error:  # whatever a field's to_python raises
        raise unreadable(model, row, model._from_son) from error


# Order


def _sort_of(queryset: QuerySet, query: ListQuery) -> tuple[Sort, ...]:
    """The whole order: up to and with the primary key, which no two rows share."""
    chosen = query.sort or tuple(_own_order(queryset))
    names = [sort.path for sort in chosen]
    if ("_id",) in names:
        return chosen[: names.index(("_id",)) + 1]
    return (*chosen, Sort(("_id",), chosen[-1].descending if chosen else False))


def _own_order(queryset: QuerySet) -> Iterator[Sort]:
    ordering = queryset._ordering
    if ordering is None:
        default = queryset._document._meta.get("ordering") or []
        ordering = queryset.order_by(*default)._ordering
    for name, direction in ordering or []:
        # A text score is no member of a document, and has no place in a cursor.
        if direction in (1, -1) and not name.startswith("$"):
            yield Sort(tuple(name.split(".")), direction == -1)


# Conditions


def _match(filters: Sequence[Filter]) -> list[dict[str, Any]]:
    conditions = [condition for each in filters for condition in _conditions(each)]
    return [{"$match": {"$and": conditions}}] if conditions else []


def _conditions(given: Filter) -> Iterator[dict[str, Any]]:
    """What a filter asks of MongoDB; all of it must hold."""
    values = given.values if given.references is None else _looked_up(given)
    if given.operator == "all":
        for alternatives in values:
            yield {given.path: {"$in": list(alternatives)}}
        return
    yield {given.path: _test(given.operator, values)}


def _test(operator: str, values: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
    every = [value for alternatives in values for value in alternatives]
    if operator in (EQUALS, "in"):
        return {"$in": every} if len(every) != 1 else {"$eq": every[0]}
    if operator in ("ne", "nin"):
        return {"$nin": every} if len(every) != 1 else {"$ne": every[0]}
    if operator in PATTERNS:
        return _pattern(operator, every[0])
    return {f"${operator}": every[0]}


def _pattern(operator: str, text: str) -> Mapping[str, Any]:
    plain = operator.removeprefix("i")
    anchored = _ANCHORS[plain].format(re.escape(text))
    return {"$regex": anchored, "$options": "i" if plain != operator else ""}


def _looked_up(given: Filter) -> list[list[Any]]:
    """Turn ids, as URLs show them, into what the references to these documents hold."""
    model: Model = given.references
    schema = schema_of(model)
    found = [
        model.objects(**{schema.id_field or "pk": alternatives[0]}).scalar("pk")
        for alternatives in given.values
    ]
    return [[stored_reference(given.field, pk) for pk in pks] for pks in found]
