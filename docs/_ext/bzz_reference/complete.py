"""The build fails when something public is on no page: each lack is a warning, and -W an error.

Compared with the objects that Sphinx has met, which are those of its inventory.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import bzz
from bzz.cli.main import bzz as commands
from bzz.problems import KINDS
from bzz_reference import settings
from bzz_reference.public import LEFT_OUT, MODULES, Surface
from bzz_reference.routes import route_names

COMMANDS = "reference/commands"
_VARIABLE = re.compile(r'environ(?:\.get\(|\[)\s*"(\w+)"')
_HOOK = re.compile(r'(?:get|has)attr\([\w.]+, "((?:get|to)_\w+)"')
_COLLECTION = re.compile(r"bzz_[a-z_]+")
_SOURCES = Path(bzz.__file__).parent
_log = logging.getLogger(__name__)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_config_value("bzz_public_modules", MODULES, "env")
    app.add_object_type(
        "collection", "collection", objname="collection", indextemplate="single: %s; collection"
    )
    app.add_object_type(
        "hook", "hook", objname="hook", indextemplate="single: %s", parse_node=read_hook
    )
    app.connect("env-check-consistency", check)


def read_hook(env: BuildEnvironment, signature: str, node: addnodes.desc_signature) -> str:
    """Called by Sphinx: a hook is named without its arguments."""
    name, bracket, arguments = signature.partition("(")
    node["fullname"] = name
    node += addnodes.desc_name(name, name)
    node += addnodes.desc_addname("", bracket + arguments)
    return name


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Called by Sphinx once all pages are read: one warning for each lack."""
    names = tuple(app.config.bzz_public_modules)
    given = Surface.of_bzz().given if names == MODULES else ()
    left_out = LEFT_OUT if names == MODULES else {}
    package = "bzz" if names == MODULES else names[0].partition(".")[0]
    surface = Surface(tuple(import_module(each) for each in names), given, left_out, package)
    objects = env.domains.python_domain.objects
    for lack in [*surface.missing(objects), *missing(env)]:
        _log.warning(lack, type="bzz", subtype="incomplete")


def missing(env: BuildEnvironment) -> Iterator[str]:
    """One sentence for each thing besides Python's names that is on no page."""
    known = env.domains.standard_domain.objects
    for kind, names in kinds().items():
        for name in names:
            if (kind, name) not in known:
                yield f"The {kind} {name} is on no page of the reference."
    for name in settings.untold():
        yield f"No docstring says what the setting {name} does."
    for slug in KINDS:
        if f"problems/{slug}" not in env.found_docs:
            yield f"The problem {slug} has no page."
    shown = _titles(env) if COMMANDS in env.found_docs else set()
    for name in command_names(commands, "bzz"):
        if name not in shown:
            yield f"The command {name!r} is on no page of the reference."


def kinds() -> dict[str, list[str]]:
    """What has to be on a page, by the kind of object that it is to Sphinx."""
    return {
        "route": route_names(),
        "setting": settings.setting_names(),
        "envvar": variables(),
        "collection": collections(),
        "hook": hooks(),
    }


def variables() -> list[str]:
    """The environment variables that bzz reads, those of the commands' options among them."""
    found = {name for path in _modules() for name in _VARIABLE.findall(path.read_text())}
    for _, command in _commands(commands, "bzz"):
        for parameter in command.params:
            given = parameter.envvar or ()
            found |= {given} if isinstance(given, str) else set(given)
    return sorted(found)


def hooks() -> list[str]:
    """What bzz asks for on the classes of an application's models."""
    return sorted({name for path in _modules() for name in _HOOK.findall(path.read_text())})


def collections() -> list[str]:
    """The collections that bzz makes: the constants that are named as they are."""
    found = set()
    for path in _modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and "demo" not in path.parts:
                found |= set(_constants(node.value))
    return sorted(found)


def _constants(node: ast.expr) -> Iterator[str]:
    for each in node.elts if isinstance(node, ast.Tuple) else [node]:
        value = each.value if isinstance(each, ast.Constant) else None
        if isinstance(value, str) and _COLLECTION.fullmatch(value):
            yield value


def command_names(command: click.Command, path: str) -> Iterator[str]:
    """A command and all below it, each with the words that are typed."""
    return (name for name, _ in _commands(command, path))


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            each = command.get_command(context, name)
            if each is not None and not each.hidden:
                yield from _commands(each, f"{path} {name}")


def _titles(env: BuildEnvironment) -> set[str]:
    """The programs on the page of commands: a section has the last word alone as its title."""
    found = set[str]()

    def walk(node: nodes.Element, path: str) -> None:
        for section in node.children:
            if isinstance(section, nodes.section):
                title = section.next_node(nodes.title)
                words = "" if title is None else title.astext()
                name = words if words == "bzz" or not path else f"{path} {words}"
                found.add(name)
                walk(section, name if words == "bzz" or path else "")

    walk(env.get_doctree(COMMANDS), "")
    return found


def _modules() -> list[Path]:
    return sorted(_SOURCES.rglob("*.py"))
