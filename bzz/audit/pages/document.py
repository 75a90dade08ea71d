"""The pages about one document: its history, a version, two of them, blame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from bzz.audit.diff import parse
from bzz.audit.pages.outline import Line, Pair, outline, side_by_side
from bzz.audit.pages.rendering import render
from bzz.audit.pages.values import shown, two_sides

Event = Mapping[str, Any]
"""As the API shows it."""

_FEW = 6
"""Changes that a timeline shows without being asked to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The document that a page is about.

    Attributes
    ----------
    model, id: as in URLs.
    history: the path of its history; it ends in a slash.
    last: the number of its last version; 0 without history.
    is_deleted: the last version is a delete.
    may_restore: the reader may put versions back.
    activity: the path of the activity of all models; None where it is not served.
    """

    model: str
    id: str
    history: str
    last: int
    is_deleted: bool
    may_restore: bool
    activity: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.model} {self.id}"

    def version(self, number: int, *below: str) -> str:
        """The path of a version, or of what stands below it."""
        return f"{self.history}{'/'.join([str(number), *below])}/"

    def compare(self, from_: int, to: int) -> str:
        """The path of a comparison."""
        return f"{self.history}diff/?{urlencode({'from': from_, 'to': to})}"

    def about(self, field: str) -> str:
        """The path of the events that changed a field."""
        return f"{self.history}?{urlencode({'field': field})}"

    def may_undo(self, event: Event) -> bool:
        """Whether the reader may take an event back, as far as the event itself can tell."""
        return self.may_restore and event["operation"] not in ("created", "baseline", "erased")

    def may_go_back(self, event: Event) -> bool:
        """Whether the reader may make a version the newest one."""
        is_newest = event["version"] == self.last
        return self.may_restore and not is_newest and event["operation"] != "deleted"

    @property
    def way_back(self) -> str:
        """The path on which a deleted document is brought back."""
        return self.version(self.last, "undo")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A page of events: what was asked for, and the ways on from it."""

    events: Sequence[Event]
    filters: Mapping[str, str]
    fields: Sequence[str]
    newest: str | None
    newer: str | None
    older: str | None

    @property
    def is_filtered(self) -> bool:
        """Whether events are left out."""
        return bool({"field", "actor", "operation", "since", "until"} & set(self.filters))


def history(subject: Subject, listed: Listed) -> bytes:
    """The timeline of a document's versions, the newest on top."""
    return render("history.html", it=subject, listed=listed, few=_FEW, is_quiet=_is_quiet)


def _is_quiet(event: Event) -> bool:
    """Whether an event says no more than the document that it made or took away."""
    return event["operation"] in ("created", "deleted", "baseline")


def version(subject: Subject, event: Event, state: Any) -> bytes:
    """One version: what its event changed, and the document after it (None: there is none)."""
    changed = [tuple(map(str, parse(each["path"]))) for each in event["changes"]]
    return render(
        "version.html",
        it=subject,
        event=event,
        has_document=state is not None,
        lines=[(line, _is_touched(line, changed)) for line in outline(state or {})],
    )


def _is_touched(line: Line, changed: Iterable[tuple[str, ...]]) -> bool:
    """Whether an event changed a value, or something that it is in."""
    return not line.holds and any(line.path[: len(path)] == path for path in changed)


def compare(
    subject: Subject,
    sides: Sequence[Any],
    events: Sequence[Event | None],
    changes: Sequence[Mapping[str, Any]],
) -> bytes:
    """Two versions beside each other; a side or an event may be missing."""
    rows = [_row(pair) for pair in side_by_side(*sides)]
    return render("compare.html", it=subject, events=events, changes=changes, rows=rows)


def _row(pair: Pair) -> tuple[Pair, str, str]:
    """A pair, and its values as HTML."""
    left, right, is_same = pair
    if left is not None and right is not None and not is_same and not left.holds:
        return pair, *two_sides(left.value, right.value)
    return pair, _side(left), _side(right)


def _side(line: Line | None) -> str:
    return "" if line is None or line.holds else shown(line.value)


def blame(subject: Subject, items: Sequence[Mapping[str, Any]]) -> bytes:
    """What set each value of the document, beside the value."""
    return render("blame.html", it=subject, items=items)
