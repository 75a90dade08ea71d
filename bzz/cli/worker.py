"""`python -m bzz worker app:auditor`: a process for the subscriptions of an application."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

import click

from bzz.audit import AuditError
from bzz.cli.application import auditor_for
from bzz.cli.completion import subscription_names
from bzz.errors import BzzError

_log = logging.getLogger("bzz.worker")


@click.command()
@click.argument("named", required=False, metavar="[AUDITOR]")
@click.option("--app", metavar="MODULE:AUDITOR", help="The same as the argument.")
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    shell_complete=subscription_names,
    help="This subscription; may be repeated.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="At the end, for the events in work; what is not done by then is taken back.",
)
@click.pass_context
def worker(
    ctx: click.Context, named: str | None, app: str | None, only: tuple[str, ...], grace: float
) -> None:
    """Run the subscriptions of AUDITOR (module:attribute) until SIGTERM or SIGINT.

    Without the argument they are those of the application that --app or BZZ_APP names.
    Gives events their positions too. Any number of workers may run: one has a subscription, the
    others take over. Ends with 0 when it was told to, with 1 when it cannot work, with 2 when
    the arguments are wrong.
    """
    auditor = auditor_for(ctx, named or app)
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    try:
        running = auditor.worker(only or None)
    except (AuditError, BzzError) as error:
        raise click.ClickException(str(error)) from error
    if not running.names:
        raise click.ClickException("The auditor has no subscriptions: import where they are made.")
    running.start()
    _log.info("At work: %s", ", ".join(running.names))
    ended.wait()
    _log.info("Ending")
    running.close(grace)
    auditor.close()
