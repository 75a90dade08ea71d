"""Feed a file of changes through bzz's HTTP API, and prove that its history answers rightly.

    python tools/feed_history.py changes.jsonl.gz

The file holds one JSON object a line, oldest first (plain or gzip): `op` is create, update or
delete, `key` names the record, `doc` is its whole new state (none for a delete); `author` and
`commit`, where there are any, become the actor and the correlation id.  The k-th line of a key is
that record's k-th version.  What has to be true is computed from the file, in plain Python that
shares nothing with bzz (`feed/naive.py`), and compared typed: 1, 1.0 and true differ.

1.  write: a create is a POST, an update a PUT, a delete a DELETE, the last two with `If-Match`;
    several connections at once, the changes of one record always one after the other.
2.  read back: the events, with the states and patches around them, every version and the live
    document of every record; a version that is a delete is 410.
3.  compare: all neighbours from version 0 on, all versions of one record with the same state, and
    random pairs: the changes, applied, and the JSON Patch, applied, lead from one to the other.
4.  blame: of every live record what set each value, when and who.
5.  travel: every record at each version, at the time of each event, just before, and between.
6.  sets: what a commit has changed is foreseen, taken back and put in place again.
7.  undo: a sample of versions; where a later one has changed the same the answer has to name it,
    else the record has to be as if the version had not been; each undo is undone.
8.  restore: a sample of records, live and deleted ones, goes back to one of its versions.
9.  verify, and rebuild into another collection, all; tamper with a sample of stored documents,
    which verify has to find, and rebuild has to mend.  Needs the database, so not with `--url`.

Where two versions have edited one list, whether they meet is not told by `naive.py`: an undo may
be refused then, or has to leave all but these lists as it should, and in a list of plain values
the right ones, in whatever order.  Such ends are counted apart, as "within lists".

Prints counts, seconds, bytes per event and all differences; exits with 1 if there is one.
By default it starts a server of its own, on an empty embedded database that is thrown away
afterwards.  `--uri` names a database for that server, which must not hold records yet; `--url` a
server that runs already and serves such a resource, as `feed/serving.py` does:

    class Record(Document):
        key = StringField(primary_key=True)
        content = DictField()

    def actor(handler):
        return unquote(handler.request.headers.get("X-User", "")) or None

    auditor = Auditor(actor=actor)
    own = MongoEngineRestHandler.routes_for("mongoengine", Record, audit=auditor)
    routes = flatten([own, auditor.routes()])
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from feed.changes import OPERATIONS, Operation, Truth, read_operations, truth_of
from feed.feeding import Feeding
from feed.proving import prove, sizes
from feed.reading import Reading
from feed.report import Report
from feed.serving import DATABASE, own_server, serve
from feed.undoing import Undoing

from bzz import embedded

SHOWN_DIFFERENCES = 20


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
        measured = _run(url, uri, operations, options, report)
    _print(report, operations, measured)
    return 1 if report.differences else 0


def _run(
    url: str,
    uri: str | None,
    operations: Sequence[Operation],
    options: argparse.Namespace,
    report: Report,
) -> Mapping[str, Any] | None:
    """All stages; what the database says of the history as the file has made it."""
    feeding, reading, undoing = (
        stage(url, options.connections, report) for stage in (Feeding, Reading, Undoing)
    )
    records: dict[str, Truth] = truth_of(operations)
    seed = options.seed
    feeding.refuse_unless_empty()
    feeding.write(operations)
    measured = None if uri is None else sizes(uri)
    stages: list[Callable[[], object]] = [
        lambda: feeding.read_back(records),
        lambda: reading.compare_versions(records, options.pairs, seed),
        lambda: reading.blame(records),
        lambda: reading.travel(records),
        lambda: undoing.restore_sets(records, options.sets, seed),
        lambda: undoing.undo(records, options.undo, seed),
        lambda: feeding.restore(records, options.restore, seed),
    ]
    if uri is not None:
        stages.append(lambda: prove(uri, records, report, options.tamper, seed))
    _tell(report, operations)
    for stage in stages:
        stage()
        _tell(report, operations)
    return measured


# What is printed ----------------------------------------------------------------------------


def _print(report: Report, operations: Sequence[Operation], measured: Any) -> None:
    if measured is not None:
        for line in _sizes(operations, measured):
            print(line)
    print(f"{len(report.differences):,} differences")
    for each in report.differences[:SHOWN_DIFFERENCES]:
        print(f"  {each}")
    if len(report.differences) > SHOWN_DIFFERENCES:
        print(f"  … and {len(report.differences) - SHOWN_DIFFERENCES:,} more")


def _tell(report: Report, operations: Sequence[Operation]) -> None:
    """Print what is done and was not told yet, a line for each stage."""
    for stage, seconds in report.seconds.items():
        if stage not in report.told:
            report.told.add(stage)
            told = _told(stage, report.counts, operations, seconds)
            print(f"{stage:<10} {told} in {seconds:.1f} s", flush=True)


def _told(
    stage: str, counts: Mapping[str, int], operations: Sequence[Operation], seconds: float
) -> str:
    """What a stage has done."""
    made = sum(counts[op] for op in OPERATIONS)
    told = {
        "write": "{made:,} changes of {records:,} records ({create:,} create, {update:,} update, "
        "{delete:,} delete), {rate:,.0f}/s,",
        "read back": "{versions:,} versions, {events:,} events, {included:,} states and patches "
        "with them, {live:,} live and {deleted:,} deleted records",
        "compare": "{compared_neighbours:,} neighbours and {compared_others:,} other pairs, "
        "{compared_equal_states:,} of equal states, each as changes and as JSON Patch",
        "blame": "{blamed_values:,} values of {blamed_records:,} records",
        "travel": "{at_a_version:,} versions and {at_a_time:,} times",
        "sets": "{sets:,} commits of {set_records:,} records ({set_previewed:,} previewed; "
        "{set_taken_back:,} taken back, {set_put_in_place:,} put in place again, "
        "{set_refused:,} refused, {set_unchanged:,} had nothing left to do)",
        "undo": "{undone:,} undone and {refused:,} refused as they have to be; within lists "
        "{undone_within_lists:,} undone and {refused_within_lists:,} refused; "
        "{undos_undone:,} undos undone",
        "restore": "{restored_live:,} live and {restored_deleted:,} deleted records",
        "verify": "{verified_records:,} records, {verified_versions:,} versions",
        "rebuild": "{rebuilt_elsewhere:,} records in another collection",
        "tamper": "{tampered_with:,} records tampered with, {mended:,} mended",
    }[stage]
    facts = {"made": made, "records": len({each.key for each in operations})}
    named = _Counted((name.replace(" ", "_"), count) for name, count in counts.items())
    return told.format_map(_Counted(named | facts | {"rate": made / seconds}))


class _Counted(dict[str, Any]):
    def __missing__(self, name: str) -> int:
        return 0


def _sizes(operations: Sequence[Operation], measured: Mapping[str, Any]) -> Iterator[str]:
    events = measured["count"]
    states = sum(len(json.dumps(each.doc).encode()) for each in operations if each.doc)
    yield (
        f"bytes      per event {measured['size'] / events:,.0f} BSON, "
        f"{measured['storageSize'] / events:,.0f} on disk, "
        f"{measured['totalIndexSize'] / events:,.0f} of indexes; "
        f"the states alone, as JSON, {states / len(operations):,.0f}"
    )
    sizes = ", ".join(
        f"{name} {size / events:,.0f}" for name, size in sorted(measured["indexSizes"].items())
    )
    yield f"indexes    per event {sizes}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", help="the changes, .jsonl or .jsonl.gz")
    parser.add_argument("--limit", type=int, help="only the first LIMIT changes")
    parser.add_argument("--url", help="the resource of a running server: http://host:port/record")
    parser.add_argument("--uri", help=f"a MongoDB URI; the database is {DATABASE} unless named")
    parser.add_argument("--connections", type=int, default=6, help="at once; 6 by default")
    parser.add_argument("--pairs", type=int, default=2, help="random pairs of versions a record")
    parser.add_argument("--sets", type=int, default=10, help="how many commits are taken back")
    parser.add_argument("--undo", type=int, default=500, help="size of the sample to undo")
    parser.add_argument("--restore", type=int, default=200, help="size of the sample to restore")
    parser.add_argument("--tamper", type=int, default=40, help="documents to be tampered with")
    parser.add_argument("--seed", type=int, default=1, help="chooses the samples")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.file is None and not options.serve:
        parser.error("name a file of changes")
    if options.connections < 1:
        parser.error("--connections is at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
