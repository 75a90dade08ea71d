"""The group of all commands."""

from __future__ import annotations

from typing import Any

import click

from bzz.cli.adopt import adopt
from bzz.cli.application import APP
from bzz.cli.completion import completion
from bzz.cli.demo import demo
from bzz.cli.doctor import doctor
from bzz.cli.ending import Interrupted, ending
from bzz.cli.export import export
from bzz.cli.history import history
from bzz.cli.replay import replay
from bzz.cli.restore import restore, undo
from bzz.cli.serve import serve
from bzz.cli.show import blame, diff, show
from bzz.cli.subscriptions import subscriptions
from bzz.cli.verify import verify
from bzz.cli.worker import worker
from bzz.version import __version__


class Commands(click.Group):
    """A group whose commands end with a sentence, where bzz or the database raises an error."""

    def invoke(self, ctx: click.Context) -> Any:
        """As click calls it."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click's own, and what it does when nobody reads on
        except KeyboardInterrupt:
            raise Interrupted("Interrupted.") from None
        except Exception as error:  # what is to be told, and what nobody expects
            told = ending(error)
            if told is None:
                raise
            raise told from error


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
    2 when the arguments are wrong, or there is nobody to ask; with 3 when a check has found
    something wrong; with 130 after Ctrl-C.
    """


for each in (
    adopt,
    blame,
    completion,
    demo,
    diff,
    doctor,
    export,
    history,
    replay,
    restore,
    serve,
    show,
    subscriptions,
    undo,
    verify,
    worker,
):
    bzz.add_command(each)
