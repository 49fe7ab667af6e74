"""Collections moved between two running services: all of it, what is missing only, and what is refused."""

import base64
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.errors import InvalidInputError
from scripts.documents import as_file
from scripts.migrate.__main__ import main, move
from scripts.migrate.merging import side_by_side
from scripts.migrate.moving import NotTheSameError, Side, copy, verify
from service.client import Client, Index, Item
from service.keys import Role, line, new_key
from service.settings import Settings
from tests.conftest import DIMENSION
from tests.recoding.made import add_version
from tests.scripts.migrating import BITS, checksum, fill, made, nothing
from tests.serving import running


@dataclass(frozen=True)
class Two:
    """Two services with nothing in common."""

    here: Client
    there: Client
    urls: tuple[str, str]

    def sides(self, name: str, page_items: int = 100) -> tuple[Side, Side]:
        return Side(self.here, name, page_items), Side(self.there, name, page_items)


@pytest.fixture(scope="module")
def two(hashers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    here, there = (Settings(hashers=hashers, data=tmp_path_factory.mktemp(name)) for name in ("here", "there"))
    with running(here) as first, running(there) as second:
        urls = str(first.base_url), str(second.base_url)
        with Client(urls[0]) as one, Client(urls[1]) as other:
            yield Two(one, other, urls)


def test_all_items_are_moved_and_the_checksum_is_theirs(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    items = made(2345)
    fill(two.here, "whole", items)
    move(*two.sides("whole"), only_verify=False)
    out = capsys.readouterr().out
    assert "2345 of 2345 items sent" in out
    assert f"2345 items are the same in both, SHA-256 {checksum(items)}" in out
    there = {item.id: (item.code, json.dumps(item.payload)) for item in two.there.items("whole", page_size=1000)}
    wanted = {item["id"]: (item["code"], item["payload"]) for item in items}
    assert there.keys() == wanted.keys()
    for name, (code, payload) in wanted.items():
        assert there[name][0] == code and json.loads(there[name][1]) == payload
    # Back again, under another name, from the service that has them now.
    move(Side(two.there, "whole", 333), Side(two.here, "back", 1000), only_verify=False)
    assert checksum(items) in capsys.readouterr().out


def test_how_it_is_searched_moves_along(two: Two) -> None:
    fill(two.here, "sized", made(20))
    two.here.change_collection("sized", index={"kind": "auto", "above": 5000, "lists": 8})
    move(*two.sides("sized"), only_verify=False)
    assert two.there.collection("sized").index == Index("auto", lists=8, above=5000)


def test_only_what_is_missing_or_differs_is_sent(two: Two) -> None:
    items = made(500)
    fill(two.here, "part", items)
    changed = [items[0] | {"code": "00" * 4}, items[1] | {"payload": {"n": 2}}]
    fill(two.there, "part", [*changed, *items[2:200]])
    seen: list[int] = []
    assert copy(*two.sides("part"), seen.append) == 2 + 300
    assert sum(seen) == 500
    assert copy(*two.sides("part"), nothing) == 0
    assert verify(*two.sides("part"), nothing) == (500, checksum(items))


class StoppedError(Exception):
    """As Ctrl-C, or a machine that goes."""


def test_one_that_was_stopped_goes_on_where_it_was(two: Two) -> None:
    items = made(3000)
    fill(two.here, "stopped", items)
    two.there.create_collection("stopped", bits=BITS)
    seen = 0

    def stop(number: int) -> None:
        nonlocal seen
        seen += number
        if seen == 2500:
            raise StoppedError

    with pytest.raises(StoppedError):
        copy(*two.sides("stopped"), stop)
    there = two.there.collection("stopped").count
    assert 0 < there < 2500
    assert copy(*two.sides("stopped"), nothing) == 3000 - there
    assert verify(*two.sides("stopped"), nothing) == (3000, checksum(items))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [({"n": 1}, {"n": 1.0}), ({"n": 1}, {"n": True}), ({"n": 0.1}, {"n": 0.1 + 2**-56}), ({}, {"n": None})],
)
def test_payloads_that_python_or_a_glance_would_take_for_the_same_are_not(
    two: Two, ours: dict[str, object], theirs: dict[str, object], request: pytest.FixtureRequest
) -> None:
    name = f"near-{abs(hash(request.node.name))}"
    fill(two.here, name, [{"id": "a", "code": "00" * 4}, {"id": "b", "code": "00" * 4, "payload": ours}])
    fill(two.there, name, [{"id": "a", "code": "00" * 4}, {"id": "b", "code": "00" * 4, "payload": theirs}])
    with pytest.raises(NotTheSameError, match=r"expected 2 items .* got 2 .* first that differs is 'b'"):
        verify(*two.sides(name), nothing)
    move(*two.sides(name), only_verify=False)


def test_items_that_only_the_target_has_are_left_and_told(two: Two) -> None:
    fill(two.here, "more", made(50))
    fill(two.there, "more", [{"id": "mine", "code": "00" * 4}])
    with pytest.raises(InvalidInputError, match="expected in 'more' only items that the source has, too, got 'mine'"):
        copy(*two.sides("more"), nothing)
    assert two.there.item("more", "mine").code == "00" * 4


def test_a_write_while_it_compares_is_told(two: Two) -> None:
    items = made(300)
    fill(two.here, "busy", items)
    fill(two.there, "busy", items)
    written = iter([{"id": "zzz", "code": "ff" * 4}])

    def write(_: int) -> None:
        for item in written:
            two.here.index("busy", [item])

    with pytest.raises(NotTheSameError, match=r"expected 301 items .* got 300 .*'zzz': if there were writes meanwhile"):
        verify(*two.sides("busy", 10), write)
    move(*two.sides("busy"), only_verify=False)


def test_a_collection_with_a_hasher_has_the_same_one_there(two: Two) -> None:
    two.here.create_collection("texts", hasher="pydocs", index={"kind": "flat"})
    two.here.index("texts", [{"id": str(number), "text": f"sort {number} items"} for number in range(20)])
    move(*two.sides("texts"), only_verify=False)
    assert two.there.collection("texts").hasher == "pydocs@1"
    query = {"text": "sort 7 items"}
    found = [[(match.id, match.distance) for match in each.search("texts", query)] for each in (two.here, two.there)]
    assert found[0] == found[1] and found[0][0][1] == 0


@pytest.mark.parametrize("keep", ["float16", "int8"])
def test_features_and_documents_are_moved_with_their_items(
    two: Two, keep: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, parts = f"keeps-{keep}", ("code", "payload", "features", "document")
    two.here.create_collection(name, hasher="vectors", keep_features=keep, keep_documents=True)
    rows = (np.random.default_rng(7).standard_normal((500, DIMENSION)) * 10.0 ** np.arange(-6, 6)).astype(np.float32)
    two.here.index(name, [{"id": f"i{n}", "vector": row, "payload": {"n": n}} for n, row in enumerate(rows)])
    move(*two.sides(name), only_verify=False)
    here, there = (list(client.items(name, with_=parts)) for client in (two.here, two.there))
    assert here == there and len(there) == 500
    assert {item.id: item.document for item in there}["i3"] == {"vector": pytest.approx(rows[3].tolist(), rel=1e-7)}
    hashed = hashlib.sha256()
    for item in here:
        kept = [item.id, item.code, item.payload, item.features, item.document]
        hashed.update(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n")
    out = capsys.readouterr().out
    assert "500 of 500 items sent" in out and f"500 items are the same in both, SHA-256 {hashed.hexdigest()}" in out
    query = {"vector": rows[9]}
    assert two.here.search(name, query, rank="rescored") == two.there.search(name, query, rank="rescored")
    # What differs in what is kept alone is sent, and told.
    two.there.index(
        name,
        [{"id": "i3", "code": here[0].code, "features": [1.0] * DIMENSION, "document": {"vector": [2.0] * DIMENSION}}],
    )
    with pytest.raises(NotTheSameError, match="the first that differs is 'i3'"):
        move(*two.sides(name), only_verify=True)
    assert copy(*(replace(side, parts=parts) for side in two.sides(name)), nothing) == 1
    move(Side(two.there, name, 99), Side(two.here, f"{name}-back", 99), only_verify=False)
    assert hashed.hexdigest() in capsys.readouterr().out


def test_images_and_texts_are_moved_to_the_byte(two: Two) -> None:
    image = as_file(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for name, hasher, document in (("drawn", "digits", {"image": image}), ("told", "pydocs", {"text": "sorts ünï"})):
        two.here.create_collection(name, hasher=hasher, keep_documents=True)
        two.here.index(name, [{"id": "a", **document}])
        move(*two.sides(name), only_verify=False)
        here, there = (client.item(name, "a", with_=["code", "document"]) for client in (two.here, two.there))
        assert here == there
    assert two.there.item("drawn", "a", with_=["document"]).document == {"image": base64.b64encode(image).decode()}


def test_what_only_one_of_them_keeps_is_left_or_refused(two: Two, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.random.default_rng(8).standard_normal((20, DIMENSION)).astype(np.float32)
    items = [{"id": str(number), "vector": row} for number, row in enumerate(rows)]
    for name, settings in (
        ("plain", {}),
        ("fine", {"keep_features": "float16", "keep_documents": True}),
        ("coarse", {"keep_features": "int8"}),
    ):
        two.here.create_collection(name, hasher="vectors", **settings)
        two.here.index(name, items)
    two.there.create_collection("less", hasher="vectors")
    move(Side(two.here, "fine", 7), Side(two.there, "less", 7), only_verify=False)
    out = capsys.readouterr().out
    for part in ("features", "document"):
        assert f"the {part} of each item is left: 'less' keeps none" in out
    assert "20 items are the same in both" in out
    two.there.create_collection("documents", hasher="vectors", keep_documents=True)
    for source, target, wrong in (
        ("plain", "documents", "expected 'documents' to keep no documents, as 'plain' has none to bring"),
        ("coarse", "fine", "expected 'fine' to keep features as 'coarse' (int8), or none, it keeps float16"),
        ("plain", "coarse", "expected 'coarse' to keep features as 'plain' (none), or none, it keeps int8"),
    ):
        settings = {"keep_features": {"fine": "float16", "coarse": "int8", "documents": None}[target]}
        if target != "documents":
            two.there.create_collection(target, hasher="vectors", **settings)
        with pytest.raises(InvalidInputError, match=re.escape(wrong)):
            move(Side(two.here, source, 10), Side(two.there, target, 10), only_verify=False)
        assert two.there.collection(target).count == 0


def test_a_target_with_other_codes_is_refused(two: Two) -> None:
    two.here.create_collection("other", bits=64)
    two.there.create_collection("other", hasher="pydocs")
    with pytest.raises(InvalidInputError, match=r"expected 'other' to have codes of 64 bits, it has .* by pydocs@1"):
        move(*two.sides("other"), only_verify=False)


def test_a_hasher_of_the_same_name_that_is_another_one_is_refused(hashers: Path, tmp_path: Path) -> None:
    for place, features in (("here", {}), ("there", {"scale": "unit"})):
        shutil.copytree(hashers / "vectors@1", tmp_path / place / "vectors@1", copy_function=os.link)
        add_version(tmp_path / place, "vectors@1", 2, **features)
    here, there = (Settings(hashers=tmp_path / name, data=tmp_path / f"{name}-data") for name in ("here", "there"))
    with (
        running(here) as first,
        running(there) as second,
        Client(str(first.base_url)) as one,
        Client(str(second.base_url)) as other,
    ):
        one.create_collection("taught", hasher="vectors@2")
        with pytest.raises(InvalidInputError, match="expected the very same vectors@2 at both services"):
            move(Side(one, "taught", 10), Side(other, "taught", 10), only_verify=False)
        assert other.collections() == []
        one.create_collection("same", hasher="vectors@1")
        move(Side(one, "same", 10), Side(other, "same", 10), only_verify=False)


def test_the_command_takes_a_key_for_each_service_and_verifies(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    items, key = made(40), new_key()
    fill(two.here, "kept", items)
    (tmp_path / "keys").write_text(line(Role.WRITE, key) + "\n")
    settings = Settings(data=tmp_path / "data", hashers=tmp_path, keys=line(Role.ADMIN, key))
    with running(settings) as serving:
        options = ["migrate", "kept", "--from", two.urls[0], "--to", str(serving.base_url), "--name", "kept-there"]
        monkeypatch.setenv("HAMMINGWAY_TARGET_API_KEY", key)
        monkeypatch.setattr(sys, "argv", [*options, "--page-items", "7"])
        main()
        assert f"40 items are the same in both, SHA-256 {checksum(items)}" in capsys.readouterr().out
        two.here.delete_item("kept", "item-3")
        monkeypatch.setattr(sys, "argv", [*options, "--verify"])
        with pytest.raises(NotTheSameError, match=r"expected 39 items .* got 40 .*'item-3'"):
            main()


def test_side_by_side_is_what_two_sets_say() -> None:
    generator = np.random.default_rng(5)
    for _ in range(200):
        left, right = (sorted(set(generator.integers(0, 12, generator.integers(0, 9)).tolist())) for _ in range(2))
        lists = [[Item(f"{number:02}", side) for number in ids] for side, ids in (("l", left), ("r", right))]
        found = [
            ((one or other).id, one and one.code, other and other.code)
            for one, other in side_by_side(*map(iter, lists))
        ]  # type: ignore[union-attr]
        wanted = [(f"{n:02}", "l" if n in left else None, "r" if n in right else None) for n in sorted({*left, *right})]
        assert found == wanted


def test_neither_side_is_read_further_than_the_other() -> None:
    read: list[str] = []

    def reading(side: str) -> Iterator[Item]:
        for number in range(100):
            read.append(side)
            yield Item(f"{number:03}")

    list(islice(side_by_side(reading("l"), reading("r")), 10))
    assert abs(read.count("l") - read.count("r")) <= 1 and len(read) <= 22
