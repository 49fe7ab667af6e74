"""Two collections side by side, item by item in the order of their ids."""

from collections.abc import Iterator

from service.client import Item

Pair = tuple[Item | None, Item | None]


def side_by_side(left: Iterator[Item], right: Iterator[Item]) -> Iterator[Pair]:
    """Items of both with one id together; None where one side has none. Both come in the order of their ids.

    Neither is read further than the other: what is written meanwhile at the ids that both have passed is not seen.
    """
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.id < other.id):
            yield one, None
            one = next(left, None)
        elif one is None or other.id < one.id:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)
