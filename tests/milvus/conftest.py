"""One real Milvus server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.milvus.server import MilvusServer

# What is read with strong consistency waits for the next of these: 200 ms by default.
QUICK = {
    "proxy": {"timeTickInterval": 20},
    # How soon a new collection is in memory: each looks once a second, else.
    "queryCoord": {"checkChannelInterval": 100, "checkSegmentInterval": 100, "distPullInterval": 100},
}


@pytest.fixture(scope="package")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server that runs; a test that kills it starts it again. pytest keeps its folder, with the logs.

    Ended with the last test of this folder: it takes a third of a core even at rest.
    """
    with MilvusServer(tmp_path_factory.mktemp("milvus"), QUICK) as server:
        yield server
