"""The pages on which something is put back: what will change, asked before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bzz.audit.diff import parse, pointer
from bzz.audit.pages.document import Event, Subject
from bzz.audit.pages.rendering import render


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Why it was not done: an RFC 9457 problem's title, detail, faults and conflicts."""

    status: int
    title: str
    detail: str | None
    faults: Sequence[Mapping[str, str]] = ()
    conflicts: Sequence[Mapping[str, Any]] = ()
    is_foreseen: bool = False
    """Nothing was sent yet: it is what would be answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a form asks the reader to confirm.

    Attributes
    ----------
    what: 'restore' or 'undo'.
    version: the version that is put back, or whose event is taken back.
    seen: the version of the document for which the preview was made; None if it has none.
    changes: what will change; None where that could not be told.
    token: against forms of other sites.
    choice: the fields of which some may be chosen, by JSON Pointer; none where there is no choice.
    chosen: those that are chosen, as JSON Pointers; none for all.
    reason: what was given already.
    trouble: why it was not done the last time, or will not be.
    """

    what: str
    version: int
    seen: int | None
    changes: Sequence[Mapping[str, Any]] | None
    token: str
    choice: Mapping[str, str] = field(default_factory=dict)
    chosen: Sequence[str] = ()
    reason: str = ""
    trouble: Trouble | None = None

    def is_chosen(self, place: str) -> bool:
        """Whether a field is among those that the preview is about."""
        return not self.chosen or place in self.chosen

    def title(self, subject: Subject) -> str:
        """What is asked, in words."""
        if subject.is_deleted and self.what == "undo" and self.version == subject.last:
            return "Bring it back"
        if subject.is_deleted and self.what == "restore":
            return f"Bring it back as version {self.version}"
        return f"{self.what.capitalize()} version {self.version}"


def choice_of(changes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The top members among changes as the API shows them, by JSON Pointer; none of only one."""
    paths = [parse(each["path"]) for each in changes if not each.get("masked")]
    names = dict.fromkeys(str(path[0]) for path in paths if path)
    return {pointer([each]): each for each in names} if len(names) > 1 else {}


def change(subject: Subject, event: Event | None, asked: Asked) -> bytes:
    """The preview of a restore or an undo of one document."""
    return render("change.html", it=subject, event=event, asked=asked)


def problem(title: str, status: int, detail: str | None, faults: Sequence[Any]) -> bytes:
    """An answer that is an error."""
    return render("problem.html", title=title, status=status, detail=detail, faults=faults)
