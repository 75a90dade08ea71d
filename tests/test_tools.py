"""The tool that feeds a file of changes through the API: it finds nothing where all is right,
and finds what is wrong."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mongoengine
import pytest
from mongoengine import Document, StringField, get_db

from bzz import MongoEngineRestHandler
from bzz.audit import Auditor
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


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    with own_registry():
        spec = importlib.util.spec_from_file_location("feed_history", TOOL)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["feed_history"] = module
        spec.loader.exec_module(module)
        yield module
        del sys.modules["feed_history"]


@pytest.fixture
def changes(tmp_path):
    return write(tmp_path / "changes.jsonl", CHANGES)


def write(path: Path, changes: list[Any]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in changes), "utf-8")
    return str(path)


@contextmanager
def resource(uri: str, tool: Any) -> Iterator[str]:
    """The URL of an empty resource such as the tool needs."""
    with new_database(uri) as name:
        mongoengine.connect(name, host=uri, uuidRepresentation="standard")
        with own_registry():

            class Record(Document):
                key = StringField(primary_key=True)
                content = mongoengine.DictField()

            auditor = Auditor(actor=tool.actor_of)
            routes = MongoEngineRestHandler.routes_for("mongoengine", Record, audit=auditor)
            with Server(routes) as server:
                yield f"http://127.0.0.1:{server.port}/record"


@pytest.fixture
def url(mongod_uri, tool):
    with resource(mongod_uri, tool) as url:
        yield url


def test_a_file_is_fed_and_nothing_differs(mongod_uri, tool, changes, capsys):
    with new_database(mongod_uri) as name:
        head, _, options = mongod_uri.partition("?")
        assert 0 == tool.main([changes, "--uri", f"{head.rstrip('/')}/{name}?{options}"])

    printed = capsys.readouterr().out
    assert "9 changes of 3 records (4 create, 3 update, 2 delete)" in printed
    assert "9 versions, 9 events, 2 live and 1 deleted records" in printed
    assert "restored   2 live and 1 deleted records" in printed
    assert "bytes      per event " in printed
    assert "\n0 differences\n" in printed


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
        read_back = tool.Run.read_back

        def later(run, records):
            function(get_db())
            read_back(run, records)

        monkeypatch.setattr(tool.Run, "read_back", later)

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

    assert 1 == tool.main([changes, "--url", url, "--restore", "0"])
    printed = capsys.readouterr().out
    assert "\n0 differences\n" not in printed
    assert found in printed


def test_a_missing_event_is_found(tool, changes, url, tampered, capsys):
    tampered(lambda database: database["bzz_history"].delete_one({"d": "a", "v": 2}))

    assert 1 == tool.main([changes, "--url", url, "--restore", "0"])
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

    assert 1 == tool.main([path, "--url", url, "--restore", "0"])
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
