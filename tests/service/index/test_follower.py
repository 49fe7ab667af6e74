import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.codes import hamming
from service.index.flat import ORDER_FROM
from service.index.follower import Follower
from service.index.upkeep import Upkeep
from service.store.reader import Reader
from service.store.schema import CollectionSettings, StoredItem
from service.store.writer import Writer


def items(rng: np.random.Generator, ids: list[int]) -> list[StoredItem]:
    return [StoredItem(str(i), rng.bytes(8)) for i in ids]


def test_two_followers_see_each_write_at_once_and_equal_brute_force(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Writer(path)
    rows = [store.create_collection(name, CollectionSettings(64)) for name in ("a", "b")]
    readers = [Reader(path), Reader(path)]
    followers = [Follower(reader, Upkeep(reader)) for reader in readers]
    rng = np.random.default_rng(0)
    truth: list[dict[str, bytes]] = [{}, {}]
    for _ in range(60):
        which = int(rng.integers(2))
        written = items(rng, rng.choice(200, 20, replace=False).tolist())
        store.upsert(rows[which].number, written)
        truth[which].update({item.id: item.code for item in written})
        gone = [str(i) for i in rng.choice(200, 5, replace=False)]
        store.delete(rows[which].number, gone)
        for item_id in gone:
            truth[which].pop(item_id, None)
        query = np.frombuffer(rng.bytes(8), np.uint8)
        for follower in followers:
            for row, held in zip(rows, truth, strict=True):
                distances = follower.snapshot(row).within(query, 64).distances
                codes = np.frombuffer(b"".join(held.values()), np.uint8).reshape(-1, 8)
                assert distances.tolist() == sorted(hamming(query[None], codes)[0].tolist())
    late = Reader(path)
    found = Follower(late, Upkeep(late)).snapshot(rows[0]).within(np.zeros(8, np.uint8), 64).sequences
    assert len(found) == len(truth[0])
    for part in (store, late, *readers):
        part.close()


def test_version_moves_with_a_write_and_only_then(tmp_path: Path) -> None:
    store = Writer(tmp_path / "store.db")
    reader = Reader(tmp_path / "store.db")
    row = store.create_collection("a", CollectionSettings(64))
    before = reader.version()
    assert reader.version() == before
    store.upsert(row.number, [StoredItem("x", bytes(8))])
    assert reader.version() != before
    store.close()
    reader.close()


def test_a_failed_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Writer(tmp_path / "store.db")
    reader = Reader(tmp_path / "store.db")
    follower = Follower(reader, Upkeep(reader))
    row = store.create_collection("a", CollectionSettings(64))
    store.upsert(row.number, [StoredItem("x", bytes(8))])
    with monkeypatch.context() as patch:
        patch.setattr(reader, "changes", lambda *_: (_ for _ in ()).throw(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            follower.snapshot(row)
    assert follower.snapshot(row).size == 1
    store.close()
    reader.close()


def test_one_that_is_too_far_behind_reads_everything_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.statements.REMOVALS_KEPT", 5)
    with closing(Writer(tmp_path / "store.db")) as store, closing(Reader(tmp_path / "store.db")) as reader:
        row = store.create_collection("a", CollectionSettings(64))
        assert row is not None
        follower = Follower(reader, Upkeep(reader))
        rng = np.random.default_rng(0)
        for _ in range(3):
            for _ in range(8):
                written = items(rng, [1, 2, 3])
                store.upsert(row.number, written)
            codes = np.frombuffer(b"".join(item.code for item in written), np.uint8).reshape(-1, 8)
            found = follower.snapshot(row).within(np.zeros(8, np.uint8), 64)
            assert found.distances.tolist() == sorted(hamming(np.zeros((1, 8), np.uint8), codes)[0].tolist())
            assert follower.snapshot(row).live == 3


def test_a_read_that_breaks_off_midway_leaves_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.store.reader.BLOCK_ROWS", 10)
    with closing(Writer(tmp_path / "store.db")) as store, closing(Reader(tmp_path / "store.db")) as reader:
        row = store.create_collection("a", CollectionSettings(64))
        assert row is not None
        follower = Follower(reader, Upkeep(reader))
        store.upsert(row.number, [StoredItem("0", bytes(8))])
        assert follower.snapshot(row).live == 1
        store.upsert(row.number, items(np.random.default_rng(0), list(range(1, 31))))
        store.delete(row.number, ["0", "7"])
        blocks = iter([None, OSError("disk")])

        def failing(rows: object) -> None:
            error = next(blocks, None)
            if error is not None:
                raise error

        with monkeypatch.context() as patch:
            patch.setattr("service.store.reader.verify_items", failing)
            with pytest.raises(OSError, match="disk"):
                follower.snapshot(row)
        (found,) = follower.snapshot(row).nearest(np.zeros((1, 8), np.uint8), 100)
        assert len(found.sequences) == len(set(found.sequences.tolist())) == 29


def test_an_order_that_is_ahead_of_the_index_is_not_asked_for_again_and_again(tmp_path: Path) -> None:
    """As in a process that is not searched while another one writes: it took a core until its next search."""
    path = tmp_path / "store.db"
    written = items(np.random.default_rng(0), list(range(3 * ORDER_FROM)))

    class WrittenMeanwhile(Reader):
        read = 0

        def by_id(self, collection: int) -> NDArray[np.int64]:
            self.read += 1
            if self.read == 1:
                store.upsert(collection, written)
            return super().by_id(collection)

    with closing(Writer(path)) as store, closing(Reader(path)) as reader, closing(WrittenMeanwhile(path)) as beside:
        row = store.create_collection("a", CollectionSettings(64))
        assert row is not None
        store.upsert(row.number, written)
        with closing(Upkeep(beside)) as upkeep:
            follower = Follower(reader, upkeep)
            for times in (1, 2):
                follower.catch_up()
                deadline = time.monotonic() + 30
                while beside.read < times and time.monotonic() < deadline:
                    time.sleep(0.005)
                time.sleep(0.2)
                assert beside.read == times
        ordered = follower.snapshot(row)
        (found,) = ordered.nearest(np.zeros((1, 8), np.uint8), len(written))
        ids = [written[sequence - 1 - len(written)].id for sequence in found.sequences[found.order.argsort()].tolist()]
        assert ids == sorted(item.id for item in written)
