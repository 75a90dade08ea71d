"""The history routes: the list of a document's events, and one of its versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import jsonpatch
import pytest
from bson import ObjectId
from mongoengine import (
    DictField,
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    ListField,
    StringField,
    get_db,
)
from tornado.web import HTTPError

from bzz import MongoEngineRestHandler
from bzz.audit import Auditor
from bzz.audit.history import History
from bzz.signals import pre_get_instance
from tests.house import raw
from tests.support import Server

NOBODY = ObjectId("0123456789abcdef01234567")


def serving(
    house: Any, model: Any, handler: Any = MongoEngineRestHandler, **options: Any
) -> Server:
    options.setdefault("audit", house.auditor)
    return Server(handler.routes_for("mongoengine", model, **options))


def created(server: Any, path: str = "/user/", **values: Any) -> str:
    answer = server.post(path, values or {"name": "Ana"})
    assert 201 == answer.status, answer
    return str(answer.headers["Location"])


@pytest.fixture
def ana(server):
    """A document with the versions 1 (created), 2 and 3 (updated), 4 (deleted), 5 (created)."""
    path = created(server, name="Ana", age=1)
    server.put(path, {"age": 2}, headers={"X-User": "bea"})
    server.put(path, {"name": "Anna", "home": {"city": "Rio"}}, headers={"X-User": "ana"})
    server.delete(path, headers={"X-User": "bea"})
    created(server, id=path.split("/")[2], name="Ana II")
    return path


def versions(answer: Any) -> list[int]:
    assert 200 == answer.status, answer
    return [event["version"] for event in answer.json["items"]]


# The list -----------------------------------------------------------------------------------


def test_the_events_come_newest_first(server, ana):
    assert [5, 4, 3, 2, 1] == versions(server.get(f"{ana}history/"))


def test_the_slash_at_the_end_is_optional(server, ana):
    assert [5, 4, 3, 2, 1] == versions(server.get(f"{ana}history"))


def test_the_tag_of_a_history_is_its_last_version(house, server, ana):
    house.auditor.sequence()

    assert '"5"' == server.get(f"{ana}history/?limit=1&order=asc").etag


def test_a_history_that_the_client_has_is_304(house, server, ana):
    house.auditor.sequence()
    answer = server.get(f"{ana}history/", headers={"If-None-Match": '"5"'})

    assert (304, b"") == (answer.status, answer.body)
    assert 200 == server.get(f"{ana}history/", headers={"If-None-Match": '"4"'}).status


def test_an_event_is_shown_with_all_that_it_says(server):
    path = created(server)
    headers = {"X-User": "ana", "X-Audit-Reason": "a move", "X-Correlation-Id": "c-1"}
    server.put(path, {"home": {"street": "a", "city": "b"}}, headers=headers)
    server.put(path, {"home": {"street": "a", "city": "c"}}, headers=headers)
    event = server.get(f"{path}history/?limit=1").json["items"][0]

    assert 24 == len(event.pop("id"))
    assert datetime.fromisoformat(event.pop("time")).tzinfo is not None
    assert {
        "model": "user",
        "document": path.split("/")[2],
        "version": 3,
        "operation": "updated",
        "actor": {"kind": "user", "id": "ana"},
        "reason": "a move",
        "correlation": "c-1",
        "request": {"method": "PUT", "path": path, "address": "127.0.0.1"},
        "changes": [{"path": "/home/city", "from": "b", "to": "c"}],
        "restored_from": None,
        "undo_of": None,
        "position": None,
    } == event


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("order=asc", [1, 2, 3, 4, 5], id="ascending"),
        pytest.param("order=desc", [5, 4, 3, 2, 1], id="descending"),
        pytest.param("limit=2", [5, 4], id="limit"),
        pytest.param("limit=2&order=asc", [1, 2], id="limit ascending"),
        pytest.param("before=3", [2, 1], id="before"),
        pytest.param("before=0", [], id="before the first"),
        pytest.param("after=3", [5, 4], id="after"),
        pytest.param("after=0", [5, 4, 3, 2, 1], id="after none"),
        pytest.param("after=999999999999999999", [], id="after all"),
        pytest.param("after=1&before=4&order=asc", [2, 3], id="between"),
        pytest.param("operation=created", [5, 1], id="operation"),
        pytest.param("operation=created,deleted", [5, 4, 1], id="operations"),
        pytest.param("operation=restored", [], id="operation of none"),
        pytest.param("actor=bea", [4, 2], id="actor"),
        pytest.param("actor=user:bea", [4, 2], id="actor with its kind"),
        pytest.param("actor=robot:bea", [], id="actor of another kind"),
        pytest.param("actor=anonymous", [5, 1], id="kind without id"),
        pytest.param("actor=anonymous:", [5, 1], id="kind and no id"),
        pytest.param("actor=nobody", [], id="unknown actor"),
        pytest.param("field=age", [4, 2, 1], id="field"),
        pytest.param("field=/age", [4, 2, 1], id="pointer"),
        pytest.param("field=home.city", [4, 3], id="below what changed, dotted"),
        pytest.param("field=/home/city", [4, 3], id="below what changed, pointer"),
        pytest.param("field=home", [4, 3], id="embedded document"),
        pytest.param("field=email", [], id="field that never changed"),
        pytest.param("field=na", None, id="beginning of a name"),
        pytest.param("since=1999-01-01T00:00:00Z", [5, 4, 3, 2, 1], id="since"),
        pytest.param("since=2999-01-01", [], id="since the future"),
        pytest.param("until=1999-01-01T00:00:00Z", [], id="until"),
        pytest.param("until=2999-01-01T00:00:00+02:00", [5, 4, 3, 2, 1], id="until with a plus"),
        pytest.param("actor=bea&field=age&operation=updated&limit=1", [2], id="combined"),
    ],
)
def test_a_list_is_what_its_filters_leave(server, ana, query, expected):
    answer = server.get(f"{ana}history/?{query}")

    if expected is None:
        assert 400 == answer.status
    else:
        assert expected == versions(answer)


def test_since_and_until_include_their_own_moment(server, ana):
    third = server.get(f"{ana}history/3/?view=event").json["time"]

    assert [3] == [
        version
        for version in versions(server.get(f"{ana}history/?since={third}&until={third}"))
        if version == 3
    ]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("nope=1", "The query parameter 'nope' is unknown here; it knows limit, before"),
        ("limit=1&limit=2", "The query parameter 'limit' is there twice."),
        ("limit=0", "'limit' is 1 to 100, not 0."),
        ("limit=101", "'limit' is 1 to 100, not 101."),
        ("limit=x", "'limit' is a whole number from 0; got 'x'."),
        ("limit=-1", "'limit' is a whole number from 0; got '-1'."),
        ("before=1.5", "'before' is a whole number from 0; got '1.5'."),
        ("after=%D9%A3", "'after' is a whole number from 0; got '٣'."),
        ("after=" + "9" * 30, "'after' is a whole number from 0; got '9999"),
        ("order=up", "'order' is asc or desc, not 'up'."),
        ("since=now", "'since' is a time such as 2026-05-01T12:00:00Z; got 'now'."),
        ("until=", "'until' is a time such as 2026-05-01T12:00:00Z; got ''."),
        ("operation=changed", "'operation' is one of created, updated, deleted, restored,"),
        ("operation=", "'operation' is one of created"),
        ("field=nope", "User has no field 'nope', and never had in this history."),
        ("field=team.nope", "User has no field 'team.nope', and never had in this history."),
        ("field=", "User has no field '', and never had in this history."),
        ("field=/a~2", "'field' is a name or a JSON Pointer; got '/a~2'."),
        ("field=a%00b", "'field' is the name of a member or its path; got 'a\\x00b'."),
        ("field=" + "a." * 300, "'field' is the name of a member or its path; got 'a.a."),
        ("field=" + "x" * 2000, "'field' is the name of a member or its path; got 'xxxx"),
        ("field=%FF", "The query string is not percent-encoded UTF-8."),
    ],
    ids=lambda value: value[:30] if "=" in value else "",
)
def test_a_bad_parameter_is_400_and_says_what_is_known(server, ana, query, detail):
    answer = server.get(f"{ana}history/?{query}")

    assert 400 == answer.status
    assert answer.problem["detail"].startswith(detail)


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_following_next_gives_each_version_once_while_a_writer_goes_on(server, order):
    path = created(server)
    for age in range(8):
        server.put(path, {"age": age})
    writer, seen, age = server.client(), [], 100
    following = f"{path}history/?limit=2&order={order}"
    while following:
        page = server.get(following)
        seen += versions(page)
        following = page.json["next"]
        if len(seen) < 12:
            writer.put(path, {"age": (age := age + 1)})
    writer.close()

    last = seen[-1] if order == "asc" else 9
    expected = list(range(1, last + 1))
    assert expected == (seen if order == "asc" else seen[::-1])
    assert last >= 9


def test_next_keeps_the_filters(server, ana):
    page = server.get(f"{ana}history/?limit=1&operation=created,deleted&after=1")

    assert (
        f"{ana}history/?limit=1&operation=created%2Cdeleted&before=5&after=1" == page.json["next"]
    )
    assert f'<{page.json["next"]}>; rel="next"' == page.headers["Link"]
    assert [4] == versions(server.get(page.json["next"]))
    assert None is server.get(page.json["next"]).json["next"]


def test_the_last_page_has_no_next(server, ana):
    answer = server.get(f"{ana}history/?limit=5")

    assert (None, None) == (answer.json["next"], answer.headers["Link"])


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_version_is_met_once_while_writers_go_on(server, order):
    path = created(server, name="n", age=0)
    for age in range(1, 7):
        server.put(path, {"age": age})
    met, following = [], f"{path}history/?limit=2&order={order}"
    while following:
        if len(met) < 12:
            server.put(path, {"age": 100 + len(met)})
        page = server.get(following)
        met += versions(page)
        following = page.json["next"]

    known = list(range(1, 9)) if order == "desc" else list(range(1, len(met) + 1))
    assert known == sorted(met)
    assert met == sorted(met, reverse=order == "desc")
    assert order == "desc" or len(met) > 8


def test_a_document_without_history_has_an_empty_one(house, server):
    user = house.User(name="Old").save()
    answer = server.get(f"/user/{user.pk}/history/")

    assert (200, '"0"', []) == (answer.status, answer.etag, answer.json["items"])


@pytest.mark.parametrize("path", [f"{NOBODY}", "nonsense", "1"])
def test_the_history_of_what_never_existed_is_404(server, path):
    answer = server.get(f"/user/{path}/history/")

    assert (404, "no-store") == (answer.status, answer.headers["Cache-Control"])


def test_a_deleted_document_has_its_history(server, ana):
    server.delete(ana)

    assert [6, 5, 4, 3, 2, 1] == versions(server.get(f"{ana}history/"))


# Fields that lead into lists, maps and what is anyhow ----------------------------------------


@pytest.fixture
def shelf(house):
    class Book(EmbeddedDocument):
        title = StringField(db_field="t")

    class Shelf(Document):
        books = ListField(EmbeddedDocumentField(Book), db_field="b")
        facts = DictField()

    with serving(house, Shelf) as server:
        path = created(server, "/shelf/", books=[{"title": "a"}, {"title": "b"}])
        server.put(path, {"books": [{"title": "a"}, {"title": "c"}]})
        server.put(path, {"books": [{"title": "a"}]})
        server.put(path, {"facts": {"x.y": 1, "z": {"deep": 1}}})
        server.put(path, {"facts": {"x.y": 1, "z": {"deep": 2}}})
        yield server, path


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        pytest.param("books", [3, 2, 1], id="list"),
        pytest.param("books.title", [3, 2, 1], id="in any element"),
        pytest.param("books.1.title", [3, 2, 1], id="in one element"),
        pytest.param("books.0", [1], id="element that never changed"),
        pytest.param("/b/1/t", [3, 2, 1], id="stored names"),
        # Version 1 stored an empty map, which is a change above all of its keys.
        pytest.param("facts", [5, 4, 1], id="map"),
        pytest.param("/facts/x.y", [4, 1], id="key with a dot"),
        pytest.param("facts.z.deep", [5, 4, 1], id="deep in a map"),
        pytest.param("facts.z.deep.er", [5, 4, 1], id="below what changed"),
        pytest.param("facts.never", [1], id="key that never was"),
    ],
)
def test_a_field_filter_finds_changes_at_below_and_above(shelf, field, expected):
    server, path = shelf
    assert expected == versions(server.get(f"{path}history/?field={field}"))


def test_the_state_after_each_event_can_be_included(server, ana):
    items = server.get(f"{ana}history/?include=state").json["items"]

    assert ["Ana II", None, "Anna", "Ana", "Ana"] == [
        each["state"] and each["state"]["name"] for each in items
    ]
    assert server.get(f"{ana}history/3/").json == items[2]["state"]
    assert "patch" not in items[0]


def test_the_patch_that_leads_to_each_event_can_be_included(server, ana):
    items = server.get(f"{ana}history/?include=patch&before=4").json["items"]

    assert [{"op": "replace", "path": "/age", "value": 2}] == items[1]["patch"]
    before, after = (server.get(f"{ana}history/{version}/").json for version in (2, 3))
    assert after == jsonpatch.apply_patch(before, items[0]["patch"])
    assert "state" not in items[0]


def test_states_of_events_far_apart_can_be_included(server):
    path = created(server, name="n", age=0)
    for age in range(1, 45):
        server.put(path, {"age": age}, headers={"X-User": "eve" if age % 40 == 1 else "ana"})

    items = server.get(f"{path}history/?include=state,patch&actor=eve").json["items"]

    assert [(42, 41), (2, 1)] == [(each["version"], each["state"]["age"]) for each in items]


def test_including_anything_else_is_400(server, ana):
    answer = server.get(f"{ana}history/?include=state,all")

    assert 400 == answer.status
    assert (
        "'include' is state, patch or both with a comma; got 'state,all'."
        == (answer.json["detail"])
    )


# One version --------------------------------------------------------------------------------


def test_a_version_is_the_document_after_its_event(server, ana):
    answer = server.get(f"{ana}history/2/")

    assert ("Ana", 2, None) == (answer.json["name"], answer.json["age"], answer.json["home"])
    assert server.get(ana).json.keys() == answer.json.keys()


def test_a_version_says_when_it_was_made_and_its_neighbours(server, ana):
    answer = server.get(f"{ana}history/3/")

    links = f'<{ana}history/2/>; rel="predecessor-version", <{ana}>; rel="latest-version"'
    assert links == answer.headers["Link"]
    assert answer.headers["Memento-Datetime"].endswith("GMT")


def test_an_old_version_may_be_kept_for_ever(server, ana):
    answer = server.get(f"{ana}history/2/")

    assert "private, max-age=31536000, immutable" == answer.headers["Cache-Control"]
    assert '"2"' == answer.headers["Etag"]


def test_an_old_version_that_is_known_is_not_sent_again(server, ana):
    answer = server.get(f"{ana}history/2/", headers={"If-None-Match": '"2"'})

    assert (304, b"") == (answer.status, answer.body)


@pytest.mark.parametrize(
    "query", ["?order=asc", "?operation=updated", "?since=2020-01-01T00:00:00Z"]
)
def test_the_tag_of_a_page_is_never_newer_than_the_page(house, server, ana, query, monkeypatch):
    usual, writers = History.last_version, ["bea"]

    def overtaken(history):
        if writers:
            actor, user = writers.pop(), house.User.objects.get(pk=ana.split("/")[2])
            house.write(lambda: user.modify(age=50), actor=actor)
            house.auditor.sequence()
        return usual(history)

    monkeypatch.setattr(History, "last_version", overtaken)
    page = server.get(f"{ana}history/{query}")

    assert int(page.etag.strip('"')) <= max(versions(page))


def test_a_page_is_not_kept_while_an_event_of_it_waits_for_its_position(house, server, ana):
    """By the tag of the last version it would be kept without the position for ever."""
    before = server.get(f"{ana}history/", headers={"If-None-Match": '"5"'})
    house.auditor.sequence()
    after = server.get(f"{ana}history/", headers={"If-None-Match": '"4"'})

    assert (200, None, None) == (before.status, before.etag, before.json["items"][0]["position"])
    assert (200, '"5"', 5) == (after.status, after.etag, after.json["items"][0]["position"])


def test_a_page_of_events_that_have_their_positions_is_kept_beside_newer_ones(house, server, ana):
    house.auditor.sequence()
    user = house.User.objects.get(pk=ana.split("/")[2])
    house.write(lambda: user.modify(age=50))

    assert None is server.get(f"{ana}history/").etag
    assert '"6"' == server.get(f"{ana}history/?before=6").etag
    assert '"6"' == server.get(f"{ana}history/?operation=deleted").etag


def test_an_event_is_asked_for_again_since_its_position_comes_later(server, ana):
    answer = server.get(f"{ana}history/2/?view=event")

    assert "private, no-cache" == answer.headers["Cache-Control"]
    assert "Etag" not in answer.headers


def test_a_list_of_events_is_asked_for_again(server, ana):
    assert "private, no-cache" == server.get(f"{ana}history/").headers["Cache-Control"]


def test_the_first_version_has_no_predecessor(server, ana):
    expected = f'<{ana}>; rel="latest-version"'
    assert expected == server.get(f"{ana}history/1/").headers["Link"]


def test_a_version_is_its_event_with_view_event(server, ana):
    event = server.get(f"{ana}history/2/?view=event").json

    assert (2, "updated", [{"path": "/age", "from": 1, "to": 2}]) == (
        event["version"],
        event["operation"],
        event["changes"],
    )


def test_a_version_that_is_a_delete_is_410(server, ana):
    answer = server.get(f"{ana}history/4/")

    assert (410, 4) == (answer.status, answer.problem["version"])
    assert "the last state before it is that of version 3." in answer.problem["detail"]
    assert f'<{ana}history/>; rel="version-history"' == answer.headers["Link"]


def test_the_event_of_a_delete_is_shown(server, ana):
    assert "deleted" == server.get(f"{ana}history/4/?view=event").json["operation"]


@pytest.mark.parametrize(
    "version",
    [
        "0",
        "6",
        "999999999",
        "9999999999",
        "01",
        "-1",
        "1.0",
        "one",
        "%D9%A3",
        "1%2F2",
        "+1",
        "%201",
    ],
)
@pytest.mark.parametrize("view", ["document", "event"])
def test_a_version_that_is_not_there_is_404(server, ana, version, view):
    answer = server.get(f"{ana}history/{version}/?view={view}")

    assert 404 == answer.status
    assert answer.problem["detail"]


@pytest.mark.parametrize(
    "below", ["1/nope", "1/restore/more", "nope", "diff/1", "1/2", "1//", "1/restore/.."]
)
def test_a_path_below_a_history_that_is_nothing_is_404(server, ana, below):
    assert 404 == server.get(f"{ana}history/{below}/").problem["status"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("view=both", "'view' is document or event, not 'both'."),
        ("at=1", "The query parameter 'at' is unknown here; it knows view."),
    ],
)
def test_a_bad_parameter_of_a_version_is_400(server, ana, query, detail):
    assert detail == server.get(f"{ana}history/1/?{query}").problem["detail"]


def test_a_version_that_todays_model_cannot_load_is_shown_as_it_was_stored(house, server):
    path = created(server)
    raw(house.User).update_one({}, {"$set": {"strange": ObjectId(NOBODY)}})
    server.put(f"{path}?replace=true", {"name": "Bea"})

    shown = server.get(f"{path}history/2/").json
    expected = {"id": path.split("/")[2], "name": "Ana", "tags": [], "strange": str(NOBODY)}
    assert expected == shown


def test_a_history_with_a_gap_is_409_where_it_matters(server, ana):
    get_db()["bzz_history"].delete_one({"v": 2})

    assert 200 == server.get(f"{ana}history/1/").status
    answer = server.get(f"{ana}history/3/")
    assert 409 == answer.status
    assert answer.problem["detail"].startswith("Version 2 of user ")
    assert 409 == server.get(f"{ana}history/2/").status
    assert 409 == server.get(f"{ana}?at=3").status
    assert [5, 4, 3, 1] == versions(server.get(f"{ana}history/"))


def test_a_history_that_was_altered_is_409(server, ana):
    get_db()["bzz_history"].update_one({"v": 1}, {"$set": {"c.0.t": "Eve", "c.1.t": "Eve"}})
    answer = server.get(f"{ana}history/3/")

    assert 409 == answer.status
    assert "an event before it is missing or was altered" in answer.problem["detail"]
    assert "Eve" not in answer.problem["detail"]
    assert 409 == server.get(f"{ana}?at=3").status


# Methods ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("history/", "GET, HEAD, OPTIONS"),
        ("history/1/", "GET, HEAD, OPTIONS"),
        ("history/1/restore/", "OPTIONS, POST"),
    ],
)
def test_other_methods_are_405_with_what_is_allowed(server, ana, path, allowed):
    methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - set(allowed.split(", "))
    for method in sorted(methods):
        answer = server.request(method, ana + path, json={})
        assert (405, allowed) == (answer.status, answer.headers["Allow"]), method


@pytest.mark.parametrize("path", ["history/", "history/1/", "history/1/restore/"])
def test_options_says_what_is_allowed(server, ana, path):
    answer = server.options(ana + path)

    assert 204 == answer.status
    assert "OPTIONS" in answer.headers["Allow"]


def test_options_of_nothing_is_404(server, ana):
    assert 404 == server.options(f"{ana}history/nope/").status


@pytest.mark.parametrize("path", ["history/", "history/1/", "history/1/?view=event"])
def test_a_head_is_a_get_without_its_body(server, ana, path):
    head, get = server.head(ana + path), server.get(ana + path)

    assert (200, b"") == (head.status, head.body)
    for name in ("Etag", "Link", "Memento-Datetime", "Content-Length", "Content-Type"):
        assert get.headers[name] == head.headers[name]


# Ids ----------------------------------------------------------------------------------------


@pytest.fixture
def pages(house):
    class Page(Document):
        slug = StringField(primary_key=True)
        title = StringField()

    with serving(house, Page) as server:
        yield server


@pytest.mark.parametrize(
    "slug", ["a b", "a/b", "100%", "a.b", "名前", "é+é", "history", "1", "%2F", "'\"<>", "a?b#c"]
)
def test_ids_of_any_text_have_their_history(pages, slug):
    path = f"/page/{quote(slug, safe='')}/"
    assert 201 == pages.post("/page/", {"id": slug, "title": "x"}).status
    pages.put(path, {"title": "y"})
    pages.delete(path)

    page = pages.get(f"{path}history/?limit=2")
    assert [3, 2] == versions(page)
    assert [1] == versions(pages.get(page.json["next"]))
    assert slug == page.json["items"][0]["document"]
    assert "x" == pages.get(f"{path}history/1/").json["title"]
    assert f"<{path}history/1/>" in pages.get(f"{path}history/2/").headers["Link"]
    assert f"{path}history/4/" == pages.post(f"{path}history/1/restore/", {}).headers["Location"]


@pytest.fixture
def tagged(house):
    class Tagged(Document):
        slug = StringField(required=True, unique=True)
        title = StringField()

        @classmethod
        def get_id_field_name(cls):
            return "slug"

    with serving(house, Tagged) as server:
        server.post("/tagged/", {"slug": "a b", "title": "x"})
        yield server, "/tagged/a%20b/"


def test_a_history_is_found_by_the_id_of_the_url(tagged):
    server, path = tagged

    assert [1] == versions(server.get(f"{path}history/"))
    assert "x" == server.get(f"{path}history/1/").json["title"]


def test_it_is_found_so_after_the_delete(tagged):
    server, path = tagged
    server.delete(path)

    assert 410 == server.get(path).status
    assert [2, 1] == versions(server.get(f"{path}history/"))
    assert 201 == server.post(f"{path}history/1/restore/", {}).status
    assert ("x", '"3"') == (server.get(path).json["title"], server.get(path).etag)


def test_a_live_document_goes_before_a_deleted_one_with_the_same_id(tagged):
    server, path = tagged
    server.delete(path)
    server.post("/tagged/", {"slug": "a b", "title": "y"})

    assert [1] == versions(server.get(f"{path}history/"))
    assert "y" == server.get(f"{path}history/1/").json["title"]


# Who may ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "method", "path"),
    [
        ("history", "GET", "history/"),
        ("history", "GET", "history/1/"),
        ("history", "GET", "history/1/?view=event"),
        ("restore", "POST", "history/1/restore/"),
    ],
)
@pytest.mark.parametrize("how", ["plain", "coroutine"])
def test_may_is_asked_with_the_model_and_the_id(house, server, ana, action, method, path, how):
    asked = []

    class Guarded(MongoEngineRestHandler):
        def may(self, *what: Any) -> Any:
            asked.append(what)
            return self.later() if how == "coroutine" else False

        async def later(self) -> bool:
            return False

    with serving(house, house.User, Guarded) as guarded:
        answer = guarded.request(method, ana + path, json={})

    assert 403 == answer.status
    assert [(action, house.User, ObjectId(ana.split("/")[2]))] == asked


def test_prepare_of_the_applications_class_guards_the_history(house, ana):
    class Guarded(MongoEngineRestHandler):
        def prepare(self):
            if "X-User" not in self.request.headers:
                raise HTTPError(401)

    with serving(house, house.User, Guarded) as guarded:
        for method, path in (("GET", ""), ("GET", "1/"), ("POST", "1/restore/")):
            answer = guarded.request(method, f"{ana}history/{path}", json={})
            assert 401 == answer.problem["status"]
        assert 200 == guarded.get(f"{ana}history/", headers={"X-User": "a"}).status


def test_reads_of_history_send_pre_get_instance(house, server, ana):
    seen = []

    def receiver(sender, arguments, handler):
        seen.append((sender, arguments, handler.request.method))

    pre_get_instance.connect(receiver)
    server.get(f"{ana}history/")
    server.get(f"{ana}history/1/")

    assert [(house.User, [ana.strip("/")], "GET")] * 2 == seen


def test_a_receiver_of_pre_get_instance_refuses_the_history(server, ana):
    def receiver():
        raise HTTPError(451)

    pre_get_instance.connect(receiver)

    assert 451 == server.get(f"{ana}history/").status


@pytest.fixture
def secrets(house):
    class Note(Document):
        text = StringField()
        public = StringField()

        @staticmethod
        def get_instance_queryset(model, queryset, instance_id, handler):
            who = handler.request.headers.get("X-User") if handler else "ana"
            return queryset if who == "ana" else queryset.filter(public="yes")

    with serving(house, Note) as server:
        yield server


@pytest.mark.parametrize("below", ["", "1/", "1/?view=event"])
@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
def test_a_history_is_seen_by_who_may_see_the_document(secrets, deleted, below):
    mine = {"X-User": "ana"}
    hidden = created(secrets, "/note/", text="x")
    shown = created(secrets, "/note/", text="x", public="yes")
    if deleted:
        assert 204 == secrets.delete(hidden, headers=mine).status
        assert 204 == secrets.delete(shown).status

    assert 404 == secrets.get(f"{hidden}history/{below}").status
    assert 200 == secrets.get(f"{hidden}history/{below}", headers=mine).status
    assert 200 == secrets.get(f"{shown}history/{below}").status


def test_the_last_state_decides_who_sees_a_deleted_document(secrets):
    path = created(secrets, "/note/", text="x", public="yes")
    secrets.put(path, {"public": "no"})
    secrets.delete(path, headers={"X-User": "ana"})

    assert 404 == secrets.get(path).status
    assert 404 == secrets.get(f"{path}history/").status
    assert 404 == secrets.get(f"{path}?at=1").status
    assert 404 == secrets.post(f"{path}history/1/restore/", {}).status


@pytest.mark.parametrize("deleted", [False, True], ids=["live", "deleted"])
def test_no_history_is_seen_by_whom_the_hook_gives_no_documents(house, deleted):
    class Note(Document):
        text = StringField()

        @staticmethod
        def get_instance_queryset(model, queryset, instance_id, handler):
            return queryset.none()

    note = house.make(Note, text="x")
    with serving(house, Note) as server:
        if deleted:
            house.write(note.delete)
        found = [server.get(f"/note/{note.pk}/{below}") for below in ("", "history/", "?at=1")]

    assert [404] * 3 == [each.status for each in found]


def test_a_hidden_document_is_not_restored(secrets):
    path = created(secrets, "/note/", text="x")
    secrets.put(path, {"text": "y"}, headers={"X-User": "ana"})

    assert 404 == secrets.post(f"{path}history/1/restore/", {}).status


# What is hidden -----------------------------------------------------------------------------


@pytest.fixture
def vault(house):
    class Vault(Document):
        name = StringField()
        secret = StringField()
        pin = StringField()

    house.auditor.track(Vault, exclude=["secret"], mask=["pin"])
    with serving(house, Vault) as server:
        path = created(server, "/vault/", name="a", secret="s-one", pin="p-one")
        server.put(path, {"secret": "s-two"})
        server.put(path, {"pin": "p-two"})
        server.delete(path)
        yield server, path


def test_hidden_values_are_never_shown(vault):
    server, path = vault
    pages = [server.get(f"{path}history/{below}") for below in ("", "1/", "1/?view=event", "2/")]

    for page in pages:
        assert 200 == page.status
        for value in (b"s-one", b"s-two", b"p-one", b"p-two"):
            assert value not in page.body


def test_a_change_of_an_excluded_field_makes_no_event_and_of_a_masked_one_says_so(vault):
    server, path = vault
    events = server.get(f"{path}history/?order=asc").json["items"]

    assert ["created", "updated", "deleted"] == [event["operation"] for event in events]
    assert [{"path": "/pin", "masked": True}] == events[1]["changes"]
    assert [3, 2, 1] == versions(server.get(f"{path}history/?field=pin"))
    assert [] == versions(server.get(f"{path}history/?field=secret"))


# Where it stands ----------------------------------------------------------------------------


@pytest.mark.parametrize("segment", ["past", "was war", "履歴"])
def test_the_path_segment_is_a_setting(house, segment):
    class Thing(Document):
        history = StringField()

    auditor = Auditor(segment=segment)
    with serving(house, Thing, audit=auditor) as server:
        path = created(server, "/thing/", history="x")
        below = quote(segment, safe="")

        assert f'<{path}{below}/>; rel="version-history"' == server.get(path).headers["Link"]
        assert [1] == versions(server.get(f"{path}{below}/"))
        assert "x" == server.get(f"{path}{below}/1/").json["history"]


def test_the_prefix_is_in_front_of_the_history(house):
    class Thing(Document):
        name = StringField()

    with serving(house, Thing, prefix="/api/v1", resource_name="things") as server:
        path = created(server, "/api/v1/things/", name="x")
        server.put(path, {"name": "y"})
        page = server.get(f"{path}history/?limit=1")

        assert f"{path}history/?limit=1&before=2" == page.json["next"]
        assert [1] == versions(server.get(page.json["next"]))


def test_a_history_is_not_there_for_a_model_without_auditor(house):
    class Plain(Document):
        name = StringField()

    with Server(MongoEngineRestHandler.routes_for("mongoengine", Plain)) as server:
        path = created(server, "/plain/", name="x")

        assert 404 == server.get(f"{path}history/").status
        assert 404 == server.post(f"{path}history/1/restore/", {}).status
