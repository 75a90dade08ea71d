"""Hold documents and their histories, over HTTP and in code, against what is to be true of them."""

from __future__ import annotations

from typing import Any

import jsonpatch

from bzz.values import EXACT, same
from tests.audit.kinds import HUSH, State, text
from tests.audit.truths import Truth, changed, last_set, leaves, painted
from tests.house import history_bytes, raw
from tests.support import JSON_PATCH


class Checked:
    """A world and the truths about the documents that `focus` names.

    `moments` are times, each with the number of events that each document had by then.
    """

    world: Any
    focus: tuple[str, ...]
    truths: dict[str, Truth]
    moments: list[Any]
    checks: int

    def path(self, key: str) -> str:
        return f"/{self.truths[key].kind.path}/{key}/"

    def history(self, key: str) -> Any:
        return self.world.auditor.history(self.truths[key].kind.model, key)

    def found(self, key: str) -> State | None:
        """What the database has."""
        collection = raw(self.truths[key].kind.model).with_options(EXACT)
        exact = collection.find_one({"_id": key})
        return exact and {name: value for name, value in exact.items() if name != "_id"}

    def check(self, *touched: str) -> None:
        """Check all documents as they are, and the histories of those that were touched."""
        self.checks += 1
        self.moments.append(
            (self.world.clock(), {key: len(truth.events) for key, truth in self.truths.items()})
        )
        for key in self.focus:
            truth = self.truths[key]
            live = self.world.server.get(self.path(key))
            assert (truth.missing or 200) == live.status, (key, live)
            if truth.stored is not None:
                assert same(truth.stored, self.found(key)), (key, truth.stored, self.found(key))
                assert text(truth.kind.shown(key, truth.stored)) == text(live.json)
                assert truth.tag == live.etag, (key, live)
        for key in touched:
            self.check_history(key)
            self.check_verified(key)
            self.check_blame(key)
        assert HUSH.encode() not in history_bytes()

    def check_history(self, key: str) -> None:
        truth, path = self.truths[key], f"{self.path(key)}history/"
        answer = self.world.server.get(f"{path}?order=asc&limit=100&include=state,patch")
        if not truth.events:
            assert (404 if truth.stored is None else 200) == answer.status, answer
            return
        events = answer.json["items"]
        assert list(range(1, len(truth.events) + 1)) == [each["version"] for each in events]
        assert [each.operation for each in truth.events] == [each["operation"] for each in events]
        assert [each.actor for each in truth.events] == [each["actor"]["id"] for each in events]
        is_settled = all(each["position"] for each in events)
        assert (f'"{len(truth.events)}"' if is_settled else None) == answer.etag
        document = None
        for told, event in zip(truth.events, events, strict=True):
            if told.correlation is not None:
                assert told.correlation == event["correlation"]
            shown = told.state if told.state is None else truth.kind.shown(key, told.state)
            assert text(shown) == text(event["state"])
            document = jsonpatch.apply_patch(document, event["patch"])
            assert text(shown) == text(document), event
        self.check_versions(key, events)

    def check_versions(self, key: str, events: list[Any]) -> None:
        """The last version, one of the others and a pair of them, in code and over HTTP."""
        last = len(events)
        one = 1 + self.checks % last
        for version in {one, last}:
            self.check_version(key, version, events)
        for from_, to in {(one, last), (last, one), (0, one), (max(one - 1, 0), one)}:
            self.check_comparison(key, from_, to)

    def check_version(self, key: str, version: int, events: list[Any]) -> None:
        truth = self.truths[key]
        state = truth.states[version - 1]
        time = events[version - 1]["time"]
        latest = max(each["version"] for each in events if each["time"] == time)
        paths = [f"{self.path(key)}history/{version}/", f"{self.path(key)}?at={version}"]
        paths += [f"{self.path(key)}?at={time}"] if latest == version else []
        for path in paths:
            answer = self.world.server.get(path)
            assert (410 if state is None else 200) == answer.status, answer
            if state is not None:
                assert text(truth.kind.shown(key, state)) == text(answer.json)
        if state is not None:
            assert same({"_id": key, **state}, self.history(key).state_at(version))

    def check_comparison(self, key: str, from_: int, to: int) -> None:
        truth, states = self.truths[key], [None, *self.truths[key].states]
        changes = self.history(key).changes(from_, to)
        assert same(states[to] or {}, changed(states[from_] or {}, changes)), changes
        path = f"{self.path(key)}history/diff/?from={from_}&to={to}"
        answer = self.world.server.get(path, headers={"Accept": JSON_PATCH})
        assert 200 == answer.status, answer
        one, other = (
            each if each is None else truth.kind.shown(key, each)
            for each in (states[from_], states[to])
        )
        assert text(other) == text(jsonpatch.apply_patch(one, answer.json))

    def check_verified(self, key: str) -> None:
        truth = self.truths[key]
        report = self.history(key).verify()
        assert len(truth.events) == report.versions and not report.is_broken
        assert (truth.stored is not None and not truth.events) == report.has_no_baseline
        if truth.events:
            assert truth.is_told == report.ok, report
            if truth.last is not None and truth.stored is not None:
                assert same(truth.visible, changed(truth.last, report.differences))

    def check_blame(self, key: str) -> None:
        truth = self.truths[key]
        answer = self.world.server.get(f"{self.path(key)}history/blame/")
        assert (truth.missing or 200) == answer.status, answer
        if truth.stored is None:
            return
        assert truth.visible is not None
        told = {blame.path: blame.version for blame in self.history(key).blame()}
        assert {path for path, _ in leaves(truth.visible) if path} == told.keys()
        states = [*truth.states, *([] if truth.is_told else [truth.visible])]
        tree = self.blamed(key)
        for path, version in told.items():
            expected = last_set(states, path)
            if not any(isinstance(token, int) for token in path):
                assert version == (None if expected > len(truth.events) else expected), path
            elif truth.is_told:
                node = tree
                for token in path:
                    node = node[token]
                assert version == node or isinstance(node, dict | list), (path, told, tree)

    def blamed(self, key: str) -> Any:
        """The versions in the place of the values that they set, from the changes of events."""
        tree: Any = None
        for event in self.history(key).versions():
            changes = [each for each in event.changes if each.path != ("_id",)]
            before = {} if tree is None else tree
            version = event.version
            tree = None if event.gone else changed(before, changes, lambda v: painted(v, version))
        return tree

    def teardown(self) -> None:
        for truth in getattr(self, "truths", {}).values():
            if truth.events:
                path = f"{self.path(truth.key)}history/?order=asc&limit=100"
                events = self.world.server.get(path).json["items"]
                for version in range(1, len(events) + 1):
                    self.check_version(truth.key, version, events)
