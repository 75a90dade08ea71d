"""The route that serves the description."""

from __future__ import annotations

import json

import pytest
import tornado.web
from mongoengine import Document, StringField

from bzz import MongoEngineRestHandler, flatten, openapi_route
from bzz.openapi.route import Description
from tests.house import own_registry
from tests.support import Server


class Health(tornado.web.RequestHandler):
    """A handler that does not describe itself."""


@pytest.fixture(scope="module")
def server():
    with own_registry():

        class Page(Document):
            title = StringField()

        routes = MongoEngineRestHandler.routes_for("mongoengine", Page, prefix="/api")
        description = openapi_route([routes, ("/health", Health)], title="Pages", version="7")
        with Server(flatten([routes, description])) as running:
            yield running


def test_the_description_says_what_it_is_of(server):
    answer = server.get("/openapi.json")

    assert (200, "application/json") == (answer.status, answer.headers["Content-Type"])
    assert ("3.1.0", "Pages", "7") == (
        answer.json["openapi"],
        answer.json["info"]["title"],
        answer.json["info"]["version"],
    )


def test_routes_that_do_not_describe_themselves_are_left_out(server):
    assert ["/api/page/", "/api/page/{id}/"] == list(server.get("/openapi.json").json["paths"])


def test_a_description_that_is_known_is_not_sent_again(server):
    tag = server.get("/openapi.json").etag

    answer = server.get("/openapi.json", headers={"If-None-Match": tag})

    assert (304, b"") == (answer.status, answer.body)


def test_head_and_options_of_the_description(server):
    assert (200, b"") == (server.head("/openapi.json").status, server.head("/openapi.json").body)
    assert "GET, HEAD, OPTIONS" == server.options("/openapi.json").headers["Allow"]


def test_the_description_is_only_read(server):
    answer = server.post("/openapi.json", {})

    assert (405, "GET, HEAD, OPTIONS") == (answer.problem["status"], answer.headers["Allow"])


def test_a_prefix_goes_in_front():
    route = openapi_route([], title="T", version="1", prefix="/api/")

    assert "/api/openapi.json$" == route.regex.pattern


def test_a_description_is_made_once():
    made = []

    class Counted(tornado.web.RequestHandler):
        @classmethod
        def describe(cls, book):
            made.append(book)
            return {}

    description = Description(flatten([("/", Counted)]), title="T", version="1")

    assert json.loads(description.text()) == json.loads(description.text())
    assert 1 == len(made)


def test_of_two_routes_with_one_path_the_first_is_described():
    class First(tornado.web.RequestHandler):
        @classmethod
        def describe(cls, book, name):
            return {"/x/": {"summary": name}}

    routes = flatten([("/x/", First, {"name": "first"}), ("/x/?", First, {"name": "second"})])

    document = Description(routes, title="T", version="1").document()
    assert "first" == document["paths"]["/x/"]["summary"]
