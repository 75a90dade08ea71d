"""Adapter: put a set of documents back, to a time or by taking back chosen events.

Each document is restored by the same rules as one alone, in a transaction of its own; what
cannot be is told with its reason and left as it is.  A set is found anew at each run, and what is
back already has nothing left to do: a second run finishes what the first has left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bzz.audit.context import correlation_from
from bzz.audit.diff import Change, Path, changes_between
from bzz.audit.errors import HistoryTooShort
from bzz.audit.events import SYSTEM, Event, Operation
from bzz.audit.folding import Step as Folded
from bzz.audit.history import History
from bzz.audit.planning import plan_restore, plan_undo
from bzz.audit.restoring import carry_out, plan_in, unit_here
from bzz.audit.scope import Scope, batches
from bzz.audit.selection import Chosen, Place, Selection
from bzz.audit.standing import taken_back
from bzz.audit.tracking import Tracked
from bzz.documents import delete, load_document
from bzz.errors import Conflict, PreconditionFailed, Unavailable
from bzz.source import id_key
from bzz.unit import Unit, Write
from bzz.values import canonical
from bzz.work import current_version

if TYPE_CHECKING:
    from bzz.audit.auditor import Auditor

Progress = Callable[["Report"], None]


class Move(NamedTuple):
    """One write that is to be made of a document.

    Attributes
    ----------
    kind: 'restore' the state of `version`, 'undo' event `version`, or 'delete' the document.
    version: 0 for a delete.
    covers: the chosen versions that it takes back; none where the set goes back to a time.
    seen: the last version of the stream when it was planned.
    """

    kind: Literal["restore", "undo", "delete"]
    version: int
    covers: frozenset[int]
    seen: int


class Failure(NamedTuple):
    """What could not be done with a document, and why.

    Attributes
    ----------
    model: the class of the document.
    document: its id, as stored.
    move: what was to be done; None where nothing was planned.
    error: why it was not done.
    """

    model: type[Any]
    document: Any
    move: Move | None
    error: Exception


class Foreseen(NamedTuple):
    """What a move would change, or why it cannot be made.

    Attributes
    ----------
    model: the class of the document.
    document: its id, as stored.
    move: what would be done; None where nothing can be planned.
    changes: what it would change; stored names, hidden values aside.
    error: why it cannot be done; None where it can.
    """

    model: type[Any]
    document: Any
    move: Move | None
    changes: list[Change]
    error: Exception | None = None


@dataclass(slots=True)
class Report:
    """What a run has come to so far.

    Attributes
    ----------
    documents: how many were looked at.
    written: how many events were appended.
    unchanged: documents with nothing to do.
    failures: what could not be done.
    place: the last document that was looked at; give it to `run(after=…)` to go on behind it.
    """

    documents: int = 0
    written: int = 0
    unchanged: int = 0
    failures: list[Failure] = field(default_factory=list)
    place: Place | None = None


@dataclass(slots=True)
class Outlook:
    """What a run would do as things are; given to `run`, nothing else is done.

    Attributes
    ----------
    documents: how many are in the set.
    events: how many chosen events they have.
    sample: what would be done with the first of them, each move seen alone.
    """

    documents: int = 0
    events: int = 0
    sample: list[Foreseen] = field(default_factory=list)
    _last: dict[int, int] = field(default_factory=dict, repr=False)

    def _note(self, place: Place, last: int) -> None:
        """Remember the last version of a document."""
        self._last[_key(place)] = last

    def _last_of(self, place: Place) -> int:
        """The last version that a document had; 0 of one that was not in the set."""
        return self._last.get(_key(place), 0)


def _key(place: Place) -> int:
    # A number for each document, however long its id is: there may be many.
    return hash((place.stream, id_key(place.document)))


class Moved(Conflict):
    """The document has a new version since the move was planned."""


class DocumentWork:
    """What is to be done with one document of a set, move by move.

    `events` is the number of its chosen events, `written` of those that were made.
    Ask `next`, make the move in a unit of work of its own with `make`, and tell how it ended
    with `made` or `failed`, until there is none left.
    """

    def __init__(self, history: History, chosen: Chosen, to: datetime | None):
        self.history = history
        self.expected: int | None = None
        """The last version that the document must have; None for any."""
        self.events = len(chosen.versions)
        self.written = 0
        self.failures: list[Failure] = []
        self._chosen = set(chosen.versions)
        self._to = to
        self._over = False
        self._tries = 0

    @property
    def model(self) -> type[Any]:
        """The model of the document."""
        return self.history.model

    def next(self) -> Move | None:
        """The next move; None when there is nothing left to do.  Blocks."""
        try:
            moves = [] if self._over else self.moves()
        except Exception as error:
            self.failed(None, error)
            return None
        return moves[0] if moves else None

    def moves(self) -> list[Move]:
        """All that is left to do, as things are.  Blocks.

        Raises `HistoryTooShort` where nobody knows how the document was at the time, and what
        reading its history raises; `PreconditionFailed` where it is not at the version that is
        expected.
        """
        moves = self._moves()
        if moves and self.expected not in (None, moves[0].seen):
            raise PreconditionFailed(
                f"{self.model.__name__} {self.history.document_id} was changed since the preview; "
                "look at it again.",
                current=moves[0].seen,
            )
        return moves

    def _moves(self) -> list[Move]:
        if self._to is not None:
            return self._back_to(self._to)
        return _take_back(self.history, self._chosen) if self._chosen else []

    def make(self, unit: Unit, move: Move) -> Write | None:
        """Make a move within a unit of work; the write, None when it is so already.

        Raises `Moved` when the plan is out of date, `Conflict` for a document that was written
        round bzz, and what restoring, undoing and deleting raise.
        """
        history, model = self.history, self.model
        head = unit.head(model, history.document_id)
        if head is None or head.version != move.seen:
            raise Moved(f"{model.__name__} {history.document_id} is being changed right now.")
        if move.kind == "undo":
            plan = plan_undo(unit, history, model, move.version)
            return None if plan.is_so else carry_out(unit, plan)
        current = unit.load(model, {"_id": history.document_id})
        if current is not None and current_version(unit, current) is None:
            raise Conflict(
                f"{model.__name__} {history.document_id} was written round bzz since its last "
                "event; restore it by itself, where that is seen."
            )
        if move.kind == "delete":
            write = load_document(unit, model, {"_id": history.document_id})
            return None if write is None else delete(unit, write)
        plan = plan_restore(unit, history, model, move.version)
        return None if plan.is_so else carry_out(unit, plan)

    def made(self, move: Move, write: Write | None) -> None:
        """The move was made and committed; `write` is what `make` gave."""
        self.written += write is not None and write.event is not None
        if self.expected is not None and write is not None and write.event is not None:
            self.expected = int(write.event.version)
        self._settle(move)

    def failed(self, move: Move | None, error: Exception) -> None:
        """The move was not made.  One whose plan was out of date is planned anew, a few times."""
        self._tries += 1
        if isinstance(error, Moved) and self._tries < _TRIES:
            return
        self.failures.append(Failure(self.model, self.history.document_id, move, error))
        self._settle(move)

    def _settle(self, move: Move | None) -> None:
        self._chosen -= self._chosen if move is None else move.covers
        self._over = move is None or self._to is not None

    def _back_to(self, time: datetime) -> list[Move]:
        history = self.history
        last = history.last_version()
        for event in history.versions(query={"t": {"$lte": time}}, newest_first=True, limit=1):
            if event.gone:
                return self._away(last)
            return [Move("restore", event.version, frozenset(), last)]
        for event in history.versions(limit=1):
            if event.operation is Operation.BASELINE:
                raise HistoryTooShort(event.stream, event.document, since=event.time)
        return self._away(last)

    def _away(self, last: int) -> list[Move]:
        gone = not last or self.history.event(last).gone
        return [] if gone else [Move("delete", 0, frozenset(), last)]


_TRIES = 5
_AT_ONCE = 100


def _take_back(history: History, chosen: Iterable[int]) -> list[Move]:
    """The moves that take back chosen events and leave all others.

    What has come to nothing already is left alone.  A stream whose end is all chosen goes back
    in one move to where it was before; older chosen events are undone one by one, newest first.
    """
    wanted = set(chosen)
    steps = list(history.walk(min(wanted)))
    nothing = _come_to_nothing(steps)
    wanted = wanted - nothing - _undone_within(wanted, [step.event for step in steps])
    tail = _tail(steps, wanted, nothing)
    last = steps[-1].event.version
    moves = []
    if tail:
        covers = frozenset(step.event.version for step in tail) & wanted
        moves.extend(_to_before(tail, covers, last))
        wanted -= covers
    moves.extend(Move("undo", each, frozenset([each]), last) for each in sorted(wanted)[::-1])
    return moves


def _to_before(tail: Sequence[Folded], covers: frozenset[int], last: int) -> list[Move]:
    first = tail[0]
    if first.before is None:
        return [Move("delete", 0, covers, last)] if tail[-1].after is not None else []
    if len(tail) == 1:  # said by its own name
        return [Move("undo", first.event.version, covers, last)]
    return [Move("restore", first.event.version - 1, covers, last)]


def _tail(steps: Sequence[Folded], wanted: set[int], nothing: set[int]) -> Sequence[Folded]:
    """The end of a stream that holds only chosen events and what has come to nothing."""
    first = len(steps)
    for index in range(len(steps) - 1, -1, -1):
        version = steps[index].event.version
        if version in wanted:
            first = index
        elif version not in nothing:
            break
    return steps[first:]


def _come_to_nothing(steps: Sequence[Folded]) -> set[int]:
    """The versions of events that changed nothing in the end.

    Those that were undone, with the undo, and those after which the document came to be as it
    was before them.  An undo belongs to what it took back: a delete after one that brought the
    document back counts, although the document was away before as well.
    """
    pairs = _undo_pairs([step.event for step in steps])
    nothing, places = set(pairs), dict[bytes, list[int]]()
    states = [canonical(steps[0].before), *(canonical(step.after) for step in steps)]
    for index, state in enumerate(states):
        places.setdefault(state, []).append(index)
    versions = [step.event.version for step in steps]
    end = len(steps)
    while end > 0:
        same = places[states[end]]
        begin = next(each for each in same if _is_whole(set(versions[each:end]), pairs))
        nothing.update(versions[begin:end])
        end = min(begin, end - 1)
    return nothing


def _undo_pairs(events: Sequence[Event]) -> dict[int, int]:
    """For each undo the version that it took back, and the other way round."""
    known = {event.version: event for event in events}
    pairs: dict[int, int] = {}
    for undo, target in taken_back(events).items():
        # An undo of single fields leaves the others.
        if _places(known[undo]) == _places(known[target]):
            pairs |= {undo: target, target: undo}
    return pairs


def _is_whole(versions: set[int], pairs: Mapping[int, int]) -> bool:
    """Whether some versions hold, of each of these pairs, both or none."""
    return all(pairs.get(each, each) in versions for each in versions)


def _places(event: Event) -> set[Path]:
    return {change.path for change in event.changes}


def _undone_within(wanted: set[int], events: Iterable[Event]) -> set[int]:
    """Chosen events that undo one another: both are there, so neither is to be done again."""
    pairs = {event.version: event.undo_of for event in events if event.undo_of in wanted}
    return {each for undo, target in pairs.items() if undo in wanted for each in (undo, target)}


class Restoration:
    """A set of documents to be put back.  `auditor.restoration(…)` gives it.

    `preview` first, then `run`.
    """

    def __init__(self, auditor: Auditor, selection: Selection, to: datetime | None) -> None:
        self._auditor = auditor
        self._selection = selection
        self._to = to

    def count(self) -> tuple[int, int]:
        """How many documents are in the set, and how many chosen events they have."""
        if not any(_shares(each.model) for each in self._selection.tracked):
            return self._selection.count(self._auditor.store)
        events = [work.events for _, work in self.works()]
        return len(events), sum(events)

    def works(self, *, after: Place | None = None) -> Iterator[tuple[Place, DocumentWork]]:
        """The work of each document of the set, in the order of their places, behind one."""
        by_stream = {each.stream: each for each in self._selection.tracked}
        for chosen in self._selection.documents(self._auditor.store, after=after):
            tracked = by_stream[chosen.stream]
            if not self._is_meant(tracked, chosen.document):
                continue
            history = History(self._auditor, tracked, chosen.document)
            yield chosen.place, DocumentWork(history, chosen, self._to)

    def _is_meant(self, tracked: Tracked, document: Any) -> bool:
        """Whether a document is of the model that is meant, and not of one beside or above it."""
        if not _shares(tracked.model):
            return True
        scope = Scope(self._auditor, tracked.stream, tracked.model)
        state = scope.source.find_one(None, {"_id": document})
        if state is None:
            state = self._auditor.last_state(tracked.model, document)
        # What its history cannot tell is listed with that as its reason.
        return state is None or scope.has(state)

    def preview(self, limit: int = 20) -> list[Foreseen]:
        """What would be done with the first `limit` documents; nothing is written.

        Each move is seen alone, as things are now.
        """
        found: list[Foreseen] = []
        for number, (_, work) in enumerate(self.works(), 1):
            found.extend(self.foresee(work))
            if number >= limit:
                break
        return found

    def outlook(
        self,
        limit: int = 20,
        *,
        after: Place | None = None,
        progress: Callable[[Outlook], object] | None = None,
    ) -> Outlook:
        """Look at the whole set, and what would be done with its first `limit` documents.

        Give it to `run`, which then leaves alone what was changed in the meantime.  `after` is
        as of `run`; `progress` is called now and then.
        """
        found = Outlook()
        for works in batches(self.works(after=after), _AT_ONCE):
            for _, work in works:
                found.documents += 1
                found.events += work.events
                if found.documents <= limit:
                    found.sample.extend(self.foresee(work))
            self._note(found, [place for place, _ in works])
            if progress is not None:
                progress(found)
        return found

    def _note(self, found: Outlook, places: list[Place]) -> None:
        for stream, those in groupby(places, lambda each: each.stream):
            ids = [each.document for each in those]
            for head in self._auditor.store.heads(stream, ids):
                found._note(Place(stream, head["d"]), int(head["v"]))

    def foresee(self, work: DocumentWork) -> list[Foreseen]:
        """What would be done with one document."""
        model, document = work.model, work.history.document_id
        try:
            moves = work.moves()
        except Exception as error:
            return [Foreseen(model, document, None, [], error)]
        return [self._foresee(work, move) for move in moves]

    def _foresee(self, work: DocumentWork, move: Move) -> Foreseen:
        try:
            changes = self._auditor.write(partial(_changes_of, work, move))
        except Exception as error:
            return Foreseen(work.model, work.history.document_id, move, [], error)
        return Foreseen(work.model, work.history.document_id, move, changes)

    def run(
        self,
        *,
        actor: Any = SYSTEM,
        reason: str | None = None,
        correlation: str | None = None,
        after: Place | None = None,
        progress: Progress | None = None,
        seen: Outlook | None = None,
    ) -> Report:
        """Put the documents back, one transaction for each move.

        Args:
            actor, reason: who does it, and why.
            correlation: what ties its events together, new by default; with it the whole run
                can be taken back.
            after: go on behind this place, that of an earlier report.
            progress: called with the report after each document.
            seen: what was seen of the set; documents that were changed since, or came into it,
                are left alone and told as failures.

        Returns the report of this run.  Raises `Unavailable` when the database cannot go on;
        what was done until then is done, and a second run finishes the rest.
        """
        report = Report()
        who = {"actor": actor, "reason": reason, "correlation": correlation or correlation_from({})}
        for place, work in self.works(after=after):
            work.expected = None if seen is None else seen._last_of(place)
            self._run_one(work, who)
            tell(report, place, work)
            if progress is not None:
                progress(report)
        return report

    def _run_one(self, work: DocumentWork, who: dict[str, Any]) -> None:
        while (move := work.next()) is not None:
            try:
                write = self._auditor.write(partial(_make_here, work, move), **who)
            except Unavailable:
                raise
            except Exception as error:
                work.failed(move, error)
            else:
                work.made(move, write)


def _shares(model: type[Any]) -> bool:
    """Whether other classes may have documents in the stream of a class that inherits."""
    return "." in model._class_name


def tell(report: Report, place: Place, work: DocumentWork) -> None:
    """Add to a report what became of one document."""
    report.documents += 1
    report.written += work.written
    report.unchanged += not work.written and not work.failures
    report.failures.extend(work.failures)
    report.place = place


def _make_here(work: DocumentWork, move: Move) -> Write | None:
    return work.make(unit_here(), move)


def _changes_of(work: DocumentWork, move: Move) -> list[Change]:
    history = work.history
    if move.kind != "delete":
        planner = plan_undo if move.kind == "undo" else plan_restore
        return plan_in(planner, history, move.version).changes
    current = unit_here().load(work.model, {"_id": history.document_id})
    before = None if current is None else current.before
    return changes_between(history.recorded_as(before).redaction.strip(before), None)
