"""The history of a document to which a path leads by reference is that document's own."""

from __future__ import annotations

from typing import Any

import pytest
from mongoengine import Document, ListField, ReferenceField, StringField
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler, flatten
from bzz.signals import pre_get_instance
from tests.house import raw
from tests.support import Server


@pytest.fixture
def world(house):
    """A group of people, one of whom leads it; served with the house's users."""

    class Group(Document):
        name = StringField()
        people = ListField(ReferenceField(house.User))
        head = ReferenceField(house.User)

    house.auditor.track(Group)
    house.auditor.prepare()
    house.Group = Group
    yield house
    raw(Group).drop()


@pytest.fixture
def ana(world):
    user = world.make(name="Ana")
    user.name = "Anna"
    world.write(user.save)
    return user


@pytest.fixture
def group(world, ana):
    return world.make(world.Group, name="A", people=[ana], head=ana)


def served(world: Any, handler: Any = MongoEngineRestHandler) -> Server:
    return Server(
        flatten(
            handler.routes_for("mongoengine", model, audit=world.auditor)
            for model in (world.Group, world.User)
        )
    )


@pytest.mark.parametrize("below", ["", "1/", "2/", "1/?view=event", "?order=asc"])
def test_it_is_the_same_below_a_list_of_references(world, ana, group, below):
    with served(world) as server:
        own = server.get(f"/user/{ana.pk}/history/{below}")
        nested = server.get(f"/group/{group.pk}/people/{ana.pk}/history/{below}")

    assert 200 == own.status
    assert own.json == nested.json
    assert own.headers["Etag"] == nested.headers["Etag"]


@pytest.mark.parametrize("path", ["head/history/", "head/{ana}/history", "people/{ana}/history"])
def test_every_spelling_of_the_path_finds_it(world, ana, group, path):
    with served(world) as server:
        answer = server.get(f"/group/{group.pk}/{path.format(ana=ana.pk)}")

    assert [2, 1] == [each["version"] for each in answer.json["items"]]


def test_its_links_stay_below_the_owner(world, ana, group):
    below = f"/group/{group.pk}/people/{ana.pk}"
    with served(world) as server:
        page = server.get(f"{below}/history/?limit=1")
        version = server.get(f"{below}/history/2/")

    assert f"{below}/history/?limit=1&before=2" == page.json["next"]
    assert version.headers["Link"] == (
        f'<{below}/history/1/>; rel="predecessor-version", <{below}/>; rel="latest-version"'
    )


def test_a_version_is_restored_below_the_owner(world, ana, group):
    with served(world) as server:
        answer = server.post(f"/group/{group.pk}/head/history/1/restore/")

    assert 201 == answer.status
    assert f"/group/{group.pk}/head/history/3/" == answer.headers["Location"]
    assert "Ana" == world.User.objects.get(pk=ana.pk).name


def test_an_event_is_undone_below_the_owner(world, ana, group):
    with served(world) as server:
        answer = server.post(f"/group/{group.pk}/head/history/2/undo/")

    assert 201 == answer.status
    assert f"/group/{group.pk}/head/history/3/" == answer.headers["Location"]
    assert "Ana" == world.User.objects.get(pk=ana.pk).name


def test_the_history_of_a_deleted_document_is_found_by_the_reference_that_is_left(
    world, ana, group
):
    world.write(ana.delete)

    with served(world) as server:
        listed = server.get(f"/group/{group.pk}/people/{ana.pk}/history/")
        single = server.get(f"/group/{group.pk}/head/history/")

    assert [3, 2, 1] == [each["version"] for each in listed.json["items"]]
    assert listed.json == single.json


def test_a_document_that_the_owner_does_not_refer_to_is_404(world, group):
    other = world.make(name="Bea")

    with served(world) as server:
        answer = server.get(f"/group/{group.pk}/people/{other.pk}/history/")

    assert 404 == answer.status
    assert f"Group {group.pk} has nothing at 'people/{other.pk}'." == answer.json["detail"]


def test_an_owner_that_is_not_there_is_404(world, ana, group):
    with served(world) as server:
        answer = server.get(f"/group/{ana.pk}/people/{ana.pk}/history/")

    assert 404 == answer.status
    assert f"There is no Group with the id '{ana.pk}'." == answer.json["detail"]


def test_history_behind_the_name_of_a_list_is_an_id(world, group):
    with served(world) as server:
        answer = server.get(f"/group/{group.pk}/people/history/")

    assert (404, "No User has the id 'history'.") == (answer.status, answer.json["detail"])


def test_what_is_not_audited_has_no_history_below_its_owner(world, ana, group):
    class Note(Document):
        text = StringField()

    class Page(Document):
        note = ReferenceField(Note)

    world.auditor.track(Page)
    page = Page(note=Note(text="x").save())
    world.write(page.save)
    with Server(
        MongoEngineRestHandler.routes_for("mongoengine", Page, audit=world.auditor)
    ) as server:
        answer = server.get(f"/page/{page.pk}/note/history/")

    assert 404 == answer.status


def test_the_owner_is_asked_about_before_the_history(world, ana, group):
    asked = []

    class Handler(MongoEngineRestHandler):
        def may(self, action, model, pk):
            asked.append((action, model.__name__, pk))
            return action != "history"

    with served(world, Handler) as server:
        answer = server.get(f"/group/{group.pk}/people/{ana.pk}/history/")

    assert 403 == answer.status
    assert [("read", "Group", group.pk), ("history", "User", ana.pk)] == asked


@pytest.mark.parametrize("below", ["", "1/", "diff/", "blame/"])
def test_who_refuses_the_owner_refuses_the_reading_of_what_is_below(world, ana, group, below):
    with served(world) as server, pre_get_instance.connected_to(refuse, sender=world.Group):
        answer = server.get(f"/group/{group.pk}/head/history/{below}")

    assert 418 == answer.status


@pytest.mark.parametrize("below", ["1/restore/", "2/undo/", "replay/?mode=rebuild"])
@pytest.mark.parametrize("body", [{}, {"dry_run": True}])
def test_who_refuses_the_owner_refuses_what_is_done_below(world, ana, group, below, body):
    body = {} if below.startswith("replay") else body
    with served(world) as server, pre_get_instance.connected_to(refuse, sender=world.Group):
        answer = server.post(f"/group/{group.pk}/head/history/{below}", body)

    assert 418 == answer.status
    assert "Anna" == world.User.objects.get(pk=ana.pk).name


def test_whom_the_owner_does_not_let_see_it_restores_nothing_below(world, ana, group):
    world.Group.get_instance_queryset = staticmethod(lambda m, queryset, i, h: queryset.none())
    with served(world) as server:
        answers = [
            server.post(f"/group/{group.pk}/head/history/{below}", {})
            for below in ("1/restore/", "2/undo/", "replay/")
        ]

    assert [404] * 3 == [each.status for each in answers]
    assert ["created", "updated"] == world.told(ana)


def refuse(sender):
    raise HTTPError(418)


def test_an_unknown_method_says_which_there_are(world, ana, group):
    with served(world) as server:
        answer = server.delete(f"/group/{group.pk}/people/{ana.pk}/history/")

    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.headers["Allow"])
