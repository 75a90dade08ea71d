"""The signals of bzz: what is sent, when, with which arguments, and to whom.

Knows blinker; nothing of documents, transactions or HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from blinker import ANY, NamedSignal, Namespace
from blinker._utilities import make_id
from blinker.base import ANY_ID

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
    "Moment",
    "Signal",
    "announce",
    "ask",
    "before_commit",
    "call",
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


class Moment(Enum):
    """When a receiver runs."""

    ON_LOOP = "on the event loop, outside of any transaction"
    IN_TRANSACTION = "in the transaction and the thread of the write"


_ON_LOOP = (Moment.ON_LOOP,)
_IN_TRANSACTION = (Moment.IN_TRANSACTION,)
_EITHER = (Moment.ON_LOOP, Moment.IN_TRANSACTION)


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
        self._atomic: set[Any] = set()
        self._shapes: dict[Any, Shape] = {}

    def connect(
        self, receiver: R, sender: Any = ANY, weak: bool = True, *, atomic: bool = False
    ) -> R:
        """Call `receiver` when the signal is sent by `sender` (a model, by default any).

        `atomic=True` puts it in the transaction of the write.  Held weakly unless
        `weak=False`: a function defined within a function, a lambda or a partial vanishes
        at once when nobody else holds it.  Returns the receiver.

        Raises `ValueError` when the signal has no atomic moment, `TypeError` when the
        receiver names an argument that the signal does not have, or is a coroutine
        function in a transaction.
        """
        moment = self._moment(atomic)
        shape = Shape.of(receiver)
        self._check(shape, moment)
        key = make_id(receiver)
        if key not in self.receivers:
            # After `receivers = {}` blinker still knows the senders of what was there, and a
            # new function may stand at the address of an old one: it must not inherit them.
            self._disconnect(key, ANY_ID)
        self._shapes = {each: self._shapes[each] for each in self._shapes if each in self.receivers}
        self._shapes[key] = shape
        if moment is Moment.IN_TRANSACTION:
            self._atomic.add(key)
        else:
            self._atomic.discard(key)
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
            self._atomic.discard(make_id(receiver))

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
        for receiver in self._receivers(sender):
            called = receiver
            if self._shape(receiver).is_coroutine:
                if _async_wrapper is None:
                    raise RuntimeError("Cannot send to a coroutine function.")
                called = _async_wrapper(receiver)
            results.append((receiver, self._call(receiver, sender, arguments, called)))
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
        for receiver in self._receivers(sender):
            called = receiver
            if not self._shape(receiver).is_coroutine:
                if _sync_wrapper is None:
                    raise RuntimeError("Cannot send to a non-coroutine function.")
                called = _sync_wrapper(receiver)
            results.append((receiver, await self._call(receiver, sender, arguments, called)))
        return results

    def has_atomic_receivers_for(self, sender: Any) -> bool:
        """Whether a write of `sender` has a receiver to run in its transaction."""
        return any(True for _ in self._receivers(sender, Moment.IN_TRANSACTION))

    def _receivers(self, sender: Any, moment: Moment | None = None) -> list[Receiver]:
        """The live receivers of a sender; those of one moment, or all.  None when muted."""
        if self.is_muted or not self.receivers:
            return []
        # A list, since a receiver may connect or disconnect others.
        return [
            receiver
            for receiver in self.receivers_for(sender)
            if moment is None or moment is self._moment(make_id(receiver) in self._atomic)
        ]

    def _call(
        self,
        receiver: Receiver,
        sender: Any,
        arguments: Mapping[str, Any],
        called: Receiver | None = None,
    ) -> Any:
        """Call `receiver` (or `called`, which wraps it) with what the receiver names."""
        available = {**arguments, "sender": sender}
        args, named = self._shape(receiver).bind(available, self.arguments)
        return (called or receiver)(*args, **named)

    def _shape(self, receiver: Receiver) -> Shape:
        return self._shapes.get(make_id(receiver)) or Shape.of(receiver)

    def _moment(self, atomic: bool) -> Moment:
        if not atomic:
            return self.moments[0]
        if Moment.IN_TRANSACTION not in self.moments:
            raise ValueError(
                f"{self.name} is not sent within a transaction, so it has no atomic receivers; "
                "connect without atomic=True."
            )
        return Moment.IN_TRANSACTION

    def _check(self, shape: Shape, moment: Moment) -> None:
        if moment is Moment.IN_TRANSACTION and shape.is_coroutine:
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
    for receiver in signal._receivers(sender, Moment.IN_TRANSACTION):
        with blamed(receiver, signal.name), _watched(receiver):
            refuse_awaitable(signal._call(receiver, sender, arguments), receiver, signal.name)


async def announce(signal: Signal, sender: Any, **arguments: Any) -> None:
    """Call, one after another, the receivers that run after the commit; await coroutines.

    One that raises is logged with its name, and the others still run.
    """
    for receiver in signal._receivers(sender, Moment.ON_LOOP):
        try:
            await finished(signal._call(receiver, sender, arguments))
        except Exception:
            name = describe_receiver(receiver)
            _log.exception("The receiver %s of %s raised an exception.", name, signal.name)


async def ask(signal: Signal, sender: Any, **arguments: Any) -> None:
    """Call, one after another, the receivers that may refuse; await coroutines.

    What a receiver raises is raised here at once; `failed_receiver` tells whose it was.
    """
    for receiver in signal._receivers(sender, Moment.ON_LOOP):
        with blamed(receiver, signal.name):
            await finished(signal._call(receiver, sender, arguments))


namespace = Namespace()
"""All signals of bzz, by name."""


def _signal(name: str, arguments: str, moments: tuple[Moment, ...], doc: str) -> Signal:
    signal = Signal(name, ("sender", *arguments.split()), moments, doc)
    namespace[name] = signal
    return signal


pre_get_instance = _signal(
    "pre_get_instance",
    "arguments handler",
    _ON_LOOP,
    "Before one instance, or its history, is read.  Raising `tornado.web.HTTPError` refuses.",
)
pre_get_list = _signal(
    "pre_get_list",
    "arguments handler",
    _ON_LOOP,
    "Before a list is read.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_create_instance = _signal(
    "pre_create_instance",
    "arguments handler",
    _ON_LOOP,
    "Before anything is created.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_update_instance = _signal(
    "pre_update_instance",
    "arguments handler",
    _ON_LOOP,
    "Before anything is updated.  Raising `tornado.web.HTTPError` refuses the request.",
)
pre_delete_instance = _signal(
    "pre_delete_instance",
    "arguments handler",
    _ON_LOOP,
    "Before anything is deleted.  Raising `tornado.web.HTTPError` refuses the request.",
)
post_get_instance = _signal(
    "post_get_instance",
    "instance handler",
    _ON_LOOP,
    "One instance was read.",
)
post_get_list = _signal(
    "post_get_list",
    "items handler",
    _ON_LOOP,
    "A list was read; `items` are its instances.",
)
post_create_instance = _signal(
    "post_create_instance",
    "instance handler event",
    _EITHER,
    "A new instance was created.  After the commit there is an `event` if the model is audited.",
)
post_update_instance = _signal(
    "post_update_instance",
    "instance updated_fields handler event",
    _EITHER,
    "An instance was updated; `updated_fields` is `{field: {'from': old, 'to': new}}`.",
)
post_delete_instance = _signal(
    "post_delete_instance",
    "instance handler event",
    _EITHER,
    "An instance was deleted.",
)
before_commit = _signal(
    "before_commit",
    "writes",
    _IN_TRANSACTION,
    "In the transaction, after all other atomic receivers, once for all its writes to one "
    "model.  Each write has `instance`, `before` and `after` as stored, and `context`.",
)
