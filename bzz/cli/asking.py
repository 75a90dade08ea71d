"""Which events a command is about: the options that are the parameters of the HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import click

from bzz.audit import Auditor
from bzz.audit.asking import Asked, query_across
from bzz.audit.tracking import Tracked
from bzz.cli.application import Command, model_named
from bzz.cli.naming import complete_models
from bzz.cli.telling import Teller
from bzz.errors import SetupError
from bzz.recording import Model, family
from bzz.schema import schema_of

_OPTIONS = {
    "field": ("PATH", "Events that changed this field: a name, dotted, or a JSON Pointer."),
    "actor": ("WHO", "Events of an actor: an id, or kind:id."),
    "operation": ("NAMES", "Events of these operations: updated,deleted …"),
    "since": ("TIME", "Events from this time on (RFC 3339)."),
    "until": ("TIME", "Events until this time, and at it."),
    "before": ("NUMBER", "Events before this version; across documents this position."),
    "after": ("NUMBER", "Events after this version; across documents this position."),
    "order": ("asc|desc", "The newest come first: desc."),
}

correlated = click.option(
    "--correlation", metavar="ID", help="Events of one request, or of those that share its id."
)
"""A decorator: the command has the option `--correlation`."""


def filtered(*names: str) -> Callable[[Command], Command]:
    """A decorator: the command has these options of `_OPTIONS`, and gets them as `filters`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*args: Any, **given: Any) -> Any:
            texts = {name: given.pop(name) for name in names}
            filters = {name: text for name, text in texts.items() if text is not None}
            return command(*args, filters=filters, **given)

        decorated: Command = run
        for name in reversed(names):
            metavar, told = _OPTIONS[name]
            decorated = click.option(f"--{name}", metavar=metavar, help=told)(decorated)
        return decorated

    return decorate


EVERY_FILTER = tuple(_OPTIONS)

among_models = click.option(
    "--model", "among", metavar="MODEL", shell_complete=complete_models, help="Only of this model."
)
"""A decorator: the command has the option `--model`, and gets it as `among`."""


class Told(NamedTuple):
    """A position that was looked at, and its event as the API shows it, if it has one."""

    position: int
    event: dict[str, Any] | None


class Across:
    """The events of all models, or of one and those that inherit from it, that are asked for.

    Raises `BadRequest` for what cannot be meant, `SetupError` on mongomock, `PositionGone` for a
    position that is not the one that a reader was given.
    """

    def __init__(
        self,
        auditor: Auditor,
        filters: dict[str, str],
        *,
        model: str | None,
        correlation: str | None,
        epoch: str | None = None,
    ) -> None:
        self._auditor = auditor
        auditor.prepare()
        found = None if model is None else model_named(auditor, model)
        tracked = _tracked(auditor, found)
        self._names = {each.name for each in tracked}
        self.asked = Asked.read(filters, schema_of(tracked[0].model))
        self._query = query_across(self.asked, tracked)
        self._correlation = correlation
        if auditor.seals is None:
            raise SetupError(
                "Events of many documents are told by their positions, which only a replica set "
                "has: name a model and an id."
            )
        auditor.sequence()  # what is committed by now is told, whoever is to number it
        self.head = auditor.feed.head_after(self.asked.after or 0, epoch)

    @property
    def bounds(self) -> range:
        """The positions that are looked at."""
        first, end = (self.asked.after or 0) + 1, self.head.position + 1
        if self.asked.before is not None:
            end = min(end, self.asked.before)
        return range(first, max(first, end))

    def events(self) -> Iterator[Told]:
        """The events in the order that is asked for, in pieces of memory that do not grow.

        Between them positions without an event that tell how far it is.
        """
        teller = Teller(self._auditor)
        pieces = self._auditor.feed.pieces(
            self._query,
            self.bounds,
            newest_first=self.asked.newest_first,
            correlation=self._correlation,
        )
        for piece in pieces:
            for stored in piece.events:
                event = teller.tell(stored)
                if event is not None and event["model"] in self._names:
                    yield Told(int(stored["p"]), event)
            yield Told(piece.reached, None)


def _tracked(auditor: Auditor, model: Model | None) -> list[Tracked]:
    models = auditor.models() if model is None else [model, *family(model)]
    return [auditor.tracked_as(each) for each in models]
