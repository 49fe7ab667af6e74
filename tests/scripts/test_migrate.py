"""Collections moved between two running services: all of it, what is missing only, and what is refused."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.errors import InvalidInputError
from scripts.migrate.__main__ import main, move
from scripts.migrate.merging import side_by_side
from scripts.migrate.moving import NotTheSameError, Side, copy, verify
from service.client import Client, Item
from service.keys import Role, line, new_key
from service.settings import Settings
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
    with pytest.raises(InvalidInputError, match="expected items of 'more' only, 'more' has 'mine' too"):
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


def test_what_cannot_be_moved_whole_is_refused_before_anything_is_made(two: Two) -> None:
    for kept, options in (("features", {"keep_features": "int8"}), ("documents", {"keep_documents": True})):
        two.here.create_collection(f"keeps-{kept}", hasher="vectors", **options)
        with pytest.raises(InvalidInputError, match=f"'keeps-{kept}' keeps {kept}, which no item brings along"):
            move(*two.sides(f"keeps-{kept}"), only_verify=False)
        assert f"keeps-{kept}" not in [each.name for each in two.there.collections()]


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
