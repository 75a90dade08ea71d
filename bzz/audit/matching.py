"""Whether an event that is in memory meets a query, as the database would decide it.

Knows just as much of MongoDB's language as filters of events are written in, and refuses the
rest: a filter that means one thing here and another there would lose events.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import bson

from bzz.values import EXACT

Stored = Mapping[str, Any]
Test = Callable[[Any], bool]

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


def matcher(query: Mapping[str, Any]) -> Callable[[Stored], bool]:
    """The function that says whether an event as stored (decoded with `EXACT`) meets a query.

    Knows `$and` and `$or`; equality, `$lt`, `$lte`, `$gt`, `$gte`, `$in` and `$regex` of members,
    whose paths may lead into lists; values are texts, numbers, dates, and lists of texts.  Two
    queries that are the same have the same function.  Raises `ValueError` for operators that it
    does not know.
    """
    return _matcher(bson.encode(dict(query), codec_options=EXACT))


@lru_cache(maxsize=1024)
def _matcher(sent: bytes) -> Callable[[Stored], bool]:
    """As `matcher`; of what is sent: of times the database gets no more than milliseconds."""
    query: dict[str, Any] = bson.decode(sent, EXACT)
    return _all_of(query)


def _all_of(query: Mapping[str, Any]) -> Callable[[Stored], bool]:
    tests = [_condition(name, value) for name, value in query.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda event: all(test(event) for test in tests)


def _condition(name: str, value: Any) -> Callable[[Stored], bool]:
    if name == "$and":
        every = [_all_of(each) for each in value]
        return lambda event: all(test(event) for test in every)
    if name == "$or":
        some = [_all_of(each) for each in value]
        return lambda event: any(test(event) for test in some)
    if name.startswith("$"):
        raise ValueError(f"The operator {name!r} is not one of events in memory.")
    path, test = name.split("."), _test(value)
    return lambda event: any(test(found) for found in _values(event, path))


def _test(condition: Any) -> Test:
    if not isinstance(condition, dict):
        return lambda found: _is_equal(found, condition)
    tests = [_operator(name, value) for name, value in condition.items()]
    return lambda found: all(test(found) for test in tests)


def _operator(name: str, value: Any) -> Test:
    if name == "$in":
        return lambda found: any(_is_equal(found, each) for each in value)
    if name == "$regex":
        search = re.compile(value).search
        return lambda found: isinstance(found, str) and search(found) is not None
    if name in _COMPARED:
        compare, kind = _COMPARED[name], _kind(value)
        return lambda found: _kind(found) is kind and compare(found, value)
    raise ValueError(f"The operator {name!r} is not one of events in memory.")


def _is_equal(found: Any, value: Any) -> bool:
    return _kind(found) is _kind(value) and bool(found == value)


def _kind(value: Any) -> type:
    """The type as far as it keeps values apart: numbers of all types compare with each other."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float
    return type(value)


def _values(found: Any, path: list[str]) -> Iterator[Any]:
    """What a path leads to: a value, and of a list its elements too."""
    if not path:
        yield found
        if isinstance(found, list):
            yield from found
        return
    name, *rest = path
    if isinstance(found, Mapping):
        if name in found:
            yield from _values(found[name], rest)
    elif isinstance(found, list):
        if name.isdecimal() and int(name) < len(found):
            yield from _values(found[int(name)], rest)
        for each in found:
            if isinstance(each, Mapping) and name in each:
                yield from _values(each[name], rest)
