"""A place in MongoDB's order of rows: sort keys, what comes after one, and its text, the cursor.

A cursor is a place in the order, not a number of rows: it holds the sort key of the last row that
was shown, and the next page is what MongoDB sorts after that key.  Rows written or deleted between
two pages shift nothing; a row whose own sort key changes may be met again or not at all.

MongoDB sorts values of any type: by type first (nothing and null, numbers, text, objects, …), NaN
before all numbers.  A list counts as its smallest element, when the order is descending as its
largest; an empty one as less than nothing.  The comparison is left to the server, in the same
terms, so that both always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

from bson import Decimal128, ObjectId

from bzz.errors import BadRequest
from bzz.query import ListQuery, Sort
from bzz.tokens import make_token, read_token

Expression: TypeAlias = Any

MAX_CURSOR: Final = 6000
_NOTHING: Final = [0, None]
_EMPTY_LIST: Final = [-0.5, None]
# Types whose order within the type an index can be asked for.
_INDEXED: Final = (int, float, Decimal128, str, ObjectId, bytes, UUID, datetime)


def order_of(sort: Sequence[Sort]) -> dict[str, int]:
    """Return the order as a `$sort` stage wants it."""
    return {".".join(each.path): -1 if each.descending else 1 for each in sort}


def key_of(sort: Sort) -> Expression:
    """Return an expression for what MongoDB sorts a row by.

    Its value is the key of the row, or a pair of a rank and the key: ranks put empty lists,
    which sort as MongoDB's old `undefined`, in their place.
    """
    if sort.path == ("_id",):
        return "$_id"
    first, *rest = sort.path
    extreme = "$gt" if sort.descending else "$lt"
    pairs = _pairs(f"${first}", rest)
    return {
        "$reduce": {
            "input": pairs,
            "initialValue": {"$arrayElemAt": [pairs, 0]},
            "in": {"$cond": [{extreme: ["$$this", "$$value"]}, "$$this", "$$value"]},
        }
    }


def _pairs(value: str, rest: Sequence[str]) -> Expression:
    """All that MongoDB would put in an index for a path: lists are entered, once at each name."""
    listed = {"$cond": [{"$isArray": [value]}, value, [value]]}
    if not rest:
        # $cmp with null tells MinKey (-1) and null (0) from the rest (1); between the first
        # two is the place of an empty list.
        pair = [{"$cmp": ["$$each", None]}, "$$each"]
        each = {"$map": {"input": listed, "as": "each", "in": pair}}
        return {"$cond": [{"$eq": [value, []]}, [_EMPTY_LIST], each]}
    below = _pairs(f"$$this.{rest[0]}", rest[1:])
    inner = {"$cond": [{"$isArray": ["$$this"]}, [_NOTHING], below]}
    return {
        "$cond": [
            {"$eq": [value, []]},
            [_NOTHING],
            {
                "$reduce": {
                    "input": {"$map": {"input": listed, "as": "this", "in": inner}},
                    "initialValue": [],
                    "in": {"$concatArrays": ["$$value", "$$this"]},
                }
            },
        ]
    }


def beyond(sort: Sequence[Sort], keys: Sequence[Any]) -> dict[str, Any]:
    """Return the condition for the rows that come after a row with these keys.

    `keys` are what the expressions of `key_of` gave for that row.
    """
    names = [f"$$key{index}" for index in range(len(sort))]
    equal = [{"$eq": [name, {"$literal": key}]} for name, key in zip(names, keys, strict=True)]
    later = [
        {"$lt" if each.descending else "$gt": [name, {"$literal": key}]}
        for each, name, key in zip(sort, names, keys, strict=True)
    ]
    ladder = [{"$and": [*equal[:index], step]} for index, step in enumerate(later)]
    variables = {f"key{index}": key_of(each) for index, each in enumerate(sort)}
    exact = {"$expr": {"$let": {"vars": variables, "in": {"$or": ladder}}}}
    return {"$and": [*_bounds(sort[0], keys[0]), exact]}


def _bounds(first: Sort, key: Any) -> list[dict[str, Any]]:
    """A condition that loses no later row, for an index to begin at the cursor.

    A row one of whose values lies before the cursor lies before it as a whole, since a list
    counts as the extreme of its elements.  That fails below a name that holds lists, and for
    values that do not compare within their type, so there the exact condition stands alone.
    """
    value = key[1] if isinstance(key, list) and len(key) == 2 else key
    if len(first.path) > 1 or not isinstance(value, _INDEXED) or value != value:
        return []
    if first.descending:
        return [{first.path[0]: {"$not": {"$gt": value}}}]
    return [{first.path[0]: {"$not": {"$lt": value}, "$ne": None}}]


def make_cursor(query: ListQuery, keys: Sequence[Any], options: Any) -> str:
    """Return the text of a place: URL-safe, and good for this list, filter and sort only.

    `options` are the codec options with which the keys were read.  Raises `BadRequest` when
    the keys are too long for a URL.
    """
    text = make_token({"l": query.fingerprint, "k": list(keys)}, options)
    if len(text) > MAX_CURSOR:
        raise BadRequest(
            "The last value of this page is too long to go on from; sort by another field,"
            " or use page and per_page."
        )
    return text


def read_cursor(query: ListQuery, options: Any, length: int) -> list[Any]:
    """Return the `length` keys of the query's cursor; raises `BadRequest` if it is not its own."""
    try:
        document = read_token(query.cursor or "", options)
    except ValueError as error:
        raise wrong_cursor() from error
    keys = document.get("k")
    if document.get("l") != query.fingerprint or not isinstance(keys, list):
        raise wrong_cursor()
    if len(keys) != length:
        raise wrong_cursor()
    return keys


def wrong_cursor() -> BadRequest:
    """Return the error for a cursor that no page of this list has given out."""
    return BadRequest(
        "cursor is not one of this list with these filters and this sort; take it from the"
        " link to the next page, or leave it out to begin again."
    )
