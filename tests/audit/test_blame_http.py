"""`GET /user/<id>/history/blame/`: what set each value of the document."""

from __future__ import annotations

import pytest

from tests.house import raw, stored

NOWHERE = "0123456789abcdef01234567"


@pytest.fixture
def user(house):
    """Versions 1 (by ana), 2 (name, by eva), 3 (street, by rui)."""
    home = house.Address(street="Long Lane", city="Olinda")
    user = house.write(lambda: house.User(name="Ana", home=home).save(), actor="ana")
    for actor, values in (("eva", {"name": "Bea"}), ("rui", {"home__street": "High Street"})):
        change = {f"set__{name}": value for name, value in values.items()}
        house.write(lambda: house.User.objects.get(pk=user.pk).modify(**change), actor=actor)
    return user


@pytest.fixture
def path(user):
    return f"/user/{user.pk}/history/blame/"


def blamed(server, path):
    return {each["path"]: each for each in server.get(path).json["items"]}


def test_each_path_has_the_version_that_set_it(server, path):
    versions = {name: each["version"] for name, each in blamed(server, path).items()}

    assert {"/name": 2, "/tags": 1, "/home/street": 3, "/home/city": 1} == versions


def test_an_item_says_when_and_who(house, server, user, path):
    event = server.get(f"/user/{user.pk}/history/2/?view=event").json

    expected = {"path": "/name", "version": 2, "time": event["time"], "actor": event["actor"]}
    assert expected == blamed(server, path)["/name"]
    assert {"kind": "user", "id": "eva"} == expected["actor"]


def test_elements_of_lists_keep_what_set_them(house, server, user, path):
    for tags in (["a", "c"], ["a", "b", "c"], ["b", "c"]):
        house.write(lambda tags=tags: house.User.objects.get(pk=user.pk).modify(tags=tags))
    told = blamed(server, path)

    assert {"/tags/0": 5, "/tags/1": 4} == {
        each: told[each]["version"] for each in told if each.startswith("/tags")
    }


def test_what_was_written_round_bzz_is_nobodys(house, server, user, path):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"age": 7, "name": "Eve"}})
    told = blamed(server, path)

    nobody = {"version": None, "time": None, "actor": None}
    assert [{"path": each, **nobody} for each in ("/age", "/name")] == [
        told[each] for each in ("/age", "/name")
    ]
    assert 1 == told["/tags"]["version"]


def test_a_document_without_history_is_nobodys(house, server):
    user = house.User(name="x").save()
    answer = server.get(f"/user/{user.pk}/history/blame/")

    assert [None, None] == [each["version"] for each in answer.json["items"]]
    assert '"0"' == answer.etag


def test_after_a_delete_the_new_document_starts_afresh(house, server, user, path):
    house.write(lambda: house.User.objects.get(pk=user.pk).delete())
    house.write(lambda: house.User(pk=user.pk, name="Bea").save(force_insert=True))

    assert {5} == {each["version"] for each in blamed(server, path).values()}


def test_hidden_values_are_not_spoken_of(house, server, user, path):
    house.auditor.track(house.User, exclude=["name"], mask=["home.street"])

    assert {"/tags", "/home/city"} == set(blamed(server, path))


def test_the_tag_is_the_latest_version(server, path):
    answer = server.get(path)

    assert ('"3"', "private, no-cache") == (answer.etag, answer.headers["Cache-Control"])
    assert 304 == server.get(path, headers={"If-None-Match": '"3"'}).status
    assert 200 == server.get(path, headers={"If-None-Match": '"2"'}).status


def test_a_document_that_is_not_as_its_last_event_left_it_has_no_tag(house, server, user, path):
    raw(house.User).update_one({"_id": user.pk}, {"$unset": {"home": 1}})
    answer = server.get(path, headers={"If-None-Match": '"3"'})

    assert (200, None) == (answer.status, answer.etag)


def test_a_deleted_document_is_gone_and_its_history_is_named(house, server, user, path):
    house.write(lambda: house.User.objects.get(pk=user.pk).delete())
    answer = server.get(path)

    assert (410, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert "Version 4" in answer.problem["detail"]
    assert f'</user/{user.pk}/history/>; rel="version-history"' == answer.headers["Link"]


def test_a_document_that_was_taken_away_round_bzz_is_gone(house, server, user, path):
    raw(house.User).delete_one({"_id": user.pk})
    answer = server.get(path)

    assert (410, True) == (answer.status, "deleted round bzz" in answer.problem["detail"])


def test_a_document_that_never_was_is_404(server):
    assert 404 == server.get(f"/user/{NOWHERE}/history/blame/").status


def test_it_has_no_parameters(server, path):
    assert 400 == server.get(f"{path}?path=/name").status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_reading_is_allowed(server, user, path, method):
    before = stored(user)
    answer = server.request(method, path, json={})

    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.headers["Allow"])
    assert before == stored(user)
