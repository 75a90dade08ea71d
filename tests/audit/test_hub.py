"""The newest events in memory: bounded, read once, and what listeners are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import InvalidOperation

from bzz.audit.feed import Feed
from bzz.audit.hub import Hub, Kept, News, Window
from bzz.audit.seals import LogHead
from tests.support import wait_until


def kept(position, size=1):
    return Kept(position, {"p": position}, size, {})


SIZES = st.lists(st.lists(st.integers(1, 9), max_size=5), max_size=8)


@given(batches=SIZES, limit=st.integers(1, 6), room=st.integers(1, 20), asked=st.integers(0, 45))
def test_a_window_is_bounded_and_holds_all_that_is_above_its_start(batches, limit, room, asked):
    window, position = Window(0, LogHead(0, "e")), 0
    for batch in batches:
        events = [kept(position + number, size) for number, size in enumerate(batch, 1)]
        position += len(batch)
        window = window.moved(events, LogHead(position, "e"), kept=limit, size=room)

    assert limit >= len(window.events)
    assert room >= sum(each.size for each in window.events)
    assert list(range(window.start + 1, position + 1)) == [e.position for e in window.events]
    found = window.after(asked, 3)
    if window.start <= asked <= position:
        expected = list(range(asked + 1, position + 1))[:3]
        assert expected == [each.position for each in found]
    else:
        assert found is None


def test_a_question_about_news_is_answered_once_for_all_who_ask_it():
    asked = []

    def is_wanted(stored):
        asked.append(stored["p"])
        return False

    news = News(LogHead(0, "e"), LogHead(2, "e"), (kept(1), kept(2)))
    assert [False, False] == [news.concerns(is_wanted) for _ in range(2)]
    assert [1, 2] == asked


@pytest.fixture
def hub(house):
    house.auditor.prepare()
    hub = Hub(house.auditor.feed, house.auditor.watch, kept=5)
    yield hub
    hub.close()


def make(house, count):
    for number in range(count):
        house.make(name=f"u{number}")
    house.auditor.sequence()


def test_listeners_are_told_what_is_new_and_from_where_on(house, hub):
    told = []
    hub.listen(told.append)
    wait_until(lambda: told)
    make(house, 3)
    wait_until(lambda: told[-1].head.position == 3)

    assert [1, 2, 3] == [each.position for news in told[1:] for each in news.events]
    assert all(one.head == other.before for one, other in zip(told, told[1:]))


def test_more_than_there_is_room_for_is_not_read(house, hub):
    told = []
    hub.listen(told.append)
    wait_until(lambda: told)
    make(house, 6)
    wait_until(lambda: told[-1].head.position == 6)

    assert None is told[-1].events
    assert Window(6, told[-1].head) == hub.window


def test_another_epoch_is_told_and_nothing_of_the_one_before_is_kept(house, hub):
    told = []
    make(house, 2)
    hub.listen(told.append)
    wait_until(lambda: told)
    epoch = house.auditor.begin_epoch()
    wait_until(lambda: told[-1].head.epoch == epoch)

    assert None is told[-1].events
    assert () == hub.window.events


def test_a_listener_that_raises_stops_no_other(house, hub):
    told = []

    def failing(news):
        raise ValueError

    hub.listen(failing)
    hub.listen(told.append)
    make(house, 1)
    wait_until(lambda: told and told[-1].head.position == 1)


def test_the_end_is_told(hub):
    told = []
    hub.listen(told.append)
    hub.close()

    assert None is told[-1]
    assert hub.is_closed


@pytest.mark.parametrize("error", [InvalidOperation("of a cursor"), RuntimeError("whatever")])
def test_it_reads_on_after_an_error_that_is_not_the_end_of_its_client(
    house, hub, error, monkeypatch
):
    told, fails, usual = [], [error], Feed.pieces

    def pieces(*arguments):
        if fails:
            raise fails.pop()
        return usual(*arguments)

    monkeypatch.setattr(Feed, "pieces", pieces)
    hub.listen(told.append)
    wait_until(lambda: told)
    make(house, 1)
    wait_until(lambda: told[-1].head.position == 1)

    assert [] == fails
