"""The end of a unit of work: atomic receivers, `before_commit`, the proof that all is recorded.

Knows the signals and the capture; knows nothing of transactions or HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bzz.capture import Unit, Write
from bzz.errors import Unrecorded
from bzz.recording import Model, recorder_of
from bzz.signals import (
    Signal,
    before_commit,
    post_create_instance,
    post_delete_instance,
    post_update_instance,
    send_atomic,
)
from bzz.updates import updated_fields

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
            send_atomic(signal, write.model, **signal_arguments(kind, write))
            # What a receiver did to the document itself is not seen where nobody records it.
            write.fresh = write.fresh and recorder_of(write.model) is not None
    unit.reread()
    for model, writes in _changed_by_model(unit).items():
        send_atomic(before_commit, model, writes=writes)
    _check_recorded(unit)


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
