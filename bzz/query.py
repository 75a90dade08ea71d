"""Read the query string of a list into one frozen value.  Knows no database and no HTTP.

What is no control (`CONTROLS`) is a filter.  A path into embedded documents, maps and dynamic
members is written with `__` or dots (`address__street__icontains=main`, `sort=-address.street`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, takewhile
from typing import Any, Final

from mongoengine.fields import EmbeddedDocumentField

from bzz.errors import BadRequest
from bzz.filters import Filter, parse_filters
from bzz.paths import Target, is_index, locate, quoted, split_path
from bzz.schema import Schema

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_SORT_FIELDS: Final = 8

CONTROLS: Final = ("cursor", "fields", "limit", "page", "per_page", "sort")

_WHOLE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Sort:
    """One field to sort by: its stored path, and whether the largest come first."""

    path: tuple[str, ...]
    descending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """What a client asks of a list.

    Attributes
    ----------
    filters: conditions, all of which hold.
    sort: fields to sort by, the first one first; empty leaves the order to the list.
    fields: paths that the items should show; None for all.
    limit: how many items a page has.
    cursor: where the last page ended, opaque; None for the first.
    page: number of the page, from 1, when pages are counted; else None.
    fingerprint: short digest of filters and sort: a cursor is good for that list only.
    """

    filters: tuple[Filter, ...] = ()
    sort: tuple[Sort, ...] = ()
    fields: tuple[tuple[str, ...], ...] | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    page: int | None = None
    fingerprint: str = ""


def parse_list_query(schema: Schema, arguments: Iterable[tuple[str, str]]) -> ListQuery:
    """Read the decoded arguments of a list's query string.

    Arguments may be repeated: every filter holds, and `in`, `nin`, `all`, `sort` and `fields`
    join what they are given.  Commas part the values of `in`, `nin` and `all`; `\\,` is a
    comma inside one.

    Raises `BadRequest`, naming what is allowed, for an unknown parameter, field or operator,
    and for a value that its field cannot have.
    """
    controls: dict[str, list[str]] = {}
    conditions: dict[str, list[str]] = {}
    for name, value in arguments:
        given = controls if name in CONTROLS else conditions
        given.setdefault(name, []).append(value)
    cursor, limit, page = _place(controls)
    return ListQuery(
        filters=tuple(parse_filters(schema, conditions, CONTROLS)),
        sort=_sort(schema, _listed(controls, "sort")),
        fields=_fields(schema, _listed(controls, "fields")),
        limit=limit,
        cursor=cursor,
        page=page,
        fingerprint=_fingerprint(schema, controls, conditions),
    )


def project(representation: Mapping[str, Any], fields: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what `fields` (paths of names) leave of a representation, in its own order.

    A path goes into every element of a list; one that leads nowhere is left out.
    """
    below: dict[str, list[Sequence[str]]] = {}
    for path in fields:
        below.setdefault(path[0], []).append(path[1:])
    return {
        name: _within(value, below[name]) for name, value in representation.items() if name in below
    }


def _within(value: Any, paths: list[Sequence[str]]) -> Any:
    if not all(paths):
        return value
    if isinstance(value, Mapping):
        return project(value, paths)
    if isinstance(value, list):
        return [_within(item, paths) for item in value]
    return value


# Where in the list


def _place(controls: Mapping[str, list[str]]) -> tuple[str | None, int, int | None]:
    """Read cursor, limit and page, which must not contradict each other."""
    cursor = _single(controls, "cursor")
    by_page = [name for name in ("page", "per_page") if name in controls]
    by_cursor = [name for name in ("cursor", "limit") if name in controls]
    if by_page and by_cursor:
        raise BadRequest(
            f"{by_cursor[0]} and {by_page[0]} cannot go together: use limit and cursor,"
            " or page and per_page."
        )
    size = _number(controls, "per_page" if by_page else "limit", DEFAULT_LIMIT, most=MAX_LIMIT)
    page = _number(controls, "page", 1) if by_page else None
    return cursor, size, page


def _single(controls: Mapping[str, list[str]], name: str) -> str | None:
    values = controls.get(name, [])
    if len(values) > 1:
        raise BadRequest(f"{name} is given {len(values)} times; give it once.")
    return values[0] if values else None


def _number(
    controls: Mapping[str, list[str]], name: str, default: int, *, most: int | None = None
) -> int:
    text = _single(controls, name)
    if text is None:
        return default
    number = int(text) if _WHOLE.fullmatch(text) else 0
    if number < 1 or (most is not None and number > most):
        allowed = f"from 1 to {most}" if most is not None else "from 1 on"
        raise BadRequest(f"{name} is a whole number {allowed}, not {quoted(text)}.")
    return number


def _listed(controls: Mapping[str, list[str]], name: str) -> list[str] | None:
    if name not in controls:
        return None
    items = [item.strip() for text in controls[name] for item in text.split(",")]
    if not all(items):
        raise BadRequest(f"{name} is a list of field names with commas between them.")
    return items


def _fingerprint(
    schema: Schema, controls: Mapping[str, list[str]], conditions: Mapping[str, list[str]]
) -> str:
    named = {name: sorted(values) for name, values in conditions.items()}
    facts = [schema.model.__name__, named, controls.get("sort", [])]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# Fields and sort


def _fields(schema: Schema, items: list[str] | None) -> tuple[tuple[str, ...], ...] | None:
    if items is None:
        return None
    paths = tuple(split_path(item) for item in items)
    # A model's own to_dict() may show members that are no fields.
    if not hasattr(schema.model, "to_dict"):
        for path in paths:
            locate(schema, path)
    return paths


def _sort(schema: Schema, items: list[str] | None) -> tuple[Sort, ...]:
    if not items:
        return ()
    if len(items) > MAX_SORT_FIELDS:
        raise BadRequest(f"sort takes at most {MAX_SORT_FIELDS} fields, not {len(items)}.")
    targets = [locate(schema, split_path(item[item[0] in "+-" :])) for item in items]
    for target in targets:
        _check_sortable(target)
    for one, other in combinations(targets, 2):
        _check_together(one, other)
    return tuple(
        Sort(target.stored, item.startswith("-"))
        for target, item in zip(targets, items, strict=True)
    )


def _check_sortable(target: Target) -> None:
    if any(is_index(name) for name in target.names[1:]):
        raise BadRequest(f"A list cannot be sorted by {target.label}: by an index, nothing sorts.")


def _check_together(one: Target, other: Target) -> None:
    """MongoDB picks one element of a list for all sort fields at once, or refuses two lists."""
    if one.stored == other.stored:
        raise BadRequest(f"sort names {other.label} twice.")
    if one.crosses_list and other.crosses_list:
        raise BadRequest(
            f"{one.label} and {other.label} are both lists; sort takes one list at most."
        )
    pairs = zip(one.stored, other.stored, strict=False)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    if shared and not isinstance(one.through[shared - 1], EmbeddedDocumentField):
        raise BadRequest(
            f"{one.label} and {other.label} may lie in one list; sort takes one of them only."
        )
