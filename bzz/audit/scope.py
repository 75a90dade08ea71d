"""Which streams and which documents belong to a model, and how far a run over them has come.

A stream name may be shared by several classes of one collection, and one collection may have
several stream names.  Knows nothing of what is done with streams and documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bzz.audit.redaction import Redaction
from bzz.audit.tracking import Tracked, by_stream
from bzz.errors import BadRequest, BzzError
from bzz.recording import Model, State, family
from bzz.source import Source
from bzz.tokens import make_token, read_token
from bzz.unit import current_unit
from bzz.values import ABSENT, EXACT

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

LONGEST = 50.0
"""Seconds for one transaction: the server ends those of a minute."""
BATCH_BYTES = 8 * 1024 * 1024
"""Of documents that are written at once."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The documents whose events stand under one stream name.

    Attributes
    ----------
    auditor: who records them.
    stream: the name.
    model: the class whose documents are meant, with those that inherit from it.
    """

    auditor: Auditor
    stream: str
    model: Model

    @property
    def source(self) -> Source:
        """Where the documents are stored, of all classes: one without `_cls` is of the first."""
        collection = self.model._get_collection_name()
        kin = [each for each in self.model.__mro__ if _is_in(each, collection)]
        return Source.of(kin[-1])

    def tracked(self, state: State | None) -> Tracked:
        """How the document of a state is recorded; as the model itself when it is of no class."""
        model = self.source.class_of(state)
        return self.auditor.tracked_as(model if issubclass(model, self.model) else self.model)

    def has(self, state: State) -> bool:
        """Whether the document of a state is meant, and has its events under this name."""
        model = self.source.class_of(state)
        return (
            issubclass(model, self.model) and self.auditor.tracked_as(model).stream == self.stream
        )

    def redactions(self, state: State | None) -> list[Redaction]:
        """What is hidden of a document's state, and of those of unrelated classes in its place.

        Where two classes that are not kin have one collection, a document does not say whose
        it is: each of their redactions may have been used for its events.
        """
        own = self.tracked(state)
        others = [
            each
            for each in self.auditor.tracked_under(self.stream)
            if not (issubclass(each.model, own.model) or issubclass(own.model, each.model))
        ]
        return [own.redaction, *(each.redaction for each in others)]


def _is_in(kind: type, collection: str) -> bool:
    meta = getattr(kind, "_meta", {})
    return meta.get("collection") == collection and not meta.get("abstract")


def scopes(auditor: Auditor, model: Model | None) -> list[Scope]:
    """All stream names of a model and of the classes that inherit from it, or of all tracked ones.

    In the order of the names, each name once.  Raises `SetupError` for a model that is not
    audited.
    """
    if model is not None:
        return _of_family(auditor, model)
    every = (scope for each in auditor.models() for scope in _of_family(auditor, each))
    found = by_stream(every, lambda each: each.stream, lambda each: each.model)
    return [found[name] for name in sorted(found)]


def _of_family(auditor: Auditor, model: Model) -> list[Scope]:
    names = {auditor.tracked_as(each).stream for each in family(model)}
    return [Scope(auditor, name, model) for name in sorted(names)]


class Place(NamedTuple):
    """How far a run over scopes has come: the last document that is done with.

    First come the streams of a scope, then its documents that have none.
    """

    stream: str
    in_documents: bool
    document: Any


def token_of(place: Place) -> str:
    """A place as text, safe in URLs."""
    stored = {"s": place.stream, "i": place.in_documents, "d": place.document}
    return make_token(stored, EXACT)


def place_of(token: str, among: Sequence[Scope]) -> Place:
    """The place that a token names.  Raises `BadRequest` when it is of no run over `among`."""
    try:
        stored = read_token(token, EXACT)
        place = Place(str(stored["s"]), bool(stored["i"]), stored["d"])
    except (ValueError, KeyError) as error:
        raise _wrong(token) from error
    if place.stream not in {scope.stream for scope in among}:
        raise _wrong(token)
    return place


def _wrong(token: str) -> BadRequest:
    shown = token if len(token) <= 40 else f"{token[:37]}..."
    return BadRequest(
        f"{shown!r} is not a place in a run over these models; take it from a report of one, "
        "or leave it out to begin at the start."
    )


class Part(NamedTuple):
    """What is still to be done of a scope's streams, or of its documents without one.

    `after` is the last document that is done with, `ABSENT` at the start.
    """

    scope: Scope
    in_documents: bool
    after: Any


def parts(among: Sequence[Scope], place: Place | None) -> Iterator[Part]:
    """All that follows a place, in order."""
    for scope in among:
        for in_documents in (False, True):
            here = (scope.stream, in_documents)
            if place is None or here > (place.stream, place.in_documents):
                yield Part(scope, in_documents, ABSENT)
            elif here == (place.stream, place.in_documents):
                yield Part(scope, in_documents, place.document)


class Found(NamedTuple):
    """Some documents of a scope.

    `new` are the ids of those without events, `known` counts the others, `last` is the last id
    that was looked at.
    """

    new: list[Any]
    known: int
    last: Any


def without_history(scope: Scope, after: Any, *, batch: int) -> Iterator[Found]:
    """The stored documents of a scope whose ids come after one, batch by batch."""
    while states := scope.source.walk(after=after, limit=batch):
        after = states[-1]["_id"]
        ids = [each["_id"] for each in states if scope.has(each)]
        found = scope.auditor.store.without_history(scope.stream, ids) if ids else []
        yield Found(found, len(ids) - len(found), after)


def refuse_within_write(what: str) -> None:
    """Raise when the calling code is in a unit of work, whose events are made at its end."""
    if current_unit() is not None:
        raise BzzError(
            f"{what} cannot run within auditor.write or auditor.recording: the events of the "
            "write are not there before its end. Run it before or after."
        )


def batches(values: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The values in lists of at most `size`."""
    batch: list[Any] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
