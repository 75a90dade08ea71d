"""Blocking calls off the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import ContextVar
from multiprocessing import get_all_start_methods, get_context

import pytest

from bzz.errors import Unavailable
from bzz.offload import DeadlineExceeded, Offload, shared_offload

actor: ContextVar[str] = ContextVar("actor", default="nobody")

PATIENCE = 10


@pytest.fixture
def offload():
    """A pool of one thread."""
    pool = Offload(max_workers=1)
    yield pool
    pool.shutdown()


class Gate:
    """A call that stays in its thread until it is let go."""

    def __init__(self):
        self.entered, self.opened, self.left = (threading.Event() for _ in range(3))

    def __call__(self):
        self.entered.set()
        self.opened.wait(PATIENCE)
        self.left.set()
        return "through"


@pytest.fixture
def gate():
    """A gate that no failing test leaves shut."""
    made = Gate()
    yield made
    made.opened.set()


async def begun(gate):
    await asyncio.to_thread(gate.entered.wait, PATIENCE)


def test_a_call_runs_in_another_thread_and_its_value_comes_back(offload):
    async def main():
        return await offload(lambda a, b: (a + b, threading.current_thread()), 1, 2)

    value, thread = asyncio.run(main())

    assert 3 == value
    assert thread is not threading.current_thread()


def test_what_the_call_raises_is_raised(offload):
    async def main():
        await offload(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        asyncio.run(main())


def test_a_timeout_of_the_call_itself_is_not_taken_for_the_deadline(offload):
    def work():
        raise TimeoutError("of the socket")

    async def main():
        await offload(work, deadline=PATIENCE)

    with pytest.raises(TimeoutError, match="of the socket"):
        asyncio.run(main())


def test_stop_iteration_does_not_leave_the_caller_waiting(offload):
    async def main():
        await offload(next, iter([]))

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        asyncio.run(main())


def test_the_call_sees_the_callers_context_and_changes_only_a_copy(offload):
    def work():
        seen = actor.get()
        actor.set("the thread")
        return seen

    async def request(name):
        actor.set(name)
        return await offload(work), actor.get()

    async def main():
        return await asyncio.gather(request("ana"), request("ben")), actor.get()

    assert ([("ana", "ana"), ("ben", "ben")], "nobody") == asyncio.run(main())


def test_no_more_calls_run_at_once_than_there_are_workers():
    pool = Offload(max_workers=2)
    meeting = threading.Barrier(3)

    async def main():
        waiting = [asyncio.create_task(pool(meeting.wait, 0.05)) for _ in range(3)]
        return await asyncio.gather(*waiting, return_exceptions=True)

    outcomes = asyncio.run(main())
    pool.shutdown()

    assert [threading.BrokenBarrierError] * 3 == [type(each) for each in outcomes]


def test_work_that_has_not_begun_does_not_run_when_its_caller_is_cancelled(offload, gate):
    ran = []

    async def main():
        first = asyncio.create_task(offload(gate))
        await begun(gate)
        second = asyncio.create_task(offload(ran.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.opened.set()
        await first
        await offload(ran.append, "third")

    asyncio.run(main())

    assert ["third"] == ran


def test_work_that_has_not_begun_by_the_deadline_never_runs(offload, gate):
    ran = []

    async def main():
        first = asyncio.create_task(offload(gate))
        await begun(gate)
        with pytest.raises(DeadlineExceeded) as raised:
            await offload(ran.append, "second", deadline=0.01)
        gate.opened.set()
        await first
        await offload(ran.append, "third")
        return raised.value

    error = asyncio.run(main())

    assert ["third"] == ran
    assert not error.started
    assert "it was not begun and will not be." in str(error)


def test_work_that_has_begun_by_the_deadline_is_left_to_finish(offload, gate):
    async def main():
        with pytest.raises(DeadlineExceeded) as raised:
            await offload(gate, deadline=0.01)
        gate.opened.set()
        return raised.value

    error = asyncio.run(main())

    assert gate.left.wait(PATIENCE)
    assert error.started
    assert "it runs on, and may still succeed." in str(error)


def test_the_failure_of_abandoned_work_disturbs_nobody(offload, gate):
    def work():
        gate()
        raise ZeroDivisionError

    async def main():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, each: complaints.append(each))
        with pytest.raises(DeadlineExceeded):
            await offload(work, deadline=0.01)
        gate.opened.set()
        await offload(int)
        return complaints

    assert [] == asyncio.run(main())


def test_a_missed_deadline_is_an_unavailable_service():
    assert issubclass(DeadlineExceeded, Unavailable)


def test_a_deadline_that_is_kept_changes_nothing(offload):
    assert "1" == asyncio.run(offload(str, 1, deadline=PATIENCE))


def test_after_the_shutdown_no_call_is_taken(offload):
    offload.shutdown()

    with pytest.raises(RuntimeError, match="after shutdown"):
        asyncio.run(offload(int))


def test_shutdown_waits_for_what_has_begun_and_drops_the_rest(offload, gate):
    ran = []

    async def main():
        first = asyncio.create_task(offload(gate))
        await begun(gate)
        second = asyncio.create_task(offload(ran.append, "second"))
        await asyncio.sleep(0)
        offload.shutdown(wait=False)
        gate.opened.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(main())

    assert "through" == first
    assert isinstance(second, asyncio.CancelledError)
    assert [] == ran


def test_one_pool_serves_many_event_loops():
    async def main(number):
        return await asyncio.gather(*(shared_offload()(int, number) for _ in range(20)))

    pools = {shared_offload() for _ in range(3)}

    assert [[number] * 20 for number in range(3)] == [asyncio.run(main(n)) for n in range(3)]
    assert 1 == len(pools)


def test_a_loop_that_closes_while_work_runs_leaves_the_pool_usable(offload, gate):
    async def abandon():
        waiting = asyncio.create_task(offload(gate))
        await begun(gate)
        waiting.cancel()

    asyncio.run(abandon())
    gate.opened.set()

    assert 0 == asyncio.run(offload(int))


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_a_pool_with_threads_of_its_own():
    # Threads do not survive a fork, and a pool that does would wait for them for ever.
    def child():
        sys.exit(asyncio.run(shared_offload()(int, "7")))

    asyncio.run(shared_offload()(int))
    process = get_context("fork").Process(target=child)
    process.start()
    process.join(PATIENCE)
    process.kill()

    assert 7 == process.exitcode
