"""The import rule: every module knows only what stands below it, and each package has its homes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "bzz"

# From the ground up: a module imports only from what stands before it.
ORDER = """
version errors silence values jsontext offload keeper embedded jsonvalues geojson schema receivers
connections signals body patching preconditions routes problems paths negotiation
references decoding codec filters query tokens keyset assignment
recording deferral source unit capture driver updates settling transactions sessions connection
member attempt commit_lane
resource targets actions documents listing work
openapi.book openapi.values openapi.models openapi.forms openapi.parameters openapi.places
openapi.answers openapi.operations openapi.bodies openapi.resources openapi.route
mongoengine_handler
audit.errors audit.diff audit.redaction audit.events audit.context audit.replay audit.upcasting
audit.sealing audit.carrying audit.standing audit.undoing audit.blaming audit.comparing
audit.trail
audit.background audit.leasing audit.listeners audit.matching
audit.store audit.seals audit.feed audit.watching audit.hub audit.audience
audit.sequencer audit.sequencing
audit.tracking audit.snapshots audit.folding audit.recorder audit.planning
audit.restoring audit.scope audit.verifying audit.rebuilding audit.adopting audit.bulk
audit.history audit.selection audit.restoration audit.views
audit.changed audit.asking audit.subscribing audit.checkpoints audit.parking audit.consuming
audit.delivering audit.calling audit.running audit.subscription
audit.pages.marking audit.pages.outline audit.pages.words audit.pages.chart audit.pages.values
audit.pages.rendering audit.pages.document audit.pages.change audit.pages.activity
audit.pages.subscriptions
audit.handlers.describing audit.handlers.verbs audit.handlers.base
audit.handlers.paging
audit.handlers.streaming audit.handlers.live_document audit.handlers.events
audit.handlers.version audit.handlers.compare audit.handlers.blame audit.handlers.restore
audit.handlers.document_pages audit.handlers.change_pages
audit.handlers.across audit.handlers.sight audit.handlers.live_feed audit.handlers.feed
audit.handlers.replay audit.handlers.restore_set audit.handlers.subscriptions
audit.handlers.across_pages audit.handlers.activity_pages audit.handlers.subscription_pages
audit.handlers.routing audit.auditor
cli.output cli.ending cli.application cli.completion cli.naming cli.telling cli.asking cli.history
cli.show cli.putting_back cli.restore cli.verify cli.replay cli.adopt cli.export cli.worker
cli.subscriptions cli.findings cli.server_checks cli.history_checks cli.doctor cli.demo
cli.serving cli.supervising cli.serve cli.main __main__
""".split()  # noqa: SIM905 - read in lines

CORE = {"audit.errors", "audit.diff", "audit.redaction", "audit.events", "audit.context"} | {
    "audit.replay",
    "audit.upcasting",
    "audit.sealing",
    "audit.carrying",
    "audit.standing",
    "audit.undoing",
    "audit.blaming",
    "audit.trail",
    "audit.matching",
}
"""The audit's core: the standard library, itself, `bson` and the leaf `bzz.values`."""

HOMES = {
    "tornado": {"mongoengine_handler", "openapi.route", "routes", "problems", "audit.handlers"}
    | {"audit.pages.values", "audit.pages.rendering", "cli"},
    "blinker": {"signals"},
    "jsonpatch": {"patching"},
    "msgspec": {"jsontext"},
    "click": {"cli"},
    "rich": {"cli"},
    "mongomock": set(),
}
"""Packages of one purpose, and the only modules that name them."""


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if not name.endswith("__init__") and not name.startswith("demo"):
            found[name] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """The names of all modules that a file imports, for typing alone left out."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            if node.module == "bzz":
                yield from (f"bzz.{alias.name}" for alias in node.names)


def own_imports(name: str) -> set[str]:
    found = {each.removeprefix("bzz.") for each in imports(MODULES[name]) if each != "bzz"}
    return {each for each in found if each in MODULES}


def test_every_module_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_only_what_stands_before_it(name):
    before = set(ORDER[: ORDER.index(name)])

    assert set() == own_imports(name) - before


@pytest.mark.parametrize(
    "name", sorted(each for each in MODULES if not each.startswith(("audit.", "cli.")))
)
def test_the_framework_never_names_the_audit(name):
    assert not [each for each in imports(MODULES[name]) if each.startswith("bzz.audit")]


@pytest.mark.parametrize("name", sorted(CORE))
def test_the_core_of_the_audit_knows_no_library_but_bson(name):
    outside = {"tornado", "mongoengine", "pymongo", "blinker", "jsonpatch", "msgspec"}
    top = {each.split(".")[0] for each in imports(MODULES[name])}

    assert set() == top & outside
    assert own_imports(name) <= CORE | {"values"}


@pytest.mark.parametrize("package", sorted(HOMES))
def test_a_library_is_named_in_its_homes_alone(package):
    users = {
        next((each for each in ("audit.handlers", "cli") if name.startswith(f"{each}.")), name)
        for name, path in MODULES.items()
        if any(each.split(".")[0] == package for each in imports(path))
    }

    assert HOMES[package] >= users


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_stand_at_the_top_and_nothing_is_asserted(name):
    tree = ast.parse(MODULES[name].read_text())
    inner = [
        node
        for top in tree.body
        if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for node in ast.walk(top)
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert)
    ]

    assert [] == inner
