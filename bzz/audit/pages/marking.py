"""Which parts of a text were changed into another, word by word.  Knows texts alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_LIMIT = 1_000_000
"""Pairs of words above which a stretch is called changed as a whole: comparing is quadratic."""
_AROUND = 48
"""Characters that are kept on either side of a change."""


class Kind(StrEnum):
    """Whether a part of a text is in both texts, or in one of them."""

    SAME = "same"
    GONE = "gone"
    NEW = "new"
    CUT = "cut"


class Run(NamedTuple):
    """A part of a text; of one that was cut out, what is said instead."""

    kind: Kind
    text: str


def marked(before: str, after: str) -> list[Run]:
    """The runs of both texts in reading order.

    What is not new makes up `before`, what is not gone makes up `after`.
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    runs = [
        Run(Kind.SAME, "".join(old[:start])),
        *_middle(old[start : len(old) - end], new[start : len(new) - end]),
        Run(Kind.SAME, "".join(old[len(old) - end :])),
    ]
    return list(_joined(runs))


def excerpt(runs: Iterable[Run]) -> list[Run]:
    """The runs, of long unchanged ones only what stands next to a change."""
    given = list(runs)
    return [part for place, run in enumerate(given) for part in _shortened(run, place, given)]


def _shortened(run: Run, place: int, runs: Sequence[Run]) -> list[Run]:
    first, last = place == 0, place == len(runs) - 1
    kept_before = "" if first else run.text[:_AROUND]
    kept_after = "" if last else run.text[-_AROUND:]
    left_out = len(run.text) - len(kept_before) - len(kept_after)
    # Two words and a sign that stand for less than they are would shorten nothing.
    if run.kind is not Kind.SAME or left_out <= _AROUND:
        return [run]
    parts = [
        Run(Kind.SAME, kept_before),
        Run(Kind.CUT, f"{left_out} characters"),
        Run(Kind.SAME, kept_after),
    ]
    return [part for part in parts if part.text]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words two texts have in common at their beginning."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _middle(old: Sequence[str], new: Sequence[str]) -> Iterator[Run]:
    if len(old) * len(new) > _LIMIT:
        yield Run(Kind.GONE, "".join(old))
        yield Run(Kind.NEW, "".join(new))
        return
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            yield Run(Kind.SAME, "".join(old[a:b]))
            continue
        yield Run(Kind.GONE, "".join(old[a:b]))
        yield Run(Kind.NEW, "".join(new[c:d]))


def _joined(runs: Iterable[Run]) -> Iterator[Run]:
    """The runs without empty ones; a space alone between two changes belongs to both."""
    gone, new = "", ""
    held = ""
    for run in (each for each in runs if each.text):
        if run.kind is Kind.SAME:
            if run.text.isspace() and (gone or new) and not held:
                held = run.text
                continue
            yield from _change(gone, new)
            if held:
                yield Run(Kind.SAME, held)
            gone = new = held = ""
            yield run
            continue
        gone, new = gone + held, new + held
        held = ""
        if run.kind is Kind.GONE:
            gone += run.text
        else:
            new += run.text
    yield from _change(gone, new)
    if held:
        yield Run(Kind.SAME, held)


def _change(gone: str, new: str) -> Iterator[Run]:
    if gone:
        yield Run(Kind.GONE, gone)
    if new:
        yield Run(Kind.NEW, new)
