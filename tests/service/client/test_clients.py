"""Every call of both clients against the service itself."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from service.client import (
    Collection,
    Duplicate,
    Group,
    Index,
    Indexed,
    IndexStats,
    Item,
    Match,
    Rejected,
    ServiceError,
)
from tests.conftest import DIMENSION


@pytest.fixture
def name(client: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A collection of 16 bits with `a` 0000, `b` 0001, `c` 0003, `d/e` ffff; gone afterwards."""
    client.create_collection("things", bits=16)
    codes = {"a": "0000", "b": "0001", "c": "0003", "d/e": "ffff"}
    items = [{"id": each, "code": code, "payload": {"n": place}} for place, (each, code) in enumerate(codes.items())]
    assert client.index("things", items) == 4
    yield "things"
    client.delete_collection("things")


def test_collections_come_and_go(client: Any) -> None:
    created = client.create_collection("mine", bits=16, index={"kind": "ivf"})
    assert created == Collection("mine", 16, None, 0, Index("ivf"), "none")
    assert client.create_collection("mine", bits=16) == created
    assert client.change_collection("mine", index={"kind": "auto", "above": 5000}).index == Index("auto", above=5000)
    assert client.stats("mine").index == IndexStats("auto", "exact", above=5000)
    assert client.change_collection("mine", index={"kind": "flat"}).index == Index("flat")
    assert client.collection("mine") in client.collections()
    client.delete_collection("mine")
    with pytest.raises(ServiceError, match="expected the name of a collection that is there, got 'mine'") as caught:
        client.delete_collection("mine")
    assert caught.value.status == 404


def test_a_search_gives_typed_matches(client: Any, name: str) -> None:
    found = client.search(name, {"code": "0001"}, limit=2, max_distance=1, filter={"n": {"lt": 3}}, exact=True)
    assert found == [Match("b", 0, 1.0, {"n": 1}), Match("a", 1, 0.9375, {"n": 0})]
    many = client.search_many(name, [{"id": "a"}, {"id": "d/e"}], limit=1, with_=["code"])
    assert many == [[Match("b", 1, 0.9375, code="0001")], [Match("c", 14, 0.125, code="0003")]]
    assert client.search_many(name, [], limit=1) == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_sent(client: Any, name: str, number: float) -> None:
    """JSON has no word for it, and orjson says null: the service would tell of something that nobody gave it."""
    row = np.ones(DIMENSION, np.float32)
    row[3] = number
    for vector in (row, row.astype(np.float64), row.tolist(), tuple(row.tolist())):
        with pytest.raises(InvalidInputError, match=f"items/1/vector/3: expected a finite number, got {number}"):
            client.index(name, [{"id": "e", "code": "0000", "payload": {"n": None}}, {"id": "f", "vector": vector}])
        with pytest.raises(InvalidInputError, match="query/vector/3: expected a finite number"):
            client.search(name, {"vector": vector})
    with pytest.raises(InvalidInputError, match=f"payload/n: expected a finite number, got {number}"):
        client.index(name, [{"id": "f", "code": "0000", "payload": {"n": number}}])
    # None is what JSON calls null.
    assert client.index(name, [{"id": "e", "code": "0000", "payload": {"n": None}}]) == 1
    assert client.item(name, "e").payload == {"n": None}


def test_compare_says_which_bits_differ(client: Any, name: str) -> None:
    compared = client.compare(name, {"id": "a"}, {"code": "0300"})
    assert (compared.distance, compared.differing, compared.a.code, compared.hasher) == (2, [0, 1], "0000", None)


def test_duplicates_come_in_groups(client: Any, name: str) -> None:
    groups = [Group(1, [Duplicate("a", None, 0), Duplicate("b", "a", 1), Duplicate("c", "b", 1)])]
    assert list(client.duplicates(name, 1)) == groups
    assert list(client.duplicates(name, 1, after="a")) == []
    with pytest.raises(ServiceError, match="max_distance") as caught:
        next(client.duplicates(name, -1))
    assert caught.value.status == 422


def test_items_by_id_by_page_and_all(client: Any, name: str) -> None:
    assert client.item(name, "d/e") == Item("d/e", "ffff", {"n": 3})
    assert client.item(name, "b", with_=["payload"]) == Item("b", None, {"n": 1})
    page = client.page(name, limit=3)
    assert ([item.id for item in page.items], page.cursor is None) == (["a", "b", "c"], False)
    assert [item.id for item in client.page(name, limit=3, cursor=page.cursor).items] == ["d/e"]
    everything = [Item("a", "0000"), Item("b", "0001"), Item("c", "0003"), Item("d/e", "ffff")]
    for size in (1, 2, 3, 4, None):
        assert list(client.items(name, page_size=size, with_=["code"])) == everything
    assert [item.id for item in client.items(name, filter={"n": {"gte": 2}}, page_size=1)] == ["c", "d/e"]


def test_items_are_deleted_by_id_and_by_filter(client: Any, name: str) -> None:
    client.delete_item(name, "d/e")
    with pytest.raises(ServiceError) as caught:
        client.delete_item(name, "d/e")
    assert caught.value.status == 404
    assert client.delete(name, ids=["a", "nope"]) == 1
    assert client.delete(name, filter={"n": 2}) == 1
    assert [item.id for item in client.items(name)] == ["b"]


def test_names_that_lead_elsewhere_are_not_sent(client: Any, name: str) -> None:
    for wrong in ("", ".", ".."):
        for call in (lambda: client.delete_item(name, wrong), lambda: client.delete_collection(wrong)):  # noqa: B023
            with pytest.raises(InvalidInputError, match="expected a name or an id other than nothing"):
                call()
    assert client.collection(name).count == 4


def test_an_import_of_any_length_is_numbered_as_a_whole(client: Any, name: str) -> None:
    def lines() -> Iterator[Any]:
        for number in range(2500):
            if number in (3, 1700):
                yield b"{"
            elif number % 2:
                yield b'{"id": "%d", "code": "%04x"}\r\n' % (number, number)
            else:
                yield {"id": str(number), "code": f"{number:04x}"}

    told: list[Indexed] = []
    outcome = client.index_lines(name, lines(), progress=told.append)
    assert (outcome.indexed, outcome.lines, [each.line for each in outcome.rejected]) == (2498, 2500, [4, 1701])
    assert outcome.rejected[0].detail.startswith("expected JSON: ")
    assert [(each.lines, each.indexed) for each in told] == [(1000, 999), (2000, 1998), (2500, 2498)]
    assert client.collection(name).count == 4 + 2498
    assert client.item(name, "2499").code == "09c3"


def test_lines_that_are_all_bad_are_no_error(client: Any, name: str) -> None:
    outcome = client.index_lines(name, [b"[]", b"", b'{"id": "x", "code": "0"}'])
    assert outcome == Indexed(
        0,
        [
            Rejected(1, "expected a JSON object, got a list"),
            Rejected(3, "expected a code of 4 hex digits, got 1: '0'"),
        ],
        3,
    )
    assert client.index_lines(name, []) == Indexed(0)


def test_a_line_is_one_line(client: Any, name: str) -> None:
    with pytest.raises(InvalidInputError, match="expected one line, got several"):
        client.index_lines(name, [b"{}\n{}"])


def test_an_import_that_is_stopped_says_what_was_indexed_before(client: Any, name: str, plain: httpx.Client) -> None:
    def lines() -> Iterator[Any]:
        yield b"[]"
        for number in range(1999):
            yield {"id": str(number), "code": "0000"}
        plain.delete(f"/v1/collections/{name}")
        yield b"{}"

    with pytest.raises(ServiceError, match="expected the name of a collection that is there") as caught:
        client.index_lines(name, lines())
    assert (caught.value.status, caught.value.indexed) == (404, 1999)
    assert caught.value.rejected == [Rejected(1, "expected a JSON object, got a list")]
    client.create_collection(name, bits=16)


def test_all_of_an_index_call_or_none(client: Any, name: str) -> None:
    with pytest.raises(ServiceError, match="nothing was indexed: items/1/code: ") as caught:
        client.index(name, [{"id": "x", "code": "0000"}, {"id": "y", "code": "00"}])
    assert (caught.value.status, [fault["where"] for fault in caught.value.faults]) == (422, ["items/1/code"])
    assert client.collection(name).count == 4


def test_documents_may_be_bytes_and_arrays(client: Any) -> None:
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)).save(png, "PNG")
    client.create_collection("pictures", hasher="digits")
    assert client.index("pictures", [{"id": "p", "image": png.getvalue()}]) == 1
    assert client.index_lines("pictures", [{"id": "q", "image": png.getvalue()}]).indexed == 1
    found = client.search("pictures", {"image": png.getvalue()}, rank="asymmetric", candidates=5, limit=5)
    assert [(match.id, match.distance, match.score) for match in found] == [("p", 0, 0.0), ("q", 0, 0.0)]
    client.delete_collection("pictures")
    vector = np.linspace(-1, 1, DIMENSION, dtype=np.float32)
    one, other = (client.encode("vectors", [{"vector": given}]) for given in (vector, vector.tolist()))
    assert one == other
    with pytest.raises(InvalidInputError, match="expected what JSON can say"):
        client.search("pictures", {"vector": {1, 2}})


def test_codes_there_and_back(client: Any) -> None:
    vector = [0.5] * DIMENSION
    encoded = client.encode("vectors", [{"vector": vector}], format="bits", logits=True)
    assert (encoded.hasher, encoded.bits, len(encoded.codes[0])) == ("vectors@1", 64, 64)
    assert encoded.logits is not None
    assert encoded.codes[0] == "".join("1" if logit > 0 else "0" for logit in encoded.logits[0])
    decoded = client.decode("vectors", encoded.codes, format="bits")
    assert decoded.hasher == "vectors@1"
    assert len(decoded.documents[0].vector or ()) == DIMENSION


def test_models_stats_version_and_readiness(client: Any, name: str, plain: httpx.Client) -> None:
    listed = {model.reference: model for model in client.models()}
    assert (listed["pydocs@1"].modality, listed["pydocs@1"].bits, listed["pydocs@1"].served) == ("text", 64, True)
    assert client.model("pydocs")["bits"] == 64
    stats = client.stats(name)
    assert (stats.name, stats.count, stats.index.kind, stats.index.state) == (name, 4, "flat", "exact")
    # Of 0000, 0001, 0003 and ffff: bit j is bit j % 8 of byte j // 8, the bytes in their order.
    codes = client.stats(name, codes=True).codes
    assert codes.share_of_ones == [0.25] * 8 + [0.75, 0.5] + [0.25] * 6
    assert (codes.distinct, sum(codes.pairs.counts)) == (4, codes.pairs.sample)
    drift = client.drift(name, items=10)
    assert (drift.drifting, drift.hasher, drift.bits) == (None, None, None)
    assert client.version().version == plain.get("/version").json()["version"]
    assert client.ready()


def test_a_snapshot_is_of_all_items(client: Any, name: str) -> None:
    taken = client.snapshot(name)
    assert taken.items == 4
    assert taken.snapshot.startswith("things-")
    assert len(taken.sha256) == 64


def test_large_bodies_are_compressed_where_that_is_asked_for(make: Any, name: str, plain: httpx.Client) -> None:
    sent: list[httpx.Headers] = []
    compressing = make(str(plain.base_url), compress=True)
    http = getattr(compressing, "_client", compressing)._http
    http.event_hooks = {"request": [_noting(sent, type(http) is httpx.AsyncClient)]}
    lines = [{"id": f"z{number}", "code": f"{number:04x}"} for number in range(1500)]
    assert compressing.index_lines(name, lines) == Indexed(1500, [], 1500)
    assert compressing.item(name, "z1499").code == "05db"
    # A thousand lines, the 500 that are left, and no body.
    assert [headers.get("Content-Encoding") for headers in sent] == ["gzip", None, None]


def _noting(sent: list[httpx.Headers], asynchronous: bool) -> Any:
    def note(request: httpx.Request) -> None:
        sent.append(request.headers)

    async def note_asynchronously(request: httpx.Request) -> None:
        note(request)

    return note_asynchronously if asynchronous else note


def test_documents_and_hashers_come_with_items(client: Any) -> None:
    client.create_collection("kept", hasher="vectors", keep_documents=True)
    vector = [0.5] * DIMENSION
    client.index("kept", [{"id": "a", "vector": vector}])
    item = client.item("kept", "a", with_=["document"])
    assert (item.document, item.hasher, item.code) == ({"vector": vector}, "vectors@1", None)
    (match,) = client.search("kept", item.document, with_=["document"])
    assert (match.distance, match.document) == (0, {"vector": vector})
    page = client.page("kept", with_=["document"])
    assert (page.hasher, page.items) == ("vectors@1", [Item("a", document={"vector": vector})])
    client.delete_collection("kept")
