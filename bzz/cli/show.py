"""`bzz show`, `bzz diff`, `bzz blame`: a document as it was, what changed, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from bzz.audit import Auditor
from bzz.audit.blaming import Blame
from bzz.audit.comparing import headings, json_patch
from bzz.audit.views import show_blame, show_changes, show_event, show_side
from bzz.cli.application import audited, document_named
from bzz.cli.naming import id_argument, model_argument, moment_argument
from bzz.cli.output import Output, reported
from bzz.cli.telling import change_lines, coloured, require_history, schema_for, who
from bzz.codec import plain
from bzz.jsontext import dumps
from bzz.schema import Schema
from bzz.work import show_state

_WIDTH = 60
"""Characters of a value that a line of `blame` shows."""


@click.command()
@model_argument()
@id_argument()
@moment_argument("moment", "[VERSION|TIME]", required=False)
@click.option("--event", "is_event", is_flag=True, help="The event, and not the document.")
@audited
@reported
def show(
    model: str,
    id: str,  # noqa: A002
    moment: int | datetime | None,
    is_event: bool,
    auditor: Auditor,
    out: Output,
) -> None:
    """Show a document as it was after a version, or at a time, as JSON.

    Without VERSION it is the last one, as its history has it.
    """
    found = document_named(auditor, model, id)
    last = require_history(found, model, id)
    version = last if moment is None else found.version_of(moment)
    if is_event:
        [event] = found.told([found.event(version)])
        out.document(show_event(event, schema_for(found)))
    else:
        out.document(show_state(found.model, found.state_at(version)))


@click.command()
@model_argument()
@id_argument()
@moment_argument("from_", "[FROM", required=False)
@moment_argument("to", "[TO]]", required=False)
@click.option("--patch", is_flag=True, help="As a JSON Patch (RFC 6902).")
@audited
@reported
def diff(
    model: str,
    id: str,  # noqa: A002
    from_: int | datetime | None,
    to: int | datetime | None,
    patch: bool,
    auditor: Auditor,
    out: Output,
) -> None:
    """Show what changed between two versions of a document.

    Each is a version or a time; by default from the version before TO, and to the last one.
    0 is before the first, and from the later to the earlier one is the way back.
    """
    found = document_named(auditor, model, id)
    require_history(found, model, id)
    compared, schema = found.compared(from_, to), schema_for(found)
    if patch:
        before, after = (show_side(each, schema) for each in (compared.from_, compared.to))
        out.document(json_patch(before, after))
        return
    changes = show_changes(compared.changes, schema)
    out.item(
        {"from": compared.from_.version, "to": compared.to.version, "changes": changes},
        [*coloured(headings(compared)), *change_lines(changes)],
    )


@click.command()
@model_argument()
@id_argument()
@audited
@reported
def blame(model: str, id: str, auditor: Auditor, out: Output) -> None:  # noqa: A002
    """Say which version set each value of a document.

    And when, and who did. Values that were written round bzz are not recorded.
    """
    found = document_named(auditor, model, id)
    require_history(found, model, id)
    schema = schema_for(found)
    told = found.blame()
    out.rows(
        ("path", "version", "time", "actor", "value"),
        [_Told(each, schema) for each in told],
        lambda item: (
            item["path"],
            item["version"] or "not recorded",
            item["time"],
            who(item["actor"]),
            item.value,
        ),
    )


class _Told(dict[str, Any]):
    """What set a value, as the API shows it, and the beginning of the value."""

    def __init__(self, blame: Blame, schema: Schema) -> None:
        super().__init__(show_blame(blame, schema))
        text = dumps(plain(blame.value)).decode()
        self.value = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
