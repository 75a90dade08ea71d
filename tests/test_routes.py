"""Lists of routes, and what registering a model refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from mongoengine import Document, EmbeddedDocument, StringField
from tornado.web import RequestHandler, url

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor
from bzz.errors import SetupError
from bzz.routes import Routes
from tests.house import own_receivers, own_registry
from tests.people import define, serving

routes_for = MongoEngineRestHandler.routes_for


@pytest.fixture
def models() -> Iterator[SimpleNamespace]:
    with own_registry(), own_receivers():
        yield define()


class Special(MongoEngineRestHandler):
    """A handler of an application."""


class Foreign(RequestHandler):
    """A handler of Tornado's that is none of bzz."""


def paths(routes: Any) -> list[str]:
    return [route.regex.pattern for route in routes]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        pytest.param({}, "/user/", id="the class in snake_case"),
        pytest.param({"resource_name": "people"}, "/people/", id="a name of its own"),
        pytest.param({"resource_name": "größe"}, "/gr%C3%B6%C3%9Fe/", id="in any script"),
        pytest.param({"prefix": "/api/v1"}, "/api/v1/user/", id="below a prefix"),
        pytest.param({"prefix": "/api/"}, "/api/user/", id="a prefix with a slash at its end"),
    ],
)
def test_a_model_is_served_under_its_name(
    mock_database: Any, models: SimpleNamespace, options: Any, path: str
) -> None:
    with serving(models.User, **options) as server:
        created = server.post(path, {"name": "Ana"})
        followed = server.get(created.headers["Location"])

    assert created.headers["Location"].startswith(path)
    assert (201, 200) == (created.status, followed.status)


def test_a_name_of_several_words_is_parted(mock_database: Any, models: SimpleNamespace) -> None:
    class OrderLine(Document):
        pass

    with serving(OrderLine) as server:
        assert 200 == server.get("/order_line/").status


def test_another_path_is_not_taken(mock_database: Any, models: SimpleNamespace) -> None:
    with serving(models.User) as server:
        assert 404 == server.get("/users/").status


def test_an_unaudited_model_has_one_route(models: SimpleNamespace) -> None:
    assert 1 == len(routes_for("mongoengine", models.User))


def test_the_provider_may_be_the_dotted_name_of_a_handler(models: SimpleNamespace) -> None:
    [route] = routes_for(f"{__name__}.Special", models.User)

    assert "Special" == route.target.__name__


def test_a_subclass_serves_its_own_routes(models: SimpleNamespace) -> None:
    routes = Special.routes_for("mongoengine", models.User, audit=Auditor())

    assert all(issubclass(route.target, Special) for route in routes)


@pytest.mark.parametrize(
    ("provider", "part"),
    [
        pytest.param("mongo", "There is no provider 'mongo'", id="unknown"),
        pytest.param("bzz.nothing.Handler", "There is no provider", id="no module"),
        pytest.param("bzz.errors.Handler", "There is no provider", id="no such name"),
        pytest.param("", "There is no provider ''", id="empty"),
        pytest.param(
            f"{__name__}.Foreign", "is no MongoEngineRestHandler", id="a handler of another kind"
        ),
        pytest.param("bzz.errors.BzzError", "is no MongoEngineRestHandler", id="no handler"),
    ],
)
def test_a_provider_that_is_none_is_refused(
    models: SimpleNamespace, provider: str, part: str
) -> None:
    with pytest.raises(SetupError, match=re.escape(part)):
        routes_for(provider, models.User)


def test_two_routes_of_one_path_are_refused(models: SimpleNamespace) -> None:
    routes = routes_for("mongoengine", models.User)
    message = "Two routes have the path /user/: give one model another resource_name or prefix."

    with pytest.raises(SetupError, match=re.escape(message)):
        routes += routes_for("mongoengine", models.Team, resource_name="user")


def test_two_routes_of_one_path_are_refused_when_they_are_flattened(
    models: SimpleNamespace,
) -> None:
    with pytest.raises(SetupError, match="Two routes have the path"):
        flatten([routes_for("mongoengine", models.User), routes_for("mongoengine", models.User)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"prefix": "api"}, "A prefix starts with a slash; 'api' does not.", id="a prefix"
        ),
        pytest.param(
            {"max_size": 3},
            "routes_for has no option 'max_size'; it has max_body, deadline, require_precondition.",
            id="an option",
        ),
        pytest.param({"resource_name": ""}, "A resource has a name", id="no name"),
        pytest.param({"resource_name": "a/b"}, "A resource has a name", id="a slash in the name"),
    ],
)
def test_options_that_cannot_work_are_refused(
    models: SimpleNamespace, options: Any, message: str
) -> None:
    with pytest.raises(SetupError, match=re.escape(message)):
        routes_for("mongoengine", models.User, **options)


def test_a_class_that_is_not_stored_by_itself_is_refused(models: SimpleNamespace) -> None:
    with pytest.raises(SetupError, match="Address has no documents of its own"):
        routes_for("mongoengine", models.Address)


def test_an_abstract_class_is_refused(models: SimpleNamespace) -> None:
    class Base(Document):
        meta = {"abstract": True}

    with pytest.raises(SetupError, match="Base has no documents of its own"):
        routes_for("mongoengine", Base)


def test_a_field_named_as_the_history_is_refused_with_the_way_out(models: SimpleNamespace) -> None:
    class Country(Document):
        history = StringField()

    with pytest.raises(SetupError, match="choose another with Auditor"):
        routes_for("mongoengine", Country, audit=Auditor())


def test_a_field_named_as_the_history_is_no_matter_without_one(models: SimpleNamespace) -> None:
    class Country(Document):
        history = StringField()

    assert 1 == len(routes_for("mongoengine", Country))


def test_the_segment_of_the_history_can_be_chosen(models: SimpleNamespace) -> None:
    class Country(Document):
        history = StringField()

    routes = routes_for("mongoengine", Country, audit=Auditor(segment="versions"))

    assert any("versions" in path for path in paths(routes))


def test_an_id_field_that_is_not_there_is_refused(models: SimpleNamespace) -> None:
    class City(Document):
        @classmethod
        def get_id_field_name(cls) -> str:
            return "slug"

    with pytest.raises(SetupError, match="get_id_field_name"):
        routes_for("mongoengine", City)


def test_flatten_flattens_lists_of_any_depth(models: SimpleNamespace) -> None:
    users = routes_for("mongoengine", models.User)
    routes = flatten([[users, []], [[("/", Foreign)]], url("/x", Foreign)])

    assert 3 == len(routes)


def test_routes_can_be_joined(models: SimpleNamespace) -> None:
    users, teams = (routes_for("mongoengine", each) for each in (models.User, models.Team))

    assert isinstance(users + teams, Routes)
    assert 2 == len(users + teams)


class Embedded(EmbeddedDocument):
    """Not a Document."""


@pytest.mark.parametrize("model", [dict, "User", None, Embedded])
def test_what_is_no_document_class_is_refused(model: Any) -> None:
    with pytest.raises(SetupError, match="has no documents of its own"):
        routes_for("mongoengine", model)
