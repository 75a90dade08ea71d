"""The pages that are read: a document's history, a version, two of them, blame."""

from __future__ import annotations

import re
from html import unescape

import pytest
from mongoengine import Document, IntField, StringField

from bzz import MongoEngineRestHandler
from tests.audit.pages.asking import HTML, html_of, links, page, words
from tests.house import raw
from tests.support import Server

SHOWN = ["", "2/", "diff/", "diff/?from=1&to=4", "blame/"]


@pytest.fixture
def ana(server):
    """A document with the versions 1 (created) to 4, of several people."""
    made = server.post("/user/", {"name": "Ana", "age": 1, "tags": ["a", "b"]})
    path = made.headers["Location"]
    server.put(path, {"age": 2}, headers={"X-User": "bea"})
    home = {"home": {"street": "Rua A", "city": "Rio"}}
    server.put(path, home, headers={"X-User": "cy", "X-Audit-Reason": "a move"})
    server.put(path, {"age": 3, "tags": ["a", "c"]}, headers={"X-User": "bea"})
    return path


def shown_versions(html: str) -> list[int]:
    return [int(each) for each in re.findall(r'<li id="v(\d+)"', html)]


# Which format --------------------------------------------------------------------------------


@pytest.mark.parametrize("below", SHOWN)
def test_a_browser_gets_a_page(server, ana, below):
    assert page(server, f"{ana}history/{below}").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("below", SHOWN)
@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, text/html"])
def test_everybody_else_gets_json(server, ana, below, accept):
    answer = server.get(f"{ana}history/{below}", headers={"Accept": accept})

    assert "application/json" == answer.headers["Content-Type"]
    assert "Accept" == answer.headers["Vary"]


@pytest.mark.parametrize("below", SHOWN)
def test_a_page_has_no_tag_and_is_never_taken_for_json(house, server, ana, below):
    house.auditor.sequence()
    told = {"If-None-Match": '"4", "2"'}
    answer = server.get(f"{ana}history/{below}", headers=HTML | told)

    assert (200, None, "Accept") == (answer.status, answer.etag, answer.headers["Vary"])
    assert "private, no-cache" == answer.headers["Cache-Control"]


def test_the_api_has_no_tag_of_a_page_either(house, server, ana):
    house.auditor.sequence()
    answer = server.get(f"{ana}history/", headers={"If-None-Match": '"4"'})

    assert (304, "Accept") == (answer.status, answer.headers["Vary"])


def test_a_head_request_has_the_fields_of_the_page(server, ana):
    answer = server.head(f"{ana}history/", headers=HTML)

    assert ("text/html; charset=UTF-8", b"") == (answer.headers["Content-Type"], answer.body)


@pytest.mark.parametrize("below", SHOWN)
def test_nothing_runs_on_a_page_but_its_own_script(server, ana, below):
    policy = server.get(f"{ana}history/{below}", headers=HTML).headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.search("script-src 'sha256-[^']+';", policy)


# The history ---------------------------------------------------------------------------------


def test_a_history_tells_who_did_what_why_and_when(server, ana):
    html = page(server, f"{ana}history/")

    assert [4, 3, 2, 1] == shown_versions(html)
    assert "Version 3 cy updated" in words(html)
    assert "Reason: a move" in words(html)
    assert re.search(r'<time datetime="[-0-9T:.]+Z">\d+ \w{3} \d{4}, [0-9:]+</time>', html)


def test_a_history_leads_to_all_that_stands_beside_it(server, ana):
    found = links(page(server, f"{ana}history/"))
    history = f"{ana}history/"

    expected = ["3/", "2/restore/", "3/undo/", "diff/?from=2&to=3", "blame/", "diff/"]
    assert {f"{history}{each}" for each in expected} <= set(found)


def test_the_newest_version_is_not_offered_to_be_restored(server, ana):
    assert f"{ana}history/4/restore/" not in links(page(server, f"{ana}history/"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("actor=bea", [4, 2], id="actor"),
        pytest.param("field=home", [3], id="field"),
        pytest.param("field=%2Fhome%2Fcity", [3], id="pointer"),
        pytest.param("operation=created", [1], id="operation"),
        pytest.param("operation=created&operation=updated", [4, 3, 2, 1], id="two operations"),
        pytest.param("since=2000-01-01T00:00:00", [4, 3, 2, 1], id="since"),
        pytest.param("until=2000-01-01T00:00:00", [], id="until"),
        pytest.param("field=&actor=&since=&until=", [4, 3, 2, 1], id="an empty form"),
    ],
)
def test_a_history_is_filtered_by_its_form(server, ana, query, expected):
    assert expected == shown_versions(page(server, f"{ana}history/?{query}"))


def test_the_form_shows_what_is_asked_for(server, ana):
    html = page(server, f"{ana}history/?actor=bea&operation=updated&since=2026-05-01T12:00:00Z")

    assert 'name="actor" value="bea"' in html
    assert 'value="updated" checked' in html
    assert 'value="2026-05-01T12:00:00"' in html


def test_a_wrong_filter_is_explained_on_a_page(server, ana):
    assert "'operation' is one of" in words(page(server, f"{ana}history/?operation=eaten", 400))


def test_pages_lead_to_older_and_to_newer_versions_and_back(server, ana):
    first = page(server, f"{ana}history/?limit=2")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = page(server, older.replace("&amp;", "&"))
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', second)

    assert ([4, 3], [2, 1]) == (shown_versions(first), shown_versions(second))
    assert [4, 3] == shown_versions(page(server, newer.replace("&amp;", "&")))
    assert 'rel="prev"' not in first
    assert 'rel="next"' not in second


def test_a_page_keeps_its_place_while_versions_are_added(server, ana):
    before = page(server, f"{ana}history/?limit=2&before=3")
    server.put(ana, {"age": 9})

    assert shown_versions(before) == shown_versions(page(server, f"{ana}history/?limit=2&before=3"))


def test_what_changed_within_a_long_text_is_marked(server, ana):
    server.put(ana, {"name": "The quick brown fox jumps over the lazy dog"})
    server.put(ana, {"name": "The quick red fox jumps over the lazy dog"})

    assert "The quick <del>brown</del><ins>red</ins> fox" in page(server, f"{ana}history/")


def test_a_deleted_document_says_so_and_offers_to_come_back(server, ana):
    server.delete(ana)
    html = page(server, f"{ana}history/")

    assert "This user is deleted." in words(html)
    assert f"{ana}history/5/undo/" in links(html)


def test_a_document_from_before_the_audit_has_no_history_yet(house, server):
    pk = raw(house.User).insert_one({"name": "Old"}).inserted_id

    assert "This document has no history yet." in words(page(server, f"/user/{pk}/history/"))


def test_what_never_was_is_a_page_that_says_so(server):
    html = page(server, "/user/0123456789abcdef01234567/history/", 404)

    assert "Not found" in words(html)


# A version -----------------------------------------------------------------------------------


def test_a_version_shows_the_document_and_what_its_event_changed(server, ana):
    html = page(server, f"{ana}history/2/")

    assert "Version 2 of 4" in words(html)
    assert "What it changed Field From To age 1 2" in words(html)
    assert "The document after it" in words(html)
    assert '<tr class="d0 touched"><th scope="row">age</th>' in html


def test_a_version_leads_to_those_around_it(server, ana):
    html = page(server, f"{ana}history/2/")

    assert {f"{ana}history/{each}/" for each in (1, 3, 4)} <= set(links(html))
    assert re.search(r'type="range" min="1" max="4" value="2"', html)


def test_the_version_of_a_delete_shows_the_event_and_no_document(server, ana):
    server.delete(ana)
    html = page(server, f"{ana}history/5/")

    assert "There is none: this event deleted it." in words(html)


def test_a_version_that_is_not_there_is_404(server, ana):
    assert "no version 99" in words(page(server, f"{ana}history/99/", 404))


# Comparing and blame -------------------------------------------------------------------------


def test_two_versions_stand_side_by_side(server, ana):
    html = page(server, f"{ana}history/diff/?from=1&to=4")

    assert "Version 1 and version 4" in words(html)
    assert "tags › 1 b c" in words(html)
    assert re.search("city</span> .*Rio", html)


def test_a_comparison_with_the_time_before_the_first_version(server, ana):
    assert "Before the first version" in words(page(server, f"{ana}history/diff/?from=0&to=1"))


def test_blame_shows_each_value_and_what_set_it(server, ana):
    html = words(page(server, f"{ana}history/blame/"))

    assert "home › city Rio Version 3 cy" in html or "home › c Rio Version 3 cy" in html
    assert "age 3 Version 4 bea" in html


def test_blame_of_a_value_that_was_written_round_bzz(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 77}})

    assert "age 77 written round bzz" in words(page(server, f"{ana}history/blame/"))


# Other paths ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["à la/carte 100%", "a b", "..a", "<b>", "?x=1&y#z", "日本"])
def test_ids_of_any_kind_are_in_all_links(house, server, name):
    class Dish(Document):
        name = StringField(primary_key=True)
        price = IntField()

    routes = MongoEngineRestHandler.routes_for("mongoengine", Dish, audit=house.auditor)
    with Server(routes) as own:
        path = own.post("/dish/", {"name": name}).headers["Location"]
        own.put(path, {"price": 1})
        own.put(path, {"price": 2})
        # The undo of version 2 was overtaken, and is a page of another status.
        seen = {f"{path}history/", f"{path}history/2/undo/"}
        todo = [f"{path}history/"]
        while todo:
            html = page(own, todo.pop())
            assert name in unescape(html)
            found = {each.partition("#")[0] for each in links(html) if each.startswith("/")}
            todo += found - seen
            seen |= found

    assert {f"{path}history/{each}" for each in ("1/", "2/restore/", "3/undo/")} <= seen


def test_a_nested_document_has_pages_under_its_owner(server):
    team = server.post("/team/", {"name": "Reds"}).headers["Location"]
    made = server.post("/user/", {"name": "Ana", "team": team.split("/")[2]}).headers["Location"]
    html = page(server, f"{made}team/history/")

    assert "team" in words(html)
    assert f"{made}team/history/1/" in links(html)
    assert "Reds" in words(page(server, f"{made}team/history/1/"))


def test_a_page_with_a_prefix_has_its_links_below_it(house):
    with Server(house.routes(prefix="/api/v 1")) as own:
        path = own.post("/api/v%201/user/", {"name": "Ana"}).headers["Location"]
        found = links(page(own, f"{path}history/"))

    assert f"{path}history/1/" in found


# Who may see what ----------------------------------------------------------------------------


class Guarded(MongoEngineRestHandler):
    """Lets everybody read, and only ana put back."""

    def may(self, action, model, pk):
        name = self.request.headers.get("X-User")
        return name != "eve" and (action != "restore" or name == "ana")


def test_who_may_not_restore_is_not_offered_to(house, server, ana):
    with Server(house.routes(Guarded)) as guarded:
        for name, offered in (("ana", True), ("bea", False)):
            found = links(page(guarded, f"{ana}history/", **{"X-User": name}))
            assert offered == (f"{ana}history/2/restore/" in found)


@pytest.mark.parametrize("below", [*SHOWN, "2/restore/"])
def test_who_may_not_read_gets_a_page_that_says_no_more(house, server, ana, below):
    with Server(house.routes(Guarded)) as guarded:
        html = page(guarded, f"{ana}history/{below}", 403, **{"X-User": "eve"})

    assert "Ana" not in html


@pytest.mark.parametrize("below", [*SHOWN, "2/restore/", "3/undo/"])
def test_hidden_values_are_on_no_page(house, server, below):
    house.track(house.User, mask=["secret"], exclude=["pin"])
    made = server.post("/user/", {"name": "Ana", "secret": "XYZZY-1", "pin": "XYZZY-2"})
    path = made.headers["Location"]
    server.put(path, {"secret": "XYZZY-3", "pin": "XYZZY-4", "age": 1})
    server.put(path, {"secret": "XYZZY-5", "age": 2})
    server.put(path, {"age": 3})

    assert "XYZZY" not in page(
        server, f"{path}history/{below}", 200 if "undo" not in below else 409
    )


def test_a_masked_change_says_that_it_was(house, server):
    house.track(house.User, mask=["secret"])
    path = server.post("/user/", {"name": "Ana"}).headers["Location"]
    server.put(path, {"secret": "x"})

    assert "secret changed; its values are not kept here" in words(page(server, f"{path}history/"))


# What looks like HTML ------------------------------------------------------------------------

EVIL = "<script>alert(1)</script>\"'&amp;<img src=x onerror=alert(2)>"


@pytest.mark.parametrize("below", [*SHOWN, "3/restore/", "?actor=%3Cscript%3E", "3/undo/"])
def test_values_that_look_like_html_are_shown_as_text(house, server, below):
    path = server.post("/user/", {"id": None, "name": EVIL, "note": {EVIL: [EVIL]}}).headers[
        "Location"
    ]
    headers = {"X-Audit-Reason": "%3Cscript%3E", "X-User": "<script>"}
    server.put(path, {"name": f"{EVIL} and more", "tags": [EVIL]}, headers=headers)
    server.put(path, {"name": EVIL, "age": 1, "note": [EVIL]}, headers=headers)
    server.put(path, {"age": 2}, headers=headers)
    answer = server.get(f"{path}history/{below}", headers=HTML)
    html = html_of(answer)

    assert 1 == html.count("<script>")
    assert "<img" not in html
