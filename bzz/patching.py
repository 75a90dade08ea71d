"""Patches on a document's content: JSON Merge Patch (RFC 7396) and JSON Patch (RFC 6902).

Both work on dicts of BSON values, so what a patch moves, copies or leaves alone keeps its type;
only values of the patch itself are JSON.  Nothing that is given is changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from bzz.errors import BadRequest, PatchConflict, TooLarge
from bzz.jsontext import MAX_DEPTH
from bzz.jsonvalues import show

# What `copy` operations may add up to: each can double a document, sixty of them anything.
MAX_COPIED = 1_000_000

MAX_OPERATIONS = 10_000

_NEEDS = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}


def merge_patch(target: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    """Return `target` with a JSON Merge Patch applied: null removes, objects merge.

    Raises `BadRequest` if the patch is not an object, since a document must stay one.
    """
    if not isinstance(patch, Mapping):
        raise BadRequest("A merge patch for a document must be an object.")
    return _merged(target, patch, 1)


def _merged(target: Any, patch: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise BadRequest(f"The patch is nested deeper than {MAX_DEPTH} levels.")
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            result[name] = _merged(result.get(name), value, depth + 1)
        else:
            result[name] = copy.deepcopy(value)
    return result


def json_patch(target: Mapping[str, Any], operations: Any) -> dict[str, Any]:
    """Return `target` with the operations of a JSON Patch applied, all or none.

    `test` compares JSON forms: a number with a number (1 is 1.0), true never with 1.

    Raises `BadRequest` for a malformed patch, `PatchConflict` (with the operation's index
    and path) when a test fails or a path is not there, `TooLarge` when its copies explode.
    """
    if not isinstance(operations, list):
        raise BadRequest("A JSON Patch must be a list of operations.")
    if len(operations) > MAX_OPERATIONS:
        raise TooLarge(f"A JSON Patch may have {MAX_OPERATIONS:,} operations.")
    for index, operation in enumerate(operations):
        _check_operation(index, operation)
    try:
        result = _run(copy.deepcopy(dict(target)), operations)
    except RecursionError as error:
        raise BadRequest("The patch nests values deeper than a document may.") from error
    if not isinstance(result, dict):
        raise BadRequest("The patch puts something else than an object in the document's place.")
    return result


def _run(result: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    copied = 0
    for index, operation in enumerate(operations):
        copied += _copied_values(result, index, operation)
        if copied > MAX_COPIED:
            raise TooLarge(f"The patch copies more than {MAX_COPIED:,} values.")
        result = _applied(result, index, operation)
    return result


def _check_operation(index: int, operation: Any) -> None:
    if not isinstance(operation, Mapping):
        raise BadRequest(f"Operation {index} of the patch is not an object.")
    name = operation.get("op")
    if not isinstance(name, str) or name not in _NEEDS:
        raise BadRequest(f"`op` of operation {index} must be one of: {', '.join(_NEEDS)}.")
    for member in ("path", *_NEEDS[name]):
        if member not in operation:
            raise BadRequest(f"Operation {index} ({name}) lacks `{member}`.")
    pointers = {member: _tokens(index, operation, member) for member in _pointers_of(name)}
    if name == "remove" and not pointers["path"]:
        raise BadRequest(f"Operation {index} removes the whole document; use DELETE for that.")
    if name == "move" and _is_inside(pointers["path"], pointers["from"]):
        raise BadRequest(f"Operation {index} moves a value into itself.")


def _pointers_of(name: str) -> tuple[str, ...]:
    return ("path", "from") if "from" in _NEEDS[name] else ("path",)


def _is_inside(path: Sequence[str], whole: Sequence[str]) -> bool:
    return len(path) > len(whole) and path[: len(whole)] == whole


def _tokens(index: int, operation: Mapping[str, Any], member: str) -> list[str]:
    pointer = operation[member]
    try:
        return list(jsonpointer.JsonPointer(pointer).parts)
    except (jsonpointer.JsonPointerException, TypeError, AttributeError) as error:
        raise BadRequest(
            f"`{member}` of operation {index} is not a JSON Pointer like /address/street."
        ) from error


def _applied(target: Any, index: int, operation: Mapping[str, Any]) -> Any:
    name, path = operation["op"], operation["path"]
    tokens = _tokens(index, operation, "path")
    if name != "add" or tokens:
        _check_there(target, index, path, tokens, new=name in ("add", "move", "copy"))
    if name == "test":
        if not _json_equal(show(_at(target, tokens)), operation["value"]):
            raise _conflict(index, path, "the value there is another")
        return target
    if not tokens and name in ("add", "replace"):
        return copy.deepcopy(operation["value"])
    if not tokens:
        return copy.deepcopy(_at(target, _tokens(index, operation, "from")))
    try:
        # The library keeps the values that it is given, and later operations change them.
        return jsonpatch.JsonPatch([copy.deepcopy(dict(operation))]).apply(target, in_place=True)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise _conflict(index, path, "it cannot be done there") from error


def _check_there(target: Any, index: int, path: str, tokens: Sequence[str], *, new: bool) -> None:
    """Refuse a path that is not there; of a `new` one only the last step may be missing.

    The library would also step into strings and binary data, as if they were lists.
    """
    here = target
    for place, token in enumerate(tokens):
        last = place == len(tokens) - 1
        if isinstance(here, list):
            limit = len(here) if new and last else len(here) - 1
            there = _index(token, len(here) if new and last else None) <= limit
        else:
            there = isinstance(here, dict) and (token in here or (new and last))
        if not there:
            raise _conflict(index, path, "there is no such place")
        if not last:
            here = _step(here, token)


def _index(token: str, end: int | None) -> float:
    """A list index; what is none is beyond every list.  `end` is what `-` stands for."""
    if token == "-" and end is not None:
        return end
    if token.isascii() and token.isdigit() and len(token) < 10 and str(int(token)) == token:
        return int(token)
    return float("inf")


def _step(here: Any, token: str) -> Any:
    return here[int(token)] if isinstance(here, list) else here[token]


def _at(target: Any, tokens: Sequence[str]) -> Any:
    for token in tokens:
        target = _step(target, token)
    return target


def _copied_values(target: Any, index: int, operation: Mapping[str, Any]) -> int:
    """How many values the operation doubles; checks on the way that `from` is there."""
    if "from" not in _NEEDS[operation["op"]]:
        return 0
    tokens = _tokens(index, operation, "from")
    _check_there(target, index, operation["from"], tokens, new=False)
    if operation["op"] == "move":
        return 0
    count, level, depth = 0, [_at(target, tokens)], len(_tokens(index, operation, "path"))
    while level:
        count += len(level)
        depth += 1
        if depth > MAX_DEPTH or count > MAX_COPIED:
            raise TooLarge(f"What operation {index} copies is too deep or too large.")
        level = [child for value in level for child in _children(value)]
    return count


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _json_equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _json_equal(value, other[name]) for name, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_json_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _conflict(index: int, path: str, reason: str) -> PatchConflict:
    # The value itself is not named: it may be one that must not be shown.
    return PatchConflict(
        f"Operation {index} of the patch does not apply at {path!r}: {reason}.",
        index=index,
        path=path,
    )
