"""The group of all commands."""

from __future__ import annotations

import click

from bzz.cli.worker import worker
from bzz.version import __version__


@click.group()
@click.version_option(__version__, prog_name="bzz")
def bzz() -> None:
    """Look after documents with a history."""


bzz.add_command(worker)
