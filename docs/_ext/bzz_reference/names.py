"""Single backticks, as docstrings have them: code, and a link to what it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.util.nodes import make_refnode

_PACKAGES = ("", "bzz.", "bzz.audit.", "bzz.signals.", "bzz.errors.", "bzz.audit.errors.")


class NameRole(XRefRole):
    """Text in single backticks."""

    def process_link(
        self,
        env: BuildEnvironment,
        refnode: nodes.Element,
        has_explicit_title: bool,
        title: str,
        target: str,
    ) -> tuple[str, str]:
        """Called by Sphinx: keep where the name stands."""
        refnode["py:class"] = env.ref_context.get("py:class")
        refnode["py:module"] = env.ref_context.get("py:module")
        return title, target


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_role("bzz-name", NameRole())
    app.connect("missing-reference", resolve)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.TextElement
) -> nodes.Node | None:
    """Called by Sphinx for names that no domain has; what names nothing stays as it is."""
    if node["reftype"] != "bzz-name":
        return None
    objects = env.domains.python_domain.objects
    for name in _candidates(node, node["reftarget"].removesuffix("()")):
        entry = objects.get(name)
        # Attributes and arguments have common names, and stand near to where they are named.
        if entry is not None and entry.objtype not in ("attribute", "property", "module"):
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode)
    return contnode


def _candidates(node: Mapping[str, Any], name: str) -> list[str]:
    owner, module = node["py:class"], node["py:module"]
    first, _, rest = name.partition(".")
    near = [f"{module}.{owner}.{name}"] if module and owner else []
    if first in ("auditor", "history") and rest:
        near.append(f"bzz.audit.{first.title()}.{rest}")
    return [
        *near,
        *([f"{module}.{name}"] if module else []),
        *(f"{each}{name}" for each in _PACKAGES),
    ]
