"""Re-coding over HTTP: new codes equal brute force, writes go to both, and it can be rolled back."""

import base64
import io
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from service.coding import kept_features
from service.settings import Settings
from service.store.schema import KeepFeatures
from service.store.snapshots import restore
from tests.recoding.calls import (
    assert_distances,
    assert_searched,
    codes,
    create,
    ended,
    hasher,
    over,
    recode,
    stored,
    vectors,
    write,
)
from tests.serving import client_of

QUERY = {"vector": [0.5] * 12}


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches so small that much can be done while a collection is coded anew."""
    monkeypatch.setattr("service.background.recoding.BATCH_ITEMS", 10)


def test_all_codes_are_the_new_ones_after_it(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "whole"), vectors(0, 1200)
    write(client, path, documents)
    job = over(client, recode(client, path, "vectors@3")["id"])
    assert (job["state"], job["done"], job["total"], job["errors"]["count"]) == ("succeeded", 1200, 1200, 0)
    assert (job["kind"], job["collection"], job["about"]) == ("recode", "whole", "from vectors@1 to vectors@3")
    assert job["rate"] > 0 and job["created"] <= job["started"] <= job["ended"]
    told = client.get(path).json()
    assert (told["hasher"], told["bits"], told["count"]) == ("vectors@3", 128, 1200)
    expected = codes(versions, "vectors@3", documents)
    assert_searched(client, path, "vectors@3", expected, QUERY)
    state = {"collection": "whole", "old": "vectors@1", "new": "vectors@3", "stage": "switched", "switch": "automatic"}
    assert client.get(f"{path}/recode").json() == {**state, "job": job["id"]}
    discarded = ended(client, path, "finish")
    assert (discarded["kind"], discarded["state"], discarded["done"]) == ("discard", "succeeded", 1200)
    assert stored(client, path) == expected
    assert client.get(f"{path}/recode").status_code == 404
    # It can be done again, and back.
    over(client, recode(client, path, "vectors@1")["id"])
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)


def test_texts_and_images_are_coded_anew_from_what_is_kept_of_them(client: httpx.Client, versions: Path) -> None:
    texts = {f"t{n}": f"sort the list number {n} of é words" for n in range(30)}
    path = create(client, "texts", "pydocs@1")
    write(client, path, texts, "text")
    over(client, recode(client, path, "pydocs@2")["id"])
    assert_searched(client, path, "pydocs@2", codes(versions, "pydocs@2", texts), {"text": "a list"})
    images = {}
    for number in range(10):
        content = io.BytesIO()
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (9, 7), np.uint8)).save(content, "PNG")
        images[f"p{number}"] = content.getvalue()
    path = create(client, "images", "digits@1")
    write(client, path, {each: base64.b64encode(content).decode() for each, content in images.items()}, "image")
    over(client, recode(client, path, "digits@2")["id"])
    assert stored(client, path) == codes(versions, "digits@2", images)


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_kept_features_are_coded_anew_as_they_were_kept(
    client: httpx.Client, versions: Path, keep: KeepFeatures
) -> None:
    path, documents = create(client, f"kept-{keep}", keep_documents=False, keep_features=keep), vectors(1, 300)
    write(client, path, documents)
    before = client.get(f"{path}/items/v00007", params={"with": "features"}).json()
    over(client, recode(client, path, "vectors@2")["id"])
    found, loaded = stored(client, path), hasher(versions / "vectors@2")
    rows = {each: loaded.features.row(vector) for each, vector in documents.items()}
    packed = {each: kept_features.pack(row, keep) or b"" for each, row in rows.items()}
    kept = {each: kept_features.unpack(content, keep).tolist() for each, content in packed.items()}
    assert found == codes(versions, "vectors@2", kept)
    # Of the documents themselves a few bits are others.
    exact = codes(versions, "vectors@2", documents)
    differing = sum((int(found[each], 16) ^ int(exact[each], 16)).bit_count() for each in documents)
    assert differing <= (0.0005 if keep == "float16" else 0.01) * 64 * 300
    after = client.get(f"{path}/items/v00007", params={"with": "features"}).json()
    assert after == before | {"hasher": "vectors@2"}
    ranked = client.post(f"{path}/search", json={"query": QUERY, "rank": "rescored", "limit": 300}).json()["results"]
    apart = {each: np.linalg.norm(np.array(row) - 0.5) for each, row in kept.items()}
    assert [match["id"] for match in ranked] == sorted(apart, key=lambda each: (apart[each], each))


def test_documents_are_preferred_where_features_are_kept_too(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "both", keep_features="int8"), vectors(2, 100)
    write(client, path, documents)
    # Of other features: these are kept of the new hasher from then on.
    over(client, recode(client, path, "vectors@4")["id"])
    assert stored(client, path) == codes(versions, "vectors@4", documents)
    kept = client.get(f"{path}/items/v00000", params={"with": "features"}).json()["features"]
    assert abs(np.linalg.norm(kept) - 1) < 0.02


@pytest.mark.usefixtures("slowly")
def test_no_answer_mixes_hashers_and_no_write_is_lost_while_it_goes_on(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "busy"), vectors(3, 1500)
    write(client, path, documents)
    query = {name: client.post("/v1/encode", json={"hasher": name, "inputs": [QUERY]}).json()["codes"][0]
             for name in ("vectors@1", "vectors@3")}  # fmt: skip
    done, seen, failed = threading.Event(), [], []

    def search() -> None:
        try:
            with client_of(client.base_url, timeout=60) as mine:
                while not done.is_set():
                    body = {"query": QUERY, "limit": 300, "with": ["code", "payload"]}
                    reply = mine.post(f"{path}/search", json=body).json()
                    (length,) = {len(match["code"]) for match in reply["results"]}
                    assert length == (16 if reply["hasher"] == "vectors@1" else 32)
                    assert len(reply["results"]) == 300
                    assert_distances(reply["results"], query[reply["hasher"]])
                    seen.append(reply["hasher"])
        except BaseException as error:
            failed.append(error)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for each in searchers:
        each.start()
    job = recode(client, path, "vectors@3")["id"]
    overlapping, turn = 0, 0
    while client.get(f"/v1/jobs/{job}").json()["state"] in ("queued", "running"):
        ids = list(documents)[turn * 37 % 1400 :][:3]
        changed = dict(zip(ids, vectors(1000 + turn, 3).values(), strict=True)) | {f"new{turn}": [float(turn + 1)] * 12}
        write(client, path, changed)
        documents |= changed
        gone = list(documents)[turn * 53 % 1400]
        client.delete(f"{path}/items/{gone}").raise_for_status()
        del documents[gone]
        turn, overlapping = turn + 1, overlapping + 1
    for _ in range(3):
        done.wait(0.05)
    done.set()
    for each in searchers:
        each.join()
    if failed:
        raise failed[0]
    assert overlapping > 3 and set(seen) == {"vectors@1", "vectors@3"}
    # Once switched, it stays.
    assert seen.index("vectors@3") > 0
    assert_searched(client, path, "vectors@3", codes(versions, "vectors@3", documents), QUERY)
    ended(client, path, "rollback")
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)


def test_a_manual_switch_waits_and_a_rollback_loses_no_write(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "manual"), vectors(4, 200)
    write(client, path, documents)
    assert over(client, recode(client, path, "vectors@2", switch="manual")["id"])["state"] == "succeeded"
    assert client.get(f"{path}/recode").json()["stage"] == "ready"
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)
    reply = client.post(f"{path}/recode/finish")
    assert (reply.status_code, "switched, got one that is ready" in reply.json()["detail"]) == (409, True)
    assert client.post(f"{path}/recode/switch").json()["stage"] == "switched"
    reply = client.post(f"{path}/recode/switch", json={})
    assert (reply.status_code, "ready, got one that is switched" in reply.json()["detail"]) == (409, True)
    more = vectors(5, 50)
    write(client, path, more)
    documents |= more
    for each in ("v00060", "v00061"):
        del documents[each]
    assert client.post(f"{path}/delete", json={"ids": ["v00060"]}).json() == {"deleted": 1}
    assert client.post(f"{path}/delete", json={"filter": {"of": "v00061"}}).json() == {"deleted": 1}
    assert_searched(client, path, "vectors@2", codes(versions, "vectors@2", documents), QUERY)
    assert ended(client, path, "rollback")["done"] == len(documents)
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)
    assert client.post(f"{path}/recode/rollback").status_code == 404


def test_another_index_is_one_of_both_halves(client: httpx.Client) -> None:
    path = create(client, "lists")
    over(client, recode(client, path, "vectors@2")["id"])
    assert client.patch(path, json={"index": {"kind": "ivf"}}).json()["hasher"] == "vectors@2"
    ended(client, path, "rollback")
    assert client.get(path).json()["index"] == {"kind": "ivf"}


def test_items_that_the_new_hasher_refuses(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "refused"), vectors(6, 20)
    zeros = {"z1": [0.0] * 12, "z2": [0.0] * 12}
    write(client, path, documents | zeros)
    job = over(client, recode(client, path, "vectors@4")["id"])
    assert (job["state"], job["errors"]["count"]) == ("failed", 2)
    assert job["detail"].startswith("not switched: 2 items are refused by the new hasher")
    told = {"id": "z1", "line": None, "detail": "expected a vector with a direction, got all zeros"}
    assert job["errors"]["first"] == [told, {**told, "id": "z2"}]
    both = documents | zeros
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", both), QUERY)
    # An item has to be usable by both, all the way.
    reply = client.post(f"{path}/index", json={"items": [{"id": "z3", "vector": [0.0] * 12}]})
    assert reply.status_code == 422
    assert "usable by vectors@4, too, as 'refused' is being re-coded" in reply.json()["detail"]
    lines = '{"id": "z4", "vector": [0,0,0,0,0,0,0,0,0,0,0,0]}\n{"id": "a", "vector": [1,0,0,0,0,0,0,0,0,0,0,0]}'
    reply = client.post(f"{path}/index", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert (reply.json()["indexed"], reply.json()["rejected"][0]["line"]) == (1, 1)
    documents["a"] = [1.0] + [0.0] * 11
    reply = client.post(f"{path}/recode/switch")
    assert (reply.status_code, "2 items are refused" in reply.json()["detail"]) == (409, True)
    # One is written anew, the other left behind.
    documents["z1"] = [1.0] * 12
    write(client, path, {"z1": documents["z1"]})
    assert client.post(f"{path}/recode/switch", json={"without_refused": True}).json()["stage"] == "switched"
    assert_searched(client, path, "vectors@4", codes(versions, "vectors@4", documents), QUERY)
    ended(client, path, "rollback")
    assert stored(client, path) == codes(versions, "vectors@1", documents | {"z2": zeros["z2"]})


@pytest.mark.usefixtures("slowly")
def test_a_job_that_is_cancelled_leaves_nothing(client: httpx.Client, versions: Path) -> None:
    path, documents = create(client, "cancelled"), vectors(7, 1500)
    write(client, path, documents)
    job = recode(client, path, "vectors@2")["id"]
    reply = client.post(f"/v1/jobs/{job}/cancel")
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled"), reply.text
    (discarding,) = client.get("/v1/jobs", params={"collection": "cancelled"}).json()["jobs"][:-1]
    swept = over(client, discarding["id"])
    assert swept["kind"] == "discard" and swept["done"] == swept["total"] < 1500
    assert client.get(f"{path}/recode").status_code == 404
    assert_searched(client, path, "vectors@1", codes(versions, "vectors@1", documents), QUERY)
    for number in (job, discarding["id"]):
        reply = client.post(f"/v1/jobs/{number}/cancel")
        assert (reply.status_code, reply.json()["detail"]) == (409, f"expected a job that is not over, job {number} is")
    write(client, path, {"v00000": [0.25] * 12})


def test_the_other_half_is_seen_nowhere(
    client: httpx.Client, settings: Settings, versions: Path, tmp_path: Path
) -> None:
    path, documents = create(client, "seen"), vectors(8, 40)
    write(client, path, documents)
    before = client.get("/v1/collections").json()["collections"]
    over(client, recode(client, path, "vectors@2", switch="manual")["id"])
    assert client.get("/v1/collections").json()["collections"] == before
    metrics = client.get("/metrics").text
    assert metrics.count("hammingway_items{") == len(before)
    assert 'hammingway_jobs{state="succeeded"}' in metrics
    # A snapshot is of what is searched, alone, and one that is restored is not being re-coded.
    for switched, reference in ((False, "vectors@1"), (True, "vectors@2")):
        if switched:
            client.post(f"{path}/recode/switch").raise_for_status()
        taken = client.post(f"{path}/snapshots").json()
        assert taken["items"] == 40
        name = f"seen-{reference.replace('@', '-')}"
        assert restore(settings.snapshots / taken["snapshot"], settings.database, name) == (name, 40)
        restored = f"/v1/collections/{name}"
        assert_searched(client, restored, reference, codes(versions, reference, documents), QUERY)
        assert client.get(f"{restored}/recode").status_code == 404
        # Its documents are with it.
        over(client, recode(client, restored, "vectors@3")["id"])
        assert stored(client, restored) == codes(versions, "vectors@3", documents)


def test_a_collection_that_is_deleted_meanwhile_is_gone_with_both_halves(client: httpx.Client) -> None:
    path = create(client, "deleted")
    write(client, path, vectors(9, 30))
    over(client, recode(client, path, "vectors@2")["id"])
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == client.get(f"{path}/recode").status_code == 404
    path = create(client, "deleted")
    assert client.get(path).json()["count"] == 0
    assert client.get(f"{path}/recode").status_code == 404


WRONG = [
    ("own", {"hasher": "vectors@1"}, 409, "expected a collection with a hasher, the items of 'own' bring"),
    ("plain", {"hasher": "vectors@2"}, 409, "expected a collection that keeps documents, or features"),
    ("docs", {"hasher": "vectors@1"}, 409, "expected another hasher than the one that codes 'docs', got vectors@1"),
    ("docs", {"hasher": "pydocs"}, 409, "expected a hasher of vector, as the documents of 'docs' are, got pydocs@2"),
    ("docs", {"hasher": "nope"}, 404, "expected one of the hashers there are"),
    ("docs", {"hasher": "../vectors@1"}, 404, "expected one of the hashers there are"),
    ("docs", {}, 422, "hasher: "),
    ("docs", {"hasher": "vectors@2", "switch": "later"}, 422, "switch: expected "),
    ("docs", {"hasher": "vectors@2", "force": True}, 422, "force: "),
    ("features", {"hasher": "vectors@4"}, 409, "expected a hasher of the very features that 'features' keeps"),
    ("features", {"hasher": "digits@1"}, 409, "expected a hasher of the very features that 'features' keeps"),
    ("nope", {"hasher": "vectors@2"}, 404, "expected the name of a collection that is there, got 'nope'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "status", "detail"), WRONG)
def test_what_cannot_be_re_coded(client: httpx.Client, name: str, body: object, status: int, detail: str) -> None:
    client.put("/v1/collections/own", json={"bits": 64})
    client.put("/v1/collections/plain", json={"hasher": "vectors@1"})
    client.put("/v1/collections/docs", json={"hasher": "vectors@1", "keep_documents": True})
    client.put("/v1/collections/features", json={"hasher": "vectors@1", "keep_features": "int8"})
    before = client.get("/v1/jobs").json()
    reply = client.post(f"/v1/collections/{name}/recode", json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), reply.text
    assert reply.json()["detail"].startswith(detail), reply.json()["detail"]
    assert client.get("/v1/jobs").json() == before


def test_one_at_a_time_of_a_collection(client: httpx.Client) -> None:
    path = create(client, "once")
    job = over(client, recode(client, path, "vectors@2")["id"])
    assert (job["state"], job["total"], job["rate"]) == ("succeeded", 0, None)
    reply = client.post(f"{path}/recode", json={"hasher": "vectors@3"})
    assert reply.status_code == 409
    assert reply.json()["detail"] == "expected 'once' not to be under re-coding, it is: finish it or roll it back first"


def test_collections_with_kept_documents(client: httpx.Client) -> None:
    path = create(client, "keeping")
    assert client.get(path).json()["keep_documents"] is True
    assert client.put(path, json={"hasher": "vectors@1", "keep_documents": True}).status_code == 200
    assert client.put(path, json={"hasher": "vectors@1"}).status_code == 200
    reply = client.put(path, json={"hasher": "vectors@1", "keep_documents": False})
    assert reply.status_code == 409 and "keep_documents" in reply.json()["detail"]
    reply = client.put("/v1/collections/keeping-none", json={"bits": 8, "keep_documents": True})
    assert reply.status_code == 422 and reply.json()["errors"][0]["where"] == "keep_documents"
    reply = client.post(f"{path}/index", json={"items": [{"id": "a", "code": "00" * 8}]})
    assert reply.status_code == 422
    assert "expected a document, as the collection keeps documents, got code" in reply.json()["detail"]


def test_jobs_that_are_not_there_and_filters(client: httpx.Client) -> None:
    path = create(client, "filtered")
    first = over(client, recode(client, path, "vectors@2")["id"])
    second = ended(client, path, "finish")
    of = {"collection": "filtered"}
    assert client.get("/v1/jobs", params=of).json()["jobs"] == [second, first]
    every = client.get("/v1/jobs", params=of | {"state": ["failed", "succeeded"]}).json()["jobs"]
    assert every == [second, first]
    assert client.get("/v1/jobs", params=of | {"state": "failed"}).json() == {"jobs": []}
    for path, status in (("999", 404), ("nope", 422), ("0", 422), (str(2**64), 422), ("999/cancel", 404)):
        reply = client.post(f"/v1/jobs/{path}") if "/" in path else client.get(f"/v1/jobs/{path}")
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    reply = client.get("/v1/jobs", params={"state": "nope"})
    assert reply.status_code == 422 and "succeeded" in reply.json()["detail"]
