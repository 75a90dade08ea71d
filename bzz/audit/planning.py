"""Adapter: see what a restore or an undo would make of a document.  Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bzz.audit.diff import Change, changes_between, parse, pointer
from bzz.audit.errors import CannotUndo, UndoConflict
from bzz.audit.events import Event, Intent, State
from bzz.audit.redaction import Redaction
from bzz.audit.undoing import is_selected, undone
from bzz.errors import Conflict, FieldError, InvalidInput
from bzz.recording import Model
from bzz.schema import Schema, schema_of
from bzz.source import Source
from bzz.unit import Unit, Write
from bzz.values import ABSENT, same

if TYPE_CHECKING:
    from bzz.audit.history import History


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore or an undo would do.

    `intent` says which it is; `current` is the write to the live document, None when there is
    none; `before` the state that it has now and `target` the one that it is to have; `changes`
    lead from one to the other, hidden values aside.
    """

    intent: Intent
    model: Model
    current: Write | None
    before: State | None
    target: State
    changes: list[Change]

    @property
    def is_so(self) -> bool:
        """Whether the document is as it is to be."""
        return self.before is not None and not self.changes

    @property
    def origin(self) -> str:
        """Where the target comes from, in words."""
        if self.intent.undo_of is None:
            return f"version {self.intent.restored_from} has"
        return f"was there before version {self.intent.undo_of}"


_Live: TypeAlias = "tuple[Write | None, State | None]"

Planner: TypeAlias = Callable[
    [Unit, "History", Model, int, "list[str] | None"],
    Plan,
]
"""`plan_restore` or `plan_undo`."""


def plan_restore(
    unit: Unit,
    history: History,
    model: Model,
    version: int,
    fields: list[str] | None = None,
) -> Plan:
    """See what making `version` the newest state of a document would change.

    `fields` (names or JSON Pointers) limits it to these.  Raises `UnknownVersion`,
    `DocumentDeleted`, `StreamGap`, `ReplayError`, `InvalidInput` for fields that there are
    not, and `Conflict` for single fields of a deleted document.
    """
    current, before = _read(unit, history, model)
    state = history.state_at(version, session=unit.session)
    if fields is not None:
        state = _only(schema_of(model), fields, state, before)
    redaction = history.recorded_as(state if before is None else before).redaction
    return _plan(Intent(restored_from=version), redaction, model, (current, before), state)


def plan_undo(
    unit: Unit,
    history: History,
    model: Model,
    version: int,
    fields: list[str] | None = None,
) -> Plan:
    """See what taking back event `version` alone would change.

    `fields` (names or JSON Pointers) limits it to these of what the event changed.  Raises
    `UndoConflict` where later events changed the same, `CannotUndo`, `UnknownVersion`,
    `StreamGap`, `ReplayError`, `InvalidInput` for fields that the event did not change, and
    `Conflict` for a document that the unit of work has changed already.
    """
    current, before = _read(unit, history, model)
    if current is not None and not same(current.before, before):
        raise Conflict(
            f"{model.__name__} {history.document_id} was changed in this write already, of which "
            "there will be one event; undo in a write of its own."
        )
    earlier, events = history.since(version, session=unit.session)
    redaction = history.recorded_as(earlier if before is None else before).redaction
    schema, hidden = schema_of(model), redaction.hidden
    only = None if fields is None else _selection(schema, events[0], fields)
    found = undone(earlier, events, redaction.strip(before), hidden=hidden, only=only)
    if found.touches:
        touches = [(pointer(schema.names(each.path)), each.version) for each in found.touches]
        raise UndoConflict(
            events[0].stream, history.document_id, version=version, conflicts=touches
        )
    return _plan(Intent(undo_of=version), redaction, model, (current, before), found.state)


def _read(unit: Unit, history: History, model: Model) -> _Live:
    """The live document, with its state as this unit of work has it by now."""
    source, query = Source.of(model), {"_id": history.document_id}
    is_first = not unit.is_touched(source, history.document_id)
    current = unit.load(model, query)
    unit.batch.flush()  # the version may be one that this transaction has just made
    if current is None or is_first:
        return current, None if current is None else current.before
    return current, unit.find_one(source, query)


def _plan(intent: Intent, redaction: Redaction, model: Model, live: _Live, state: State) -> Plan:
    current, before = live
    target = redaction.keep_hidden(state, before) or state
    changes = changes_between(redaction.strip(before), redaction.strip(target))
    return Plan(intent, model, current, before, target, changes)


# Fields of an undo --------------------------------------------------------------------------


def _selection(schema: Schema, event: Event, fields: list[str]) -> list[tuple[str, ...]]:
    """The stored paths of fields, each with something that the event changed."""
    if event.gone:
        raise CannotUndo(
            event.stream,
            event.document,
            version=event.version,
            why="is a delete, and a document comes back whole: undo it without naming fields.",
        )
    selected, faults = [], list[FieldError]()
    for field in fields:
        path = tuple(map(str, schema.stored(_tokens(field))))
        selected.append(path)
        if not path or not any(is_selected(change.path, [path]) for change in event.changes):
            faults.append(FieldError("/fields", _unchanged(schema, event, field, path)))
    if faults:
        raise InvalidInput(faults)
    return selected


def _unchanged(schema: Schema, event: Event, field: str, path: tuple[str, ...]) -> str:
    if any(is_selected(parse(place), [path]) for place in event.masked):
        return f"{field!r} is masked: what it was before version {event.version} was not kept."
    for change in event.changes:
        if is_selected(path, [change.path]):
            whole = pointer(schema.names(change.path))
            return f"Version {event.version} changed {whole} as a whole, not {field!r} alone."
    return f"Version {event.version} did not change {field!r}."


def _tokens(field: str) -> tuple[str, ...]:
    """The path that a caller wrote: a name, dotted into what is embedded, or a JSON Pointer."""
    try:
        return parse(field) if field.startswith("/") else tuple(field.split("."))
    except ValueError as error:
        raise InvalidInput([FieldError("/fields", str(error))]) from error


# Fields of a restore ------------------------------------------------------------------------


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
    path = _tokens(field)
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
    value = _with(_within(current, token, inner), rest, inner, field) if rest else inner
    return {**current, token: value}


def _within(current: State, token: str, source: Any) -> Any:
    """What a member has now; where it has nothing, an empty document of the class of old."""
    found = current.get(token)
    if found is not None or not isinstance(source, dict):
        return found
    return {"_cls": source["_cls"]} if "_cls" in source else {}


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
