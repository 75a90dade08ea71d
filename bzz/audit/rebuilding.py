"""Make stored documents what their histories say, in place or in another collection.

What is written goes past the capture: it changes nothing that the history tells, so it has no
event and sends no signal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import bson
from bson.raw_bson import RawBSONDocument
from mongoengine.errors import NotUniqueError
from pymongo import ReadPreference
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from bzz.audit.diff import pack
from bzz.audit.errors import TargetNotEmpty, UnknownVersion
from bzz.audit.events import State
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
)
from bzz.audit.trail import Problem, ProblemKind, Trail
from bzz.audit.verifying import (
    BATCH,
    Finding,
    Progress,
    Report,
    Reports,
    class_alone,
    look,
    report_on,
    reports_on,
    trails,
    verify_one,
)
from bzz.errors import PreconditionFailed, SetupError
from bzz.recording import Model
from bzz.source import Source
from bzz.transactions import Deadline
from bzz.unit import Unit
from bzz.values import EXACT, same

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

_RAW = EXACT.with_options(document_class=RawBSONDocument)


def rebuild_one(scope: Scope, document: Any, *, seen: Report | None = None) -> Report:
    """Make one document what its last event says; its hidden values stay as they are now.

    The report lists what was overwritten.  Raises `UnknownVersion` without a history,
    `StreamGap` and `ReplayError` when that is broken, and MongoEngine's `NotUniqueError` when
    another document has what a unique index allows once, and `PreconditionFailed` when another
    report than the one that was `seen` would be true by now; nothing is written then.
    """
    refuse_within_write("A rebuild")
    work = partial(_mend, scope, document, strict=True, seen=seen)
    return scope.auditor.alone(work, deadline=Deadline(LONGEST))


def rebuild_all(
    auditor: Auditor,
    model: Model | None,
    into: str | None,
    *,
    after: str | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Reports:
    """Rebuild the documents of a model, or of all.  `auditor.rebuild` says the rest."""
    if into is None:
        return reports_on(auditor, model, _settle, after=after, progress=progress, batch=batch)
    if model is None:
        raise SetupError(f"A rebuild into {into!r} is of one model: name it.")
    refuse_within_write("A rebuild")
    auditor.prepare()
    target = _Target(auditor, model, into, is_new=after is None)
    among = scopes(auditor, model)
    place = None if after is None else place_of(after, among)
    reports = (
        report
        for part in parts(among, place)
        if not part.in_documents
        for report in target.fill(part.scope, part.after)
    )
    return Reports(reports, progress, batch)


def _settle(scope: Scope, document: Any) -> Report:
    """As `rebuild_one`, for a run, which goes on with the next document whatever is met."""
    work = partial(_mend, scope, document, strict=False)
    try:
        return scope.auditor.alone(work, deadline=Deadline(LONGEST))
    except NotUniqueError as error:
        report = verify_one(scope, document)
        problem = Problem(ProblemKind.CLASH, report.versions or None, str(error))
        return replace(report, problems=(*report.problems, problem))


def _mend(
    scope: Scope, document: Any, unit: Unit, *, strict: bool, seen: Report | None = None
) -> Report:
    finding = look(scope, document, unit)
    if strict:
        _raise_if_unfit(scope, finding.trail)
    report = report_on(scope, finding)
    if seen is not None and not _tells_the_same(report, seen):
        raise PreconditionFailed(
            f"{scope.model.__name__} {document} is not what it was when it was verified; nothing "
            "was written. Look at it again.",
            current=report.versions,
        )
    if finding.trail.error is not None or not report.differences:
        return report
    try:
        scope.source.put(unit.session, document, _wanted(scope, finding))
    except DuplicateKeyError as error:
        raise NotUniqueError(
            f"{scope.model.__name__} {document} cannot be rebuilt: another document has a value "
            "of it that is to be unique. Rebuild that one first."
        ) from error
    return replace(report, rebuilt=True)


def _tells_the_same(one: Report, other: Report) -> bool:
    return one.versions == other.versions and same(pack(one.differences), pack(other.differences))


def _raise_if_unfit(scope: Scope, trail: Trail) -> None:
    if trail.error is not None:
        raise trail.error
    if not trail.version:
        raise UnknownVersion(scope.stream, trail.document, version=1, last_version=0)


def _wanted(scope: Scope, finding: Finding) -> State | None:
    trail, stored = finding
    wanted = trail.state
    for redaction in scope.redactions(stored or wanted):
        wanted = redaction.keep_hidden(wanted, stored)
    return wanted


class _Target:
    """Another collection, which a rebuild fills."""

    def __init__(self, auditor: Auditor, model: Model, name: str, *, is_new: bool) -> None:
        _check_name(auditor, name)
        self._is_new = is_new
        self._real = auditor.has_transactions()
        self._collection = model._get_db()[name]
        if self._real:
            self._collection = self._collection.with_options(
                codec_options=EXACT,
                read_preference=ReadPreference.PRIMARY,
                write_concern=WriteConcern("majority"),
            )
        if is_new and self._collection.find_one({}, {"_id": 1}) is not None:
            raise TargetNotEmpty(name)

    def fill(self, scope: Scope, after: Any) -> Iterator[Report]:
        """Store the documents of a scope; a report on each of its streams."""
        states: list[Any] = []
        reports: list[Report] = []
        size = 0
        for trail in trails(scope, after):
            if not issubclass(scope.source.class_of(class_alone(trail)), scope.model):
                continue
            state = _visible(scope, trail)
            if state is not None:
                stored = bson.encode(state, codec_options=EXACT) if self._real else b""
                size += len(stored)
                states.append(RawBSONDocument(stored, _RAW) if self._real else dict(state))
            reports.append(_told(scope, trail, rebuilt=state is not None))
            if len(reports) >= BATCH or size > BATCH_BYTES:
                self._store(states)
                yield from reports
                states, reports, size = [], [], 0
        self._store(states)
        yield from reports

    def _store(self, states: list[Any]) -> None:
        if not states:
            return
        if not self._is_new:  # some of them may have been stored when the run was cut off
            self._collection.delete_many({"_id": {"$in": [each["_id"] for each in states]}})
        self._collection.insert_many(states, ordered=False)


def _check_name(auditor: Auditor, name: str) -> None:
    taken = {Source.of(each).collection.name for each in auditor.models()}
    if not name or name.startswith("bzz_") or name in taken:
        raise SetupError(
            f"A rebuild cannot go into {name!r}: give the name of a collection of its own."
        )


def _visible(scope: Scope, trail: Trail) -> State | None:
    """What a stream says that its document is, if that can be told and there is one."""
    state = trail.state if trail.is_known else None
    for redaction in scope.redactions(state):
        state = redaction.strip(state)
    return state


def _told(scope: Scope, trail: Trail, *, rebuilt: bool) -> Report:
    return Report(
        model=scope.tracked(class_alone(trail)).name,
        stream=scope.stream,
        document=trail.document,
        versions=trail.version,
        problems=tuple(trail.problems),
        rebuilt=rebuilt,
        token=token_of(Place(scope.stream, False, trail.document)),
    )
