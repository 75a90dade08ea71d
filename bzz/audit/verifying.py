"""Prove that histories are whole, and that what is stored is what they say.

A run first compares digests, with whatever writers are doing meanwhile; where these disagree it
looks at that one document again, history and content in one snapshot, and only that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from bzz.audit.diff import Change, changes_between
from bzz.audit.events import Event, State
from bzz.audit.recorder import head_after, is_state_of
from bzz.audit.scope import (
    LONGEST,
    Part,
    Place,
    Scope,
    batches,
    parts,
    place_of,
    refuse_within_write,
    scopes,
    token_of,
    without_history,
)
from bzz.audit.sealing import leaf
from bzz.audit.store import COLLECTION, unpacked
from bzz.audit.trail import Problem, ProblemKind, Trail
from bzz.recording import Head, Model
from bzz.source import id_key
from bzz.transactions import Deadline
from bzz.unit import Unit
from bzz.values import ABSENT

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

BATCH = 100
"""Documents that are read at once."""
_SEALED_AT_ONCE = 500


_BREAKS = set(ProblemKind) - {ProblemKind.CLASH, ProblemKind.NO_BASELINE}


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out about one document.

    Attributes
    ----------
    ok: nothing is wrong.  After a rebuild: the document is what its history says.
    model: the resource name of its class, as events show it.
    stream: the name of its stream.
    document: its id, as stored.
    versions: the number of its last event; 0 without a history.
    differences: from what the history says to what is stored, without what is hidden; of a
        rebuild what it has overwritten.
    problems: what is wrong with the history itself, or stood in the way.
    rebuilt: the document has been written: it is what its history says.
    token: where a run has come with this document, to go on from with `after`.
    of_log: it is not about a document, but about the seals and positions of all events.
    """

    model: str
    stream: str
    document: Any
    versions: int
    differences: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    rebuilt: bool = False
    token: str = ""
    of_log: bool = False

    @property
    def is_broken(self) -> bool:
        """Whether the history itself is not whole."""
        return any(each.kind in _BREAKS for each in self.problems)

    @property
    def has_no_baseline(self) -> bool:
        """Whether the document is stored and has no history yet."""
        return any(each.kind is ProblemKind.NO_BASELINE for each in self.problems)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return not self.is_broken and (self.rebuilt or not self.differences)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run has met so far.

    Attributes
    ----------
    documents: all of them, also deleted ones and those without a history.
    versions: their events.
    different: stored otherwise than their history says, and not rebuilt.
    rebuilt: stored otherwise, and put right.
    broken: with a history that is not whole.
    without_baseline: stored, and without a history so far.
    token: where the run has come; None before its first document.
    """

    documents: int = 0
    versions: int = 0
    different: int = 0
    rebuilt: int = 0
    broken: int = 0
    without_baseline: int = 0
    token: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return not self.different and not self.broken

    def plus(self, report: Report) -> Counts:
        """The counts with one more report."""
        return Counts(
            documents=self.documents + (not report.of_log),
            versions=self.versions + report.versions,
            different=self.different + (bool(report.differences) and not report.rebuilt),
            rebuilt=self.rebuilt + report.rebuilt,
            broken=self.broken + report.is_broken,
            without_baseline=self.without_baseline + report.has_no_baseline,
            token=self.token if report.of_log else report.token,
        )


Progress: TypeAlias = Callable[[Counts], object]


class Reports(Iterator[Report]):
    """The reports of a run, one for each document, as they are asked for.

    Nothing is read before the first is asked for, and nothing is kept.  `counts` is what has
    been met so far; `run()` goes through to the end.
    """

    def __init__(self, reports: Iterator[Report], progress: Progress | None, every: int) -> None:
        self._reports = reports
        self._progress = progress
        self._every = every
        self._told = 0
        self.counts = Counts()

    def __next__(self) -> Report:
        report = next(self._reports, None)
        if report is None:
            self._tell()
            raise StopIteration
        self.counts = self.counts.plus(report)
        if not self.counts.documents % self._every:
            self._tell()
        return report

    def run(self) -> Counts:
        """Go through all that is left, and return the counts."""
        for _ in self:
            pass
        return self.counts

    def _tell(self) -> None:
        if self._progress is not None and self._told != self.counts.documents:
            self._told = self.counts.documents
            self._progress(self.counts)


class Finding(NamedTuple):
    """One document and its history, as one snapshot has them."""

    trail: Trail
    stored: State | None


Settle: TypeAlias = Callable[[Scope, Any], Report]
"""What is done with a document that does not look right."""


def verify_all(
    auditor: Auditor,
    model: Model | None,
    *,
    after: str | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> Reports:
    """Verify the documents of a model, or of all tracked ones.  `auditor.verify` says the rest."""
    walk = partial(reports_on, after=after, progress=progress, batch=batch)
    return walk(auditor, model, verify_one, with_log=model is None)


def reports_on(
    auditor: Auditor,
    model: Model | None,
    settle: Settle,
    *,
    after: str | None,
    progress: Progress | None,
    batch: int,
    with_log: bool = False,
) -> Reports:
    """A report on each document of a model; `settle` makes those of what does not look right.

    `batch` documents are read at once.  `with_log`: at the end one on the seals and positions
    of all events, if anything is wrong with them.
    """
    refuse_within_write("A run over many documents")
    auditor.prepare()
    among = scopes(auditor, model)
    place = None if after is None else place_of(after, among)
    reports = _walk(parts(among, place), settle, batch)
    return Reports(chain(reports, _on_log(auditor) if with_log else ()), progress, batch)


def verify_one(scope: Scope, document: Any) -> Report:
    """Verify one document in a snapshot of its own."""
    refuse_within_write("A verification")
    finding = scope.auditor.alone(partial(look, scope, document), deadline=Deadline(LONGEST))
    return report_on(scope, finding)


def look(scope: Scope, document: Any, unit: Unit) -> Finding:
    """Read a document and its whole history within the transaction of a unit."""
    trail = Trail(scope.stream, document)
    events = scope.auditor.store.walk(scope.stream, document=document, session=unit.session)
    for stored, flaw in _compared(scope.auditor, events, unit.session):
        _follow(trail, stored, flaw)
    return Finding(trail, scope.source.find_one(unit.session, {"_id": document}))


def report_on(scope: Scope, finding: Finding) -> Report:
    """What a finding says."""
    trail, stored = finding
    problems = list(trail.problems)
    differences: list[Change] = []
    if not trail.version and stored is not None:
        problems.append(_no_baseline(scope, trail.document))
    elif trail.is_known:
        differences = differences_of(scope, finding)
    elif not _fits(scope, _head(trail), stored):
        problems.append(_untold(trail))
    return Report(
        model=scope.tracked(stored or trail.state or class_alone(trail)).name,
        stream=scope.stream,
        document=trail.document,
        versions=trail.version,
        differences=tuple(differences),
        problems=tuple(problems),
        token=token_of(Place(scope.stream, not trail.version, trail.document)),
    )


def differences_of(scope: Scope, finding: Finding) -> list[Change]:
    """From what a history says to what is stored, without what is hidden."""
    trail, stored = finding
    found = (
        _between(redaction.strip(trail.state), redaction.strip(stored))
        for redaction in scope.redactions(stored or trail.state)
    )
    return min(found, key=len)


def _between(recorded: State | None, stored: State | None) -> list[Change]:
    changes = changes_between(recorded, stored)
    if changes or (recorded is None) == (stored is None):
        return changes
    # One of them is a document of which nothing is known but its id.
    ids = (ABSENT if each is None else each["_id"] for each in (recorded, stored))
    return [Change(("_id",), *ids)]


# A run ---------------------------------------------------------------------------------


class _Sight(NamedTuple):
    """What is kept of a stream until its document has been read."""

    document: Any
    versions: int
    head: Head | None
    is_sound: bool
    last_class: State


def _walk(rest: Iterator[Part], settle: Settle, batch: int) -> Iterator[Report]:
    for part in rest:
        if part.in_documents:
            yield from _without_stream(part, settle, batch)
        else:
            for sights in batches(_sights(part.scope, part.after), batch):
                yield from _judged(part.scope, sights, settle)


def _sights(scope: Scope, after: Any) -> Iterator[_Sight]:
    for trail in trails(scope, after):
        last_class = class_alone(trail)
        if issubclass(scope.source.class_of(last_class), scope.model):
            yield _Sight(
                trail.document, trail.version, _head(trail), not trail.problems, last_class
            )


def trails(scope: Scope, after: Any) -> Iterator[Trail]:
    """The streams of a scope whose documents come after one, each followed to its end."""
    trail: Trail | None = None
    events = scope.auditor.store.walk(scope.stream, after=after)
    for stored, flaw in _compared(scope.auditor, events):
        document = stored.get("d")
        if trail is None or id_key(document) != id_key(trail.document):
            if trail is not None:
                yield trail
            trail = Trail(scope.stream, document)
        _follow(trail, stored, flaw)
    if trail is not None:
        yield trail


_Flaw: TypeAlias = tuple[ProblemKind, str] | None


def _compared(
    auditor: Auditor, events: Iterator[dict[str, Any]], session: Any = None
) -> Iterator[tuple[dict[str, Any], _Flaw]]:
    """Events as stored, each with what is wrong between it and its seal."""
    seals = auditor.seals
    if seals is None:
        yield from ((stored, None) for stored in events)
        return
    for page in batches(events, _SEALED_AT_ONCE):
        positions = [each["p"] for each in page if isinstance(each.get("p"), int)]
        leaves = seals.leaves(positions, session=session)
        yield from ((stored, _flaw(stored, leaves)) for stored in page)


def _flaw(stored: dict[str, Any], leaves: dict[int, bytes]) -> _Flaw:
    position, version = stored.get("p"), stored.get("v")
    if position == 0:
        return None
    if position not in leaves:
        told = f"position {position}, which nothing was given: it was inserted or moved."
        return ProblemKind.UNSEALED, f"Version {version} stands at {told}"
    try:
        is_sealed = leaf(stored) == leaves[position]
    except Exception:  # whoever altered it may have left anything
        is_sealed = False
    if is_sealed:
        return None
    told = f"position {position} was given to: it was altered or moved since."
    return (
        ProblemKind.ALTERED,
        f"Version {version} is not what {told} Bring it back from a backup.",
    )


def _on_log(auditor: Auditor) -> Iterator[Report]:
    problems = () if auditor.seals is None else tuple(auditor.seals.problems())
    if problems:
        yield Report("", COLLECTION, None, 0, problems=problems, of_log=True)


def _follow(trail: Trail, stored: dict[str, Any], flaw: _Flaw) -> None:
    try:
        event: Event = unpacked(stored, "")
    except Exception:  # whoever altered it may have left anything
        version = stored.get("v")
        trail.unreadable(version if isinstance(version, int) else trail.version + 1)
    else:
        trail.follow(event, flaw)


def _judged(scope: Scope, sights: list[_Sight], settle: Settle) -> Iterator[Report]:
    found = scope.source.each(None, {"_id": {"$in": [sight.document for sight in sights]}})
    unseen = {id_key(sight.document): sight for sight in sights}
    fits = set()
    for state in found:  # one at a time: only whether it fits is kept
        sight = unseen.pop(id_key(state["_id"]), None)
        if sight is not None and _fits(scope, sight.head, state):
            fits.add(id_key(sight.document))
    fits |= {key for key, sight in unseen.items() if _fits(scope, sight.head, None)}
    for sight in sights:
        if sight.is_sound and id_key(sight.document) in fits:
            yield _all_right(scope, sight)
        else:
            yield settle(scope, sight.document)


def _without_stream(part: Part, settle: Settle, batch: int) -> Iterator[Report]:
    for found in without_history(part.scope, part.after, batch=batch):
        for document in found.new:
            report = settle(part.scope, document)
            if report.has_no_baseline:  # else it has been deleted or recorded by now
                yield report


def _all_right(scope: Scope, sight: _Sight) -> Report:
    return Report(
        model=scope.tracked(sight.last_class).name,
        stream=scope.stream,
        document=sight.document,
        versions=sight.versions,
        token=token_of(Place(scope.stream, False, sight.document)),
    )


def _fits(scope: Scope, head: Head | None, state: State | None) -> bool:
    """Whether a stored document is the state after the event of `head`."""
    if head is None:
        return False
    if state is None:
        return is_state_of(head, None)
    # What is hidden now was told by the last event where it has been hidden since.
    return is_state_of(head, state) or any(
        is_state_of(head, redaction.strip(state)) for redaction in scope.redactions(state)
    )


def _head(trail: Trail) -> Head | None:
    return None if trail.last is None else head_after(trail.last)


def class_alone(trail: Trail) -> State:
    """As much of a state as tells the class of its document."""
    return {} if trail.last_class is None else {"_cls": trail.last_class}


def _no_baseline(scope: Scope, document: Any) -> Problem:
    name = scope.model.__name__
    return Problem(
        ProblemKind.NO_BASELINE,
        None,
        f"{name} {document} has no history yet; auditor.adopt({name}) gives it its baseline.",
    )


def _untold(trail: Trail) -> Problem:
    return Problem(
        ProblemKind.UNTOLD,
        trail.version,
        f"What is stored is not the state after version {trail.version}; what differs cannot be "
        "told from a broken history.",
    )
