"""What a model and a handler of an application may decide: ids, shape, visibility, permission."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import tornado.web
from mongoengine import (
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    ListField,
    ReferenceField,
    StringField,
)

from bzz import MongoEngineRestHandler
from tests.house import own_receivers, own_registry
from tests.people import serving, stored


@pytest.fixture(autouse=True)
def registry(mock_database: Any) -> Iterator[None]:
    with own_registry(), own_receivers():
        yield


# get_id_field_name


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda cls: cls.slug, id="the field"),
        pytest.param(lambda cls: "slug", id="its name"),
    ],
)
def test_urls_use_the_field_that_the_model_names(answer: Any) -> None:
    class City(Document):
        slug = StringField(unique=True)
        name = StringField()
        get_id_field_name = classmethod(answer)

    with serving(City) as server:
        created = server.post("/city/", {"slug": "rio de janeiro", "name": "Rio"})
        place = created.headers["Location"]
        changed = server.put(place, {"id": "rio de janeiro", "name": "Rio!"})
        deleted = server.delete(place)

    assert "/city/rio%20de%20janeiro/" == place
    assert {"id": "rio de janeiro", "slug": "rio de janeiro", "name": "Rio!"} == changed.json
    assert 204 == deleted.status


def test_the_field_that_urls_use_may_change() -> None:
    class City(Document):
        slug = StringField()

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.slug

    City(slug="rio").save()
    with serving(City) as server:
        statuses = [
            server.put("/city/rio/", {"slug": "sao"}).status,
            server.get("/city/rio/").status,
            server.get("/city/sao/").status,
        ]

    assert [200, 404, 200] == statuses


def test_a_field_that_urls_use_cannot_become_what_no_url_can_hold() -> None:
    class City(Document):
        slug = StringField()

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.slug

    City(slug="rio").save()
    with serving(City) as server:
        answer = server.put("/city/rio/", {"slug": ".."})

    assert "An id may be any text but '', '.' and '..'." == answer.problem["detail"]


def test_a_reference_may_be_the_primary_key() -> None:
    class Person(Document):
        name = StringField()

    class Passport(Document):
        person = ReferenceField(Person, primary_key=True)
        number = StringField()

    ana = Person(name="Ana").save()
    with serving(Passport, Person) as server:
        created = server.post("/passport/", {"person": str(ana.pk), "number": "1"})
        followed = server.get(f"/passport/{ana.pk}/")

    assert (201, f"/passport/{ana.pk}/") == (created.status, created.headers["Location"])
    assert (200, str(ana.pk)) == (followed.status, followed.json["id"])


# to_dict


def test_a_model_may_have_a_form_of_its_own() -> None:
    class User(Document):
        name = StringField()

        def to_dict(self) -> Any:
            return {"called": self.name, "pk": self.pk}

    with serving(User) as server:
        created = server.post("/user/", {"name": "Ana"})
        place = created.headers["Location"]
        pk = created.headers["X-Created-Id"]
        shown = [created.json, server.get(place).json, server.get("/user/").json["items"][0]]
        chosen = server.get("/user/?fields=called").json["items"]

    assert [{"called": "Ana", "pk": pk}] * 3 == shown
    assert [{"called": "Ana"}] == chosen


def test_an_embedded_document_may_have_a_form_of_its_own() -> None:
    class Home(EmbeddedDocument):
        street = StringField()

        def to_dict(self) -> Any:
            return f"at {self.street}"

    class User(Document):
        home = EmbeddedDocumentField(Home)

    user = User(home=Home(street="A")).save()
    with serving(User) as server:
        shown = (
            server.get(f"/user/{user.pk}/").json["home"],
            server.get(f"/user/{user.pk}/home/").json,
        )

    assert ("at A", "at A") == shown


# The queryset hooks


def guarded() -> Any:
    class Letter(Document):
        owner = StringField()
        text = StringField()

        def get_instance_queryset(model: Any, queryset: Any, instance_id: Any, handler: Any) -> Any:
            return queryset.filter(owner=handler.request.headers.get("X-User"))

        @classmethod
        def get_list_queryset(cls, queryset: Any, handler: Any) -> Any:
            return queryset.filter(owner=handler.request.headers.get("X-User"))

    return Letter


def test_a_list_shows_what_may_be_seen() -> None:
    letter = guarded()
    letter(owner="ana", text="a").save()
    letter(owner="ben", text="b").save()
    with serving(letter) as server:
        answer = server.get("/letter/", headers={"X-User": "ana"})

    assert ["a"] == [each["text"] for each in answer.json["items"]]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_may_not_be_seen_is_not_there(method: str) -> None:
    letter = guarded()
    hers = letter(owner="ana", text="a").save()
    body = {"text": "x"} if method in ("PUT", "PATCH") else None
    with serving(letter) as server:
        answer = server.request(method, f"/letter/{hers.pk}/", json=body, headers={"X-User": "ben"})

    assert (404, "a") == (answer.problem["status"], stored(hers)["text"])


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("nothing", [lambda every: every.none(), lambda every: every[0:0]])
def test_nothing_is_there_for_whom_the_hook_gives_no_documents(method: str, nothing: Any) -> None:
    letter = guarded()
    letter.get_instance_queryset = staticmethod(lambda model, every, id, handler: nothing(every))
    hers = letter(owner="ana", text="a").save()
    body = {"text": "x"} if method in ("PUT", "PATCH") else None
    with serving(letter) as server:
        answer = server.request(method, f"/letter/{hers.pk}/", json=body)

    assert (404, "a") == (answer.problem["status"], stored(hers)["text"])


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_what_may_be_seen_is_there(method: str) -> None:
    letter = guarded()
    hers = letter(owner="ana", text="a").save()
    body = {"text": "x"} if method in ("PUT", "PATCH") else None
    with serving(letter) as server:
        answer = server.request(method, f"/letter/{hers.pk}/", json=body, headers={"X-User": "ana"})

    assert answer.status in (200, 204)


@pytest.mark.parametrize("named", [False, True], ids=["by primary key", "by a named id"])
def test_what_may_not_be_seen_is_not_reached_through_a_reference(named: bool) -> None:
    class Secret(Document):
        slug = StringField()
        owner = StringField()

        @classmethod
        def get_id_field_name(cls) -> Any:
            return cls.slug if named else cls.id

        @classmethod
        def get_list_queryset(cls, queryset: Any, handler: Any) -> Any:
            return queryset.filter(owner=handler.request.headers.get("X-User"))

        def get_instance_queryset(model: Any, queryset: Any, instance_id: Any, handler: Any) -> Any:
            return queryset.filter(owner=handler.request.headers.get("X-User"))

    class Box(Document):
        secrets = ListField(ReferenceField(Secret))
        main = ReferenceField(Secret)

    secret = Secret(slug="s", owner="ana").save()
    box, other = Box(secrets=[secret], main=secret).save(), Box().save()
    key = "s" if named else str(secret.pk)
    paths = [f"/box/{box.pk}/secrets/{key}/", f"/box/{box.pk}/main/", f"/box/{box.pk}/main/{key}/"]
    with serving(Box, Secret) as server:
        seen = [server.get(each, headers={"X-User": "ana"}).status for each in paths]
        unseen = [server.get(each, headers={"X-User": "ben"}).status for each in paths]
        listed = server.get(f"/box/{box.pk}/secrets/", headers={"X-User": "ben"}).json["items"]
        associated = server.post(
            f"/box/{other.pk}/secrets/", {"id": key}, headers={"X-User": "ben"}
        ).status

    assert ([200] * 3, [404] * 3, [], 422) == (seen, unseen, listed, associated)


# may


class Keeper(MongoEngineRestHandler):
    """Notes what it is asked, and refuses what a header names."""

    asked: list[Any]

    def may(self, action: str, model: Any, pk: Any) -> bool:
        self.asked.append((action, model.__name__, pk))
        return f"{action} {model.__name__}" != self.request.headers.get("X-Refuse")


class AsyncKeeper(Keeper):
    """The same as a coroutine."""

    async def may(self, action: str, model: Any, pk: Any) -> bool:  # type: ignore[override]
        return super().may(action, model, pk)


class World:
    """A team with one user, served by a keeper."""

    def __init__(self) -> None:
        class Pet(EmbeddedDocument):
            name = StringField()

            @classmethod
            def get_id_field_name(cls) -> Any:
                return cls.name

        class User(Document):
            name = StringField()
            pets = EmbeddedDocumentListField(Pet)

        class Team(Document):
            users = ListField(ReferenceField(User))

        self.ana = User(name="Ana", pets=[Pet(name="Rex")]).save()
        self.ben = User(name="Ben").save()
        self.team = Team(users=[self.ana]).save()
        self.models = (Team, User)

    def path(self, path: str) -> str:
        return path.format(ana=self.ana.pk, ben=self.ben.pk, team=self.team.pk)


BEN = {"id": "{ben}"}

REQUESTS = [
    pytest.param("GET", "/user/", None, ["list User None"], id="a list"),
    pytest.param("POST", "/user/", {"name": "C"}, ["create User None"], id="a create"),
    pytest.param("GET", "/user/{ana}/", None, ["read User {ana}"], id="a read"),
    pytest.param("HEAD", "/user/{ana}/", None, ["read User {ana}"], id="a head"),
    pytest.param("PUT", "/user/{ana}/", {"name": "C"}, ["update User {ana}"], id="a put"),
    pytest.param("PATCH", "/user/{ana}/", {"name": "C"}, ["update User {ana}"], id="a patch"),
    pytest.param("DELETE", "/user/{ben}/", None, ["delete User {ben}"], id="a delete"),
    pytest.param(
        "GET",
        "/team/{team}/users/",
        None,
        ["read Team {team}", "list User None"],
        id="a nested list",
    ),
    pytest.param(
        "GET",
        "/team/{team}/users/{ana}/pets/Rex/",
        None,
        ["read Team {team}", "read User {ana}"],
        id="a deep read",
    ),
    pytest.param(
        "POST",
        "/team/{team}/users/",
        {"name": "C"},
        ["update Team {team}", "create User None"],
        id="a nested create",
    ),
    pytest.param(
        "POST",
        "/team/{team}/users/",
        BEN,
        ["update Team {team}", "read User {ben}"],
        id="an association",
    ),
    pytest.param(
        "PUT",
        "/team/{team}/users/{ana}/",
        {"name": "C"},
        ["read Team {team}", "update User {ana}"],
        id="a nested put",
    ),
    pytest.param(
        "POST",
        "/team/{team}/users/{ana}/pets/",
        {"name": "C"},
        ["read Team {team}", "update User {ana}"],
        id="a deep create",
    ),
    pytest.param(
        "DELETE", "/team/{team}/users/{ana}/", None, ["update Team {team}"], id="a nested delete"
    ),
]


def sent(world: World, body: Any) -> Any:
    return {"id": str(world.ben.pk)} if body is BEN else body


@pytest.mark.parametrize("handler", [Keeper, AsyncKeeper], ids=["plain", "coroutine"])
@pytest.mark.parametrize(("method", "path", "body", "expected"), REQUESTS)
def test_may_is_asked_for_all_that_is_about_to_be_done(
    method: str, path: str, body: Any, expected: list[str], handler: Any
) -> None:
    world = World()
    handler.asked = []
    with serving(*world.models, handler=handler) as server:
        answer = server.request(method, world.path(path), json=sent(world, body))

    assert answer.status < 300
    assert [world.path(each) for each in expected] == [
        " ".join(map(str, each)) for each in handler.asked
    ]


@pytest.mark.parametrize(("method", "path", "body", "expected"), REQUESTS)
def test_each_of_it_can_be_refused(method: str, path: str, body: Any, expected: list[str]) -> None:
    world = World()
    Keeper.asked = []
    before = [stored(world.ana), stored(world.ben), stored(world.team)]
    statuses = []
    with serving(*world.models, handler=Keeper) as server:
        for each in expected:
            refused = {"X-Refuse": each.rpartition(" ")[0]}
            answer = server.request(
                method, world.path(path), json=sent(world, body), headers=refused
            )
            statuses.append(answer.status)

    assert [403] * len(expected) == statuses
    assert before == [stored(world.ana), stored(world.ben), stored(world.team)]


def test_ids_are_typed_when_may_is_asked() -> None:
    world = World()
    Keeper.asked = []
    with serving(*world.models, handler=Keeper) as server:
        server.get(f"/user/{world.ana.pk}/")

    assert [("read", "User", world.ana.pk)] == Keeper.asked


def test_may_is_asked_before_it_is_known_whether_the_document_is_there() -> None:
    world = World()
    Keeper.asked = []
    with serving(*world.models, handler=Keeper) as server:
        answer = server.get(f"/user/{world.team.pk}/", headers={"X-Refuse": "read User"})

    assert 403 == answer.problem["status"]


# A handler of an application


def test_prepare_and_the_current_user_of_a_subclass_guard_its_routes() -> None:
    class Guarded(MongoEngineRestHandler):
        def get_current_user(self) -> str | None:
            return self.request.headers.get("X-User")

        async def prepare(self) -> None:
            if self.current_user is None:
                raise tornado.web.HTTPError(401, reason="Who are you?")

        def may(self, action: str, model: Any, pk: Any) -> bool:
            return bool(self.current_user == "ana")

    class Page(Document):
        pass

    with serving(Page, handler=Guarded) as server:
        answers = [
            server.get("/page/"),
            server.get("/page/", headers={"X-User": "ben"}),
            server.get("/page/", headers={"X-User": "ana"}),
        ]

    assert [401, 403, 200] == [each.status for each in answers]
    assert "Who are you?" == answers[0].problem["detail"]


def test_default_headers_of_a_subclass_are_on_every_answer() -> None:
    class Marked(MongoEngineRestHandler):
        def set_default_headers(self) -> None:
            self.set_header("X-Mark", "1")

    class Page(Document):
        pass

    with serving(Page, handler=Marked) as server:
        answers = [server.get("/page/"), server.get("/page/x/"), server.request("BREW", "/page/")]

    assert ["1", "1", "1"] == [each.headers["X-Mark"] for each in answers]


def test_an_application_may_write_its_errors_itself() -> None:
    class Plain(MongoEngineRestHandler):
        def write_error(self, status_code: int, **kwargs: Any) -> None:
            self.finish(f"{status_code}!")

    class Page(Document):
        pass

    with serving(Page, handler=Plain) as server:
        answer = server.get("/page/x/")

    assert (404, b"404!") == (answer.status, answer.body)


# Blocking work


def test_a_slow_save_does_not_keep_others_waiting() -> None:
    entered, released = threading.Event(), threading.Event()

    class Slow(Document):
        name = StringField()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            entered.set()
            assert released.wait(10)
            return super().save(*args, **kwargs)

    class Page(Document):
        pass

    answers: list[int] = []
    with serving(Slow, Page) as server, closing(server.client()) as client:
        slow = threading.Thread(
            target=lambda: answers.append(client.post("/slow/", {"name": "a"}).status)
        )
        slow.start()
        assert entered.wait(10)
        quick = server.get("/page/").status, list(answers)
        released.set()
        slow.join(10)

    assert ((200, []), [201]) == (quick, answers)
