"""The arguments that name a model, a document, or a moment of its past, and what shells complete.

A completion is empty where it cannot be told, and prints no word besides.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from typing import Any

import click
import pymongo

from bzz.audit import Auditor
from bzz.audit.history import moment_of
from bzz.cli.application import Command, application_name, auditor_named, document_named
from bzz.errors import BadRequest
from bzz.jsonvalues import NotThisType, read_time

_PATIENCE = 2.0
"""Seconds that somebody waits for a completion."""
_COMPLETED = 20


def moment(ctx: click.Context, param: click.Parameter, value: Any) -> int | datetime | None:
    """A version, or a time (RFC 3339), as click calls it.  Raises `click.BadParameter`."""
    if value is None or ctx.resilient_parsing:
        return None
    try:
        return moment_of(value)
    except BadRequest as error:
        raise click.BadParameter(str(error)) from error


def time(ctx: click.Context, param: click.Parameter, value: Any) -> datetime | None:
    """A time (RFC 3339), as click calls it.  Raises `click.BadParameter`."""
    if value is None or ctx.resilient_parsing:
        return None
    try:
        return read_time(value)
    except NotThisType as error:
        message = f"{value!r} is no time such as 2026-05-01T12:00:00Z."
        raise click.BadParameter(message) from error


def model_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """A decorator: the command has the argument MODEL."""
    return click.argument("model", required=required, shell_complete=complete_models)


def id_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """A decorator: the command has the argument ID."""
    return click.argument("id", required=required)


def moment_argument(name: str, metavar: str, *, required: bool) -> Callable[[Command], Command]:
    """A decorator: the command has an argument that is a version, or a time."""
    return click.argument(
        name,
        callback=moment,
        metavar=metavar,
        required=required,
        shell_complete=complete_versions,
    )


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The names of models that begin so, as click asks for them."""
    return _quietly(lambda: _models(_auditor(ctx), incomplete))


def complete_versions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The last versions of the document that the line names, as click asks for them."""
    return _quietly(lambda: _versions(ctx, incomplete))


def _quietly(find: Callable[[], list[str]]) -> list[str]:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            with pymongo.timeout(_PATIENCE):
                return find()
        except (Exception, SystemExit):  # whatever an application does that cannot start
            return []


def _auditor(ctx: click.Context) -> Auditor:
    return auditor_named(application_name(ctx, ctx.params.get("auditor")) or "")


def _models(auditor: Auditor, incomplete: str) -> list[str]:
    names = sorted(auditor.tracked_as(each).name for each in auditor.models())
    return [each for each in names if each.startswith(incomplete)]


def _versions(ctx: click.Context, incomplete: str) -> list[str]:
    last = document_named(_auditor(ctx), ctx.params["model"], ctx.params["id"]).last_version()
    found = (text for text in map(str, range(last, 0, -1)) if text.startswith(incomplete))
    return [text for text, _ in zip(found, range(_COMPLETED), strict=False)]
