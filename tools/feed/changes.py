"""The file of changes, and what it says of each record."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

OPERATIONS = {"create": "created", "update": "updated", "delete": "deleted"}


class Operation(NamedTuple):
    """One line of the file, with the version that it makes."""

    op: str
    key: str
    version: int
    doc: Any
    author: str | None
    commit: str | None


@dataclass(slots=True)
class Truth:
    """What the file says of one record, and what was made of it since.

    Attributes
    ----------
    states: of each version, None where it is a delete.
    operations, authors, commits: of each version.
    times: of each version, as the server recorded them; the file cannot know.
    now: the state that the record has to have.
    made: how many versions came after those of the file.
    """

    states: list[Any] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    authors: list[str | None] = field(default_factory=list)
    commits: list[str | None] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    now: Any = None
    made: int = 0

    @property
    def version(self) -> int:
        """The number of the last version."""
        return len(self.states) + self.made


def read_operations(path: Path, limit: int | None = None) -> Iterator[Operation]:
    """The changes of a file, in its order; the first `limit` of them."""
    versions: Counter[str] = Counter()
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == limit:
                return
            each = json.loads(line)
            versions[each["key"]] += 1
            yield Operation(
                each["op"],
                each["key"],
                versions[each["key"]],
                each.get("doc"),
                each.get("author") or None,
                each.get("commit") or None,
            )


def truth_of(operations: Iterable[Operation]) -> dict[str, Truth]:
    """What the file says of each record."""
    records: dict[str, Truth] = {}
    for each in operations:
        truth = records.setdefault(each.key, Truth())
        truth.states.append(each.doc)
        truth.operations.append(OPERATIONS[each.op])
        truth.authors.append(each.author)
        truth.commits.append(each.commit)
        truth.now = each.doc
    return records


def canonical(value: Any) -> str:
    """A text that two states share only if they are the same, types included."""
    return json.dumps(value, sort_keys=True)
