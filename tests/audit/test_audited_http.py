"""Audited documents over HTTP: versions as entity tags, preconditions, the past, who and why."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from bson import ObjectId
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
    get_db,
)
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler, flatten
from bzz.signals import (
    before_commit,
    post_create_instance,
    post_delete_instance,
    post_update_instance,
    pre_update_instance,
)
from tests.house import built, raw
from tests.support import FORM, JSON_PATCH, Server

NOBODY = ObjectId("0123456789abcdef01234567")


@pytest.fixture
def ana(server):
    return server.post("/user/", {"name": "Ana"}).headers["Location"]


@contextmanager
def serving(house: Any, *models: Any, handler: Any = MongoEngineRestHandler, **options: Any):
    routes = flatten(
        handler.routes_for("mongoengine", model, audit=house.auditor, **options) for model in models
    )
    with Server(routes) as server:
        yield server


def events(server: Any, path: str) -> Any:
    return server.get(f"{path}history/?order=asc").json["items"]


def failure(*servers: Any, lines: int = 2) -> str:
    """The error of the one request that a server failed; takes its lines out of all logs."""
    logged = [each.take_errors(lines) for each in servers][0]
    return " ".join(str(record.exc_info[1]) for record in logged if record.exc_info)


def operations(server: Any, path: str) -> Any:
    return [event["operation"] for event in events(server, path)]


# Tags ---------------------------------------------------------------------------------------


def test_a_new_document_has_the_tag_of_its_first_version(server):
    answer = server.post("/user/", {"name": "Ana"})

    assert (201, '"1"') == (answer.status, answer.etag)


@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_change_answers_the_tag_of_the_version_that_it_made(server, ana, method):
    answer = getattr(server, method)(ana, {"age": 5})

    assert (200, '"2"') == (answer.status, answer.etag)


def test_a_read_has_the_tag_of_the_last_version(server, ana):
    server.put(ana, {"age": 5})

    assert '"2"' == server.get(ana).etag


def test_a_head_has_the_tag_too(server, ana):
    assert ('"1"', b"") == (server.head(ana).etag, server.head(ana).body)


def test_a_change_that_changes_nothing_keeps_the_tag_and_makes_no_event(server, ana):
    answer = server.put(ana, {"name": "Ana"})

    assert (200, '"1"') == (answer.status, answer.etag)
    assert ["created"] == operations(server, ana)


def test_a_document_without_history_has_the_tag_zero(house, server):
    user = house.User(name="Old").save()

    assert '"0"' == server.get(f"/user/{user.pk}/").etag


def test_a_change_that_changes_nothing_of_a_document_without_history_has_the_tag_zero(
    house, server
):
    user = house.User(name="Old").save()

    assert '"0"' == server.put(f"/user/{user.pk}/", {"name": "Old"}).etag


def test_the_first_change_of_a_document_without_history_makes_a_baseline_first(house, server):
    user = house.User(name="Old").save()

    assert '"2"' == server.put(f"/user/{user.pk}/", {"name": "New"}).etag
    assert ["baseline", "updated"] == operations(server, f"/user/{user.pk}/")


def test_there_is_no_tag_after_a_write_round_bzz(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})

    assert None is server.get(ana).etag


def test_a_change_that_changes_nothing_after_a_write_round_bzz_has_no_tag(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})

    assert (200, None) == (server.put(ana, {"age": 7}).status, server.put(ana, {"age": 7}).etag)


def test_there_is_a_tag_again_after_the_next_write(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})

    assert '"3"' == server.put(ana, {"age": 8}).etag
    assert '"3"' == server.get(ana).etag


def test_a_write_round_bzz_that_was_taken_back_leaves_the_tag(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})
    raw(house.User).update_one({}, {"$unset": {"age": 1}})

    assert '"1"' == server.get(ana).etag


def test_a_delete_has_no_tag_and_no_body(server, ana):
    answer = server.delete(ana)

    assert (204, None, b"") == (answer.status, answer.etag, answer.body)


def test_a_list_has_no_tag(server, ana):
    assert None is server.get("/user/").etag


# If-None-Match ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        pytest.param('"1"', id="its tag"),
        pytest.param('W/"1"', id="weak"),
        pytest.param('"1-gzip"', id="of a coding"),
        pytest.param('"7", "1"', id="one of a list"),
        pytest.param("*", id="any"),
    ],
)
def test_a_read_of_the_version_that_the_client_has_is_304(server, ana, header):
    answer = server.get(ana, headers={"If-None-Match": header})

    assert (304, '"1"', b"") == (answer.status, answer.etag, answer.body)


def test_a_read_of_another_version_than_the_client_has_is_the_document(server, ana):
    assert 200 == server.get(ana, headers={"If-None-Match": '"7"'}).status


def test_a_malformed_if_none_match_is_400(server, ana):
    answer = server.get(ana, headers={"If-None-Match": "1"})

    assert 400 == answer.status
    assert "If-None-Match is a list of quoted entity tags" in answer.problem["detail"]


# If-Match -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        pytest.param('"1"', id="its tag"),
        pytest.param('W/"1"', id="weak"),
        pytest.param('"1-gzip"', id="of a coding"),
        pytest.param('W/"1-br"', id="weak and of a coding"),
        pytest.param('"7", "1"', id="one of a list"),
        pytest.param("*", id="any"),
    ],
)
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_write_with_a_true_precondition_is_done(server, ana, method, header):
    body = {} if method == "delete" else {"json": {"age": 5}}

    assert getattr(server, method)(ana, headers={"If-Match": header}, **body).status in (200, 204)
    assert 2 == len(events(server, ana))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param('"7"', id="another version"),
        pytest.param('"7", "8"', id="none of a list"),
        pytest.param('"abc"', id="no tag of ours"),
        pytest.param('""', id="an empty tag"),
        pytest.param('"01x"', id="digits and more"),
    ],
)
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_write_with_a_false_precondition_is_412_and_says_the_version(server, ana, method, header):
    body = {} if method == "delete" else {"json": {"age": 5}}
    answer = getattr(server, method)(ana, headers={"If-Match": header}, **body)

    assert (412, 1) == (answer.status, answer.problem["version"])
    assert ["created"] == operations(server, ana)


@pytest.mark.parametrize("header", ["7", "", '"7', '"7" "8"', "W/7", "**"])
def test_a_malformed_if_match_is_400(server, ana, header):
    answer = server.put(ana, {"age": 5}, headers={"If-Match": header})

    assert 400 == answer.status
    assert answer.problem["detail"].startswith("If-Match is ")


def test_no_tag_matches_a_document_that_was_written_round_bzz(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})

    answer = server.put(ana, {"age": 8}, headers={"If-Match": '"1"'})

    assert 412 == answer.status
    assert "version" not in answer.problem


def test_a_star_matches_a_document_that_was_written_round_bzz(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 7}})

    assert '"3"' == server.put(ana, {"age": 8}, headers={"If-Match": "*"}).etag


def test_an_unknown_document_is_404_whatever_if_match_says(server):
    assert 404 == server.put(f"/user/{NOBODY}/", {}, headers={"If-Match": '"1"'}).status


def test_a_deleted_document_is_410_whatever_if_match_says(server, ana):
    server.delete(ana)

    assert 410 == server.put(ana, {"age": 1}, headers={"If-Match": '"1"'}).status


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_resource_that_asks_for_a_precondition_refuses_writes_without(house, method):
    with serving(house, house.User, require_precondition=True) as server:
        path = server.post("/user/", {"name": "Ana"}).headers["Location"]
        body = {} if method == "delete" else {"json": {"age": 5}}
        answer = getattr(server, method)(path, **body)

        assert 428 == answer.status
        assert "If-Match" in answer.problem["detail"]
        assert getattr(server, method)(path, headers={"If-Match": '"1"'}, **body).status < 300


def test_of_many_that_race_with_one_tag_exactly_one_wins(server, ana):
    statuses = _together(
        16,
        lambda client, n: client.put(ana, {"age": n}, headers={"If-Match": '"1"'}).status,
        server,
    )

    assert [200] + [412] * 15 == sorted(statuses)
    assert ["created", "updated"] == operations(server, ana)


def test_of_many_deletes_exactly_one_wins(server, ana):
    statuses = _together(16, lambda client, n: client.delete(ana).status, server)

    assert [204] + [410] * 15 == sorted(statuses)


def test_of_many_creates_with_one_id_exactly_one_wins(server):
    body = {"id": str(NOBODY), "name": "Ana"}
    statuses = _together(16, lambda client, n: client.post("/user/", body).status, server)

    assert [201] + [409] * 15 == sorted(statuses)
    assert ["created"] == operations(server, f"/user/{NOBODY}/")


def _together(count: int, work: Any, server: Any) -> list[Any]:
    """What `work(client, number)` gives for each of many clients that start at one moment."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        client = server.client()
        try:
            barrier.wait()
            return work(client, number)
        finally:
            client.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


# Deleted documents --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "head", "put", "patch", "delete"])
def test_a_deleted_document_is_410_and_points_to_its_history(server, ana, method):
    server.delete(ana)

    body = {"json": {"age": 1}} if method in ("put", "patch") else {}
    answer = getattr(server, method)(ana, **body)

    assert 410 == answer.status
    assert f'<{ana}history/>; rel="version-history"' == answer.headers["Link"]
    assert "no-store" == answer.headers["Cache-Control"]


def test_a_deleted_document_says_the_version_of_its_delete(server, ana):
    server.delete(ana)

    assert 2 == server.get(ana).problem["version"]


def test_an_unknown_document_is_404_and_not_to_be_cached(server):
    answer = server.get(f"/user/{NOBODY}/")

    assert (404, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert None is answer.headers["Link"]


def test_a_repeated_delete_with_if_match_is_410(server, ana):
    server.delete(ana, headers={"If-Match": '"1"'})

    assert 410 == server.delete(ana, headers={"If-Match": '"1"'}).status
    assert ["created", "deleted"] == operations(server, ana)


def test_a_document_created_again_goes_on_counting(server, ana):
    key = server.get(ana).json["id"]
    server.delete(ana)
    answer = server.post("/user/", {"id": key, "name": "Ana II"})

    assert (201, '"3"') == (answer.status, answer.etag)
    assert ["created", "deleted", "created"] == operations(server, ana)


def test_a_document_deleted_round_bzz_is_410_and_its_history_is_there(house, server, ana):
    raw(house.User).delete_many({})
    answer = server.get(ana)

    assert 410 == answer.status
    assert "version" not in answer.problem
    assert ["created"] == operations(server, ana)


def test_a_document_deleted_round_bzz_and_created_again_has_its_tombstone(house, server, ana):
    key = server.get(ana).json["id"]
    raw(house.User).delete_many({})

    assert '"3"' == server.post("/user/", {"id": key, "name": "Ana II"}).etag
    assert ["created", "external", "created"] == operations(server, ana)


# What a read says of itself -----------------------------------------------------------------


def test_a_read_says_when_it_was_changed_and_where_its_history_is(server, ana):
    answer = server.get(ana)

    assert f'<{ana}history/>; rel="version-history"' == answer.headers["Link"]
    assert answer.headers["Last-Modified"].endswith("GMT")


def test_a_document_without_history_does_not_say_when_it_was_changed(house, server):
    user = house.User(name="Old").save()

    assert None is server.get(f"/user/{user.pk}/").headers["Last-Modified"]


# Nested -------------------------------------------------------------------------------------


@pytest.fixture
def nested(house):
    class Room(EmbeddedDocument):
        name = StringField(required=True)

        @classmethod
        def get_id_field_name(cls):
            return "name"

    class Person(Document):
        name = StringField()

    class Home(Document):
        address = EmbeddedDocumentField(house.Address)
        rooms = EmbeddedDocumentListField(Room)
        people = ListField(ReferenceField(Person))

    with serving(house, Home, Person) as server:
        yield server, server.post("/home/", {"rooms": [{"name": "a"}]}).headers["Location"]


def test_an_embedded_item_has_its_owners_tag(nested):
    server, home = nested

    assert '"1"' == server.get(f"{home}rooms/a/").etag
    assert '"2"' == server.post(f"{home}rooms/", {"name": "b"}).etag
    assert '"2"' == server.get(f"{home}rooms/a/").etag


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "rooms/", {"name": "b"}, id="POST"),
        pytest.param("PUT", "rooms/a/", {"name": "b"}, id="PUT"),
        pytest.param("PATCH", "rooms/a/", {"name": "b"}, id="PATCH"),
        pytest.param("DELETE", "rooms/a/", {}, id="DELETE"),
        pytest.param("PUT", "address/", {"city": "b"}, id="PUT of a single one"),
        pytest.param("POST", "people/", {"name": "b"}, id="association"),
    ],
)
def test_what_is_nested_is_checked_against_the_owners_tag(nested, method, path, body):
    server, home = nested
    server.put(home, {"address": {"city": "x"}})
    answer = server.request(method, home + path, json=body, headers={"If-Match": '"1"'})

    assert (412, 2) == (answer.status, answer.problem["version"])
    again = server.request(method, home + path, json=body, headers={"If-Match": '"2"'})
    assert again.status in (200, 201, 204)


def test_a_referenced_document_has_its_own_tag(nested):
    server, home = nested
    person = server.post(f"{home}people/", {"name": "Ana"})
    inside = person.headers["Location"]

    assert '"1"' == person.etag
    assert '"2"' == server.put(inside, {"name": "Bea"}).etag
    assert '"2"' == server.get(inside).etag
    assert '"2"' == server.get(home).etag  # of the association


def test_a_referenced_document_is_checked_against_its_own_tag(nested):
    server, home = nested
    inside = server.post(f"{home}people/", {"name": "Ana"}).headers["Location"]

    assert 412 == server.put(inside, {"name": "Bea"}, headers={"If-Match": '"2"'}).status
    assert 200 == server.put(inside, {"name": "Bea"}, headers={"If-Match": '"1"'}).status


def test_a_nested_change_after_a_write_round_bzz_has_no_tag_to_match(nested):
    server, home = nested
    get_db()["home"].update_one({}, {"$set": {"rooms": [{"name": "z"}]}})

    assert None is server.get(f"{home}rooms/z/").etag
    assert 412 == server.delete(f"{home}rooms/z/", headers={"If-Match": '"1"'}).status


# The past -----------------------------------------------------------------------------------


def test_a_version_of_the_past_is_read_with_at(server, ana):
    server.put(ana, {"age": 5})

    answer = server.get(f"{ana}?at=1")

    assert (200, None) == (answer.status, answer.json["age"])
    assert answer.headers["Memento-Datetime"].endswith("GMT")


def test_a_moment_of_the_past_is_read_with_at(house, server, ana):
    moment = events(server, ana)[0]["time"]
    _wait_until_after(moment)
    server.put(ana, {"age": 5})

    assert None is server.get(f"{ana}?at={moment}").json["age"]
    assert 5 == server.get(f"{ana}?at=2999-01-01T00:00:00Z").json["age"]


def _wait_until_after(moment: str) -> None:
    from datetime import UTC, datetime

    then = datetime.fromisoformat(moment)
    while (datetime.now(UTC) - then).total_seconds() < 0.002:
        time.sleep(0.001)


def test_at_understands_an_offset_whose_plus_became_a_space(server, ana):
    assert 200 == server.get(f"{ana}?at=2999-01-01T00:00:00+02:00").status


@pytest.mark.parametrize("at", ["", "-1", "1.0", "now", "2026-13-01", "%D9%A3", "1e3"])
def test_an_at_that_is_neither_a_version_nor_a_time_is_400(server, ana, at):
    answer = server.get(f"{ana}?at={at}")

    assert 400 == answer.status
    assert "is neither a version nor a time such as" in answer.problem["detail"]


@pytest.mark.parametrize("at", ["0", "7", "9" * 18, "9" * 19, "9" * 5000], ids=lambda at: at[:20])
def test_a_version_that_never_was_is_404(server, ana, at):
    answer = server.get(f"{ana}?at={at}")

    assert 404 == answer.status
    assert "its last version is 1." in answer.problem["detail"]


def test_a_moment_before_the_first_event_is_404(server, ana):
    answer = server.get(f"{ana}?at=1999-01-01T00:00:00Z")

    assert 404 == answer.status
    assert answer.problem["detail"].endswith("was not known yet at 1999-01-01T00:00:00.000Z.")


def test_a_moment_at_which_the_document_was_deleted_is_410(server, ana):
    server.delete(ana)

    assert (410, 2) == (
        server.get(f"{ana}?at=2").status,
        server.get(f"{ana}?at=2").problem["version"],
    )
    assert 410 == server.get(f"{ana}?at=2999-01-01").status


def test_a_deleted_document_is_still_read_with_at(server, ana):
    server.delete(ana)

    assert "Ana" == server.get(f"{ana}?at=1").json["name"]


def test_a_resource_without_history_knows_no_at(house):
    class Plain(Document):
        name = StringField()

    with Server(MongoEngineRestHandler.routes_for("mongoengine", Plain)) as server:
        path = server.post("/plain/", {"name": "Ana"}).headers["Location"]
        answer = server.get(f"{path}?at=1")

        assert 400 == answer.status
        assert "has no history" in answer.problem["detail"]


def test_the_past_is_not_read_by_who_may_not_read_the_history(house):
    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "history"

    with serving(house, house.User, handler=Guarded) as server:
        path = server.post("/user/", {"name": "Ana"}).headers["Location"]

        assert 200 == server.get(path).status
        assert 403 == server.get(f"{path}?at=1").status


# Who and why --------------------------------------------------------------------------------


def last(server: Any, path: str) -> Any:
    return server.get(f"{path}history/?limit=1").json["items"][0]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param("a refund", "a refund", id="ASCII"),
        pytest.param("Gr\u00fc\u00dfe".encode().decode("latin-1"), "Grüße", id="UTF-8"),
        pytest.param("Gr\u00fc\u00dfe", "Grüße", id="Latin-1"),
        pytest.param("%E5%90%8D%E5%89%8D", "名前", id="percent-encoded"),
        pytest.param("100% sure", "100% sure", id="a percent sign"),
        pytest.param("  spaced  ", "spaced", id="spaces around"),
    ],
)
def test_the_reason_is_read_from_its_header(server, ana, sent, expected):
    server.put(ana, {"age": 5}, headers={"X-Audit-Reason": sent})

    assert expected == last(server, ana)["reason"]


def test_a_reason_that_is_too_long_is_400_and_nothing_is_stored(server, ana):
    answer = server.put(ana, {"age": 5}, headers={"X-Audit-Reason": "x" * 4097})

    assert 400 == answer.status
    assert "The reason has 4097 characters; at most 4096 are kept." == answer.problem["detail"]
    assert ["created"] == operations(server, ana)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({"X-Correlation-Id": "c-1"}, "c-1", id="X-Correlation-Id"),
        pytest.param({"X-Request-ID": "r-1"}, "r-1", id="X-Request-ID"),
        pytest.param({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32, id="traceparent"),
        pytest.param(
            {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "X-Correlation-Id": "c-1"},
            "c-1",
            id="X-Correlation-Id first",
        ),
        pytest.param(
            {"traceparent": "nonsense", "X-Request-ID": "r-1"}, "r-1", id="bad traceparent"
        ),
        pytest.param({"X-Correlation-Id": "%C3%BC"}, "ü", id="percent-encoded"),
    ],
)
def test_the_correlation_is_read_from_the_headers(server, ana, headers, expected):
    server.put(ana, {"age": 5}, headers=headers)

    assert expected == last(server, ana)["correlation"]


def test_a_correlation_is_made_where_none_is_sent(server, ana):
    server.put(ana, {"age": 5})
    first, second = (event["correlation"] for event in events(server, ana))

    assert (32, 32) == (len(first), len(second))
    assert first != second


def test_a_correlation_that_is_too_long_is_400(server, ana):
    answer = server.put(ana, {"age": 5}, headers={"X-Correlation-Id": "x" * 257})

    assert "X-Correlation-Id has 257 characters; at most 256 are kept." == answer.problem["detail"]


def test_an_event_has_the_facts_of_its_request(server, ana):
    server.put(f"{ana}?replace=false", {"age": 5})

    expected = {"method": "PUT", "path": ana, "address": "127.0.0.1"}
    assert expected == last(server, ana)["request"]


def coroutine(value: Any) -> Any:
    async def actor(handler: Any) -> Any:
        return value

    return actor


@pytest.mark.parametrize(
    ("actor", "kind", "identity"),
    [
        pytest.param(lambda handler: "ana", "user", "ana", id="text"),
        pytest.param(lambda handler: ("robot", "r2"), "robot", "r2", id="pair"),
        pytest.param(lambda handler: ("cron", None), "cron", None, id="pair without id"),
        pytest.param(lambda handler: None, "anonymous", None, id="None"),
        pytest.param(lambda handler: NOBODY, "user", str(NOBODY), id="ObjectId"),
        pytest.param(lambda handler: 7, "user", "7", id="number"),
        pytest.param(lambda handler: b"ana", "user", "ana", id="bytes"),
        pytest.param(coroutine("ana"), "user", "ana", id="coroutine"),
        pytest.param(None, "anonymous", None, id="no callable"),
    ],
)
def test_the_actor_is_what_the_callable_says(house, actor, kind, identity):
    with built(actor=actor) as other, other.server as server:
        path = server.post("/user/", {"name": "Ana"}).headers["Location"]

        assert {"kind": kind, "id": identity} == last(server, path)["actor"]


@pytest.mark.parametrize(
    "value", [{"name": "ana"}, True, 1.5, ["user", "ana"], ("user", "ana", 1)], ids=repr
)
def test_an_actor_that_is_none_is_500_and_nothing_is_stored(house, value):
    with built(actor=lambda handler: value) as other, other.server as server:
        answer = server.post("/user/", {"name": "Ana"})

        assert 500 == answer.status
        assert "The server failed; its log says why." == answer.problem["detail"]
        assert None is raw(house.User).find_one({})
        assert failure(server, house.running).startswith("The actor is a ")


def test_an_actor_callable_may_refuse_the_request(house):
    def actor(handler):
        raise HTTPError(401)

    with built(actor=actor) as other, other.server as server:
        assert 401 == server.post("/user/", {"name": "Ana"}).status
        assert None is raw(house.User).find_one({})


def test_actors_of_interleaved_requests_never_mix(server):
    def write(client: Any, number: int) -> str:
        path = client.post("/user/", {"name": "x"}, headers={"X-User": f"a{number}"}).headers[
            "Location"
        ]
        for turn in range(4):
            who = f"a{number}-{turn}"
            headers = {
                "X-User": who,
                "X-Audit-Reason": f"why {who}",
                "X-Correlation-Id": f"c {who}",
            }
            assert 200 == client.put(path, {"name": who}, headers=headers).status
        return path

    for path in _together(12, write, server):
        for event in events(server, path)[1:]:
            who = event["changes"][0]["to"]
            expected = (who, f"why {who}", f"c {who}")
            assert expected == (event["actor"]["id"], event["reason"], event["correlation"])


def test_interleaved_writes_of_one_document_keep_their_actors(server, ana):
    def write(client: Any, number: int) -> int:
        headers = {"X-User": f"a{number}"}
        return client.put(ana, {"name": f"a{number}"}, headers=headers).status

    assert [200] * 12 == _together(12, write, server)
    found = [(event["actor"]["id"], event["changes"][0]["to"]) for event in events(server, ana)[1:]]
    assert [(f"a{n}", f"a{n}") for n in range(12)] == sorted(
        found, key=lambda each: int(each[0][1:])
    )


# Receivers that raise -----------------------------------------------------------------------


WRITES = {
    "create": (post_create_instance, "POST", "/user/", {"name": "New"}),
    "update": (post_update_instance, "PUT", None, {"name": "New"}),
    "delete": (post_delete_instance, "DELETE", None, None),
}


def _send(server: Any, verb: str, path: str) -> Any:
    _, method, own, body = WRITES[verb]
    return server.request(method, own or path, **({} if body is None else {"json": body}))


@pytest.mark.parametrize("verb", WRITES)
def test_an_atomic_receiver_that_raises_refuses_the_write(house, server, ana, verb):
    def receiver():
        raise RuntimeError("no")

    before = list(raw(house.User).find({}))
    WRITES[verb][0].connect(receiver, atomic=True)

    assert 500 == _send(server, verb, ana).status
    assert before == list(raw(house.User).find({}))
    assert ["created"] == operations(server, ana)
    assert failure(server) == "no"


@pytest.mark.parametrize("verb", WRITES)
def test_the_status_of_an_atomic_receivers_http_error_is_answered(house, server, ana, verb):
    def receiver():
        raise HTTPError(402, reason="Pay first")

    before = list(raw(house.User).find({}))
    WRITES[verb][0].connect(receiver, atomic=True)
    answer = _send(server, verb, ana)

    assert (402, "Pay first") == (answer.status, answer.problem["detail"])
    assert before == list(raw(house.User).find({}))


@pytest.mark.parametrize("verb", WRITES)
def test_a_receiver_that_raises_after_the_commit_changes_nothing(server, ana, verb):
    def receiver():
        raise RuntimeError("too late")

    WRITES[verb][0].connect(receiver)

    assert _send(server, verb, ana).status in (200, 201, 204)
    assert "receiver" in server.logged.pop().getMessage()


def test_a_receiver_of_before_commit_that_raises_refuses_the_write(house, server, ana):
    def receiver(writes):
        raise HTTPError(409)

    before_commit.connect(receiver, sender=house.User)

    assert 409 == server.put(ana, {"age": 5}).status
    assert ["created"] == operations(server, ana)
    assert "age" not in raw(house.User).find_one({})


def test_a_pre_receiver_refuses_before_anything_is_read(server):
    def receiver():
        raise HTTPError(423)

    pre_update_instance.connect(receiver)

    assert 423 == server.put(f"/user/{NOBODY}/", {"age": 5}).status


# What the model does itself -----------------------------------------------------------------


def test_event_and_answer_show_what_save_and_clean_made_of_it(house):
    class Item(Document):
        name = StringField()
        slug = StringField()
        saves = IntField(default=0)

        def clean(self):
            self.name = self.name.strip()

        def save(self, *args, **kwargs):
            self.slug = self.name.strip().lower()
            self.saves += 1
            return super().save(*args, **kwargs)

    with serving(house, Item) as server:
        path = server.post("/item/", {"name": " Big One "}).headers["Location"]
        answer = server.put(path, {"name": " Small One "})

        shown = {name: answer.json[name] for name in ("name", "slug", "saves")}
        assert {"name": "Small One", "slug": "small one", "saves": 2} == shown
        changes = {each["path"]: each["to"] for each in last(server, path)["changes"]}
        assert {"/name": "Small One", "/slug": "small one", "/saves": 2} == changes


# A document that its model cannot load ------------------------------------------------------


@pytest.fixture
def unreadable(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"strange": 1}})
    return ana


def test_an_unreadable_document_is_a_problem_that_names_the_member(server, unreadable):
    answer = server.get(unreadable)

    assert 500 == answer.status
    assert answer.problem["type"].endswith("/unreadable.html")
    assert "strange" in answer.problem["detail"]
    assert "strange" in failure(server)


def test_the_history_of_an_unreadable_document_is_there(server, unreadable):
    assert ["created"] == operations(server, unreadable)
    assert "Ana" == server.get(f"{unreadable}history/1/").json["name"]


def test_a_restore_mends_an_unreadable_document(server, unreadable):
    answer = server.post(f"{unreadable}history/1/restore/", {})

    assert (201, '"3"') == (answer.status, answer.etag)
    assert (200, '"3"') == (server.get(unreadable).status, server.get(unreadable).etag)
    assert ["created", "external", "restored"] == operations(server, unreadable)


def test_a_dry_run_of_that_says_what_it_would_do(server, unreadable):
    answer = server.post(f"{unreadable}history/1/restore/", {"dry_run": True})

    assert {"changes": [{"path": "/strange", "from": 1}]} == answer.json


def test_replace_mends_an_unreadable_document(server, unreadable):
    answer = server.put(f"{unreadable}?replace=true", {"name": "Bea"})

    assert (200, "Bea") == (answer.status, answer.json["name"])
    assert 200 == server.get(unreadable).status


# Deadline -----------------------------------------------------------------------------------


def test_a_write_that_another_transaction_blocks_is_503_with_the_time_to_wait(house):
    with serving(house, house.User, deadline=2) as server:
        path = server.post("/user/", {"name": "Ana"}).headers["Location"]
        with get_db().client.start_session() as session, session.start_transaction():
            raw(house.User).update_one({}, {"$set": {"age": 1}}, session=session)
            answer = server.put(path, {"age": 5})
            session.abort_transaction()

        assert (503, "1") == (answer.status, answer.headers["Retry-After"])
        assert answer.problem["type"].endswith("/unavailable.html")
        assert failure(server, house.running, lines=1) == ""
        assert ["created"] == operations(server, path)
        assert 200 == server.put(path, {"age": 5}).status


# Other bodies -------------------------------------------------------------------------------


def test_a_form_is_recorded_as_json_is(house, server, ana):
    answer = server.put(ana, form={"age": "5", "home.city": "Rio"})

    assert '"2"' == answer.etag
    expected = [{"path": "/age", "to": 5}, {"path": "/home", "to": {"c": "Rio"}}]
    assert expected == last(server, ana)["changes"]


def test_a_json_patch_is_recorded(server, ana):
    patch = [{"op": "add", "path": "/age", "value": 5}]
    answer = server.patch(ana, patch, headers={"Content-Type": JSON_PATCH})

    assert '"2"' == answer.etag
    assert [{"path": "/age", "to": 5}] == last(server, ana)["changes"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"{", "application/json", 400, id="malformed"),
        pytest.param(b'{"age": "x"}', "application/json", 422, id="wrong type"),
        pytest.param(b'{"nope": 1}', "application/json", 422, id="unknown field"),
        pytest.param(b'{"$set": {"age": 1}}', "application/json", 422, id="operator"),
        pytest.param(b'{"age": NaN}', "application/json", 400, id="NaN"),
        pytest.param(b'{"age": 1' + b"0" * 400 + b"}", "application/json", 422, id="huge"),
        pytest.param(
            b'{"note": ' + b"[" * 200 + b"]" * 200 + b"}", "application/json", 400, id="deep"
        ),
        pytest.param(b"\xff\xfe", "application/json", 400, id="no UTF-8"),
        pytest.param(b"age=x", FORM, 422, id="form of a wrong type"),
        pytest.param(b"<a/>", "text/xml", 415, id="another format"),
    ],
)
def test_bad_input_is_a_problem_and_never_half_a_write(
    house, server, ana, body, content_type, status
):
    before = raw(house.User).find_one({})
    answer = server.request("PUT", ana, body, headers={"Content-Type": content_type})

    assert status == answer.status
    assert answer.problem["detail"]
    assert before == raw(house.User).find_one({})
    assert ["created"] == operations(server, ana)
