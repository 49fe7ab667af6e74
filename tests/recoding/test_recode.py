"""Re-coding over HTTP: new codes equal brute force, writes go to both, and it can be rolled back."""

from pathlib import Path

import httpx

from tests.recoding.calls import assert_searched, codes, create, ended, over, recode, stored, vectors, write

QUERY = {"vector": [0.5] * 12}


def test_all_codes_are_the_new_ones_after_it(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "whole"), vectors(0, 1200)
    write(client, path, documents)
    job = over(client, recode(client, path, "vectors@3")["id"])
    assert (job["state"], job["done"], job["total"], job["errors"]["count"]) == ("succeeded", 1200, 1200, 0)
    assert job["rate"] > 0 and job["created"] <= job["started"] <= job["ended"]
    told = client.get(path).json()
    assert (told["hasher"], told["bits"], told["count"]) == ("vectors@3", 128, 1200)
    assert_searched(client, path, "vectors@3", codes(versions, "vectors@3", documents), QUERY)
    assert client.get(f"{path}/recode").json()["stage"] == "switched"
    assert ended(client, path, "finish")["state"] == "succeeded"
    assert stored(client, path) == codes(versions, "vectors@3", documents)
    assert client.get(f"{path}/recode").status_code == 404
