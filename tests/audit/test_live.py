"""Live streams of `GET /history/` and of one document's history, over real sockets."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from bzz import MongoEngineRestHandler, flatten
from bzz.audit import Live
from tests.audit.sse import Stream, Told
from tests.support import Server, wait_until


@contextmanager
def served(house, handler=MongoEngineRestHandler):
    with Server(flatten([house.routes(handler), house.auditor.routes(handler=handler)])) as server:
        yield server


@pytest.fixture
def feed(house):
    with served(house) as server:
        yield server


def live(house, monkeypatch, **options):
    """Other settings of live streams, for one test."""
    monkeypatch.setattr(house.auditor, "_live", Live(**options))


def make(house, *names, model=None, **context):
    made = [
        house.write(lambda: (model or house.User)(name=name).save(), **context) for name in names
    ]
    house.auditor.sequence()
    return made


def names(events):
    return [each["changes"][0]["to"] for each in events]


def test_events_come_as_they_get_their_positions(feed, house):
    with Stream(feed.port, "/history/") as stream:
        make(house, "Ana", "Bea")
        first, second = stream.take(2)

    assert [1, 2] == [first["position"], second["position"]]
    assert ["Ana", "Bea"] == names([first, second])


def test_an_event_is_told_as_pages_show_it(feed, house):
    with Stream(feed.port, "/history/") as stream:
        make(house, "Ana\nand\r\nBea \u2028 ü")
        [event] = stream.take(1)

    assert [event] == feed.get("/history/").json["items"]


def test_the_answer_is_a_stream_that_nobody_keeps(feed, house):
    make(house, "Ana")
    with Stream(feed.port, "/history/") as stream:
        assert 200 == stream.status
        assert "text/event-stream" == stream.headers["Content-Type"]
        assert "no-store" == stream.headers["Cache-Control"]
        assert "no" == stream.headers["X-Accel-Buffering"]
        assert "Accept" == stream.headers["Vary"]
        assert b"retry: 2000\n" == stream.answer.readline()


def test_it_begins_with_what_comes_from_now_on_and_says_where_that_is(feed, house):
    make(house, "before")
    with Stream(feed.port, "/history/") as stream:
        blocks = stream.blocks()
        opening = next(blocks)
        make(house, "after")
        found = next(blocks)

    assert opening.data is None
    assert f"1-{house.auditor.seals.head().epoch}" == opening.id
    assert (f"2-{house.auditor.seals.head().epoch}", 2) == (found.id, found.data["position"])


def test_it_goes_on_after_a_position(feed, house):
    make(house, *"abcd")
    with Stream(feed.port, "/history/?after=2") as stream:
        assert ["c", "d"] == names(stream.take(2))


def test_the_last_event_id_beats_after(feed, house):
    make(house, *"abcd")
    for last in ("3", f"3-{house.auditor.seals.head().epoch}"):
        with Stream(feed.port, "/history/?after=0", last) as stream:
            assert ["d"] == names(stream.take(1))


@pytest.mark.parametrize(
    ("path", "last", "status", "message"),
    [
        ("/history/?after=7", None, 410, "There is no position 7; the last one is 1. Begin anew"),
        ("/history/", "7", 410, "There is no position 7; the last one is 1. Begin anew"),
        ("/history/", "1-other", 410, "Position 1 is of another epoch"),
        ("/history/?epoch=other", "1", 410, "Position 1 is of another epoch"),
        ("/history/", "x", 400, "Last-Event-ID is the id of an event of this stream; got 'x'."),
        ("/history/?order=desc", None, 400, "A live stream tells the oldest first"),
        ("/history/?limit=2", None, 400, "The query parameter 'limit' is unknown here"),
        ("/history/?before=2", None, 400, "The query parameter 'before' is unknown here"),
        ("/history/?field=wings", None, 400, "No model here has a field 'wings'."),
        ("/history/?model=cat", None, 400, "'model' is one of"),
        ("/user/{id}/history/?after=7", None, 410, "There is no version 7; the last one is 1."),
        ("/user/{id}/history/", "7", 410, "There is no version 7; the last one is 1."),
        ("/user/{id}/history/?field=wings", None, 400, "User has no field 'wings'"),
        ("/user/{id}/history/?include=state", None, 400, "'include' is unknown here"),
        ("/user/64b000000000000000000000/history/", None, 404, "64b000000000000000000000"),
    ],
)
def test_what_cannot_be_followed_is_said(feed, house, path, last, status, message):
    [user] = make(house, "Ana")
    with Stream(feed.port, path.format(id=user.pk), last) as stream:
        assert status == stream.status
        assert message in stream.problem["detail"]


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "image/png", "text/event-stream;q=0"]
)
def test_who_does_not_ask_for_a_stream_gets_a_page(feed, house, accept):
    make(house, "Ana")
    for path in ("/history/", f"/user/{house.User.objects.get().pk}/history/"):
        answer = feed.get(path, headers={"Accept": accept})

        assert 1 == len(answer.json["items"])
        assert "Accept" == answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/history/", "/user/{id}/history/"])
def test_the_head_of_a_stream_has_no_body(feed, house, path):
    [user] = make(house, "Ana")
    answer = feed.head(path.format(id=user.pk), headers={"Accept": "text/event-stream"})

    assert (200, b"") == (answer.status, answer.body)
    assert "text/event-stream" == answer.headers["Content-Type"]


def test_a_reader_of_another_epoch_is_ended_and_told_when_he_comes_back(feed, house):
    make(house, "Ana")
    with Stream(feed.port, "/history/") as stream:
        blocks = stream.blocks()
        next(blocks)
        house.auditor.begin_epoch()
        assert [] == list(blocks)
    with Stream(feed.port, "/history/", stream.last) as again:
        assert 410 == again.status


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("model=team", ["red"]),
        ("actor=ana", ["Bea"]),
        ("actor=user:ana", ["Bea"]),
        ("correlation=c-1", ["Cleo"]),
        ("operation=created,deleted", ["Ana", "Bea", "Cleo", "red"]),
        ("field=name&model=user", ["Ana", "Bea", "Cleo"]),
        ("since=2001-01-01T00:00:00Z", ["Ana", "Bea", "Cleo", "red"]),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_what_is_asked_for_is_told_live_and_from_the_database(feed, house, asked, expected, live):
    def write():
        make(house, "Ana")
        make(house, "Bea", actor="ana")
        make(house, "Cleo", correlation="c-1")
        make(house, "red", model=house.Team)

    after = "" if live else "&after=0"
    if not live:
        write()
    with Stream(feed.port, f"/history/?{asked}{after}") as stream:
        if live:
            write()
        assert expected == names(stream.take(len(expected)))


def test_who_is_told_nothing_learns_how_far_he_is(feed, house, monkeypatch):
    live(house, monkeypatch, heartbeat=0.05)
    with Stream(feed.port, "/history/?operation=deleted") as stream:
        make(house, *"abc")
        blocks = stream.blocks()
        wait_until(lambda: next(blocks).id == f"3-{house.auditor.seals.head().epoch}")


def test_a_silent_stream_says_that_it_lives(feed, house, monkeypatch):
    live(house, monkeypatch, heartbeat=0.05)
    with Stream(feed.port, "/history/") as stream:
        opening, *beats = (told for _, told in zip(range(3), stream.blocks()))

    assert [Told(None, None)] * 2 == beats


def test_what_is_not_kept_in_memory_comes_from_the_database(feed, house, monkeypatch):
    monkeypatch.setattr(house.auditor._hub, "_kept", 3)
    with Stream(feed.port, "/history/?after=0") as stream:
        make(house, *(f"u{number}" for number in range(20)))
        assert list(range(1, 21)) == [each["position"] for each in stream.take(20)]


# One document -----------------------------------------------------------------------------


def test_the_versions_of_one_document_come_with_their_numbers(feed, house):
    [user, other] = make(house, "Ana", "Bea")
    with Stream(feed.port, f"/user/{user.pk}/history/?after=0") as stream:
        blocks = stream.blocks()
        assert "0" == next(blocks).id
        rename(house, other, "Bob")
        rename(house, user, "Anna")
        found = [next(blocks) for _ in range(2)]

    assert ["1", "2"] == [each.id for each in found]
    assert [1, 2] == [each.data["version"] for each in found]
    shown = feed.get(f"/user/{user.pk}/history/").json["items"]
    assert shown[::-1] == [each.data for each in found]


def rename(house, user, name):
    def work():
        found = house.User.objects.get(pk=user.pk)
        found.name = name
        found.save()

    house.write(work)
    house.auditor.sequence()


def test_one_document_is_followed_from_a_version_on(feed, house):
    [user] = make(house, "Ana")
    for name in "bcd":
        rename(house, user, name)
    with Stream(feed.port, f"/user/{user.pk}/history/?after=0", "2") as stream:
        assert [3, 4] == [each["version"] for each in stream.take(2)]
    with Stream(feed.port, f"/user/{user.pk}/history/") as stream:
        rename(house, user, "e")
        assert [5] == [each["version"] for each in stream.take(1)]


def test_of_one_document_what_is_asked_for_is_told(feed, house):
    [user] = make(house, "Ana")
    path = f"/user/{user.pk}/history/?operation=deleted"
    with Stream(feed.port, path) as stream:
        rename(house, user, "Bea")
        house.write(lambda: house.User.objects.get(pk=user.pk).delete())
        house.auditor.sequence()
        assert [(3, "deleted")] == [(e["version"], e["operation"]) for e in stream.take(1)]


# Who may see it ---------------------------------------------------------------------------


def test_a_document_that_may_no_longer_be_seen_is_left_out_from_then_on(feed, house, monkeypatch):
    hidden = []

    def hook(model, queryset, instance_id, handler):
        return queryset.filter(name__nin=hidden)

    monkeypatch.setattr(house.User, "get_instance_queryset", staticmethod(hook), raising=False)
    with Stream(feed.port, "/history/") as stream:
        make(house, "a")
        assert ["a"] == names(stream.take(1))
        hidden.append("b")
        make(house, "b", "c")
        assert ["c"] == names(stream.take(1))


def test_models_that_may_no_longer_be_read_are_left_out_and_without_any_it_ends(house):
    class Guarded(MongoEngineRestHandler):
        refused = []

        def may(self, action, model, pk):
            return action not in ("feed", "history") or model not in self.refused

    with served(house, Guarded) as server, Stream(server.port, "/history/") as stream:
        make(house, "a")
        assert ["a"] == names(stream.take(1))
        Guarded.refused = [house.User]
        make(house, "b")
        make(house, "red", model=house.Team)
        assert ["red"] == names(stream.take(1))
        Guarded.refused = [house.User, house.Team, house.Club, house.Order, house.Deed]
        make(house, "c")
        assert [] == list(stream.blocks())
        with Stream(server.port, "/history/") as again:
            assert 403 == again.status


def test_values_that_are_hidden_by_now_are_not_told(feed, house):
    with Stream(feed.port, "/history/") as stream:
        house.auditor.track(house.User, mask=["name"])
        make(house, "Ana")
        [event] = stream.take(1)

    assert {"path": "/name", "masked": True} in event["changes"]


# Bounds -----------------------------------------------------------------------------------


def test_there_are_so_many_streams_and_no_more(feed, house, monkeypatch):
    monkeypatch.setattr(house.auditor.audience, "_size", 1)
    with Stream(feed.port, "/history/"), Stream(feed.port, "/history/") as second:
        assert 503 == second.status
        assert "10" == second.headers["Retry-After"]
        assert "This process serves 1 live streams already" in second.problem["detail"]
    wait_until(lambda: len(house.auditor.audience) == 0)
    with Stream(feed.port, "/history/") as third:
        assert 200 == third.status
    for server in (feed, house.running):  # the access log, which both of them hear
        server.take_errors(1)


def test_who_takes_nothing_is_dropped_and_others_go_on(feed, house, monkeypatch):
    live(house, monkeypatch, patience=0.3)
    with Stream(feed.port, "/history/") as slow, Stream(feed.port, "/history/") as quick:
        blocks = quick.events()
        for number in range(40):  # more than the sockets of the slow one hold
            make(house, f"{number}" + "x" * 400_000)
            assert names([next(blocks)])[0].startswith(f"{number}x")
        wait_until(lambda: len(house.auditor.audience) == 1)
        make(house, "last")
        assert ["last"] == names([next(blocks)])
        del slow


def test_streams_end_with_the_server(house):
    with served(house) as server:
        stream = Stream(server.port, "/history/")
    with stream:
        assert [None] == [told.data for told in stream.blocks()]
    wait_until(lambda: len(house.auditor.audience) == 0)


def test_without_streams_nothing_is_read(feed, house):
    with Stream(feed.port, "/history/"):
        wait_until(lambda: house.auditor.window is not None)
    wait_until(lambda: len(house.auditor.audience) == 0)

    hub, watch = house.auditor._hub, house.auditor.watch
    assert 0 == len(hub._listeners) == len(watch._listeners)


@pytest.mark.parametrize("option", ["streams", "heartbeat", "patience", "retry", "kept"])
def test_settings_are_above_0(option):
    with pytest.raises(ValueError, match=rf"Live\({option}=…\) is above 0, not 0."):
        Live(**{option: 0})
