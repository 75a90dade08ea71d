"""What is public, and what has to be said of it.  Knows Python alone, no Sphinx.

Public is what a module of `MODULES` names in its `__all__`, and every class of bzz that a user
comes by from there: what a public method returns, what a public attribute holds, and what
receivers and consumers are called with (`GIVEN`).  Of these classes every attribute without an
underscore is public, but those of `LEFT_OUT`.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from itertools import pairwise
from types import FunctionType, ModuleType
from typing import Any

MODULES = (
    "bzz",
    "bzz.audit",
    "bzz.audit.errors",
    "bzz.embedded",
    "bzz.errors",
    "bzz.mongoengine_handler",
    "bzz.openapi.route",
    "bzz.routes",
    "bzz.signals",
)

GIVEN = ("bzz.unit.Write", "bzz.audit.consuming.ConsumerContext")
"""What bzz calls receivers and consumers with; no signature says so."""

_REASONS = {
    "the framework asks it of an auditor (bzz.recording.Recorder)": """
        bzz.audit.auditor.Auditor: append describe headers hidden heads look matches last_state
        trace past routes_beside segment serve
    """,
    "a part of the auditor, for its other parts": """
        bzz.audit.auditor.Auditor: alone audience books books_database client declaration feed
        has_transactions
        history_under is_of_many live models recorder resources seals snapshots store tracked_as
        tracked_for tracked_of tracked_under watch window
        bzz.audit.history.History: around hidden own past recorded_as since told version_of
        bzz.audit.running.Worker: add loop
        bzz.audit.restoration.Restoration: foresee works
        bzz.audit.verifying.Counts: plus
        bzz.audit.parking.Parked: key
    """,
    "the handlers of bzz share it": """
        bzz.mongoengine_handler.MongoEngineRestHandler: announce_writes ask_may history_key
        permit read_body read_past resource run_write target
        bzz.openapi.route.Description: text
        bzz.problems.Problem: members to_json
    """,
    "the unit of work keeps it for itself": """
        bzz.unit.Write: fresh intent recorded source unit
    """,
}


def _left_out() -> dict[str, str]:
    found = {}
    for reason, text in _REASONS.items():
        owner = ""
        for word in text.split():
            if word.endswith(":"):
                owner = word.removesuffix(":")
            else:
                found[f"{owner}.{word}"] = reason
    return found


LEFT_OUT: Mapping[str, str] = _left_out()
"""Members of public classes that are no promise to users, each with the reason."""


@dataclass(frozen=True)
class Name:
    """Something public.

    Attributes
    ----------
    name: where it is found: `bzz.audit.Auditor`.
    home: where it is defined: `bzz.audit.auditor.Auditor`.
    value: what it is; None of an attribute that only instances have.
    told: what is said of it; None of nothing.
    """

    name: str
    home: str
    value: Any
    told: str | None


@dataclass(frozen=True)
class Surface:
    """All that is public of some modules."""

    modules: tuple[ModuleType, ...]
    given: tuple[type, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=lambda: LEFT_OUT)
    package: str = "bzz"

    @classmethod
    def of_bzz(cls) -> Surface:
        """That of bzz itself."""
        given = tuple(_found(each) for each in GIVEN)
        return cls(tuple(import_module(each) for each in MODULES), given)

    @cached_property
    def exported(self) -> list[Name]:
        """What the modules name in their `__all__`."""
        return [
            Name(f"{module.__name__}.{name}", _home(module, name), value, _told(module, name))
            for module in self.modules
            for name in module.__all__
            if (value := getattr(module, name)) is not None
        ]

    @cached_property
    def classes(self) -> list[type]:
        """The public classes, also those that are only reached through others."""
        found: dict[type, None] = {}
        waiting = [each.value for each in self.exported] + list(self.given)
        while waiting:
            each = waiting.pop()
            if isinstance(each, type) and each not in found and self._is_own(each):
                found[each] = None
                waiting.extend(self._reached(each))
            elif isinstance(each, FunctionType):
                waiting.extend(_named(_hints(each).get("return")))
        return sorted(found, key=lambda each: f"{each.__module__}.{each.__qualname__}")

    def members(self, owner: type) -> Iterator[Name]:
        """The public attributes of a class, those that it inherits from others of bzz too."""
        seen = set()
        for ancestor in owner.__mro__:
            if not self._is_own(ancestor):
                continue
            for name in own_members(ancestor):
                home = f"{ancestor.__module__}.{ancestor.__qualname__}.{name}"
                if name in seen or home in self.left_out:
                    continue
                seen.add(name)
                value = vars(ancestor).get(name)
                yield Name(home, home, value, told_of(ancestor, name))

    @cached_property
    def stale(self) -> list[str]:
        """What is left out and is not there."""
        known = {
            f"{each.__module__}.{each.__qualname__}.{name}"
            for each in self.classes
            for ancestor in each.__mro__
            for name in own_members(ancestor)
        }
        return sorted(set(self.left_out) - known)

    def missing(self, pages: Iterable[str]) -> list[str]:
        """One sentence for each thing that is on no page, or of which nothing is said."""
        return [*self._missing(set(pages))]

    def _missing(self, pages: set[str]) -> Iterator[str]:
        for each in self.stale:
            yield f"{each} is left out of the reference (LEFT_OUT), and there is no such thing."
        for each in self.exported:
            if not {*self._names_of(each.home), each.name} & pages:
                yield f"{each.name} is public and on no page of the reference."
            if not each.told:
                yield f"{each.name} is public and says nothing of itself."
        for owner in self.classes:
            home = f"{owner.__module__}.{owner.__qualname__}"
            names = self._names_of(home)
            if not names & pages:
                yield f"{home} is reached by users and on no page of the reference."
            if not _own_doc(owner):
                yield f"{home} has no docstring."
            for member in self.members(owner):
                if not member.told:
                    yield f"{member.name} is public and has no docstring."
                elif not _is_on(pages, names, owner, member):
                    yield f"{member.name} is public and on no page of the reference."

    def _names_of(self, home: str) -> set[str]:
        """All names under which something is found, that of its home among them."""
        return {home, *(each.name for each in self.exported if each.home == home)}

    def _is_own(self, value: type) -> bool:
        module = value.__module__
        return module == self.package or module.startswith(f"{self.package}.")

    def _reached(self, owner: type) -> Iterator[type]:
        for member in self.members(owner):
            function = _function(member.value)
            yield from _named(_hints(function).get("return") if function else None)
        hints = _hints(owner)
        yield from (
            each
            for name, hint in hints.items()
            if not name.startswith("_")
            and f"{owner.__module__}.{owner.__qualname__}.{name}" not in self.left_out
            for each in _named(hint)
        )


def _is_on(pages: set[str], names: set[str], owner: type, member: Name) -> bool:
    name = member.name.rpartition(".")[2]
    if {member.home, *(f"{each}.{name}" for each in names)} & pages:
        return True
    # What only instances have stands in the words of its class, which has a page.
    return name not in own_annotations(owner) and not hasattr(owner, name)


def _found(dotted: str) -> type:
    module, _, name = dotted.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def _home(module: ModuleType, name: str) -> str:
    value = getattr(module, name)
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{module.__name__}.{name}"


def _told(module: ModuleType, name: str) -> str | None:
    value = getattr(module, name)
    if isinstance(value, type):
        return _own_doc(value)
    if isinstance(value, FunctionType):
        return inspect.getdoc(value)
    own = getattr(value, "__doc__", None)
    if own and own != type(value).__doc__:
        return str(own)
    source = _source_of(module, name)
    if source.__name__.partition(".")[0] != module.__name__.partition(".")[0]:
        return f"Of {source.__name__}."  # another project's to tell
    return constant_docs(source).get(name)


def _source_of(module: ModuleType, name: str) -> ModuleType:
    """The module that a constant was imported from; the module itself for one of its own."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and name in {each.name for each in node.names}:
            return import_module(node.module or "")
    return module


def constant_docs(module: ModuleType) -> dict[str, str]:
    """What is said below the constants of a module."""
    found = {}
    body = ast.parse(inspect.getsource(module)).body
    for node, following in pairwise(body):
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(following, ast.Expr):
            value = following.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found |= {each.id: value.value for each in targets if isinstance(each, ast.Name)}
    return found


def _own_doc(owner: type) -> str | None:
    """The docstring of the class itself; not what dataclasses and tuples make up."""
    doc = vars(owner).get("__doc__")
    made_up = doc is None or doc.startswith(f"{owner.__name__}(")
    return None if made_up else inspect.cleandoc(doc)


# Members of classes


def own_annotations(owner: type) -> set[str]:
    """The names that a class and those above it annotate or keep slots for."""
    found = set[str]()
    for each in owner.__mro__:
        found |= set(vars(each).get("__annotations__", ()))
        slots = vars(each).get("__slots__", ())
        found |= {slots} if isinstance(slots, str) else set(slots)
    return found


def own_members(owner: type) -> list[str]:
    """The names without an underscore that a class defines, those of its instances too."""
    own = vars(owner)
    slots = own.get("__slots__", ())
    names = [*own.get("__annotations__", ()), *own, *([slots] if isinstance(slots, str) else slots)]
    names += _assigned(owner)
    return [each for each in dict.fromkeys(names) if not each.startswith("_")]


def _assigned(owner: type) -> list[str]:
    """What `__init__` sets on `self`."""
    function = vars(owner).get("__init__")
    if not isinstance(function, FunctionType):
        return []
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return []  # made by dataclass, of fields that are annotated
    return [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and not hasattr(Exception, node.attr)
    ]


def told_of(owner: type, name: str) -> str | None:
    """What is said of a member: its docstring, or what its class says of it."""
    value = vars(owner).get(name)
    function = _function(value)
    if function is not None:
        return inspect.getdoc(function)
    attributes, rest = attributes_of(_own_doc(owner) or "")
    if name in attributes:
        return attributes[name]
    if value is not None and isinstance(value, FunctionType):
        return inspect.getdoc(value)
    return rest if re.search(rf"`{re.escape(name)}`", rest) else None


def _function(value: Any) -> Any:
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    if isinstance(value, cached_property):
        return value.func
    return value if isinstance(value, FunctionType) else None


_HEADER = re.compile(r"^Attributes\n-+\n", re.MULTILINE)
_ITEM = re.compile(r"^(\w+(?:, \w+)*): ")


def attributes_of(doc: str) -> tuple[dict[str, str], str]:
    """What the section "Attributes" of a docstring says, by name, and the docstring without it.

    An entry is `name: what it is`, or `one, other: …` for several; lines that go on are
    indented, and an empty line ends the section.
    """
    begin = _HEADER.search(doc)
    if begin is None:
        return {}, doc
    section, _, rest = doc[begin.end() :].partition("\n\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        item = _ITEM.match(line)
        if item is not None:
            names = item[1].split(", ")
            found |= dict.fromkeys(names, line[item.end() :].strip())
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found, f"{doc[: begin.start()].rstrip()}\n\n{rest}".rstrip()


# Types


def _hints(value: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(value, localns=_Later(value))
    except (NameError, TypeError):
        return {}


class _Later(dict[str, Any]):
    """Names that a module imports for typing alone."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        module = inspect.getmodule(value)
        if module is None or not hasattr(module, "TYPE_CHECKING"):
            return
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
                for each in node.body:
                    if isinstance(each, ast.ImportFrom):
                        source = import_module(each.module or "")
                        self.update({name.name: getattr(source, name.name) for name in each.names})


def _named(hint: Any) -> Iterator[type]:
    """The classes that a type names."""
    inner = typing.get_args(hint)
    if isinstance(hint, type) and not inner:
        yield hint
    for each in inner:
        for one in each if isinstance(each, list | tuple) else (each,):
            yield from _named(one)
