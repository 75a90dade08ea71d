"""Adapter: the documents that a set of events is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bzz.audit.store import actor_query
from bzz.audit.tracking import Tracked, by_stream
from bzz.errors import FieldError, InvalidInput
from bzz.tokens import make_token, read_token
from bzz.values import EXACT

if TYPE_CHECKING:
    from bzz.audit.store import HistoryStore


class Chosen(NamedTuple):
    """One document with events that were chosen, and their versions."""

    stream: str
    document: Any
    versions: tuple[int, ...]

    @property
    def place(self) -> Place:
        """Where it stands among all that were chosen."""
        return Place(self.stream, self.document)


class Place(NamedTuple):
    """A place in the order of documents: by stream, then by id as MongoDB sorts them.

    Attributes
    ----------
    stream: the name of the stream.
    document: the id of the document, as stored.
    """

    stream: str
    document: Any

    @property
    def token(self) -> str:
        """The place as text, safe in URLs."""
        return make_token({"s": self.stream, "d": self.document}, EXACT)

    @classmethod
    def of(cls, token: str) -> Place:
        """The place that a token names.  Raises `ValueError`."""
        try:
            found = read_token(token, EXACT)
            return cls(str(found["s"]), found["d"])
        except (ValueError, KeyError) as error:
            raise ValueError("This is the token of no place.") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which events are meant: those that meet all that is given.

    Attributes
    ----------
    tracked: the models; one of each stream.
    actor: an id, or 'kind:id'.
    correlation: the id that the writes of one request share.
    since, until: UTC, both inclusive.
    later_than: UTC, exclusive.
    """

    tracked: Sequence[Tracked]
    actor: str | None = None
    correlation: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    later_than: datetime | None = None

    def documents(self, store: HistoryStore, *, after: Place | None = None) -> Iterator[Chosen]:
        """The documents that have such events, in the order of their places, from one on."""
        for stream, document, versions in store.documents(self._query(), after=after):
            yield Chosen(stream, document, tuple(sorted(versions)))

    def count(self, store: HistoryStore) -> tuple[int, int]:
        """How many documents have such events, and how many events these are."""
        return store.count(self._query())

    def _query(self) -> dict[str, Any]:
        conditions: list[dict[str, Any]] = [{"s": {"$in": [each.stream for each in self.tracked]}}]
        if self.correlation is not None:
            conditions.append({"k": self.correlation})
        if self.actor is not None:
            conditions.append(actor_query(self.actor))
        for operator, time in (("gte", self.since), ("lte", self.until), ("gt", self.later_than)):
            if time is not None:
                conditions.append({"t": {f"${operator}": time}})
        return {"$and": conditions}


def chosen(
    tracked: Iterable[Tracked],
    *,
    named: bool,
    to: datetime | None = None,
    actor: str | None = None,
    correlation: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Selection:
    """The events that a caller means; `named` says that he named the model.

    Raises `InvalidInput` for a choice that would take in more than anybody can mean.
    """
    faults = []
    if not (named or actor or correlation):
        faults.append(FieldError("", "Name a model, an actor or a correlation id."))
    if not (to or since or correlation):
        faults.append(FieldError("", "Say from when on: 'to', 'since', or a correlation id."))
    for name, value in (("since", since), ("until", until)):
        if to is not None and value is not None:
            detail = f"'{name}' chooses events to take back; with 'to' all later ones are meant."
            faults.append(FieldError(f"/{name}", detail))
    if faults:
        raise InvalidInput(faults)
    topmost = by_stream(tracked, lambda each: each.stream, lambda each: each.model)
    return Selection(
        tracked=tuple(topmost.values()),
        actor=actor,
        correlation=correlation,
        since=since,
        until=until,
        later_than=to,
    )
