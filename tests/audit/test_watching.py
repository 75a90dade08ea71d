"""Readers are told of new positions: with a change stream, and without one."""

from __future__ import annotations

import threading

import pytest
from pymongo.errors import InvalidOperation, OperationFailure

from bzz.audit.watching import Watch
from tests.support import wait_until


@pytest.fixture(params=["change stream", "looking"])
def watch(house, request, monkeypatch):
    house.auditor.prepare()
    seals = house.auditor.seals
    if request.param == "looking":

        def none(seconds):
            raise OperationFailure("The $changeStream stage is only supported on replica sets")

        monkeypatch.setattr(seals, "signs", none)
    watch = Watch(seals)
    yield watch
    watch.close()


def advance(house):
    house.make(name="one more")
    house.auditor.sequence()


def test_who_waits_goes_on_with_the_new_head(house, watch):
    before = house.auditor.seals.head()
    found = []
    waiting = threading.Thread(target=lambda: found.append(watch.wait(before, 30)))
    waiting.start()
    advance(house)
    waiting.join(30)

    assert [house.auditor.seals.head()] == found


def test_who_is_behind_need_not_wait(house, watch):
    before = house.auditor.seals.head()
    advance(house)

    assert before.position + 1 == watch.wait(before, 30).position


def test_nobody_waits_longer_than_asked(house, watch):
    before = house.auditor.seals.head()

    assert before == watch.wait(before, 0.05)


def test_listeners_hear_of_it_until_they_are_let_go(house, watch):
    heard, others = [], []
    let_go = watch.listen(heard.append)
    watch.listen(others.append)
    advance(house)
    wait_until(lambda: house.auditor.seals.head() in heard)
    let_go()
    advance(house)
    wait_until(lambda: house.auditor.seals.head() in others)

    assert house.auditor.seals.head() not in heard


def test_a_listener_that_raises_stops_no_other(house, watch):
    heard = []

    def failing(head):
        raise ValueError

    watch.listen(failing)
    watch.listen(heard.append)
    advance(house)

    wait_until(lambda: house.auditor.seals.head() in heard)


def test_a_new_epoch_is_told_too(house, watch):
    before = house.auditor.seals.head()
    watch.wait(before, 0.05)
    epoch = house.auditor.begin_epoch()

    assert epoch == watch.wait(before, 30).epoch


def test_closing_lets_go_who_waits(house, watch):
    before = house.auditor.seals.head()
    found = []
    waiting = threading.Thread(target=lambda: found.append(watch.wait(before, 600)))
    waiting.start()
    watch.close()
    waiting.join(30)

    assert [before] == found


@pytest.mark.parametrize("error", [InvalidOperation("of a cursor"), RuntimeError("whatever")])
def test_it_looks_on_after_an_error_that_is_not_the_end_of_its_client(
    house, watch, error, monkeypatch
):
    fails, usual = [error], house.auditor.seals.head

    def head():
        if fails:
            raise fails.pop()
        return usual()

    monkeypatch.setattr(house.auditor.seals, "head", head)
    heard = []
    watch.listen(heard.append)
    advance(house)
    wait_until(lambda: heard and heard[-1].position == 1)

    assert [] == fails
