import logging
import time

import pytest

from service.store.open_reads import OpenReads


def test_the_oldest_of_the_open_reads_is_told() -> None:
    reads = OpenReads()
    assert reads.oldest_seconds() == 0
    first = reads.begin("first")
    time.sleep(0.05)
    second = reads.begin("second")
    assert reads.oldest_seconds() >= 0.05
    reads.end(first)
    assert reads.oldest_seconds() < 0.05 + time.monotonic() - second.since
    with pytest.raises(ValueError, match="early"), reads.during("third"):
        reads.end(second)
        raise ValueError("early")
    assert reads.oldest_seconds() == 0


def test_a_long_read_is_warned_of_once_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    reads = OpenReads(long_seconds=0.01)
    with reads.during("all ids"):
        reads.warn()
        assert not caplog.messages
        time.sleep(0.02)
        with reads.during("short"):
            reads.warn()
            reads.warn()
    assert [message.split(" has been open")[0] for message in caplog.messages] == ["the read all ids"]
    with reads.during("all ids"):
        time.sleep(0.02)
        reads.warn()
    assert len(caplog.messages) == 2
