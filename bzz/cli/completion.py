"""`bzz completion`: lets a shell complete commands, options and the names of subscriptions."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout, suppress

import click
from click.shell_completion import CompletionItem, get_completion_class

from bzz.audit import Auditor
from bzz.cli.application import application_name, auditor_named

_HOW = {
    "bash": 'eval "$(bzz completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(bzz completion zsh)"    in ~/.zshrc, after compinit',
    "fish": "bzz completion fish | source    in ~/.config/fish/config.fish",
}


@click.command(
    epilog="\b\nPut it where your shell reads it:\n"
    + "\n".join(f"  {each}" for each in _HOW.values())
)
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what lets SHELL complete bzz's commands, options and names."""
    found = get_completion_class(shell)
    if found is not None:  # click knows all of them
        click.echo(found(ctx.find_root().command, {}, "bzz", "_BZZ_COMPLETE").source())


def subscription_names(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of the application's subscriptions; none where that cannot be loaded."""
    auditor = None
    # A shell reads the standard output, and nobody has asked for the application's words.
    with suppress(Exception), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        name = application_name(ctx, ctx.params.get("auditor"))
        auditor = None if name is None else auditor_named(name)
    if not isinstance(auditor, Auditor):
        return []
    names = auditor.subscription_names()
    return [CompletionItem(each) for each in names if each.startswith(incomplete)]
