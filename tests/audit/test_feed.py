"""`GET /history/`: the events of all models by their positions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bzz import MongoEngineRestHandler, flatten
from tests.support import Server


@pytest.fixture
def feed(house):
    with Server(flatten([house.routes(), house.auditor.routes()])) as server:
        yield server


@pytest.fixture
def users(house):
    users = [house.make(name=f"u{number}", age=number) for number in range(5)]
    house.write(lambda: house.Team(name="t").save(), correlation="c-1", actor="ana")
    house.auditor.sequence()
    return users


def positions(answer):
    assert 200 == answer.status, answer.body
    return [each["position"] for each in answer.json["items"]]


def test_the_newest_come_first(feed, users):
    answer = feed.get("/history/")

    assert [6, 5, 4, 3, 2, 1] == positions(answer)
    assert ["team", "user"] == [each["model"] for each in answer.json["items"][:2]]
    assert None is answer.json["next"]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_following_next_gives_each_event_once(feed, users, order):
    answer, seen = feed.get(f"/history/?limit=2&order={order}"), []
    while positions(answer):
        seen += positions(answer)
        if answer.json["next"] is None:
            break
        answer = feed.get(answer.json["next"])

    assert list(range(1, 7)) == (seen if order == "asc" else seen[::-1])


def test_in_order_there_is_always_a_next_to_come_back_with(feed, house, users):
    answer = feed.get("/history/?order=asc&after=6")

    assert [] == positions(answer)
    house.make(name="later")
    house.auditor.sequence()
    assert [7] == positions(feed.get(answer.json["next"]))


def test_events_without_a_position_are_not_there_yet(feed, house, users):
    house.make(name="later")

    assert [6, 5, 4, 3, 2, 1] == positions(feed.get("/history/"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("model=team", [6]),
        ("correlation=c-1", [6]),
        ("actor=ana", [6]),
        ("operation=updated", []),
        ("field=age", [5, 4, 3, 2, 1]),
        ("field=name&model=team", [6]),
        ("before=3", [2, 1]),
        ("after=4", [6, 5]),
        ("after=0&before=2", [1]),
        ("until=2001-01-01T00:00:00Z", []),
        ("since=2001-01-01T00:00:00Z&limit=1", [6]),
    ],
)
def test_events_are_filtered(feed, users, asked, expected):
    assert expected == positions(feed.get(f"/history/?{asked}"))


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ("model=cat", 400, "'model' is one of club, deed, order, team, user; got 'cat'."),
        ("field=wings", 400, "No model here has a field 'wings'."),
        ("order=up", 400, "'order' is asc or desc, not 'up'."),
        ("after=x", 400, "'after' is a whole number from 0; got 'x'."),
        ("include=state", 400, "The query parameter 'include' is unknown here"),
        ("after=7", 410, "There is no position 7; the last one is 6. Begin anew"),
        ("after=1&epoch=old", 410, "Position 1 is of another epoch"),
    ],
)
def test_what_cannot_be_answered_is_said(feed, users, asked, status, message):
    answer = feed.get(f"/history/?{asked}")

    assert status == answer.status
    assert message in answer.problem["detail"]


def test_a_reader_of_another_epoch_is_told(feed, house, users):
    answer = feed.get("/history/?order=asc&limit=2")
    house.auditor.begin_epoch()

    assert 410 == feed.get(answer.json["next"]).status


def test_a_primary_that_lags_for_a_moment_sends_no_reader_away(feed, house, users, monkeypatch):
    seals = house.auditor.seals
    behind = replace(seals.head(), position=2)
    monkeypatch.setattr(seals, "head", lambda session=None: behind)
    answer = feed.get("/history/?order=asc&after=4")

    assert [] == positions(answer)
    monkeypatch.undo()
    assert [5, 6] == positions(feed.get(answer.json["next"]))


def test_a_page_of_a_primary_that_lags_goes_on_where_it_ended(feed, house, users, monkeypatch):
    seals = house.auditor.seals
    latest, behind = seals.head(), replace(seals.head(), position=2)
    monkeypatch.setattr(seals, "head", lambda session=None: latest if session is None else behind)
    answer = feed.get("/history/?order=asc")

    assert [1, 2] == positions(answer)
    monkeypatch.undo()
    assert [3, 4, 5, 6] == positions(feed.get(answer.json["next"]))


def test_models_that_may_not_be_read_are_left_out(house, users):
    class Guarded(MongoEngineRestHandler):
        def may(self, action, model, pk):
            return not (action == "feed" and model is house.User)

    routes = flatten([house.routes(Guarded), house.auditor.routes(handler=Guarded)])
    with Server(routes) as server:
        assert [6] == positions(server.get("/history/"))
        assert 403 == server.get("/history/?model=user").status


def test_documents_that_may_not_be_seen_are_left_out(feed, house, users, monkeypatch):
    def hook(model, queryset, instance_id, handler):
        return queryset.filter(age__gte=3)

    monkeypatch.setattr(house.User, "get_instance_queryset", staticmethod(hook), raising=False)

    assert [6, 5, 4] == positions(feed.get("/history/"))


def test_it_is_only_read(feed):
    assert 405 == feed.post("/history/", {}).status
