"""Receivers: how a callable is asked what it wants, called with just that, and named.

Knows the shapes of callables; nothing of signals or of what is sent.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import Parameter
from typing import Any

Receiver = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a receiver takes; kept, since reading a signature takes longer than a call.

    Attributes
    ----------
    name: of the receiver, for messages.
    parameters: what it names; without `*args`, `**everything` and what a partial has bound.
    fixed: the names that a partial has bound: what its author chose stays.
    everything: it takes all else that is there.
    is_coroutine: calling it gives something to await.
    is_generator: calling it gives something to iterate over, and runs nothing.
    """

    name: str
    parameters: tuple[Parameter, ...]
    fixed: frozenset[str]
    everything: bool
    is_coroutine: bool
    is_generator: bool

    @classmethod
    def of(cls, receiver: Receiver) -> Shape:
        """Read a callable.  Raises `TypeError` for one that does not tell its arguments."""
        name = describe_receiver(receiver)
        try:
            parameters = inspect.signature(receiver).parameters.values()
        except ValueError as error:
            raise TypeError(f"{name} does not tell its arguments; connect a function.") from error
        fixed = frozenset(receiver.keywords if isinstance(receiver, partial) else ())
        variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        return cls(
            name,
            tuple(p for p in parameters if p.kind not in variadic and p.name not in fixed),
            fixed,
            any(p.kind is Parameter.VAR_KEYWORD for p in parameters),
            _is(receiver, inspect.iscoroutinefunction),
            _is(receiver, inspect.isgeneratorfunction, inspect.isasyncgenfunction),
        )

    def required(self) -> list[str]:
        """The names of the parameters without a default."""
        return [p.name for p in self.parameters if p.default is Parameter.empty]

    def bind(
        self, available: Mapping[str, Any], optional: Collection[str] = ()
    ) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the named arguments to call the receiver with.

        One that is not available has the receiver's default, else None if it is `optional`.
        Raises `TypeError` for one that is neither.
        """
        args: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in self.parameters:
            value = self._value(parameter, available, optional)
            if parameter.kind is Parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                named[parameter.name] = value
        if self.everything:
            given = self.fixed | {parameter.name for parameter in self.parameters}
            named |= {name: value for name, value in available.items() if name not in given}
        return args, named

    def _value(
        self, parameter: Parameter, available: Mapping[str, Any], optional: Collection[str]
    ) -> Any:
        if parameter.name in available:
            return available[parameter.name]
        if parameter.default is not Parameter.empty:
            return parameter.default
        if parameter.name in optional:
            return None
        raise TypeError(
            f"{self.name} names '{parameter.name}'; there is only {listed(available) or 'nothing'}."
        )


def call(receiver: Receiver, available: Mapping[str, Any]) -> Any:
    """Call `receiver` with those of the `available` arguments that it names.

    A receiver with `**everything` gets all of them.  What a caller has bound with
    `functools.partial` stays bound.  Raises `TypeError` when it names one that is not there.
    """
    args, named = Shape.of(receiver).bind(available)
    return receiver(*args, **named)


def describe_receiver(receiver: Any) -> str:
    """`module.qualname` of a function, method, partial (of what it calls) or callable object."""
    receiver = _called(receiver)
    named = receiver if hasattr(receiver, "__qualname__") else type(receiver)
    return f"{getattr(named, '__module__', None) or 'builtins'}.{named.__qualname__}"


def place_of(receiver: Any) -> str | None:
    """`file:line` of what `describe_receiver` names; None of what is no Python function."""
    function = inspect.unwrap(_called(receiver))
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - its code
    code = getattr(function, "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def failed_receiver(error: BaseException) -> str | None:
    """The name of the receiver that raised `error`; None when no receiver did."""
    name: str | None = error.__dict__.get(_RAISED_BY)
    return name


_RAISED_BY = "_bzz_raised_by"


@contextmanager
def blamed(receiver: Receiver, signal: str) -> Iterator[None]:
    """Mark what the block raises with the receiver's name, for the log and the answer.

    A cancellation that is the receiver's own, of a task that it waited for, becomes a
    `RuntimeError`: taken for one of the request it would leave that without an answer.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        own = RuntimeError(
            f"{describe_receiver(receiver)} waited for something that was cancelled."
        )
        _blame(own, receiver, signal)
        raise own from error
    except Exception as error:
        _blame(error, receiver, signal)
        raise


def _blame(error: Exception, receiver: Receiver, signal: str) -> None:
    if failed_receiver(error) is None:
        error.__dict__[_RAISED_BY] = describe_receiver(receiver)
        error.add_note(f"Raised by {describe_receiver(receiver)}, a receiver of {signal}.")


def _is_being_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # in a thread without a loop, where nobody can be cancelled
    return task is not None and task.cancelling() > 0


async def finished(result: Any) -> None:
    """Await what a receiver returned, if it can be awaited."""
    if inspect.isawaitable(result):
        await result


def refuse_awaitable(result: Any, receiver: Receiver, signal: str) -> None:
    """Raise for a coroutine function that did not look like one, wrapped in a plain function."""
    if not inspect.isawaitable(result):
        return
    if inspect.iscoroutine(result):
        result.close()
    raise TypeError(
        f"{describe_receiver(receiver)} returned an awaitable, which nothing awaits in a "
        f"transaction; connect a plain function to {signal}."
    )


def _is(receiver: Any, *kinds: Callable[[Any], bool]) -> bool:
    """Whether a receiver, or the `__call__` of its class, is of one of the kinds of functions."""
    receiver = _called(receiver)
    own = getattr(type(receiver), "__call__", None)  # noqa: B004 - its kind, not its presence
    return any(is_kind(each) for is_kind in kinds for each in (receiver, own))


def _called(receiver: Any) -> Any:
    """What a partial calls in the end; anything else itself."""
    while isinstance(receiver, partial):
        receiver = receiver.func
    return receiver


def listed(names: Collection[str]) -> str:
    """Names in quotes, as words: `'a', 'b' and 'c'`."""
    quoted = [f"'{name}'" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
