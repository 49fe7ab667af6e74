"""No figure without a right answer: distances are recomputed, exact answers compared with brute force."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.codes import Codes, hamming
from models.errors import HammingwayError
from scripts.benchmark.codes import item_id, place_of
from scripts.benchmark.load import Load
from scripts.benchmark.plan import K

Found = Sequence[tuple[str, int]]


class WrongAnswerError(HammingwayError):
    """Something that was measured gave a wrong answer: its time says nothing."""

    title = "Wrong answer"


def require(right: bool, what: str) -> None:
    """Raise WrongAnswerError unless `right`."""
    if not right:
        raise WrongAnswerError(what)


def matches(results: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """Ids and distances of the `results` of a reply."""
    return [(match["id"], match["distance"]) for match in results]


def replies(seen: Load) -> Iterator[tuple[int, Any]]:
    """Place of the request and `results` of each reply under load; raises WrongAnswerError where one was wrong."""
    require(not seen.failed, f"expected replies of success under load, got {seen.failed[:1]}")
    require(seen.changed == 0, f"expected the same reply to the same search, {seen.changed} differed")
    require(bool(seen.bodies), "expected replies under load, got none")
    for place, body in seen.bodies.items():
        yield place, orjson.loads(body)["results"]


def check_distances(items: Codes, query: Codes, places: Sequence[int], distances: Sequence[float], who: str) -> None:
    """Raise WrongAnswerError unless each distance is that of the item at its place, and no item comes twice."""
    chosen = np.asarray(places, np.intp)
    require(len(np.unique(chosen)) == len(chosen), f"expected each item once from {who}, got places {list(places)}")
    true = hamming(query[None], items[chosen])[0].tolist()
    require(true == list(distances), f"expected distances {true} from {who}, got {list(distances)}")


def check_exact(items: Codes, query: Codes, found: Found, true: NDArray[np.int32], who: str) -> None:
    """Raise WrongAnswerError unless what was found is right, as near as the truth, and in the order (distance, id)."""
    distances = [distance for _, distance in found]
    check_distances(items, query, [place_of(item) for item, _ in found], distances, who)
    require(distances == true.tolist(), f"expected distances {true.tolist()} from {who}, got {distances}")
    order = [(distance, item) for item, distance in found]
    require(order == sorted(order), f"expected the order (distance, id) from {who}, got {order}")


def check_brute_force(items: Codes, query: Codes, found: Found, who: str, without: Sequence[int] = ()) -> None:
    """Raise WrongAnswerError unless it is what a look at every item gives, ties cut by id; `without` were deleted."""
    distances = hamming(query[None], items)[0]
    distances[list(without)] = np.iinfo(np.int32).max
    last = np.partition(distances, K - 1)[K - 1]
    near = np.flatnonzero(distances <= last)
    expected = sorted((int(distances[place]), item_id(int(place))) for place in near)[:K]
    got = [(distance, item) for item, distance in found]
    require(got == expected, f"expected {expected} from {who}, got {got}")


def check_approximate(items: Codes, query: Codes, found: Found, who: str) -> None:
    """Raise WrongAnswerError unless there are K items, each once, at the distances that they have."""
    require(len(found) == K, f"expected {K} items from {who}, got {len(found)}")
    places, distances = [place_of(item) for item, _ in found], [distance for _, distance in found]
    check_distances(items, query, places, distances, who)


def recall(distances: Sequence[float], tenth: float) -> float:
    """Recall@10 of one query: the share of K places that hold an item as near as the true tenth, or nearer."""
    return sum(distance <= tenth for distance in distances) / K
