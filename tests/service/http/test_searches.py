"""Which of the searches that wait at one time are made together: never so many that what they find is large."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import orjson

from service.collections.collections import Answer, Collections
from service.errors import TakesLongError
from service.http.layers.held import HeldBytes
from service.http.requests.body import Body
from service.http.searches import LEAST_FOUND, MOST_FOUND_TOGETHER, Asked, combine
from service.items import Match, Query, Wanted
from service.settings import Settings
from service.threads.fair_pool import FairPool
from service.threads.lane import Lane
from service.threads.pool import Pool


class Recorded:
    """Finds an item that tells the query; the first search waits until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.found: list[int] = []

    def search(self, name: str, queries: Sequence[Query], wanted: Wanted) -> Answer:
        """One match for each."""
        assert self.go.wait(10)
        self.found.append(len(queries))
        return _told(queries)


def _body(content: bytes) -> Body:
    return Body(content, HeldBytes(2**30, "bodies").charge(), 100_000)


def _told(queries: Sequence[Query]) -> Answer:
    return Answer(8, None, [[Match(str(query.document), 0, None)] for query in queries])


def _made(tmp_path: Path, count: int, queries: int, limit: int) -> list[int]:
    """How many queries were made together, where so many searches came while another one was made."""
    recorded = Recorded()

    async def main() -> list[bytes]:
        pool = Pool(1, 1000)
        settings, encoders = Settings(data=tmp_path, hashers=tmp_path), FairPool(pool, 1)
        searches = combine(settings, cast(Collections, recorded), pool, Lane(1), encoders)
        asked = []
        for number in range(count + 1):
            # Each has other queries; the first, which is let go last, is of another collection.
            codes = [{"code": f"{number:04x}{place:04x}"} for place in range(queries)]
            body = orjson.dumps({"queries": codes, "limit": limit})
            asked.append(
                asyncio.create_task(searches.run(Asked("other" if number == 0 else "c", _body(body)), "somebody"))
            )
            if number == 0:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        recorded.go.set()
        replies = await asyncio.gather(*asked)
        pool.close()
        return [bytes(each.body) for each in replies]

    for number, body in enumerate(asyncio.run(main())):
        ids = [match["id"] for results in orjson.loads(body)["results"] for match in results]
        assert ids == [f"{number:04x}{place:04x}" for place in range(queries)]
    first, *others = recorded.found
    assert first == queries
    return others


def test_small_ones_are_made_together(tmp_path: Path) -> None:
    assert _made(tmp_path, 30, 1, 10) == [30]
    assert _made(tmp_path, 4, 1, MOST_FOUND_TOGETHER // 10) == [4]


def test_large_ones_are_made_one_after_the_other(tmp_path: Path) -> None:
    assert _made(tmp_path, 4, 10, MOST_FOUND_TOGETHER // 10) == [10] * 4
    assert _made(tmp_path, 5, 4, MOST_FOUND_TOGETHER // 10) == [8, 8, 4]
    # Of few matches, but of many queries.
    assert _made(tmp_path, 3, MOST_FOUND_TOGETHER // LEAST_FOUND, 1) == [1000] * 3


class Slow(Recorded):
    """Reads in slices for what has a filter, which is not done before `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []
        self.read: set[str] = set()

    def search(self, name: str, queries: Sequence[Query], wanted: Wanted) -> Answer:
        """One match for each."""
        document = str(queries[0].document)
        if wanted.filter is not None and document not in self.read:
            raise TakesLongError(partial(self._step, document))
        self.made.append(document)
        return _told(queries)

    def _step(self, document: str) -> bool:
        if self.go.wait(0.01):
            self.read.add(document)
        return self.go.is_set()


def test_what_takes_long_holds_up_nothing_but_its_like(tmp_path: Path) -> None:
    slow = Slow()

    async def main() -> tuple[list[bytes], list[bytes]]:
        pool, lane = Pool(1, 1000), Lane(1000)
        settings, encoders = Settings(data=tmp_path, hashers=tmp_path), FairPool(pool, 1)
        searches = combine(settings, cast(Collections, slow), pool, lane, encoders)

        async def asked(number: int, condition: dict[str, object] | None) -> bytes:
            body = {"query": {"code": f"{number:02x}"}, "filter": condition}
            return bytes((await searches.run(Asked("c", _body(orjson.dumps(body))), "somebody")).body)

        long = [asyncio.create_task(asked(number, {"n": number})) for number in range(5)]
        await asyncio.sleep(0.05)
        gone = long.pop()
        gone.cancel()
        quick = [await asyncio.wait_for(asked(number, None), 5) for number in range(4)]
        assert not any(each.done() for each in long)
        slow.go.set()
        told = await asyncio.gather(*long)
        for each in (pool, lane):
            each.close()
        return quick, told

    for replies in asyncio.run(main()):
        assert [orjson.loads(body)["results"][0]["id"] for body in replies] == ["00", "01", "02", "03"]
    # Nobody waited for the fifth.
    assert slow.made[:4] == ["00", "01", "02", "03"]
    assert sorted(slow.made[4:]) == ["00", "01", "02", "03"]
