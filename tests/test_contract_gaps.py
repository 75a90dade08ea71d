"""Corners of the contract that lie between the other modules, each as a client would find it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from bson import Decimal128, ObjectId
from mongoengine import (
    DecimalField,
    DictField,
    Document,
    DynamicField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    ListField,
    ReferenceField,
    StringField,
    get_db,
)
from pymongo.errors import AutoReconnect, BulkWriteError, ExecutionTimeout, WTimeoutError

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Auditor, from_header
from bzz.audit.errors import ContextError
from bzz.errors import SetupError, TooLarge
from bzz.transactions import outcome_of, said, unanswered
from tests.audit.conftest import house, server, standing_house
from tests.house import raw, stored
from tests.support import Server

__all__ = ["house", "server", "standing_house"]


@contextmanager
def serving(house: Any, *models: Any, **options: Any):
    options.setdefault("audit", house.auditor)
    routes = flatten(
        MongoEngineRestHandler.routes_for("mongoengine", model, **options) for model in models
    )
    with Server(routes) as server:
        yield server


def created(server: Any, path: str = "/user/", **values: Any) -> str:
    answer = server.post(path, values or {"name": "Ana"})
    assert 201 == answer.status, answer
    return str(answer.headers["Location"])


def events(server: Any, path: str) -> Any:
    return server.get(f"{path}history/?order=asc").json["items"]


def take_error(*servers: Server) -> None:
    for each in servers:  # each hears of all
        each.take_errors(1)


# The past that today's model cannot load -------------------------------------------------------


@pytest.fixture
def shrunk(house):
    """A page that had a field in its first version, which its class has no more."""

    class Page(Document):
        title = StringField()
        meta = {"collection": "page"}

    with serving(house, Page) as server:
        path = created(server, "/page/", title="a")
        server.put(path, {"title": "b"})
        key = ObjectId(path.split("/")[2])
        get_db()["bzz_history"].update_one(
            {"d": key, "v": 1}, {"$push": {"c": {"p": "/old", "t": Decimal128("1.50")}}}
        )
        yield SimpleNamespace(server=server, path=path)


def test_the_past_is_shown_as_stored_where_the_model_cannot_load_it(shrunk):
    shown = shrunk.server.get(f"{shrunk.path}?at=1").json

    assert ("a", "1.50") == (shown["title"], shown["old"])


def test_the_past_is_the_same_by_either_url(shrunk):
    assert (
        shrunk.server.get(f"{shrunk.path}history/1/").json
        == shrunk.server.get(f"{shrunk.path}?at=1").json
    )


# What was deleted ------------------------------------------------------------------------------


@pytest.fixture
def zoo(house):
    class Animal(Document):
        name = StringField()
        meta = {"allow_inheritance": True, "collection": "animal"}

    class Dog(Animal):
        pass

    class Cat(Animal):
        pass

    with serving(house, Animal, Dog, Cat) as server:
        yield server


@pytest.mark.parametrize("below", ["", "history/", "history/1/", "?at=1"])
def test_a_subclass_does_not_show_what_was_another_one(zoo, below):
    path = created(zoo, "/cat/", name="Tom")
    zoo.delete(path)

    assert 404 == zoo.get(path.replace("/cat/", "/dog/") + below).status


def test_a_subclass_does_not_restore_what_was_another_one(zoo):
    path = created(zoo, "/cat/", name="Tom")
    zoo.delete(path)

    assert 404 == zoo.post(path.replace("/cat/", "/dog/") + "history/1/restore/", {}).status


@pytest.mark.parametrize("name", ["cat", "animal"])
def test_a_class_and_its_base_show_what_was_deleted(zoo, name):
    path = created(zoo, "/cat/", name="Tom")
    zoo.delete(path)

    assert 410 == zoo.get(path.replace("/cat/", f"/{name}/")).status


def test_the_answer_to_a_deleted_document_folds_no_history(house, server, monkeypatch):
    path = created(server)
    server.delete(path)
    monkeypatch.setattr(house.auditor, "last_state", None)

    assert 410 == server.get(path).status


@pytest.mark.parametrize("version", [1, 2])
def test_a_deleted_document_with_a_broken_history_is_gone(zoo, version):
    path = created(zoo, "/cat/", name="Tom")
    zoo.put(path, {"name": "Tim"})
    zoo.delete(path)
    get_db()["bzz_history"].delete_one({"v": version})

    assert (410, 410) == (zoo.get(path).status, zoo.put(path, {"name": "x"}).status)


def test_what_was_taken_away_behind_a_broken_history_is_not_shown(zoo):
    path = created(zoo, "/cat/", name="Tom")
    zoo.put(path, {"name": "Tim"})
    get_db()["animal"].delete_many({})
    get_db()["bzz_history"].delete_one({"v": 1})

    assert 404 == zoo.get(path).status


def test_a_document_is_found_in_its_past_by_an_id_of_any_type(house):
    class Part(Document):
        code = DecimalField(precision=2, force_string=True)

        @classmethod
        def get_id_field_name(cls):
            return cls.code

    with serving(house, Part) as server:
        path = created(server, "/part/", code="1.50")
        server.delete(path)

        assert (410, 200) == (server.get(path).status, server.get(f"{path}history/").status)


# Who, from where -------------------------------------------------------------------------------


def test_a_path_in_plain_utf8_is_recorded_as_a_url(house):
    class Page(Document):
        slug = StringField(primary_key=True)
        text = StringField()

    with serving(house, Page) as server:
        path = "/page/%C3%A9t%C3%A9%20x/"
        server.post("/page/", {"slug": "été x"})
        plain = path.replace("%C3%A9", "é").encode().decode("latin-1")
        server._connection._validate_path = lambda url: None
        server._connection._encode_request = lambda request: request.encode("latin-1")
        assert 200 == server.put(plain, {"text": "a"}).status
        assert 200 == server.put(path, {"text": "b"}).status

        assert [path, path] == [each["request"]["path"] for each in events(server, path)[1:]]


@pytest.fixture
def proxied(house):
    class Note(Document):
        text = StringField()

    with serving(house, Note, audit=Auditor(actor=from_header("X-User"), work=False)) as server:
        yield server


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param("ana", "ana", id="ascii"),
        pytest.param("José".encode(), "José", id="utf-8"),
        pytest.param("Jos%C3%A9", "José", id="percent-encoded"),
        pytest.param("100%", "100%", id="just a percent sign"),
        pytest.param("Jos\xe9".encode("latin-1"), "José", id="latin-1"),
    ],
)
def test_a_header_names_the_actor_as_its_sender_meant_it(proxied, sent, expected):
    path = proxied.post("/note/", {"text": "a"}, headers={"X-User": sent}).headers["Location"]

    assert {"kind": "user", "id": expected} == events(proxied, path)[0]["actor"]


@pytest.mark.parametrize("headers", [{}, {"X-User": ""}, {"X-User": " "}])
def test_without_the_header_nobody_is_named(proxied, headers):
    path = proxied.post("/note/", {"text": "a"}, headers=headers).headers["Location"]

    assert {"kind": "anonymous", "id": None} == events(proxied, path)[0]["actor"]


# References that lead nowhere ------------------------------------------------------------------


@pytest.fixture
def library(house):
    class Author(Document):
        name = StringField()

    class Book(Document):
        title = StringField()
        authors = ListField(ReferenceField(Author))
        editor = ReferenceField(Author, dbref=True)

    with serving(house, Author, Book) as server:
        ana, bob = (created(server, "/author/", name=name).split("/")[2] for name in ("a", "b"))
        book = created(server, "/book/", title="t", authors=[ana, bob], editor=ana)
        yield SimpleNamespace(server=server, Author=Author, Book=Book, ana=ana, bob=bob, book=book)


def test_a_reference_to_what_is_gone_can_be_taken_out(library):
    library.server.delete(f"/author/{library.ana}/")

    assert 204 == library.server.delete(f"{library.book}authors/{library.ana}/").status
    assert [library.bob] == library.server.get(library.book).json["authors"]


@pytest.mark.parametrize("named", [True, False], ids=["by its id", "alone"])
def test_a_single_reference_to_what_is_gone_can_be_taken_out(library, named):
    library.server.delete(f"/author/{library.ana}/")
    path = f"{library.book}editor/{library.ana}/" if named else f"{library.book}editor/"

    assert 204 == library.server.delete(path).status
    assert library.server.get(library.book).json["editor"] is None


def test_the_version_of_the_owner_guards_a_reference_that_leads_nowhere(library):
    library.server.delete(f"/author/{library.ana}/")
    path = f"{library.book}authors/{library.ana}/"

    assert 412 == library.server.delete(path, headers={"If-Match": '"7"'}).status
    assert 204 == library.server.delete(path, headers={"If-Match": '"1"'}).status


def test_a_reference_that_is_not_there_is_not_found(library):
    library.server.delete(f"/author/{library.ana}/")
    library.server.delete(f"{library.book}authors/{library.ana}/")

    assert 404 == library.server.delete(f"{library.book}authors/{library.ana}/").status
    assert 404 == library.server.delete(f"{library.book}authors/{ObjectId()}/").status


def test_a_reference_to_what_may_not_be_seen_stays(house):
    class Secret(Document):
        text = StringField()

        @staticmethod
        def get_instance_queryset(model, queryset, instance_id, handler):
            return queryset.filter(text="public")

    class Box(Document):
        secrets = ListField(ReferenceField(Secret))

    house.track(Secret, Box)
    secret = house.make(Secret, text="x")
    box = house.make(Box, secrets=[secret])
    with serving(house, Secret, Box) as server:
        assert 404 == server.delete(f"/box/{box.pk}/secrets/{secret.pk}/").status

    assert [secret.pk] == stored(box)["secrets"]


# What the database says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("db1.example.net:27017: closed", "closed", id="one"),
        pytest.param("[fe80::1]:27017: closed", "closed", id="IPv6"),
        pytest.param("db1:1: no,db2.example.net:27017: no", "no,no", id="several"),
        pytest.param("/tmp/mongodb-27017.sock: closed", "closed", id="socket"),
        pytest.param("SSL handshake failed: db1:1: no", "SSL handshake failed: no", id="prefixed"),
    ],
)
def test_clients_are_not_told_the_hosts(text, expected):
    assert expected == said(AutoReconnect(text))


def test_a_lost_connection_is_told_without_its_host_and_logged_with_it(house, caplog):
    class Note(Document):
        text = StringField()

        def clean(self):
            raise unanswered(AutoReconnect("db1.example.net:27017: closed"))

    with caplog.at_level(logging.WARNING, "bzz"), serving(house, Note) as server:
        problem = server.post("/note/", {"text": "a"}).problem
        take_error(house.running, server)

    assert problem["detail"].endswith("nothing was stored: closed")
    assert "(db1.example.net:27017: closed)" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(AutoReconnect("db1.example.net:27017: closed"), id="lost"),
        pytest.param(ExecutionTimeout("db1.example.net is slow", 50), id="too slow"),
        pytest.param(WTimeoutError("db1.example.net is slow", 64), id="of the driver"),
    ],
)
def test_a_read_without_an_answer_of_the_database_is_503(house, error):
    class Note(Document):
        text = StringField()

        @staticmethod
        def get_instance_queryset(model, queryset, instance_id, handler):
            raise error

    with serving(house, Note) as server:
        problem = server.get(f"/note/{ObjectId()}/").problem
        take_error(house.running, server)

    assert (503, False) == (problem["status"], "example.net" in problem["detail"])


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("levels", [178, 190, 250], ids=["event", "document", "command"])
def test_what_is_nested_deeper_than_the_server_stores_is_too_large(house, levels):
    house.track(house.User)

    with pytest.raises(TooLarge, match="nested too deep: MongoDB stores 180 levels"):
        house.make(name="Ana", note=nested(levels))

    assert 0 == raw(house.User).count_documents({})


def test_one_event_of_many_that_is_nested_too_deep_is_told_apart(house):
    error = BulkWriteError({"writeErrors": [{"index": 1, "code": 15, "errmsg": "180 nesting"}]})

    assert isinstance(outcome_of(error), TooLarge)


def test_a_document_that_gets_too_deep_over_http_is_413_and_unchanged(house):
    class Tree(Document):
        top = DynamicField()
        name = StringField()

        def clean(self):
            if self.name == "deep":
                self.top = nested(178)

    with serving(house, Tree) as server:
        path = created(server, "/tree/", name="a")

        assert "too-large" in server.put(path, {"name": "deep"}).problem["type"]
        assert ("a", '"1"') == (server.get(path).json["name"], server.get(path).etag)


# Hidden since ----------------------------------------------------------------------------------


@pytest.fixture
def safe(house):
    """A model whose documents had values in fields that are hidden by now."""

    class Home(EmbeddedDocument):
        city = StringField()
        pin = StringField()

    class Safe(Document):
        name = StringField()
        secret = StringField()
        home = EmbeddedDocumentField(Home)
        homes = ListField(EmbeddedDocumentField(Home))
        more = DictField()

    with serving(house, Safe) as server:
        home = {"city": "Rio", "pin": "p1"}
        path = created(server, "/safe/", name="a", secret="s1", home=home, homes=[home, home])
        house.auditor.track(Safe, exclude=["secret", "home.pin", "homes.pin"])
        yield SimpleNamespace(server=server, path=path, Safe=Safe, auditor=house.auditor)


def test_what_is_hidden_since_is_not_repeated_by_the_next_event(safe):
    safe.server.put(safe.path, {"name": "b"})

    last = get_db()["bzz_history"].find_one(sort=[("v", -1)])
    assert b"s1" not in bytes(str(last), "utf-8")
    assert b"p1" not in bytes(str(last), "utf-8")


def test_hiding_a_field_is_no_write_round_bzz(safe):
    safe.server.put(safe.path, {"name": "b"})

    assert ["created", "updated"] == [e["operation"] for e in events(safe.server, safe.path)]


def test_hiding_a_field_leaves_the_version_its_tag(safe):
    assert '"1"' == safe.server.get(safe.path).etag
    assert 200 == safe.server.put(safe.path, {"name": "b"}, headers={"If-Match": '"1"'}).status


def test_a_write_round_bzz_is_found_after_a_field_was_hidden(safe):
    raw(safe.Safe).update_one({}, {"$set": {"name": "x", "secret": "s2"}})
    safe.server.put(safe.path, {"name": "b"})

    *_, external, _ = events(safe.server, safe.path)
    assert "external" == external["operation"]
    assert [{"path": "/name", "from": "a", "to": "x"}] == external["changes"]


@pytest.mark.parametrize("below", ["history/", "history/1/", "history/1/?view=event", "?at=1"])
def test_no_page_shows_what_is_hidden_since(safe, below):
    shown = safe.server.get(safe.path + below).body

    assert b"Rio" in shown
    assert b"s1" not in shown
    assert b"p1" not in shown


def test_what_was_hidden_in_between_can_be_replayed(safe):
    safe.server.put(safe.path, {"home": None, "homes": []})
    safe.server.put(safe.path, {"home": {"city": "Porto", "pin": "p2"}})
    safe.auditor.track(safe.Safe)
    safe.server.put(safe.path, {"name": "c"})
    history = safe.auditor.history(safe.Safe, safe.path.split("/")[2])

    cities = [history.state_at(n).get("home", {}).get("city") for n in range(1, 6)]
    assert ["Rio", None, "Porto", "Porto", "Porto"] == cities


def test_a_restore_leaves_what_is_hidden_since_as_it_is(safe):
    safe.server.put(safe.path, {"name": "b", "secret": "s2"})

    assert 201 == safe.server.post(f"{safe.path}history/1/restore/", {}).status
    found = raw(safe.Safe).find_one()
    assert ("a", "s2", "p1") == (found["name"], found["secret"], found["home"]["pin"])


# What is refused at once -----------------------------------------------------------------------


@pytest.mark.parametrize("within", [False, True], ids=["alone", "within a write"])
def test_a_coroutine_function_is_no_write(house, within):
    async def work() -> None:
        raise AssertionError

    def write() -> Any:
        return house.auditor.write(work)

    house.track(house.User)
    with pytest.raises(TypeError, match="runs a plain function"):
        house.write(write) if within else write()


@pytest.mark.parametrize(
    ("context", "message"),
    [
        pytest.param({"reason": 5}, "The reason is of the type int; it is a text.", id="reason"),
        pytest.param(
            {"correlation": "x" * 257},
            "The correlation id has 257 characters; at most 256 are kept.",
            id="correlation",
        ),
    ],
)
def test_code_cannot_record_what_a_request_cannot(house, context, message):
    house.track(house.User)
    with pytest.raises(ContextError, match=message):
        house.auditor.write(lambda: None, **context)


@pytest.mark.parametrize("segment", ["", ".", "..", "a/b"])
def test_a_segment_that_no_path_has_is_refused(segment):
    with pytest.raises(SetupError, match="The segment of history routes is one of a path"):
        Auditor(segment=segment)


def test_a_model_whose_registration_was_refused_can_be_registered_with_the_remedy(house):
    class Lesson(Document):
        history = StringField()

    with pytest.raises(SetupError, match="choose another"):
        MongoEngineRestHandler.routes_for("mongoengine", Lesson, audit=house.auditor)

    with serving(house, Lesson, audit=Auditor(segment="past")) as server:
        path = created(server, "/lesson/", history="a")
        assert 200 == server.get(f"{path}past/").status


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"max_body": "1"}, "max_body is a number of bytes, not '1'", id="max_body"),
        pytest.param({"deadline": 0}, "deadline is a number of seconds, not 0", id="deadline"),
    ],
)
def test_options_that_cannot_be_are_refused(house, options, message):
    with pytest.raises(SetupError, match=message):
        MongoEngineRestHandler.routes_for("mongoengine", house.User, **options)


def test_what_has_no_documents_is_not_tracked(house):
    with pytest.raises(SetupError, match="has no documents of its own: track a Document class"):
        house.auditor.track(house.Address)


def test_one_name_may_be_hidden_without_a_list(house):
    house.auditor.track(house.User, exclude="pin")

    assert house.auditor.hidden(house.User).covers(("pin",))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_malformed_precondition_comes_after_404_and_410(house, server, method):
    path, other = created(server), created(server)
    server.delete(other)
    headers = {"If-Match": "7"}
    body = None if method == "DELETE" else "{}"
    paths = [path, other, f"/user/{ObjectId()}/"]

    answers = [server.request(method, each, body, headers=headers).status for each in paths]
    assert [400, 410, 404] == answers


def test_a_malformed_precondition_of_a_restore_changes_nothing(server):
    path = created(server)
    server.put(path, {"age": 1})

    answer = server.post(f"{path}history/1/restore/", {}, headers={"If-Match": "1"})
    assert (400, '"2"') == (answer.status, server.get(path).etag)


def test_a_malformed_precondition_of_a_create_is_told(server):
    assert 400 == server.post("/user/", {"name": "a"}, headers={"If-Match": "1"}).status
