"""Write all changes, read everything back, and restore a sample."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import jsonpatch

from feed.changes import Operation, Truth, canonical
from feed.client import Client
from feed.naive import shown
from feed.stage import Stage


class Feeding(Stage):
    """What makes the history, and the plain questions to it."""

    def refuse_unless_empty(self) -> None:
        """Raises `SystemExit` when there is no such resource, or it has records."""
        client = Client(self.url)
        try:
            answer = client.get(urlsplit(self.url).path.rstrip("/") + "/?limit=1")
        except OSError as error:
            raise SystemExit(f"There is no server at {self.url}: {error}") from error
        finally:
            client.close()
        if answer.status != 200:
            raise SystemExit(f"{self.url} does not list records: {answer}")
        if answer.json["items"]:
            raise SystemExit(f"{self.url} has records already; name an empty resource.")

    def write(self, operations: Sequence[Operation]) -> None:
        """Make all changes, those of one record in their order."""
        lanes: list[list[Operation]] = [[] for _ in range(self.connections)]
        lane_of: dict[str, list[Operation]] = {}
        for each in operations:
            lane_of.setdefault(each.key, lanes[len(lane_of) % len(lanes)]).append(each)
        self.in_lanes("write", lanes, self._write, len(operations))

    def read_back(self, records: Mapping[str, Truth]) -> None:
        """Compare the history and the live state of every record with the file."""
        self.share("read back", records.items(), self._read_back)

    def restore(self, records: Mapping[str, Truth], size: int, seed: int) -> None:
        """Take a sample of records back to one of their versions; half of it deleted ones."""
        chooser = random.Random(seed)
        whole = self.sane(dict(records))
        deleted = [key for key, truth in whole.items() if truth.states[-1] is None]
        alive = [key for key, truth in whole.items() if len(truth.states) > 1]
        alive = [key for key in alive if whole[key].states[-1] is not None]
        chosen = []
        for keys in (deleted, alive):
            for key in chooser.sample(keys, min(len(keys), (size + 1) // 2)):
                states = whole[key].states
                versions = [n for n, state in enumerate(states[:-1], 1) if state is not None]
                if versions:
                    chosen.append((key, whole[key], chooser.choice(versions)))
        self.share("restore", chosen, self._restore)

    def _write(self, client: Client, operation: Operation) -> None:
        key, version = operation.key, operation.version
        if key in self.report.broken:
            return
        answer = client.write(operation)
        expected = {"create": 201, "update": 200, "delete": 204}[operation.op]
        if answer.status != expected:
            self.report.give_up(key, f"{operation.op} of version {version} gave {answer}")
            return
        self.report.count(operation.op)
        if operation.op != "delete":
            self.report.expect(key, "ETag of a write", f'"{version}"', answer.headers.get("ETag"))
            self.compare(key, f"answer to version {version}", operation.doc, answer)

    # Reading back ------------------------------------------------------------------------

    def _read_back(self, client: Client, item: tuple[str, Truth]) -> None:
        key, truth = item
        if key in self.report.broken:
            return
        self._compare_events(client, key, truth)
        for version, state in enumerate(truth.states, 1):
            self.compare_version(client, key, version, state)
            self.report.count("versions")
        self.report.count("deleted" if truth.states[-1] is None else "live")
        self.compare_live(client, key, truth.states[-1], len(truth.states))

    def _compare_events(self, client: Client, key: str, truth: Truth) -> None:
        events = self._events(client, key, "")
        self.report.count("events", len(events))
        versions = [event["version"] for event in events]
        self.report.expect(key, "versions", list(range(1, len(truth.states) + 1)), versions)
        operations = [event["operation"] for event in events]
        self.report.expect(key, "operations", truth.operations, operations)
        actors = [event["actor"].get("id") for event in events]
        self.report.expect(key, "actors", truth.authors, actors)
        if len(events) == len(truth.states):
            truth.times = [event["time"] for event in events]
            self._compare_included(key, truth, self._events(client, key, "&include=state,patch"))

    def _events(self, client: Client, key: str, more: str) -> list[Any]:
        """All events of a record, oldest first."""
        events: list[Any] = []
        following = client.path(key, "history") + f"?order=asc&limit=100{more}"
        while following:
            page = client.get(following)
            if page.status != 200:
                self.report.give_up(key, f"its history gave {page}")
                break
            events += page.json["items"]
            following = page.json["next"]
        return events

    def _compare_included(self, key: str, truth: Truth, events: Sequence[Any]) -> None:
        """The states and the patches that the events came with."""
        document = None
        for event, state in zip(events, truth.states, strict=False):
            what = f"the state with event {event['version']}"
            self.compare_shown(key, what, state, event["state"])
            document = jsonpatch.apply_patch(document, event["patch"])
            what = f"the patch with event {event['version']}, applied,"
            expected = canonical(shown(key, state))
            self.report.expect(key, what, expected, canonical(document))
            self.report.count("included")

    # Restoring ---------------------------------------------------------------------------

    def _restore(self, client: Client, item: tuple[str, Truth, int]) -> None:
        key, truth, version = item
        state, last = truth.states[version - 1], truth.states[-1]
        already = last is not None and canonical(state) == canonical(last)
        answer = self.order(client, key, truth, version, "restore")
        self.report.count("restored deleted" if last is None else "restored live")
        what = f"restore of version {version}"
        self.report.expect(key, f"status of {what}", 200 if already else 201, answer.status)
        self.compare(key, what, state, answer)
        if answer.status == 201:
            truth.now = state
        self.compare_live(client, key, state, truth.version)
        self.compare_version(client, key, truth.version, state)
