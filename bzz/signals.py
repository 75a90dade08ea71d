"""The signals of bzz: what is sent, when, with which arguments, to whom, and who is connected.

Knows blinker; nothing of documents, transactions or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar
from weakref import ReferenceType

from blinker import ANY, NamedSignal, Namespace
from blinker._utilities import make_id, make_ref
from blinker.base import ANY_ID

from bzz.connections import Connected, Connection, Moment
from bzz.receivers import (
    Receiver,
    Shape,
    blamed,
    call,
    describe_receiver,
    failed_receiver,
    finished,
    listed,
    refuse_awaitable,
)

__all__ = [
    "ANY",
    "Connected",
    "Moment",
    "Signal",
    "announce",
    "ask",
    "before_commit",
    "call",
    "connected",
    "describe_receiver",
    "failed_receiver",
    "namespace",
    "post_create_instance",
    "post_delete_instance",
    "post_get_instance",
    "post_get_list",
    "post_update_instance",
    "pre_create_instance",
    "pre_delete_instance",
    "pre_get_instance",
    "pre_get_list",
    "pre_update_instance",
    "send_atomic",
]

R = TypeVar("R", bound=Receiver)

_log = logging.getLogger("bzz")


class Signal(NamedSignal):
    """A blinker signal that knows its arguments, and at which moments its receivers may run.

    Everything blinker offers works as it does there, with three differences: a receiver is
    given only the arguments that it names; one that names an argument which the signal does
    not have is refused when it is connected; and a receiver belongs to one `Moment`, for all
    of its senders, which the last `connect` decides.

    Attributes
    ----------
    arguments: the names of what the signal is sent with, `sender` first.
    moments: the moments open to receivers; the first is the one of a plain `connect`.
    """

    def __init__(
        self, name: str, arguments: tuple[str, ...], moments: tuple[Moment, ...], doc: str
    ) -> None:
        super().__init__(name, doc)
        self.arguments = arguments
        self.moments = moments
        self._connections: dict[Any, Connection] = {}
        # Else blinker adds it when it first looks for receivers, which must not happen while
        # another thread goes over the senders to disconnect somebody.
        self._by_sender[ANY_ID] = self.set_class()

    def connect(
        self, receiver: R, sender: Any = ANY, weak: bool = True, *, atomic: bool = False
    ) -> R:
        """Call `receiver` when the signal is sent by `sender` (a model, by default any).

        `atomic=True` puts it in the transaction of the write.  Held weakly unless
        `weak=False`: a function defined within a function, a lambda or a partial vanishes
        at once when nobody else holds it.  Returns the receiver.

        Raises `ValueError` when the signal has no atomic moment, `TypeError` when the
        receiver names an argument that the signal does not have, is a generator function,
        a coroutine function in a transaction, or an object that cannot be held weakly.
        """
        moment = self._moment(atomic)
        shape = Shape.of(receiver)
        self._check(shape, moment)
        key = make_id(receiver)
        reference = self._forgetting(receiver, key)
        if weak and reference is None:
            raise TypeError(f"{shape.name} cannot be held weakly; connect it with weak=False.")
        if key not in self.receivers:
            # After `receivers = {}` blinker still knows the senders of what was there, and a
            # new function may stand at the address of an old one: it must not inherit them.
            self._disconnect(key, ANY_ID)
            self._connections.pop(key, None)
        connection = self._connections.get(key)
        if connection is None:
            self._connections[key] = Connection(shape, moment, reference)
        else:
            connection.moment = moment
        return super().connect(receiver, sender, weak)

    def connect_via(
        self, sender: Any, weak: bool = False, *, atomic: bool = False
    ) -> Callable[[R], R]:
        """Return a decorator that connects a function to `sender`."""
        return partial(self.connect, sender=sender, weak=weak, atomic=atomic)

    @contextmanager
    def connected_to(
        self, receiver: Receiver, sender: Any = ANY, *, atomic: bool = False
    ) -> Iterator[None]:
        """Connect `receiver` for the length of a `with` block."""
        self.connect(receiver, sender=sender, weak=False, atomic=atomic)
        try:
            yield
        finally:
            self.disconnect(receiver)

    def disconnect(self, receiver: Receiver, sender: Any = ANY) -> None:
        """Stop calling `receiver`, for one sender or (by default) at all."""
        super().disconnect(receiver, sender)
        if sender is ANY:
            self._connections.pop(make_id(receiver), None)

    def connected(self) -> list[Connected]:
        """Who is connected, in the order in which they came, each with what it did so far."""
        rows = []
        for key, held in list(self.receivers.items()):
            is_weak = isinstance(held, ReferenceType)
            receiver = held() if is_weak else held
            connection, senders = self._connections.get(key), self._senders(key)
            if receiver is not None and connection is not None and senders:
                rows.append(connection.told(self.name, receiver, senders, weak=is_weak))
        return rows

    def send(
        self,
        sender: Any = None,
        /,
        *,
        _async_wrapper: Callable[[Receiver], Receiver] | None = None,
        **arguments: Any,
    ) -> list[tuple[Receiver, Any]]:
        """Call all receivers of `sender`, of both moments, as blinker does.

        bzz itself sends with `ask`, `send_atomic` and `announce`; this is for tests of
        receivers.  Raises `RuntimeError` for a coroutine function without `_async_wrapper`.
        """
        results = []
        for receiver, connection in self._receivers(sender):
            called = receiver
            if connection.shape.is_coroutine:
                if _async_wrapper is None:
                    raise RuntimeError("Cannot send to a coroutine function.")
                called = _async_wrapper(receiver)
            with connection.called():
                result = self._call(called, connection, sender, arguments)
            results.append((receiver, result))
        return results

    async def send_async(
        self,
        sender: Any = None,
        /,
        *,
        _sync_wrapper: Callable[[Receiver], Receiver] | None = None,
        **arguments: Any,
    ) -> list[tuple[Receiver, Any]]:
        """As `send`, awaiting coroutine functions.

        Raises `RuntimeError` for a plain function without `_sync_wrapper`.
        """
        results = []
        for receiver, connection in self._receivers(sender):
            called = receiver
            if not connection.shape.is_coroutine:
                if _sync_wrapper is None:
                    raise RuntimeError("Cannot send to a non-coroutine function.")
                called = _sync_wrapper(receiver)
            with connection.called():
                result = await self._call(called, connection, sender, arguments)
            results.append((receiver, result))
        return results

    def has_atomic_receivers_for(self, sender: Any) -> bool:
        """Whether a write of `sender` has a receiver to run in its transaction."""
        return bool(self._receivers(sender, atomic=True))

    def _receivers(
        self, sender: Any, *, atomic: bool | None = None
    ) -> list[tuple[Receiver, Connection]]:
        """The live receivers of a sender; the atomic ones, the others, or all.  None when muted."""
        if self.is_muted or not self.receivers:
            return []
        # A list, since a receiver may connect or disconnect others.
        found = []
        for receiver in self.receivers_for(sender):
            connection = self._connections.get(make_id(receiver))
            if connection is None:
                continue  # another thread has just disconnected it
            if atomic is None or atomic is (connection.moment is Moment.ATOMIC):
                found.append((receiver, connection))
        return found

    def _call(
        self,
        called: Receiver,
        connection: Connection,
        sender: Any,
        arguments: Mapping[str, Any],
    ) -> Any:
        """Call a receiver, or what wraps it, with what the receiver names."""
        available = {**arguments, "sender": sender}
        args, named = connection.shape.bind(available, self.arguments)
        return called(*args, **named)

    def _forgetting(self, receiver: Receiver, key: Any) -> ReferenceType[Any] | None:
        """A weak reference that forgets the connection of a receiver when it is gone.

        Not what blinker holds: that vanishes with `receivers = {}`, and may be put back.
        """

        def forget(_: object) -> None:
            self._connections.pop(key, None)

        try:
            return make_ref(receiver, forget)
        except TypeError:
            return None  # what cannot be held weakly is kept until it is disconnected

    def _senders(self, key: Any) -> tuple[Any, ...]:
        """Whom a receiver listens to; `(ANY,)` for everybody."""
        ids = tuple(self._by_receiver.get(key, ()))
        if ANY_ID in ids:
            return (ANY,)
        # Of what cannot be held weakly, a text say, blinker knows the id alone: the text itself.
        senders = [
            self._weak_senders[each]() if each in self._weak_senders else each for each in ids
        ]
        return tuple(sorted((each for each in senders if each is not None), key=str))

    def _moment(self, atomic: bool) -> Moment:
        if not atomic:
            return self.moments[0]
        if Moment.ATOMIC not in self.moments:
            raise ValueError(
                f"{self.name} is not sent within a transaction, so it has no atomic receivers; "
                "connect without atomic=True."
            )
        return Moment.ATOMIC

    def _check(self, shape: Shape, moment: Moment) -> None:
        if shape.is_generator:
            raise TypeError(
                f"{shape.name} is a generator function: calling it runs nothing of it; connect a "
                f"function without yield to {self.name}."
            )
        if moment is Moment.ATOMIC and shape.is_coroutine:
            raise TypeError(
                f"{shape.name} is a coroutine function, and receivers in a transaction run in a "
                f"thread, where nothing awaits them; connect a plain function to {self.name}."
            )
        unknown = [name for name in shape.required() if name not in self.arguments]
        if unknown:
            raise TypeError(
                f"{shape.name} names {listed(unknown)}, which {self.name} is not sent with; "
                f"a receiver may name {listed(self.arguments)}."
            )


def connected(signal: Signal | None = None) -> list[Connected]:
    """Who is connected to a signal, or to any of bzz, and what each did so far.

    A receiver is listed once for each signal, with all of its senders, in the order in which
    they were connected; the auditor among those of `before_commit`.  A snapshot: the counts of
    a row do not move.  They begin when a receiver is connected, and vanish with it.
    """
    signals = namespace.values() if signal is None else [signal]
    return [row for each in signals if isinstance(each, Signal) for row in each.connected()]


def send_atomic(
    signal: Signal,
    sender: Any,
    _watched: Callable[[Receiver], AbstractContextManager[Any]] = nullcontext,
    /,
    **arguments: Any,
) -> None:
    """Call, one after another, the receivers that run in the transaction of a write.

    Each runs in the context that `_watched` gives for it.  What a receiver raises is raised
    here at once; `failed_receiver` tells whose it was.
    """
    for receiver, connection in signal._receivers(sender, atomic=True):
        with blamed(receiver, signal.name), connection.called(), _watched(receiver):
            result = signal._call(receiver, connection, sender, arguments)
            refuse_awaitable(result, receiver, signal.name)


async def announce(signal: Signal, sender: Any, **arguments: Any) -> None:
    """Call, one after another, the receivers that run after the commit; await coroutines.

    One that raises is logged with its name, and the others still run.
    """
    for receiver, connection in signal._receivers(sender, atomic=False):
        try:
            with blamed(receiver, signal.name), connection.called():
                await finished(signal._call(receiver, connection, sender, arguments))
        except Exception:
            name = describe_receiver(receiver)
            _log.exception("The receiver %s of %s raised an exception.", name, signal.name)


async def ask(signal: Signal, sender: Any, **arguments: Any) -> None:
    """Call, one after another, the receivers that may refuse; await coroutines.

    What a receiver raises is raised here at once; `failed_receiver` tells whose it was.
    """
    for receiver, connection in signal._receivers(sender, atomic=False):
        with blamed(receiver, signal.name), connection.called():
            await finished(signal._call(receiver, connection, sender, arguments))


namespace = Namespace()
"""All signals of bzz, by name."""


_WRITTEN = (Moment.COMMITTED, Moment.ATOMIC)


def _signal(name: str, arguments: str, moments: tuple[Moment, ...], doc: str) -> Signal:
    signal = Signal(name, ("sender", *arguments.split()), moments, doc)
    namespace[name] = signal
    return signal


pre_get_instance = _signal(
    "pre_get_instance",
    "arguments handler",
    (Moment.BEFORE,),
    "Before one instance, or its history, is read.  Raising `tornado.web.HTTPError` refuses.",
)
pre_get_list = _signal(
    "pre_get_list",
    "arguments handler",
    (Moment.BEFORE,),
    "Before a list is read.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_create_instance = _signal(
    "pre_create_instance",
    "arguments handler",
    (Moment.BEFORE,),
    "Before anything is created.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_update_instance = _signal(
    "pre_update_instance",
    "arguments handler",
    (Moment.BEFORE,),
    "Before anything is updated.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_delete_instance = _signal(
    "pre_delete_instance",
    "arguments handler",
    (Moment.BEFORE,),
    "Before anything is deleted.  Raising `tornado.web.HTTPError` refuses the request.",
)
post_get_instance = _signal(
    "post_get_instance",
    "instance handler",
    (Moment.READ,),
    "One instance was read.",
)
post_get_list = _signal(
    "post_get_list",
    "items handler",
    (Moment.READ,),
    "A list was read; `items` are its instances.",
)
post_create_instance = _signal(
    "post_create_instance",
    "instance handler event",
    _WRITTEN,
    "A new instance was created.  After the commit there is an `event` if the model is audited.",
)
post_update_instance = _signal(
    "post_update_instance",
    "instance updated_fields handler event",
    _WRITTEN,
    "An instance was updated; `updated_fields` is `{field: {'from': old, 'to': new}}`.",
)
post_delete_instance = _signal(
    "post_delete_instance",
    "instance handler event",
    _WRITTEN,
    "An instance was deleted.",
)
before_commit = _signal(
    "before_commit",
    "writes",
    (Moment.ATOMIC,),
    "In the transaction, after all other atomic receivers, once for all its writes to one "
    "model.  Each write has `instance`, `before` and `after` as stored, and `context`.",
)
