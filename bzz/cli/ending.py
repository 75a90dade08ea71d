"""How commands end: with which code, and with which sentence.

0 it is done; 1 it cannot be done; 2 the arguments are wrong; 3 a check has found something wrong;
130 somebody pressed Ctrl-C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

import click
from mongoengine.connection import ConnectionFailure
from pymongo.errors import DuplicateKeyError, PyMongoError

from bzz.audit import AuditError
from bzz.audit.errors import ContextError, UndoConflict
from bzz.cli.output import safe
from bzz.errors import BadRequest, BzzError, FieldError, InvalidInput
from bzz.problems import problem_for


class Interrupted(click.ClickException):
    """Somebody pressed Ctrl-C; the message says what has been done until then."""

    exit_code = 130

    def show(self, file: IO[Any] | None = None) -> None:
        """As click calls it."""
        click.echo(f"\n{safe(self.message)}", file=file, err=file is None)


class Interrupt:
    """Whether Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self.pending = False

    def check(self) -> None:
        """Raises `KeyboardInterrupt` if it has."""
        if self.pending:
            raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """In the block Ctrl-C waits for the next `check`, so that what is begun is finished.

    The second one ends the block at once.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt  # signals are the main thread's
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupt.check()
        interrupt.pending = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


def ending(error: Exception) -> click.ClickException | None:
    """What a command ends with that raised an error; None for one that nobody expects."""
    if isinstance(error, BadRequest | ContextError):
        return click.UsageError(str(error))
    said = sentence(error)
    return None if said is None else click.ClickException(said)


def sentence(error: Exception) -> str | None:
    """What to say of an error; None for one that nobody expects.

    Faults of fields have a line each.
    """
    if isinstance(error, InvalidInput):
        return listed("The document would not be valid:", error.errors)
    if isinstance(error, UndoConflict):
        return "\n  ".join([safe(error), *map(_conflict, error.conflicts)])
    if isinstance(error, DuplicateKeyError):  # its words tell the value, which may be hidden
        return "Another document has a value of it that is to be unique."
    if isinstance(error, BzzError | AuditError | PyMongoError | ConnectionFailure):
        return safe(error)
    problem = problem_for(error)
    if problem.status == 500:
        return None
    return listed(problem.detail or f"{problem.title}.", problem.errors)


def _conflict(conflict: tuple[str, int | None]) -> str:
    path, version = conflict
    by = "round bzz" if version is None else f"by version {version}"
    return safe(f"{path}: changed again {by}")


def listed(message: str, faults: Iterable[FieldError]) -> str:
    """A sentence, and below it the faults of fields."""
    lines = (f"{each.pointer}: {each.detail}" if each.pointer else each.detail for each in faults)
    return "\n  ".join([safe(message), *map(safe, lines)])
