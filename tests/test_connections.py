"""Who is connected to the signals, and what each receiver did so far."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from bzz import signals
from bzz.connections import LONGEST_TEXT, Moment
from bzz.signals import (
    ANY,
    announce,
    ask,
    before_commit,
    connected,
    post_create_instance,
    post_delete_instance,
    post_get_list,
    post_update_instance,
    pre_get_instance,
    send_atomic,
)


class User:
    """Stands for a model."""


class Team:
    """Stands for another."""


@pytest.fixture(autouse=True)
def _disconnected() -> Iterator[None]:
    yield
    for signal in signals.namespace.values():
        signal.receivers = {}


def idle() -> None:
    """A receiver."""


def line_of(function: Any) -> str:
    return f"{__file__}:{function.__code__.co_firstlineno}"


def only(signal: Any = post_create_instance) -> Any:
    [row] = connected(signal)
    return row


def within() -> None:
    send_atomic(post_create_instance, User)


def after() -> None:
    asyncio.run(announce(post_create_instance, User))


# Who is connected


def test_nobody_is_connected_at_first() -> None:
    assert [] == connected()


def test_a_receiver_is_listed_with_its_name_and_its_place() -> None:
    post_create_instance.connect(idle)

    assert ("post_create_instance", f"{__name__}.idle", line_of(idle)) == (
        only().signal,
        only().name,
        only().where,
    )


class Receiving:
    """The ways in which an object receives."""

    def method(self) -> None:
        """Never called."""

    def __call__(self) -> None:
        """Never called."""


@functools.wraps(idle)
def wrapped(*args: Any, **named: Any) -> None:
    """Never called."""


@pytest.mark.parametrize(
    ("receiver", "name", "function"),
    [
        (Receiving().method, "Receiving.method", Receiving.method),
        (Receiving(), "Receiving", Receiving.__call__),
        (functools.partial(functools.partial(idle)), "idle", idle),
        (wrapped, "idle", idle),
    ],
    ids=["method", "object", "partial", "wrapped"],
)
def test_every_kind_of_receiver_is_listed_where_its_code_is(
    receiver: Any, name: str, function: Any
) -> None:
    post_create_instance.connect(receiver, weak=False)

    assert (f"{__name__}.{name}", line_of(function)) == (only().name, only().where)


def test_what_is_no_python_function_has_no_place() -> None:
    post_create_instance.connect(functools.partial(setattr, User, "heard", True), weak=False)

    assert ("builtins.setattr", None) == (only().name, only().where)


def test_a_mock_is_listed_too() -> None:
    receiver = Mock()
    post_create_instance.connect(receiver)

    assert "unittest.mock.Mock" == only().name


@pytest.mark.parametrize(
    ("signal", "atomic", "expected"),
    [
        (post_create_instance, False, "after the commit"),
        (post_update_instance, False, "after the commit"),
        (post_delete_instance, False, "after the commit"),
        (post_create_instance, True, "atomic"),
        (before_commit, False, "atomic"),
        (pre_get_instance, False, "before the request"),
        (post_get_list, False, "after the read"),
    ],
)
def test_a_receiver_is_listed_with_its_moment(signal: Any, atomic: bool, expected: str) -> None:
    signal.connect(idle, atomic=atomic)

    assert expected == only(signal).moment


def test_connecting_again_moves_the_moment_and_lists_no_second_one() -> None:
    post_create_instance.connect(idle, atomic=True)
    post_create_instance.connect(idle)

    assert Moment.COMMITTED is only().moment


def test_a_receiver_is_listed_once_with_all_of_its_senders() -> None:
    post_create_instance.connect(idle, sender=User)
    post_create_instance.connect(idle, sender=Team)
    post_create_instance.connect(idle, sender="text")

    assert {User, Team, "text"} == set(only().senders)


def test_a_receiver_of_all_models_is_listed_with_any() -> None:
    post_create_instance.connect(idle, sender=User)
    post_create_instance.connect(idle)

    assert (ANY,) == only().senders


@pytest.mark.parametrize("weak", [True, False])
def test_a_receiver_is_listed_as_weak_or_strong(weak: bool) -> None:
    post_create_instance.connect(idle, weak=weak)

    assert weak is only().weak


def test_connected_via_is_strong() -> None:
    post_create_instance.connect_via(User)(idle)

    assert ((User,), False) == (only().senders, only().weak)


def test_all_signals_are_listed_in_their_order_and_receivers_in_that_of_their_coming() -> None:
    other = Receiving()
    for signal, receiver in [(before_commit, idle), (pre_get_instance, other)]:
        signal.connect(receiver)
    pre_get_instance.connect(idle)

    assert [
        ("pre_get_instance", "Receiving"),
        ("pre_get_instance", "idle"),
        ("before_commit", "idle"),
    ] == [(row.signal, row.name.rpartition(".")[2]) for row in connected()]


def test_a_receiver_that_has_vanished_is_not_listed() -> None:
    post_create_instance.connect(lambda: None)
    gc.collect()

    assert [] == connected()


def test_a_method_is_listed_as_long_as_its_object_lives() -> None:
    receiving = Receiving()
    post_create_instance.connect(receiving.method)
    listed = len(connected())
    del receiving
    gc.collect()

    assert (1, 0) == (listed, len(connected()))


def test_a_disconnected_receiver_is_not_listed() -> None:
    post_create_instance.connect(idle)
    post_create_instance.disconnect(idle)

    assert [] == connected()


def test_a_receiver_without_a_sender_left_is_not_listed() -> None:
    post_create_instance.connect(idle, sender=User)
    post_create_instance.disconnect(idle, sender=User)

    assert [] == connected()


def test_after_no_receivers_nobody_is_listed() -> None:
    post_create_instance.connect(idle)
    post_create_instance.receivers = {}

    assert [] == connected()


def test_connected_to_is_listed_for_the_length_of_its_block() -> None:
    with post_create_instance.connected_to(idle, atomic=True):
        inside = only().moment

    assert ("atomic", []) == (inside, connected())


def test_a_muted_signal_lists_its_receivers() -> None:
    post_create_instance.connect(idle)

    with post_create_instance.muted():
        assert idle.__name__ in only().name


def test_a_row_is_a_snapshot() -> None:
    post_create_instance.connect(idle)
    row = only()
    after()

    assert 0 == row.calls
    with pytest.raises(AttributeError):
        row.calls = 1


# What they did


def test_a_receiver_that_was_never_called_has_counted_nothing() -> None:
    post_create_instance.connect(idle)

    assert (0, 0, 0.0, 0.0, None, None) == (
        only().calls,
        only().failures,
        only().seconds,
        only().longest,
        only().last_failure,
        only().last_failed,
    )


@pytest.mark.parametrize("atomic", [True, False])
def test_calls_are_counted_in_the_moment_of_the_receiver_alone(atomic: bool) -> None:
    post_create_instance.connect(idle, atomic=atomic)
    within()
    after()

    assert 1 == only().calls


def test_calls_of_a_receiver_before_a_request_are_counted() -> None:
    pre_get_instance.connect(idle)
    asyncio.run(ask(pre_get_instance, User))

    assert 1 == only(pre_get_instance).calls


def test_calls_by_send_are_counted_too() -> None:
    post_create_instance.connect(idle)
    post_create_instance.send(User)
    asyncio.run(post_create_instance.send_async(User, _sync_wrapper=_later))

    assert 2 == only().calls


def _later(function: Any) -> Any:
    return functools.partial(asyncio.to_thread, function)


def test_nobody_is_counted_while_the_signal_is_muted() -> None:
    post_create_instance.connect(idle)
    with post_create_instance.muted():
        after()

    assert 0 == only().calls


def test_seconds_are_those_of_all_calls_and_longest_that_of_the_longest() -> None:
    pauses = [0.0, 0.02, 0.01]

    def receiver() -> None:
        time.sleep(pauses.pop())

    post_create_instance.connect(receiver, atomic=True)
    for _ in range(3):
        within()

    assert 0.02 <= only().longest < only().seconds
    assert only().seconds >= 0.03


def test_the_seconds_of_a_coroutine_function_are_those_until_its_end() -> None:
    async def receiver() -> None:
        await asyncio.sleep(0.02)

    post_create_instance.connect(receiver)
    after()

    assert only().longest >= 0.02


def test_a_failure_is_counted_with_its_text_and_its_time() -> None:
    def broken() -> None:
        raise ZeroDivisionError("no")

    post_create_instance.connect(broken)
    before = datetime.now(UTC)
    after()

    assert (1, 1, "ZeroDivisionError: no") == (only().calls, only().failures, only().last_failure)
    assert before <= only().last_failed <= datetime.now(UTC)


def test_a_refusal_within_the_transaction_is_a_failure_too() -> None:
    def refuse() -> None:
        raise PermissionError("not you")

    post_create_instance.connect(refuse, atomic=True)
    with pytest.raises(PermissionError):
        within()

    assert (1, "PermissionError: not you") == (only().failures, only().last_failure)


def test_the_last_failure_stays_while_later_calls_succeed() -> None:
    errors: list[Exception] = [ValueError("second"), ValueError("first")]

    def receiver() -> None:
        if errors:
            raise errors.pop()

    post_create_instance.connect(receiver)
    for _ in range(3):
        after()

    assert (3, 2, "ValueError: second") == (only().calls, only().failures, only().last_failure)


def test_a_coroutine_function_in_disguise_in_a_transaction_has_failed() -> None:
    def disguised() -> Any:
        return asyncio.sleep(0)

    post_create_instance.connect(disguised, atomic=True)
    with pytest.raises(TypeError):
        within()

    assert 1 == only().failures


def test_the_text_of_a_failure_is_cut() -> None:
    def broken() -> None:
        raise ValueError("x" * 100_000)

    post_create_instance.connect(broken)
    after()

    assert LONGEST_TEXT == len(only().last_failure)


def test_a_failure_that_cannot_be_shown_is_counted() -> None:
    class Unspeakable(Exception):
        def __str__(self) -> str:
            raise ValueError("not even this")

    def broken() -> None:
        raise Unspeakable

    post_create_instance.connect(broken, atomic=True)
    with pytest.raises(Unspeakable):
        within()

    assert 1 == only().failures


def test_the_error_of_a_failure_is_not_kept_alive() -> None:
    class Broken(Exception):
        """Can be held weakly, as its parent cannot."""

    held = []

    def broken() -> None:
        error = Broken()
        held.append(weakref.ref(error))
        raise error

    post_create_instance.connect(broken, atomic=True)
    with pytest.raises(Broken):
        within()
    gc.collect()

    assert held[0]() is None


def test_each_signal_counts_the_calls_of_a_receiver_for_itself() -> None:
    post_create_instance.connect(idle)
    post_update_instance.connect(idle)
    after()

    assert (1, 0) == (only().calls, only(post_update_instance).calls)


def test_moving_a_receiver_to_the_other_moment_keeps_its_counts() -> None:
    post_create_instance.connect(idle)
    after()
    post_create_instance.connect(idle, atomic=True)
    within()

    assert 2 == only().calls


def test_a_receiver_that_is_connected_anew_counts_from_nothing() -> None:
    post_create_instance.connect(idle)
    after()
    post_create_instance.disconnect(idle)
    post_create_instance.connect(idle)

    assert 0 == only().calls


def test_a_receiver_that_is_put_back_keeps_its_counts() -> None:
    post_create_instance.connect(idle)
    after()
    aside, post_create_instance.receivers = post_create_instance.receivers, {}
    post_create_instance.receivers = aside

    assert 1 == only().calls


def test_a_receiver_that_disconnects_itself_is_no_trouble() -> None:
    def once() -> None:
        post_create_instance.disconnect(once)

    post_create_instance.connect(once)
    after()

    assert [] == connected()


@pytest.mark.parametrize("weak", [True, False])
def test_what_is_known_of_a_receiver_vanishes_with_it(weak: bool) -> None:
    before = len(post_create_instance._connections)
    for _ in range(100):
        post_create_instance.connect(lambda: None, weak=weak, atomic=True)
        within()
        post_create_instance.receivers = {}
    gc.collect()

    assert before >= len(post_create_instance._connections)


def test_no_call_is_lost_when_threads_call_at_once() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    def many() -> None:
        for _ in range(500):
            with pytest.raises(ZeroDivisionError):
                within()

    post_create_instance.connect(broken, atomic=True)
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(many) for _ in range(8)]:
            done.result()

    assert (4000, 4000) == (only().calls, only().failures)
