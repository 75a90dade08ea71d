"""Take things back: single versions, and all that one commit of the file has changed.

All of it is taken back itself, so that afterwards each record is as the file has left it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from feed import naive
from feed.changes import Truth, canonical
from feed.client import Answer, Client
from feed.naive import Undone
from feed.stage import BY_FEEDER, Stage

_SAMPLE = 100
"""Documents of which the preview of a set is compared: as many as it shows at most."""


class Undoing(Stage):
    """Undo, and the restore of sets."""

    def undo(self, records: Mapping[str, Truth], size: int, seed: int) -> None:
        """Undo a sample of all versions, one at a time, and undo each undo."""
        known = [
            (key, version)
            for key, truth in self.sane(dict(records)).items()
            for version in range(1, len(truth.states) + 1)
        ]
        chosen: dict[str, list[int]] = {}
        for key, version in random.Random(seed).sample(known, min(size, len(known))):
            chosen.setdefault(key, []).append(version)
        items = [(key, records[key], versions) for key, versions in chosen.items()]
        self.share("undo", items, self._undo_all)

    def restore_sets(self, records: Mapping[str, Truth], size: int, seed: int) -> None:
        """Take back what some commits did: half of them the largest ones, half any others."""
        sets = _sets(self.sane(dict(records)))
        largest = sorted(sets, key=lambda commit: len(sets[commit]), reverse=True)
        chosen, rest = largest[: (size + 1) // 2], sorted(largest[(size + 1) // 2 :])
        chosen += random.Random(seed).sample(rest, min(size // 2, len(rest)))
        items = [
            (records, commit, sets[commit], f"set-{seed}-{number}")
            for number, commit in enumerate(chosen)
        ]
        # One after the other, for they may be about the same records.
        self.in_lanes("sets", [items], self._restore_set, len(items))

    def _restore_set(self, client: Client, item: tuple[Any, str, dict[str, int], str]) -> None:
        _RestoredSet(self, client, *item).run()

    # Undo --------------------------------------------------------------------------------

    def _undo_all(self, client: Client, item: tuple[str, Truth, list[int]]) -> None:
        key, truth, versions = item
        for version in versions:
            self._undo(client, key, truth, version)

    def _undo(self, client: Client, key: str, truth: Truth, version: int) -> None:
        expected = naive.undone(truth.states, version, truth.version)
        answer = self.order(client, key, truth, version, "undo")
        what = f"the undo of version {version}"
        if answer.status == 409 and (expected.refused or expected.is_open):
            self._compare_refusal(key, what, expected, answer)
            self.compare_live(client, key, truth.now, truth.version)
            return
        if expected.refused or answer.status != 201:
            wanted = 409 if expected.refused else 201
            self.report.differ(key, f"{what} gave {answer}, expected {wanted}")
            return
        self.report.count("undone within lists" if expected.is_open else "undone")
        undo = truth.version
        event = client.get(client.path(key, "history", str(undo)) + "?view=event").json
        self.report.expect(key, f"undo_of of {what}", version, event["undo_of"])
        self.compare_undone(key, what, truth, version, expected, answer.json["content"])
        self._take_back(client, key, truth, undo)

    def _take_back(self, client: Client, key: str, truth: Truth, undo: int) -> None:
        """Undo an undo; one that brought the record back is followed by a delete."""
        what = f"the undo of the undo {undo}"
        if truth.now is None:
            answer = self.order(client, key, truth, undo, "undo")
            self.report.expect(key, f"the status of {what}", 409, answer.status)
            answer = self.delete(client, key, truth)
            self.report.expect(key, "the status of the delete", 204, answer.status)
        else:
            answer = self.order(client, key, truth, undo, "undo")
            self.compare(key, what, truth.now, answer)
        self.compare_live(client, key, truth.now, truth.version)
        self.report.count("undos undone")

    def _compare_refusal(self, key: str, what: str, expected: Undone, answer: Answer) -> None:
        told = answer.json
        named = {each["version"] for each in told.get("conflicts", [])}
        if not named:  # it has no undo at all as things are: the sentence says why
            named = {int(each) for each in re.findall(r"\bversion (\d+)", told["detail"])}
        self.report.count("refused within lists" if expected.is_open else "refused")
        if not expected.required <= named or not named <= expected.in_the_way:
            self.report.differ(
                key,
                f"{what} is refused because of {sorted(named)}, expected "
                f"{sorted(expected.required)} of {sorted(expected.in_the_way)}: {answer}",
            )

    def compare_undone(
        self, key: str, what: str, truth: Truth, version: int, expected: Undone, state: Any
    ) -> None:
        """Compare what an undo has made of a record, as far as it can be told."""
        lists = expected.lists
        wanted, found = (naive.without(each, lists) for each in (expected.state, state))
        self.report.expect(key, what, canonical(wanted), canonical(found))
        for path in lists:
            elements = naive.elements_after_undo(truth.states, version, path)
            if elements is not None:
                where = f"{naive.pointer(path)} after {what}"
                self.report.expect(key, where, elements, naive.elements(state, path))


# Sets ---------------------------------------------------------------------------------------


def _sets(records: Mapping[str, Truth]) -> dict[str, dict[str, int]]:
    """Of each commit the records that it changed, once each, and the versions that it made."""
    sets: dict[str, dict[str, int]] = {}
    twice: set[str] = set()
    for key, truth in records.items():
        for version, commit in enumerate(truth.commits, 1):
            if commit is not None:
                made = sets.setdefault(commit, {})
                if key in made:
                    twice.add(commit)
                made[key] = version
    return {commit: made for commit, made in sets.items() if commit not in twice}


class _RestoredSet:
    """One commit: foreseen, taken back, compared, and put in place again."""

    def __init__(
        self,
        stage: Undoing,
        client: Client,
        records: Mapping[str, Truth],
        commit: str,
        versions: Mapping[str, int],
        name: str,
    ) -> None:
        self._stage, self._report, self._client = stage, stage.report, client
        self._records, self._commit, self._versions = records, commit, versions
        self._name = name
        self._expected = {key: _expected(records[key], made) for key, made in versions.items()}

    def run(self) -> None:
        """All of it."""
        self._preview()
        self._take_back()
        self._put_in_place()
        self._report.count("sets")

    def _preview(self) -> None:
        body = {"correlation": self._commit, "dry_run": True, "limit": _SAMPLE}
        told = self._post(body, "")
        if told is None:
            return
        counted = (told["documents"], told["events"])
        size = len(self._versions)
        self._report.expect(self._commit, "the size of the preview", (size, size), counted)
        seen = Counter(each["document"] for each in told["sample"])
        if len(seen) != sum(seen.values()):
            self._report.differ(self._commit, f"the preview has records twice: {seen}")
        for each in told["sample"]:
            self._compare_foreseen(each)

    def _compare_foreseen(self, told: Mapping[str, Any]) -> None:
        key = told["document"]
        expected = self._expected.get(key)
        if expected is None or isinstance(expected, str):
            self._report.differ(key, f"the preview of {self._commit} has {told}")
            return
        what = f"the preview of version {self._versions[key]}"
        if expected.refused or ("problem" in told and expected.is_open):
            self._report.expect(key, f"whether {what} is refused", True, "problem" in told)
        elif "changes" not in told:
            self._report.differ(key, f"{what} is {told}")
        else:
            state = naive.applied(self._records[key].now, told["changes"])
            self._compare_state(key, what, expected, state)
        self._report.count("set previewed")

    def _take_back(self) -> None:
        failed, unchanged = set[str](), 0
        for told in self._run(self._commit, self._name):
            failed |= {each["document"] for each in told["failed"]}
            unchanged += told["unchanged"]
        kinds = Counter(map(_kind, self._expected.values()))
        self._report.expect(self._commit, "unchanged by the set", kinds["nothing"], unchanged)
        for key, expected in self._expected.items():
            self._compare_record(key, expected, key in failed)

    def _compare_record(self, key: str, expected: Undone | str, failed: bool) -> None:
        truth, what = self._records[key], f"the record without {self._commit}"
        self._report.count("set records")
        if expected == _NOTHING or failed:
            allowed = isinstance(expected, Undone) and (expected.refused or expected.is_open)
            self._report.expect(key, f"whether {what} is refused", failed, failed and allowed)
            self._stage.compare_live(self._client, key, truth.now, truth.version)
            self._report.count("set refused" if failed else "set unchanged")
            return
        truth.made += 1
        answer = self._client.get(self._client.path(key))
        self._report.count("set taken back")
        if isinstance(expected, Undone) and expected.refused:
            self._report.differ(key, f"{what} was not refused")
        elif isinstance(expected, Undone) and expected.state is not None and answer.status == 200:
            self._compare_state(key, what, expected, answer.json["content"])
        else:
            state = expected.state if isinstance(expected, Undone) else None
            self._stage.compare(key, what, state, answer)

    def _compare_state(self, key: str, what: str, expected: Undone, state: Any) -> None:
        if expected.state is None or state is None:
            self._report.expect(key, what, expected.state, state)
            return
        truth, version = self._records[key], self._versions[key]
        self._stage.compare_undone(key, what, truth, version, expected, state)

    def _put_in_place(self) -> None:
        """Take the run back, by its own correlation."""
        written = 0
        for told in self._run(self._name, f"{self._name}-back"):
            written += told["written"]
            for each in told["failed"]:
                self._report.differ(each["document"], f"{self._commit} did not come back: {each}")
        self._report.count("set put in place", written)
        for key in self._versions:
            truth = self._records[key]
            answer = self._client.get(self._client.path(key, "history") + "?limit=1")
            last = answer.json["items"][0]["version"]
            made = last - truth.version
            if made not in (0, 1):
                self._report.differ(key, f"version {last} after a set came back: {truth.version}")
            truth.made += made
            self._stage.compare_live(self._client, key, truth.now, truth.version)

    def _run(self, correlation: str, name: str) -> Iterator[Any]:
        """Restore a set, part by part; the answers."""
        cursor = None
        while True:
            body = {"correlation": correlation} | ({"cursor": cursor} if cursor else {})
            told = self._post(body, name)
            if told is None:
                return
            self._report.expect(self._commit, "the run's correlation", name, told["correlation"])
            yield told
            cursor = told["next"]
            if cursor is None:
                return

    def _post(self, body: Mapping[str, Any], name: str) -> Any:
        root = urlsplit(self._stage.url).path.rstrip("/").rpartition("/")[0]
        headers = BY_FEEDER | ({"X-Correlation-Id": name} if name else {})
        answer = self._client.send("POST", f"{root}/history/restore/", body, headers)
        if answer.status == 200:
            return answer.json
        self._report.differ(self._commit, f"the restore of the set gave {answer}")
        return None


_NOTHING = "nothing"


def _expected(truth: Truth, version: int) -> Undone | str:
    """What a set must make of a record of which one version is in it."""
    states = truth.states
    nothing = naive.came_to_nothing(states, version)
    if version in nothing:
        return _NOTHING
    if nothing.issuperset(range(version + 1, len(states) + 1)):
        # Nothing that counts came after it, so it may even be a create.
        return Undone(states[version - 2] if version > 1 else None)
    return naive.undone(states, version, truth.version)


def _kind(expected: Undone | str) -> str:
    return expected if isinstance(expected, str) else "undone"
