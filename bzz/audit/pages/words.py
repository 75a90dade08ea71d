"""What a page calls an actor, an operation, a time and a path.  Knows the API's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from bzz.audit.diff import parse

OPERATIONS = ("created", "updated", "deleted", "restored", "external", "baseline", "erased")
"""In the order in which they are offered."""

_WORDS = {
    "external": "changed round bzz",
    "baseline": "found without history",
}


def operation(event: Mapping[str, Any]) -> str:
    """What an event did, in words."""
    if event["undo_of"] is not None:
        return f"took back version {event['undo_of']}"
    if event["restored_from"] is not None:
        return f"restored version {event['restored_from']}"
    name = str(event["operation"])
    return _WORDS.get(name, name)


def actor(told: Mapping[str, Any] | None) -> str:
    """Who, in words."""
    if told is None:
        return "nobody known"
    kind, name = str(told["kind"]), told["id"]
    if kind == "anonymous" and name is None:
        return "somebody who gave no name"
    if name is None:
        return "the system" if kind == "system" else kind
    return str(name) if kind == "user" else f"{kind} {name}"


def actor_filter(told: Mapping[str, Any]) -> str:
    """The same as the filter `actor` takes it."""
    return f"{told['kind']}:{told['id'] or ''}"


def moment(text: str) -> str:
    """A time of the API for people, in UTC."""
    when = datetime.fromisoformat(text).astimezone(UTC)
    return f"{when.day} {when:%b %Y, %H:%M:%S}"


def for_input(text: str) -> str:
    """A time as `datetime-local` takes it, in UTC; another text as it is."""
    try:
        when = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        return text
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}"


def path(place: str) -> str:
    """A JSON Pointer for people."""
    return " › ".join(str(token) or "(no name)" for token in parse(place))


def count(number: int, one: str, many: str | None = None) -> str:
    """A number of things: `1 change`, `1,200 changes`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def number(value: int) -> str:
    """A number for people: `1,200`."""
    return f"{value:,}"


def span(seconds: float) -> str:
    """A length of time for people, in its largest unit."""
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return count(int(seconds // size), name)
    return count(int(seconds), "second")


def day(when: date) -> str:
    """A day for people."""
    return f"{when.day} {when:%b %Y}"
