"""`.. bzz-settings:: NAME`: the arguments of a callable, with their defaults and what they do.

Names and defaults come from the signature (of `**options` from what reads them), the words from
the docstring: a section "Args", or of a class of options its section "Attributes".
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from bzz.resource import Resource
from bzz_reference.public import attributes_of

CALLABLES = (
    "bzz.MongoEngineRestHandler.routes_for",
    "bzz.audit.Auditor",
    "bzz.audit.Auditor.track",
    "bzz.audit.Auditor.upcast",
    "bzz.audit.Auditor.subscribe",
    "bzz.audit.Auditor.routes",
    "bzz.audit.Live",
    "bzz.openapi_route",
)
"""Those whose arguments are settings; each has its table in the reference."""

OPTIONS = ("max_body", "deadline", "require_precondition")
"""What `routes_for` takes as `**options`; `Resource` keeps them, with their defaults."""


@dataclass(frozen=True)
class Setting:
    """One argument.

    Attributes
    ----------
    name: of the argument.
    default: as it is shown; None of one that has to be given.
    told: what it does; empty when nobody says it.
    """

    name: str
    default: str | None
    told: str


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_object_type(
        "setting",
        "setting",
        objname="setting",
        indextemplate="single: %s; setting",
        parse_node=read_signature,
    )
    app.add_directive("bzz-settings", SettingsDirective)


def read_signature(env: BuildEnvironment, signature: str, node: addnodes.desc_signature) -> str:
    """Called by Sphinx: show `name = default` of `callable(name=default)`; the name without it."""
    owner, _, rest = signature.removesuffix(")").partition("(")
    name, _, default = rest.partition("=")
    node["fullname"] = found = f"{owner}({name}=)"
    node += addnodes.desc_name(name, name)
    if default:
        node += addnodes.desc_annotation("", f" = {default}")
    return found


class SettingsDirective(SphinxDirective):
    """The arguments of one callable."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        name = self.arguments[0]
        lines = [line for each in settings_of(name) for line in _shown(name, each)]
        return self.parse_text_to_nodes("\n".join(["", *lines]))


def setting_names() -> list[str]:
    """All settings, as the reference names them: `Auditor(segment=)`."""
    return [_name(each, one) for each in CALLABLES for one in settings_of(each)]


def untold() -> list[str]:
    """Settings of which no docstring says what they do."""
    return [_name(each, one) for each in CALLABLES for one in settings_of(each) if not one.told]


def settings_of(name: str) -> list[Setting]:
    """The arguments of a callable, by its dotted name."""
    value = _found(name)
    if is_dataclass(value):
        told = attributes_of(inspect.getdoc(value) or "")[0]
        return [Setting(e.name, _default(e.default), told.get(e.name, "")) for e in fields(value)]
    told = arguments_of(inspect.getdoc(value) or "")
    return [*_of_signature(value, told)]


def _of_signature(value: Any, told: dict[str, str]) -> Iterator[Setting]:
    for each in inspect.signature(value).parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.VAR_KEYWORD:
            options = told.get(each.name, "")
            for name in OPTIONS:
                default = Resource.__dataclass_fields__[name].default
                yield Setting(name, _default(default), _option(options, name))
        elif each.default is each.empty:
            yield Setting(each.name, None, told.get(each.name, ""))
        else:
            yield Setting(each.name, _default(each.default), told.get(each.name, ""))


def arguments_of(doc: str) -> dict[str, str]:
    """What the section "Args" of a docstring says, by name."""
    begin = re.search(r"^Args:\n", doc, re.MULTILINE)
    section = "" if begin is None else doc[begin.end() :].partition("\n\n")[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        item = re.match(r"    (\w+(?:, \w+)*): ?(.*)", line)
        if item is not None:
            names = item[1].split(", ")
            found |= dict.fromkeys(names, item[2])
        else:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


def _option(told: str, name: str) -> str:
    """What is said in brackets behind the name of an option."""
    found = re.search(rf"`{name}` \(([^)]*)\)", told)
    return "" if found is None else f"{found[1][0].upper()}{found[1][1:]}."


def _default(value: Any) -> str:
    if inspect.isfunction(value):
        return f"{value.__name__}"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**20:
        return f"{value // 2**20} MiB"
    return f"{type(value).__name__}()" if is_dataclass(value) else repr(value)


def _name(owner: str, setting: Setting) -> str:
    return f"{owner.rpartition('.')[2]}({setting.name}=)"


def _shown(owner: str, each: Setting) -> Iterator[str]:
    yield from (f".. setting:: {_name(owner, each)[:-1]}{each.default or ''})", "")
    told = f"{each.told[:1].upper()}{each.told[1:]}".rstrip(".")
    must = " Has to be given." if each.default is None else ""
    yield from (f"   {told}.{must}", "")


def _found(name: str) -> Any:
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise LookupError(name)
