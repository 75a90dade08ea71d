"""Attributes that a class tells of in its own docstring, documented one by one.

The house writes them as a section "Attributes" of lines `name: what it is`.  Those that autodoc
finds by themselves get their words from there; the others stay with the class.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields, is_dataclass
from typing import Any

from sphinx.application import Sphinx

from bzz_reference.public import LEFT_OUT, MODULES, attributes_of, own_annotations

_MADE = 8
"""A value of more fields is made by bzz and no user: its attributes say all of it."""


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    # Before napoleon, which takes such a line for a name and a type; and after it, since it
    # takes the beginning of a sentence with a colon for the type of an attribute.
    app.connect("autodoc-process-docstring", take_out, priority=100)
    app.connect("autodoc-process-docstring", put_in, priority=900)
    app.connect("autodoc-process-signature", shown_signature)
    app.connect("autodoc-skip-member", skip)


def take_out(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Leave with a class what it says of attributes that have no place of their own."""
    if what in ("class", "exception") and isinstance(value, type):
        found, rest = attributes_of("\n".join(lines).strip())
        own = own_annotations(value)
        left = {
            each: told
            for each, told in found.items()
            if each not in own and not hasattr(value, each)
        }
        entries = [f"    {each}: {told}" for each, told in left.items()]
        if found:
            lines[:] = [*rest.splitlines(), "", *(["Attributes:", *entries, ""] if entries else [])]


def put_in(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Say of an attribute what its class says of it, of a property what it says itself."""
    if what == "attribute":
        # Not what it inherits from its type, or from what made it.
        told = _told(name) or ""
        lines[:] = [f"{told[:1].upper()}{told[1:]}", ""]
    elif what == "property":
        getter = getattr(value, "fget", None) or getattr(value, "func", None)
        lines[:] = [*(inspect.getdoc(getter) or "").splitlines(), ""]


def shown_signature(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str, returns: str
) -> tuple[str, str | None] | None:
    """Show how a class is called where users call it: not where they are given an instance."""
    if what != "class" or "\nArgs:\n" in (inspect.getdoc(value) or ""):
        # As it would be typed: what is no Python could not be shown with its links.
        return signature and re.sub(r"<function (\w+)>", r"\1", signature), returns
    exported = not name.startswith(_home(value)) or value.__module__ in MODULES
    is_made = exported and is_dataclass(value) and len(fields(value)) <= _MADE
    return None if is_made else ("", None)


def skip(app: Sphinx, what: str, name: str, value: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what is no promise."""
    place = app.env.current_document
    owner = _object(f"{place.autodoc_module}.{place.autodoc_class}")
    if isinstance(owner, type) and any(
        f"{_home(each)}.{name}" in LEFT_OUT for each in owner.__mro__
    ):
        return True
    return None


def _told(name: str) -> str | None:
    owner_name, _, member = name.rpartition(".")
    owner = _object(owner_name)
    for ancestor in owner.__mro__ if isinstance(owner, type) else ():
        found = attributes_of(inspect.cleandoc(vars(ancestor).get("__doc__") or ""))[0].get(member)
        if found:
            return found
    return None


def _home(owner: type) -> str:
    return f"{owner.__module__}.{owner.__qualname__}"


def _object(name: str) -> Any:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        if found is not None:
            for part in parts[cut:]:
                found = getattr(found, part, None)
            return found
    return None
