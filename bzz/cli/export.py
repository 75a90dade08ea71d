"""`bzz export`: events as JSON lines, in the order of their positions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from bzz.audit import AuditError, Auditor
from bzz.cli.application import audited
from bzz.cli.asking import Across, correlated, filtered
from bzz.cli.ending import Interrupted, interruptible, sentence
from bzz.cli.naming import model_argument
from bzz.cli.output import Output, json_line, reported
from bzz.cli.telling import named
from bzz.errors import BzzError

_FILTERS = ("field", "actor", "operation", "since", "until", "before", "after")


@click.command()
@model_argument(required=False)
@filtered(*_FILTERS)
@correlated
@click.option("--epoch", metavar="EPOCH", help="That of --after; another one ends with 1.")
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write there; the file is there once it is complete.",
)
@audited
@reported
def export(
    model: str | None,
    filters: dict[str, str],
    correlation: str | None,
    epoch: str | None,
    output: Path | None,
    auditor: Auditor,
    out: Output,
) -> None:
    """Print events as JSON lines, in the order of positions.

    Those of all models, or of MODEL. At the end the last position is told, and with --after
    that position the next run goes on behind it.
    """
    across = Across(
        auditor, {**filters, "order": "asc"}, model=model, correlation=correlation, epoch=epoch
    )
    with _target(output) as file:
        count, position = _write(across, file, output, out)
    out.remark(
        f"{named(count, 'event') if count else 'No events'}, up to position {position} of epoch "
        f"{across.head.epoch}."
    )


def _write(across: Across, file: IO[str], output: Path | None, out: Output) -> tuple[int, int]:
    bounds, count = across.bounds, 0
    position = bounds.start - 1
    # A bar in between the events would be in their way.
    shown = output is not None or not sys.stdout.isatty()
    progress = out.progress("Exporting", len(bounds), shown=shown)
    with interruptible() as interrupt, progress as advance:
        try:
            for told in across.events():
                if told.event is not None:
                    file.write(json_line(told.event, file))
                    count += 1
                position = told.position
                if told.event is None:
                    advance(position - bounds.start + 1)
                interrupt.check()
        except KeyboardInterrupt:
            raise Interrupted(f"Interrupted. {_reached(count, position, output)}") from None
        except (AuditError, BzzError) as error:
            told_why = f"{sentence(error)} {_reached(count, position, output)}"
            raise click.ClickException(told_why) from error
    return count, position


def _reached(count: int, position: int, output: Path | None) -> str:
    if output is not None:
        return f"{output} was not written."
    return f"{named(count, 'event')} printed; go on with --after {position}"


@contextmanager
def _target(output: Path | None) -> Iterator[IO[str]]:
    """The standard output, or a file that is there once it is complete."""
    if output is None:
        try:
            yield sys.stdout
        finally:
            sys.stdout.flush()
        return
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
