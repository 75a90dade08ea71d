"""Values and changes as HTML: everything that comes from outside is escaped here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tornado.escape import xhtml_escape

from bzz.audit.pages.marking import Kind, Run, excerpt, marked

_BLANK = re.compile(r"\s")
_TEXT = 24
"""From this length on two texts are shown as one, with what was changed marked in it."""
_SHARED = 3
"""And if a third of the longer one is in the other, too; else nobody could read it."""
_INLINE = 60
"""Up to this length an object or a list is one line."""
_LINES = 12
"""From so many lines on it is shown when it is asked for."""
_TAGS = {
    Kind.SAME: "{}",
    Kind.GONE: "<del>{}</del>",
    Kind.NEW: "<ins>{}</ins>",
    Kind.CUT: '<span class="cut"><span class="hidden">(</span>… {} …'
    '<span class="hidden"> left out)</span></span>',
}


def shown(value: Any) -> str:
    """A JSON-ready value as HTML; a text as it is, other kinds so that they look like none."""
    if isinstance(value, str):
        return f'<span class="text">{xhtml_escape(value)}</span>' if value else _kind("empty text")
    if value is None:
        return _kind("null")
    if isinstance(value, dict | list):
        return _structure(value)
    return f'<code class="number">{xhtml_escape(json.dumps(value))}</code>'


def shown_change(change: Mapping[str, Any]) -> str:
    """What a change did to its path, as two cells of a table: from and to."""
    if change.get("masked"):
        return f'<td colspan="2">{_kind("changed; its values are not kept here")}</td>'
    parts = _marked(change.get("from"), change.get("to"))
    if parts is not None:
        return f'<td colspan="2" class="marked">{runs(excerpt(parts))}</td>'
    return _cell(change, "from", "del") + _cell(change, "to", "ins")


def runs(parts: Iterable[Run]) -> str:
    """The parts of a text that was changed."""
    inner = "".join(_TAGS[kind].format(xhtml_escape(text)) for kind, text in parts)
    return f'<span class="text">{inner}</span>'


def two_sides(before: Any, after: Any) -> tuple[str, str]:
    """Two values that stand beside each other, with what was changed marked in each."""
    parts = _marked(before, after)
    if parts is None:
        return f"<del>{shown(before)}</del>", f"<ins>{shown(after)}</ins>"
    left = runs(part for part in parts if part.kind is not Kind.NEW)
    right = runs(part for part in parts if part.kind is not Kind.GONE)
    return left, right


def _marked(before: Any, after: Any) -> list[Run] | None:
    """Two texts as one, if they are prose and have much in common."""
    if not (isinstance(before, str) and isinstance(after, str)):
        return None
    longer = max(len(before), len(after))
    # A time, an id or a number is read as a whole, however long it is.
    if longer < _TEXT or not (_BLANK.search(before) and _BLANK.search(after)):
        return None
    parts = marked(before, after)
    shared = sum(len(part.text) for part in parts if part.kind is Kind.SAME)
    return parts if shared * _SHARED >= longer else None


def _cell(change: Mapping[str, Any], side: str, tag: str) -> str:
    if side not in change:
        return f"<td>{_kind('not there')}</td>"
    return f"<td><{tag}>{shown(change[side])}</{tag}></td>"


def _structure(value: Any) -> str:
    if not value:
        return _kind("empty list" if isinstance(value, list) else "empty object")
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= _INLINE:
        return f"<code>{xhtml_escape(line)}</code>"
    # A name or two and one line each are read sooner than a wall of brackets.
    text = json.dumps(value, ensure_ascii=False, indent=2)
    whole = f"<pre>{xhtml_escape(text)}</pre>"
    if text.count("\n") < _LINES:
        return whole
    return (
        f"<details><summary><code>{xhtml_escape(line[:_INLINE])}…</code></summary>{whole}</details>"
    )


def _kind(words: str) -> str:
    return f'<i class="kind">{words}</i>'
