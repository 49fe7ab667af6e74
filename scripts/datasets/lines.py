"""The lines of a text file that begin in one part of its bytes: the rest of the file is not read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.shard import WHOLE, Shard


@dataclass(frozen=True)
class Lines:
    """Lines of a file in their order, each in the shard in which its first byte is."""

    path: Path
    shard: Shard = WHOLE

    def __iter__(self) -> Iterator[bytes]:
        """Each line without its end."""
        start, stop = self._start(), self.shard.bounds(self.path.stat().st_size)[1]
        with self.path.open("rb") as file:
            file.seek(start)
            while start < stop and (line := file.readline()):
                start += len(line)
                yield line.rstrip(b"\r\n")

    @property
    def origin(self) -> str:
        """What follows the number of a line, to find it by: nothing, or ` from byte 4096`."""
        return "" if self.shard == WHOLE else f" from byte {self._start()}"

    def _start(self) -> int:
        """The byte that the first line begins at."""
        start, _ = self.shard.bounds(self.path.stat().st_size)
        if start == 0:
            return 0
        with self.path.open("rb") as file:
            # The line that holds the byte before is another shard's.
            file.seek(start - 1)
            return start - 1 + len(file.readline())
