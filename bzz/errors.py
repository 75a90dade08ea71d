"""The errors bzz raises, as a tree.  Knows nothing of HTTP: `bzz.problems` maps them to statuses.

BzzError
├── BadRequest            the request cannot be understood (a malformed value, an unknown parameter)
├── InvalidInput          well-formed, but not a valid document; one FieldError for each fault
├── UnsupportedMedia      a body in a format that bzz does not read
├── TooLarge              a body, a document or an event above its limit
├── NotFound              nothing is there, and never was
├── Gone                  it was there, and was deleted; its history is still there
├── Conflict              another document or writer is in the way
│   ├── PatchConflict     an operation of a JSON Patch does not apply
│   ├── Overtaken         what is to be taken back was changed again since
│   └── Superseded        another writer was faster; the same work may succeed when run again
├── PreconditionFailed    If-Match named a version that is not the current one
├── PreconditionRequired  the resource asks for an If-Match and none came
├── Refused               a receiver or a hook refused the write
├── Unavailable           the database cannot do it now; may be tried again
│   ├── SlowReceiver      an atomic receiver held up the writes of everybody
│   └── Undecided         the commit was sent and its outcome is not known
├── Unreadable            a stored document that its model cannot load
├── SetupError            the server, the connection or a registration cannot work as it is
└── Unrecorded            a write of an audited model reached the commit without its event
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BadRequest",
    "BzzError",
    "Conflict",
    "FieldError",
    "Gone",
    "InvalidInput",
    "NotFound",
    "Overtaken",
    "PatchConflict",
    "PreconditionFailed",
    "PreconditionRequired",
    "Refused",
    "SetupError",
    "SlowReceiver",
    "Superseded",
    "TooLarge",
    "Unavailable",
    "Undecided",
    "Unreadable",
    "Unrecorded",
    "UnsupportedMedia",
]


class BzzError(Exception):
    """The root of all errors of bzz.  `str(error)` is one sentence for people."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault in the content of a body.

    Attributes
    ----------
    pointer: a JSON Pointer (RFC 6901) into the body; "" is the whole body.
    detail: one sentence.
    """

    pointer: str
    detail: str


class BadRequest(BzzError):
    """The request cannot be understood."""


class InvalidInput(BzzError):
    """The content is not a valid document.

    `errors` holds one `FieldError` for each fault.
    """

    def __init__(self, errors: Iterable[FieldError], message: str | None = None) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__(message or " ".join(error.detail for error in self.errors))


class UnsupportedMedia(BzzError):
    """The body's format is not one that is read here; `accepted` names those that are."""

    def __init__(self, message: str, *, accepted: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.accepted = accepted


class TooLarge(BzzError):
    """A body, a document or an event is above its limit."""


class NotFound(BzzError):
    """Nothing is there."""


class Gone(BzzError):
    """It was there and has been deleted.  `version` is the number of the delete."""

    def __init__(self, message: str, *, version: int | None = None) -> None:
        super().__init__(message)
        self.version = version


class Conflict(BzzError):
    """Another document or another writer is in the way."""


class PatchConflict(Conflict):
    """An operation of a JSON Patch does not apply.

    `index` is its place in the patch, from 0; `path` the JSON Pointer that it names.
    """

    def __init__(self, message: str, *, index: int, path: str) -> None:
        super().__init__(message)
        self.index = index
        self.path = path


class Overtaken(Conflict):
    """What is to be taken back was changed again since.

    `conflicts` holds each such path, a JSON Pointer of today's field names, and the version that
    changed it again; None where that is not recorded.
    """

    def __init__(self, message: str, *, conflicts: Iterable[tuple[str, int | None]]) -> None:
        super().__init__(message)
        self.conflicts = tuple(conflicts)


class Superseded(Conflict):
    """Another writer was faster.  A unit of work that raises it is run again.

    `index` is the place, among the events that were appended together, of the one that was too
    late; None where that is not known.
    """

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class PreconditionFailed(BzzError):
    """The version that the caller named is not `current`, which is None where nobody knows it."""

    def __init__(self, message: str, *, current: int | None = None) -> None:
        super().__init__(message)
        self.current = current


class PreconditionRequired(BzzError):
    """The resource asks for an If-Match header, and the request had none."""


class Refused(BzzError):
    """A receiver or a hook refused the write."""


class Unavailable(BzzError):
    """The database cannot do it now.  `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlowReceiver(Unavailable):
    """An atomic receiver held up the writes of everybody for longer than it may."""


class Undecided(Unavailable):
    """The commit was sent and no answer came: the write may or may not be there."""


class Unreadable(BzzError):
    """A stored document that its model cannot load; the message names the member."""


class SetupError(BzzError):
    """The server, the connection or a registration cannot work as it is."""


class Unrecorded(BzzError):
    """A write of an audited model would have been committed without its event."""
