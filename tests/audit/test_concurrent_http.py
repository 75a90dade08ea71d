"""Many clients at once: every answer of success has its event, every event its change."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mongoengine import Document, IntField, ListField, StringField

from bzz import MongoEngineRestHandler
from tests.audit.checking import check_histories
from tests.house import raw, standing, visit
from tests.support import Server

CLIENTS = 8


@pytest.fixture(scope="module")
def standing_house(mongod_uri):
    with standing(mongod_uri) as house:
        yield house


@pytest.fixture
def world(standing_house):
    class Counted(Document):
        name = StringField()
        number = IntField(default=0)
        marks = ListField(StringField())

    with visit(standing_house) as house:
        # Longer than by default: the machine that tests may be a busy one.
        routes = MongoEngineRestHandler.routes_for(
            "mongoengine", Counted, audit=house.auditor, deadline=60
        )
        with Server(routes) as server:
            yield house, Counted, server


def at_once(server: Any, work: Callable[[Any, int], Any]) -> list[Any]:
    """What `work(client, number)` gives for each of some clients that start together."""
    barrier = threading.Barrier(CLIENTS)

    def run(number: int) -> Any:
        client = server.client()
        try:
            barrier.wait()
            return work(client, number)
        finally:
            client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(run, range(CLIENTS)))


def created(server: Any, **values: Any) -> str:
    return str(server.post("/counted/", values).headers["Location"])


def events(server: Any, path: str) -> list[Any]:
    return list(server.get(f"{path}history/?order=asc&limit=100").json["items"])


def test_all_writes_of_one_document_are_in_its_history(world):
    house, model, server = world
    path = created(server)

    def write(client: Any, number: int) -> list[int]:
        answers = [client.put(path, {"name": f"{number}-{turn}"}) for turn in range(5)]
        assert [200] * 5 == [answer.status for answer in answers]
        return [int(answer.etag.strip('"')) for answer in answers]

    tags = at_once(server, write)

    assert all(each == sorted(each) for each in tags)
    assert list(range(2, 42)) == sorted(tag for each in tags for tag in each)
    assert 41 == check_histories(house.auditor, model)


def test_the_tag_of_an_answer_is_that_of_its_own_write(world):
    _, _, server = world
    path = created(server)

    def write(client: Any, number: int) -> list[tuple[int, str]]:
        names = [f"{number}-{turn}" for turn in range(5)]
        answers = [client.put(path, {"name": name}) for name in names]
        assert names == [answer.json["name"] for answer in answers]
        return [(int(answer.etag.strip('"')), answer.json["name"]) for answer in answers]

    told = {tag: name for each in at_once(server, write) for tag, name in each}

    assert told == {e["version"]: e["changes"][-1]["to"] for e in events(server, path)[1:]}


def test_no_increment_that_carries_its_precondition_is_lost(world):
    house, model, server = world
    path = created(server)

    def write(client: Any, number: int) -> int:
        done = 0
        while done < 3:
            read = client.get(path)
            body = {"number": read.json["number"] + 1}
            # None where the others wrote between the two looks of the read.
            headers = {"If-Match": read.etag or '"none"'}
            done += client.put(path, body, headers=headers).status == 200
        return done

    at_once(server, write)

    assert 3 * CLIENTS == server.get(path).json["number"]
    assert 3 * CLIENTS + 1 == check_histories(house.auditor, model)


def test_writes_of_many_documents_do_not_touch_each_other(world):
    house, model, server = world

    def write(client: Any, number: int) -> str:
        path = created(client, name=f"{number}")
        for turn in range(5):
            assert 200 == client.put(path, {"number": turn + 1}).status
        assert 204 == client.delete(path).status
        return path

    paths = at_once(server, write)

    assert CLIENTS == len(set(paths))
    expected = ["created", *["updated"] * 5, "deleted"]
    assert [expected] * CLIENTS == [[e["operation"] for e in events(server, p)] for p in paths]
    assert 7 * CLIENTS == check_histories(house.auditor, model)


def test_every_success_has_its_event_whatever_the_clients_do(world):
    house, model, server = world
    paths = [created(server, name=f"{number}") for number in range(3)]
    keys = [path.split("/")[2] for path in paths]

    def write(client: Any, number: int) -> Counter[str]:
        done: Counter[str] = Counter()
        for turn in range(8):
            which = (number + turn) % 3
            path, name = paths[which], f"{number}-{turn}"
            headers = {"X-User": name}
            method = ("PUT", "DELETE", "POST", "RESTORE", "PUT")[(number * 3 + turn) % 5]
            if method == "PUT":
                answer = client.put(path, {"name": name}, headers=headers)
            elif method == "DELETE":
                answer = client.delete(path, headers=headers)
            elif method == "POST":
                body = {"id": keys[which], "name": name}
                answer = client.post("/counted/", body, headers=headers)
            else:
                answer = client.post(f"{path}history/1/restore/", {}, headers=headers)
            assert answer.status in (200, 201, 204, 409, 410), answer
            if answer.status < 300 and not (method == "RESTORE" and answer.status == 200):
                done[name] += 1
        return done

    done = sum(at_once(server, write), Counter())
    told = Counter(e["actor"]["id"] for path in paths for e in events(server, path)[1:])

    assert done == told
    assert 3 + done.total() == check_histories(house.auditor, model)


@pytest.mark.parametrize("below", ["", "history/"], ids=["document", "history"])
def test_a_document_that_comes_back_while_it_is_looked_for_is_found(world, monkeypatch, below):
    house, model, server = world
    monkeypatch.setattr(model, "get_instance_queryset", _everything, raising=False)
    path = created(server, name="1")
    server.delete(path)
    heads, looks = house.auditor.heads, []

    def slowly(unit: Any, *arguments: Any) -> Any:
        looks.append(unit)
        if len(looks) == 1:
            client = server.client()
            assert 201 == client.post("/counted/", {"id": path.split("/")[2]}).status
            client.close()
        return heads(unit, *arguments)

    monkeypatch.setattr(house.auditor, "heads", slowly)

    assert 200 == server.get(path + below).status
    house.auditor.sequence()
    assert '"3"' == server.get(path + below).etag


@staticmethod
def _everything(model: Any, queryset: Any, instance_id: Any, handler: Any) -> Any:
    return queryset


def test_readers_see_only_states_that_were_committed_with_their_tags(world):
    _, _, server = world
    path = created(server, name="1")

    def work(client: Any, number: int) -> list[tuple[str | None, str]]:
        if number:
            answers = [client.get(path) for _ in range(20)]
            return [(answer.etag, answer.json["name"]) for answer in answers]
        for turn in range(2, 22):
            assert 200 == client.put(path, {"name": f"{turn}"}).status
        return []

    seen = [pair for each in at_once(server, work) for pair in each]

    # A tag may be missing where the write came in between; it never lies.
    assert [pair for pair in seen if pair[0] is not None and pair[0] != f'"{pair[1]}"'] == []
    assert any(tag for tag, _ in seen)


def test_writes_round_bzz_in_between_are_found(world):
    house, model, server = world
    path = created(server)

    def work(client: Any, number: int) -> None:
        for turn in range(4):
            if number % 4 == 0:
                raw(model).update_one({}, {"$push": {"marks": f"{number}-{turn}"}})
            else:
                assert 200 == client.put(path, {"name": f"{number}-{turn}"}).status

    at_once(server, work)
    server.put(path, {"name": "last"})

    assert 8 == len(server.get(path).json["marks"])
    check_histories(house.auditor, model)
    operations = Counter(event["operation"] for event in events(server, path))
    assert (1, 25) == (operations["created"], operations["updated"])
