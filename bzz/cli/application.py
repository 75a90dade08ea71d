"""Finds the object of an application that a command is about, by its name."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bzz.audit import Auditor


def auditor_named(ctx: click.Context, param: click.Parameter, value: str) -> Auditor:
    """What an argument `module:attribute` names: an auditor, or a function that returns one.

    As click calls it.  Raises `click.BadParameter` where there is none.
    """
    module_name, colon, path = value.partition(":")
    if not (module_name and colon and path):
        raise click.BadParameter(f"{value!r} is not of the form module:attribute (app:auditor).")
    found = _attribute(_module(module_name), path)
    if not isinstance(found, Auditor) and callable(found):
        found = found()
    if not isinstance(found, Auditor):
        raise click.BadParameter(
            f"{value!r} is no Auditor, and no function that returns one: {found!r}."
        )
    return found


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # one that the application itself misses
        raise click.BadParameter(
            f"There is no module {name!r}; run this where it can be imported."
        ) from error


def _attribute(module: Any, path: str) -> Any:
    found = module
    for part in path.split("."):
        if not hasattr(found, part):
            raise click.BadParameter(f"{module.__name__} has no {path!r}.")
        found = getattr(found, part)
    return found
