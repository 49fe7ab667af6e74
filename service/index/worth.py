"""Whether it pays to share a scan, which is learned from how long scans took alone and shared.

To wake a core that sleeps takes 10 microseconds on one machine and 300 on another, where a virtual core is given back
to the host: there a scan of 8 MB took 1.4 times as long shared as alone, and on others 0.6 times.
"""

from collections.abc import Hashable
from dataclasses import dataclass

# How often both ways are tried at first, and one of how many scans then tries the way that was slower.
TRIED_FIRST = 4
TRIED_AGAIN = 64
# What a new time counts beside those before it, and how much longer than they it may be: a scan may be kept waiting.
WEIGHT = 1 / 8
MOST_LONGER = 2.0
# Waking others takes their time, too.
PAYS_BELOW = 0.9


@dataclass
class _Taken:
    """Seconds per unit of size, 0 where nothing is known, and how many scans there were."""

    alone: float = 0.0
    shared: float = 0.0
    asked: int = 0


class Worth:
    """Safe to use from many threads: what two of them write at one time is lost by one of them, and does not matter."""

    def __init__(self) -> None:
        self._taken: dict[Hashable, _Taken] = {}

    def sharing(self, alike: Hashable) -> bool:
        """Whether to share a scan; `alike` is equal for scans whose times can be compared."""
        taken = self._taken.setdefault(alike, _Taken())
        number = taken.asked
        taken.asked += 1
        if number < 2 * TRIED_FIRST:
            return number % 2 == 1
        pays = taken.shared < PAYS_BELOW * taken.alone
        return pays != (number % TRIED_AGAIN == 0)

    def took(self, alike: Hashable, shared: bool, seconds: float) -> None:
        """Learn from the seconds that a scan took for each unit of its size."""
        taken = self._taken.setdefault(alike, _Taken())
        if shared:
            taken.shared = _averaged(taken.shared, seconds)
        else:
            taken.alone = _averaged(taken.alone, seconds)


def _averaged(before: float, now: float) -> float:
    return before + WEIGHT * (min(now, MOST_LONGER * before) - before) if before else now
