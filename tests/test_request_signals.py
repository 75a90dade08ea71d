"""The signals that real requests send: to whom, when, with what, and what receivers can do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import tornado.web
from mongoengine import Document, IntField, StringField

from bzz import signals
from bzz.signals import (
    before_commit,
    post_create_instance,
    post_delete_instance,
    post_get_instance,
    post_get_list,
    post_update_instance,
    pre_create_instance,
    pre_delete_instance,
    pre_get_instance,
    pre_get_list,
    pre_update_instance,
)
from tests.house import SIGNALS
from tests.people import People, served, serving, stored

PRE = [each for each in SIGNALS if each.name.startswith("pre_")]
POST = [each for each in SIGNALS if each.name.startswith("post_")]


@pytest.fixture
def people(mock_database: Any) -> Iterator[People]:
    with served() as world:
        yield world


@pytest.fixture
def ana(people: People) -> Any:
    return people.make(
        name="Ana", age=30, home={"street": "A", "city": "Rio"}, pets=[{"name": "Rex"}]
    )


@pytest.fixture
def team(people: People, ana: Any) -> Any:
    return people.make(people.Team, users=[ana], lead=ana)


@pytest.fixture
def heard(people: People) -> list[tuple[str, str]]:
    """The signals that were sent, in order, each with the name of its sender."""
    sent: list[tuple[str, str]] = []

    def listen(signal: Any) -> Any:
        def receiver(sender: Any) -> None:
            sent.append((signal.name, sender.__name__))

        return receiver

    for signal in [*PRE, *POST]:
        signal.connect(listen(signal), weak=False)
    return sent


def send(people: People, ana: Any, team: Any, method: str, path: str, body: Any) -> Any:
    where = path.format(ana=ana.pk, team=team.pk)
    return people.server.request(method, where, json=body)


# Which, and from whom


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        pytest.param(
            "GET",
            "/user/",
            None,
            [("pre_get_list", "User"), ("post_get_list", "User")],
            id="a list",
        ),
        pytest.param(
            "GET",
            "/user/{ana}/",
            None,
            [("pre_get_instance", "User"), ("post_get_instance", "User")],
            id="a read",
        ),
        pytest.param(
            "POST",
            "/user/",
            {"name": "B"},
            [("pre_create_instance", "User"), ("post_create_instance", "User")],
            id="a create",
        ),
        pytest.param(
            "PUT",
            "/user/{ana}/",
            {"age": 1},
            [("pre_update_instance", "User"), ("post_update_instance", "User")],
            id="a put",
        ),
        pytest.param(
            "PATCH",
            "/user/{ana}/",
            {"age": 1},
            [("pre_update_instance", "User"), ("post_update_instance", "User")],
            id="a patch",
        ),
        pytest.param(
            "DELETE",
            "/user/{ana}/",
            None,
            [("pre_delete_instance", "User"), ("post_delete_instance", "User")],
            id="a delete",
        ),
        pytest.param(
            "POST",
            "/team/{team}/users/",
            {"name": "B"},
            [
                ("pre_update_instance", "Team"),
                ("pre_create_instance", "User"),
                ("post_create_instance", "User"),
                ("post_update_instance", "Team"),
            ],
            id="a nested create",
        ),
        pytest.param(
            "PUT",
            "/team/{team}/users/{ana}/",
            {"age": 1},
            [
                ("pre_get_instance", "Team"),
                ("pre_update_instance", "User"),
                ("post_update_instance", "User"),
            ],
            id="a nested put",
        ),
        pytest.param(
            "DELETE",
            "/team/{team}/users/{ana}/",
            None,
            [("pre_update_instance", "Team"), ("post_update_instance", "Team")],
            id="a nested delete",
        ),
        pytest.param(
            "POST",
            "/user/{ana}/pets/",
            {"name": "B"},
            [("pre_update_instance", "User"), ("post_update_instance", "User")],
            id="an embedded create",
        ),
        pytest.param(
            "GET",
            "/user/{ana}/pets/Rex/",
            None,
            [("pre_get_instance", "User"), ("post_get_instance", "User")],
            id="an embedded read",
        ),
        pytest.param(
            "GET",
            "/team/{team}/users/",
            None,
            [("pre_get_instance", "Team"), ("pre_get_list", "User"), ("post_get_list", "User")],
            id="a nested list",
        ),
        pytest.param("OPTIONS", "/user/", None, [], id="options"),
    ],
)
def test_a_request_sends_its_signals(
    people: People,
    ana: Any,
    team: Any,
    heard: Any,
    method: str,
    path: str,
    body: Any,
    expected: list[tuple[str, str]],
) -> None:
    answer = send(people, ana, team, method, path, body)

    assert answer.status < 300
    assert expected == heard


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", "/user/{ana}/", {"age": 30}, id="the same values"),
        pytest.param("PUT", "/user/{ana}/", {}, id="nothing"),
        pytest.param("PATCH", "/user/{ana}/", {"home": {"city": "Rio"}}, id="the same inside"),
        pytest.param("PUT", "/user/{ana}/", {"score": None}, id="null for what is not there"),
        pytest.param("POST", "/team/{team}/users/", "associate", id="an association that is there"),
    ],
)
def test_a_write_that_changes_nothing_sends_no_signal_after_it(
    people: People, ana: Any, team: Any, heard: Any, method: str, path: str, body: Any
) -> None:
    body = {"id": str(ana.pk)} if body == "associate" else body
    answer = send(people, ana, team, method, path, body)

    assert answer.status in (200, 201)
    assert [] == [name for name, _ in heard if name.startswith("post_")]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("POST", "/user/", {"age": "x"}, id="invalid input"),
        pytest.param("POST", "/user/", {"age": 1}, id="an invalid document"),
        pytest.param("PUT", "/user/{team}/", {"age": 1}, id="not there"),
    ],
)
def test_a_write_that_fails_sends_no_signal_after_it(
    people: People, ana: Any, team: Any, heard: Any, method: str, path: str, body: Any
) -> None:
    answer = send(people, ana, team, method, path, body)

    assert 400 <= answer.status < 500
    assert [] == [name for name, _ in heard if name.startswith("post_")]


# With what


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/user/", ["user"], id="a list"),
        pytest.param("/user/{ana}/", ["user/{ana}"], id="a document"),
        pytest.param(
            "/team/{team}/users/{ana}/", ["team/{team}", "users/{ana}"], id="a nested document"
        ),
        pytest.param("/team/{team}/lead/", ["team/{team}", "lead"], id="a single reference"),
        pytest.param(
            "/team/{team}/users/{ana}/pets/Rex/",
            ["team/{team}", "users/{ana}", "pets/Rex"],
            id="a deep item",
        ),
    ],
)
def test_arguments_are_the_parts_of_the_url(
    people: People, ana: Any, team: Any, path: str, expected: list[str]
) -> None:
    seen: list[list[str]] = []

    def receiver(arguments: list[str]) -> None:
        seen.append(arguments)

    with pre_get_instance.connected_to(receiver), pre_get_list.connected_to(receiver):
        send(people, ana, team, "GET", path, None)

    assert [each.format(ana=ana.pk, team=team.pk) for each in expected] == seen[-1]


def test_a_receiver_is_given_the_instance_and_the_handler(people: People) -> None:
    seen: list[Any] = []

    def receiver(handler: Any, instance: Any) -> None:
        seen.extend([instance.name, type(instance), handler.request.method])

    with post_create_instance.connected_to(receiver):
        people.server.post("/user/", {"name": "Ana"})

    assert ["Ana", people.User, "POST"] == seen


def test_a_receiver_of_everything_is_given_all_that_is_named(people: People, ana: Any) -> None:
    seen: list[Any] = []

    def receiver(**everything: Any) -> None:
        seen.append(sorted(everything))

    with post_update_instance.connected_to(receiver, sender=people.User):
        people.server.put(f"/user/{ana.pk}/", {"age": 31})

    assert [["handler", "instance", "sender", "updated_fields"]] == seen


def test_an_unaudited_write_has_no_event(people: People) -> None:
    seen: list[Any] = []

    def receiver(event: Any) -> None:
        seen.append(event)

    with post_create_instance.connected_to(receiver):
        people.server.post("/user/", {"name": "Ana"})

    assert [None] == seen


def test_a_read_list_is_given_as_instances(people: People, ana: Any) -> None:
    seen: list[Any] = []

    def receiver(items: Any) -> None:
        seen.extend(items)

    with post_get_list.connected_to(receiver):
        people.server.get("/user/")

    assert [ana] == seen


def test_a_read_item_is_given_as_the_embedded_document(people: People, ana: Any) -> None:
    seen: list[Any] = []

    def receiver(instance: Any) -> None:
        seen.append(instance)

    with post_get_instance.connected_to(receiver):
        people.server.get(f"/user/{ana.pk}/pets/Rex/")

    assert ana.pets == seen


def test_a_deleted_instance_is_given_as_it_was(people: People, ana: Any) -> None:
    seen: list[Any] = []

    def receiver(instance: Any) -> None:
        seen.append((instance.pk, instance.name))

    with post_delete_instance.connected_to(receiver):
        people.server.delete(f"/user/{ana.pk}/")

    assert [(ana.pk, "Ana")] == seen


def test_a_receiver_of_one_model_does_not_hear_another(people: People) -> None:
    seen: list[Any] = []

    def receiver(sender: Any) -> None:
        seen.append(sender)

    with post_create_instance.connected_to(receiver, sender=people.Page):
        people.server.post("/user/", {"name": "Ana"})
        people.server.post("/page/", {"slug": "a"})

    assert [people.Page] == seen


# updated_fields


@pytest.fixture
def updates() -> Iterator[list[Any]]:
    seen: list[Any] = []

    def receiver(updated_fields: Any) -> None:
        seen.append(updated_fields)

    with post_update_instance.connected_to(receiver):
        yield seen


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"age": 31}, {"age": {"from": 30, "to": 31}}, id="a field"),
        pytest.param(
            {"age": 31, "name": "Ana"}, {"age": {"from": 30, "to": 31}}, id="only changed"
        ),
        pytest.param({"age": None}, {"age": {"from": 30, "to": None}}, id="unset"),
        pytest.param({"score": 1}, {"score": {"from": None, "to": 1.0}}, id="set"),
        pytest.param(
            {"home": {"street": "A", "city": "X"}},
            {"home.city": {"from": "Rio", "to": "X"}},
            id="inside an embedded document",
        ),
        pytest.param({"tags": ["a"]}, {"tags": {"from": [], "to": ["a"]}}, id="a list"),
        pytest.param(
            {"pets": [{"name": "Tom"}]},
            {"pets": {"from": [{"name": "Rex"}], "to": [{"name": "Tom"}]}},
            id="a list of embedded documents",
        ),
        pytest.param(
            {"born": "2024-05-01T10:00:00Z"},
            {"born": {"from": None, "to": datetime(2024, 5, 1, 10)}},
            id="typed",
        ),
    ],
)
def test_updated_fields_are_what_really_changed(
    people: People, ana: Any, updates: Any, body: Any, expected: Any
) -> None:
    people.server.put(f"/user/{ana.pk}/", body)

    assert [expected] == updates


def test_references_in_updated_fields_are_ids(people: People, team: Any, updates: Any) -> None:
    ben = people.make(name="Ben")
    people.server.put(f"/team/{team.pk}/", {"lead": str(ben.pk), "users": []})
    lead = team.lead.pk

    assert [{"lead": {"from": lead, "to": ben.pk}, "users": {"from": [lead], "to": []}}] == updates


def test_a_change_of_an_embedded_item_is_one_of_its_owner(
    people: People, ana: Any, updates: Any
) -> None:
    people.server.put(f"/user/{ana.pk}/home/", {"street": "B"})

    assert [{"home.street": {"from": "A", "to": "B"}}] == updates


def test_what_save_and_clean_change_is_among_updated_fields(people: People, updates: Any) -> None:
    class Article(Document):
        title = StringField()
        slug = StringField()
        saves = IntField(default=0)

        def clean(self) -> None:
            self.slug = self.title.lower()

        def save(self, *args: Any, **kwargs: Any) -> Any:
            self.saves += 1
            return super().save(*args, **kwargs)

    article = Article(title="A").save()
    with serving(Article) as server:
        answer = server.put(f"/article/{article.pk}/", {"title": "B"})

    assert ("b", 2) == (answer.json["slug"], answer.json["saves"])
    assert [
        {
            "title": {"from": "A", "to": "B"},
            "slug": {"from": "a", "to": "b"},
            "saves": {"from": 1, "to": 2},
        }
    ] == updates


# Refusal


@pytest.mark.parametrize(
    ("signal", "method", "path", "body"),
    [
        pytest.param(pre_get_list, "GET", "/user/", None, id="a list"),
        pytest.param(pre_get_instance, "GET", "/user/{ana}/", None, id="a read"),
        pytest.param(pre_create_instance, "POST", "/user/", {"name": "B"}, id="a create"),
        pytest.param(pre_update_instance, "PUT", "/user/{ana}/", {"age": 1}, id="a put"),
        pytest.param(pre_update_instance, "PATCH", "/user/{ana}/", {"age": 1}, id="a patch"),
        pytest.param(pre_delete_instance, "DELETE", "/user/{ana}/", None, id="a delete"),
    ],
)
@pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])
def test_a_receiver_before_a_request_refuses_it(
    people: People,
    ana: Any,
    team: Any,
    signal: Any,
    method: str,
    path: str,
    body: Any,
    coroutine: bool,
) -> None:
    def refuse(sender: Any) -> None:
        raise tornado.web.HTTPError(402, reason="Pay first")

    async def refuse_later(sender: Any) -> None:
        refuse(sender)

    before = stored(ana)
    with signal.connected_to(refuse_later if coroutine else refuse):
        answer = send(people, ana, team, method, path, body)

    assert (402, "Pay first") == (answer.problem["status"], answer.problem["detail"])
    assert (before, 1) == (stored(ana), people.User.objects.count())


def test_a_receiver_before_a_request_that_fails_is_a_failure(people: People) -> None:
    def broken(sender: Any) -> None:
        raise RuntimeError("broken")

    with pre_create_instance.connected_to(broken):
        answer = people.server.post("/user/", {"name": "A"})
        people.server.take_errors()

    assert (500, 0) == (answer.problem["status"], people.User.objects.count())


async def waits_for_what_was_cancelled() -> None:
    other = asyncio.create_task(asyncio.sleep(0))
    other.cancel()
    await other


def test_a_receiver_before_a_request_that_is_cancelled_by_itself_is_a_failure(
    people: People,
) -> None:
    with pre_create_instance.connected_to(waits_for_what_was_cancelled):
        answer = people.server.post("/user/", {"name": "A"})
        people.server.take_errors()

    assert (500, 0) == (answer.problem["status"], people.User.objects.count())


# After the commit


def test_a_receiver_after_the_commit_that_is_cancelled_by_itself_changes_nothing(
    people: People,
) -> None:
    with post_create_instance.connected_to(waits_for_what_was_cancelled):
        answer = people.server.post("/user/", {"name": "A"})
        people.server.take_errors(1)

    assert 201 == answer.status


def test_a_receiver_that_fails_after_the_commit_changes_nothing(people: People) -> None:
    heard: list[str] = []

    def broken(instance: Any) -> None:
        raise RuntimeError("broken")

    async def broken_later(instance: Any) -> None:
        raise tornado.web.HTTPError(418)

    def other(instance: Any) -> None:
        heard.append(instance.name)

    for receiver in (broken, broken_later, other):
        post_create_instance.connect(receiver, weak=False)
    answer = people.server.post("/user/", {"name": "Ana"})
    logged = people.server.take_errors()

    assert (201, ["Ana"]) == (answer.status, heard)
    assert ["broken", "broken_later"] == sorted(
        record.getMessage().split()[2].rpartition(".")[2] for record in logged
    )


def test_a_receiver_that_fails_after_a_read_changes_nothing(people: People, ana: Any) -> None:
    def broken(instance: Any) -> None:
        raise RuntimeError("broken")

    with post_get_instance.connected_to(broken):
        answer = people.server.get(f"/user/{ana.pk}/")
        people.server.take_errors(1)

    assert (200, "Ana") == (answer.status, answer.json["name"])


@pytest.mark.parametrize("coroutine", [False, True], ids=["plain", "coroutine"])
def test_a_receiver_may_set_headers(people: People, coroutine: bool) -> None:
    def mark(handler: Any) -> None:
        handler.set_header("X-Mark", "1")

    async def mark_later(handler: Any) -> None:
        mark(handler)

    with post_create_instance.connected_to(mark_later if coroutine else mark):
        answer = people.server.post("/user/", {"name": "Ana"})

    assert "1" == answer.headers["X-Mark"]


def test_a_receiver_sees_the_document_stored(people: People) -> None:
    seen: list[Any] = []

    def receiver(instance: Any) -> None:
        seen.append(stored(instance)["name"])

    with post_create_instance.connected_to(receiver):
        people.server.post("/user/", {"name": "Ana"})

    assert ["Ana"] == seen


# In the transaction


@pytest.fixture
def real(database: Any) -> Iterator[People]:
    with served() as world:
        yield world


def test_an_atomic_receiver_that_raises_takes_all_back(real: People) -> None:
    def write_and_raise(instance: Any) -> None:
        real.Page(slug="beside").save()
        raise tornado.web.HTTPError(409, reason="Not today")

    with post_create_instance.connected_to(write_and_raise, sender=real.User, atomic=True):
        answer = real.server.post("/user/", {"name": "Ana"})

    assert (409, "Not today") == (answer.problem["status"], answer.problem["detail"])
    assert (0, 0) == (real.User.objects.count(), real.Page.objects.count())


def test_an_atomic_receiver_writes_with_the_document(real: People) -> None:
    def write(instance: Any) -> None:
        real.Page(slug="beside", title=instance.name).save()

    with post_create_instance.connected_to(write, sender=real.User, atomic=True):
        answer = real.server.post("/user/", {"name": "Ana"})

    assert (201, "Ana") == (answer.status, real.Page.objects.get().title)


def test_an_atomic_receiver_that_fails_otherwise_is_a_failure(real: People) -> None:
    ana = real.make(age=1)

    def broken(updated_fields: Any) -> None:
        raise RuntimeError("a secret")

    with post_update_instance.connected_to(broken, atomic=True):
        answer = real.server.put(f"/user/{ana.pk}/", {"age": 2})
        real.server.take_errors()

    assert (500, 1) == (answer.problem["status"], stored(ana)["age"])
    assert "secret" not in answer.body.decode()


def test_an_atomic_receiver_that_is_cancelled_by_itself_is_a_failure(real: People) -> None:
    def runs_its_own_loop() -> None:
        asyncio.run(waits_for_what_was_cancelled())

    with post_create_instance.connected_to(runs_its_own_loop, atomic=True):
        answer = real.server.post("/user/", {"name": "A"})
        real.server.take_errors()

    assert (500, 0) == (answer.problem["status"], real.User.objects.count())


def test_an_atomic_receiver_is_given_what_changed(real: People) -> None:
    seen: list[Any] = []
    ana = real.make(age=1)

    def receiver(instance: Any, updated_fields: Any, handler: Any) -> None:
        seen.append((instance.age, updated_fields, handler.request.method))

    with post_update_instance.connected_to(receiver, atomic=True):
        real.server.put(f"/user/{ana.pk}/", {"age": 2})

    assert [(2, {"age": {"from": 1, "to": 2}}, "PUT")] == seen


def test_an_atomic_receiver_of_a_delete_refuses_it(real: People) -> None:
    ana = real.make()

    def refuse(instance: Any) -> None:
        raise tornado.web.HTTPError(403)

    with post_delete_instance.connected_to(refuse, atomic=True):
        answer = real.server.delete(f"/user/{ana.pk}/")

    assert (403, "Ana") == (answer.problem["status"], stored(ana)["name"])


def test_the_answer_shows_what_an_atomic_receiver_made_of_the_document(real: People) -> None:
    def older(instance: Any) -> None:
        instance.age = 99
        instance.save()

    with post_create_instance.connected_to(older, sender=real.User, atomic=True):
        answer = real.server.post("/user/", {"name": "Ana", "age": 1})

    assert (99, 99) == (answer.json["age"], real.User.objects.get().age)


def test_a_nested_create_is_refused_whole(real: People) -> None:
    team = real.make(real.Team)

    def refuse(instance: Any) -> None:
        raise tornado.web.HTTPError(403)

    with post_create_instance.connected_to(refuse, sender=real.User, atomic=True):
        answer = real.server.post(f"/team/{team.pk}/users/", {"name": "Ana"})

    assert (403, 0, []) == (answer.status, real.User.objects.count(), stored(team)["users"])


def test_before_commit_is_sent_for_unaudited_models_too(real: People) -> None:
    seen: list[Any] = []
    ana = real.make(age=1)

    def receiver(sender: Any, writes: Any) -> None:
        seen.extend((sender, each.before["age"], each.after["age"]) for each in writes)

    with before_commit.connected_to(receiver, sender=real.User):
        real.server.put(f"/user/{ana.pk}/", {"age": 2})

    assert [(real.User, 1, 2)] == seen


def test_before_commit_refuses_too(real: People) -> None:
    def refuse(writes: Any) -> None:
        raise tornado.web.HTTPError(403)

    with before_commit.connected_to(refuse, sender=real.User):
        answer = real.server.post("/user/", {"name": "Ana"})

    assert (403, 0) == (answer.problem["status"], real.User.objects.count())


def test_a_refusal_in_the_transaction_writes_no_stack(
    real: People, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(instance: Any) -> None:
        raise tornado.web.HTTPError(403)

    with (
        caplog.at_level(logging.DEBUG),
        post_create_instance.connected_to(refuse, sender=real.User, atomic=True),
    ):
        real.server.post("/user/", {"name": "Ana"})

    assert [] == [record for record in caplog.records if record.exc_info]


def test_every_signal_is_sent_by_some_request(people: People) -> None:
    names = {each.name for each in vars(signals).values() if isinstance(each, signals.Signal)}

    assert names == {each.name for each in [*PRE, *POST, before_commit]}
