"""Paths read from themselves and the classes alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from bson import ObjectId

from bzz.errors import NotFound
from bzz.schema import schema_of
from bzz.targets import Target, parse_target, segments_of
from tests.house import own_registry
from tests.people import define

ID = str(ObjectId(b"x" * 12))


@pytest.fixture
def models() -> Iterator[SimpleNamespace]:
    with own_registry():
        yield define()


@pytest.fixture
def team(models: SimpleNamespace) -> SimpleNamespace:
    def parse(path: str) -> Target:
        return parse_target(schema_of(models.Team), "team", segments_of(path))

    return SimpleNamespace(parse=parse)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param("a", ["a"], id="one"),
        pytest.param("a/", ["a"], id="a slash at the end"),
        pytest.param("a/b", ["a", "b"], id="two"),
        pytest.param("a%2Fb/c", ["a/b", "c"], id="an encoded slash"),
        pytest.param("a%20b", ["a b"], id="a space"),
        pytest.param("a+b", ["a+b"], id="a plus is a plus"),
        pytest.param("100%25", ["100%"], id="a percent sign"),
        pytest.param("%zz", ["%zz"], id="what is no encoding"),
        pytest.param("gr%C3%B6%C3%9Fe", ["größe"], id="utf-8, encoded"),
        pytest.param("größe".encode().decode("latin-1"), ["größe"], id="utf-8 as Tornado reads it"),
        pytest.param("%252e", ["%2e"], id="decoded once only"),
    ],
)
def test_segments_are_decoded(path: str, expected: list[str]) -> None:
    assert expected == segments_of(path)


@pytest.mark.parametrize("path", ["/", "a//b", ".", "a/..", "%2e", "%2E%2e/a", "a//"])
def test_segments_that_would_lead_elsewhere_are_not_found(path: str) -> None:
    with pytest.raises(NotFound, match="A path has no segment"):
        segments_of(path)


@pytest.mark.parametrize("path", ["%FF", "a%C3", "größe"], ids=["bytes", "cut off", "latin-1"])
def test_segments_that_are_no_utf8_are_not_found(path: str) -> None:
    with pytest.raises(NotFound, match="not UTF-8"):
        segments_of(path)


@pytest.mark.parametrize(
    ("path", "arguments"),
    [
        pytest.param("", ["team"], id="the list"),
        pytest.param(f"{ID}", [f"team/{ID}"], id="a document"),
        pytest.param(f"{ID}/users", [f"team/{ID}", "users"], id="a nested list"),
        pytest.param(f"{ID}/users/{ID}", [f"team/{ID}", f"users/{ID}"], id="a nested document"),
        pytest.param(f"{ID}/lead", [f"team/{ID}", "lead"], id="a single reference"),
        pytest.param(f"{ID}/lead/{ID}", [f"team/{ID}", f"lead/{ID}"], id="and its id"),
        pytest.param(
            f"{ID}/lead/pets/Rex", [f"team/{ID}", "lead", "pets/Rex"], id="below a single reference"
        ),
        pytest.param(
            f"{ID}/users/{ID}/pets/a b/home",
            [f"team/{ID}", f"users/{ID}", "pets/a b", "home"],
            id="through all",
        ),
    ],
)
def test_arguments_are_the_parts_of_a_path(
    team: SimpleNamespace, path: str, arguments: list[str]
) -> None:
    assert arguments == team.parse(path).arguments


@pytest.mark.parametrize(
    ("path", "is_list", "document", "owner"),
    [
        pytest.param("", True, "team", "team", id="the list"),
        pytest.param(f"{ID}", False, "team", "team", id="a document"),
        pytest.param(f"{ID}/users", True, "users", "team", id="a nested list"),
        pytest.param(f"{ID}/users/{ID}", False, "users", "team", id="a nested document"),
        pytest.param(f"{ID}/lead/home", False, "lead", "lead", id="embedded in a reference"),
        pytest.param(f"{ID}/users/{ID}/pets", True, "users", "users", id="an embedded list"),
        pytest.param(
            f"{ID}/users/{ID}/pets/Rex/home", False, "users", "users", id="embedded twice"
        ),
    ],
)
def test_a_target_knows_the_document_that_holds_it(
    team: SimpleNamespace, path: str, is_list: bool, document: str, owner: str
) -> None:
    target = team.parse(path)

    assert (is_list, document, owner) == (
        target.last.is_list,
        target.document.name,
        target.owner.name,
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("x", "No Team has the id 'x'.", id="no id"),
        pytest.param(ID.upper() + "0", "No Team has the id", id="too long an id"),
        pytest.param(f"{ID}/name", "Team has nothing nested at 'name'.", id="a plain field"),
        pytest.param(f"{ID}/x", "Team has nothing nested at 'x'.", id="no field"),
        pytest.param(f"{ID}/users/x", "No User has the id 'x'.", id="no id below"),
        pytest.param(f"{ID}/lead/x/y", "No User has the id 'x'.", id="no id of a single one"),
        pytest.param(f"{ID}/lead/home/x", "Address has nothing nested at 'x'.", id="too far"),
        pytest.param(f"{ID}/pk", "Team has nothing nested at 'pk'.", id="the primary key"),
    ],
)
def test_a_part_that_leads_nowhere_is_named(team: SimpleNamespace, path: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        team.parse(path)


def test_ids_are_typed_by_their_models(team: SimpleNamespace) -> None:
    steps = team.parse(f"{ID}/users/{ID}/pets/Rex").steps

    assert [ObjectId(ID), ObjectId(ID), "Rex"] == [step.value for step in steps]
