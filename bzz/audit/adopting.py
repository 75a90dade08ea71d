"""Give documents that existed before they were audited the baseline that their history starts from.

The events are those that the recorder would make at each document's first change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import bson

from bzz.audit.recorder import of_transaction
from bzz.audit.scope import (
    BATCH_BYTES,
    LONGEST,
    Place,
    Scope,
    parts,
    place_of,
    refuse_within_write,
    scopes,
    token_of,
    without_history,
)
from bzz.errors import SetupError, TooLarge
from bzz.recording import Model
from bzz.source import id_key
from bzz.transactions import Deadline
from bzz.unit import Unit
from bzz.values import EXACT

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

BATCH = 100


@dataclass(frozen=True, slots=True)
class Adoption:
    """What an adoption has done so far.

    Attributes
    ----------
    adopted: documents that were given a baseline.
    known: documents that had a history already, or were given one by a writer in the meantime,
        or are gone.
    refused: the ids of documents that are too large for an event.
    token: where it has come, to go on from with `after`; None before the first document.
    """

    adopted: int = 0
    known: int = 0
    refused: tuple[Any, ...] = ()
    token: str | None = None


Progress: TypeAlias = Callable[[Adoption], object]


def adopt_all(
    auditor: Auditor,
    model: Model,
    *,
    after: str | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Adoption:
    """Give all documents of a model their baselines.  `auditor.adopt` says the rest."""
    refuse_within_write("An adoption")
    if batch < 1:
        raise SetupError(f"batch is the number of documents of a transaction, not {batch}.")
    auditor.prepare()
    among = scopes(auditor, model)
    place = None if after is None else place_of(after, among)
    done = Adoption()
    for part in parts(among, place):
        if not part.in_documents:
            continue
        for found in without_history(part.scope, part.after, batch=batch):
            done = _plus(_adopted(part.scope, found.new), done)
            token = token_of(Place(part.scope.stream, True, found.last))
            done = replace(done, known=done.known + found.known, token=token)
            if progress is not None:
                progress(done)
    return done


def without_baseline(
    auditor: Auditor,
    model: Model,
    *,
    after: str | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[int, int]:
    """How many documents an adoption would give a baseline, and at how many it would look.

    `after` as of an adoption; `progress` is called now and then with how many were looked at.
    """
    auditor.prepare()
    among = scopes(auditor, model)
    place = None if after is None else place_of(after, among)
    new = known = 0
    for part in parts(among, place):
        if part.in_documents:
            for found in without_history(part.scope, part.after, batch=BATCH):
                new, known = new + len(found.new), known + found.known
                if progress is not None:
                    progress(new + known)
    return new, new + known


def _adopted(scope: Scope, ids: list[Any]) -> Adoption:
    done = Adoption()
    while ids:
        step, ids = _transaction(scope, ids)
        done = _plus(step, done)
    return done


def _transaction(scope: Scope, ids: list[Any]) -> tuple[Adoption, list[Any]]:
    """Adopt the first of some documents in one transaction; what was done, and the rest of them."""
    try:
        return scope.auditor.alone(partial(_append, scope, ids), deadline=Deadline(LONGEST))
    except TooLarge:
        if len(ids) == 1:
            return Adoption(refused=(ids[0],)), []
    # One of them does not fit into an event; the others are not to wait for it.
    first, rest = _transaction(scope, ids[:1])
    return first, [*rest, *ids[1:]]


def _append(scope: Scope, ids: list[Any], unit: Unit) -> tuple[Adoption, list[Any]]:
    store, recorder, session = scope.auditor.store, scope.auditor.recorder, unit.session
    begun = {id_key(each["d"]) for each in store.heads(scope.stream, ids, session=session)}
    rest = {id_key(each): each for each in ids if id_key(each) not in begun}
    events, size = [], 0
    for state in scope.source.each(session, {"_id": {"$in": list(rest.values())}}):
        del rest[id_key(state["_id"])]
        event = recorder.baseline(scope.tracked(state), state["_id"], state)
        events.append(of_transaction(unit, event))
        size += len(bson.encode(state, codec_options=EXACT))
        if size > BATCH_BYTES:
            break
    else:
        rest.clear()  # those are gone
    if events:
        recorder.append(events, session)
    known = len(ids) - len(events) - len(rest)
    return Adoption(adopted=len(events), known=known), list(rest.values())


def _plus(step: Adoption, done: Adoption) -> Adoption:
    return Adoption(
        done.adopted + step.adopted, done.known + step.known, (*done.refused, *step.refused)
    )
