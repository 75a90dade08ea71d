"""Errors: what they become over HTTP, and how they inherit.

A line below each error says it; `.. bzz-problems::` is the other way round, and
`.. bzz-tree:: MODULE` the tree.

An error of the framework is asked of `bzz.problems`.  One of the audit is turned into such an
error where it is caught; these places are read in the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import bzz
from bzz import errors
from bzz.audit import errors as audit_errors
from bzz.audit.errors import AuditError
from bzz.errors import BzzError
from bzz.problems import KINDS, Problem, problem_for

_FACTS: dict[str, Any] = {
    "accepted": (),
    "conflicts": (),
    "current": None,
    "errors": (),
    "version": None,
    "index": 0,
    "retry_after": 1,
}
"""What `problem_for` reads of errors."""

INTERNAL = "internal-server-error"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", add_answer)
    app.add_directive("bzz-problems", ProblemsDirective)
    app.add_directive("bzz-tree", TreeDirective)


def add_answer(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Say below an error what it becomes over HTTP."""
    if what != "exception" or not issubclass(value, BzzError | AuditError):
        return
    lines += ["", f"**Over HTTP:** {_answer(value)}", ""]


def _answer(error: type[BaseException]) -> str:
    kinds = [problem_of(each) for each in became(error)]
    if not kinds:
        return "never; it is raised in code alone."
    return " or ".join(
        f"{each.status} :doc:`{each.slug} </problems/{each.slug}>`" for each in kinds
    )


def became(error: type[BaseException]) -> list[type[BzzError]]:
    """The errors of the framework as which an error is answered."""
    if issubclass(error, BzzError):
        return [error]
    for each in error.__mro__:
        if each in translations():
            return sorted(translations()[each], key=lambda found: found.__name__)
    return []


def problem_of(error: type[BzzError]) -> Problem:
    """The problem as which an error is answered."""
    made = error.__new__(error)
    for name, value in _FACTS.items():
        setattr(made, name, value)
    return problem_for(made)


@cache
def translations() -> dict[type[BaseException], set[type[BzzError]]]:
    """For each error of the audit those that are raised where it is caught."""
    found: dict[type[BaseException], set[type[BzzError]]] = {}
    for path in sorted((Path(bzz.__file__).parent / "audit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                for caught in _named(node.type, audit_errors):
                    raised = [*_raised(node)]
                    if raised:
                        found.setdefault(caught, set()).update(raised)
    return found


def _raised(handler: ast.ExceptHandler) -> Iterator[type[BzzError]]:
    for node in ast.walk(handler):
        # Raised, or kept to be raised with others: `faults.append(FieldError(…))`.
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from _named(node.exc.func, errors)


def _named(node: ast.expr, module: Any) -> Iterator[Any]:
    for each in node.elts if isinstance(node, ast.Tuple) else [node]:
        found = getattr(module, each.id, None) if isinstance(each, ast.Name) else None
        if isinstance(found, type) and issubclass(found, Exception):
            yield found


class TreeDirective(SphinxDirective):
    """The tree of errors as the docstring of their module draws it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        doc = import_module(self.arguments[0]).__doc__ or ""
        tree = doc.partition("\n\n")[2].rstrip()
        return [nodes.literal_block(tree, tree, language="none")]


class ProblemsDirective(SphinxDirective):
    """The kinds of problems, each with its page and the errors that become it."""

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        by_slug: dict[str, list[str]] = {slug: [] for slug in KINDS}
        for module in (errors, audit_errors):
            for name in module.__all__:
                error = getattr(module, name)
                if isinstance(error, type) and issubclass(error, BzzError | AuditError):
                    for each in became(error):
                        slug = problem_of(each).slug
                        by_slug[slug].append(f":py:exc:`~{module.__name__}.{name}`")
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :class: bzz-table",
            "   :widths: 10 25 30 35",
            "",
            "   * - Status",
            "     - Problem",
            "     - Title",
            "     - Raised as",
        ]
        for slug, kind in sorted(KINDS.items(), key=lambda each: (each[1].status, each[0])):
            lines += [
                f"   * - {kind.status}",
                f"     - :doc:`{slug} </problems/{slug}>`",
                f"     - {kind.title}",
                f"     - {', '.join(dict.fromkeys(by_slug[slug])) or '—'}",
            ]
        return self.parse_text_to_nodes("\n".join(lines))
