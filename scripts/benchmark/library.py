"""The service's own parts without HTTP: the one place of the benchmark that knows how they are put together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.codes import Codes
from scripts.benchmark.codes import item_id
from scripts.benchmark.plan import K
from scripts.benchmark.verify import Found
from service.coding.hashers import Hashers
from service.collections.collections import Collections, NewCollection
from service.items import Item, Query, Wanted
from service.opening import opened as opened_database
from service.settings import Settings

BATCH = 10_000


@contextmanager
def opened(data: Path) -> Iterator[Collections]:
    """The collections of a data folder, in this process; others may serve the same folder meanwhile."""
    data.mkdir(parents=True, exist_ok=True)
    settings = Settings(data=data)
    with opened_database(settings.database, Hashers(data / "hashers"), threads=settings.threads) as parts:
        yield parts.collections


def create(collections: Collections, name: str, bits: int) -> None:
    """Create a collection for codes, to be searched exactly."""
    collections.create(name, NewCollection(bits=bits))


def fill(collections: Collections, name: str, codes: Codes) -> None:
    """Index codes (n, bits / 8) as `item-0` and so on."""
    width, digits = codes.shape[1] * 2, codes.tobytes().hex()
    for start in range(0, len(codes), BATCH):
        places = range(start, min(start + BATCH, len(codes)))
        collections.upsert(
            name, [Item(item_id(place), "code", digits[place * width : (place + 1) * width]) for place in places]
        )


def search(collections: Collections, name: str, code: str) -> Found:
    """Ids and distances of the nearest to one code in hex."""
    (found,) = collections.search(name, [Query("code", code)], Wanted(K)).results
    return [(match.id, match.distance) for match in found]
