"""How tests are spread over the processes that run them: a file by one of them, what takes longest first."""

from collections.abc import Sequence

import pytest
from xdist.scheduler import LoadScopeScheduling

# One process runs all of this: a Milvus server takes ten seconds to start, and a third of a core even at rest.
TOGETHER = "tests/milvus/"
# But not these, which have servers of their own.
APART = ("tests/milvus/test_access.py", "tests/milvus/test_benchmark.py")
# More than half a minute each. What is begun last should be short, or one process works alone in the end.
LONGEST = (
    TOGETHER,
    "tests/docs/test_pages.py",
    "tests/scripts/test_quickstart.py",
    "tests/faults/test_sigterm.py",
    "tests/scripts/test_benchmark.py",
    "tests/milvus/test_benchmark.py",
    "tests/faults/test_flipped_bytes.py",
    "tests/models/training/test_loop.py",
    "tests/models/training/test_ranks.py",
    "tests/scripts/test_commands.py",
    "tests/test_docker.py",
    "tests/test_whole_path.py",
    "tests/faults/test_sigkill.py",
)


class ByFile(LoadScopeScheduling):
    """Each process takes the next file when its last is nearly done, so that what a file's tests share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def unit(nodeid: str) -> str:
    """What a test is run together with, by one process: its file, or all of `TOGETHER`."""
    file = nodeid.partition("::")[0]
    return TOGETHER if file.startswith(TOGETHER) and file not in APART else file


def longest_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Tests in the order in which they are to be begun; those that are not known to take long stay as they came."""
    place = {name: number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: place.get(unit(item.nodeid), len(place)))
