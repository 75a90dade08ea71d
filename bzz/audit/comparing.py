"""Two states of a document beside each other: as changes, as a JSON Patch, as text for terminals.

A delete, and the time before the first event, are the absence of a state.  Knows nothing of
storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

from bzz.audit.diff import Change, alignment, changes_between, pointer
from bzz.audit.events import Event, State
from bzz.jsontext import dumps
from bzz.values import ABSENT, same

WIDTH = 100
"""Texts that together are longer are shown below each other, and without what they share."""

_SHARED = 30
"""Characters of what two long texts share that are shown on either side of a difference."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two states.

    Attributes
    ----------
    version: the event that left it; 0 is the time before the first one.
    event: that event; None for version 0.
    state: the document as stored; None for version 0, and after a delete.
    """

    version: int
    event: Event | None
    state: State | None


@dataclass(frozen=True)
class Comparison:
    """What leads from one state of a document to another, whichever is the later one.

    Attributes
    ----------
    from_: where it begins.
    to: where it ends.
    """

    from_: Side
    to: Side

    @cached_property
    def changes(self) -> list[Change]:
        """In the order in which they apply; paths hold stored names."""
        return changes_between(self.from_.state, self.to.state)


# JSON Patch


def json_patch(before: Any, after: Any) -> list[dict[str, Any]]:
    """The operations of RFC 6902 that make one JSON value of another.

    Takes documents as the API shows them, null where there is none.  Elements of lists that
    carry the same `id` are taken for the same.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        return [_operation(change) for change in changes_between(before, after)]
    return [] if same(before, after) else [{"op": "replace", "path": "", "value": after}]


def _operation(change: Change) -> dict[str, Any]:
    path = pointer(change.path)
    if change.to is ABSENT:
        return {"op": "remove", "path": path}
    return {"op": "add" if change.from_ is ABSENT else "replace", "path": path, "value": change.to}


# Text


class Part(NamedTuple):
    """A piece of a line; `kind` says that it shows what was there, or what is there now."""

    text: str
    kind: Literal["", "from", "to"] = ""


Line: TypeAlias = tuple[Part, ...]


def as_text(comparison: Comparison, changes: Iterable[dict[str, Any]]) -> str:
    """A comparison for people at a terminal: two lines that say what is compared, then changes.

    `changes` are those of the comparison as the API shows them.  A change is one line, but for
    texts that are long or have lines of their own.  Nothing that a value holds can steer the
    terminal: what is not printable is written as in JSON.
    """
    lines = [*headings(comparison), *lines_of(changes)]
    return "".join(f"{''.join(part.text for part in line)}\n" for line in lines)


def headings(comparison: Comparison) -> list[Line]:
    """The two lines that say what is compared."""
    sides = (("---", comparison.from_, "from"), ("+++", comparison.to, "to"))
    return [_line((_heading(sign, side), kind)) for sign, side, kind in sides]


def lines_of(changes: Iterable[dict[str, Any]]) -> Iterator[Line]:
    """Changes, as the API shows them, as lines of text, in parts; all of it is printable."""
    for each in changes:
        if each.get("masked"):
            yield _line((f"~ {each['path']}: masked", ""))
        else:
            yield from _lines(each["path"], each.get("from", ABSENT), each.get("to", ABSENT))


def _line(*parts: tuple[str, Any]) -> Line:
    return tuple(Part(_printable(text), kind) for text, kind in parts)


def _heading(sign: str, side: Side) -> str:
    if side.event is None:
        return f"{sign} version 0  (no document yet)"
    time = side.event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    actor = side.event.actor
    who = actor.kind if actor.id is None else f"{actor.kind}:{actor.id}"
    deleted = "" if side.state is not None else "  (no document: deleted)"
    return f"{sign} version {side.version}  {time}  {who}{deleted}"


_KINDS = {"-": "from", "+": "to", " ": ""}


def _lines(path: str, old: Any, new: Any) -> Iterator[Line]:
    if isinstance(old, str) and isinstance(new, str) and _is_long(old, new):
        yield _line((f"~ {path}:", ""))
        yield from _beside(old, new)
    elif old is ABSENT or new is ABSENT:
        sign, value = ("+", new) if old is ABSENT else ("-", old)
        if isinstance(value, str) and "\n" in value:
            yield _line((f"{sign} {path}:", _KINDS[sign]))
            yield from (_line((f"    {sign} {line}", _KINDS[sign])) for line in value.split("\n"))
        else:
            yield _line((f"{sign} {path}: {_json(value)}", _KINDS[sign]))
    else:
        before, after = (_json(old), "from"), (_json(new), "to")
        yield _line((f"~ {path}: ", ""), before, (" -> ", ""), after)


def _is_long(old: str, new: str) -> bool:
    return len(old) + len(new) > WIDTH or "\n" in old or "\n" in new


def _beside(old: str, new: str) -> Iterator[Line]:
    before, after = old.split("\n"), new.split("\n")
    if len(before) == len(after) == 1:
        shorter = _without_what_they_share(old, new)
        for sign, text in zip("-+", shorter, strict=True):
            yield _line((f"    {sign} {_json(text)}", _KINDS[sign]))
        return
    rows = list(_rows(before, after))
    changed = {number for number, (sign, _) in enumerate(rows) if sign != " "}
    skipping = False
    for number, (sign, line) in enumerate(rows):
        if {number - 1, number, number + 1} & changed:
            yield _line((f"    {sign} {line}", _KINDS[sign]))
            skipping = False
        elif not skipping:
            yield _line(("      …", ""))
            skipping = True


def _rows(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    for i, j in alignment(before, after):
        if i is not None and j is not None and before[i] == after[j]:
            yield " ", before[i]
            continue
        if i is not None:
            yield "-", before[i]
        if j is not None:
            yield "+", after[j]


def _without_what_they_share(old: str, new: str) -> tuple[str, str]:
    start = _shared(old, new)
    end = _shared(old[start:][::-1], new[start:][::-1])
    first = start - _SHARED if start > _SHARED else 0
    left = "…" if first else ""
    last = end - _SHARED if end > _SHARED else 0
    right = "…" if last else ""
    return (
        f"{left}{old[first : len(old) - last]}{right}",
        f"{left}{new[first : len(new) - last]}{right}",
    )


def _shared(one: str, other: str) -> int:
    """With how many characters both texts begin."""
    pairs = enumerate(zip(one, other, strict=False))
    different = (number for number, (its, others) in pairs if its != others)
    return next(different, min(len(one), len(other)))


def _json(value: Any) -> str:
    return dumps(value).decode()


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else _escaped(each) for each in line)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
