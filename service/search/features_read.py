"""Features that were kept, read for one query after the other: those of all candidates of many take too much memory."""

from collections.abc import Callable, Collection, Iterable, Mapping

# Beyond it, what was read for other queries is read again.
MOST_BYTES = 64 * 2**20


class FeaturesRead:
    """What was read lately is not read again, as near queries have candidates in common."""

    def __init__(self, read: Callable[[Iterable[int]], Mapping[int, bytes]]) -> None:
        self._read = read
        self._held: dict[int, bytes] = {}
        self._bytes = 0

    def of(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        """Packed features by number, of these items at least; those that are not there are left out."""
        missing = set(numbers) - self._held.keys()
        if missing and self._bytes > MOST_BYTES:
            self._held, self._bytes, missing = {}, 0, set(numbers)
        if missing:
            read = self._read(missing)
            self._held.update(read)
            self._bytes += sum(map(len, read.values()))
        return self._held
