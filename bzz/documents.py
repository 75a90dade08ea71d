"""Load, save and delete documents in a unit of work.  The only place that asks querysets.

Meets what MongoEngine does on its own: what it would drop, replace or piece together wrongly
is mended here, so that what is stored is what was asked for.  Knows nothing of HTTP.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from bson import Int64

from bzz.capture import Source, Unit, Write, stored_id
from bzz.errors import BzzError, Conflict, NotFound, Unreadable
from bzz.recording import Model, State
from bzz.schema import Schema, schema_of
from bzz.values import ABSENT, same


def instance_query(model: Model, document_id: Any, handler: Any) -> dict[str, Any]:
    """The query, in MongoDB's language, for one document as far as `handler` may see it.

    `document_id` is the value of the field that URLs use.  Asks the model's own
    `get_instance_queryset(model, queryset, instance_id, handler)`.
    """
    schema = schema_of(model)
    queryset = model.objects
    hook = getattr(model, "get_instance_queryset", None)
    if hook is not None:
        queryset = hook(model, queryset, document_id, handler)
    query: dict[str, Any] = queryset.filter(**{str(schema.id_field): document_id})._query
    return query


def list_queryset(model: Model, handler: Any) -> Any:
    """The queryset of all documents that `handler` may see."""
    hook = getattr(model, "get_list_queryset", None)
    queryset = model.objects
    return queryset if hook is None else hook(queryset, handler)


def is_visible(model: Model, state: State, document_id: Any, handler: Any) -> bool:
    """Whether a past state would be seen by `handler`; the database's own matching decides."""
    if getattr(model, "get_instance_queryset", None) is None:
        return True
    query = instance_query(model, document_id, handler)
    return Source.of(model).matches(state, query)


def load_document(unit: Unit, model: Model, query: dict[str, Any]) -> Write | None:
    """Read one document afresh and instantiate it; None when there is none.

    Raises `Unreadable` when the model cannot load what is stored.
    """
    write = unit.load(model, query)
    if write is not None:
        write.instance = instantiate(model, write.before)
    return write


def instantiate(model: Model, state: State | None) -> Any:
    """The document that a stored state is.  Raises `Unreadable` naming what does not fit."""
    if state is None:
        return None
    try:
        return Source.of(model).load(state)
    except Exception as error:  # whatever a field's to_python raises
        raise Unreadable(
            f"The stored {model.__name__} {state.get('_id')} cannot be loaded by its model: {error}"
        ) from error


def create(unit: Unit, instance: Any) -> Write:
    """Insert a new document with its own `save()`.

    Raises `Conflict` when its id is taken, and what `save()` raises.
    """
    model = type(instance)
    if accepts(instance.save, "force_insert"):
        # Without it, saving a taken primary key replaces the document that has it.
        instance.save(force_insert=True)
    else:
        if instance.pk is not None and unit.load(model, {"_id": stored_id(instance)}):
            raise Conflict(f"There is a {model.__name__} with the id {instance.pk} already.")
        instance.save()
    if instance.pk is None:
        raise BzzError(f"{model.__name__}.save() returned without storing the document.")
    return unit.announce("create", instance)


def save(unit: Unit, write: Write, names: Iterable[str]) -> Write:
    """Save a loaded document with its own `save()`; `names` are the fields that were set.

    What MongoEngine drops on its own (empty values) or takes for equal (1 and True) is
    written as it was set; what `save()` or `clean()` changed stays as they left it.
    """
    instance = write.instance
    schema = schema_of(type(instance))
    wanted = {
        member: ABSENT if value is None and not _keeps_null(schema, name) else value
        for name in names
        for member, value in stored_members(instance, [schema.stored_of(name)]).items()
    }
    instance.save()
    announced = unit.announce("update", instance)
    if _at_risk(write.before or {}, wanted):
        mend(unit, announced, wanted)
    return announced


def delete(unit: Unit, write: Write) -> Write:
    """Delete a loaded document with its own `delete()`.

    Raises MongoEngine's `OperationError` when a rule of another class denies it.
    """
    write.instance.delete()
    return unit.announce("delete", write.instance)


def mend(unit: Unit, write: Write, wanted: State) -> None:
    """Write the members of `wanted` (ABSENT: none) that saving alone did not put there.

    A member that the document itself no longer has as wanted was changed by its `save()`
    or `clean()`, and stays.
    """
    now = stored_members(write.instance, wanted)
    unit.reread()
    stored = write.after
    if stored is None:
        return
    to_set, to_unset = {}, {}
    for member, value in wanted.items():
        if _alike(stored.get(member, ABSENT), value) or not _alike(
            _some(now[member]), _some(value)
        ):
            continue
        if value is ABSENT:
            to_unset[member] = 1
        else:
            to_set[member] = value
    update = {"$set": to_set, "$unset": to_unset}
    update = {operator: members for operator, members in update.items() if members}
    if update:
        collection = type(write.instance)._get_collection()
        collection.update_one({"_id": write.id}, update)
        write.fresh = False


def stored_members(instance: Any, members: Iterable[str]) -> State:
    """Top-level members of a document as saving it would store them; ABSENT for none."""
    state = instance.to_mongo()
    return {member: state.get(member, ABSENT) for member in members}


def accepts(function: Any, parameter: str) -> bool:
    """Whether a callable can be given an argument of this name."""
    parameters = inspect.signature(function).parameters
    return parameter in parameters or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )


def _at_risk(before: State, wanted: State) -> bool:
    for member, value in wanted.items():
        if value is ABSENT or (not value and not isinstance(value, int | float)):
            return True
        old = before.get(member, ABSENT)
        if old is not ABSENT and old == value and not _alike(old, value):
            return True
    return False


def _keeps_null(schema: Schema, name: str) -> bool:
    field = schema.fields.get(name)
    return field is not None and bool(field.null)


def _some(value: Any) -> Any:
    # An attribute that is None says nothing of whether null is stored, or nothing at all.
    return ABSENT if value is None else value


def _alike(one: Any, other: Any) -> bool:
    # Python has one integer; that the database holds 1 in 64 bits is no difference to a model.
    if isinstance(one, Int64):
        one = int(one)
    if isinstance(other, Int64):
        other = int(other)
    return same(one, other)


def not_found(model: Model, text: Any) -> NotFound:
    """The error for an id that nothing has."""
    return NotFound(f"There is no {model.__name__} with the id {text!r}.")
