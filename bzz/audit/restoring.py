"""Adapter: make an earlier state of a document its newest one, as an ordinary write.

The document is saved with its own `save()` and `clean()`; what MongoEngine alone would drop
is put back in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bzz.audit.diff import Change, changes_between, parse
from bzz.audit.events import Intent, State
from bzz.audit.tracking import Tracked
from bzz.capture import Source, Unit, Write, current_unit
from bzz.documents import create, instantiate, mend
from bzz.errors import BzzError, Conflict, FieldError, InvalidInput, Unreadable
from bzz.recording import Model
from bzz.schema import Schema, schema_of
from bzz.values import ABSENT, same

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
    history: History, tracked: Tracked, model: Model, version: int, fields: list[str] | None
) -> None:
    """Restore within the current unit of work."""
    unit = current_unit()
    if unit is None:
        raise BzzError("A restore runs in a unit of work: use auditor.write.")
    plan = plan_restore(unit, history, tracked, model, version, fields)
    if not plan.is_so:
        carry_out(unit, plan)


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
    `DocumentDeleted`, `StreamGap`, and `Conflict` for single fields of a deleted document.
    """
    current = unit.load(model, {"_id": history.document_id})
    before = None if current is None else current.before
    state = history.state_at(version, session=unit.session)
    if fields is not None:
        state = _only(schema_of(model), fields, state, before)
    target = tracked.redaction.keep_hidden(state, before) or state
    redaction = tracked.redaction
    changes = changes_between(redaction.strip(before), redaction.strip(target))
    return Plan(version, model, current, target, changes)


def carry_out(unit: Unit, plan: Plan) -> Write:
    """Write what a plan found.  Raises `InvalidInput` when today's model cannot hold the state."""
    wanted = _wanted(plan)
    if plan.current is None:
        wanted._created = True
        write = create(unit, wanted)
    else:
        write = _save_over(unit, plan, plan.current, wanted)
    members = {
        member: plan.target.get(member, ABSENT)
        for member in {**(write.before or {}), **plan.target}
        if member not in ("_id", "_cls")
    }
    mend(unit, write, members)
    write.intent = Intent(restored_from=plan.version)
    return write


def _save_over(unit: Unit, plan: Plan, current: Write, wanted: Any) -> Write:
    before = current.before or {}
    try:
        live = instantiate(plan.model, before)
    except Unreadable:
        live = None
    if live is None or type(live) is not type(wanted):
        # Not to be loaded, or of another class by now: the old state takes its place whole.
        wanted._created = True
        wanted.save()
        return unit.announce("update", wanted)
    schema = schema_of(type(live))
    for member in {**before, **plan.target}:
        if not same(before.get(member, ABSENT), plan.target.get(member, ABSENT)):
            _take_over(schema, live, wanted, member)
    live.save()
    return unit.announce("update", live)


def _take_over(schema: Schema, live: Any, wanted: Any, member: str) -> None:
    name = schema.name_of(member)
    if name in schema.fields or schema.dynamic:
        setattr(live, name, wanted._data.get(name))


def _wanted(plan: Plan) -> Any:
    try:
        return Source.of(plan.model).load(plan.target)
    except Exception as error:  # whatever a field's to_python raises
        detail = (
            f"The state of version {plan.version} cannot be held by today's "
            f"{plan.model.__name__}: {error}"
        )
        raise InvalidInput([FieldError("", detail)]) from error


def _only(schema: Schema, fields: list[str], state: State, before: State | None) -> State:
    if before is None:
        raise Conflict("The document is deleted; restore it whole first, without naming fields.")
    result = before
    for field in fields:
        path = parse(field) if field.startswith("/") else tuple(field.split("."))
        result = _with(result, tuple(map(str, schema.stored(path))), state, field)
    return result


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
    index = int(token) if token.isdecimal() else -1
    if not isinstance(source, list) or not 0 <= index < min(len(current), len(source)):
        raise _nowhere(field)
    changed = _with(current[index], rest, source[index], field)
    return [*current[:index], changed, *current[index + 1 :]]


def _nowhere(field: str) -> InvalidInput:
    detail = f"{field!r} leads nowhere in that version or in the document as it is now."
    return InvalidInput([FieldError("/fields", detail)])
