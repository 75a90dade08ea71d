"""What a client asks for, put on a document: named fields, merge patches, JSON Patches.

Works on the content under Python names, in BSON values, so that what is moved or left alone
keeps its type.  Knows nothing of HTTP; the database is asked for referenced documents only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bzz.codec import members, plain
from bzz.decoding import decode_members
from bzz.errors import FieldError, InvalidInput
from bzz.jsontext import dumps
from bzz.patching import json_patch, merge_patch
from bzz.schema import Schema, schema_of

Content = dict[str, Any]  # of a document, by Python names; values as in BSON, or as in JSON


@dataclass(frozen=True, slots=True)
class Input:
    """What a request wants a document to become.

    `apply` turns the content before into the content wanted.  `text` says that values are a
    form's strings, read by the type of their field.
    """

    apply: Callable[[Content], Content]
    text: bool = False


def fields_input(
    values: Mapping[str, Any],
    *,
    inner: Mapping[tuple[str, ...], Any] | None = None,
    text: bool = False,
    replace: bool = False,
) -> Input:
    """Set the named fields; `inner` sets members of embedded documents alone, by their path.

    None unsets.  With `replace`, what is not named is unset too.
    """

    def apply(before: Content) -> Content:
        after = {} if replace else dict(before)
        after.update(values)
        for path, value in (inner or {}).items():
            _put(after, path, value)
        return after

    return Input(apply, text)


def merge_input(patch: Any) -> Input:
    """A JSON Merge Patch (RFC 7396)."""
    return Input(lambda before: merge_patch(before, patch))


def patch_input(operations: Any) -> Input:
    """A JSON Patch (RFC 6902)."""
    return Input(lambda before: json_patch(before, operations))


def build(model: type[Any], given: Input) -> Any:
    """A new document (or embedded document) with what `given` names; null is left out.

    Raises `InvalidInput` with an error for each field at fault.
    """
    values = decode_members(model, given.apply({}), text=given.text)
    return model(**{name: value for name, value in values.items() if value is not None})


def assign(instance: Any, given: Input) -> list[str]:
    """Put on a loaded document what `given` changes; the names of the fields that were set.

    Raises `InvalidInput` with an error for each field at fault, also when another id than the
    document's is named.
    """
    schema = schema_of(type(instance))
    old = members(instance)
    new = given.apply(dict(old))
    changed = [name for name in {**old, **new} if not _kept(old, new, name)]
    wanted = {name: new.get(name) for name in _without_id(schema, old, new, changed)}
    values = decode_members(type(instance), wanted, text=given.text)
    for name, value in values.items():
        setattr(instance, name, value)
    return list(values)


def _kept(old: Content, new: Content, name: str) -> bool:
    """Whether a member is as it was, or comes back as it was shown.

    What a client read as "2024-05-01T…Z" and sends back so was, and stays, a date.
    """
    if name not in old or name not in new:
        return False
    return old[name] is new[name] or _text(old[name]) == _text(new[name])


def _text(value: Any) -> bytes:
    return dumps(plain(value))


def _without_id(schema: Schema, old: Content, new: Content, changed: list[str]) -> list[str]:
    """The changed names but those of the id, which may be sent and may not be changed."""
    rest = []
    for name in changed:
        if name not in ("id", schema.pk) or (name == "id" and "id" not in old):
            rest.append(name)
        elif new.get(name) is not None:
            _check_id(schema, name, new[name], old[name])
    return rest


def _check_id(schema: Schema, name: str, given: Any, present: Any) -> None:
    if schema.format_id(given) != schema.format_id(present):
        detail = (
            f"The id is {schema.format_id(present)!r} and cannot be changed; "
            "leave it out, or send it as it is."
        )
        raise InvalidInput([FieldError(f"/{name}", detail)])


def _put(target: Content, path: tuple[str, ...], value: Any) -> None:
    """Set a member deep inside, copying what is on the way."""
    *way, last = path
    for name in way:
        inner = target.get(name)
        target[name] = dict(inner) if isinstance(inner, dict) else {}
        target = target[name]
    if value is None:
        target.pop(last, None)
    else:
        target[last] = value
