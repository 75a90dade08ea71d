"""What commands tell of events, changes and documents: as the API shows them, and as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from rich.text import Text

from bzz.audit import Auditor, History
from bzz.audit.comparing import Line, lines_of
from bzz.audit.store import unpacked
from bzz.audit.views import show_event
from bzz.cli.application import unknown
from bzz.cli.output import styled
from bzz.schema import Schema, schema_of

_STYLES = {"": "", "from": "red", "to": "green"}


def schema_for(history: History) -> Schema:
    """The schema of a document's own class, by which its members are named."""
    return schema_of(history.own().model)


def named(count: int, one: str, many: str | None = None) -> str:
    """A number of things: '1 document', '2 documents'."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def lasting(seconds: float | None) -> str:
    """A length of time: '90 s', '5 min', '3 h', '2 d'; nothing of None."""
    if seconds is None:
        return ""
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def who(actor: Mapping[str, Any] | None) -> str:
    """An actor as the API shows it, in a word: an id of kind user, else 'kind:id' or the kind."""
    if actor is None:
        return ""
    if actor["id"] is None:
        return str(actor["kind"])
    return str(actor["id"]) if actor["kind"] == "user" else f"{actor['kind']}:{actor['id']}"


def fields_of(item: Mapping[str, Any]) -> str:
    """The members that an event changed, as the API shows it."""
    return ", ".join(each["path"].removeprefix("/") for each in item["changes"])


def coloured(lines: Iterable[Line], *, indent: int = 0) -> Iterator[Text]:
    """Lines of a comparison, with what was there in red, and what is there now in green."""
    for each in lines:
        yield styled(" " * indent, *((part.text, _STYLES[part.kind]) for part in each))


def change_lines(changes: Iterable[dict[str, Any]], *, indent: int = 0) -> Iterator[Text]:
    """Changes, as the API shows them, as lines."""
    return coloured(lines_of(changes), indent=indent)


def require_history(history: History, model: str, text: str) -> int:
    """The last version of a document.  Raises `click.ClickException` without a history."""
    last = history.last_version()
    if last:
        return last
    if history.verify().has_no_baseline:
        raise click.ClickException(
            f"{model} {text} has no history yet: 'bzz adopt {model}' gives it its baseline."
        )
    raise unknown(model, text)


class Teller:
    """Tells stored events of all models as the API shows them."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._schemas = {auditor.tracked_as(each).name: each for each in auditor.models()}

    def tell(self, stored: dict[str, Any]) -> dict[str, Any] | None:
        """An event; None of a stream that no model has.  Raises as `History.told`."""
        history = self._auditor.history_under(stored["s"], stored["d"])
        if history is None:
            return None
        [event] = history.told([unpacked(stored, "")])
        return show_event(event, schema_of(self._schemas[event.model]))
