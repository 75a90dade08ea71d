"""What a client asks for, put on a document: named fields, merge patches, JSON Patches.

Works on the content under Python names, in BSON values, so that what is moved or left alone
keeps its type.  Knows nothing of HTTP; the database is asked for referenced documents only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mongoengine import SequenceField

from bzz.codec import members, plain
from bzz.decoding import below, decode_members
from bzz.errors import FieldError, InvalidInput
from bzz.jsontext import dumps
from bzz.patching import json_patch, merge_patch
from bzz.schema import Schema, registered, schema_of

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
        after: Content = {} if replace else dict(before)
        after.update(values)
        for path, value in (inner or {}).items():
            after = _with(after, path, value)
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
    content = given.apply({})
    model = _class_named(model, content)
    values = decode_members(model, content, text=given.text)
    _check_new_id(schema_of(model), values, content)
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
    wanted = {name: new.get(name) for name in _changeable(schema, old, new, changed)}
    values = decode_members(type(instance), wanted, text=given.text)
    _check_new_id(schema, values, wanted)
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


def _class_named(model: type[Any], content: Content) -> type[Any]:
    """The class that `_cls` names, the model or one that inherits from it; takes `_cls` out."""
    if "_cls" not in content:
        return model
    named: type[Any] | None = registered(content.pop("_cls"), model)
    if named is None:
        detail = f"`_cls` must name {model.__name__}, or a class that inherits from it."
        raise InvalidInput([FieldError("/_cls", detail)])
    return named


def _changeable(schema: Schema, old: Content, new: Content, changed: list[str]) -> list[str]:
    """The changed names but those of id and class, which may be sent and may not be changed."""
    rest = []
    for name in changed:
        if name == "_cls":
            _check_class(schema, new)
        elif name == schema.pk or (name == "id" and "id" in old):
            if new.get(name) is not None:
                _check_id(schema, name, new[name], old[name])
        elif new.get(name) is not None or not _is_drawn(schema, name):
            rest.append(name)
    return rest


def _is_drawn(schema: Schema, name: str) -> bool:
    # Setting None would not unset a sequence, but draw a new number for it.
    return isinstance(schema.fields.get(name), SequenceField)


def _check_class(schema: Schema, new: Content) -> None:
    name = schema.model._class_name
    if new.get("_cls", name) != name:
        detail = f"The class is {name!r} and cannot be changed; leave it out, or send it as it is."
        raise InvalidInput([FieldError("/_cls", detail)])


def _check_new_id(schema: Schema, values: Content, sent: Content) -> None:
    """Refuse an id under which a document could not be reached: no URL has such a segment."""
    name = schema.id_field
    value = None if name is None else values.get(name)
    if value is not None and schema.format_id(value) in ("", ".", ".."):
        pointer = f"/{name if name in sent else 'id'}"
        raise InvalidInput([FieldError(pointer, "An id may be any text but '', '.' and '..'.")])


def _check_id(schema: Schema, name: str, given: Any, present: Any) -> None:
    if schema.format_id(given) != schema.format_id(present):
        detail = (
            f"The id is {schema.format_id(present)!r} and cannot be changed; "
            "leave it out, or send it as it is."
        )
        raise InvalidInput([FieldError(f"/{name}", detail)])


def _with(whole: Any, path: Sequence[str], value: Any, pointer: str = "") -> Any:
    """A copy of `whole` in which one member deep inside is set; None takes it away."""
    name, *rest = path
    at = below(pointer, name)
    if whole and isinstance(whole, list):
        index = _index(whole, name, at)
        present = whole[index] if index < len(whole) else None
        item = _with(present, rest, value, at) if rest else value
        return [*whole[:index], item, *whole[index + 1 :]]
    content = dict(whole) if isinstance(whole, dict) else {}
    if rest:
        content[name] = _with(content.get(name), rest, value, at)
    elif value is None:
        content.pop(name, None)
    else:
        content[name] = value
    return content


def _index(items: list[Any], name: str, pointer: str) -> int:
    """The place that a name is in a list, its end included."""
    for index in range(len(items) + 1):
        if str(index) == name:
            return index
    detail = f"The list has the items 0 to {len(items) - 1}, and {len(items)} adds one."
    raise InvalidInput([FieldError(pointer, detail)])
