"""Feed a file of changes through bzz's HTTP API, and prove that history gives every version back.

    python tools/feed_history.py changes.jsonl.gz

The file holds one JSON object a line, oldest first (plain or gzip): `op` is create, update or
delete, `key` names the record, `doc` is its whole new state (none for a delete); `author` and
`commit`, where there are any, become the actor and the correlation id.  The k-th line of a key is
that record's k-th version.

1. write: a create is a POST, an update a PUT, a delete a DELETE, the last two with `If-Match`;
   several connections at once, the changes of one record always one after the other.
2. read back: the events, every version and the live document of every record are compared with
   the file, typed: 1, 1.0 and true differ, and a version that is a delete is 410.
3. restore: a sample of records, live and deleted ones, goes back to one of its versions.

Prints counts, seconds, bytes per event and all differences; exits with 1 if there is one.
By default it starts a server of its own, on an empty embedded database that is thrown away
afterwards.  `--uri` names a database for that server, which must not hold records yet; `--url` a
server that runs already and serves such a resource:

    class Record(Document):
        key = StringField(primary_key=True)
        content = DictField()

    def actor(handler):
        return unquote(handler.request.headers.get("X-User", "")) or None

    auditor = Auditor(actor=actor)
    routes = MongoEngineRestHandler.routes_for("mongoengine", Record, audit=auditor)
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import http.client
import json
import logging
import random
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import mongoengine
import pymongo
import tornado.httpserver
import tornado.netutil
import tornado.web

from bzz import MongoEngineRestHandler, embedded
from bzz.audit import Auditor

ACTOR_HEADER = "X-User"
DATABASE = "bzz_feed"
OPERATIONS = {"create": "created", "update": "updated", "delete": "deleted"}
SHOWN_DIFFERENCES = 20
PATIENCE = 60.0
"""Seconds for which a change that is answered 503 is repeated."""

# What comes in ------------------------------------------------------------------------------


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
    """What the file says of one record: the state of each version, None where it is a delete."""

    states: list[Any] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    authors: list[str | None] = field(default_factory=list)


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
    return records


def canonical(value: Any) -> str:
    """A text that two states share only if they are the same, types included."""
    return json.dumps(value, sort_keys=True)


# The client ---------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read; None without one."""
        return json.loads(self.body) if self.body else None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300].decode('utf-8', 'replace')}"


class Client:
    """One kept connection to one resource of a running server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        connect = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = connect(parts.netloc, timeout=PATIENCE)
        self._root = parts.path.rstrip("/")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def path(self, key: str, *below: str) -> str:
        """The path of a record, or of something below it."""
        return "/".join([self._root, quote(key, safe=""), *below, ""])

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and read its answer."""
        payload = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if payload is not None:
            sent["Content-Type"] = "application/json"
        self._connection.request(method, path, payload, sent)
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str) -> Answer:
        """Read what is at a path."""
        return self.send("GET", path)

    def write(self, operation: Operation) -> Answer:
        """Make one change; repeated while the server says that it cannot decide (503)."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._write_once(operation)
            if answer.status != 503 or time.monotonic() > until:
                return answer
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 1.0))

    def _write_once(self, operation: Operation) -> Answer:
        headers = {}
        if operation.author:
            headers[ACTOR_HEADER] = quote(operation.author)
        if operation.commit:
            headers["X-Correlation-Id"] = quote(operation.commit)
        if operation.op == "create":
            body = {"id": operation.key, "content": operation.doc}
            return self.send("POST", f"{self._root}/", body, headers)
        headers["If-Match"] = f'"{operation.version - 1}"'
        path = self.path(operation.key)
        if operation.op == "delete":
            return self.send("DELETE", path, None, headers)
        return self.send("PUT", path, {"content": operation.doc}, headers)


# What is found ------------------------------------------------------------------------------


class Report:
    """What was counted, how long it took, and what differs.  Used by several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.differences: list[str] = []
        self.broken: set[str] = set()
        self._lock = threading.Lock()

    def count(self, what: str, by: int = 1) -> None:
        """Count one more (or `by` more) of something."""
        with self._lock:
            self.counts[what] += by

    def differ(self, key: str, what: str) -> None:
        """Note a difference of one record."""
        with self._lock:
            self.differences.append(f"{key!r}: {what}")

    def give_up(self, key: str, what: str) -> None:
        """Note a difference after which nothing else can be said of a record."""
        self.differ(key, what)
        self.broken.add(key)

    def expect(self, key: str, what: str, expected: object, actual: object) -> None:
        """Compare one thing, and note it if it differs."""
        if expected != actual:
            self.differ(key, f"{what} is {_short(actual)}, expected {_short(expected)}")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


class Progress:
    """One line on a terminal that tells how far a stage is; silent elsewhere."""

    _WIDTH = 30

    def __init__(self, label: str, total: int) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._begun = time.monotonic()
        self._next = 0.0
        self._shown = sys.stderr.isatty()
        self._lock = threading.Lock()

    def step(self) -> None:
        """One more is done."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if self._shown and (now >= self._next or self._done == self._total):
                self._next = now + 0.1
                self._draw(now - self._begun)

    def _draw(self, seconds: float) -> None:
        share = self._done / self._total
        bar = "█" * int(share * self._WIDTH)
        rate = self._done / seconds if seconds else 0.0
        left = (self._total - self._done) / rate if rate else 0.0
        sys.stderr.write(
            f"\r{self._label:<10} {bar:░<{self._WIDTH}} {self._done:,}/{self._total:,}"
            f"  {rate:,.0f}/s  {int(left) // 60}:{int(left) % 60:02d} left \x1b[K"
        )
        sys.stderr.flush()

    def close(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# The stages ---------------------------------------------------------------------------------


class Run:
    """All stages against one resource."""

    def __init__(self, url: str, connections: int, report: Report) -> None:
        self._url = url
        self._connections = connections
        self._report = report

    def refuse_unless_empty(self) -> None:
        """Raises `SystemExit` when there is no such resource, or it has records."""
        client = Client(self._url)
        try:
            answer = client.get(urlsplit(self._url).path.rstrip("/") + "/?limit=1")
        except OSError as error:
            raise SystemExit(f"There is no server at {self._url}: {error}") from error
        finally:
            client.close()
        if answer.status != 200:
            raise SystemExit(f"{self._url} does not list records: {answer}")
        if answer.json["items"]:
            raise SystemExit(f"{self._url} has records already; name an empty resource.")

    def write(self, operations: Sequence[Operation]) -> None:
        """Make all changes, those of one record in their order."""
        lanes: list[list[Operation]] = [[] for _ in range(self._connections)]
        lane_of: dict[str, list[Operation]] = {}
        for each in operations:
            lane_of.setdefault(each.key, lanes[len(lane_of) % len(lanes)]).append(each)
        self._in_parallel("writing", "written", [iter(lane) for lane in lanes], self._write)

    def read_back(self, records: Mapping[str, Truth]) -> None:
        """Compare the history and the live state of every record with the file."""
        self._shared("reading", "read back", records.items(), self._read_back)

    def restore(self, records: Mapping[str, Truth], size: int, seed: int) -> None:
        """Take a sample of records back to one of their versions; half of it deleted ones."""
        chooser = random.Random(seed)
        whole = {key: truth for key, truth in records.items() if key not in self._report.broken}
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
        self._shared("restoring", "restored", chosen, self._restore)

    def _shared(
        self, label: str, done: str, items: Iterable[Any], work: Callable[[Client, Any], None]
    ) -> None:
        waiting = deque(items)

        def take() -> Iterator[Any]:
            with suppress(IndexError):
                while True:
                    yield waiting.popleft()

        lanes = [take() for _ in range(self._connections)]
        self._in_parallel(label, done, lanes, work, total=len(waiting))

    def _in_parallel(
        self,
        label: str,
        done: str,
        lanes: Sequence[Iterator[Any]],
        work: Callable[[Client, Any], None],
        total: int | None = None,
    ) -> None:
        """Work through each lane with a connection of its own."""
        if total is None:
            materialized = [list(lane) for lane in lanes]
            total, lanes = sum(map(len, materialized)), [iter(lane) for lane in materialized]
        progress = Progress(label, total)
        failures: list[BaseException] = []

        def run(lane: Iterator[Any]) -> None:
            client = Client(self._url)
            try:
                for item in lane:
                    if failures:
                        return
                    work(client, item)
                    progress.step()
            except (OSError, http.client.HTTPException) as error:
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
        if failures:
            raise SystemExit(f"The server at {self._url} is gone: {failures[0]!r}")
        self._report.seconds[done] = time.monotonic() - begun

    def _write(self, client: Client, operation: Operation) -> None:
        key, version = operation.key, operation.version
        if key in self._report.broken:
            return
        answer = client.write(operation)
        expected = {"create": 201, "update": 200, "delete": 204}[operation.op]
        if answer.status != expected:
            self._report.give_up(key, f"{operation.op} of version {version} gave {answer}")
            return
        self._report.count(operation.op)
        if operation.op != "delete":
            self._report.expect(key, "ETag of a write", f'"{version}"', answer.headers.get("ETag"))
            self._compare(key, f"answer to version {version}", operation.doc, answer)

    def _read_back(self, client: Client, item: tuple[str, Truth]) -> None:
        key, truth = item
        if key in self._report.broken:
            return
        self._compare_events(client, key, truth)
        for version, state in enumerate(truth.states, 1):
            self._compare_version(client, key, version, state)
            self._report.count("versions")
        self._report.count("deleted" if truth.states[-1] is None else "live")
        self._compare_live(client, key, truth.states[-1], len(truth.states))

    def _compare_events(self, client: Client, key: str, truth: Truth) -> None:
        events = []
        following = client.path(key, "history") + "?order=asc&limit=100"
        while following:
            page = client.get(following)
            if page.status != 200:
                self._report.give_up(key, f"its history gave {page}")
                return
            events += page.json["items"]
            following = page.json["next"]
        self._report.count("events", len(events))
        versions = [event["version"] for event in events]
        self._report.expect(key, "versions", list(range(1, len(truth.states) + 1)), versions)
        operations = [event["operation"] for event in events]
        self._report.expect(key, "operations", truth.operations, operations)
        actors = [event["actor"].get("id") for event in events]
        self._report.expect(key, "actors", truth.authors, actors)

    def _compare_version(self, client: Client, key: str, version: int, state: Any) -> None:
        answer = client.get(client.path(key, "history", str(version)))
        self._compare(key, f"version {version}", state, answer)

    def _compare_live(self, client: Client, key: str, state: Any, version: int) -> None:
        answer = client.get(client.path(key))
        self._compare(key, "the live document", state, answer)
        if state is not None:
            self._report.expect(key, "ETag", f'"{version}"', answer.headers.get("ETag"))

    def _compare(self, key: str, what: str, state: Any, answer: Answer) -> None:
        """Compare a document as answered with a state of the file; None is a delete."""
        if state is None:
            self._report.expect(key, f"the status of {what}", 410, answer.status)
        elif answer.status not in (200, 201):
            self._report.differ(key, f"{what} gave {answer}")
        else:
            shown = answer.json
            self._report.expect(key, f"the id of {what}", key, shown["id"])
            self._report.expect(key, what, canonical(state), canonical(shown["content"]))

    def _restore(self, client: Client, item: tuple[str, Truth, int]) -> None:
        key, truth, version = item
        state, last = truth.states[version - 1], truth.states[-1]
        already = last is not None and canonical(state) == canonical(last)
        path = client.path(key, "history", str(version), "restore")
        answer = client.send("POST", path, {"reason": "a sample"}, {ACTOR_HEADER: "feeder"})
        self._report.count("restored deleted" if last is None else "restored live")
        what = f"restore of version {version}"
        self._report.expect(key, f"status of {what}", 200 if already else 201, answer.status)
        self._compare(key, what, state, answer)
        newest = len(truth.states) + (not already)
        self._compare_live(client, key, state, newest)
        self._compare_version(client, key, newest, state)


# The server ---------------------------------------------------------------------------------


class Record(mongoengine.Document):
    """What the file's records are stored as."""

    key = mongoengine.StringField(primary_key=True)
    content = mongoengine.DictField()


def actor_of(handler: Any) -> str | None:
    """Who writes, as this client says it: percent-encoded, since a header is ASCII."""
    return unquote(handler.request.headers.get(ACTOR_HEADER, "")) or None


def serve(uri: str) -> None:
    """Serve `Record` on a free port, say where, and end with standard input."""
    mongoengine.connect(DATABASE, host=uri, uuidRepresentation="standard")
    auditor = Auditor(actor=actor_of)
    routes = MongoEngineRestHandler.routes_for("mongoengine", Record, audit=auditor)
    auditor.prepare()
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # 410 is what is asked for here
    asyncio.run(_serve(tornado.web.Application(routes)))


async def _serve(application: tornado.web.Application) -> None:
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server = tornado.httpserver.HTTPServer(application)
    server.add_sockets(sockets)
    print(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/record", flush=True)
    # The parent holds the other end: it closes however the parent ends.
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.stop()
    await server.close_all_connections()


@contextmanager
def own_server(uri: str) -> Iterator[str]:
    """A server in a process of its own, for the length of the block; gives its URL."""
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", "--uri", uri]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            raise SystemExit("The server did not start; its own words are above.")
        try:
            yield url
        finally:
            if process.stdin is not None:
                process.stdin.close()


def sizes(uri: str) -> Mapping[str, Any]:
    """What the database says of the history collection: count, size, storageSize, indexes."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    with client:
        with suppress(pymongo.errors.PyMongoError):
            client.admin.command("fsync")  # sizes on disk are those of the last checkpoint
        database = client.get_default_database(DATABASE)
        return database.command("collStats", "bzz_history")


# The command --------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(arguments)
    if options.serve:
        serve(options.uri)
        return 0
    operations = list(read_operations(options.file, options.limit))
    if not operations:
        raise SystemExit(f"{options.file} holds no changes.")
    with ExitStack() as stack:
        uri = options.uri
        if uri is None and options.url is None:
            uri = stack.enter_context(embedded.mongod()).uri
        url = options.url or stack.enter_context(own_server(uri))
        report = Report()
        _run(Run(url, options.connections, report), operations, options, uri, report)
    return 1 if report.differences else 0


def _run(
    run: Run,
    operations: Sequence[Operation],
    options: argparse.Namespace,
    uri: str | None,
    report: Report,
) -> None:
    records = truth_of(operations)
    run.refuse_unless_empty()
    run.write(operations)
    run.read_back(records)
    measured = None if uri is None else sizes(uri)
    run.restore(records, options.restore, options.seed)
    _print(report, operations, measured)


def _print(report: Report, operations: Sequence[Operation], measured: Any) -> None:
    counts, seconds = report.counts, report.seconds
    written, read = seconds["written"], seconds["read back"]
    made = sum(counts[op] for op in OPERATIONS)
    print(
        f"written    {made:,} changes of {len({each.key for each in operations}):,} records "
        f"({counts['create']:,} create, {counts['update']:,} update, {counts['delete']:,} delete) "
        f"in {written:.1f} s, {made / written:,.0f}/s"
    )
    print(
        f"read back  {counts['versions']:,} versions, {counts['events']:,} events, "
        f"{counts['live']:,} live and {counts['deleted']:,} deleted records in {read:.1f} s"
    )
    print(
        f"restored   {counts['restored live']:,} live and {counts['restored deleted']:,} deleted "
        f"records in {seconds['restored']:.1f} s"
    )
    if measured is not None:
        events = measured["count"]
        states = sum(len(json.dumps(each.doc).encode()) for each in operations if each.doc)
        print(
            f"bytes      per event {measured['size'] / events:,.0f} BSON, "
            f"{measured['storageSize'] / events:,.0f} on disk, "
            f"{measured['totalIndexSize'] / events:,.0f} of indexes; "
            f"the states alone, as JSON, {states / len(operations):,.0f}"
        )
    print(f"{len(report.differences):,} differences")
    for each in report.differences[:SHOWN_DIFFERENCES]:
        print(f"  {each}")
    if len(report.differences) > SHOWN_DIFFERENCES:
        print(f"  … and {len(report.differences) - SHOWN_DIFFERENCES:,} more")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", help="the changes, .jsonl or .jsonl.gz")
    parser.add_argument("--limit", type=int, help="only the first LIMIT changes")
    parser.add_argument("--url", help="the resource of a running server: http://host:port/record")
    parser.add_argument("--uri", help=f"a MongoDB URI; the database is {DATABASE} unless named")
    parser.add_argument("--connections", type=int, default=6, help="at once; 6 by default")
    parser.add_argument("--restore", type=int, default=200, help="size of the sample to restore")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.file is None and not options.serve:
        parser.error("name a file of changes")
    if options.connections < 1:
        parser.error("--connections is at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
