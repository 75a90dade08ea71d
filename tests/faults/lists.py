"""The checker of lists that only grow: does what is stored agree with all that was answered?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId

from bzz.audit.replay import after
from tests.audit.checking import check_histories
from tests.faults.load import Note, Outcome


def check_lists(world: Any, notes: Sequence[Note]) -> int:
    """Check all documents of `world.Page` against what clients noted; the number of events.

    Every acknowledged element is stored once, in the version that its answer's ETag named, and
    that version's list is what the answer showed.  No refused element is stored, an undecided
    one at most once, and none that nobody sent.  Every version of a list, and every list that
    was read, is a prefix of the last one.  What was acknowledged before another write began
    stands before it.
    """
    events = check_histories(world.auditor, world.Page)
    versions = {str(pk): _versions(world, pk) for pk in world.Page.objects.scalar("id")}
    for document, lists in versions.items():
        assert lists == [lists[-1][: len(each)] for each in lists], f"{document} lost an element."
    _check_elements(versions, notes)
    by_document: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        by_document[note.document].append(note)
    for document, lists in versions.items():
        for note in by_document[document]:
            _check_answer(note, lists)
        _check_order(by_document[document])
    return events


def _versions(world: Any, pk: ObjectId) -> list[list[str]]:
    """The list in each version of a document, from 0 (nothing) on, as its history tells."""
    tracked = world.auditor.tracked_as(world.Page)
    state: Any = None
    lists: list[list[str]] = [[]]
    for event in world.auditor.store.events(tracked.stream, pk, model=tracked.name):
        state = after(event, state)
        lists.append(state.get("log", []))
    return lists


def _check_elements(versions: dict[str, list[list[str]]], notes: Iterable[Note]) -> None:
    stored = Counter(element for lists in versions.values() for element in lists[-1])
    # A POST is repeated until it is decided, so the best that was told of an element counts.
    told: dict[str, set[Outcome]] = defaultdict(set)
    for note in notes:
        if note.element is not None:
            told[note.element].add(note.outcome)
    lost = [e for e, outcomes in told.items() if Outcome.ACKNOWLEDGED in outcomes and not stored[e]]
    ghosts = [e for e, outcomes in told.items() if outcomes == {Outcome.REFUSED} and stored[e]]
    assert [] == lost, f"acknowledged and lost: {_about(lost, notes)}"
    assert [] == ghosts, f"refused and stored: {_about(ghosts, notes)}"
    doubled = [element for element, times in stored.items() if times > 1]
    assert [] == doubled, f"stored twice: {_about(doubled, notes)}"
    assert set() == set(stored) - set(told), "Somebody else wrote."


def _check_answer(note: Note, lists: list[list[str]]) -> None:
    if note.told is None:
        return
    assert note.told == lists[-1][: len(note.told)], f"{note} was never so."
    if note.version is None:
        return
    at = lists[note.version]
    if note.element is None:
        # A GET's tag may be too old, never too new.
        assert at == note.told[: len(at)], f"{note} has a tag that is too new: {at}"
    else:
        assert note.told == at, f"{note} differs from the version that its ETag names: {at}"
        assert note.element == at[-1]


def _check_order(notes: Iterable[Note]) -> None:
    known = [each for each in notes if each.version is not None and each.element is not None]
    ended = sorted(known, key=lambda note: note.ended)
    newest, done = 0, 0
    for note in sorted(known, key=lambda note: note.begun):
        while done < len(ended) and ended[done].ended < note.begun:
            newest = max(newest, ended[done].version or 0)
            done += 1
        assert (note.version or 0) > newest, f"{note} began after version {newest} was answered."


def _about(elements: list[str], notes: Iterable[Note]) -> list[Note]:
    return [note for note in notes if note.element in elements[:3]]
