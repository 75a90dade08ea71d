"""The checker: a model's histories and its stored documents agree, whatever has happened.

For the end of tests of concurrency and of faults.
"""

from __future__ import annotations

from typing import Any

from bson import BSON
from mongoengine import get_db

from bzz.audit import Auditor, Event
from bzz.audit.diff import digest
from bzz.audit.replay import after
from bzz.values import EXACT, same

State = dict[str, Any]


def check_histories(auditor: Auditor, model: Any) -> int:
    """Check all streams and all documents of a model; the number of its events.

    Every stream has the versions 1 to n, each event starts from the state in which the one
    before it ended and its digest fits the state after it, and the last state is what is
    stored.  No document is without a stream.
    """
    tracked = auditor.tracked_as(model)
    documents = {_key(state["_id"]): state for state in _exact(model._get_collection_name())}
    streams: dict[bytes, list[Any]] = {}
    for event in _exact("bzz_history", {"s": tracked.stream}):
        streams.setdefault(_key(event["d"]), []).append(event["d"])

    assert set(documents) <= set(streams), "A document has no history."
    for key, ids in streams.items():
        state = replayed(list(auditor.store.events(tracked.stream, ids[0], model=tracked.name)))
        stored = tracked.redaction.strip(documents.get(key))
        assert same(state, stored), f"{ids[0]} is {stored}, and its history says {state}."
    return sum(map(len, streams.values()))


def replayed(events: list[Event]) -> State | None:
    """The state after a whole stream, checked event by event."""
    state: State | None = None
    for number, event in enumerate(events, 1):
        assert number == event.version, f"{event.document}: {event.version} follows {number - 1}."
        state = after(event, state)  # raises when a change does not fit the state before it
        fits = digest(state, event.salt) == event.digest
        assert fits, f"The digest of {event.document} version {number} does not fit."
    return state


def _exact(collection: str, query: Any = None) -> list[State]:
    return list(get_db()[collection].with_options(codec_options=EXACT).find(query or {}))


def _key(document_id: Any) -> bytes:
    return bytes(BSON.encode({"": document_id}))
