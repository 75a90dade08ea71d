"""Finds what a command is about: the auditor of an application, a model, a document.

An application is named as `module:attribute`, by `--app` at the command, or in front of it, or by
the environment variable `BZZ_APP`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bzz.audit import Auditor, History
from bzz.schema import schema_of
from bzz.work import document_key

APP = "BZZ_APP"

Command = Callable[..., Any]


def auditor_named(value: str) -> Auditor:
    """What `module:attribute` names: an auditor, or a function that returns one.

    Raises `click.BadParameter` where there is none.
    """
    found = object_named(value)
    if not isinstance(found, Auditor) and callable(found):
        found = found()
    if not isinstance(found, Auditor):
        raise click.BadParameter(
            f"{value!r} is no Auditor, and no function that returns one: {found!r}."
        )
    return found


def object_named(value: str) -> Any:
    """The object that `module:attribute` names.  Raises `click.BadParameter`."""
    module_name, colon, path = value.partition(":")
    if not (module_name and colon and path):
        raise click.BadParameter(f"{value!r} is not of the form module:attribute (app:auditor).")
    return _attribute(_module(module_name), path)


def audited(command: Command) -> Command:
    """A decorator: the command has the option `--app` and gets its auditor as `auditor`."""
    return click.option(
        "--app",
        "auditor",
        metavar="MODULE:AUDITOR",
        callback=_auditor_of,
        help=f"The application's auditor, or a function that returns it. Or set {APP}.",
    )(command)


def application_name(ctx: click.Context, value: str | None = None) -> str | None:
    """The name of the auditor: as it was said at the command, in front of it, or by `BZZ_APP`."""
    # Not click's envvar: the options in front of the command stand between the two.
    here: click.Context | None = ctx
    while here is not None and not value:
        value = here.params.get("app")
        here = here.parent
    return value or None


def auditor_for(ctx: click.Context, value: str | None = None) -> Auditor:
    """The auditor of that name.  Raises `click.UsageError` where none is said, or there is none."""
    name = application_name(ctx, value)
    if name is None:
        raise click.UsageError(
            f"Which application? Say --app module:auditor, or set {APP}=module:auditor."
        )
    return auditor_named(name)


def _auditor_of(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
    # When a shell asks what may come next, nothing is to be loaded.
    return value if ctx.resilient_parsing else auditor_for(ctx, value)


def model_named(auditor: Auditor, name: str) -> Any:
    """The tracked class that a name means: that of its routes ('order') or of the class.

    Raises `click.BadParameter` that says which there are.
    """
    names = {auditor.tracked_as(each).name: each for each in auditor.models()}
    for model in names.values():
        if name == model.__name__:
            return model
    if name not in names:
        known = ", ".join(sorted(names)) or "none: import where they are tracked"
        raise click.BadParameter(f"No model {name!r} is audited here; there are {known}.")
    return names[name]


def unknown(model: str, text: str) -> click.ClickException:
    """What is raised for an id that no document has or had."""
    return click.ClickException(f"There is no {model} {text}, and none is known to have been.")


def document_named(auditor: Auditor, model: str, text: str) -> History:
    """The history of the document that the API has under `/<model>/<text>/`.

    Raises `click.BadParameter` for what can be no id of the model, and what `unknown` makes where
    it can be told already that no document has or had the id.
    """
    found = model_named(auditor, model)
    auditor.prepare()
    schema = schema_of(found)
    try:
        pk = document_key(schema, schema.parse_id(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r} can be no id of {model!r}: {error}") from error
    if pk is None:
        raise unknown(model, text)
    return auditor.history(found, schema.fields[str(schema.pk)].to_python(pk))


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
