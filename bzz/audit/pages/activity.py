"""The pages about all models: what happened, by request, and a request that is taken back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import urlencode

from bzz.audit.diff import parse
from bzz.audit.pages.change import Trouble
from bzz.audit.pages.chart import HEIGHT, chart
from bzz.audit.pages.rendering import render

DAYS = 30
"""Of the chart."""
_FEW = 6
"""Fields that are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many of the events that are asked for there were, by day.

    Attributes
    ----------
    days: those of the last `DAYS` days up to `last`.
    is_whole: false where there was no time to count them all.
    """

    days: Mapping[date, int]
    last: date
    is_whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """A page of events of all models.

    Attributes
    ----------
    events: as the API shows them, each with the path of its `history`, or None.
    models: the names that may be asked for.
    filters: what was asked for.
    may_undo: the reader may take back what a request did.
    subscriptions: how they stand, as the API shows it; those that the reader may see.
    newest, newer, older: the ways on.
    path: of the activity.
    """

    events: Sequence[Mapping[str, Any]]
    models: Sequence[str]
    filters: Mapping[str, str]
    counts: Counts
    may_undo: bool
    subscriptions: Sequence[Mapping[str, Any]]
    path: str
    newest: str | None
    newer: str | None
    older: str | None

    @property
    def is_filtered(self) -> bool:
        """Whether events are left out."""
        own = {"model", "field", "actor", "operation", "since", "until", "correlation"}
        return bool(own & set(self.filters))

    def of_request(self, correlation: str) -> str:
        """The path of the events of one request."""
        return _of_request(self.path, correlation)

    def undo(self, correlation: str) -> str:
        """The path on which a request is taken back."""
        return _of_request(f"{self.path}restore/", correlation)


@dataclass(slots=True)
class Group:
    """Events that stand together because one request made them."""

    first: Mapping[str, Any]
    events: list[Mapping[str, Any]] = field(default_factory=list)


def grouped(events: Iterable[Mapping[str, Any]]) -> list[Group]:
    """Neighbours of one request in one group; an event without correlation is one by itself."""
    groups = list[Group]()
    for event in events:
        if not groups or event["correlation"] is None or _facts(groups[-1].first) != _facts(event):
            groups.append(Group(event))
        groups[-1].events.append(event)
    return groups


def _facts(event: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a group says once for all of its events; clients may choose correlation ids."""
    return event["correlation"], event["actor"], event["reason"]


def fields_of(event: Mapping[str, Any]) -> tuple[list[str], int]:
    """The names of the top members that an event changed, the first few, and how many more."""
    names = list(dict.fromkeys(str(parse(each["path"])[0]) for each in event["changes"]))
    return names[:_FEW], max(len(names) - _FEW, 0)


def activity(listed: Activity) -> bytes:
    """What happened, the newest on top."""
    counts = listed.counts
    return render(
        "activity.html",
        listed=listed,
        groups=grouped(listed.events),
        fields_of=fields_of,
        chart=chart(counts.days, counts.last, DAYS),
        height=HEIGHT,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """A request that is to be taken back, or was.

    Attributes
    ----------
    correlation: the id of the request.
    path: of the activity.
    token: against forms of other sites.
    preview: the API's answer to a dry run; None once it was done.
    report: the API's answer; None before.
    """

    correlation: str
    path: str
    token: str
    preview: Mapping[str, Any] | None = None
    report: Mapping[str, Any] | None = None
    reason: str = ""
    trouble: Trouble | None = None

    def of_request(self, correlation: str) -> str:
        """The path of the events of one request."""
        return _of_request(self.path, correlation)


def _of_request(path: str, correlation: str) -> str:
    return f"{path}?{urlencode({'correlation': correlation})}"


def request(taken: Taken) -> bytes:
    """The preview of taking a request back, or what came of it."""
    return render("request.html", it=taken)
