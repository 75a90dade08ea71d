"""`bzz history`: who changed a document, when, why and what."""

from __future__ import annotations

import click

from bzz.audit import Auditor
from bzz.audit.views import show_event
from bzz.cli.application import audited, document_named
from bzz.cli.output import Output, reported
from bzz.schema import schema_of


@click.command()
@click.argument("model")
@click.argument("id")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N")
@audited
@reported
def history(model: str, id: str, limit: int, auditor: Auditor, out: Output) -> None:  # noqa: A002
    """List the events of one document, newest first."""
    found = document_named(auditor, model, id)
    schema, hidden = schema_of(found.model), found.hidden()
    events = found.told(list(found.versions(newest_first=True, limit=limit)))
    out.rows(
        ("version", "operation", "time", "actor", "reason", "fields"),
        (show_event(each, schema, hidden) for each in events),
        lambda item: (
            item["version"],
            item["operation"],
            item["time"],
            item["actor"]["id"] or item["actor"]["kind"],
            item["reason"],
            ", ".join(each["path"].lstrip("/") for each in item["changes"]),
        ),
    )
