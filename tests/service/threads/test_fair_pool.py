"""Clients take turns, no client has all threads, and what is waited for no more is not begun, or ends soon."""

import asyncio
import threading

import pytest

from service.errors import BusyError
from service.threads.fair_pool import FairPool
from service.threads.pool import Pool
from service.threads.runs import Going
from tests.service.threads.test_pool import LONG, Gate, reached


def made(threads: int, queue: int = 100) -> FairPool:
    return FairPool(Pool(threads, queue), threads)


def test_clients_take_turns_however_much_one_of_them_asks_for() -> None:
    order: list[str] = []
    gate = Gate()

    async def main() -> None:
        pool = made(1)
        first = asyncio.create_task(pool.run("a", lambda going: gate.call()))
        await reached(lambda: gate.inside == 1)

        def note(name: str) -> asyncio.Task[None]:
            return asyncio.create_task(pool.run(name[0], lambda going: order.append(name)))

        asked = [note(f"a{n}") for n in range(5)] + [note(f"b{n}") for n in range(3)] + [note("c0")]
        await asyncio.sleep(0)
        assert pool.waiting == 9
        gate.go.set()
        await asyncio.gather(first, *asked)
        assert pool.waiting == 0
        pool.close()

    asyncio.run(main())
    assert order == ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3", "a4"]


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (2, 1), (3, 2), (8, 7)])
def test_no_client_has_all_threads_where_there_are_several(threads: int, most: int) -> None:
    one, other = Gate(), Gate()

    async def main() -> None:
        pool = made(threads)
        many = [asyncio.create_task(pool.run("a", lambda going: one.call())) for _ in range(20)]
        await reached(lambda: one.inside == most)
        if threads > 1:
            # Begun although twenty wait: it is another client's.
            await asyncio.wait_for(asyncio.create_task(pool.run("b", lambda going: None)), LONG)
        await asyncio.sleep(0.02)
        assert one.inside == most
        one.go.set()
        other.go.set()
        await asyncio.gather(*many)
        pool.close()

    asyncio.run(main())
    assert one.most == most


def test_what_is_waited_for_no_more_ends_when_it_asks_and_holds_its_thread_until_then() -> None:
    steps = 0
    step, stepped = threading.Semaphore(0), threading.Event()

    def work(going: Going) -> None:
        nonlocal steps
        while True:
            stepped.set()
            assert step.acquire(timeout=LONG)
            steps += 1
            going()

    async def main() -> None:
        pool = made(1)
        asked = asyncio.create_task(pool.run("a", work))
        waits = asyncio.create_task(pool.run("b", lambda going: steps))
        for _ in range(3):
            step.release()
        await reached(lambda: steps == 3)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.sleep(0.02)
        assert not waits.done()
        step.release()
        # One step more, and the thread is the next one's.
        assert await waits == 4
        pool.close()

    asyncio.run(main())


def test_what_is_cancelled_before_its_turn_is_not_begun_and_leaves_its_place() -> None:
    gate = Gate()
    begun: list[int] = []

    async def main() -> None:
        pool = made(1, queue=5)
        first = asyncio.create_task(pool.run("a", lambda going: gate.call()))
        await reached(lambda: gate.inside == 1)
        asked = [asyncio.create_task(pool.run("ab"[n % 2], lambda going, n=n: begun.append(n))) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await pool.run("c", lambda going: None)
        for each in asked[:4]:
            each.cancel()
        await asyncio.sleep(0.01)
        assert pool.waiting == 1
        more = [asyncio.create_task(pool.run("c", lambda going: begun.append(9))) for _ in range(4)]
        await asyncio.sleep(0)
        gate.go.set()
        await asyncio.gather(first, *more, asked[4])
        pool.close()

    asyncio.run(main())
    assert sorted(begun) == [4, 9, 9, 9, 9]


def test_errors_come_back_and_a_thread_that_fails_goes_on() -> None:
    def fail(error: BaseException) -> None:
        raise error

    async def main() -> None:
        pool = made(2)
        with pytest.raises(KeyError):
            await pool.run("a", lambda going: fail(KeyError("x")))
        with pytest.raises(RuntimeError, match="a thread ended with KeyboardInterrupt"):
            await pool.run("a", lambda going: fail(KeyboardInterrupt()))
        assert await pool.run("a", lambda going: 7) == 7
        pool.close()

    asyncio.run(main())
