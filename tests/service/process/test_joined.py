import asyncio
from unittest.mock import Mock, call

from service.process.joined import MOST_BYTES, JoinedWrites


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
