"""`bzz doctor`: looks at everything that bzz rests on, and says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click
import pymongo
from pymongo.errors import ConfigurationError, InvalidURI
from rich.text import Text

from bzz import connection
from bzz.audit import Auditor
from bzz.cli.application import application_name, auditor_named
from bzz.cli.findings import FAIL, OK, WARN, Finding, findings
from bzz.cli.history_checks import ApplicationChecks, HistoryChecks
from bzz.cli.output import FOUND_WRONG, Output, confirm, confirmed, reported
from bzz.cli.server_checks import ServerChecks, library_findings
from bzz.errors import SetupError

_STYLES = {OK: "green", WARN: "yellow", FAIL: "bold red"}
_MOCK = "The connection is mongomock's, for tests alone: no transactions, positions, subscriptions."


@click.command()
@click.option("--app", metavar="MODULE:AUDITOR", help="The auditor of an application, or BZZ_APP.")
@click.option("--uri", help="A server instead; the history in the database that the URI names.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="For each check.",
)
@click.option("--fix", is_flag=True, help="Make what is missing: what the first use makes.")
@click.option("--dry-run", is_flag=True, help="With --fix: say what would be made.")
@confirmed
@reported
@click.pass_context
def doctor(
    ctx: click.Context,
    app: str | None,
    uri: str | None,
    timeout: float,
    fix: bool,
    dry_run: bool,
    yes: bool,
    out: Output,
) -> None:
    """Check the server, the history, the models and the subscriptions, and say what to do.

    Changes nothing, but for a collection in which it tries a transaction, and which it drops.
    Ends with 0 when all is well, warnings or not; with 3 when something fails.
    """
    auditor = _auditor(ctx, app, uri)
    if fix and auditor is None:
        raise click.UsageError("--fix makes what an application needs: name it with --app.")
    if fix and auditor is not None:
        makes = [what for each in _looked_at(auditor, uri, timeout) for what in each.makes]
        for each in makes:
            out.remark(f"Missing: {each}")
        if dry_run:
            return
        if makes:
            confirm("Make what is missing?", yes=yes)
            auditor.prepare()
            auditor.close()
        else:
            out.remark("Nothing is missing that could be made.")
    counted = Counter[str]()
    out.rows(
        ("", "check", "what was found"),
        (asdict(each) for each in _counting(_looked_at(auditor, uri, timeout), counted)),
        lambda item: (
            Text(item["state"], _STYLES[item["state"]]),
            item["check"],
            f"{item['message']} {item['remedy'] or ''}".rstrip(),
        ),
    )
    ctx.exit(FOUND_WRONG if counted[FAIL] else 0)


def _auditor(ctx: click.Context, app: str | None, uri: str | None) -> Auditor | None:
    name = application_name(ctx, app)
    if uri is not None:
        if app is not None:
            raise click.UsageError("Say --app or --uri: an application has its own connection.")
        return None
    if name is None:
        raise click.UsageError(
            "What is to be checked? Say --app module:auditor (or set BZZ_APP), or --uri mongodb://…"
        )
    return auditor_named(name)


def _counting(found: Iterable[Finding], counted: Counter[str]) -> Iterator[Finding]:
    for each in found:
        counted[each.state] += 1
        yield each


def _looked_at(auditor: Auditor | None, uri: str | None, seconds: float) -> Iterator[Finding]:
    """All that is found, in the order in which it matters."""
    yield from library_findings()
    if auditor is None:
        with _client(str(uri)) as client:
            database = client.get_default_database(default="test")
            yield from _server(client, database, seconds, is_used=False)
        return
    try:
        client = auditor.client()
    except SetupError as error:
        yield Finding("models", FAIL, str(error))
        return
    if not connection.has_transactions(client):
        yield Finding("server", FAIL, _MOCK, "Connect to a replica set; for tests: bzz.embedded.")
        return
    is_usable = yield from _server(client, auditor.models()[0]._get_db(), seconds, is_used=True)
    if is_usable:
        # Counting ends before the time of a check does.
        checks = ApplicationChecks(auditor, client, seconds=seconds / 2)
        yield from findings(checks.all(), seconds)


def _server(
    client: Any, database: Any, seconds: float, *, is_used: bool
) -> Generator[Finding, None, bool]:
    """What is found without an application; returns whether it makes sense to look at one."""
    checks = ServerChecks(client, database)
    for each in findings([("server", checks.reach)], seconds):
        yield each
        if each.state == FAIL:
            return False
    yield from findings(checks.all(), seconds)
    if not checks.is_replicated:
        return False
    yield from findings(HistoryChecks(database, is_used=is_used).all(), seconds)
    return True


def _client(uri: str) -> pymongo.MongoClient[dict[str, Any]]:
    try:
        return pymongo.MongoClient(uri)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        # Without the URI, which may have a password.
        raise click.BadParameter(f"It names no server: {error}", param_hint="--uri") from error
