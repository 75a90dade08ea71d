"""`bzz history`: who changed a document, or all of them, when, why and what."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from bzz.audit import Auditor
from bzz.audit.asking import Asked, check_field
from bzz.audit.views import show_event
from bzz.cli.application import audited, document_named
from bzz.cli.asking import EVERY_FILTER, Across, among_models, correlated, filtered
from bzz.cli.naming import id_argument, model_argument
from bzz.cli.output import Output, reported
from bzz.cli.telling import fields_of, require_history, schema_for, who


@click.command()
@model_argument(required=False)
@id_argument(required=False)
@filtered(*EVERY_FILTER)
@among_models
@correlated
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N")
@audited
@reported
def history(
    model: str | None,
    id: str | None,  # noqa: A002
    filters: dict[str, str],
    among: str | None,
    correlation: str | None,
    limit: int,
    auditor: Auditor,
    out: Output,
) -> None:
    """List the events of a document, of a model, or of all.

    The newest come first. Across documents they are in the order of their positions.
    """
    if model is None or id is None:
        if model is not None and among is not None:
            raise click.UsageError("Name the model once: as MODEL, or with --model.")
        _across(auditor, filters, model or among, correlation, limit, out)
    elif among is not None or correlation is not None:
        raise click.UsageError("--model and --correlation are for the events of many documents.")
    else:
        _of_one(auditor, model, id, filters, limit, out)


def _of_one(
    auditor: Auditor, model: str, text: str, filters: dict[str, str], limit: int, out: Output
) -> None:
    found = document_named(auditor, model, text)
    require_history(found, model, text)
    schema, hidden = schema_for(found), found.hidden()
    asked = Asked.read(filters, schema)
    events = list(
        found.versions(query=asked.query(schema), newest_first=asked.newest_first, limit=limit)
    )
    if not events and asked.field is not None:
        check_field(found, schema, asked.field)
    out.rows(
        ("version", "operation", "time", "actor", "reason", "fields"),
        (show_event(each, schema, hidden) for each in found.told(events)),
        lambda item: (item["version"], *_cells(item)),
    )


def _across(
    auditor: Auditor,
    filters: dict[str, str],
    model: str | None,
    correlation: str | None,
    limit: int,
    out: Output,
) -> None:
    across = Across(auditor, filters, model=model, correlation=correlation)
    events = (each.event for each in across.events() if each.event is not None)
    out.rows(
        ("position", "model", "document", "version", "operation", "time", "actor")
        + ("reason", "fields"),
        islice(events, limit),
        lambda item: (
            *(item[each] for each in ("position", "model", "document", "version")),
            *_cells(item),
        ),
    )


def _cells(item: Any) -> tuple[object, ...]:
    actor, fields = who(item["actor"]), fields_of(item)
    return (item["operation"], item["time"], actor, item["reason"], fields)
