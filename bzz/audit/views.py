"""Events, changes, reports and subscriptions as JSON-ready values, under today's field names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bzz.audit.blaming import Blame
from bzz.audit.comparing import Side
from bzz.audit.diff import Change, parse, pointer
from bzz.audit.events import Actor, Event, Request
from bzz.audit.redaction import visible_changes
from bzz.audit.trail import Problem
from bzz.audit.verifying import Report
from bzz.codec import plain
from bzz.schema import Schema
from bzz.values import ABSENT, Hidden
from bzz.work import show_state

if TYPE_CHECKING:
    from bzz.audit.parking import Parked
    from bzz.audit.subscription import Status

NOTHING = Hidden.of([])


def show_event(event: Event, schema: Schema, hidden: Hidden = NOTHING) -> dict[str, Any]:
    """An event as the API shows it; without the values that are hidden by now."""
    return {
        "id": str(event.id),
        "model": event.model,
        "document": schema.format_id(event.document),
        "version": event.version,
        "operation": event.operation.value,
        "time": plain(event.time),
        "actor": show_actor(event.actor),
        "reason": event.reason,
        "correlation": event.correlation,
        "request": _show_request(event.request),
        "changes": [
            *show_changes(visible_changes(event.changes, hidden), schema),
            *({"path": _named(parse(each), schema), "masked": True} for each in event.masked),
        ],
        "restored_from": event.restored_from,
        "undo_of": event.undo_of,
        "position": event.position,
    }


def show_actor(actor: Actor) -> dict[str, Any]:
    """Who, as the API shows it."""
    return {"kind": actor.kind, "id": actor.id}


def show_blame(blame: Blame, schema: Schema) -> dict[str, Any]:
    """What set a value, as the API shows it."""
    return {
        "path": _named(blame.path, schema),
        "version": blame.version,
        "time": None if blame.time is None else plain(blame.time),
        "actor": None if blame.actor is None else show_actor(blame.actor),
    }


def show_changes(changes: Iterable[Change], schema: Schema) -> list[dict[str, Any]]:
    """Changes as the API shows them: an absent `from` or `to` is left out."""
    return [_show_change(change, schema) for change in changes]


def show_side(side: Side, schema: Schema) -> Any:
    """The document of one side of a comparison as the API shows it; None where there is none."""
    return None if side.state is None else show_state(schema.model, side.state)


def show_report(report: Report, schema: Schema) -> dict[str, Any]:
    """A report as the API shows it, under today's field names."""
    return {
        "ok": report.ok,
        "model": report.model,
        "document": schema.format_id(report.document),
        "versions": report.versions,
        "differences": show_changes(report.differences, schema),
        "problems": [show_problem(each) for each in report.problems],
        "rebuilt": report.rebuilt,
    }


def show_problem(problem: Problem) -> dict[str, Any]:
    """What is wrong with a history, as the API shows it."""
    return {"kind": problem.kind.value, "version": problem.version, "detail": problem.detail}


def show_status(status: Status) -> dict[str, Any]:
    """How a subscription stands, as the API shows it."""
    time = status.error_time
    return {**asdict(status), "error_time": None if time is None else plain(time)}


def show_parked(parked: Parked, event: dict[str, Any]) -> dict[str, Any]:
    """A parked event, as the API shows it, given the event itself as shown."""
    return {
        "position": parked.position,
        "state": parked.state.value,
        "attempts": parked.attempts,
        "error": parked.error,
        "since": plain(parked.since),
        "skipped_by": parked.skipped_by,
        "reason": parked.reason,
        "skipped_at": None if parked.skipped_at is None else plain(parked.skipped_at),
        "event": event,
    }


def _show_change(change: Change, schema: Schema) -> dict[str, Any]:
    shown = {"path": _named(change.path, schema)}
    if change.from_ is not ABSENT:
        shown["from"] = plain(change.from_)
    if change.to is not ABSENT:
        shown["to"] = plain(change.to)
    return shown


def _named(path: Iterable[str | int], schema: Schema) -> Any:
    return pointer(schema.names(tuple(path)))


def _show_request(request: Request | None) -> dict[str, Any] | None:
    if request is None:
        return None
    return {"method": request.method, "path": request.path, "address": request.address}
