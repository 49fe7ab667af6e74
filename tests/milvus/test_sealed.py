"""IVF where Milvus's index is what searches, of sealed segments: growing ones are searched code by code."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from scripts.milvus.sealing import seal
from service.milvus.address import Address
from tests.milvus.server import MilvusServer
from tests.milvus.stores import done, index, nearest, put, search, serving

ITEMS, BITS, CENTRES = 6000, 128, 60
LISTS = 128
LIMIT = 10


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    """Clusters of a hundred codes, of which a tenth of the bits are flipped."""
    rng = np.random.default_rng(2)
    centres = rng.integers(0, 256, (CENTRES, BITS // 8), np.uint8)
    codes = centres[np.arange(ITEMS) % CENTRES] ^ np.packbits(rng.random((ITEMS, BITS)) < 0.1, axis=1)
    return [
        {"id": f"i{place}", "code": code.tobytes().hex(), "payload": {"n": place}} for place, code in enumerate(codes)
    ]


@pytest.fixture(scope="module")
def client(
    milvus: MilvusServer, items: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A service over a collection whose items are all in sealed segments with an index."""
    with serving("milvus", tmp_path_factory.mktemp("sealed"), milvus) as client:
        put(client, "sealed", bits=BITS, index={"kind": "ivf", "lists": LISTS})
        for start in range(0, ITEMS, 1000):
            index(client, "sealed", items[start : start + 1000])
        seal(Address(milvus.uri.replace("http://", "milvus://")), "sealed", ITEMS)
        yield client


def test_the_more_lists_the_more_of_the_nearest_and_all_lists_find_all(
    client: httpx.Client, items: list[dict[str, Any]]
) -> None:
    recalls = []
    for probes in (1, 16):
        given = {"kind": "ivf", "lists": LISTS, "probes": probes}
        assert done(client.patch("/v1/collections/sealed", json={"index": given}))["index"] == given
        shares = []
        for item in items[:: ITEMS // 100]:
            code, exact = item["code"], nearest(items, item["code"], LIMIT)
            assert search(client, "sealed", code, limit=LIMIT, exact=True) == exact
            found = search(client, "sealed", code, limit=LIMIT)
            assert len(found) == LIMIT and set(found) <= set(nearest(items, code, ITEMS))
            shares.append(sum(distance <= exact[-1][1] for _, distance in found) / LIMIT)
        recalls.append(np.mean(shares))
    # Were it not the index that searches, all would be found.
    assert 0.2 < recalls[0] < 0.99 and recalls[0] < recalls[1]


def test_filters_and_distances_are_exact(client: httpx.Client, items: list[dict[str, Any]]) -> None:
    code = items[17]["code"]
    through = [each for each in items if each["payload"]["n"] < 3000]
    assert search(client, "sealed", code, limit=50, filter={"n": {"lt": 3000}}) == nearest(through, code, 50)
    within = search(client, "sealed", code, limit=200, max_distance=30, exact=True)
    assert within == nearest(items, code, 200, 30) and 50 < len(within) < 200


def test_what_is_written_and_deleted_after_is_seen_at_once(client: httpx.Client, items: list[dict[str, Any]]) -> None:
    code = items[5]["code"]
    first, second, *_ = nearest(items, code, 2)
    assert done(client.delete(f"/v1/collections/sealed/items/{first[0]}")) == {"deleted": 1}
    index(client, "sealed", [{"id": second[0], "code": "f" * (BITS // 4)}, {"id": "new", "code": code}])
    left = [each for each in items if each["id"] not in (first[0], second[0])]
    left += [{"id": second[0], "code": "f" * (BITS // 4)}, {"id": "new", "code": code}]
    assert search(client, "sealed", code, limit=LIMIT, exact=True) == nearest(left, code, LIMIT)
    assert search(client, "sealed", code, limit=1) == [("new", 0)]
