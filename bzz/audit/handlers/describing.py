"""Edge: what the history routes have in common in OpenAPI: events, changes, parameters."""

from __future__ import annotations

from bzz.audit.events import Operation
from bzz.openapi import answers, bodies
from bzz.openapi.bodies import json_patch
from bzz.openapi.book import Book, Json
from bzz.openapi.models import Use, documents
from bzz.openapi.operations import operation, unmet, writing
from bzz.openapi.parameters import query
from bzz.openapi.places import Place
from bzz.openapi.values import DATE_TIME, either, nullable
from bzz.resource import Resource

VERSION: Json = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "The number of an event: the state after it.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}

_TEXT: Json = {"type": "string"}
_NUMBER: Json = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_OPERATIONS: Json = {"enum": [each.value for each in Operation]}
_POINTER: Json = {
    "type": "string",
    "format": "json-pointer",
    "description": "A JSON Pointer of field names.",
}


def event(book: Book) -> Json:
    """An event, as the API shows it."""
    return book.schema("Event", "Event", lambda: _event(book))


def _event(book: Book) -> Json:
    members: Json = {
        "id": _TEXT,
        "model": _TEXT,
        "document": {"type": "string", "description": "The id of the document."},
        "version": {**_NUMBER, "minimum": 1},
        "operation": _OPERATIONS,
        "time": DATE_TIME,
        "actor": actor(book),
        "reason": nullable(_TEXT),
        "correlation": nullable(_TEXT),
        "request": nullable(closed({"method": _TEXT, "path": _TEXT, "address": nullable(_TEXT)})),
        "changes": changes(book),
        "restored_from": nullable(_NUMBER),
        "undo_of": nullable(_NUMBER),
        "position": nullable(_NUMBER),
    }
    shape = closed(members)
    # With `include` alone.
    more = {"state": {"description": "The document after the event."}, "patch": json_patch(book)}
    return {**shape, "properties": {**members, **more}}


def actor(book: Book) -> Json:
    """Who did it."""
    return book.schema("Actor", "Actor", lambda: closed({"kind": _TEXT, "id": nullable(_TEXT)}))


def changes(book: Book) -> Json:
    """A list of changes, which apply in order."""
    return {"type": "array", "items": book.schema("Change", "Change", lambda: _CHANGE)}


_CHANGE: Json = {
    "type": "object",
    "description": (
        "A change of a value. Without `from` the member was not there, or the element was "
        "inserted; without `to` it was removed. Of a masked value only that it changed is told."
    ),
    "properties": {"path": _POINTER, "from": {}, "to": {}, "masked": {"const": True}},
    "required": ["path"],
    "additionalProperties": False,
}


def closed(members: Json) -> Json:
    """An object of these members, all of them."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


EVENT_PARAMETERS: tuple[Json, ...] = (
    query("before", _NUMBER, "Events before this version."),
    query("after", _NUMBER, "Events after this version."),
    query("order", {"enum": ["asc", "desc"], "default": "desc"}, "The newest come first: desc."),
    query("since", DATE_TIME, "Events from this time on."),
    query("until", DATE_TIME, "Events until this time, and at it."),
    query(
        "operation",
        {"type": "array", "items": _OPERATIONS, "minItems": 1},
        "Events of these operations.",
        style="form",
        explode=False,
    ),
    query("actor", _TEXT, "Events of an actor: `<id>` or `<kind>:<id>`."),
    query(
        "field",
        {"type": "string", "minLength": 1},
        "Events that changed this field (a name or a JSON Pointer), or what is below or above it.",
    ),
    query(
        "include",
        {"type": "array", "items": {"enum": ["state", "patch"]}, "minItems": 1},
        "Show the state after each event, or the JSON Patch that leads to it, too.",
        style="form",
        explode=False,
    ),
)
"""The parameters of a list of events, but `limit`."""


def blame() -> Json:
    """What set a value."""
    return closed(
        {
            "path": _POINTER,
            "version": nullable({**_NUMBER, "minimum": 1}),
            "time": nullable(DATE_TIME),
            "actor": nullable(closed({"kind": _TEXT, "id": nullable(_TEXT)})),
        }
    )


def comparison(book: Book) -> Json:
    """What leads from one version to another; 0 is before the first."""
    return closed({"from": _NUMBER, "to": _NUMBER, "changes": changes(book)})


ORDER: Json = {
    "type": "object",
    "properties": {
        "reason": {
            "type": ["string", "null"],
            "maxLength": 4096,
            "description": "Why; goes before that of the header.",
        },
        "fields": {
            "type": ["array", "null"],
            "items": _TEXT,
            "minItems": 1,
            "description": "Only these fields: names or JSON Pointers.",
        },
        "dry_run": {"type": ["boolean", "null"], "description": "Only say what would change."},
    },
    "additionalProperties": False,
}
"""The body of a restore or an undo."""


_PROBLEMS: Json = {
    "type": "array",
    "items": closed({"kind": _TEXT, "version": nullable(_NUMBER), "detail": _TEXT}),
}
_MODE: Json = {"enum": ["verify", "rebuild"], "default": "verify"}


def replayed(book: Book, resource: Resource, place: Place, summary: str) -> Json:
    """The operation that proves a history, or makes the document what it says."""
    report = closed({"mode": _MODE, **_report(book)})
    body = {"type": "object", "properties": {"mode": _MODE}, "additionalProperties": False}
    return operation(
        book,
        book.operation_id("create", place.path),
        summary,
        tag=resource.name,
        asked=[query("mode", _MODE)],
        answers={"200": answers.success("The report.", report)},
        failures=[*answers.SENDING, "conflict", "not-found", "gone", "unreadable"],
        body=bodies.order(body),
    )


def replayed_slice(book: Book, path: str) -> Json:
    """The operation that proves or rebuilds the documents of a model, a slice at a time."""
    body: Json = {
        "type": "object",
        "properties": {
            "model": nullable(_TEXT),
            "mode": _MODE,
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            "cursor": nullable(_TEXT),
        },
        "additionalProperties": False,
    }
    told = closed(
        {
            "ok": {"type": "boolean"},
            "checked": _NUMBER,
            "differences": {"type": "array", "items": closed(_report(book))},
            "problems": {
                **_PROBLEMS,
                "description": "Of the positions and seals of all events, with the last slice.",
            },
            "next": nullable(_TEXT),
        }
    )
    return operation(
        book,
        book.operation_id("create", path),
        "Prove the histories of a model or of all, or rebuild those of a model",
        tag="history",
        asked=[],
        answers={"200": answers.success("What is not in order.", told)},
        failures=[*answers.SENDING],
        body=bodies.order(body),
    )


def _report(book: Book) -> Json:
    """The members of a report on one history."""
    return {
        "ok": {"type": "boolean"},
        "model": _TEXT,
        "document": _TEXT,
        "versions": _NUMBER,
        "differences": changes(book),
        "problems": _PROBLEMS,
        "rebuilt": {"type": "boolean"},
    }


def restored_set(book: Book, path: str) -> Json:
    """The operation that puts a set of documents back."""
    time = nullable(DATE_TIME)
    body: Json = {
        "type": "object",
        "properties": {
            "model": nullable(_TEXT),
            "to": time,
            "actor": nullable(_TEXT),
            "correlation": nullable(_TEXT),
            "since": time,
            "until": time,
            "reason": nullable(_TEXT),
            "dry_run": {"type": ["boolean", "null"]},
            "limit": {"type": ["integer", "null"], "minimum": 1, "maximum": 100},
            "cursor": nullable(_TEXT),
        },
        "additionalProperties": False,
    }
    told: Json = {"type": "object", "required": ["model", "document", "does", "version"]}
    listed: Json = {"type": "array", "items": told}
    done = closed(
        {
            "documents": _NUMBER,
            "written": _NUMBER,
            "unchanged": _NUMBER,
            "failed": listed,
            "correlation": nullable(_TEXT),
            "next": nullable(_TEXT),
        }
    )
    preview = closed({"documents": _NUMBER, "events": _NUMBER, "sample": listed})
    return operation(
        book,
        book.operation_id("create", path),
        "Put a set of documents back, or say what that would change",
        tag="history",
        asked=[],
        answers={"200": answers.success("The report.", either([done, preview]))},
        failures=[*answers.SENDING, *answers.WRITING],
        body=bodies.order(body),
    )


def ordered(
    book: Book, resource: Resource, place: Place, verb: str, summary: str, *failures: str
) -> Json:
    """The operation that brings back something of the past: a restore or an undo.

    `failures` are the problems that the verb has for itself.
    """
    shown = documents(book, place.schema.model, Use.SHOWN)
    plan = {"type": "object", "properties": {"changes": changes(book)}, "required": ["changes"]}
    created = answers.headers(book, "ETag", always=["Location"])
    unchanged = answers.headers(book, "ETag")
    return operation(
        book,
        book.operation_id(verb, place.path.removesuffix(f"{verb}/")),
        summary,
        tag=resource.name,
        asked=writing(book, resource),
        answers={
            "201": answers.success("It has a new version.", shown, created),
            "200": answers.success(
                "It was so already; or, of a dry run, what would change.",
                either([shown, plan]),
                unchanged,
            ),
        },
        failures=[
            *(*answers.SENDING, *answers.WRITING, *unmet(resource)),
            *("not-found", "gone", "not-unique", "referred-to", "unreadable"),
            *failures,
        ],
        body=bodies.order(ORDER),
    )


SUBSCRIPTION: Json = {
    "name": "subscription",
    "in": "path",
    "required": True,
    "description": "The name of a subscription.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"},
}
ORDERED_POSITION: Json = {
    "name": "position",
    "in": "path",
    "required": True,
    "description": "The position of a parked event.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
}


def subscription_state(book: Book) -> Json:
    """How a subscription stands."""
    return book.schema("Subscription", "Subscription", lambda: closed(_subscription()))


def subscription_with_parked(book: Book) -> Json:
    """How a subscription stands, and a page of the events that it has set aside."""
    parked = closed(
        {
            "position": _NUMBER,
            "state": {"enum": ["waiting", "parked", "skipped"]},
            "attempts": _NUMBER,
            "error": nullable(_TEXT),
            "since": DATE_TIME,
            "skipped_by": nullable(_TEXT),
            "reason": nullable(_TEXT),
            "skipped_at": nullable(DATE_TIME),
            "event": event(book),
        }
    )
    page = answers.page_of(parked)["properties"]
    return closed({**_subscription(), **page})


def _subscription() -> Json:
    return {
        "name": _TEXT,
        "state": {"enum": ["running", "idle", "stopped"]},
        "position": _NUMBER,
        "lag": {**_NUMBER, "description": "How many positions there are behind it."},
        "age": nullable({"type": "number", "description": "Seconds, of the first one behind it."}),
        "parked": _NUMBER,
        "waiting": _NUMBER,
        "skipped": _NUMBER,
        "delivered": _NUMBER,
        "failed": _NUMBER,
        "error": nullable(_TEXT),
        "error_position": nullable(_NUMBER),
        "error_time": nullable(DATE_TIME),
        "worker": nullable(_TEXT),
    }
