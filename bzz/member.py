"""One write in the commit lane: what it is, where it is, and how it ended.

Knows units of work and futures; nothing of batches, queues and threads.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

import pymongo

from bzz.recording import Model, Recorder
from bzz.settling import is_alone
from bzz.source import Key, Source
from bzz.transactions import Deadline, longest_pause
from bzz.unit import Batch, Unit

T = TypeVar("T")


class Stage(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    COMMITTING = "committing"


@dataclass(eq=False, kw_only=True)
class Job:
    """One write as it is handed to the lane.

    Attributes
    ----------
    work: called with a new unit for each attempt; loads, applies, saves.
    finish: called with the value of `work` once the unit is settled; gives what the caller of
        the lane gets.  Still in the transaction.
    first: the class and the id (as stored) of the document that `work` loads first, if known:
        writes to one document queue behind each other, and first loads are read together.
    models: the classes whose documents are written; their receivers decide what may run
        together.
    size: bytes that came in.
    """

    work: Callable[[Unit], Any]
    finish: Callable[[Unit, Any], Any]
    models: frozenset[Model]
    first: tuple[Model, Any] | None = None
    contexts: Mapping[Recorder, object] = field(default_factory=dict)
    handler: Any = None
    deadline: Deadline = field(default_factory=Deadline)
    size: int = 0


class Member:
    """A job in the lane: where it is, and how it ended.

    Attributes
    ----------
    abandoned: whether nobody waits for it any more.
    is_alone: whether it is settled before another member runs.
    defers: whether its plain saves may wait for those of others, to be sent with them.
    hindrance: why the last attempt to run it came to nothing.
    refusal: what it was refused with before its first write.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.context = contextvars.copy_context()
        self.future: Future[Any] = Future()
        self.stage = Stage.WAITING
        self.abandoned = False
        self.is_alone = False
        self.defers = True
        self.attempts = 0
        self.hindrance: BaseException | None = None
        self.unit: Unit | None = None
        self.result: Any = None
        self.refusal: Exception | None = None

    @cached_property
    def key(self) -> Key | None:
        """Names the document that it loads first."""
        if self.job.first is None:
            return None
        model, document_id = self.job.first
        try:
            return Source.of(model).key(document_id)
        except Exception:  # what cannot be stored names no document; loading it says why
            return None

    def begin(self, batch: Batch) -> None:
        """Forget an earlier attempt."""
        job = self.job
        self.unit = Unit(batch, contexts=job.contexts, handler=job.handler)
        self.stage = Stage.RUNNING
        self.is_alone = any(map(is_alone, job.models))
        self.result, self.refusal = None, None

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the member's own context, with its unit and the session bound."""
        return self.context.run(self._bound, function, args)

    def _bound(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        unit = self.unit
        if unit is None or unit.session is None:
            raise RuntimeError("A member runs in a batch.")
        left = max(self.job.deadline.remaining, 0.001)
        with unit.entered(), unit.session.bind(end_session=False), pymongo.timeout(left):
            return function(*args)

    def pause(self) -> float:
        """How long to stay away after a conflict, in seconds."""
        return random.uniform(0, longest_pause(self.attempts))

    def deliver(self) -> None:
        """Tell the waiting caller how it ended."""
        if self.refusal is not None:
            self.fail(self.refusal)
        else:
            self._set(self.future.set_result, self.result)

    def fail(self, error: BaseException) -> None:
        """Tell the waiting caller that nothing came of it."""
        if isinstance(error, StopIteration):
            # An asyncio future cannot carry it: the caller would wait for ever.
            cause, error = error, RuntimeError("The code of a write raised StopIteration.")
            error.__cause__ = cause
        self._set(self.future.set_exception, error)

    def _set(self, setter: Callable[[Any], None], value: Any) -> None:
        # The caller may have given up in this very moment.
        with suppress(Exception):
            setter(value)
