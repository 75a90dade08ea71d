"""`bzz serve app:application`: a Tornado application, in one process or several."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from socket import socket

import click
from tornado.netutil import bind_sockets

from bzz.cli.application import object_named
from bzz.cli.serving import Ending
from bzz.cli.serving import serve as serve_here
from bzz.cli.supervising import Supervisor, cores

_MEGABYTE = 1024 * 1024


@click.command()
@click.argument("application", metavar="MODULE:APPLICATION")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8888,
    show_default=True,
    help="0 is a free one.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Of this machine; 0.0.0.0 for all, which others can reach.",
)
@click.option(
    "--processes",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    metavar="N",
    help="So many processes share the port; 0 for one a core.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="At the end, for the requests in work; a write takes 10 at most.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="MB",
    help="Larger bodies are not read at all.",
)
@click.option(
    "--xheaders",
    is_flag=True,
    help="Behind a proxy: believe its X-Real-Ip, X-Forwarded-For and -Proto.",
)
@click.option("--inherited", hidden=True, help="Sockets and link, of the process that keeps this.")
@click.pass_context
def serve(
    ctx: click.Context,
    application: str,
    port: int,
    address: str,
    processes: int,
    grace: float,
    max_body: int,
    xheaders: bool,
    inherited: str | None,
) -> None:
    """Serve a tornado.web.Application until SIGTERM or SIGINT.

    APPLICATION is one, or a function (plain or a coroutine function) that returns one.

    At the end no connection is taken any more, requests in work are answered within the grace,
    live streams end, and so do the threads of the auditors; a second signal ends it at once.
    Several processes: one that dies is started again; SIGHUP starts them anew, one after
    another, with the code that is installed by then, while the others serve.
    Ends with 0 when it was told to, with 1 when it cannot serve, with 2 when the arguments are
    wrong.
    """
    options = {"xheaders": xheaders, "max_body_size": max_body * _MEGABYTE}
    options["max_buffer_size"] = options["max_body_size"]
    if inherited is not None:
        _serve_below(application, inherited, grace, options)
        return
    count = processes or cores()
    if count > 1 and sys.platform == "win32":
        raise click.UsageError(
            "On Windows one process serves: start it several times, on ports of their own."
        )
    sockets = _bound(port, address)
    where = _url(sockets[0])
    if count > 1:
        _log_as("%(process)d ")
        supervisor = Supervisor(
            lambda handed: [sys.executable, "-m", "bzz", "serve", *_again(ctx, handed)],
            sockets,
            count,
            grace=grace,
            is_ready=lambda: _welcome(f"{application} at {where} in {count} processes"),
        )
        ctx.exit(asyncio.run(supervisor.run()))
    found = object_named(application)
    _log_as()
    asyncio.run(
        serve_here(
            found,
            sockets,
            grace=grace,
            signals=_ending_signals(),
            is_kept=False,
            is_ready=lambda _: _welcome(f"{application} at {where}"),
            **options,
        )
    )


def _log_as(which: str = "") -> None:
    """Log on the standard error, unless the application does it in its own way by now."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {which}%(levelname)s %(message)s")


def _bound(port: int, address: str) -> list[socket]:
    try:
        return bind_sockets(port, address)
    except OSError as error:
        why = error.strerror or error
        raise click.ClickException(
            f"Port {port} on {address} cannot be had ({why}); stop what listens there, or choose "
            "others with --port and --address."
        ) from error


def _url(bound: socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _welcome(what: str) -> None:
    click.echo(f"Serving {what}, until Ctrl-C")
    sys.stdout.flush()


def _ending_signals() -> list[int]:
    """Those that end one process: a terminal that is closed is no reason to cut requests off."""
    names = ("SIGTERM", "SIGINT", "SIGHUP")
    return [getattr(signal, each) for each in names if hasattr(signal, each)]


def _again(ctx: click.Context, handed: str) -> Sequence[str]:
    """The arguments of a process below this one."""
    given = ctx.params
    flags = ["--xheaders"] if given["xheaders"] else []
    numbers = [f"--grace={given['grace']}", f"--max-body={given['max_body']}"]
    return [*numbers, *flags, f"--inherited={handed}", "--", given["application"]]


def _serve_below(application: str, inherited: str, grace: float, options: dict[str, int]) -> None:
    """Serve on the sockets of the process above, until it says so or is gone."""
    numbers, _, number = inherited.partition(":")
    sockets = [socket(fileno=int(each)) for each in numbers.split(",")]
    link = socket(fileno=int(number))
    for each in (*sockets, link):
        each.setblocking(False)
        each.set_inheritable(False)  # what the application starts has no part in them

    def tell(ending: Ending) -> None:
        asyncio.get_running_loop().add_reader(link, gone, ending)
        with suppress(OSError):  # it is gone already
            link.send(b".")

    def gone(ending: Ending) -> None:
        asyncio.get_running_loop().remove_reader(link)
        ending.tell()

    found = object_named(application)
    _log_as("%(process)d ")
    asyncio.run(
        serve_here(
            found,
            sockets,
            grace=grace,
            signals=[signal.SIGTERM],
            is_kept=True,
            is_ready=tell,
            **options,
        )
    )
