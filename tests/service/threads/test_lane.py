"""Slices of work by turns: of all clients, and of all pieces of work of one client."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from service.errors import BusyError, StoppingError
from service.threads.lane import Lane


def run(main: Callable[[Lane], object], queue: int = 1000) -> None:
    """Run a coroutine with a lane of its own."""

    async def inside() -> None:
        lane = Lane(queue)
        try:
            await main(lane)  # type: ignore[misc]
        finally:
            lane.close()

    asyncio.run(inside())


class Work:
    """Notes its name at each of so many steps."""

    def __init__(self, name: str, steps: int, noted: list[str], go: threading.Event) -> None:
        self.name, self.left, self.noted, self.go = name, steps, noted, go

    def step(self) -> str | None:
        """The name, after the last step."""
        assert self.go.wait(10)
        self.noted.append(self.name)
        self.left -= 1
        return None if self.left else self.name


def test_clients_take_turns_and_so_do_their_requests() -> None:
    noted: list[str] = []

    async def main(lane: Lane) -> None:
        go = threading.Event()
        before = asyncio.create_task(lane.run("z", Work("z", 1, noted, go).step))
        await asyncio.sleep(0)
        first = [asyncio.create_task(lane.run("a", Work(f"a{n}", 3, noted, go).step)) for n in range(3)]
        await asyncio.sleep(0)
        others = [asyncio.create_task(lane.run(each, Work(each, 2, noted, go).step)) for each in ("b", "c")]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(before, *first, *others) == ["z", "a0", "a1", "a2", "b", "c"]

    run(main)
    assert noted == ["z", "a0", "b", "c", "a1", "b", "c", "a2", "a0", "a1", "a2", "a0", "a1", "a2"]


def test_what_nobody_waits_for_ends_at_the_next_slice() -> None:
    noted: list[str] = []

    async def main(lane: Lane) -> None:
        go = threading.Event()
        left = asyncio.create_task(lane.run("a", Work("left", 10**9, noted, go).step))
        await asyncio.sleep(0)
        go.set()
        while not noted:
            await asyncio.sleep(0.001)
        left.cancel()
        await asyncio.wait([left])
        assert await lane.run("b", lambda: "b") == "b"
        seen = len(noted)
        assert await lane.run("b", lambda: "b") == "b"
        assert len(noted) == seen

    run(main)


def test_errors_reach_who_waits_and_nobody_else() -> None:
    async def main(lane: Lane) -> None:
        def fail() -> None:
            raise ValueError("this one")

        failing = asyncio.create_task(lane.run("a", fail))
        assert await lane.run("b", lambda: 7) == 7
        with pytest.raises(ValueError, match="this one"):
            await failing

    run(main)


def test_too_many_are_refused_and_places_come_back() -> None:
    async def main(lane: Lane) -> None:
        go = threading.Event()
        tasks = [asyncio.create_task(lane.run("a", Work("a", 1, [], go).step)) for _ in range(2)]
        await asyncio.sleep(0)
        assert lane.waiting == 1
        with pytest.raises(BusyError, match="at most 2 requests"):
            await lane.run("b", lambda: 1)
        go.set()
        await asyncio.gather(*tasks)
        assert lane.waiting == 0
        assert await lane.run("b", lambda: 1) == 1

    run(main, 2)


def test_a_lane_that_is_closed_answers_what_waits() -> None:
    async def main(lane: Lane) -> None:
        go = threading.Event()
        waiting = asyncio.create_task(lane.run("a", Work("a", 10**9, [], go).step))
        await asyncio.sleep(0)
        lane.close()
        go.set()
        with pytest.raises(StoppingError):
            await asyncio.wait_for(waiting, 10)

    run(main)
