"""Load, save and delete documents in a unit of work.  The only place that asks querysets.

Meets what MongoEngine does on its own: what it would drop, replace or piece together wrongly
is mended here, so that what is stored is what was asked for.  Knows nothing of HTTP.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mongoengine.signals
from bson import Int64
from mongoengine import Document
from mongoengine.errors import SaveConditionError

from bzz.deferral import plain_save, send_deferred
from bzz.errors import BzzError, Conflict, NotFound, Unreadable
from bzz.recording import Model, State
from bzz.schema import Schema, schema_of
from bzz.source import Source, stored_id
from bzz.unit import Unit, Write
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
        if queryset._none or queryset._empty:  # of which its query says nothing
            return {"$and": [{"_id": {"$in": []}}]}
    elif schema.pk is not None and schema.id_field == schema.pk:
        # What the filter below would come to, for a tenth of its time.
        own = queryset._query
        if "_id" not in own:
            return {"_id": schema.fields[schema.pk].prepare_query_value(None, document_id), **own}
    query: dict[str, Any] = queryset.filter(**{str(schema.id_field): document_id})._query
    return query


def past_query(model: Model, document_id: Any, handler: Any) -> dict[str, Any]:
    """As `instance_query`, for what has a history: classes that are no more count as well.

    MongoEngine limits a query to the classes that there are today.
    """
    query = instance_query(model, document_id, handler)
    if "_cls" in query and query["_cls"] == model.objects._query.get("_cls"):
        name = re.escape(model._class_name)
        query = {**query, "_cls": {"$regex": rf"^{name}(?:\.|$)"}}
    return query


def is_open(model: Model) -> bool:
    """Whether each request may see each document of a class, and finds it by its primary key."""
    schema = schema_of(model)
    hooked = getattr(model, "get_instance_queryset", None) is not None
    return not hooked and schema.id_field == schema.pk and not model.objects._query


def list_queryset(model: Model, handler: Any) -> Any:
    """The queryset of all documents that `handler` may see."""
    hook = getattr(model, "get_list_queryset", None)
    queryset = model.objects
    return queryset if hook is None else hook(queryset, handler)


def is_visible(model: Model, state: State, document_id: Any, handler: Any) -> bool:
    """Whether a past state would be seen by `handler`; the database's own matching decides."""
    return Source.of(model).matches(state, past_query(model, document_id, handler))


def sees_all(model: Model, document_id: Any, handler: Any) -> bool:
    """Whether `handler` may see the document of this id whatever is in it."""
    members = {schema_of(model).stored_of(str(schema_of(model).id_field))}
    return instance_query(model, document_id, handler).keys() <= members


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
    source = Source.of(model)
    try:
        return source.load(state)
    except Exception as error:  # whatever a field's to_python raises
        raise unreadable(model, state, source.load) from error


def unreadable(model: Model, state: State, load: Callable[[State], Any]) -> Unreadable:
    """The error for a state that `load` cannot make a document of; names what does not fit."""
    known: State = {name: state[name] for name in ("_id", "_cls") if name in state}
    faults = [name for name in state if not _loads(load, {**known, name: state[name]})]
    names = ", ".join(map(repr, faults)) or "what it holds together"
    return Unreadable(
        f"The stored {model.__name__} {state.get('_id')} cannot be loaded by its model, "
        f"because of {names}."
    )


def _loads(load: Callable[[State], Any], state: State) -> bool:
    try:
        load(state)
    except Exception:
        return False
    return True


def begin(unit: Unit, instance: Any) -> None:
    """Note, before a document is saved or deleted, whether code of its own is about to run.

    MongoEngine's own checks come before its first write, so what they refuse leaves the
    transaction as it is.  What an application's code did before it refused, nobody knows.
    """
    model = type(instance)
    if has_own_code(model):
        send_deferred()  # it may look at the database past bzz
        unit.begun = True
    if _has_own(model, _WRITING_HOOKS, _WRITING_SIGNALS):
        unit.opaque = True


def has_own_code(model: Model) -> bool:
    """Whether saving or deleting a document runs code that is not MongoEngine's."""
    return _has_own(model, _HOOKS, _EARLY_SIGNALS)


def _saving(model: Model) -> AbstractContextManager[None]:
    """Around the `save()` of a document, which is plain if it runs nobody's code."""
    is_plain = not _has_own(model, _HOOKS, _WRITING_SIGNALS) and not model._meta.get("cascade")
    return plain_save() if is_plain else nullcontext()


def _has_own(model: Model, hooks: Iterable[str], signals: Iterable[Any]) -> bool:
    return any(getattr(model, name) is not getattr(Document, name) for name in hooks) or any(
        signal.has_receivers_for(model) for signal in signals
    )


# Where applications write further documents; what checks a document does not.
_WRITING_HOOKS = ("save", "delete")
_HOOKS = (*_WRITING_HOOKS, "clean", "validate")
_EARLY_SIGNALS = (
    mongoengine.signals.pre_save,
    mongoengine.signals.pre_save_post_validation,
    mongoengine.signals.pre_delete,
)
_WRITING_SIGNALS = (
    *_EARLY_SIGNALS,
    mongoengine.signals.post_save,
    mongoengine.signals.post_delete,
)


def create(unit: Unit, instance: Any) -> Write:
    """Insert a new document with its own `save()`.

    Raises `Conflict` when its id is taken, and what `save()` raises.
    """
    model = type(instance)
    begin(unit, instance)
    if accepts(instance.save, "force_insert"):
        # Without it, saving a taken primary key replaces the document that has it.
        with _saving(model):
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
    begin(unit, instance)
    schema = schema_of(type(instance))
    stored_names = {schema.stored_of(name): name for name in names}
    wanted = {
        member: ABSENT if value is None and not _keeps_null(schema, stored_names[member]) else value
        for member, value in stored_members(instance, stored_names).items()
    }
    _update(unit, write)
    announced = unit.announce("update", instance)
    if _at_risk(write.before or {}, wanted):
        mend(unit, announced, wanted)
    return announced


def _update(unit: Unit, write: Write) -> None:
    instance, model = write.instance, type(write.instance)
    try:
        if unit.session is None and model.save is Document.save:
            # Of a document that vanished meanwhile `save()` alone would store a fragment.
            instance.save(save_condition={})
        else:
            with _saving(model):
                instance.save()
    except SaveConditionError as error:
        if Source.of(model).find_one(unit.session, {"_id": write.id}) is None:
            raise not_found(model, schema_of(model).format_id(instance.pk)) from error
        raise Conflict(f"{model.__name__} {instance.pk} was changed by another writer.") from error


def delete(unit: Unit, write: Write) -> Write:
    """Delete a loaded document with its own `delete()`.

    Raises MongoEngine's `OperationError` when a rule of another class denies it.
    """
    begin(unit, write.instance)
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
