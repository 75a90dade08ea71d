"""The group of all commands."""

from __future__ import annotations

from typing import Any

import click
from mongoengine.connection import ConnectionFailure
from pymongo.errors import PyMongoError

from bzz.audit import AuditError
from bzz.cli.application import APP
from bzz.cli.completion import completion
from bzz.cli.demo import demo
from bzz.cli.doctor import doctor
from bzz.cli.history import history
from bzz.cli.serve import serve
from bzz.cli.subscriptions import subscriptions
from bzz.cli.worker import worker
from bzz.errors import BzzError
from bzz.version import __version__


class Commands(click.Group):
    """A group whose commands end with a sentence, where bzz or the database raises an error."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click calls it."""
        try:
            return super().invoke(ctx)
        except (BzzError, AuditError, PyMongoError, ConnectionFailure) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bzz")
@click.option(
    "--app",
    envvar=APP,
    show_envvar=True,
    metavar="MODULE:AUDITOR",
    help="The auditor of an application; may be said at the command too.",
)
def bzz(app: str | None) -> None:
    """Look after documents with a history.

    Ends with 0 when it is done; with 1 when it cannot be done, and a sentence that says why; with
    2 when the arguments are wrong; with 3 when a check has found something wrong.
    """


for each in (completion, demo, doctor, history, serve, subscriptions, worker):
    bzz.add_command(each)
