"""Work that is shared among several connections, and how an answer is compared with the file."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from feed.changes import Truth, canonical
from feed.client import ACTOR_HEADER, Answer, Client
from feed.report import Progress, Report

BY_FEEDER = {ACTOR_HEADER: "feeder"}
"""Who makes the writes that the file does not tell of."""


class Stage:
    """A part of the run against one resource.  What it finds goes into the report."""

    def __init__(self, url: str, connections: int, report: Report) -> None:
        self.url = url
        self.connections = connections
        self.report = report

    # Sharing -----------------------------------------------------------------------------

    def share(
        self, label: str, items: Iterable[Any], work: Callable[[Client, Any], object]
    ) -> None:
        """Do the work for each item, on whichever connection is free."""
        waiting = deque(items)

        def take() -> Iterator[Any]:
            with suppress(IndexError):
                while True:
                    yield waiting.popleft()

        total = len(waiting)
        self.in_lanes(label, [take() for _ in range(self.connections)], work, total)

    def in_lanes(
        self,
        label: str,
        lanes: Sequence[Iterable[Any]],
        work: Callable[[Client, Any], object],
        total: int,
    ) -> None:
        """Work through each lane in its order, on a connection of its own."""
        progress = Progress(label, total)
        failures: list[BaseException] = []

        def run(lane: Iterable[Any]) -> None:
            client = Client(self.url)
            try:
                for item in lane:
                    if failures:
                        return
                    work(client, item)
                    progress.step()
            except Exception as error:  # of a thread: raised again where all are waited for
                failures.append(error)
            finally:
                client.close()

        begun = time.monotonic()
        threads = [threading.Thread(target=run, args=(lane,), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        progress.close()
        for failure in failures:
            if isinstance(failure, OSError | http.client.HTTPException):
                raise SystemExit(f"The server at {self.url} is gone: {failure!r}")
            raise failure
        self.report.seconds[label] = time.monotonic() - begun

    # Comparing ---------------------------------------------------------------------------

    def compare(self, key: str, what: str, state: Any, answer: Answer) -> None:
        """Compare a document as answered with a state of the file; None is a delete."""
        if state is None:
            self.report.expect(key, f"the status of {what}", 410, answer.status)
        elif answer.status not in (200, 201):
            self.report.differ(key, f"{what} gave {answer}")
        else:
            self.compare_shown(key, what, state, answer.json)

    def compare_shown(self, key: str, what: str, state: Any, shown: Any) -> None:
        """Compare a document as it is shown with a state of the file; None is a delete."""
        if state is None or shown is None:
            self.report.expect(key, what, state, shown)
            return
        self.report.expect(key, f"the id of {what}", key, shown["id"])
        self.report.expect(key, what, canonical(state), canonical(shown["content"]))

    def compare_version(self, client: Client, key: str, version: int, state: Any) -> None:
        """Ask for a version, and compare it."""
        answer = client.get(client.path(key, "history", str(version)))
        self.compare(key, f"version {version}", state, answer)

    def compare_live(self, client: Client, key: str, state: Any, version: int) -> None:
        """Ask for the document, and compare it and its version."""
        answer = client.get(client.path(key))
        self.compare(key, "the live document", state, answer)
        if state is not None:
            self.report.expect(key, "ETag", f'"{version}"', answer.headers.get("ETag"))

    # Writing round the file ----------------------------------------------------------------

    def order(self, client: Client, key: str, truth: Truth, version: int, what: str) -> Answer:
        """Ask for the restore or the undo of a version, and count the version that it makes."""
        path = client.path(key, "history", str(version), what)
        answer = client.send("POST", path, {"reason": "a sample"}, BY_FEEDER)
        truth.made += answer.status == 201
        return answer

    def delete(self, client: Client, key: str, truth: Truth) -> Answer:
        """Delete a record, and count the version that it makes."""
        answer = client.send("DELETE", client.path(key), None, BY_FEEDER)
        truth.made += answer.status == 204
        return answer

    def sane(self, records: dict[str, Truth]) -> dict[str, Truth]:
        """The records that still have the history that the file says."""
        return {key: each for key, each in records.items() if key not in self.report.broken}
