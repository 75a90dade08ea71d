"""`GET /user/<id>/history/diff/`: changes, JSON Patch and text."""

from __future__ import annotations

import jsonpatch
import pytest
from mongoengine import Document, EmbeddedDocument, StringField
from mongoengine.fields import EmbeddedDocumentListField

from bzz import MongoEngineRestHandler
from tests.house import stored
from tests.support import JSON, JSON_PATCH, Server

NOWHERE = "0123456789abcdef01234567"


@pytest.fixture
def user(house):
    """Versions 1 (Ana), 2 (Bea, 30), 3 (Bea, 30, two tags)."""
    user = house.make(name="Ana")

    def write(**values):
        house.write(lambda: house.User.objects.get(pk=user.pk).modify(**values), actor="eva")

    write(name="Bea", age=30)
    write(tags=["a", "b"])
    return user


@pytest.fixture
def path(user):
    return f"/user/{user.pk}/history/diff/"


def asked(server, path, accept=None, **headers):
    return server.get(path, headers={"Accept": accept, **headers} if accept else headers)


# Changes -----------------------------------------------------------------------------------


def test_without_versions_it_is_what_the_last_event_did(server, path):
    tags = {"path": "/tags/0", "to": "a"}, {"path": "/tags/1", "to": "b"}

    assert {"from": 2, "to": 3, "changes": list(tags)} == server.get(path).json


def test_two_versions_are_compared_in_the_document_s_own_words(server, path):
    changes = server.get(f"{path}?from=1&to=2").json["changes"]

    assert [{"path": "/name", "from": "Ana", "to": "Bea"}, {"path": "/age", "to": 30}] == changes


def test_from_the_later_to_the_earlier_is_the_way_back(server, path):
    changes = server.get(f"{path}?from=2&to=1").json["changes"]

    assert [{"path": "/name", "from": "Bea", "to": "Ana"}, {"path": "/age", "from": 30}] == changes


def test_what_never_existed_has_no_time_before_it_either(server):
    answer = server.get(f"/user/{NOWHERE}/history/diff/?from=0&to=0")

    assert 404 == answer.status
    assert answer.problem["detail"].endswith("has no version 0; it has no history.")


def test_a_version_is_no_different_from_itself(server, path):
    assert {"from": 2, "to": 2, "changes": []} == server.get(f"{path}?from=2&to=2").json


def test_without_to_it_is_up_to_the_latest(server, path):
    answer = server.get(f"{path}?from=1").json

    assert (1, 3, 4) == (answer["from"], answer["to"], len(answer["changes"]))


def test_without_from_it_is_from_the_one_before(server, path):
    assert 1 == server.get(f"{path}?to=2").json["from"]


def test_the_first_version_is_compared_with_nothing(server, path):
    answer = server.get(f"{path}?to=1").json

    assert 0 == answer["from"]
    assert [{"path": "/name", "to": "Ana"}, {"path": "/tags", "to": []}] == answer["changes"]


def test_times_are_compared_as_the_versions_of_their_moments(server, path):
    assert {"from": 1, "to": 3} == {
        name: server.get(f"{path}?from=1&to=2100-01-01T00:00:00Z").json[name]
        for name in ("from", "to")
    }


def test_a_delete_is_the_absence_of_all_members(house, server, user, path):
    house.write(lambda: house.User.objects.get(pk=user.pk).delete())
    answer = server.get(path).json

    assert {"from", "path"} == set().union(*answer["changes"])
    assert {"/name", "/age", "/tags"} == {each["path"] for each in answer["changes"]}
    assert 200 == server.get(f"{path}?from=4&to=2").status


def test_hidden_values_are_never_shown(house, server, user, path):
    house.auditor.track(house.User, exclude=["name"], mask=["age"])

    for accept in ("application/json", "text/plain"):
        shown = asked(server, f"{path}?from=0&to=3", accept).body.decode()
        assert "/tags" in shown
        assert not [each for each in ("Ana", "Bea", "/name", "/age", "30") if each in shown]
    patch = asked(server, f"{path}?from=1&to=2", JSON_PATCH).json
    assert [] == patch


# Formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "other"), [(1, 2), (1, 3), (2, 3), (3, 1), (2, 1), (2, 2)])
def test_applying_the_json_patch_gives_the_other_version(server, user, path, one, other):
    answer = asked(server, f"{path}?from={one}&to={other}", JSON_PATCH)
    versions = {v: server.get(f"/user/{user.pk}/history/{v}/").json for v in (one, other)}

    assert JSON_PATCH == answer.headers["Content-Type"]
    assert versions[other] == jsonpatch.apply_patch(versions[one], answer.json)


def test_items_of_a_list_are_found_again_by_their_id(house):
    class Line(EmbeddedDocument):
        id = StringField()
        text = StringField(db_field="t")

    class Basket(Document):
        lines = EmbeddedDocumentListField(Line, db_field="l")

    routes = MongoEngineRestHandler.routes_for("mongoengine", Basket, audit=house.auditor)
    lines = [Line(id=each, text="x") for each in "abc"]
    basket = house.make(Basket, lines=lines)
    lines = [lines[2], Line(id="b", text="y")]
    house.write(lambda: Basket.objects.get(pk=basket.pk).modify(lines=lines))
    with Server(routes) as server:
        path = f"/basket/{basket.pk}/history"
        answer = asked(server, f"{path}/diff/", JSON_PATCH)
        versions = [server.get(f"{path}/{v}/").json for v in (1, 2)]
        changes = server.get(f"{path}/diff/").json["changes"]

    assert versions[1] == jsonpatch.apply_patch(versions[0], answer.json)
    assert {"path": "/lines/1/text", "from": "x", "to": "y"} in changes
    assert {"op": "replace", "path": "/lines/1/text", "value": "y"} in answer.json


def test_a_delete_is_null_as_a_json_patch(house, server, user, path):
    house.write(lambda: house.User.objects.get(pk=user.pk).delete())
    gone = asked(server, path, JSON_PATCH)
    back = asked(server, f"{path}?from=4&to=3", JSON_PATCH)
    version = server.get(f"/user/{user.pk}/history/3/").json

    assert [{"op": "replace", "path": "", "value": None}] == gone.json
    assert [{"op": "replace", "path": "", "value": version}] == back.json


def test_a_text_is_for_people(server, path):
    answer = asked(server, f"{path}?from=1&to=2", "text/plain")
    first, second, *changes = answer.body.decode().splitlines()

    assert "text/plain; charset=UTF-8" == answer.headers["Content-Type"]
    assert first.startswith("--- version 1  20")
    assert first.endswith("Z  system")
    assert second.endswith("Z  user:eva")
    assert ['~ /name: "Ana" -> "Bea"', "+ /age: 30"] == changes


def test_json_is_what_is_given_where_nothing_else_is_asked_for(server, path):
    for accept in (None, "*/*", "image/png", "application/json,text/html;q=0.9"):
        assert JSON == asked(server, path, accept).headers["Content-Type"]


def test_head_says_what_get_would(server, path):
    answer = server.head(path, headers={"Accept": "text/plain"})

    assert (200, b"") == (answer.status, answer.body)
    assert "text/plain; charset=UTF-8" == answer.headers["Content-Type"]


# Caches ------------------------------------------------------------------------------------

FOR_EVER = "private, max-age=31536000, immutable"
CHECKED = "private, no-cache"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?from=1&to=2", FOR_EVER),
        ("", CHECKED),
        ("?from=1", CHECKED),
        ("?to=2", CHECKED),
        ("?from=1&to=2100-01-01", CHECKED),
    ],
)
def test_two_versions_are_kept_for_ever(server, path, query, expected):
    answer = server.get(path + query)

    assert (expected, "Accept") == (answer.headers["Cache-Control"], answer.headers["Vary"])


def test_the_tag_is_the_latest_version_that_is_compared(server, path):
    assert ('"3"', '"2"') == (server.get(path).etag, server.get(f"{path}?from=1&to=2").etag)


@pytest.mark.parametrize(
    ("accept", "tag"), [(JSON, '"3"'), (JSON_PATCH, '"3-patch"'), ("text/plain", '"3-text"')]
)
def test_a_known_version_is_not_sent_again(server, path, accept, tag):
    answer = asked(server, path, accept, **{"If-None-Match": tag})

    assert (304, b"", tag, "Accept") == (
        answer.status,
        answer.body,
        answer.etag,
        answer.headers["Vary"],
    )


def test_one_format_is_not_taken_for_the_other(server, path):
    assert 200 == asked(server, path, "text/plain", **{"If-None-Match": '"3"'}).status
    assert 200 == asked(server, path, JSON, **{"If-None-Match": '"3-text"'}).status


# What is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["from=4", "to=99", "from=1&to=99999999999999999999", "to=1990"])
def test_an_unknown_version_is_404(server, path, query):
    answer = server.get(f"{path}?{query}")

    assert 404 == answer.status
    assert "its last version is 3." in answer.problem["detail"]


def test_a_time_before_the_first_event_is_404(server, path):
    answer = server.get(f"{path}?from=2000-01-01")

    assert (404, True) == (answer.status, "was not known yet" in answer.problem["detail"])


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "", "%D9%A1", "latest"])
@pytest.mark.parametrize("name", ["from", "to"])
def test_what_is_no_version_is_400(server, path, name, value):
    answer = server.get(f"{path}?{name}={value}")

    assert 400 == answer.status
    assert "is neither a version nor a time" in answer.problem["detail"]


@pytest.mark.parametrize("query", ["form=1", "from=1&from=2"])
def test_other_parameters_are_400(server, path, query):
    assert 400 == server.get(f"{path}?{query}").status


def test_a_document_that_never_was_is_404(server):
    assert 404 == server.get(f"/user/{NOWHERE}/history/diff/").status


def test_a_document_without_history_is_404(house, server):
    user = house.User(name="x").save()
    answer = server.get(f"/user/{user.pk}/history/diff/")

    assert (404, True) == (answer.status, "it has no history" in answer.problem["detail"])


@pytest.mark.parametrize("below", ["diff", "blame"])
def test_they_stand_below_a_reference_too(house, server, below):
    team = house.make(house.Team, name="Blue")
    user = house.make(name="Ana", team=team)
    house.write(lambda: house.Team.objects.get().modify(name="Red"))
    own = server.get(f"/team/{team.pk}/history/{below}/")

    assert 200 == own.status
    assert own.json == server.get(f"/user/{user.pk}/team/history/{below}/").json


@pytest.mark.parametrize("below", ["diff", "blame"])
def test_who_may_not_see_the_history_is_refused(house, user, below):
    class Closed(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "history"

    with Server(house.routes(Closed)) as server:
        answer = server.get(f"/user/{user.pk}/history/{below}/")

    assert (403, False) == (answer.status, b"Bea" in answer.body)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_only_reading_is_allowed(server, user, path, method):
    before = stored(user)
    answer = server.request(method, path, json={})

    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.headers["Allow"])
    assert before == stored(user)
