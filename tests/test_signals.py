"""Receivers and the moments at which they run."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from tornado.web import HTTPError

from bzz import signals
from bzz.signals import (
    announce,
    ask,
    before_commit,
    call,
    describe_receiver,
    failed_receiver,
    post_create_instance,
    post_delete_instance,
    post_get_instance,
    post_get_list,
    post_update_instance,
    pre_get_instance,
    send_atomic,
)

WRITING = [post_create_instance, post_update_instance, post_delete_instance]
OTHERS = [each for each in signals.namespace.values() if each not in [*WRITING, before_commit]]

SENT: dict[str, Any] = {
    "instance": "ana",
    "updated_fields": {"age": {"from": 1, "to": 2}},
    "handler": "handler",
    "event": "event",
}


class User:
    """Stands for a model."""


class Team:
    """Stands for another."""


@pytest.fixture(autouse=True)
def _disconnected():
    """Nothing is connected before and after."""
    yield
    for signal in signals.namespace.values():
        signal.receivers = {}


@pytest.fixture
def calls():
    """What receivers have noted."""
    return []


def by_name(signal):
    return signal.name


def announced(signal, sender=User, **arguments):
    asyncio.run(announce(signal, sender, **arguments))


def test_there_is_a_signal_before_and_after_each_kind_of_request_and_before_the_commit():
    verbs = ["get_instance", "get_list", "create_instance", "update_instance", "delete_instance"]

    names = {f"{when}_{verb}" for when in ("pre", "post") for verb in verbs}

    assert names | {"before_commit"} == set(signals.namespace)
    assert all(getattr(signals, name) is signals.namespace[name] for name in names)


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ("pre_get_instance", ["sender", "arguments", "handler"]),
        ("pre_get_list", ["sender", "arguments", "handler"]),
        ("pre_create_instance", ["sender", "arguments", "handler"]),
        ("pre_update_instance", ["sender", "arguments", "handler"]),
        ("pre_delete_instance", ["sender", "arguments", "handler"]),
        ("post_get_instance", ["sender", "instance", "handler"]),
        ("post_get_list", ["sender", "items", "handler"]),
        ("post_create_instance", ["sender", "instance", "handler", "event"]),
        ("post_update_instance", ["sender", "instance", "updated_fields", "handler", "event"]),
        ("post_delete_instance", ["sender", "instance", "handler", "event"]),
        ("before_commit", ["sender", "writes"]),
    ],
)
def test_a_signal_tells_its_arguments(signal, expected):
    assert expected == list(signals.namespace[signal].arguments)


# What a receiver is given


def takes_all_in_order(sender, instance, handler):
    return (sender, instance, handler)


def takes_some_in_another_order(handler, instance):
    return (handler, instance)


def takes_what_changed(instance, updated_fields):
    return (instance, updated_fields)


def takes_everything(**everything):
    return everything


def takes_one_and_the_rest(instance, **rest):
    return (instance, sorted(rest))


def takes_positions(sender, /, instance, *, handler):
    return (sender, instance, handler)


def takes_positions_with_defaults(own="own", sender=None, /):
    return (own, sender)


def takes_an_own_default(instance, tag="tag"):
    return (instance, tag)


def takes_a_default_instead(instance="nobody"):
    return instance


def takes_nothing():
    return "called"


def takes_star(instance, *more):
    return (instance, more)


@functools.wraps(takes_some_in_another_order)
def wrapped(*args, **named):
    return takes_some_in_another_order(*args, **named)


class Takes:
    """The ways in which an object receives."""

    def method(self, instance):
        return instance

    @classmethod
    def of_class(cls, instance):
        return (cls.__name__, instance)

    @staticmethod
    def static(instance):
        return instance

    def __call__(self, handler):
        return handler


@pytest.mark.parametrize(
    ("receiver", "expected"),
    [
        (takes_all_in_order, (User, "ana", "handler")),
        (takes_some_in_another_order, ("handler", "ana")),
        (takes_what_changed, ("ana", SENT["updated_fields"])),
        (takes_everything, {"sender": User, **SENT}),
        (takes_one_and_the_rest, ("ana", ["event", "handler", "sender", "updated_fields"])),
        (takes_positions, (User, "ana", "handler")),
        (takes_positions_with_defaults, ("own", User)),
        (takes_an_own_default, ("ana", "tag")),
        (takes_a_default_instead, "ana"),
        (takes_nothing, "called"),
        (takes_star, ("ana", ())),
        (wrapped, ("handler", "ana")),
        (Takes().method, "ana"),
        (Takes.of_class, ("Takes", "ana")),
        (Takes.static, "ana"),
        (Takes(), "handler"),
        (functools.partial(takes_an_own_default, tag="bound"), ("ana", "bound")),
        (functools.partial(takes_all_in_order, handler="bound"), (User, "ana", "bound")),
        (functools.partial(takes_some_in_another_order, "bound"), ("bound", "ana")),
        (functools.partial(takes_nothing), "called"),
    ],
    ids=lambda value: getattr(value, "__qualname__", None) or type(value).__name__,
)
def test_a_receiver_gets_just_the_arguments_that_it_names(receiver, expected):
    post_update_instance.connect(receiver, weak=False)

    assert [(receiver, expected)] == post_update_instance.send(User, **SENT)
    assert expected == call(receiver, {"sender": User, **SENT})


def test_what_a_partial_has_bound_is_not_given_again_to_one_that_takes_everything():
    receiver = functools.partial(takes_everything, sender="bound", tag=1)

    assert {"sender": "bound", "tag": 1, "instance": "ana"} == call(
        receiver, {"sender": User, "instance": "ana"}
    )


def test_a_mock_gets_everything_by_name():
    receiver = Mock()
    post_get_instance.connect(receiver)

    announced(post_get_instance, instance="ana", handler=None)

    receiver.assert_called_once_with(sender=User, instance="ana", handler=None)


def test_an_argument_of_the_signal_that_was_not_sent_is_none(calls):
    def receiver(instance, event):
        calls.append((instance, event))

    post_create_instance.connect(receiver)
    announced(post_create_instance, instance="ana", handler=None)

    assert [("ana", None)] == calls


def test_everything_is_what_was_sent_and_not_more(calls):
    def receiver(**everything):
        calls.append(sorted(everything))

    post_create_instance.connect(receiver)
    announced(post_create_instance, instance="ana", handler=None)

    assert [["handler", "instance", "sender"]] == calls


def test_a_receiver_that_names_what_the_signal_does_not_have_is_refused_when_it_is_connected():
    def receiver(instance, changed_fields):
        """Never called."""

    with pytest.raises(TypeError) as raised:
        post_update_instance.connect(receiver)

    assert (
        f"{__name__}.{receiver.__qualname__} names 'changed_fields', which post_update_instance "
        "is not sent with; a receiver may name 'sender', 'instance', 'updated_fields', 'handler' "
        "and 'event'."
    ) == str(raised.value)
    assert not post_update_instance.receivers


def test_a_callable_without_a_signature_is_refused():
    with pytest.raises(TypeError, match=r"builtins\.max does not tell its arguments"):
        post_update_instance.connect(max)


def test_call_names_the_argument_that_is_not_there():
    with pytest.raises(
        TypeError, match=r"takes_what_changed names 'updated_fields'; .* 'instance'"
    ):
        call(takes_what_changed, {"instance": "ana"})


# The moments


@pytest.mark.parametrize("signal", WRITING, ids=by_name)
def test_a_plain_connect_is_called_after_the_commit_only(signal, calls):
    def receiver(instance):
        calls.append(instance)

    signal.connect(receiver)
    send_atomic(signal, User, instance="within")
    announced(signal, instance="after")

    assert ["after"] == calls


@pytest.mark.parametrize("signal", WRITING, ids=by_name)
def test_an_atomic_receiver_is_called_within_the_transaction_only(signal, calls):
    def receiver(instance):
        calls.append(instance)

    signal.connect(receiver, atomic=True)
    send_atomic(signal, User, instance="within")
    announced(signal, instance="after")

    assert ["within"] == calls


def test_connecting_again_moves_a_receiver_to_the_other_moment(calls):
    def receiver(instance):
        calls.append(instance)

    for atomic in (True, False, True):
        post_create_instance.connect(receiver, atomic=atomic)
        send_atomic(post_create_instance, User, instance="within")
        announced(post_create_instance, instance="after")

    assert ["within", "after", "within"] == calls


def test_a_receiver_has_one_moment_for_all_of_its_senders(calls):
    def receiver(sender):
        calls.append(sender)

    post_create_instance.connect(receiver, sender=User)
    post_create_instance.connect(receiver, sender=Team, atomic=True)
    send_atomic(post_create_instance, User)
    send_atomic(post_create_instance, Team)

    assert [User, Team] == calls


@pytest.mark.parametrize("signal", OTHERS, ids=by_name)
def test_other_signals_have_no_atomic_receivers(signal):
    with pytest.raises(ValueError, match=f"{signal.name} is not sent within a transaction"):
        signal.connect(takes_nothing, atomic=True)


@pytest.mark.parametrize("atomic", [False, True])
def test_receivers_of_before_commit_are_always_in_the_transaction(atomic, calls):
    def receiver(sender, writes):
        calls.append((sender, writes))

    before_commit.connect(receiver, atomic=atomic)
    announced(before_commit, writes="after")
    send_atomic(before_commit, User, writes="within")

    assert [(User, "within")] == calls


async def coroutine_function(instance):
    return instance


class CoroutineObject:
    async def __call__(self):
        """Never called."""


@pytest.mark.parametrize(
    "receiver",
    [coroutine_function, functools.partial(coroutine_function, instance=1), CoroutineObject()],
    ids=["function", "partial", "object"],
)
@pytest.mark.parametrize("signal", [post_create_instance, before_commit], ids=by_name)
def test_coroutine_functions_are_refused_in_a_transaction(signal, receiver):
    with pytest.raises(TypeError, match="is a coroutine function, and receivers in a transaction"):
        signal.connect(receiver, weak=False, atomic=True)


def generator(instance):
    yield instance


async def async_generator(instance):
    yield instance


class GeneratorObject:
    def __call__(self):
        yield


@pytest.mark.parametrize(
    "receiver",
    [generator, async_generator, functools.partial(generator, instance=1), GeneratorObject()],
    ids=["function", "async function", "partial", "object"],
)
@pytest.mark.parametrize("signal", [pre_get_instance, post_create_instance], ids=by_name)
def test_generator_functions_are_refused_since_nothing_of_them_would_run(signal, receiver):
    with pytest.raises(TypeError, match="is a generator function: calling it runs nothing"):
        signal.connect(receiver, weak=False)

    assert not signal.receivers


def test_a_coroutine_function_in_disguise_refuses_the_write():
    @functools.wraps(coroutine_function)
    def disguised(*args, **named):
        return coroutine_function(*args, **named)

    post_create_instance.connect(disguised, atomic=True)

    with pytest.raises(TypeError, match="coroutine_function returned an awaitable"):
        send_atomic(post_create_instance, User, instance="ana")


def test_a_signal_tells_whether_a_write_has_atomic_receivers():
    post_create_instance.connect(takes_nothing, sender=User)
    before = post_create_instance.has_atomic_receivers_for(User)
    post_create_instance.connect(takes_nothing, sender=User, atomic=True)

    assert not before
    assert post_create_instance.has_atomic_receivers_for(User)
    assert not post_create_instance.has_atomic_receivers_for(Team)


# Sending


def test_what_an_atomic_receiver_raises_is_raised_and_marked_with_its_name():
    def broken():
        raise ZeroDivisionError("no")

    post_create_instance.connect(broken, atomic=True)

    with pytest.raises(ZeroDivisionError) as raised:
        send_atomic(post_create_instance, User)

    assert f"{__name__}.{broken.__qualname__}" == failed_receiver(raised.value)
    assert (
        f"Raised by {__name__}.{broken.__qualname__}, a receiver of post_create_instance.\n"
    ) in traceback.format_exception(raised.value)


def test_an_error_that_passes_two_receivers_has_the_name_of_the_one_that_raised_it():
    def inner():
        raise HTTPError(403)

    def outer():
        send_atomic(post_delete_instance, Team)

    post_delete_instance.connect(inner, atomic=True)
    post_create_instance.connect(outer, atomic=True)

    with pytest.raises(HTTPError) as raised:
        send_atomic(post_create_instance, User)

    assert describe_receiver(inner) == failed_receiver(raised.value)


def test_no_receiver_is_to_blame_for_other_errors():
    assert failed_receiver(ValueError()) is None


def test_a_pre_receiver_refuses_by_raising():
    def refuse(arguments):
        raise HTTPError(402, reason=arguments[0])

    pre_get_instance.connect(refuse)

    with pytest.raises(HTTPError) as raised:
        asyncio.run(ask(pre_get_instance, User, arguments=["user/1"], handler=None))

    assert (402, "user/1") == (raised.value.status_code, raised.value.reason)


@pytest.mark.parametrize("send", [ask, announce])
def test_plain_functions_and_coroutine_functions_are_both_finished(send, calls):
    def plain(instance):
        calls.append("plain")

    async def coroutine(instance):
        await asyncio.sleep(0)
        calls.append("coroutine")

    post_get_instance.connect(plain)
    post_get_instance.connect(coroutine)
    asyncio.run(send(post_get_instance, User, instance="ana"))

    assert ["coroutine", "plain"] == sorted(calls)


def test_a_receiver_that_raises_after_the_commit_is_logged_and_the_others_still_run(calls, caplog):
    def broken():
        raise ZeroDivisionError("first")

    async def broken_coroutine():
        raise HTTPError(403)

    def fine(instance):
        calls.append(instance)

    for receiver in (broken, fine, broken_coroutine):
        post_create_instance.connect(receiver)
    with caplog.at_level(logging.ERROR, logger="bzz"):
        announced(post_create_instance, instance="ana")

    assert ["ana"] == calls
    assert {
        f"The receiver {describe_receiver(each)} of post_create_instance raised an exception."
        for each in (broken, broken_coroutine)
    } == {record.getMessage() for record in caplog.records}
    assert all(record.exc_info and record.name == "bzz" for record in caplog.records)


@pytest.mark.parametrize("send", [ask, announce])
def test_a_cancelled_request_stops_its_receivers(send):
    async def slow():
        await asyncio.Event().wait()

    async def main():
        request = asyncio.create_task(send(post_create_instance, User))
        await asyncio.sleep(0)
        request.cancel()
        await request

    post_create_instance.connect(slow)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


async def waits_for_what_was_cancelled():
    other = asyncio.create_task(asyncio.sleep(0))
    other.cancel()
    await other


def test_a_receiver_that_is_cancelled_by_itself_does_not_stop_the_others(calls, caplog):
    def fine():
        calls.append("called")

    for receiver in (waits_for_what_was_cancelled, fine):
        post_create_instance.connect(receiver)
    with caplog.at_level(logging.ERROR, logger="bzz"):
        announced(post_create_instance)

    assert (["called"], 1) == (calls, len(caplog.records))
    assert "waited for something that was cancelled" in caplog.text


def test_a_pre_receiver_that_is_cancelled_by_itself_is_a_failure():
    pre_get_instance.connect(waits_for_what_was_cancelled)

    with pytest.raises(RuntimeError, match="waits_for_what_was_cancelled waited for") as raised:
        asyncio.run(ask(pre_get_instance, User))

    assert describe_receiver(waits_for_what_was_cancelled) == failed_receiver(raised.value)


def test_an_atomic_receiver_that_is_cancelled_by_itself_is_a_failure():
    def runs_its_own_loop():
        asyncio.run(waits_for_what_was_cancelled())

    post_create_instance.connect(runs_its_own_loop, atomic=True)

    with pytest.raises(RuntimeError, match="waited for something that was cancelled"):
        send_atomic(post_create_instance, User)


def test_a_receiver_may_disconnect_itself(calls):
    def once():
        calls.append("once")
        post_create_instance.disconnect(once)

    post_create_instance.connect(once)
    announced(post_create_instance)
    announced(post_create_instance)

    assert ["once"] == calls


# What blinker offers


def test_a_receiver_of_one_sender_is_not_called_for_another(calls):
    def receiver(sender):
        calls.append(sender)

    post_create_instance.connect(receiver, sender=User)
    announced(post_create_instance, User)
    announced(post_create_instance, Team)

    assert [User] == calls


@pytest.mark.parametrize(("weak", "expected"), [(True, []), (False, ["called"])])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_weakly_held_closure_vanishes_and_a_strongly_held_one_stays(
    weak, expected, atomic, calls
):
    def connect():
        post_create_instance.connect(lambda: calls.append("called"), weak=weak, atomic=atomic)

    connect()
    gc.collect()
    send_atomic(post_create_instance, User)
    announced(post_create_instance)

    assert expected == calls


class Unreferable:
    """Cannot be held weakly."""

    __slots__ = ()

    def __call__(self, instance):
        return instance


def test_what_cannot_be_held_weakly_is_refused_with_the_way_out():
    with pytest.raises(
        TypeError, match=r"Unreferable cannot be held weakly; connect .* weak=False"
    ):
        post_create_instance.connect(Unreferable())

    assert not post_create_instance.receivers


def test_a_connect_that_is_refused_leaves_the_receiver_in_its_moment():
    receiver = Unreferable()
    post_create_instance.connect(receiver, weak=False, atomic=True)

    with pytest.raises(TypeError):
        post_create_instance.connect(receiver)

    assert post_create_instance.has_atomic_receivers_for(User)


def test_a_method_lives_as_long_as_its_object(calls):
    class Counter:
        def note(self):
            calls.append("note")

    counter = Counter()
    post_create_instance.connect(counter.note, atomic=True)
    send_atomic(post_create_instance, User)
    del counter
    gc.collect()
    send_atomic(post_create_instance, User)

    assert ["note"] == calls


@pytest.mark.parametrize(("atomic", "expected"), [(False, ["after"]), (True, ["within"])])
def test_connect_via_connects_the_decorated_function_and_holds_it(atomic, expected, calls):
    def connect():
        @post_create_instance.connect_via(User, atomic=atomic)
        def receiver(instance):
            calls.append(instance)

        assert "receiver" == receiver.__name__

    connect()
    gc.collect()
    send_atomic(post_create_instance, User, instance="within")
    announced(post_create_instance, User, instance="after")
    announced(post_create_instance, Team, instance="another")

    assert expected == calls


@pytest.mark.parametrize(("atomic", "expected"), [(False, ["after"]), (True, ["within"])])
def test_connected_to_connects_for_the_length_of_a_block(atomic, expected, calls):
    with post_create_instance.connected_to(
        lambda instance: calls.append(instance), sender=User, atomic=atomic
    ):
        send_atomic(post_create_instance, User, instance="within")
        announced(post_create_instance, User, instance="after")
        announced(post_create_instance, Team, instance="another")
    send_atomic(post_create_instance, User, instance="later")
    announced(post_create_instance, User, instance="later")

    assert expected == calls


def test_connect_works_as_a_decorator():
    @post_create_instance.connect
    def receiver(instance):
        return instance

    assert [(receiver, "ana")] == post_create_instance.send(User, instance="ana")


def test_a_disconnected_receiver_is_not_called(calls):
    def receiver():
        calls.append("called")

    post_create_instance.connect(receiver, atomic=True)
    post_create_instance.disconnect(receiver)
    send_atomic(post_create_instance, User)

    assert [] == calls
    assert not post_create_instance.has_atomic_receivers_for(User)


def test_a_receiver_may_leave_one_of_its_senders(calls):
    def receiver(sender):
        calls.append(sender)

    post_create_instance.connect(receiver, sender=User, atomic=True)
    post_create_instance.connect(receiver, sender=Team, atomic=True)
    post_create_instance.disconnect(receiver, sender=User)
    send_atomic(post_create_instance, User)
    send_atomic(post_create_instance, Team)

    assert [Team] == calls


def test_a_muted_signal_calls_nobody(calls):
    def receiver():
        calls.append("called")

    post_create_instance.connect(receiver)
    with post_create_instance.muted():
        announced(post_create_instance)
        asyncio.run(ask(post_create_instance, User))
        post_create_instance.connect(receiver, atomic=True)
        send_atomic(post_create_instance, User)
        post_create_instance.send(User)

    assert [] == calls


def test_no_receivers_disconnects_all(calls):
    def receiver():
        calls.append("called")

    post_create_instance.connect(receiver)
    post_create_instance.receivers = {}
    announced(post_create_instance)

    assert [] == calls


def test_after_no_receivers_a_receiver_has_only_the_senders_that_it_is_given_anew(calls):
    def receiver(sender):
        calls.append(sender)

    post_create_instance.connect(receiver)
    post_create_instance.receivers = {}
    post_create_instance.connect(receiver, sender=User)
    announced(post_create_instance, User)
    announced(post_create_instance, Team)

    assert [User] == calls


def test_receivers_that_were_put_aside_can_be_put_back(calls):
    def receiver(instance):
        calls.append(instance)

    post_create_instance.connect(receiver, sender=User, atomic=True)
    aside, post_create_instance.receivers = post_create_instance.receivers, {}
    send_atomic(post_create_instance, User, instance="without")
    post_create_instance.receivers = aside
    send_atomic(post_create_instance, User, instance="with")

    assert ["with"] == calls


def test_an_atomic_receiver_that_was_put_aside_stays_atomic_whoever_connects_meanwhile(calls):
    def receiver(instance):
        calls.append(instance)

    post_create_instance.connect(receiver, atomic=True)
    aside, post_create_instance.receivers = post_create_instance.receivers, {}
    post_create_instance.connect(takes_nothing)
    post_create_instance.receivers = aside
    send_atomic(post_create_instance, User, instance="within")
    announced(post_create_instance, instance="after")

    assert ["within"] == calls


def test_receivers_may_come_and_go_while_others_are_called():
    def come_and_go():
        for _ in range(2000):
            post_create_instance.connect(lambda: None, sender=User, weak=False, atomic=True)
            post_create_instance.connect(lambda: None, sender=User, atomic=True)

    def send():
        for _ in range(2000):
            send_atomic(post_create_instance, User)
            post_create_instance.receivers = {}

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(each) for each in (come_and_go, come_and_go, send)]

    assert [None] * 3 == [each.result() for each in done]


def test_send_calls_the_receivers_of_both_moments_for_tests():
    def after(instance):
        return f"after {instance}"

    def within(instance):
        return f"within {instance}"

    post_create_instance.connect(after)
    post_create_instance.connect(within, atomic=True)

    assert {after: "after ana", within: "within ana"} == dict(
        post_create_instance.send(User, instance="ana")
    )


def test_send_refuses_coroutine_functions_unless_it_is_told_how_to_run_them():
    post_create_instance.connect(coroutine_function)

    def run(function):
        return lambda **named: asyncio.run(function(**named))

    with pytest.raises(RuntimeError, match="coroutine function"):
        post_create_instance.send(User, instance="ana")
    assert [(coroutine_function, "ana")] == post_create_instance.send(
        User, _async_wrapper=run, instance="ana"
    )


def test_send_async_awaits_coroutine_functions():
    post_get_instance.connect(coroutine_function)

    sent = asyncio.run(post_get_instance.send_async(User, instance="ana"))

    assert [(coroutine_function, "ana")] == sent


def test_send_async_refuses_plain_functions_unless_it_is_told_how_to_run_them():
    post_get_list.connect(takes_nothing)

    def run(function):
        return functools.partial(asyncio.to_thread, function)

    with pytest.raises(RuntimeError, match="non-coroutine function"):
        asyncio.run(post_get_list.send_async(User))
    assert [(takes_nothing, "called")] == asyncio.run(
        post_get_list.send_async(User, _sync_wrapper=run)
    )


def test_a_connection_is_announced_by_the_signals_of_the_signal(calls):
    signal = signals.Signal("own", ("sender",), (signals.Moment.READ,), "A signal of its own.")

    def note(of, receiver, **rest):
        calls.append((of, receiver))

    signal.receiver_connected.connect(note)
    signal.receiver_disconnected.connect(note)
    signal.connect(takes_nothing)
    signal.disconnect(takes_nothing)

    assert [(signal, takes_nothing)] * 2 == calls


@pytest.mark.parametrize(
    ("receiver", "expected"),
    [
        (takes_nothing, "takes_nothing"),
        (Takes().method, "Takes.method"),
        (Takes(), "Takes"),
        (functools.partial(functools.partial(takes_star, 1), 2), "takes_star"),
    ],
    ids=["function", "method", "object", "partial"],
)
def test_a_receiver_is_described_by_module_and_name(receiver, expected):
    assert f"{__name__}.{expected}" == describe_receiver(receiver)
