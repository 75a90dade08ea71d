"""The documentation builds, and the reference has all that is public; else the build fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from bzz_reference import complete, failures, settings
from bzz_reference.example import example
from bzz_reference.public import LEFT_OUT, MODULES, Surface, attributes_of
from bzz_reference.routes import METHODS, route_names
from sphinx.util.inventory import InventoryFile

import bzz
from bzz import signals
from bzz.audit import errors as audit_errors
from bzz.cli.main import bzz as commands
from bzz.errors import Conflict, Gone, NotFound, Superseded
from bzz.openapi.book import Book
from bzz.problems import KINDS
from tests.browsing import CHROMIUM, MISSING, chromium

ROOT = Path(__file__).parent.parent.parent
EXTENSIONS = ROOT / "docs" / "_ext"


@dataclass(frozen=True)
class Built:
    """What became of a build."""

    code: int
    told: str
    folder: Path

    def names(self, kind: str) -> set[str]:
        """The objects of one kind in the inventory."""
        inventory = InventoryFile.loads((self.folder / "objects.inv").read_bytes(), uri="")
        return set(inventory.data.get(kind, {}))

    def text(self, page: str) -> str:
        """A page without its markup."""
        return re.sub("<[^>]+>", "", (self.folder / f"{page}.html").read_text())


def build(source: Path, folder: Path) -> Built:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"),
            *("-d", str(folder / "doctrees"), str(source), str(folder / "html")),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, EXTENSIONS, source)))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Built(result.returncode, result.stdout + result.stderr, folder / "html")


@pytest.fixture(scope="module")
def docs(tmp_path_factory) -> Built:
    """The documentation, built once."""
    return build(ROOT / "docs", tmp_path_factory.mktemp("docs"))


# The build -------------------------------------------------------------------------------


def test_the_documentation_builds_without_a_warning(docs):
    assert (0, "") == (docs.code, docs.told)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_is_in_the_index(docs, module):
    kinds = ("py:class", "py:exception", "py:function", "py:data")
    known = set().union(*map(docs.names, kinds))
    homes = {
        name: {f"{module}.{name}", *_other_names(getattr(import_module(module), name))}
        for name in import_module(module).__all__
    }

    assert [] == [name for name, found in homes.items() if not found & known]


def _other_names(value: object) -> set[str]:
    """Where else something is exported: its page has one of the names."""
    return {
        f"{module}.{name}"
        for module in MODULES
        for name in import_module(module).__all__
        if getattr(import_module(module), name) is value
    } | {f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"}


def test_every_method_of_the_auditor_that_is_not_left_out_is_in_the_index(docs):
    own = {name for name in vars(bzz.audit.Auditor) if not name.startswith("_")}
    left_out = {name for name in own if f"bzz.audit.auditor.Auditor.{name}" in LEFT_OUT}
    known = docs.names("py:method") | docs.names("py:property")

    assert own - left_out == {name for name in own if f"bzz.audit.Auditor.{name}" in known}


def test_every_signal_is_in_the_index(docs):
    assert {f"bzz.signals.{name}" for name in signals.namespace} <= docs.names("py:data")


@pytest.mark.parametrize("name", sorted(signals.namespace))
def test_a_signal_is_shown_with_all_its_arguments(docs, name):
    shown = docs.text("reference/signals").partition(f"bzz.signals.{name}:")[2]
    shown = shown.partition("Receivers run")[0]

    assert [] == [each for each in signals.namespace[name].arguments if each not in shown]


def test_every_route_is_in_the_index(docs):
    assert {*route_names(), "GET /openapi.json"} == docs.names("std:route")


def test_every_setting_is_in_the_index(docs):
    assert set(settings.setting_names()) == docs.names("std:setting")


@pytest.mark.parametrize("slug", sorted(KINDS))
def test_a_kind_of_problem_is_linked_from_the_reference_of_errors(docs, slug):
    assert f'href="../problems/{slug}.html"' in (docs.folder / "reference/errors.html").read_text()


@pytest.mark.parametrize("name", list(complete.command_names(commands, "bzz")))
def test_a_command_is_shown_with_its_usage(docs, name):
    assert re.search(rf"^{name} ", docs.text("reference/commands"), re.MULTILINE)


def test_a_default_is_that_of_the_signature(docs):
    assert "streams = 1000" in docs.text("reference/settings")


def test_docstrings_link_what_they_name_in_backticks(docs):
    page = (docs.folder / "reference/api/auditor.html").read_text()

    assert re.search(r'href="\.\./errors\.html#bzz\.errors\.Undecided"', page)


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_no_page_of_the_reference_is_wider_than_a_phone(docs):
    wide = []
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 360, "height": 800})
        for page in sorted((docs.folder / "reference").rglob("*.html")):
            tab.goto(page.as_uri())
            width = tab.evaluate("document.documentElement.scrollWidth")
            if width > 360:
                wide.append((page.stem, width))

    assert [] == wide


# What the example shows ------------------------------------------------------------------


def test_each_route_of_the_example_is_described_with_the_methods_that_its_handler_has():
    paths = example().document["paths"]
    for route in example().routes:
        methods = getattr(route.target, "methods", None)
        if not methods:
            continue  # the documents' own, and what takes what is not there
        described = route.target.describe(Book(), **route.kwargs)
        expected = {each.lower() for each in methods} - {"head"}

        assert described, route
        for path in described:
            assert expected == {verb for verb in METHODS if verb in paths[path]}, path


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("UnknownVersion", [NotFound]),
        ("PositionGone", [Gone]),
        ("VersionTaken", [Superseded]),
        ("EventAltered", [Conflict]),
        ("ConsumerLate", []),
    ],
)
def test_an_error_of_the_audit_is_shown_as_what_it_is_turned_into(error, expected):
    assert expected == failures.became(getattr(audit_errors, error))


# That it can fail ------------------------------------------------------------------------

MADE_UP = '''
"""A module that somebody forgot to document."""

from dataclasses import dataclass

__all__ = ["Known", "forgotten", "silent"]


class Known:
    """Is on a page.

    Attributes
    ----------
    said, told: what it says of them.
    """

    said = told = 1
    unsaid = 2

    def method(self) -> "list[Reached]":
        """Gives others."""

    def speechless(self):
        pass


@dataclass
class Reached:
    """Is only reached through what is public."""

    field: int = 1


def forgotten():
    """Is on no page."""


def silent():
    pass
'''


@pytest.fixture
def made_up(tmp_path, monkeypatch) -> ModuleType:
    (tmp_path / "made_up.py").write_text(MADE_UP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made_up", raising=False)
    return import_module("made_up")


def lacking(module: ModuleType, *pages: str, left_out: dict[str, str] | None = None) -> list[str]:
    surface = Surface((module,), left_out=left_out or {}, package="made_up")
    return surface.missing(f"made_up.{each}" for each in pages)


@pytest.mark.parametrize(
    "lack",
    [
        "made_up.forgotten is public and on no page of the reference.",
        "made_up.silent is public and says nothing of itself.",
        "made_up.Known is public and on no page of the reference.",
        "made_up.Known.method is public and on no page of the reference.",
        "made_up.Known.speechless is public and has no docstring.",
        "made_up.Known.unsaid is public and has no docstring.",
        "made_up.Reached is reached by users and on no page of the reference.",
        "made_up.Reached.field is public and has no docstring.",
    ],
)
def test_what_is_not_documented_is_found(made_up, lack):
    assert lack in lacking(made_up)


def test_what_is_documented_is_not_complained_of(made_up):
    pages = ("forgotten", "silent", "Known", "Known.said", "Known.told", "Known.method", "Reached")

    assert [
        "made_up.silent is public and says nothing of itself.",
        "made_up.Known.unsaid is public and has no docstring.",
        "made_up.Known.speechless is public and has no docstring.",
        "made_up.Reached.field is public and has no docstring.",
    ] == lacking(made_up, *pages)


def test_what_is_left_out_by_name_is_not_complained_of(made_up):
    found = lacking(made_up, left_out={"made_up.Known.speechless": "nobody calls it"})

    assert not [each for each in found if "speechless" in each]


def test_what_is_left_out_and_is_not_there_is_found(made_up):
    found = lacking(made_up, left_out={"made_up.Known.gone": "it was removed"})

    assert found[0] == (
        "made_up.Known.gone is left out of the reference (LEFT_OUT), and there is no such thing."
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Built:
    """A documentation of the made-up module, and of bzz, that says nothing."""
    folder = tmp_path_factory.mktemp("empty")
    source = folder / "source"
    source.mkdir()
    (source / "made_up.py").write_text(MADE_UP)
    (source / "conf.py").write_text(
        'extensions = ["sphinx.ext.autodoc", "bzz_reference"]\nbzz_public_modules = ["made_up"]\n'
    )
    (source / "index.rst").write_text("Nothing\n=======\n")
    return build(source, folder)


def test_a_build_that_lacks_something_public_fails(empty):
    assert 1 == empty.code


@pytest.mark.parametrize(
    "lack",
    [
        "made_up.forgotten is public and on no page of the reference.",
        "The route GET /team/ is on no page of the reference.",
        "The setting Auditor(segment=) is on no page of the reference.",
        "The envvar MONGODB_URI is on no page of the reference.",
        "The collection bzz_history is on no page of the reference.",
        "The hook get_list_queryset is on no page of the reference.",
        "The problem conflict has no page.",
        "The command 'bzz worker' is on no page of the reference.",
    ],
)
def test_a_build_says_what_it_lacks(empty, lack):
    assert lack in empty.told


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        pytest.param("Text.", ({}, "Text."), id="without a section"),
        pytest.param(
            "Text.\n\nAttributes\n----------\na: one\n    more.\nb, c: two.\n\nRest.",
            ({"a": "one more.", "b": "two.", "c": "two."}, "Text.\n\nRest."),
            id="with lines that go on, several names, and text behind",
        ),
    ],
)
def test_attributes_are_read_from_a_docstring(doc, expected):
    assert expected == attributes_of(doc)


# Links -----------------------------------------------------------------------------------

_LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)")


def links_of_files() -> list[object]:
    return [
        pytest.param(name, link, id=f"{name}: {link}")
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
        if (ROOT / name).exists()
        for link in dict.fromkeys(_LINK.findall((ROOT / name).read_text()))
        if "://" not in link
    ]


@pytest.mark.parametrize(("name", "link"), links_of_files())
def test_a_link_to_a_file_leads_to_one(name, link):
    assert (ROOT / link).exists()
