"""What HTTP itself asks: methods, paths, addresses, error documents."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator
from typing import Any

import mongoengine
import pytest
import tornado.web
from bson import ObjectId

from bzz import MongoEngineRestHandler
from tests.people import People, served
from tests.support import PROBLEM

IN_LIST = ["GET", "HEAD", "OPTIONS", "POST"]
ON_DOCUMENT = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"]


@pytest.fixture
def people(mock_database: Any) -> Iterator[People]:
    with served() as world:
        yield world


@pytest.fixture
def ana(people: People) -> Any:
    return people.make(pets=[{"name": "Rex"}])


@pytest.fixture
def places(people: People, ana: Any) -> dict[str, str]:
    team = people.make(people.Team, users=[ana], lead=ana)
    return {
        "list": "/user/",
        "document": f"/user/{ana.pk}/",
        "nested list": f"/team/{team.pk}/users/",
        "nested document": f"/team/{team.pk}/users/{ana.pk}/",
        "embedded list": f"/user/{ana.pk}/pets/",
        "embedded item": f"/user/{ana.pk}/pets/Rex/",
        "single": f"/team/{team.pk}/lead/",
        "single embedded": f"/user/{ana.pk}/home/",
    }


# HEAD and OPTIONS


def test_head_is_get_without_its_body(people: People, ana: Any) -> None:
    got = people.server.get(f"/user/{ana.pk}/")
    head = people.server.head(f"/user/{ana.pk}/")

    assert (200, b"") == (head.status, head.body)
    assert got.headers["Content-Length"] == head.headers["Content-Length"]


def test_head_of_what_is_not_there_is_not_found(people: People) -> None:
    head = people.server.head(f"/user/{ObjectId()}/")

    assert (404, b"", PROBLEM) == (head.status, head.body, head.headers["Content-Type"])


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        pytest.param("list", IN_LIST, id="a list"),
        pytest.param("document", ON_DOCUMENT, id="a document"),
        pytest.param("nested list", IN_LIST, id="a nested list"),
        pytest.param("embedded list", IN_LIST, id="an embedded list"),
        pytest.param("embedded item", ON_DOCUMENT, id="an embedded item"),
        pytest.param("single", [*ON_DOCUMENT, "POST"], id="a single reference"),
        pytest.param("single embedded", [*ON_DOCUMENT, "POST"], id="a single embedded document"),
    ],
)
def test_options_says_what_is_allowed(
    people: People, places: dict[str, str], place: str, expected: list[str]
) -> None:
    answer = people.server.options(places[place])

    assert (204, expected) == (answer.status, answer.headers["Allow"].split(", "))


def test_options_says_which_patches_are_read(people: People, ana: Any) -> None:
    answer = people.server.options(f"/user/{ana.pk}/")

    assert "application/merge-patch+json" in answer.headers["Accept-Patch"]


@pytest.mark.parametrize("path", ["/user/x/y/z/", "/user/not-an-id/"])
def test_options_of_a_path_that_leads_nowhere_is_not_found(people: People, path: str) -> None:
    assert 404 == people.server.options(path).problem["status"]


# Methods


@pytest.mark.parametrize(
    ("method", "place", "expected"),
    [
        pytest.param("PUT", "list", IN_LIST, id="PUT a list"),
        pytest.param("PATCH", "list", IN_LIST, id="PATCH a list"),
        pytest.param("DELETE", "list", IN_LIST, id="DELETE a list"),
        pytest.param("POST", "document", ON_DOCUMENT, id="POST a document"),
        pytest.param("POST", "embedded item", ON_DOCUMENT, id="POST an embedded item"),
        pytest.param("DELETE", "nested list", IN_LIST, id="DELETE a nested list"),
        pytest.param("BREW", "list", IN_LIST, id="of no standard, on a list"),
        pytest.param("BREW", "document", ON_DOCUMENT, id="of no standard, on a document"),
    ],
)
def test_a_method_that_is_not_there_is_told_what_is(
    people: People, places: dict[str, str], method: str, place: str, expected: list[str]
) -> None:
    answer = people.server.request(method, places[place], json={"name": "x"})

    assert 405 == answer.problem["status"]
    assert expected == answer.headers["Allow"].split(", ")


# Paths


@pytest.mark.parametrize("place", ["list", "document", "nested list", "embedded item"])
def test_the_slash_at_the_end_is_optional(
    people: People, places: dict[str, str], place: str
) -> None:
    with_slash = people.server.get(places[place])
    without = people.server.get(places[place].rstrip("/"))

    assert (200, with_slash.json) == (without.status, without.json)


def test_a_post_without_the_slash_creates(people: People) -> None:
    assert 201 == people.server.post("/user", {"name": "Ana"}).status


@pytest.mark.parametrize(
    ("path", "part"),
    [
        pytest.param("/user/x/", "No User has the id 'x'.", id="what cannot be an id"),
        pytest.param("/user/%00/", "No User has the id", id="a NUL"),
        pytest.param("/user/%ZZ/", "No User has the id '%ZZ'.", id="broken percent-encoding"),
        pytest.param("/user/%FF/", "The path is not UTF-8.", id="bytes"),
        pytest.param("/user//", "A path has no segment ''.", id="an empty segment"),
        pytest.param("/user/./", "A path has no segment '.'.", id="a dot"),
        pytest.param("/user/%2E%2E/", "A path has no segment '..'.", id="two dots, encoded"),
        pytest.param("/user/{}/age/", "User has nothing nested at 'age'.", id="a plain field"),
        pytest.param("/user/{}/x/", "User has nothing nested at 'x'.", id="no field"),
        pytest.param("/user/{}/pets/x/", "has nothing at 'pets/x'.", id="no item"),
        pytest.param("/user/{}/home/", "has no 'home'.", id="a single one that is not there"),
        pytest.param("/user/{}/pets/Rex/x/", "Pet has nothing nested at 'x'.", id="below an item"),
        pytest.param("/user/{}//", "A path has no segment ''.", id="two slashes at the end"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(
    people: People, ana: Any, path: str, part: str
) -> None:
    answer = people.server.get(path.format(ana.pk))

    assert 404 == answer.problem["status"]
    assert part in answer.problem["detail"]


def test_a_path_may_be_sent_as_plain_utf8(people: People) -> None:
    people.make(people.Page, slug="größe")
    raw = raw_answer(people.server.port, "GET /page/größe/ HTTP/1.1")

    assert raw.startswith(b"HTTP/1.1 200 OK")


def test_a_query_may_be_sent_as_plain_utf8(people: People) -> None:
    people.make(people.Page, slug="a", title="größe")
    raw = raw_answer(people.server.port, "GET /page/?title=größe HTTP/1.1")

    assert b'"slug":"a"' in raw


def test_the_way_on_from_a_path_in_plain_utf8_can_be_followed(people: People) -> None:
    page = people.make(people.Page, slug="größe")
    assert page.pk
    raw = raw_answer(people.server.port, "GET /page/?title__ne=größe&limit=1 HTTP/1.1")

    assert "title__ne=gr%C3%B6%C3%9Fe" in raw.decode()


def raw_answer(port: int, line: str, body: bytes = b"", *headers: str) -> bytes:
    """What comes back for a request as it is written here."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = [line, "Host: localhost", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(head).encode() + body)
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts)


# Errors


def test_an_error_is_a_problem_document(people: People) -> None:
    answer = people.server.get("/user/x/")

    assert PROBLEM == answer.headers["Content-Type"]
    assert {"type", "title", "status", "detail"} == set(answer.json)


def test_errors_below_500_write_no_stack(people: People, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        people.server.get("/user/x/")
        people.server.post("/user/", {"age": "x"})
        people.server.request("POST", "/user/", "{", headers={"Content-Type": "application/json"})
        people.server.put("/user/", {})

    assert [] == [record for record in caplog.records if record.exc_info]


def test_a_log_of_a_refusal_does_not_show_what_was_sent(
    people: People, caplog: pytest.LogCaptureFixture
) -> None:
    people.make(email="a@example.org")
    with caplog.at_level(logging.DEBUG):
        people.server.post("/user/", {"name": "A", "age": "a secret"})
        people.server.post("/user/", {"name": "x" * 41, "email": "not one"})
        people.server.post("/user/", {"name": "A", "email": "a@example.org"})

    assert "a secret" not in caplog.text
    assert "example.org" not in caplog.text


def test_a_failure_is_logged_with_its_stack_and_told_without(mock_database: Any) -> None:
    class Broken(MongoEngineRestHandler):
        def may(self, action: str, model: Any, pk: Any) -> bool:
            raise RuntimeError("a secret")

    with served("Page", handler=Broken) as world:
        answer = world.server.get("/page/")
        logged = [record for record in world.server.take_errors() if record.exc_info]

    assert (500, "The server failed; its log says why.") == (
        answer.status,
        answer.problem["detail"],
    )
    assert ["a secret"] == [str(record.exc_info[1]) for record in logged]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        pytest.param(tornado.web.HTTPError(401), 401, None, id="a status"),
        pytest.param(tornado.web.HTTPError(429, reason="Slowly"), 429, "Slowly", id="a reason"),
        pytest.param(tornado.web.HTTPError(403, "for the log"), 403, None, id="a log message"),
        pytest.param(
            tornado.web.HTTPError(403, reason="Nur für größere — 日本"),
            403,
            "Nur für größere — 日本",
            id="a reason that no status line can hold",
        ),
        pytest.param(tornado.web.HTTPError(499), 499, None, id="a status without a name"),
    ],
)
def test_what_an_application_raises_is_answered_as_a_problem(
    mock_database: Any, error: tornado.web.HTTPError, status: int, detail: str | None
) -> None:
    class Refusing(MongoEngineRestHandler):
        def prepare(self) -> None:
            raise error

    with served("Page", handler=Refusing) as world:
        answer = world.server.get("/page/")

    assert (status, detail) == (answer.problem["status"], answer.problem.get("detail"))


def test_headers_of_a_failed_attempt_are_not_sent(mock_database: Any) -> None:
    class Eager(MongoEngineRestHandler):
        def prepare(self) -> None:
            self.set_header("Etag", '"7"')

    with served("Page", handler=Eager) as world:
        answer = world.server.get("/page/x/")

    assert (404, None) == (answer.status, answer.etag)


def test_a_missing_connection_says_what_to_do() -> None:
    mongoengine.disconnect_all()
    with served("Page") as world:
        answer = world.server.post("/page/", {"slug": "a"})
        world.server.take_errors()

    assert 500 == answer.problem["status"]
    assert "call mongoengine.connect() first" in answer.problem["detail"]


def test_connections_are_kept_after_a_refusal(people: People) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", people.server.port, timeout=10)
    statuses = []
    for path in ("/user/x/", "/user/"):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()

    assert [404, 200] == statuses
