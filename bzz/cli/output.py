"""What a command says: a table on a terminal, lines of text elsewhere, or JSON.

Answers go to the standard output; progress and remarks to the standard error.  Without a terminal
a row is a line, its cells separated by tabs; with `--json` each item is one line of JSON, so that
long lists stream (https://jsonlines.org).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click
from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from bzz.jsontext import dumps, pretty

FOUND_WRONG = 3
"""The exit code of commands that look for something wrong, and found it."""

_TIMES = ("time", "since")

Cells = Callable[[Any], Sequence[object]]
Advance = Callable[[int], None]


def reported(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the command has the option `--json` and gets an `Output` as `out`."""
    return click.option(
        "--json",
        "out",
        is_flag=True,
        help="Print JSON, each item on a line of its own.",
        callback=lambda ctx, param, value: Output(as_json=value),
    )(command)


def confirmed(command: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the command has the option `--yes`, and `yes` is handed to `confirm`."""
    return click.option(
        "--yes", "-y", is_flag=True, help="Do it without asking; needed without a terminal."
    )(command)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless `yes`.

    Raises `click.ClickException` for a no, `click.UsageError` where there is nobody to ask, and
    `KeyboardInterrupt`.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is nobody to ask: look at it with --dry-run, or say --yes.")
    try:
        agreed = click.confirm(safe(question), err=True)
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        agreed = False  # the terminal was closed
    if not agreed:
        raise click.ClickException("Nothing was done.")


def safe(value: object) -> str:
    """A value as text that a terminal shows, and does not obey: control signs are escaped.

    None is the empty text.
    """
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def styled(*parts: str | tuple[object, str]) -> Text:
    """A line of parts, each a text or a pair of a value and its style, made `safe`."""
    return Text.assemble(
        *(safe(each) if isinstance(each, str) else (safe(each[0]), each[1]) for each in parts)
    )


class Output:
    """The answer of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def is_terminal(self) -> bool:
        """Whether people look at it as it comes: then tables, and colours."""
        return not self.as_json and sys.stdout.isatty()

    def rows(self, titles: Sequence[str], items: Iterable[Any], cells: Cells) -> int:
        """Items that are JSON values, as rows whose cells a function gives; how many there were.

        A cell is anything; on a terminal a `rich.text.Text` keeps its style.
        """
        if self.is_terminal:
            return self._table(titles, items, cells)
        count = 0
        for item in items:
            count += 1
            if self.as_json:
                self._json(dumps(item).decode())
            else:
                click.echo("\t".join(safe(each) for each in cells(item)))
        return count

    def item(self, item: Any, lines: Iterable[object]) -> None:
        """One item that is a JSON value, or what people read of it, line by line."""
        if self.as_json:
            self._json(dumps(item).decode())
        else:
            self.lines(lines)

    def lines(self, lines: Iterable[object], *, err: bool = False) -> None:
        """What people read, line by line; with `err` on the standard error."""
        stream = sys.stderr if err else sys.stdout
        console = Console(stderr=err, soft_wrap=True, highlight=False, markup=False, emoji=False)
        for each in lines:
            line = _text(each)
            if not stream.isatty():
                click.echo(line.plain, err=err)
            elif isinstance(stream, FileProxy):  # a bar is there, which makes room
                with console.capture() as captured:
                    console.print(line)
                stream.write(captured.get())
            else:
                console.print(line)

    def document(self, value: Any) -> None:
        """A JSON value that is all of the answer: indented on a terminal."""
        self._json(pretty(value) if self.is_terminal else dumps(value).decode())

    @staticmethod
    def _json(text: str) -> None:
        click.echo(_fit(text, sys.stdout))

    def remark(self, text: str) -> None:
        """Something for people that is not the answer."""
        click.echo(safe(text), err=True)

    @contextmanager
    def progress(
        self, what: str, total: int | None = None, *, shown: bool = True
    ) -> Iterator[Advance]:
        """A bar on the standard error, if that is a terminal.  The function says how far it is."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        console = Console(stderr=True)
        with Progress(
            *columns,
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_interactive),
            # What goes elsewhere than to the terminal of the bar must not be led there by it.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        ) as bar:
            task = bar.add_task(what, total=total)
            # A total is a guess: there may be more by the time that it is reached.
            yield lambda done: bar.update(
                task, completed=done, total=None if total is None else max(total, done)
            )

    def _table(self, titles: Sequence[str], items: Iterable[Any], cells: Cells) -> int:
        # Whatever the width, nothing is left out, and a time stands in one line.
        columns = [Column(each, overflow="fold", no_wrap=each in _TIMES) for each in titles]
        table = Table(*columns, header_style="bold", box=None, pad_edge=False)
        for each in items:
            table.add_row(*(_text(cell) for cell in cells(each)))
        if table.row_count:
            Console(highlight=False, markup=False, emoji=False).print(table)
        return table.row_count


def _text(value: object) -> Text:
    if isinstance(value, Text):
        is_safe = value.plain.isprintable()
        return value if is_safe else Text(safe(value.plain), style=value.style)
    return Text(safe(value))


def json_line(value: Any, file: IO[str]) -> str:
    """A JSON value as the line of a file, which may be a terminal."""
    return f"{_fit(dumps(value).decode(), file)}\n"


def _fit(text: str, file: IO[str]) -> str:
    # Of what steers a terminal JSON escapes but the older half.
    return _escaped(text) if file.isatty() else text


def _escaped(text: str) -> str:
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else _unit_escapes(each) for each in text
    )


def _unit_escapes(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
