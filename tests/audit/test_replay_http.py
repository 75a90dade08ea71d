"""`POST …/history/replay/`: verify and rebuild over HTTP."""

from __future__ import annotations

import pytest
from bson import ObjectId
from mongoengine import get_db

from bzz import MongoEngineRestHandler
from tests.house import raw, stored
from tests.support import Server


@pytest.fixture
def user(house):
    user = house.make(name="Ana", age=30)
    house.write(lambda: house.User.objects(pk=user.pk).update(name="Bea"))
    return user


def replay(user):
    return f"/user/{user.pk}/history/replay/"


def spoil(house, user):
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}, "$unset": {"age": 1}})


def test_a_document_in_order_is_told_so(house, server, user):
    answer = server.post(replay(user))

    assert 200 == answer.status
    assert {
        "mode": "verify",
        "ok": True,
        "model": "user",
        "document": str(user.pk),
        "versions": 2,
        "differences": [],
        "problems": [],
        "rebuilt": False,
    } == answer.json


def test_differences_are_shown_from_what_the_history_says(house, server, user):
    spoil(house, user)
    answer = server.post(replay(user), {"mode": "verify"})

    assert (200, False) == (answer.status, answer.json["ok"])
    assert [
        {"path": "/name", "from": "Bea", "to": "Eve"},
        {"path": "/age", "from": 30},
    ] == answer.json["differences"]


@pytest.mark.parametrize("in_body", [True, False])
def test_a_rebuild_lists_what_it_overwrote(house, server, user, in_body):
    spoil(house, user)
    if in_body:
        answer = server.post(replay(user), {"mode": "rebuild"})
    else:
        answer = server.post(f"{replay(user)}?mode=rebuild")

    assert (200, True, True) == (answer.status, answer.json["ok"], answer.json["rebuilt"])
    assert ["/name", "/age"] == [each["path"] for each in answer.json["differences"]]
    assert ("Bea", 30) == (stored(user)["name"], stored(user)["age"])
    assert 2 == len(house.events(user))


def test_a_form_names_the_mode_too(house, server, user):
    spoil(house, user)

    assert server.post(replay(user), form={"mode": "rebuild"}).json["rebuilt"]


@pytest.mark.parametrize("mode", ["verify", "rebuild"])
def test_a_gap_is_a_conflict(house, server, user, mode):
    get_db()["bzz_history"].delete_one({"d": user.pk, "v": 1})
    answer = server.post(f"{replay(user)}?mode={mode}")

    assert 409 == answer.status
    assert "Version 1" in answer.problem["detail"]


def test_an_altered_event_is_reported_and_no_ground_for_a_rebuild(house, server, user):
    get_db()["bzz_history"].update_one({"d": user.pk, "v": 2}, {"$set": {"c.0.t": "x"}})
    verified = server.post(replay(user))

    assert (200, False) == (verified.status, verified.json["ok"])
    assert [("altered", 2)] == [(e["kind"], e["version"]) for e in verified.json["problems"]]
    assert 409 == server.post(f"{replay(user)}?mode=rebuild").status


def test_a_document_without_history_is_told_so(house, server):
    key = ObjectId()
    raw(house.User).insert_one({"_id": key, "name": "Old"})
    answer = server.post(f"/user/{key}/history/replay/")

    assert (200, True, 0) == (answer.status, answer.json["ok"], answer.json["versions"])
    assert ["baseline missing"] == [each["kind"] for each in answer.json["problems"]]
    assert 404 == server.post(f"/user/{key}/history/replay/?mode=rebuild").status


def test_a_deleted_document_is_verified(house, server, user):
    house.write(lambda: house.User.objects(pk=user.pk).delete())

    assert server.post(replay(user)).json["ok"]


def test_a_value_that_another_document_has_is_a_conflict(house, server):
    user = house.make(name="Ana", email="a@x")
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"email": "b@x"}})
    house.make(name="Bea", email="a@x")
    answer = server.post(f"{replay(user)}?mode=rebuild")

    assert 409 == answer.status
    assert ["/email"] == [each["pointer"] for each in answer.problem["errors"]]


@pytest.mark.parametrize(
    ("query", "body", "status", "words"),
    [
        pytest.param("?mode=x", {}, 400, "'mode' is verify or rebuild, not 'x'", id="mode"),
        pytest.param("", {"mode": 1}, 422, "mode is verify or rebuild, not 1", id="mode in body"),
        pytest.param("?mode=verify", {"mode": "rebuild"}, 400, "name one", id="two modes"),
        pytest.param("?more=1", {}, 400, "'more' is unknown", id="parameter"),
        pytest.param("", {"more": 1}, 422, "A replay knows mode, not 'more'", id="member"),
        pytest.param("", [], 422, "The body of a replay is an object", id="list"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(house, server, user, query, body, status, words):
    spoil(house, user)
    answer = server.post(f"{replay(user)}{query}", body)

    assert status == answer.status
    assert words in str(answer.problem)
    assert "Eve" == stored(user)["name"]


def test_an_unknown_document_is_not_found(house, server):
    assert 404 == server.post(f"/user/{ObjectId()}/history/replay/").status
    assert 404 == server.post(f"/user/{ObjectId()}/history/replay/?mode=rebuild").status


def test_other_methods_are_not_allowed(house, server, user):
    answer = server.get(replay(user))

    assert (405, "OPTIONS, POST") == (answer.status, answer.headers["Allow"])


def test_a_rebuild_has_a_permission_of_its_own(house, user):
    asked = []

    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            asked.append((action, model.__name__, pk))
            return action != "rebuild"

    with Server(house.routes(Guarded)) as server:
        assert 200 == server.post(replay(user)).status
        assert 403 == server.post(f"{replay(user)}?mode=rebuild").status
        assert [("history", "User", user.pk), ("rebuild", "User", user.pk)] == asked


# Across models


@pytest.fixture
def across(house):
    """Asks a server of the routes across models."""
    house.routes()
    with Server(house.auditor.routes()) as server:
        yield lambda **body: server.post("/history/replay/", body)


def test_a_model_is_verified_slice_by_slice(house, across):
    users = [house.make(name=str(n)) for n in range(5)]
    raw(house.User).update_one({"_id": users[3].pk}, {"$set": {"name": "Eve"}})
    answers = [across(model="user", limit=2)]
    while answers[-1].json["next"]:
        answers.append(across(model="user", limit=2, cursor=answers[-1].json["next"]))

    assert [(2, True), (2, False), (1, True)] == [
        (each.json["checked"], each.json["ok"]) for each in answers
    ]
    [report] = answers[1].json["differences"]
    assert (str(users[3].pk), "/name") == (report["document"], report["differences"][0]["path"])


def test_all_models_are_verified_together(house, across):
    house.make(name="Ana")
    house.make(house.Team, name="Red")

    assert (2, None) == tuple(across().json[each] for each in ("checked", "next"))


def test_the_last_slice_of_all_models_tells_of_the_positions_and_seals(house, across):
    for number in range(3):
        house.make(name=str(number))
    house.auditor.sequence()
    get_db()["bzz_positions"].update_one({"_id": "head"}, {"$set": {"d": bytes(32)}})
    answers = [across(limit=2).json]
    while answers[-1]["next"]:
        answers.append(across(limit=2, cursor=answers[-1]["next"]).json)

    assert [True, False] == [each["ok"] for each in answers]
    assert [] == answers[0]["problems"]
    assert 3 == sum(each["checked"] for each in answers)
    [problem] = answers[-1]["problems"]
    assert ("chain", None) == (problem["kind"], problem["version"])
    assert "Position 3 has another seal than it was given." == problem["detail"]


def test_a_last_slice_that_is_full_leaves_the_seals_to_the_next(house, across):
    house.make(name="Ana")
    house.auditor.sequence()
    get_db()["bzz_history"].delete_one({"p": 1})
    house.make(house.Team, name="Red")
    raw(house.User).delete_many({})
    first = across(limit=1).json
    last = across(limit=1, cursor=first["next"]).json

    assert (1, True, []) == (first["checked"], first["ok"], first["problems"])
    assert (0, False, "removed") == (last["checked"], last["ok"], last["problems"][0]["kind"])


def test_of_one_model_nothing_is_told_of_all_events(house, across):
    house.make(name="Ana")
    house.auditor.sequence()
    get_db()["bzz_seals"].delete_one({"_id": 1})

    assert [] == across(model="team").json["problems"]


def test_a_model_is_rebuilt_slice_by_slice(house, across):
    users = [house.make(name=str(n)) for n in range(3)]
    for each in users:
        raw(house.User).update_one({"_id": each.pk}, {"$set": {"name": "Eve"}})
    first = across(model="user", mode="rebuild", limit=2).json

    assert (True, 2, 2) == (first["ok"], first["checked"], len(first["differences"]))
    assert ["0", "1", "Eve"] == [stored(each)["name"] for each in users]
    across(model="user", mode="rebuild", limit=2, cursor=first["next"])
    assert ["0", "1", "2"] == [stored(each)["name"] for each in users]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param({"model": "none"}, 422, "model is one of", id="model"),
        pytest.param({"mode": "rebuild"}, 422, "model is one of", id="rebuild of everything"),
        pytest.param({"limit": 0}, 422, "limit is 1 to 100, not 0", id="limit"),
        pytest.param({"limit": True}, 422, "limit is 1 to 100, not True", id="no number"),
        pytest.param({"cursor": 1}, 422, "cursor is the next of the answer", id="cursor"),
        pytest.param({"cursor": "x"}, 400, "'x' is not a place in a run", id="unknown cursor"),
    ],
)
def test_bad_input_across_models_is_refused(house, across, body, status, words):
    answer = across(**body)

    assert status == answer.status
    assert words in str(answer.problem)


def test_documents_that_the_request_may_not_see_stand_in_no_answer(house, across, monkeypatch):
    seen, unseen = house.make(name="Ana"), house.make(name="Bea")
    for each in (seen, unseen):
        raw(house.User).update_one({"_id": each.pk}, {"$set": {"age": 99}})

    def mine(model, queryset, instance_id, handler):
        return queryset.filter(pk=instance_id, name="Ana")

    monkeypatch.setattr(house.User, "get_instance_queryset", mine, raising=False)
    answer = across(model="user").json

    assert (1, False) == (answer["checked"], answer["ok"])
    assert [str(seen.pk)] == [each["document"] for each in answer["differences"]]


def test_a_model_of_which_a_request_sees_a_part_is_not_rebuilt_as_a_whole(
    house, across, monkeypatch
):
    user = house.make(name="Ana")
    raw(house.User).update_one({"_id": user.pk}, {"$set": {"name": "Eve"}})

    def mine(model, queryset, instance_id, handler):
        return queryset.filter(pk=instance_id, name="Ana")

    monkeypatch.setattr(house.User, "get_instance_queryset", mine, raising=False)
    answer = across(model="user", mode="rebuild")

    assert 422 == answer.status
    assert "A request may not see every user, so they are rebuilt one by one" in str(answer.problem)
    assert "Eve" == stored(user)["name"]
