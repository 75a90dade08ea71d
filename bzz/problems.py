"""Errors as RFC 9457 problems: which status, type and words an exception has over HTTP.

Knows the errors of bzz, Tornado and MongoEngine; writes no response.

The `type` of a problem is the address of its page in the documentation, which stays the same
from release to release.  Clients should compare it as a whole.  A status that an application
raises with `tornado.web.HTTPError` has the slug of its standard phrase (`forbidden`), or
`status-<number>` when it has none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from mongoengine.errors import NotUniqueError, OperationError, ValidationError
from pymongo.errors import DuplicateKeyError, OperationFailure
from tornado.web import HTTPError

from bzz import errors
from bzz.errors import FieldError, InvalidInput
from bzz.jsontext import dumps
from bzz.signals import failed_receiver
from bzz.silence import WRITE_CONFLICT, is_silence

__all__ = ["KINDS", "PROBLEM_JSON", "Kind", "Problem", "problem_for", "type_of"]

PROBLEM_JSON = "application/problem+json"
"""The media type of a problem's JSON."""

_PAGES = "https://bzz.readthedocs.io/page/problems/"

Names = Callable[[Sequence[str]], Sequence[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What an error answer says.

    Attributes
    ----------
    status: the HTTP status.
    slug: the short name of the kind of problem, the end of its `type`.
    title: the kind of problem in words, the same for all problems of the type.
    detail: one sentence about this occurrence; None when there is nothing to add.
    errors: what is wrong where; each with a JSON Pointer into the request's body.
    headers: header fields that the answer must have besides its Content-Type.
    extra: further members.
    """

    status: int
    slug: str
    title: str
    detail: str | None = None
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The URI of the kind of problem."""
        return type_of(self.slug)

    def members(self) -> dict[str, Any]:
        """The problem as plain JSON-ready values; what is not there is left out."""
        members: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail:
            members["detail"] = self.detail
        if self.errors:
            members["errors"] = [
                {"pointer": error.pointer, "detail": error.detail} for error in self.errors
            ]
        return members | dict(self.extra)

    def to_json(self) -> bytes:
        """The problem as the body of an answer."""
        return dumps(self.members())


def type_of(slug: str) -> str:
    """The URI of a kind of problem."""
    return f"{_PAGES}{slug}.html"


def problem_for(error: BaseException, *, names: Names | None = None) -> Problem:
    """What to answer for `error`.

    `names` turns a path of stored member names into today's field names, for errors that
    only know the former (a clash on a unique key).

    Answers only what was written for the client: the message of an error that is not known
    here, and the `log_message` of Tornado's `HTTPError`, stay in the log.  A MongoEngine
    error out of a receiver is not the client's fault: it speaks of another document.
    """
    if isinstance(error, HTTPError):
        return _of_status(error)
    if isinstance(error, errors.BzzError):
        return _of_bzz(error)
    if failed_receiver(error) is None:
        if isinstance(error, ValidationError):
            return _of_validation(error)
        if isinstance(error, NotUniqueError):
            return _of_clash(error, names)
        if isinstance(error, OperationError) and (refusal := _DENIED.search(str(error))):
            return _of_denial(refusal["field"])
        if is_silence(error):
            return _of_bzz(errors.Unavailable("The database did not answer. Try again."))
        if isinstance(error, OperationFailure) and error.code == WRITE_CONFLICT:
            # Met outside of transactions, where the server waits for the other writer itself.
            return _of_bzz(errors.Unavailable("Another writer was in the way. Try again."))
    return _INTERNAL


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its status, its short name, and its title."""

    status: int
    slug: str
    title: str


_INVALID = Kind(422, "invalid-input", "The content is not valid")

_KINDS: Mapping[type[BaseException], Kind] = {
    errors.BadRequest: Kind(400, "bad-request", "The request cannot be understood"),
    errors.Refused: Kind(403, "refused", "Refused"),
    errors.NotFound: Kind(404, "not-found", "Not found"),
    errors.Conflict: Kind(409, "conflict", "In conflict with what is stored"),
    errors.PatchConflict: Kind(409, "patch-conflict", "The patch does not apply"),
    errors.Overtaken: Kind(409, "overtaken", "Changed again since"),
    errors.Gone: Kind(410, "gone", "Deleted"),
    errors.PreconditionFailed: Kind(412, "precondition-failed", "Changed in the meantime"),
    errors.TooLarge: Kind(413, "too-large", "Too large"),
    errors.UnsupportedMedia: Kind(415, "unsupported-media-type", "Format not supported"),
    errors.InvalidInput: _INVALID,
    errors.PreconditionRequired: Kind(428, "precondition-required", "If-Match is required"),
    errors.Unreadable: Kind(500, "unreadable", "The stored document cannot be loaded"),
    errors.SetupError: Kind(500, "setup", "The server is not set up for this"),
    errors.Unrecorded: Kind(500, "unrecorded", "The write could not be recorded"),
    errors.Unavailable: Kind(503, "unavailable", "Not available now"),
    errors.SlowReceiver: Kind(503, "slow-receiver", "A receiver took too long"),
    errors.Undecided: Kind(503, "undecided", "The outcome is not known"),
}
"""The nearest class of an error's own ancestry counts."""

_NOT_UNIQUE = Kind(409, "not-unique", "A unique value is taken")
_REFERRED_TO = Kind(409, "referred-to", "Other documents refer to this one")

_DENIED = re.compile(r"Could not delete document \((?P<field>\S+) refers to it\)")

_FAILED = Kind(500, "internal-server-error", "Internal Server Error")

_OF_TORNADO = (
    Kind(401, "unauthorized", "Unauthorized"),
    Kind(403, "forbidden", "Forbidden"),
    Kind(405, "method-not-allowed", "Method Not Allowed"),
)
"""What `HTTPError` is raised with by the handlers, and by an application's usual hooks."""

KINDS: Mapping[str, Kind] = {
    each.slug: each for each in (*_KINDS.values(), _NOT_UNIQUE, _REFERRED_TO, _FAILED, *_OF_TORNADO)
}
"""The kinds of problems that bzz answers with, by their short names; each has a page."""


def _problem(kind: Kind, detail: str | None, **more: Any) -> Problem:
    return Problem(status=kind.status, slug=kind.slug, title=kind.title, detail=detail, **more)


_INTERNAL = _problem(_FAILED, "The server failed; its log says why.")


def _of_status(error: HTTPError) -> Problem:
    status = error.status_code
    try:
        title = HTTPStatus(status).phrase
        slug = re.sub("[^a-z]+", "-", title.lower().replace("'", "")).strip("-")
    except ValueError:
        title, slug = f"Status {status}", f"status-{status}"
    kind = KINDS.get(slug, Kind(status, slug, title))
    return _problem(kind, error.reason, headers=_headers_of(status))


def _of_bzz(error: errors.BzzError) -> Problem:
    kind = next((_KINDS[each] for each in type(error).__mro__ if each in _KINDS), None)
    if kind is None:
        return _INTERNAL
    return _problem(
        kind,
        str(error),
        errors=_faults(error),
        headers=_headers_of(kind.status) | _own_headers(error),
        extra=_facts(error),
    )


def _headers_of(status: int) -> dict[str, str]:
    # A restore brings a deleted document back under its URL, so no cache may keep its absence.
    return {"Cache-Control": "no-store"} if status in (404, 410) else {}


def _own_headers(error: errors.BzzError) -> dict[str, str]:
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, errors.UnsupportedMedia) and error.accepted:
        return {"Accept": ", ".join(error.accepted)}
    return {}


def _faults(error: errors.BzzError) -> tuple[FieldError, ...]:
    if isinstance(error, InvalidInput):
        return error.errors
    if isinstance(error, errors.PatchConflict):
        return (FieldError(f"/{error.index}", str(error)),)
    return ()


def _facts(error: errors.BzzError) -> dict[str, Any]:
    if isinstance(error, errors.PreconditionFailed) and error.current is not None:
        return {"version": error.current}
    if isinstance(error, errors.Gone) and error.version is not None:
        return {"version": error.version}
    if isinstance(error, errors.Overtaken):
        found = [{"path": path, "version": version} for path, version in error.conflicts]
        return {"conflicts": found}
    return {}


def _of_validation(error: ValidationError) -> Problem:
    faults = tuple(_leaves(error, ()))
    detail = "; ".join(
        f"{fault.pointer}: {fault.detail}" if fault.pointer else fault.detail for fault in faults
    )
    return _problem(_INVALID, detail, errors=faults)


def _leaves(error: Any, path: tuple[Any, ...]) -> Iterator[FieldError]:
    """Every single fault of a MongoEngine ValidationError, which nests as the document does."""
    inner = error.errors if isinstance(error, ValidationError) else error
    if isinstance(inner, dict) and inner:
        for key, each in inner.items():
            # MongoEngine's key for faults of a document as a whole, raised by its clean().
            yield from _leaves(each, path if key == "__all__" else (*path, key))
    elif isinstance(inner, list | tuple) and inner:
        for each in inner:
            yield from _leaves(each, path)
    else:
        own = getattr(error, "field_name", None)
        where = (*path, own) if own and not path else path
        yield FieldError(_pointer(where), str(error) or "Not valid.")


def _of_clash(error: NotUniqueError, names: Names | None) -> Problem:
    paths = [key.split(".") for key in _clashing_keys(error)]
    # Their message shows the index and the whole rival value; say the names alone.
    pointers = [_pointer(names(path) if names else path) for path in paths]
    faults = tuple(FieldError(pointer, "This value is taken.") for pointer in pointers)
    return _problem(
        _NOT_UNIQUE,
        f"Another document has the same {' and '.join(pointers) or 'unique value'}.",
        errors=faults,
    )


def _clashing_keys(error: NotUniqueError) -> list[str]:
    cause = error.__cause__ or error.__context__
    details = cause.details if isinstance(cause, DuplicateKeyError) else None
    return [str(key) for key in (details or {}).get("keyPattern", {})]


def _of_denial(referring: str) -> Problem:
    return _problem(
        _REFERRED_TO,
        f"{referring} refers to this document; change or delete what refers to it first.",
    )


def _pointer(path: Sequence[Any]) -> str:
    """RFC 6901."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
