import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from service.errors import BusyError
from service.threads.combining import MOST_TOGETHER, Combining
from service.threads.pool import Pool


def test_what_waits_is_answered_together_each_with_its_own() -> None:
    batches: list[list[int]] = []
    first = threading.Event()

    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | Exception]]]:
        batches.append(list(numbers))
        if len(batches) == 1:
            assert first.wait(10)
        yield [(place, ValueError("13") if number == 13 else 2 * number) for place, number in enumerate(numbers)]

    async def main() -> list[int | BaseException]:
        pool = Pool(1, 1000)
        combining = Combining(pool, answer)
        asked = [asyncio.create_task(combining.run(number)) for number in range(100)]
        await asyncio.sleep(0.05)
        first.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        pool.close()
        return found

    found = asyncio.run(main())
    assert [each for number, each in enumerate(found) if number != 13] == [2 * n for n in range(100) if n != 13]
    assert isinstance(found[13], ValueError)
    assert [number for batch in batches for number in batch] == list(range(100))
    assert max(map(len, batches)) == MOST_TOGETHER


def test_what_waits_is_shared_among_the_threads_that_are_idle() -> None:
    batches: list[int] = []

    class TwoAreIdle(Pool):
        @property
        def idle(self) -> int:
            return 2

    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
        batches.append(len(numbers))
        yield list(enumerate(numbers))

    async def main() -> None:
        pool, begin = TwoAreIdle(1, 1000), threading.Event()
        pool.submit(lambda: begin.wait(10) and None)
        combining = Combining(pool, answer)
        asked = [asyncio.create_task(combining.run(number)) for number in range(12)]
        await asyncio.sleep(0.05)
        begin.set()
        await asyncio.gather(*asked)
        pool.close()

    asyncio.run(main())
    assert batches == [4, 3, 2, 1, 1, 1]


def test_an_answer_that_breaks_is_an_error_for_all_and_the_next_is_answered() -> None:
    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | Exception]]]:
        if 0 in numbers:
            raise RuntimeError("broken")
        yield list(enumerate(numbers))

    async def main() -> None:
        pool = Pool(2, 1000)
        combining = Combining(pool, answer)
        for number in (0, 1, 0, 2):
            if number:
                assert await combining.run(number) == number
            else:
                with pytest.raises(RuntimeError, match="broken"):
                    await combining.run(number)
        pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("raised", [StopIteration("broken"), SystemExit("broken")])
@pytest.mark.parametrize("alone", [True, False])
def test_what_is_no_usual_error_is_told_at_once_too(raised: BaseException, alone: bool) -> None:
    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | BaseException]]]:
        if alone:
            yield [(place, number if number else raised) for place, number in enumerate(numbers)]
            return
        if 0 in numbers:
            raise raised
        yield list(enumerate(numbers))

    async def main() -> None:
        pool = Pool(1, 1000)
        combining = Combining(pool, answer)
        with pytest.raises(RuntimeError, match=type(raised).__name__):
            await asyncio.wait_for(combining.run(0), 10)
        assert await asyncio.wait_for(combining.run(1), 10) == 1
        pool.close()

    asyncio.run(main())


def test_each_is_told_as_soon_as_its_answer_is_there() -> None:
    both_wait, told = threading.Event(), threading.Event()

    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | Exception]]]:
        assert both_wait.wait(10)
        for place in reversed(range(len(numbers))):
            yield [(place, numbers[place])]
            if len(numbers) == 3 and place:
                assert told.wait(10), "the first that was ready waits for the others"
                if place == 1:
                    raise RuntimeError("broken")

    async def main() -> None:
        pool = Pool(1, 1000)
        combining = Combining(pool, answer)
        first = asyncio.create_task(combining.run(0))
        await asyncio.sleep(0.05)
        asked = [asyncio.create_task(combining.run(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0.05)
        both_wait.set()
        assert (await first, await asked[2]) == (0, 3)
        assert not asked[0].done() and not asked[1].done()
        told.set()
        assert await asked[1] == 2
        # What was told stays so, whatever happens to the others.
        with pytest.raises(RuntimeError, match="broken"):
            await asked[0]
        pool.close()

    asyncio.run(main())


def test_more_than_may_wait_are_refused_and_places_are_given_back() -> None:
    go = threading.Event()

    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | Exception]]]:
        assert go.wait(10)
        yield list(enumerate(numbers))

    async def main() -> None:
        pool = Pool(1, 3)
        combining = Combining(pool, answer)
        asked = [asyncio.create_task(combining.run(number)) for number in range(6)]
        await asyncio.sleep(0.05)
        go.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [int] * 4 + [BusyError] * 2
        # One whose client has gone is no harm.
        go.clear()
        gone, stays = (asyncio.create_task(combining.run(number)) for number in (7, 8))
        await asyncio.sleep(0.05)
        gone.cancel()
        go.set()
        assert await stays == 8
        assert await asyncio.gather(*(combining.run(number) for number in range(4))) == [0, 1, 2, 3]
        assert await pool.run(lambda: 5) == 5
        pool.close()

    asyncio.run(main())


def test_what_nobody_waits_for_any_more_is_not_answered_and_gives_its_place_back() -> None:
    go = threading.Event()
    asked_for: list[int] = []

    def answer(numbers: Sequence[int]) -> Iterator[list[tuple[int, int | Exception]]]:
        asked_for.extend(numbers)
        assert go.wait(10)
        yield list(enumerate(numbers))

    async def main() -> None:
        pool = Pool(1, 50)
        combining = Combining(pool, answer)
        first = asyncio.create_task(combining.run(0))
        await asyncio.sleep(0.05)
        gone = [asyncio.create_task(combining.run(number)) for number in range(1, 41)]
        stays = asyncio.create_task(combining.run(41))
        await asyncio.sleep(0.05)
        for each in gone:
            each.cancel()
        go.set()
        assert (await first, await stays) == (0, 41)
        assert asked_for == [0, 41]
        assert await asyncio.gather(*(combining.run(number) for number in range(51))) == list(range(51))
        pool.close()

    asyncio.run(main())
