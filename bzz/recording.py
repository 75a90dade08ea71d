"""The seam to whoever records writes: one protocol, and which recorder stands behind which model.

Knows nothing of the audit that implements it, nor of HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from bzz.errors import SetupError
from bzz.values import Hidden

if TYPE_CHECKING:
    from bzz.unit import Unit

Model = type[Any]  # a MongoEngine Document class; MongoEngine carries no types
State = dict[str, Any]  # one document's stored content, by stored names


@dataclass(frozen=True, slots=True)
class Head:
    """What a recorder knows of the last event of one document.

    `version` counts from 1; `deleted` says that the last event took the
    document away; `time` is the last event's, UTC.
    """

    version: int
    deleted: bool
    time: datetime
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Past:
    """A document as it was after one event."""

    version: int
    time: datetime
    state: State


class Recorder(Protocol):
    """What the framework asks of the object that records the writes of its models."""

    def prepare(self) -> None:
        """Make sure that recording can work; raises `SetupError`.  Cheap once it has succeeded."""

    def serve(self) -> None:
        """Called on the event loop before a request is looked at: what runs beside may start."""

    async def describe(self, handler: Any, reason: str | None = None) -> object:
        """Who writes and why, read from a request.  Called on the event loop.

        `reason` is one given in a body, which wins over that of a header.
        """

    def headers(self) -> Mapping[str, str]:
        """The header fields that `describe` reads from a request, each with a sentence."""

    def hidden(self, model: Model) -> Hidden:
        """The stored paths of `model` whose values must not leave the database."""

    def heads(self, unit: Unit | None, model: Model, ids: Iterable[Any]) -> list[Head | None]:
        """The last event of each document, in the order of `ids`; None where there is none.

        Read within the transaction of `unit`, or outside of any.
        """

    def look(
        self, model: Model, document_id: Any, query: Mapping[str, Any]
    ) -> tuple[Head | None, State | None]:
        """The last event of a document, and what `query` finds of it, read in this order.

        None for what is not there.  Outside of any transaction.
        """

    def append(self, events: Sequence[Any], session: Any) -> None:
        """Store the events that were made in one transaction, all or none.

        Raises `Superseded` when another writer has appended to one of their streams, and
        `Unavailable` when they cannot be stored.
        """

    def matches(self, head: Head, model: Model, state: State | None) -> bool:
        """Whether `state` is what the document was after the event of `head`."""

    def last_state(self, model: Model, document_id: Any) -> State | None:
        """The last state in which a document existed.

        None when it never did, and when its history is broken so that nobody can tell.
        """

    def trace(self, model: Model, member: str, value: Any) -> Any:
        """The primary key of the last deleted document whose `member` was `value`; or None."""

    def past(self, model: Model, document_id: Any, at: str) -> Past:
        """A document as it was: `at` is a version in digits, else a time (RFC 3339).

        Raises `BadRequest` for what is neither, `NotFound` for what never was, `Gone` for a
        moment after a delete.
        """

    def routes_beside(self, handler: type[Any], resource: Any) -> list[Any]:
        """The routes that stand beside the model's own."""

    def segment(self) -> str:
        """The name of the path segment under which those routes stand."""


# A fact about a class, held as long as the class lives: the same kind of thing as the
# class registry of MongoEngine, from which models and rules of deletion are looked up.
_recorder_by_model: WeakKeyDictionary[Model, Recorder] = WeakKeyDictionary()


def record_with(recorder: Recorder, model: Model) -> None:
    """Let `recorder` record every write of `model` and of the classes that inherit from it.

    Raises `SetupError` when another recorder has it already.
    """
    present = recorder_of(model)
    if present is not None and present is not recorder:
        raise SetupError(
            f"{model.__name__} is recorded by another auditor already; "
            "give each model to one auditor."
        )
    _recorder_by_model[model] = recorder


def recorder_of(model: Model) -> Recorder | None:
    """The recorder of a model, its own or that of a class it inherits from."""
    for ancestor in model.__mro__:
        recorder = _recorder_by_model.get(ancestor)
        if recorder is not None:
            return recorder
    return None


def family(model: Model) -> Iterator[Model]:
    """A model and all classes that inherit from it: what its documents may be."""
    yield model
    for subclass in model.__subclasses__():
        yield from family(subclass)


def recorded_models() -> list[Model]:
    """All models that have a recorder of their own."""
    return list(_recorder_by_model)


def recorders() -> list[Recorder]:
    """All recorders of this process, each once."""
    return list({id(each): each for each in _recorder_by_model.values()}.values())
