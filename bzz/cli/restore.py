"""`bzz restore` and `bzz undo`: back to a version, or one event taken back; and whole sets.

What will change is shown first; what was shown is what is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import click

from bzz.audit import Auditor, History
from bzz.audit.context import actor_from, checked_reason
from bzz.audit.events import SYSTEM
from bzz.audit.restoring import Preview
from bzz.audit.views import show_changes
from bzz.cli.application import Command, audited, document_named
from bzz.cli.asking import among_models, correlated
from bzz.cli.ending import interruptible, sentence
from bzz.cli.naming import id_argument, model_argument, moment_argument, time
from bzz.cli.output import Output, confirm, confirmed, reported
from bzz.cli.putting_back import Chosen, Terms, put_back
from bzz.cli.telling import change_lines, named, require_history, schema_for
from bzz.errors import InvalidInput

Kind = Literal["restore", "undo"]


def _options(command: Command) -> Command:
    for decorate in (
        model_argument(required=False),
        id_argument(required=False),
        moment_argument("moment", "[VERSION]", required=False),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="PATH",
            help="Only this field: a name, dotted, or a JSON Pointer; may be repeated.",
        ),
        among_models,
        correlated,
        click.option(
            "--actor",
            metavar="WHO",
            help="With VERSION: who does it, as --as. Else: whose events are meant.",
        ),
        click.option(
            "--as",
            "by",
            metavar="WHO",
            help="Who does it: an id, or kind:id; by default the system.",
        ),
        click.option("--reason", metavar="TEXT", help="Why; it is kept in the events."),
        click.option("--after", metavar="TOKEN", help="Go on where an earlier run of a set ended."),
        click.option("--dry-run", is_flag=True, help="Only show what would change."),
        confirmed,
        audited,
        reported,
    )[::-1]:
        command = decorate(command)
    return command


@click.command()
@_options
@click.option("--to", callback=time, metavar="TIME", help="Of a set: how the documents were then.")
def restore(to: datetime | None, **given: Any) -> None:
    """Make an earlier version of a document the newest one.

    VERSION may be a time. What will change is shown first. Or, with --to and without ID, put a
    set of documents back to how they were at a time: those of a model, or those with events of
    an actor or a correlation id since.
    """
    order = _Order.read("restore", given)
    if order.id is not None:
        if to is not None:
            raise click.UsageError("With ID, say the version or the time in place of --to.")
        _put_back_one(order)
        return
    if to is None:
        raise click.UsageError("Say MODEL ID VERSION; or --to and a time, for a set of documents.")
    _put_back_set(order, to=to)


@click.command()
@_options
@click.option("--since", callback=time, metavar="TIME", help="Of a set: events from then on.")
@click.option("--until", callback=time, metavar="TIME", help="Of a set: events until then.")
def undo(since: datetime | None, until: datetime | None, **given: Any) -> None:
    """Take back what one event of a document changed.

    And nothing else; what will change is shown first. Or, without ID, what a request did
    (--correlation), or somebody (--actor and --since).
    """
    order = _Order.read("undo", given)
    if order.id is None:
        _put_back_set(order, since=since, until=until)
    elif since is not None or until is not None:
        raise click.UsageError("--since and --until are for sets of documents, without ID.")
    else:
        _put_back_one(order)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What the arguments ask for, be it of one document or of a set."""

    kind: Kind
    model: str | None
    id: str | None
    moment: int | datetime | None
    fields: list[str] | None
    actor: str | None
    correlation: str | None
    after: str | None
    terms: Terms
    auditor: Auditor
    out: Output

    @classmethod
    def read(cls, kind: Kind, given: dict[str, Any]) -> _Order:
        """Raises `click.UsageError` for what does not go together, `ContextError`."""
        is_one = given["id"] is not None
        among, actor, by = given["among"], given["actor"], given["by"]
        if is_one and given["moment"] is None:
            raise click.UsageError(f"Which version? Say: bzz {kind} MODEL ID VERSION.")
        if is_one:
            _refuse(given, ("among", "--model"), ("correlation", "--correlation"))
            _refuse(given, ("after", "--after"))
            if actor is not None and by is not None:
                raise click.UsageError("With ID, --actor and --as are the same: say one of them.")
        elif given["fields"]:
            raise click.UsageError("--field is for one document: say MODEL ID VERSION.")
        elif given["model"] is not None and among is not None:
            raise click.UsageError("Name the model once: as MODEL, or with --model.")
        return cls(
            kind=kind,
            model=given["model"] or among,
            id=given["id"],
            moment=given["moment"],
            fields=list(given["fields"]) or None,
            actor=actor,
            correlation=given["correlation"],
            after=given["after"],
            terms=Terms(
                actor=_actor(by or (actor if is_one else None)),
                reason=None if given["reason"] is None else checked_reason(given["reason"]),
                dry_run=given["dry_run"],
                yes=given["yes"],
            ),
            auditor=given["auditor"],
            out=given["out"],
        )


def _refuse(given: dict[str, Any], *options: tuple[str, str]) -> None:
    for name, option in options:
        if given[name] is not None:
            raise click.UsageError(f"{option} is for sets of documents, without ID.")


def _actor(text: str | None) -> Any:
    if text is None:
        return SYSTEM
    kind, colon, name = text.partition(":")
    return actor_from((kind, name) if colon and kind and name else text)


def _put_back_set(order: _Order, **chosen: Any) -> None:
    put_back(
        order.auditor,
        Chosen(model=order.model, actor=order.actor, correlation=order.correlation, **chosen),
        order.terms,
        order.out,
        after=order.after,
    )


# One document -------------------------------------------------------------------------------


def _put_back_one(order: _Order) -> None:
    model, text, out, terms = str(order.model), str(order.id), order.out, order.terms
    found = document_named(order.auditor, model, text)
    require_history(found, model, text)
    version = found.version_of(order.moment if order.moment is not None else 0)
    seen = _foresee(order, found, version)
    changes = show_changes(seen.changes, schema_for(found))
    facts = {"model": model, "document": text, "version": seen.last, "changes": changes}
    if seen.is_so:
        out.item(facts, [f"{model} {text} is so already: there is nothing to do."])
        return
    if terms.dry_run and out.as_json and seen.refused is None:
        out.document(facts)
        return
    out.lines([_title(order, version, seen), *change_lines(changes, indent=2)], err=out.as_json)
    if seen.refused is not None:
        raise click.ClickException(sentence(seen.refused) or "Today's model refuses it.")
    if terms.dry_run:
        return
    confirm(f"{order.kind.capitalize()} {model} {text}?", yes=terms.yes)
    act: Callable[..., int] = found.restore if order.kind == "restore" else found.undo
    with interruptible():  # it is one transaction: there is nothing to stop in between
        number = act(
            version, fields=order.fields, actor=terms.actor, reason=terms.reason, seen=seen
        )
    out.item({**facts, "version": number}, [f"{model} {text} has version {number} now."])


def _foresee(order: _Order, found: History, version: int) -> Preview:
    foresee = found.foresee_restore if order.kind == "restore" else found.foresee_undo
    try:
        return foresee(version, fields=order.fields)
    except InvalidInput as error:
        if order.fields is None:
            raise
        faults = " ".join(each.detail for each in error.errors)
        raise click.BadParameter(faults, param_hint="--field") from error


def _title(order: _Order, version: int, seen: Preview) -> str:
    name, back = (
        f"{order.model} {order.id}",
        ", which brings it back" if seen.before is None else "",
    )
    does = f"restore version {version}" if order.kind == "restore" else f"undo version {version}"
    return f"{name}, at version {seen.last}: {does}{back} ({named(len(seen.changes), 'change')})"
