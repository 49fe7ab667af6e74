import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from service.errors import BusyError
from service.threads.pool import Pool

LONG = 10


async def reached(condition: Callable[[], bool]) -> None:
    """Wait, the event loop going on, until it holds."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


class Gate:
    """Calls that stay in their thread until they are let go, counted."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = self.ended = 0

    def call(self, result: int = 0) -> int:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.go.wait(LONG)
        with self.lock:
            self.inside -= 1
            self.ended += 1
        return result


def test_threads_that_have_nothing_to_do_are_counted() -> None:
    gate = Gate()

    async def main() -> None:
        pool = Pool(3, 100)
        assert pool.idle == 3
        asked = [asyncio.create_task(pool.run(gate.call)) for _ in range(2)]
        await reached(lambda: gate.inside == 2)
        assert pool.idle == 1
        gate.go.set()
        await asyncio.gather(*asked)
        await reached(lambda: pool.idle == 3)
        pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("threads", [1, 3])
def test_at_most_so_many_calls_at_once_and_each_gets_its_own_result(threads: int) -> None:
    gate = Gate()

    async def main() -> None:
        pool = Pool(threads, 100)
        asked = [asyncio.create_task(pool.run(lambda number=number: gate.call(number))) for number in range(20)]
        await reached(lambda: gate.inside == threads)
        # Long enough for one more to begin, if any would.
        await asyncio.sleep(0.05)
        assert gate.inside == threads
        gate.go.set()
        assert await asyncio.gather(*asked) == list(range(20))
        assert gate.most == threads
        pool.close()

    asyncio.run(main())


def test_calls_run_in_threads_of_the_pool_in_the_order_they_came() -> None:
    order: list[int] = []
    names: set[str] = set()

    def call(number: int) -> None:
        order.append(number)
        names.add(threading.current_thread().name)

    async def main() -> None:
        pool = Pool(1, 100)
        await asyncio.gather(*(pool.run(lambda number=number: call(number)) for number in range(30)))
        pool.close()

    asyncio.run(main())
    assert order == list(range(30))
    assert names == {"pool 0"}


def test_one_more_than_run_and_wait_is_refused_until_one_is_done() -> None:
    async def main() -> None:
        pool = Pool(2, 3)
        for _ in range(3):
            gate = Gate()
            asked = [asyncio.create_task(pool.run(gate.call)) for _ in range(5)]
            await reached(lambda gate=gate: gate.inside == 2)
            for _ in range(2):
                with pytest.raises(BusyError, match="expected at most 3 requests to wait, got one more"):
                    await pool.run(gate.call)
            gate.go.set()
            await asyncio.gather(*asked)
            # A refused call was never made, and took no place.
            assert gate.ended == 5
        pool.close()

    asyncio.run(main())


def test_an_error_is_its_callers_and_gives_the_place_back() -> None:
    async def main() -> None:
        pool = Pool(1, 1)

        def fails(number: int) -> int:
            raise ValueError(f"broken {number}")

        for number in range(10):
            outcomes = await asyncio.gather(
                pool.run(lambda number=number: fails(number)), pool.run(lambda: 5), return_exceptions=True
            )
            assert isinstance(outcomes[0], ValueError)
            assert str(outcomes[0]) == f"broken {number}"
            assert outcomes[1] == 5
        pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("raised", [StopIteration("broken"), SystemExit("broken"), asyncio.CancelledError("broken")])
def test_what_a_future_cannot_carry_is_an_error_too_at_once_and_the_thread_goes_on(raised: BaseException) -> None:
    def fails() -> int:
        raise raised

    async def main() -> None:
        pool = Pool(1, 1)
        with pytest.raises(RuntimeError, match=f"ended with {type(raised).__name__}") as told:
            await asyncio.wait_for(pool.run(fails), LONG)
        assert told.value.__cause__ is raised
        assert await asyncio.wait_for(pool.run(lambda: 5), LONG) == 5
        pool.close()

    asyncio.run(main())


def test_who_was_cancelled_gives_the_place_back_and_what_only_waited_is_not_made() -> None:
    gate = Gate()

    async def main() -> None:
        pool = Pool(1, 1)
        runs, waits = (asyncio.create_task(pool.run(gate.call)) for _ in range(2))
        await reached(lambda: gate.inside == 1)
        for task in (runs, waits):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # The thread is still busy with it: the place is not free yet.
        with pytest.raises(BusyError):
            await pool.run(lambda: 1)
        gate.go.set()
        # What was begun is finished; then both places are free.
        deadline = time.monotonic() + LONG
        while time.monotonic() < deadline:
            with suppress(BusyError):
                assert await asyncio.gather(pool.run(lambda: 1), pool.run(lambda: 2)) == [1, 2]
                break
            await asyncio.sleep(0.002)
        else:
            raise AssertionError("the places were not given back")
        assert gate.ended == 1
        pool.close()

    asyncio.run(main())


def test_closed_it_makes_what_waits_and_its_threads_end() -> None:
    gate = Gate()

    def alive() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before]

    async def main() -> None:
        pool = Pool(2, 10)
        asked = [asyncio.create_task(pool.run(lambda number=number: gate.call(number))) for number in range(6)]
        await reached(lambda: gate.inside == 2)
        assert len(alive()) == 2
        pool.close()
        gate.go.set()
        assert await asyncio.gather(*asked) == list(range(6))
        await reached(lambda: not alive())

    before = threading.enumerate()
    asyncio.run(main())


def test_a_result_for_an_event_loop_that_is_gone_is_dropped() -> None:
    gate = Gate()
    pool = Pool(1, 1)

    async def main() -> None:
        asyncio.create_task(pool.run(gate.call))  # noqa: RUF006
        await reached(lambda: gate.inside == 1)

    asyncio.run(main())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "pool 0"]
    gate.go.set()
    pool.close()
    # With a warning of an exception in a thread the test would fail.
    thread.join(LONG)
    assert not thread.is_alive()
    assert gate.ended == 1
