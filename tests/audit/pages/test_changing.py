"""Restore and undo as pages: a preview, a reason, done or refused, and what is said then."""

from __future__ import annotations

import pytest
from mongoengine import Document, IntField, StringField, ValidationError

from bzz import MongoEngineRestHandler
from tests.audit.pages.asking import html_of, links, page, preview, send, words
from tests.house import raw
from tests.support import JSON, PROBLEM, Server


@pytest.fixture
def ana(server):
    """A document with the versions 1 (created), 2 and 3 (updated)."""
    path = server.post("/user/", {"name": "Ana", "age": 1}).headers["Location"]
    server.put(path, {"age": 2}, headers={"X-User": "bea"})
    server.put(path, {"name": "Anna"}, headers={"X-User": "cy"})
    return path


def carry_out(server, path, reason="because", **headers):
    """Open a preview and send its form."""
    _, form, cookie = preview(server, path, **headers)
    return send(server, path, form | {"reason": reason}, cookie, **headers)


# Previews ------------------------------------------------------------------------------------


def test_a_preview_shows_exactly_what_will_change(server, ana):
    html, form, _ = preview(server, f"{ana}history/1/restore/")

    assert "What will change Field From To age 2 1 name Anna Ana" in words(html) or (
        "What will change Field From To name Anna Ana age 2 1" in words(html)
    )
    assert "3" == form["seen"]


def test_a_preview_changes_nothing(server, ana):
    preview(server, f"{ana}history/1/restore/")

    assert 3 == server.get(f"{ana}history/").json["items"][0]["version"]


def test_the_preview_of_an_undo_leaves_later_changes_alone(server, ana):
    html, _, _ = preview(server, f"{ana}history/2/undo/")

    assert "What will change Field From To age 2 1 Reason" in words(html)


def test_a_preview_is_kept_by_no_cache(server, ana):
    answer = server.get(f"{ana}history/1/restore/", headers={"Accept": "text/html"})

    assert "no-store" == answer.headers["Cache-Control"]


def test_the_preview_of_what_is_so_already_has_no_form(server, ana):
    html = page(server, f"{ana}history/3/restore/")

    assert "Nothing: the document is like that already." in words(html)
    assert "<form" not in html


@pytest.mark.parametrize("accept", ["", "*/*", "application/json"])
@pytest.mark.parametrize("what", ["restore", "undo"])
def test_previews_are_for_people_alone(server, ana, what, accept):
    answer = server.get(f"{ana}history/1/{what}/", headers={"Accept": accept})

    assert (405, PROBLEM) == (answer.status, answer.headers["Content-Type"])
    assert "OPTIONS, POST" == answer.headers["Allow"]


def test_the_preview_of_a_version_that_is_not_there_is_404(server, ana):
    page(server, f"{ana}history/9/restore/", 404)


def test_a_delete_cannot_be_restored_and_the_page_says_so(server, ana):
    server.delete(ana)

    assert "is a delete" in words(page(server, f"{ana}history/4/restore/", 410))


# Doing it ------------------------------------------------------------------------------------


def test_a_restore_leads_to_its_new_version(server, ana):
    answer = carry_out(server, f"{ana}history/1/restore/", "it was better", **{"X-User": "dan"})

    assert (303, f"{ana}history/#v4") == (answer.status, answer.headers["Location"])
    event = server.get(f"{ana}history/?limit=1").json["items"][0]
    assert ("restored", 1, "it was better") == (
        event["operation"],
        event["restored_from"],
        event["reason"],
    )
    assert "dan" == event["actor"]["id"]
    assert "dan restored version 1" in words(page(server, f"{ana}history/"))


def test_an_undo_leads_to_its_new_version(server, ana):
    answer = carry_out(server, f"{ana}history/2/undo/")

    assert f"{ana}history/#v4" == answer.headers["Location"]
    assert (1, "Anna") == tuple(server.get(ana).json[each] for each in ("age", "name"))


def test_a_deleted_document_comes_back(server, ana):
    server.delete(ana)
    html, form, _ = preview(server, f"{ana}history/4/undo/")

    assert "What comes back" in words(html)
    assert "4" == form["seen"]
    assert 303 == carry_out(server, f"{ana}history/4/undo/").status
    assert "Anna" == server.get(ana).json["name"]


# Refusals ------------------------------------------------------------------------------------


def test_who_was_overtaken_sees_what_it_would_change_now(server, ana):
    path = f"{ana}history/1/restore/"
    _, form, cookie = preview(server, path)
    server.put(ana, {"age": 40})
    answer = send(server, path, form | {"reason": "mine"}, cookie)
    html = html_of(answer)

    assert 412 == answer.status
    assert "Changed in the meantime" in words(html)
    assert "age 40 1" in words(html)
    assert ">mine</textarea>" in html
    assert 'name="seen" value="4"' in html
    assert 40 == server.get(ana).json["age"]


def test_an_undo_that_later_changes_forbid_names_them(server, ana):
    server.put(ana, {"age": 3})
    html = page(server, f"{ana}history/2/undo/", 409)

    assert "Changed again since" in words(html)
    assert "age in version 4" in words(html)
    assert f"{ana}history/4/" in links(html)
    assert "<form" not in html


def test_what_created_a_document_has_no_undo(server, ana):
    assert "cannot be undone" in words(page(server, f"{ana}history/1/undo/", 409))


def test_a_unique_value_that_is_taken_is_named_by_its_field(server):
    path = server.post("/user/", {"name": "Ana", "email": "a@example.org"}).headers["Location"]
    server.put(path, {"email": "b@example.org"})
    server.post("/user/", {"name": "Bea", "email": "a@example.org"})
    answer = carry_out(server, f"{path}history/1/restore/")

    assert 409 == answer.status
    assert "email : This value is taken." in words(html_of(answer))


def test_what_is_not_valid_today_is_explained_by_field(house):
    class Rated(Document):
        stars = IntField(max_value=5)
        name = StringField()

        def clean(self):
            if self.name == "nobody":
                raise ValidationError({"name": "Nobody is no name."})

    routes = MongoEngineRestHandler.routes_for("mongoengine", Rated, audit=house.auditor)
    with Server(routes) as server:
        path = server.post("/rated/", {"stars": 1}).headers["Location"]
        server.put(path, {"stars": 2})
        Rated.stars.max_value = 1
        server.put(path, {"stars": 1, "name": "x"})
        answer = carry_out(server, f"{path}history/2/restore/", "why not")

    assert 422 == answer.status
    assert "Nothing was written, because of these fields: stars :" in words(html_of(answer))
    assert ">why not</textarea>" in html_of(answer)


def test_a_reason_that_is_too_long_is_refused_on_the_page(server, ana):
    answer = carry_out(server, f"{ana}history/1/restore/", "x" * 10_000)

    assert 422 == answer.status
    assert "reason" in words(html_of(answer))


def test_who_may_not_restore_gets_no_preview(house, ana):
    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "restore"

    with Server(house.routes(Guarded)) as guarded:
        page(guarded, f"{ana}history/1/restore/", 403)


def test_who_may_restore_and_not_read_the_history_is_not_told_of_it(house, ana):
    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "history"

    with Server(house.routes(Guarded)) as guarded:
        html = page(guarded, f"{ana}history/2/restore/")

    assert "What will change" in words(html)
    assert "bea" not in words(html)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"seen": "three"}, "'seen' is the version that the preview showed; got 'three'."),
        ({"reason": ["a", "b"]}, "The form has 'reason' more than once; send it once."),
    ],
)
def test_a_form_that_was_tampered_with_is_refused(server, ana, form, expected):
    path = f"{ana}history/1/restore/"
    _, own, cookie = preview(server, path)
    answer = send(server, path, own | form, cookie)

    assert 400 == answer.status
    assert expected in words(html_of(answer))


def test_a_document_that_was_written_round_bzz_is_restored_all_the_same(house, server, ana):
    raw(house.User).update_one({}, {"$set": {"age": 77}})
    _, form, _ = preview(server, f"{ana}history/1/restore/")

    assert "seen" not in form
    assert 303 == carry_out(server, f"{ana}history/1/restore/").status


# Forms of other sites ------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["restore", "undo"])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda form, cookie: ({**form, "_xsrf": "x"}, cookie), id="wrong token"),
        pytest.param(lambda form, cookie: ({"seen": "3"}, cookie), id="no token"),
        pytest.param(lambda form, cookie: (form, ""), id="no cookie"),
    ],
)
def test_a_form_of_another_site_is_refused(server, ana, what, spoil):
    path = f"{ana}history/2/{what}/"
    _, form, cookie = preview(server, path)
    form, cookie = spoil(form, cookie)
    answer = send(server, path, form | {"reason": "evil"}, cookie)

    assert 403 == answer.status
    assert "text/html" in answer.headers["Content-Type"]
    assert 3 == server.get(f"{ana}history/").json["items"][0]["version"]


def test_a_handler_that_checks_no_tokens_has_its_pages_checked(house, ana):
    class Careless(MongoEngineRestHandler):
        def check_xsrf_cookie(self):
            pass

    with Server(house.routes(Careless)) as server:
        answer = send(server, f"{ana}history/1/restore/", {"reason": "evil"})

    assert 403 == answer.status


def test_pages_work_where_the_application_checks_tokens_itself(house, ana):
    with Server(house.routes(), xsrf_cookies=True) as server:
        assert 303 == carry_out(server, f"{ana}history/1/restore/").status


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"json": {"reason": "x"}}, id="json"),
        pytest.param({"json": {"reason": "x"}, "headers": {"Accept": "text/html"}}, id="json only"),
        pytest.param({"form": {"reason": "x"}}, id="form"),
        pytest.param({"form": {"reason": "x"}, "headers": {"Accept": "*/*"}}, id="form, any"),
    ],
)
def test_clients_of_the_api_need_no_token(server, ana, options):
    answer = server.post(f"{ana}history/1/restore/", **options)

    assert (201, JSON) == (answer.status, answer.headers["Content-Type"])


# Some of the fields --------------------------------------------------------------------------


def test_one_may_choose_among_the_fields_that_change(server, ana):
    html = page(server, f"{ana}history/1/restore/")

    assert "Which fields" in words(html)
    assert 2 == html.count('type="checkbox"') == html.count(" checked")


def test_a_preview_of_chosen_fields_is_about_these_alone(server, ana):
    html, form, _ = preview(server, f"{ana}history/1/restore/?fields=/age")

    assert "What will change Field From To age 2 1 Reason" in words(html)
    assert 1 == html.count(" checked")
    assert "/age" == form["fields[]"]


def test_what_was_previewed_is_what_is_restored(server, ana):
    answer = carry_out(server, f"{ana}history/1/restore/?fields=/age")

    assert 303 == answer.status
    assert (1, "Anna") == tuple(server.get(ana).json[each] for each in ("age", "name"))


def test_several_fields_of_several_are_restored(server, ana):
    server.put(ana, {"tags": ["x"]})
    html, form, cookie = preview(server, f"{ana}history/1/restore/?fields=/age&fields=/tags")
    both = [("_xsrf", form["_xsrf"]), ("seen", "4"), ("reason", "x")]
    both += [("fields[]", "/age"), ("fields[]", "/tags")]
    answer = send(server, f"{ana}history/1/restore/", both, cookie)

    assert 303 == answer.status
    assert (1, "Anna", []) == tuple(server.get(ana).json[n] for n in ("age", "name", "tags"))


def test_where_one_field_changes_there_is_nothing_to_choose(server, ana):
    assert 'type="checkbox"' not in page(server, f"{ana}history/2/restore/")


def test_of_an_undo_that_was_overtaken_the_rest_can_be_chosen(server):
    path = server.post("/user/", {"name": "Ana", "age": 1}).headers["Location"]
    server.put(path, {"name": "Anna", "age": 2})
    server.put(path, {"age": 3})
    assert "Which fields" in words(page(server, f"{path}history/2/undo/", 409))
    answer = carry_out(server, f"{path}history/2/undo/?fields=/name")

    assert 303 == answer.status
    assert ("Ana", 3) == tuple(server.get(path).json[each] for each in ("name", "age"))


def test_a_document_that_comes_back_comes_whole(server, ana):
    server.delete(ana)

    assert 'type="checkbox"' not in page(server, f"{ana}history/3/restore/")


def test_a_field_that_is_not_there_is_named(server, ana):
    html = page(server, f"{ana}history/1/restore/?fields=/nothing", 422)

    assert "'/nothing'" in words(html)


# What will be refused ------------------------------------------------------------------------


@pytest.fixture
def older(house, server, ana, monkeypatch):
    """A version whose age the model refuses by now."""
    server.put(ana, {"age": 1})
    monkeypatch.setattr(house.User.age, "max_value", 1)
    return f"{ana}history/2/restore/"


def test_a_value_that_the_model_refuses_by_now_is_told_before_it_is_sent(server, older):
    html = page(server, older)

    assert "Sent like this it will be refused, because of these fields: age : " in words(html)
    assert "<textarea" in html


def test_and_the_other_fields_can_be_chosen(server, older):
    assert "will be refused" not in words(page(server, f"{older}?fields=/name"))


def test_a_class_with_code_of_its_own_is_not_judged_beforehand(house, server, older, monkeypatch):
    monkeypatch.setattr(house.User, "clean", lambda self: None)

    assert "will be refused" not in words(page(server, older))
