"""The activity of all models, and a request that is taken back, as pages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import mongoengine
import pytest

from bzz import MongoEngineRestHandler
from bzz.audit.pages.activity import grouped
from tests.audit.pages.asking import HTML, html_of, links, page, preview, send, words
from tests.house import built, new_database
from tests.support import PROBLEM, Server


@pytest.fixture(scope="module")
def running(mongod_uri):
    """A house whose server serves the routes across models too."""
    with new_database(mongod_uri) as name:
        mongoengine.connect(name, host=mongod_uri, uuidRepresentation="standard")
        with built() as house:
            routes = house.routes()
            with Server([*routes, *house.auditor.routes()]) as server:
                house.auditor.prepare()
                house.running = server
                yield house


@pytest.fixture
def house(running):
    yield running
    database = mongoengine.get_db()
    for name in database.list_collection_names():
        database[name].delete_many({})
    running.auditor.seals.prepare()


@pytest.fixture
def server(house):
    return house.running


@pytest.fixture
def import_(house, server):
    """Two documents that one request's correlation has changed, and others."""
    headers = {"X-User": "bot", "X-Correlation-Id": "import-1", "X-Audit-Reason": "a bad import"}
    paths = [server.post("/user/", {"name": name}).headers["Location"] for name in ("Ana", "Bea")]
    for path in paths:
        server.put(path, {"age": 99}, headers=headers)
    server.post("/team/", {"name": "Reds"}, headers={"X-User": "cy"})
    house.auditor.sequence()
    return paths


def test_the_activity_tells_events_of_all_models_by_request(server, import_):
    html = page(server, "/history/")
    text = words(html)

    assert 4 == html.count('<article class="group">')
    assert text.index("cy") < text.index("bot")
    assert "Reason: a bad import" in text
    assert {f"{path}history/2/" for path in import_} <= set(links(html))


def test_everybody_else_gets_json(server, import_):
    answer = server.get("/history/", headers={"Accept": "*/*"})

    assert ("application/json", "Accept") == (
        answer.headers["Content-Type"],
        answer.headers["Vary"],
    )


def test_who_would_rather_have_a_stream_than_json_gets_the_page_all_the_same(server, import_):
    accept = {"Accept": "text/html, text/event-stream;q=0.9"}

    assert "text/html" in server.get("/history/", headers=accept).headers["Content-Type"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("model=team", 1, id="model"),
        pytest.param("model=&actor=bot", 2, id="actor"),
        pytest.param("field=age", 2, id="field"),
        pytest.param("operation=created&operation=deleted", 3, id="operations"),
        pytest.param("correlation=import-1", 2, id="correlation"),
        pytest.param("until=2000-01-01T00:00:00", 0, id="until"),
    ],
)
def test_the_activity_is_filtered_by_its_form(server, import_, query, expected):
    html = page(server, f"/history/?{query}")

    assert expected == html.count('<span class="op ')


def test_pages_lead_on_and_back(server, import_):
    first = page(server, "/history/?limit=2")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = page(server, older.replace("&amp;", "&"))
    [newer] = re.findall(r'rel="prev" href="([^"]+)"', second)
    back = page(server, newer.replace("&amp;", "&"))

    def shown(html: str) -> list[str]:
        return [each for each in links(html) if re.search(r"/history/\d+/$", each)]

    assert (2, 2) == (len(shown(first)), len(shown(second)))
    assert shown(first) == shown(back)


def test_the_chart_counts_the_days(server, import_):
    today = datetime.now(UTC).date()
    html = page(server, "/history/")

    assert 30 == html.count("<rect ")
    assert "5 changes from" in words(html)
    assert f"<title>{today.isoformat()}: 5 changes</title>" in html


def test_the_chart_counts_only_what_is_asked_for(server, import_):
    assert "2 changes from" in words(page(server, "/history/?actor=bot"))


def test_the_chart_ends_with_the_day_that_is_asked_for(server, import_):
    html = page(server, "/history/?until=2026-01-31T00:00:00")

    assert "<title>2026-01-31: 0 changes</title>" in html
    assert date(2026, 1, 31) - timedelta(days=29) == date(2026, 1, 2)
    assert "<title>2026-01-02: 0 changes</title>" in html


def test_what_may_not_be_seen_is_neither_shown_nor_counted(house, import_):
    class OnlyTeams(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return model is house.Team

    routes = house.auditor.routes(prefix="/teams", handler=OnlyTeams)
    with Server(routes) as server:
        html = page(server, "/teams/history/")

    assert "1 change from" in words(html)
    assert not [each for each in links(html) if each.startswith("/user/")]
    assert "bot" not in words(html)
    assert "Undo this request" not in html


def test_documents_that_a_queryset_hides_are_not_counted(house, server, import_, monkeypatch):
    def hidden(model, queryset, instance_id, handler):
        return queryset.filter(name="Ana")

    monkeypatch.setattr(house.User, "get_instance_queryset", hidden, raising=False)

    assert "3 changes from" in words(page(server, "/history/"))


def test_an_activity_without_events_says_so(server):
    assert "Nothing has happened yet." in words(page(server, "/history/"))


def test_what_looks_like_html_is_text(house, server):
    evil = "<script>alert(1)</script>"
    headers = {"X-User": evil, "X-Correlation-Id": evil, "X-Audit-Reason": evil}
    server.post("/user/", {"name": evil}, headers=headers)
    house.auditor.sequence()

    assert 1 == page(server, "/history/").count("<script>")
    assert 1 == page(server, "/history/restore/?correlation=%3Cscript%3E").count("<script>")


def test_a_wrong_filter_is_explained(server):
    assert "'model' is one of" in words(page(server, "/history/?model=nothing", 400))


# A request taken back ------------------------------------------------------------------------


def test_a_request_is_previewed(server, import_):
    html, form, _ = preview(server, "/history/restore/?correlation=import-1")

    assert "It made 2 changes to 2 documents." in words(html)
    assert "age 99 not there" in words(html)
    assert "import-1" == form["correlation"]


def test_a_request_is_taken_back(house, server, import_):
    _, form, cookie = preview(server, "/history/restore/?correlation=import-1")
    answer = send(server, "/history/restore/", form | {"reason": "wrong file"}, cookie)
    html = html_of(answer)

    assert (200, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert "2 new versions of 2 documents" in words(html)
    assert [None, None] == [server.get(path).json.get("age") for path in import_]
    house.auditor.sequence()
    [written] = [each for each in links(html) if "correlation=" in each]
    assert 2 == page(server, written).count("took back version 2")


def test_what_could_not_be_taken_back_is_told(server, import_):
    server.put(import_[0], {"age": 1})
    _, form, cookie = preview(server, "/history/restore/?correlation=import-1")
    html = html_of(send(server, "/history/restore/", form | {"reason": "x"}, cookie))

    assert "The request was taken back in part" in words(html)
    assert "Changed again since" in words(html)


def test_a_request_that_nobody_made_has_nothing_to_take_back(server):
    html = page(server, "/history/restore/?correlation=none")

    assert "There is nothing of this request that you could see." in words(html)
    assert "<form" not in html


def test_a_page_needs_a_request(server):
    assert "Say which request" in words(page(server, "/history/restore/", 400))


def test_the_preview_of_a_request_is_for_people_alone(server):
    answer = server.get("/history/restore/?correlation=import-1")

    assert (405, PROBLEM) == (answer.status, answer.headers["Content-Type"])


def test_a_form_of_another_site_is_refused(server, import_):
    _, form, _ = preview(server, "/history/restore/?correlation=import-1")
    answer = send(server, "/history/restore/", form | {"reason": "evil"})

    assert 403 == answer.status
    assert 99 == server.get(import_[0]).json["age"]


def test_clients_of_the_api_need_no_token(server, import_):
    answer = server.post("/history/restore/", {"correlation": "import-1", "dry_run": True})

    assert (200, 2) == (answer.status, answer.json["documents"])


def test_a_reason_that_is_too_long_is_refused_on_the_page(server, import_):
    _, form, cookie = preview(server, "/history/restore/?correlation=import-1")
    answer = send(server, "/history/restore/", form | {"reason": "x" * 10_000}, cookie)

    assert 422 == answer.status
    assert "reason" in words(html_of(answer))


def test_who_may_not_restore_gets_no_preview(house, import_):
    class Reader(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return action != "restore"

    with Server(house.auditor.routes(prefix="/r", handler=Reader)) as server:
        assert "Undo this request" not in page(server, "/r/history/")
        page(server, "/r/history/restore/?correlation=import-1", 403)


# Groups --------------------------------------------------------------------------------------


def event(correlation):
    return {"correlation": correlation, "actor": None, "reason": None}


@pytest.mark.parametrize(
    ("correlations", "expected"),
    [
        pytest.param(["a", "a", "b"], [2, 1], id="neighbours"),
        pytest.param(["a", "b", "a"], [1, 1, 1], id="apart"),
        pytest.param([None, None], [1, 1], id="none"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_neighbours_of_one_request_are_a_group(correlations, expected):
    groups = grouped([event(each) for each in correlations])

    assert expected == [len(each.events) for each in groups]


def test_a_browser_is_told_that_the_format_depends(server, import_):
    assert "Accept" == server.get("/history/", headers=HTML).headers["Vary"]
