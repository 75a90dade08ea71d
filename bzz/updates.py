"""Which fields of a document an update really changed, for the receivers of signals.

Compares what was stored before with what is stored now; never what a client sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bson import DBRef
from mongoengine import EmbeddedDocumentField, GenericEmbeddedDocumentField

from bzz.recording import State, recorder_of
from bzz.schema import schema_of
from bzz.unit import Write
from bzz.values import same


def updated_fields(write: Write) -> dict[str, dict[str, Any]]:
    """`{field: {"from": old, "to": new}}` for every field whose stored value differs, typed.

    Keys are Python field names; a change inside an embedded document has its dotted path,
    a list that changed is one entry.  Values are as stored, references as their ids; an
    absent one is None.  Fields that the model's recorder hides are left out.
    """
    recorder = recorder_of(write.model)
    before, after = write.before or {}, write.after or {}
    if recorder is not None:
        hidden = recorder.hidden(write.model)
        before, after = hidden.strip(before), hidden.strip(after)
    return {
        ".".join(path): {"from": _native(old), "to": _native(new)}
        for path, old, new in _differences(write.model, before, after)
    }


def _differences(
    model: type[Any], before: State, after: State, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    schema = schema_of(model)
    for stored in {**before, **after}:
        old, new = before.get(stored), after.get(stored)
        if stored in before and stored in after and same(old, new):
            continue
        name = schema.name_of(stored)
        embedded = _embedded_class(schema.fields.get(name))
        if embedded is not None and isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(embedded, old, new, (*path, name))
        else:
            yield (*path, name), old, new


def _embedded_class(field: Any) -> type[Any] | None:
    if isinstance(field, EmbeddedDocumentField) and not isinstance(
        field, GenericEmbeddedDocumentField
    ):
        found: type[Any] = field.document_type
        return found
    return None


def _native(value: Any) -> Any:
    if isinstance(value, DBRef):
        return value.id
    if isinstance(value, list):
        return [_native(each) for each in value]
    return value
