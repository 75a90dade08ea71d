"""The tool that feeds a file of changes through the API: it finds nothing where all is right,
and finds what is wrong, in the history and in what is answered about it."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mongoengine
import pytest
from mongoengine import get_db

from tests.house import new_database, own_registry
from tests.support import Server

TOOL = Path(__file__).parent.parent / "tools" / "feed_history.py"

CHANGES = [
    {"op": "create", "key": "a", "doc": {"n": 1, "f": 1.0, "b": True}, "author": "ana"},
    {"op": "create", "key": "à la/carte 100%", "doc": {"é": {"": "", "x y": [1, 1.0, "1", None]}}},
    {"op": "update", "key": "a", "doc": {"n": 1.0, "f": 1, "b": 1}, "author": "béa"},
    {"op": "update", "key": "a", "doc": {"n": True, "deep": {"list": [{"x": []}, {}]}}},
    {"op": "create", "key": "名前", "doc": {"text": "", "zero": 0.0, "huge": 2**53}},
    {"op": "delete", "key": "a", "commit": "c-1"},
    {"op": "update", "key": "à la/carte 100%", "doc": {"_x": -1.5e-7}},
    {"op": "create", "key": "a", "doc": {"n": 1, "f": 1.0, "b": True}},
    {"op": "delete", "key": "名前"},
]


PLAIN = ["--pairs", "0", "--sets", "0", "--undo", "0", "--restore", "0"]

LISTS = [
    {"op": "create", "key": "l", "doc": {"n": ["a", "b", "c"], "m": 1, "o": [{"x": 1}, {"x": 2}]}},
    {"op": "update", "key": "l", "doc": {"n": ["a", "B", "c"], "m": 1, "o": [{"x": 2}]}},
    {"op": "update", "key": "l", "doc": {"n": ["z", "a", "B", "c"], "m": 1, "o": [{"x": 2}]}},
    {"op": "update", "key": "l", "doc": {"n": ["z", "a", "B", "d"], "m": 2, "o": [{"x": 2}]}},
    {"op": "update", "key": "l", "doc": {"n": ["z", "a", "B", "d"], "m": 1, "o": [{"x": 2}]}},
]

IMPORT = [
    {"op": "create", "key": "new", "doc": {"n": 1}, "commit": "import"},
    {"op": "create", "key": "old", "doc": {"n": 1, "m": 1}},
    {"op": "create", "key": "later", "doc": {"n": 1, "m": 1}},
    {"op": "create", "key": "same", "doc": {"n": 1}},
    {"op": "create", "key": "gone", "doc": {"n": 1}},
    {"op": "create", "key": "back", "doc": {"n": 1}},
    {"op": "update", "key": "old", "doc": {"n": 2, "m": 1}, "commit": "import"},
    {"op": "update", "key": "later", "doc": {"n": 2, "m": 1}, "commit": "import"},
    {"op": "update", "key": "same", "doc": {"n": 2}, "commit": "import"},
    {"op": "update", "key": "gone", "doc": {"n": 2}, "commit": "import"},
    {"op": "delete", "key": "back", "commit": "import"},
    {"op": "update", "key": "old", "doc": {"n": 2, "m": 2}},
    {"op": "update", "key": "later", "doc": {"n": 3, "m": 1}},
    {"op": "update", "key": "same", "doc": {"n": 1}},
    {"op": "delete", "key": "gone"},
]


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    sys.path.insert(0, str(TOOL.parent))
    try:
        with own_registry():
            yield importlib.import_module("feed_history")
    finally:
        sys.path.remove(str(TOOL.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] in _MODULES]:
            del sys.modules[name]


_MODULES = ("feed_history", "feed")


@pytest.fixture(scope="module")
def naive(tool: Any) -> Any:
    return importlib.import_module("feed.naive")


@pytest.fixture
def changes(tmp_path):
    return write(tmp_path / "changes.jsonl", CHANGES)


def write(path: Path, changes: list[Any]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in changes), "utf-8")
    return str(path)


@contextmanager
def resource(uri: str, tool: Any) -> Iterator[str]:
    """The URL of an empty resource such as the tool needs."""
    serving = importlib.import_module("feed.serving")
    with new_database(uri) as name:
        mongoengine.connect(name, host=uri, uuidRepresentation="standard")
        with own_registry(), Server(serving.routes_of(serving.record_model())) as server:
            yield f"http://127.0.0.1:{server.port}/record"


@pytest.fixture
def url(mongod_uri, tool):
    with resource(mongod_uri, tool) as url:
        yield url


def run_on_own_server(tool: Any, uri: str, path: str, *more: str) -> int:
    with new_database(uri) as name:
        head, _, options = uri.partition("?")
        address = f"{head.rstrip('/')}/{name}?{options}"
        return int(tool.main([path, "--uri", address, *more]))


def test_a_file_is_fed_and_nothing_differs(mongod_uri, tool, changes, capsys):
    assert 0 == run_on_own_server(tool, mongod_uri, changes)

    printed = capsys.readouterr().out
    for line in (
        "write      9 changes of 3 records (4 create, 3 update, 2 delete)",
        "read back  9 versions, 9 events, 9 states and patches with them, 2 live and 1 deleted",
        "compare    9 neighbours and ",
        "blame      4 values of 2 records",
        "travel     9 versions and ",
        "sets       1 commits of 1 records (1 previewed; 0 taken back, 0 put in place again, ",
        "undo       ",
        "restore    2 live and 1 deleted records",
        "verify     3 records, ",
        "rebuild    3 records in another collection",
        "tamper     3 records tampered with, 3 mended",
        "bytes      per event ",
        "indexes    per event _id_ ",
    ):
        assert f"\n{line}" in f"\n{printed}"
    assert "\n0 differences\n" in printed


def test_edits_within_lists_are_counted_apart(tool, tmp_path, url, capsys):
    assert 0 == tool.main([write(tmp_path / "lists.jsonl", LISTS), "--url", url])

    printed = capsys.readouterr().out
    assert "1 undone and 2 refused as they have to be; within lists 2 undone and 0 " in printed


def test_a_commit_is_taken_back_and_put_in_place_again(tool, tmp_path, url, capsys):
    assert 0 == tool.main([write(tmp_path / "import.jsonl", IMPORT), "--url", url])

    told = "5 previewed; 3 taken back, 3 put in place again, 2 refused, 1 had nothing left to do"
    assert told in capsys.readouterr().out


def test_a_file_may_be_compressed_and_cut_short(tool, tmp_path, url, capsys):
    path = tmp_path / "changes.jsonl.gz"
    lines = "".join(json.dumps(each) + "\n" for each in CHANGES)
    path.write_bytes(gzip.compress(lines.encode()))

    assert 0 == tool.main([str(path), "--url", url, "--limit", "2", "--connections", "1"])
    assert "2 changes of 2 records" in capsys.readouterr().out


@pytest.fixture
def tampered(tool, monkeypatch):
    """Between writing and reading back, a given function works on the database."""

    def tamper(function):
        read_back = tool.Feeding.read_back

        def later(stage, records):
            function(get_db())
            read_back(stage, records)

        monkeypatch.setattr(tool.Feeding, "read_back", later)

    return tamper


@pytest.mark.parametrize(
    ("collection", "query", "update", "found"),
    [
        pytest.param(
            "bzz_history",
            {"d": "à la/carte 100%", "v": 1},
            {"$set": {"c.0.t.é": {"": "", "x y": [1, 1, "1", None]}}},
            "version 1 is ",
            id="1 for 1.0 in the history",
        ),
        pytest.param(
            "bzz_history",
            {"v": 1, "d": "a"},
            {"$set": {"a": ["user", "eve"]}},
            "actors is ['eve', 'béa', None, None, None], expected ['ana', 'béa',",
            id="actor",
        ),
        pytest.param(
            "bzz_history", {"v": 2, "d": "a"}, {"$set": {"o": "r"}}, "operations", id="operation"
        ),
        pytest.param(
            "record", {"_id": "a"}, {"$set": {"content.n": 1.0}}, "the live document", id="live"
        ),
        pytest.param("record", {"_id": "a"}, {"$set": {"content.x": 1}}, "ETag is None", id="tag"),
    ],
)
def test_a_difference_is_found(
    tool, changes, url, tampered, capsys, collection, query, update, found
):
    def tamper(database):
        assert 1 == database[collection].update_one(query, update).modified_count

    tampered(tamper)

    assert 1 == tool.main([changes, "--url", url, *PLAIN])
    printed = capsys.readouterr().out
    assert "\n0 differences\n" not in printed
    assert found in printed


def test_a_missing_event_is_found(tool, changes, url, tampered, capsys):
    tampered(lambda database: database["bzz_history"].delete_one({"d": "a", "v": 2}))

    assert 1 == tool.main([changes, "--url", url, *PLAIN])
    assert "versions is [1, 3, 4, 5], expected [1, 2, 3, 4, 5]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        pytest.param(
            {"op": "update", "key": "a", "doc": CHANGES[0]["doc"]},
            'ETag of a write is "1", expected "2"',
            id="update that changes nothing",
        ),
        pytest.param(
            {"op": "update", "key": "b", "doc": {}}, "update of version 1 gave 404", id="never made"
        ),
        pytest.param(
            {"op": "create", "key": "a", "doc": {}}, "create of version 2 gave 409", id="made twice"
        ),
        pytest.param(
            {"op": "delete", "key": "b"}, "delete of version 1 gave 404", id="never there"
        ),
    ],
)
def test_a_file_that_lies_is_found_out(tool, tmp_path, url, capsys, lie, found):
    path = write(tmp_path / "lies.jsonl", [CHANGES[0], lie])

    assert 1 == tool.main([path, "--url", url, *PLAIN])
    assert found in capsys.readouterr().out


def test_a_resource_that_has_records_is_left_alone(tool, changes, url):
    assert 0 == tool.main([changes, "--url", url])

    with pytest.raises(SystemExit, match="has records already; name an empty resource."):
        tool.main([changes, "--url", url])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("http://127.0.0.1:9/record", "There is no server at http://", id="no server"),
        pytest.param("{url}s", "does not list records: 404", id="no resource"),
    ],
)
def test_a_wrong_address_is_told(tool, changes, url, address, message):
    with pytest.raises(SystemExit, match=message):
        tool.main([changes, "--url", address.format(url=url)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param([], "name a file of changes", id="no file"),
        pytest.param(["x", "--connections", "0"], "--connections is at least 1", id="connections"),
    ],
)
def test_wrong_arguments_are_told(tool, capsys, arguments, message):
    with pytest.raises(SystemExit):
        tool.main(arguments)

    assert message in capsys.readouterr().err


def test_an_empty_file_is_told(tool, tmp_path):
    with pytest.raises(SystemExit, match="holds no changes."):
        tool.main([write(tmp_path / "none.jsonl", [])])


# What has to be true --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param([{"a": 1, "b": 1}, {"a": 1.0, "b": 1}], {"/a": 2, "/b": 1}, id="type"),
        pytest.param([{"a": 1}, None, {"a": 1}], {"/a": 3}, id="made again"),
        pytest.param([{"a": {"b": 1}}, {"a": {}}], {"/a": 2}, id="emptied"),
        pytest.param([{"a": [7, 8]}, {"a": [9, 7, 8]}], {"/a/0": 2, "/a/1": 1, "/a/2": 1}),
        pytest.param([{"a": [7, 8, 9]}, {"a": [7, 0, 9]}], {"/a/0": 1, "/a/1": 2, "/a/2": 1}),
        pytest.param(
            [{"a": [{"id": 1, "n": 1}, {"id": 2, "n": 1}]}, {"a": [{"id": 2, "n": 3}]}],
            {"/a/0/id": 1, "/a/0/n": 2},
            id="element with an id",
        ),
    ],
)
def test_a_value_is_blamed_on_what_set_it(naive, states, expected):
    assert expected == {naive.pointer(path): v for path, v in naive.blame(states).items()}


@pytest.mark.parametrize(
    ("states", "version", "expected"),
    [
        pytest.param([{"a": 1}, {"a": 2}, {"a": 2, "b": 1}], 2, {"a": 1, "b": 1}, id="elsewhere"),
        pytest.param([{"a": 1}, {"a": 1, "b": {"c": 1}}], 2, {"a": 1}, id="added"),
        pytest.param([{"a": 1}, {}], 2, {"a": 1}, id="removed"),
        pytest.param([{"a": 1}, None], 2, {"a": 1}, id="deleted"),
        pytest.param([{"a": 1}], 1, None, id="created"),
        pytest.param([{"a": 1}, {"a": 2}, {"a": 3}], 2, {3}, id="the same"),
        pytest.param([{}, {"a": {"b": 1}}, {"a": {"b": 2}}], 2, {3}, id="below"),
        pytest.param([{"a": {"b": 1}}, {"a": {"b": 2}}, {}], 2, {3}, id="above"),
        pytest.param([{"a": 1}, {"a": 2}, None], 2, {3}, id="deleted since"),
        pytest.param([{"a": 1}, None, {"a": 1}], 2, {3}, id="there again"),
    ],
)
def test_an_undo_is_as_if_the_version_had_not_been_or_names_what_is_in_the_way(
    naive, states, version, expected
):
    undone = naive.undone(states, version)
    in_the_way = expected if isinstance(expected, set) else set()

    assert (undone.refused, undone.required) == (not isinstance(expected, dict), in_the_way)
    assert undone.refused or expected == undone.state


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param([{"path": "/content/a", "from": 1.0, "to": 2}], "is 1 where", id="type"),
        pytest.param([{"path": "/content/a", "to": 2}], "is 1 where", id="there already"),
        pytest.param([{"path": "/content/b", "from": 2}], "is nothing where", id="not there"),
    ],
)
def test_changes_that_start_elsewhere_do_not_apply(naive, changes, why):
    with pytest.raises(naive.DoesNotApply, match=why):
        naive.applied({"a": 1}, changes)


# What is wrong in answers ---------------------------------------------------------------------


@pytest.fixture
def lying(tool, monkeypatch):
    """Answers to requests of a kind go through a function that alters what they hold."""
    client = importlib.import_module("feed.client")

    def lie(method, part, alter):
        send = client.Client.send

        def altered(self, sent, path, *more):
            answer = send(self, sent, path, *more)
            if sent != method or part not in path or answer.status >= 300:
                return answer
            body = answer.json
            alter(body)
            return answer._replace(body=json.dumps(body).encode())

        monkeypatch.setattr(client.Client, "send", altered)

    return lie


def change_last(body: Any) -> None:
    if isinstance(body, dict) and body["changes"]:
        body["changes"][-1]["to"] = "a lie"


def blame_first(body: Any) -> None:
    for each in body["items"]:
        each["version"] = 1


def empty(body: Any) -> None:
    body["content"] = {}


def hide(body: Any) -> None:
    body.update(failed=[], unchanged=0)


@pytest.mark.parametrize(
    ("method", "part", "alter", "found"),
    [
        pytest.param("GET", "/history/diff/", change_last, "applied, is ", id="comparison"),
        pytest.param("GET", "/history/blame/", blame_first, "the blame of ", id="blame"),
        pytest.param("GET", "/?at=", empty, "the record at ", id="time"),
        pytest.param("POST", "/undo/", empty, "the undo of version ", id="undo"),
        pytest.param("POST", "/history/restore/", hide, "unchanged by the set", id="set"),
    ],
)
def test_a_wrong_answer_is_found(tool, tmp_path, url, lying, capsys, method, part, alter, found):
    lying(method, part, alter)

    assert 1 == tool.main([write(tmp_path / "import.jsonl", IMPORT), "--url", url])
    assert found in capsys.readouterr().out


def test_tampering_that_verify_does_not_find_is_told(
    mongod_uri, tool, changes, monkeypatch, capsys
):
    proving = importlib.import_module("feed.proving")
    monkeypatch.setattr(proving, "_TAMPERING", (lambda collection, document: None,))

    assert 1 == run_on_own_server(tool, mongod_uri, changes)
    assert "'verify': the tampered is set(), expected " in capsys.readouterr().out
