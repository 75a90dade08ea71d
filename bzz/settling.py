"""The end of a unit of work: atomic receivers, `before_commit`, the proof that all is recorded.

Knows the signals and the capture; knows nothing of transactions or HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bzz.errors import SlowReceiver, Unrecorded
from bzz.receivers import Receiver, describe_receiver
from bzz.recording import Model, family, recorder_of
from bzz.signals import (
    Signal,
    before_commit,
    post_create_instance,
    post_delete_instance,
    post_update_instance,
    send_atomic,
)
from bzz.unit import Activity, Unit, Write, reread
from bzz.updates import updated_fields

RECEIVER_BUDGET = 2.0
"""Seconds that one call of an atomic receiver may take."""

SIGNAL_OF: dict[str, Signal] = {
    "create": post_create_instance,
    "update": post_update_instance,
    "delete": post_delete_instance,
}
"""The signal that says, after the fact, what was done to an instance."""


@contextmanager
def settled(unit: Unit) -> Iterator[None]:
    """The block as the work of `unit`, without a transaction; settled at its end."""
    with unit.entered():
        yield
        settle(unit)
        unit.batch.flush()


def settle(unit: Unit) -> None:
    """Bring a unit to the point where it may be committed.

    Reads what its writes left behind, lets the atomic receivers of its operations run,
    reads what these touched, then sends `before_commit` once for each model.

    Raises what a receiver raises, and `Unrecorded` when a changed document of a recorded
    model has not been dealt with by its recorder.
    """
    if not _observed(unit):
        return
    unit.reread()
    if unit.announce_all:
        unit.infer_operations()
    for kind, write in unit.operations:
        signal = SIGNAL_OF[kind]
        # Whom nobody listens to need not be loaded, nor be a document that its model can load.
        if write.changed and signal.has_atomic_receivers_for(write.model):
            _send(unit, signal, write.model, **signal_arguments(kind, write))
            # What a receiver did to the document itself is not seen where nobody records it.
            write.fresh = write.fresh and recorder_of(write.model) is not None
    unit.reread()
    for model, writes in _changed_by_model(unit).items():
        _send(unit, before_commit, model, writes=writes)
    _check_recorded(unit)


def _send(unit: Unit, signal: Signal, sender: Model, **arguments: Any) -> None:
    unit.begun = True
    send_atomic(signal, sender, partial(_watched, unit, signal), **arguments)


@contextmanager
def _watched(unit: Unit, signal: Signal, receiver: Receiver) -> Iterator[None]:
    """Note who is running; raise `SlowReceiver` when it took more than its budget."""
    begun = time.monotonic()
    unit.batch.activity = Activity(receiver, signal.name, begun)
    try:
        yield
    finally:
        unit.batch.activity = None
    took = time.monotonic() - begun
    if took > RECEIVER_BUDGET and unit.session is not None:
        raise SlowReceiver(
            f"{describe_receiver(receiver)}, an atomic receiver of {signal.name}, took "
            f"{took:.1f} s; at most {RECEIVER_BUDGET:g} s are allowed, since other writes wait "
            "for it. Connect it without atomic=True. Nothing was stored."
        )


def read_together(units: Collection[Unit]) -> None:
    """Read at once, for units of one batch, what settling each of them would read alone."""
    reread(units)
    unknown: dict[Model, list[Write]] = {}
    for unit in units:
        for write in unit.writes():
            recorded = write.changed and recorder_of(write.model) is not None
            if recorded and not unit.knows_head(write.model, write.id):
                unknown.setdefault(write.model, []).append(write)
    for model, writes in unknown.items():
        writes[0].unit.read_heads(model, [write.id for write in writes])


def is_alone(model: Model) -> bool:
    """Whether a unit that writes documents of `model` is settled before another one is begun.

    Receivers may read what other units wrote, and must see what they would have seen had the
    units run one after another.  And of what nobody records, nobody sees who has written it.
    """
    return recorder_of(model) is None or any(map(_has_receivers, family(model)))


def _has_receivers(model: Model) -> bool:
    if any(signal.has_atomic_receivers_for(model) for signal in SIGNAL_OF.values()):
        return True
    # The recorder's own one looks at no other unit.
    return sum(1 for _ in before_commit.receivers_for(model)) > 1


def signal_arguments(kind: str, write: Write) -> dict[str, Any]:
    """What the `post_` signal of an operation is sent with, its sender aside."""
    arguments: dict[str, Any] = {"instance": write.instance, "handler": write.unit.handler}
    if kind == "update":
        arguments["updated_fields"] = updated_fields(write)
    if write.event is not None:
        arguments["event"] = write.event
    return arguments


def _observed(unit: Unit) -> bool:
    """Whether anybody wants to know what a unit did; if not, reading it again is waste."""
    if unit.session is not None:
        return True
    return any(
        recorder_of(write.model) is not None
        or before_commit.has_receivers_for(write.model)
        or any(signal.has_receivers_for(write.model) for signal in SIGNAL_OF.values())
        for write in unit.writes()
    )


def _changed_by_model(unit: Unit) -> dict[Model, list[Write]]:
    groups: dict[Model, list[Write]] = {}
    for write in unit.writes():
        if write.changed:
            groups.setdefault(write.model, []).append(write)
    return groups


def _check_recorded(unit: Unit) -> None:
    for write in unit.writes():
        if recorder_of(write.model) is None:
            continue
        if not write.fresh or (write.changed and not write.recorded):
            raise Unrecorded(
                f"{write.model.__name__} {write.id} is audited, and its write came to the commit "
                "without an event: the auditor's receiver of before_commit was disconnected or "
                "muted, or a receiver of before_commit wrote the document itself "
                "(an atomic receiver may). Nothing was stored."
            )
