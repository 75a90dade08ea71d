"""Adapter: make an earlier state of a document its newest one, as an ordinary write.

The document is saved with its own `save()` and `clean()`; what MongoEngine alone would drop
is put back in the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson

from bzz.audit.diff import Change, changes_between, parse, pointer
from bzz.audit.events import Intent, State
from bzz.audit.tracking import Tracked
from bzz.documents import begin, create, instantiate
from bzz.errors import BzzError, Conflict, FieldError, InvalidInput, Unreadable
from bzz.recording import Model
from bzz.schema import Schema, schema_of
from bzz.source import Source
from bzz.unit import Unit, Write, current_unit
from bzz.values import ABSENT, EXACT, encoded, same
from bzz.work import current_version

if TYPE_CHECKING:
    from bzz.audit.history import History


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore would do.

    `current` is the write to the live document, None when there is none; `target` the state
    that it is to have; `changes` lead from one to the other, hidden values aside.
    """

    version: int
    model: Model
    current: Write | None
    target: State
    changes: list[Change]

    @property
    def is_so(self) -> bool:
        """Whether the document is as it is to be."""
        return self.current is not None and not self.changes


def restore_in(
    history: History, tracked: Tracked, version: int, fields: list[str] | None
) -> tuple[Write | None, int]:
    """Restore within the current unit of work.

    Returns the write, None when the document is so already, and the number that the newest
    version has once the unit is committed.
    """
    unit = current_unit()
    if unit is None:
        raise BzzError("A restore runs in a unit of work: use auditor.write.")
    plan = plan_restore(unit, history, tracked, tracked.model, version, fields)
    head = unit.head(tracked.model, history.document_id)
    last = head.version if head else 0
    if plan.is_so:
        return None, last
    write = carry_out(unit, plan)
    # Where the document was written round bzz, the event that says so takes a number first.
    return write, last + (2 if current_version(unit, write) is None else 1)


def plan_restore(
    unit: Unit,
    history: History,
    tracked: Tracked,
    model: Model,
    version: int,
    fields: list[str] | None = None,
) -> Plan:
    """See what making `version` the newest state of a document would change.

    `fields` (names or JSON Pointers) limits it to these.  Raises `UnknownVersion`,
    `DocumentDeleted`, `StreamGap`, `ReplayError`, `InvalidInput` for fields that there are
    not, and `Conflict` for single fields of a deleted document.
    """
    current = unit.load(model, {"_id": history.document_id})
    before = None if current is None else current.before
    unit.batch.flush()  # the version may be one that this transaction has just made
    state = history.state_at(version, session=unit.session)
    if fields is not None:
        state = _only(schema_of(model), fields, state, before)
    target = tracked.redaction.keep_hidden(state, before) or state
    redaction = tracked.redaction
    changes = changes_between(redaction.strip(before), redaction.strip(target))
    return Plan(version, model, current, target, changes)


def carry_out(unit: Unit, plan: Plan) -> Write:
    """Write what a plan found.  Raises `InvalidInput` when today's model cannot hold the state."""
    document = _prepared(plan)
    intended = _as_stored(document)
    if plan.current is None:
        write = create(unit, document)
    else:
        begin(unit, document)
        document.save()
        write = unit.announce("update", document)
    _put_back(unit, write, plan.target, intended)
    write.intent = Intent(restored_from=plan.version)
    return write


def _prepared(plan: Plan) -> Any:
    """The document to save: the live one with the old values, or one made of the old state."""
    wanted = _wanted(plan)
    wanted._created = True
    live = _live(plan)
    # Not there, not to be loaded, or of another class by now: the old state comes back whole.
    if live is None or type(live) is not type(wanted):
        return wanted
    before = (plan.current and plan.current.before) or {}
    schema = schema_of(type(live))
    for member in {**before, **plan.target}:
        if not same(before.get(member, ABSENT), plan.target.get(member, ABSENT)):
            _take_over(schema, live, wanted, member)
    return live


def _live(plan: Plan) -> Any:
    try:
        return None if plan.current is None else instantiate(plan.model, plan.current.before)
    except Unreadable:
        return None


def _take_over(schema: Schema, live: Any, wanted: Any, member: str) -> None:
    name = schema.name_of(member)
    if name in schema.fields or schema.dynamic:
        setattr(live, name, wanted._data.get(name))


def _as_stored(document: Any) -> State:
    """What saving a document as it is would store."""
    try:
        stored: State = bson.decode(encoded(document.to_mongo()), EXACT)[""]
    except Exception:  # whatever a field's to_mongo raises: saving is to say what is wrong
        return {}
    return stored


def _put_back(unit: Unit, write: Write, target: State, intended: State) -> None:
    """Store what is to be stored and saving alone has not: empty values, lost types, defaults.

    `intended` is what the document had before it was saved.  What its `save()` or `clean()` made
    different from that stays as they left it.
    """
    unit.reread()
    stored, before = write.after, write.before or {}
    if stored is None:
        return
    now = _as_stored(write.instance)
    missed: State = {}
    for member in {**stored, **target}:
        value, found = target.get(member, ABSENT), stored.get(member, ABSENT)
        meant = intended.get(member, ABSENT)
        if member in ("_id", "_cls") or same(found, value):
            continue
        unsaved = (ABSENT, meant, before.get(member, ABSENT))
        if same(now.get(member, ABSENT), meant) and any(same(found, each) for each in unsaved):
            missed[member] = value
    if missed:
        update = _update(stored, missed)
        type(write.instance)._get_collection().update_one({"_id": write.id}, update)
        write.fresh = False


def _update(stored: State, missed: State) -> Any:
    kept = {member: value for member, value in missed.items() if value is not ABSENT}
    if any("." in member or member[:1] in ("", "$") for member in missed):
        # Operators take such names for paths, or not at all.
        rest = {member: value for member, value in stored.items() if member not in missed}
        return [{"$replaceWith": {"$literal": rest | kept}}]
    gone = dict.fromkeys(missed.keys() - kept.keys(), 1)
    return {operator: each for operator, each in (("$set", kept), ("$unset", gone)) if each}


def _wanted(plan: Plan) -> Any:
    source = Source.of(plan.model)
    try:
        return source.load(plan.target)
    except Exception as error:  # whatever a field's to_python raises
        faults = list(_faults(plan, source)) or [_fault(plan, ())]
        raise InvalidInput(faults) from error


def _faults(plan: Plan, source: Source) -> Iterator[FieldError]:
    """What today's model cannot load, member by member."""
    own: State = {name: plan.target[name] for name in ("_id", "_cls") if name in plan.target}
    for member, value in plan.target.items():
        try:
            source.load({**own, member: value})
        except Exception:  # as above
            yield _fault(plan, (schema_of(plan.model).name_of(member),))


def _fault(plan: Plan, path: tuple[str, ...]) -> FieldError:
    # Not the error's own words, which may show a value that is hidden.
    where = pointer(path) or "all"
    detail = f"Today's {plan.model.__name__} cannot hold what version {plan.version} has: {where}."
    return FieldError(pointer(path), detail)


def _only(schema: Schema, fields: list[str], state: State, before: State | None) -> State:
    """The state before, with the given fields as they are in another state."""
    if before is None:
        raise Conflict("The document is deleted; restore it whole first, without naming fields.")
    result, faults = before, list[FieldError]()
    for field in fields:
        try:
            result = _with(result, _path(schema, field, state, before), state, field)
        except InvalidInput as error:
            faults.extend(error.errors)
    if faults:
        raise InvalidInput(faults)
    return result


def _path(schema: Schema, field: str, state: State, before: State) -> tuple[str, ...]:
    try:
        path = parse(field) if field.startswith("/") else tuple(field.split("."))
    except ValueError as error:
        raise InvalidInput([FieldError("/fields", str(error))]) from error
    stored = tuple(map(str, schema.stored(path)))
    known = schema.dynamic or schema.field(schema.real_name(path[0])) is not None
    if not known and stored[0] not in state and stored[0] not in before:
        detail = f"{schema.model.__name__} has no field {field!r}, and had none in that version."
        raise InvalidInput([FieldError("/fields", detail)])
    return stored


def _with(current: Any, path: tuple[str, ...], source: Any, field: str) -> Any:
    """`current` with what `source` has at a path, or without it where `source` has nothing."""
    if not path:
        return source
    token, rest = path[0], path[1:]
    if isinstance(current, list):
        return _with_element(current, token, rest, source, field)
    if not isinstance(current, dict):
        raise _nowhere(field)
    inner = source.get(token, ABSENT) if isinstance(source, dict) else ABSENT
    if inner is ABSENT and not rest:
        return {name: value for name, value in current.items() if name != token}
    if inner is ABSENT:
        raise _nowhere(field)
    value = _with(current.get(token, {}), rest, inner, field) if rest else inner
    return {**current, token: value}


def _with_element(
    current: list[Any], token: str, rest: tuple[str, ...], source: Any, field: str
) -> list[Any]:
    index = int(token) if _INDEX.fullmatch(token) else -1
    if not isinstance(source, list) or not 0 <= index < min(len(current), len(source)):
        raise _nowhere(field)
    changed = _with(current[index], rest, source[index], field)
    return [*current[:index], changed, *current[index + 1 :]]


_INDEX = re.compile("0|[1-9][0-9]{0,8}")


def _nowhere(field: str) -> InvalidInput:
    detail = f"{field!r} leads nowhere in that version or in the document as it is now."
    return InvalidInput([FieldError("/fields", detail)])
