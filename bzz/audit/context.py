"""Who writes and why: reads an actor's many spellings, and the headers that say the rest.

Knows of a request only its headers, method, path and address; nothing of Tornado itself.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote

from bson import ObjectId

from bzz.audit.errors import ContextError
from bzz.audit.events import ANONYMOUS, Actor

REASON_HEADER = "X-Audit-Reason"
LONGEST_REASON = 4096
"""Characters; a reason is a sentence or a page, never a file."""
LONGEST_CORRELATION = 256

CONTEXT_HEADERS: Mapping[str, str] = {
    REASON_HEADER: "Why this is written; kept in the history. UTF-8, or percent-encoded.",
    "X-Correlation-Id": "Ties the writes of several requests together in the history.",
}
"""The header fields that say why a request writes, and in the course of what."""

# W3C Trace Context: version (never ff), trace id and parent id (neither all zeros), flags; later
# versions may have more behind.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)
_IN_PATHS = "".join(map(chr, range(0x21, 0x7F)))  # only what is not ASCII is encoded
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def actor_from(value: object) -> Actor:
    """The actor that an `actor=` callable or argument names.

    A string (or an ObjectId, a UUID, a number, UTF-8 bytes) is the id of kind 'user';
    a pair is kind and id; None is anonymous.  Raises `ContextError` for anything else.
    """
    if value is None:
        return ANONYMOUS
    if isinstance(value, Actor):
        return value
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return Actor(value[0], None if value[1] is None else _id_from(value[1]))
    return Actor("user", _id_from(value))


def _id_from(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str | ObjectId | uuid.UUID) or (
        isinstance(value, int) and not isinstance(value, bool)
    ):
        return str(value)
    raise ContextError(
        f"The actor is a {type(value).__name__}; name it by a string (an id of kind user), "
        "a (kind, id) pair, or None for anonymous."
    )


def header_text(value: str) -> str:
    """A header's value as its sender meant it.

    Servers read header bytes as Latin-1; UTF-8 is understood, and percent-encoding, which is
    how a client that may send ASCII only writes other scripts (RFC 3986).
    """
    with suppress(UnicodeEncodeError, UnicodeDecodeError):  # else it was Latin-1
        value = value.encode("latin-1").decode("utf-8")
    if _ESCAPE.search(value):
        with suppress(UnicodeDecodeError):  # else the percent sign is just one
            value = unquote(value, errors="strict")
    return value


def from_header(name: str) -> Callable[[Any], str | None]:
    """An `actor=` for `Auditor`: the id that a header of the request gives, None without one.

    For applications behind a proxy that has authenticated the request and sets the header.
    UTF-8 and percent-encoding are understood, as in the reason.
    """

    def actor(handler: Any) -> str | None:
        value = handler.request.headers.get(name)
        return None if value is None else header_text(value).strip() or None

    return actor


def path_text(path: str) -> str:
    """A request's path as it stands in a URL; clients may send plain UTF-8."""
    return quote(path.encode("latin-1", "replace"), safe=_IN_PATHS)


def reason_from(headers: Mapping[str, str]) -> str | None:
    """The reason that a request gives in its header; None without one.

    Raises `ContextError` when it is longer than `LONGEST_REASON`.
    """
    value = headers.get(REASON_HEADER)
    return None if value is None else checked_reason(header_text(value))


def checked_reason(reason: str) -> str | None:
    """A reason fit for an event; None for an empty one.

    Raises `ContextError` for one that is no text, or too long.
    """
    if not isinstance(reason, str):
        raise ContextError(f"The reason is of the type {type(reason).__name__}; it is a text.")
    if len(reason) > LONGEST_REASON:
        raise ContextError(
            f"The reason has {len(reason)} characters; at most {LONGEST_REASON} are kept."
        )
    return reason.strip() or None


def correlation_from(headers: Mapping[str, str]) -> str:
    """What ties the writes of one request, and of the requests around it, together.

    `X-Correlation-Id`, else the trace id of `traceparent` (W3C Trace Context), else
    `X-Request-ID`, else a new one.  Raises `ContextError` for one that is too long.
    """
    for name in ("X-Correlation-Id", "traceparent", "X-Request-ID"):
        value = headers.get(name)
        if not value:
            continue
        if name == "traceparent":
            match = _TRACEPARENT.fullmatch(value.strip())
            if match is None:
                continue
            return match.group(1)
        text = header_text(value).strip()
        if text:
            return checked_correlation(text, name)
    return uuid.uuid4().hex


def checked_correlation(text: str, name: str = "The correlation id") -> str:
    """A correlation id fit for an event.  Raises `ContextError` if it is too long."""
    if len(text) > LONGEST_CORRELATION:
        raise ContextError(
            f"{name} has {len(text)} characters; at most {LONGEST_CORRELATION} are kept."
        )
    return text
