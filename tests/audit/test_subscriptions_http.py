"""Subscriptions over HTTP: how they stand, what is parked, and what is to become of it."""

from __future__ import annotations

import pytest

from bzz import flatten
from tests.audit.subscribers import Guarded, caught_up, hurry, working
from tests.support import Server

SUBSCRIPTION = "/history/subscriptions/index/"


@pytest.fixture
def server(house, monkeypatch):
    hurry(monkeypatch)
    routes = flatten([house.routes(Guarded), house.auditor.routes(handler=Guarded)])
    with Server(routes) as server:
        yield server


@pytest.fixture
def parked(house, server):
    """Ana's two events are parked by 'index'; Ben's is not."""
    ill = [True]

    @house.auditor.subscribe("index", model=house.User, retries=0)
    def index(event, ctx):
        if event.document == ana.pk and ill:
            raise ValueError("ill")

    ana = house.make(name="Ana")
    house.make(name="Ben")
    house.write(lambda: ana.update(age=3))
    with working(house):
        caught_up(house)
    house.ana, house.ill = ana, ill
    return house


def test_all_subscriptions_are_listed(parked, server):
    parked.auditor.subscribe("other", start="latest")(print)
    answer = server.get("/history/subscriptions/")
    index, other = answer.json["items"]

    assert 200 == answer.status
    assert "no-store" == answer.headers["Cache-Control"]
    assert ("index", "idle", 3, 0, 2, 1, "ValueError: ill", 1) == (
        index["name"],
        index["state"],
        index["position"],
        index["lag"],
        index["parked"],
        index["failed"],
        index["error"],
        index["error_position"],
    )
    assert ("other", 3, 0, None) == (
        other["name"],
        other["position"],
        other["parked"],
        other["error"],
    )


def test_one_is_shown_with_its_parked_events(parked, server):
    first, second = server.get(SUBSCRIPTION).json["items"]

    assert (1, "parked", 1, "ValueError: ill") == (
        first["position"],
        first["state"],
        first["attempts"],
        first["error"],
    )
    assert (3, 0, None) == (second["position"], second["attempts"], second["error"])
    assert ("user", str(parked.ana.pk), 1) == (
        first["event"]["model"],
        first["event"]["document"],
        first["event"]["version"],
    )


def test_parked_events_come_in_pages(parked, server):
    page = server.get(f"{SUBSCRIPTION}?limit=1").json
    rest = server.get(page["next"]).json

    assert [1] == [each["position"] for each in page["items"]]
    assert [3] == [each["position"] for each in rest["items"]]
    assert rest["next"] is None


def test_a_retry_is_taken_up_by_a_worker(parked, server):
    answer = server.post(f"{SUBSCRIPTION}parked/3/retry/")
    assert 202 == answer.status
    assert (0, 2) == (answer.json["parked"], answer.json["waiting"])
    parked.ill.clear()
    with working(parked):
        caught_up(parked)

    assert [] == server.get(SUBSCRIPTION).json["items"]


def test_a_skip_is_kept_with_who_and_why(parked, server):
    answer = server.post(
        f"{SUBSCRIPTION}parked/1/skip/", {"reason": "a test"}, headers={"X-User": "eva"}
    )
    [skipped] = server.get(f"{SUBSCRIPTION}?state=skipped").json["items"]

    assert 200 == answer.status
    assert (1, 1) == (answer.json["skipped"], answer.json["waiting"])
    assert ("user:eva", "a test", 1) == (
        skipped["skipped_by"],
        skipped["reason"],
        skipped["position"],
    )
    assert skipped["skipped_at"]


def test_the_reason_of_a_skip_may_be_in_the_header(parked, server):
    headers = {"X-Audit-Reason": "told so"}
    assert 200 == server.post(f"{SUBSCRIPTION}parked/1/skip/", headers=headers).status
    [skipped] = server.get(f"{SUBSCRIPTION}?state=skipped").json["items"]

    assert "told so" == skipped["reason"]


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        pytest.param("skip/", {}, 422, "needs a reason", id="no reason"),
        pytest.param("skip/", {"reason": 3}, 422, "it is a text", id="reason"),
        pytest.param("skip/", {"why": "x"}, 422, "The body has reason, not 'why'", id="member"),
        pytest.param("skip/", [1], 422, "The body is an object", id="list"),
        pytest.param("retry/", {"reason": "x"}, 422, "has no members", id="members"),
        pytest.param("retry/?now=1", {}, 400, "now", id="argument"),
    ],
)
def test_a_decision_that_cannot_be_meant_is_refused(parked, server, path, body, status, detail):
    answer = server.post(f"{SUBSCRIPTION}parked/1/{path}", body)

    assert status == answer.status
    assert detail in answer.problem["detail"]
    assert 2 == server.get(SUBSCRIPTION).json["parked"]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        pytest.param("parked/2/retry/", "has no parked event of position 2", id="retry"),
        pytest.param("parked/9/retry/", "has no parked event of position 9", id="no event"),
        pytest.param("parked/0/retry/", "There is nothing at", id="no position"),
        pytest.param("parked/1/mend/", "There is nothing at", id="verb"),
        pytest.param("../other/parked/1/retry/", "There is no subscription 'other'", id="name"),
    ],
)
def test_what_is_not_there_is_not_found(parked, server, path, detail):
    path = "/history/subscriptions/" + f"index/{path}".removeprefix("index/../")
    answer = server.post(path)

    assert 404 == answer.status
    assert detail in answer.problem["detail"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        pytest.param("limit=0", "'limit' is 1 to 100", id="limit"),
        pytest.param("after=-1", "'after' is a position from 0", id="after"),
        pytest.param("state=mad", "'state' is one of waiting, parked, skipped", id="state"),
        pytest.param("foo=1", "foo", id="unknown"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(parked, server, query, detail):
    answer = server.get(f"{SUBSCRIPTION}?{query}")

    assert 400 == answer.status
    assert detail in answer.problem["detail"]


def test_an_unknown_subscription_is_not_found(house, server):
    assert 404 == server.get("/history/subscriptions/other/").status
    assert [] == server.get("/history/subscriptions/").json["items"]


def test_other_methods_are_refused(parked, server):
    for method, path in (("POST", SUBSCRIPTION), ("GET", f"{SUBSCRIPTION}parked/1/retry/")):
        assert 405 == server.request(method, path).status


# Who may see and do what ---------------------------------------------------------------------


def test_who_may_not_read_the_feed_sees_no_subscription_of_it(parked, server):
    headers = {"X-Never": "feed"}

    assert [] == server.get("/history/subscriptions/", headers=headers).json["items"]
    assert 403 == server.get(SUBSCRIPTION, headers=headers).status


def test_who_may_not_rebuild_can_decide_nothing_and_sees_no_errors(parked, server):
    headers = {"X-Never": "rebuild"}
    for path in ("retry/", "skip/"):
        assert 403 == server.post(f"{SUBSCRIPTION}parked/1/{path}", {}, headers=headers).status
    shown = server.get(SUBSCRIPTION, headers=headers).json

    assert shown["error"] is None
    assert [None, None] == [each["error"] for each in shown["items"]]
    assert 2 == shown["parked"]


def test_events_of_documents_that_may_not_be_seen_are_left_out_and_not_decided_on(
    parked, server, monkeypatch
):
    def hidden(model, queryset, instance_id, handler):
        return queryset.filter(name__ne="Ana")

    monkeypatch.setattr(parked.User, "get_instance_queryset", staticmethod(hidden), raising=False)

    assert [] == server.get(SUBSCRIPTION).json["items"]
    assert 404 == server.post(f"{SUBSCRIPTION}parked/1/retry/").status
