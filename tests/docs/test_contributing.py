"""CONTRIBUTING.md is true: its map has each module once, and what it names is there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.test_layers import HOMES, MODULES, own_imports

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE))
GROUPS = [
    re.findall(r"`([\w.*]+)`", row.split("|")[1])
    for row in SECTIONS["The map"].splitlines()
    if row.startswith("| `")
]
PACKAGE = {
    ".".join(path.relative_to(ROOT / "bzz").with_suffix("").parts)
    for path in (ROOT / "bzz").rglob("*.py")
    if path.name != "__init__.py"
}
FILES = re.findall(r"`((?:bzz|docs|tests|tools|benchmarks|\.ci)/[\w/.-]*)`", TEXT)
# `file` (`name`, `name` …): what of the file is meant.
MEANT = [
    (file, name)
    for file, names in re.findall(r"`([\w/]+\.py)` \(([^)]*`[^)]*)\)", TEXT)
    for name in re.findall(r"`(\w+)`", names)
]
DOTTED = re.findall(r"`(audit\.[a-z_.]+)`", TEXT.replace(SECTIONS["The map"], ""))


def test_each_module_is_in_the_map_once():
    places = {each: [g for group in GROUPS for g in group if fnmatch(each, g)] for each in PACKAGE}

    assert {} == {each: found for each, found in places.items() if len(found) != 1}


@pytest.mark.parametrize("name", [each for group in GROUPS for each in group])
def test_what_the_map_names_is_there(name):
    assert any(fnmatch(each, name) for each in PACKAGE)


def row_of(name):
    return next(i for i, group in enumerate(GROUPS) if any(fnmatch(name, g) for g in group))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_nothing_from_below_its_row(name):
    below = [each for each in own_imports(name) if row_of(each) > row_of(name)]

    assert [] == below


@pytest.mark.parametrize("file", sorted(set(FILES)))
def test_a_file_that_it_names_is_there(file):
    assert (ROOT / file).exists()


@pytest.mark.parametrize(("file", "name"), MEANT, ids=lambda each: each.replace("/", "."))
def test_what_it_means_of_a_file_is_in_it(file, name):
    assert re.search(rf"\b{name}\b", (ROOT / file).read_text())


@pytest.mark.parametrize("name", sorted(set(DOTTED)))
def test_a_module_that_it_names_is_there(name):
    assert name in PACKAGE or (ROOT / "bzz" / name.replace(".", "/")).is_dir()


def test_the_homes_of_packages_are_those_of_the_layers():
    for package in ("blinker", "jsonpatch", "msgspec", "click", "rich"):
        [home] = HOMES[package]
        assert re.search(rf"{package}[^.;]*`bzz/{home}(\.py|/)`", SECTIONS["The map"]), package


def test_the_targets_of_make_that_it_names_are_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set() == set(re.findall(r"\bmake ([a-z]+)\b", re.sub(r"# .*", "", TEXT))) - {*targets}
