import asyncio
from collections.abc import Callable
from typing import cast
from unittest.mock import Mock, call

import pytest

from service.process.joined import LEAST_TAKEN_BYTES, MOST_BYTES, JoinedWrites


def test_writes_of_one_turn_go_out_together_and_in_their_order() -> None:
    async def turns() -> None:
        transport = Mock()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert transport.mock_calls == []
        await asyncio.sleep(0)
        assert transport.mock_calls == [call.write(b"head body")]
        joined.write(b"next")
        await asyncio.sleep(0)
        assert transport.mock_calls[1:] == [call.write(b"next")]

    asyncio.run(turns())


def test_what_was_written_is_sent_before_the_end_and_large_writes_do_not_wait() -> None:
    async def turns() -> None:
        transport = Mock()
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        joined.write(b"a")
        joined.write(bytes(MOST_BYTES))
        assert transport.mock_calls == [call.write(b"a" + bytes(MOST_BYTES))]
        joined.write(b"last")
        joined.close()
        assert transport.mock_calls[1:] == [call.write(b"last"), call.close()]
        await asyncio.sleep(0)
        assert len(transport.mock_calls) == 3
        assert joined.is_closing() is transport.is_closing.return_value

    asyncio.run(turns())


class Slow:
    """A transport whose client takes `rate` bytes a second."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._start = clock()
        self.written = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def get_write_buffer_size(self) -> int:
        return max(0, self.written - int(self._rate * (self._clock() - self._start)))

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True
        self.written = 0


@pytest.mark.parametrize(
    ("rate", "size", "cut"),
    [
        # Nothing, a little, less than enough, and enough of a long reply; all of a short one, and hardly any.
        (0, 40 * LEAST_TAKEN_BYTES, True),
        (10, 40 * LEAST_TAKEN_BYTES, True),
        (3 * LEAST_TAKEN_BYTES, 40 * LEAST_TAKEN_BYTES, True),
        (8 * LEAST_TAKEN_BYTES, 10 * LEAST_TAKEN_BYTES, False),
        (5000, 1000, False),
        (1, 1000, True),
    ],
)
def test_a_client_that_takes_too_little_of_what_waits_is_cut_off(rate: float, size: int, cut: bool) -> None:
    seconds = 0.25

    async def turns() -> None:
        loop = asyncio.get_running_loop()
        slow = Slow(rate, loop.time)
        joined = JoinedWrites(cast(asyncio.Transport, slow), loop, seconds)
        joined.write(bytes(size))
        await asyncio.sleep(1.5 * seconds)
        assert slow.aborted is cut

    asyncio.run(turns())
