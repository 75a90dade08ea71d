"""What a transaction cannot take: too much time, too many bytes, a value that is taken."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from bzz.signals import post_update_instance
from tests.audit.checking import check_histories
from tests.faults.worlds import lists
from tests.house import elsewhere
from tests.support import JSON_PATCH, Server, wait_until

MEGABYTE = 1024 * 1024


def append(client: Any, document: str, element: str) -> Any:
    body = [{"op": "add", "path": "/log/-", "value": element}]
    return client.patch(f"/page/{document}/", body, headers={"Content-Type": JSON_PATCH})


def send(server: Any, request: Callable[[Any], Any]) -> Any:
    """The answer to one request, sent on a connection of its own."""
    with closing(server.client()) as client:
        return request(client)


def stored(world: Any, document: str) -> list[str]:
    return list(world.Page.objects.get(id=document).log)


@pytest.fixture
def world(own_mongod):
    options = {"deadline": 5, "max_body": 40 * MEGABYTE}
    with (
        lists(own_mongod.uri, **options) as world,
        Server(world.routes, log_function=lambda handler: None) as world.server,
    ):
        yield world


# Time -----------------------------------------------------------------------------------------


def expire(world: Any) -> None:
    """Wait, as a receiver that takes its time, until the server has ended the transaction."""

    def is_over() -> bool:
        operations = world.client.admin.aggregate(
            [{"$currentOp": {"idleSessions": True}}, {"$match": {"transaction": {"$exists": True}}}]
        )
        return not any(True for _ in operations)

    elsewhere(lambda: wait_until(is_over))


def test_a_transaction_that_has_expired_is_run_again(world, monkeypatch):
    monkeypatch.setattr("bzz.settling.RECEIVER_BUDGET", 10)
    seen: list[str] = []

    def slow(instance: Any) -> None:
        seen.append(instance.log[-1])
        if len(seen) == 1:
            expire(world)

    post_update_instance.connect(slow, sender=world.Page, weak=False, atomic=True)
    answer = append(world.server, world.ids[0], "x")

    assert (200, ["x"], ["x", "x"]) == (answer.status, stored(world, world.ids[0]), seen)
    check_histories(world.auditor, world.Page)


def test_a_receiver_that_outlasts_every_transaction_is_named(world, monkeypatch):
    monkeypatch.setattr("bzz.settling.RECEIVER_BUDGET", 1)

    def slow_one(instance: Any) -> None:
        expire(world)

    post_update_instance.connect(slow_one, sender=world.Page, weak=False, atomic=True)
    answer = append(world.server, world.ids[0], "x")

    assert 503 == answer.status
    assert "slow_one, an atomic receiver of post_update_instance, took" in answer.problem["detail"]
    assert [] == stored(world, world.ids[0])


# Bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "megabytes", [pytest.param(9, id="event"), pytest.param(17, id="document")]
)
def test_what_is_too_large_to_be_stored_is_refused_whole(world, megabytes):
    document = world.ids[0]
    page = world.Page.objects.get(id=document)
    page.log = ["y" * 8 * MEGABYTE]
    world.auditor.write(page.save)

    answer = world.server.put(f"/page/{document}/", {"log": ["x" * megabytes * MEGABYTE]})

    assert 413 == answer.status
    assert answer.problem["type"].endswith("/too-large.html")
    assert "y" == stored(world, document)[0][0]
    check_histories(world.auditor, world.Page)


def test_what_is_too_large_takes_nothing_else_with_it(world):
    big, *others = world.ids
    with ThreadPoolExecutor(8) as pool:
        fat = {"log": ["x" * 17 * MEGABYTE]}
        put = pool.submit(send, world.server, lambda client: client.put(f"/page/{big}/", fat))
        rest = [
            pool.submit(send, world.server, partial(append, document=each, element="x"))
            for each in others * 2
        ]

    assert 413 == put.result().status
    assert [200] * 6 == [each.result().status for each in rest]
    assert [["x", "x"]] * 3 == [stored(world, each) for each in others]


# Values that are taken --------------------------------------------------------------------------


def test_a_value_that_was_taken_before_is_a_conflict(world):
    answer = world.server.post("/page/", {"name": f"list {world.ids[0]}"})

    assert (409, "/name") == (answer.status, answer.problem["errors"][0]["pointer"])


@pytest.mark.parametrize(
    ("commits", "status"),
    [pytest.param(True, 409, id="commits"), pytest.param(False, 201, id="aborts")],
)
def test_a_value_that_somebody_is_about_to_take_is_waited_for(world, commits, status):
    """To the server that is a write conflict, not a duplicate."""
    pages, wanted = world.client[world.database]["page"], {"name": "wanted"}

    def aborted() -> int:
        return int(world.client.admin.command("serverStatus")["transactions"]["totalAborted"])

    before = aborted()
    with world.client.start_session() as session, ThreadPoolExecutor(1) as pool:
        session.start_transaction()
        pages.insert_one(dict(wanted), session=session)
        asked = pool.submit(send, world.server, lambda client: client.post("/page/", wanted))
        wait_until(lambda: aborted() > before)
        (session.commit_transaction if commits else session.abort_transaction)()
        answer = asked.result()

    assert status == answer.status
    assert 1 == pages.count_documents(wanted)
