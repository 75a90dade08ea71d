"""Ask the histories: what differs between versions, what set each value, how it was at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import combinations
from typing import Any
from urllib.parse import quote

import jsonpatch

from feed import naive
from feed.changes import Truth, canonical
from feed.client import Answer, Client
from feed.stage import Stage

_PATCH = {"Accept": "application/json-patch+json"}
_MILLISECOND = timedelta(milliseconds=1)


class Reading(Stage):
    """Questions to histories that hold just what the file says."""

    def compare_versions(self, records: Mapping[str, Truth], pairs: int, seed: int) -> None:
        """Compare all neighbours, all versions of the same state, and random pairs."""
        chooser = random.Random(seed)
        items = []
        for key, truth in self.sane(dict(records)).items():
            last = len(truth.states)
            wanted = [(each - 1, each) for each in range(1, last + 1)]
            wanted += _repeated(truth.states)
            wanted += [(chooser.randint(0, last), chooser.randint(1, last)) for _ in range(pairs)]
            items.append((key, truth, list(dict.fromkeys(wanted))))
        self.share("compare", items, self._compare_versions)

    def blame(self, records: Mapping[str, Truth]) -> None:
        """Ask of each record what set its values."""
        self.share("blame", self.sane(dict(records)).items(), self._blame)

    def travel(self, records: Mapping[str, Truth]) -> None:
        """Ask for each record as it was at each version, and at times around each event."""
        known = self.sane(dict(records)).items()
        self.share("travel", [each for each in known if each[1].times], self._travel)

    # Compare -----------------------------------------------------------------------------

    def _compare_versions(
        self, client: Client, item: tuple[str, Truth, list[tuple[int, int]]]
    ) -> None:
        key, truth, pairs = item
        documents = self._documents(client, key, truth)
        states = [None, *truth.states]
        for one, other in pairs:
            self._compare_changes(client, key, (one, other), states)
            self._compare_patch(client, key, (one, other), documents)
            self.report.count("compared neighbours" if other == one + 1 else "compared others")

    def _documents(self, client: Client, key: str, truth: Truth) -> list[Any]:
        """What each version is to a reader, from 0 on; None where there is no document."""
        documents: list[Any] = [None]
        for version in range(1, len(truth.states) + 1):
            answer = client.get(client.path(key, "history", str(version)))
            documents.append(None if answer.status == 410 else answer.json)
        return documents

    def _compare_changes(
        self, client: Client, key: str, pair: tuple[int, int], states: list[Any]
    ) -> None:
        answer = client.get(_comparison(client, key, pair))
        what = f"the comparison of versions {pair[0]} and {pair[1]}"
        if answer.status != 200:
            self.report.differ(key, f"{what} gave {answer}")
            return
        told = answer.json
        self.report.expect(key, f"what is compared by {what}", pair, (told["from"], told["to"]))
        before, after = (states[each] for each in pair)
        if naive.same(before, after):
            self.report.expect(key, what, [], told["changes"])
            self.report.count("compared equal states")
            return
        try:
            state = naive.applied(before, told["changes"])
        except (naive.DoesNotApply, KeyError, IndexError, ValueError, TypeError) as error:
            self.report.differ(key, f"{what} does not apply: {error!r}")
            return
        self.report.expect(key, f"{what}, applied,", canonical(after), canonical(state))

    def _compare_patch(
        self, client: Client, key: str, pair: tuple[int, int], documents: list[Any]
    ) -> None:
        answer = client.send("GET", _comparison(client, key, pair), None, _PATCH)
        what = f"the patch of versions {pair[0]} and {pair[1]}"
        if answer.status != 200:
            self.report.differ(key, f"{what} gave {answer}")
            return
        before, after = (documents[each] for each in pair)
        try:
            document = jsonpatch.apply_patch(before, answer.json)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            self.report.differ(key, f"{what} does not apply: {error!r}")
            return
        self.report.expect(key, f"{what}, applied,", canonical(after), canonical(document))

    # Blame -------------------------------------------------------------------------------

    def _blame(self, client: Client, item: tuple[str, Truth]) -> None:
        key, truth = item
        answer = client.get(client.path(key, "history", "blame"))
        if truth.states[-1] is None:
            self.report.expect(key, "the status of the blame", 410, answer.status)
            return
        if answer.status != 200:
            self.report.differ(key, f"the blame gave {answer}")
            return
        items = answer.json["items"]
        expected = {
            naive.pointer(("content", *path)): version
            for path, version in naive.blame(truth.states).items()
        }
        told = {each["path"]: each["version"] for each in items}
        self.report.expect(key, "the number of paths", len(told), len(items))
        self.report.expect(key, "the paths of the blame", sorted(expected), sorted(told))
        for path in expected.keys() & told.keys():
            self.report.expect(key, f"the blame of {path}", expected[path], told[path])
        for each in items if truth.times else []:
            if told == expected:
                self._compare_facts(key, truth, each)
        self.report.count("blamed values", len(told))
        self.report.count("blamed records")

    def _compare_facts(self, key: str, truth: Truth, told: Mapping[str, Any]) -> None:
        index = told["version"] - 1
        facts = (told["time"], (told["actor"] or {}).get("id"))
        expected = (truth.times[index], truth.authors[index])
        self.report.expect(key, f"who set {told['path']}, and when,", expected, facts)

    # Time travel -------------------------------------------------------------------------

    def _travel(self, client: Client, item: tuple[str, Truth]) -> None:
        key, truth = item
        for version in range(1, len(truth.states) + 1):
            answer = _at(client, key, str(version))
            self.compare(key, f"the record at version {version}", truth.states[version - 1], answer)
            self.report.count("at a version")
        times = [datetime.fromisoformat(each) for each in truth.times]
        self.report.expect(key, "the order of times", sorted(times), times)
        for moment in dict.fromkeys(_around(times)):
            text = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
            answer, version = _at(client, key, text), naive.version_at(times, moment)
            if version:
                self.compare(key, f"the record at {text}", truth.states[version - 1], answer)
            else:
                self.report.expect(key, f"the status at {text}", 404, answer.status)
            self.report.count("at a time")


def _repeated(states: list[Any]) -> list[tuple[int, int]]:
    """The pairs of versions, not neighbours, whose states are the same."""
    versions: dict[str, list[int]] = {}
    for version, state in enumerate(states, 1):
        versions.setdefault(canonical(state), []).append(version)
    return [pair for each in versions.values() for pair in combinations(each, 2)]


def _comparison(client: Client, key: str, pair: tuple[int, int]) -> str:
    return client.path(key, "history", "diff") + f"?from={pair[0]}&to={pair[1]}"


def _at(client: Client, key: str, moment: str) -> Answer:
    return client.get(client.path(key) + f"?at={quote(moment)}")


def _around(times: list[datetime]) -> Iterator[datetime]:
    """Each time, just before it, and in the middle to the next one, in whole milliseconds."""
    for index, time in enumerate(times):
        yield time - _MILLISECOND
        yield time
        if index + 1 < len(times):
            yield time + (times[index + 1] - time) // _MILLISECOND // 2 * _MILLISECOND
    yield times[-1] + timedelta(days=1)
