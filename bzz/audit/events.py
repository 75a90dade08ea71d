"""The event and its parts, as frozen values.  Knows nothing of how they are stored or shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bson import ObjectId

from bzz.audit.diff import Change

State = dict[str, Any]


class Operation(StrEnum):
    """What an event says was done to its document.

    Attributes
    ----------
    CREATED: it was created.
    UPDATED: it was changed.
    DELETED: it was deleted.
    RESTORED: a restore or an undo wrote it.
    EXTERNAL: it was found to have been written round bzz.
    BASELINE: it was found without a history.
    ERASED: values were taken out of its history.
    """

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RESTORED = "restored"
    EXTERNAL = "external"
    BASELINE = "baseline"
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who writes.

    Attributes
    ----------
    kind: 'user', 'system', 'anonymous', or one of the application's own.
    id: who of that kind; None where it has no ids.
    """

    kind: str
    id: str | None = None


SYSTEM = Actor("system")
ANONYMOUS = Actor("anonymous")


@dataclass(frozen=True, slots=True)
class Request:
    """The facts of the HTTP request that led to a write.

    Attributes
    ----------
    method: 'POST', 'PUT' …
    path: percent-encoded, without the query.
    address: the client's, as Tornado knows it; None where it does not.
    """

    method: str
    path: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Context:
    """Who writes, why, and in the course of what.

    Attributes
    ----------
    actor: who.
    reason: why; None where nobody said it.
    correlation: what ties the writes of one request, or of several, together.
    request: the request that led to it; None in code.
    """

    actor: Actor = SYSTEM
    reason: str | None = None
    correlation: str | None = None
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """What a write is meant to bring back.

    `restored_from` is the version whose state a restore makes the newest one, `undo_of` the
    version of the event that an undo takes back.
    """

    restored_from: int | None = None
    undo_of: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """The record that one document changed.

    Attributes
    ----------
    id: of the event; unique among all.
    stream: the name of the stream's model, by default its collection.
    model: the resource name of the model, as in URLs ('user').
    document: the document's id, as stored.
    version: 1, 2, 3 … within its stream.
    operation: what was done.
    time: UTC, aware, to the millisecond; for people, never for order.
    changes: typed, in the order in which they apply; paths hold stored names.
    masked: the JSON Pointers (stored names) of masked values that changed.
    actor, reason, correlation, request: who, why, in the course of what.
    gone: there is no document after this event.
    digest: of the state after it, salted with `salt`.
    salt: random bytes of its own, without which its digest tells nothing.
    restored_from, undo_of: the version that a restore or an undo went back to.
    schema: the version of the model's schema at the time, from 1.
    position: its number among all events; None until it has been given one.
    first: the id of the first event of the same transaction; None of that one itself.
    """

    id: ObjectId
    stream: str
    model: str
    document: Any
    version: int
    operation: Operation
    time: datetime
    changes: tuple[Change, ...]
    masked: tuple[str, ...] = ()
    actor: Actor = SYSTEM
    reason: str | None = None
    correlation: str | None = None
    request: Request | None = None
    gone: bool = False
    digest: bytes = b""
    salt: bytes = b""
    restored_from: int | None = None
    undo_of: int | None = None
    schema: int = 1
    position: int | None = None
    first: ObjectId | None = None
