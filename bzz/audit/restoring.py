"""Adapter: carry out a restore or an undo, as an ordinary write.

The document is saved with its own `save()` and `clean()`; what MongoEngine alone would drop
is put back in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import bson

from bzz.audit.diff import Change, pointer
from bzz.audit.events import State
from bzz.audit.planning import Plan, Planner, plan_restore, plan_undo
from bzz.documents import begin, create, has_own_code, instantiate
from bzz.errors import BzzError, FieldError, InvalidInput, PreconditionFailed, Unreadable
from bzz.schema import Schema, schema_of
from bzz.source import Source
from bzz.unit import Unit, Write, current_unit
from bzz.values import ABSENT, EXACT, encoded, same
from bzz.work import current_version

if TYPE_CHECKING:
    from bzz.audit.history import History


@dataclass(frozen=True, slots=True)
class Preview:
    """What a restore or an undo would change, and the document for which that was found out.

    Attributes
    ----------
    changes: before `save()` and `clean()`; paths hold stored names, hidden values are left out.
    last: the number of the document's last event; 0 without any.
    before: the document as stored, None where there is none.
    refused: why today's model would refuse it, as far as that can be told without code of the
        application; None otherwise.
    """

    changes: list[Change]
    last: int
    before: State | None = field(repr=False)
    refused: Exception | None = None

    @property
    def is_so(self) -> bool:
        """Whether the document is so already, so that nothing would be written."""
        return self.before is not None and not self.changes


def preview_in(
    planner: Planner, history: History, version: int, fields: list[str] | None = None
) -> Preview:
    """See, within the current unit of work, what would be done.  Raises as `planner`."""
    plan = plan_in(planner, history, version, fields)
    return Preview(plan.changes, _last(history), plan.before, refusal(plan))


def restore_in(
    history: History,
    version: int,
    fields: list[str] | None = None,
    *,
    seen: Preview | None = None,
) -> tuple[Write | None, int]:
    """Restore within the current unit of work.

    Returns the write, None when the document is so already, and the number that the newest
    version has once the unit is committed.  Raises as `plan_restore` and `carry_out`, and
    `PreconditionFailed` when the document is not the one that was `seen`.
    """
    return _carry_out_in(plan_restore, history, version, fields, seen)


def undo_in(
    history: History,
    version: int,
    fields: list[str] | None = None,
    *,
    seen: Preview | None = None,
) -> tuple[Write | None, int]:
    """As `restore_in`, for an undo.  Raises as `plan_undo` and `carry_out`."""
    return _carry_out_in(plan_undo, history, version, fields, seen)


def plan_in(
    planner: Planner, history: History, version: int, fields: list[str] | None = None
) -> Plan:
    """Plan within the current unit of work.  Raises `BzzError` outside of one."""
    return planner(unit_here(), history, history.model, version, fields)


def _carry_out_in(
    planner: Planner,
    history: History,
    version: int,
    fields: list[str] | None,
    seen: Preview | None,
) -> tuple[Write | None, int]:
    unit = unit_here()
    plan = plan_in(planner, history, version, fields)
    last = _last(history)
    if seen is not None and not (last == seen.last and same(plan.before, seen.before)):
        raise _changed_since(history, last)
    if plan.is_so:
        return None, last
    write = carry_out(unit, plan)
    # Where the document was written round bzz, the event that says so takes a number first.
    return write, last + (2 if current_version(unit, write) is None else 1)


def _last(history: History) -> int:
    head = unit_here().head(history.model, history.document_id)
    return head.version if head else 0


def _changed_since(history: History, last: int) -> PreconditionFailed:
    name = f"{history.model.__name__} {history.document_id}"
    return PreconditionFailed(
        f"{name} was changed since the preview and has version {last} by now; nothing was "
        "written. Look at it again.",
        current=last,
    )


def unit_here() -> Unit:
    """The unit of work of the calling code.  Raises `BzzError` outside of one."""
    unit = current_unit()
    if unit is None:
        raise BzzError("A restore or an undo runs in a unit of work: use auditor.write.")
    return unit


def carry_out(unit: Unit, plan: Plan) -> Write:
    """Write what a plan found.  Raises `InvalidInput` when today's model cannot hold the state."""
    document = _prepared(plan)
    intended = _as_stored(document)
    if plan.before is None:
        write = create(unit, document)
    else:
        begin(unit, document)
        document.save()
        write = unit.announce("update", document)
    _put_back(unit, write, plan, intended)
    write.intent = plan.intent
    return write


def refusal(plan: Plan) -> Exception | None:
    """What saving a plan would raise, where today's model refuses its values; writes nothing.

    As far as that can be told without code of the application: a class with a `save()`,
    `clean()` or `validate()` of its own may make them right, and is not judged.
    """
    if plan.is_so:
        return None
    try:
        document = _prepared(plan)
        if not has_own_code(type(document)):
            document.validate(clean=False)
    except Exception as error:  # also what a field's own validation raises
        return error
    return None


def _prepared(plan: Plan) -> Any:
    """The document to save: the live one with the old values, or one made of the old state."""
    wanted = _wanted(plan)
    wanted._created = True
    live = _live(plan)
    # Not there, not to be loaded, or of another class by now: the old state comes back whole.
    if live is None or type(live) is not type(wanted):
        return wanted
    before = plan.before or {}
    schema = schema_of(type(live))
    for member in {**before, **plan.target}:
        if not same(before.get(member, ABSENT), plan.target.get(member, ABSENT)):
            _take_over(schema, live, wanted, member)
    return live


def _live(plan: Plan) -> Any:
    try:
        return None if plan.before is None else instantiate(plan.model, plan.before)
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


def _put_back(unit: Unit, write: Write, plan: Plan, intended: State) -> None:
    """Store what is to be stored and saving alone has not: empty values, lost types, defaults.

    `intended` is what the document had before it was saved.  What its `save()` or `clean()` made
    different from that stays as they left it.
    """
    unit.reread()
    stored, before, target = write.after, plan.before or {}, plan.target
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
    detail = f"Today's {plan.model.__name__} cannot hold what {plan.origin}: {where}."
    return FieldError(pointer(path), detail)
