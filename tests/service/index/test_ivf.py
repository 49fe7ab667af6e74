import numpy as np
import pytest

from models.codes import Codes, hamming
from service.index import ivf, sizes
from service.index.collection import CollectionIndex
from service.index.snapshot import Candidates
from service.store.schema import IndexSettings

BITS = 64


def clustered(rng: np.random.Generator, n: int, centres: Codes) -> Codes:
    """Each a centre with a tenth of its bits flipped."""
    flips = np.packbits(rng.random((n, BITS)) < 0.1, axis=1)
    return centres[rng.integers(0, len(centres), n)] ^ flips


@pytest.fixture(scope="module")
def centres() -> Codes:
    return np.random.default_rng(1).integers(0, 256, (50, BITS // 8), dtype=np.uint8)


def no_ids() -> np.ndarray:
    return np.empty(0, np.int64)


def made(codes: Codes, settings: IndexSettings) -> CollectionIndex:
    index = CollectionIndex(BITS, settings)
    index.append(np.arange(1, len(codes) + 1), codes)
    index.keep_up(no_ids)
    return index


def pairs(found: Candidates) -> list[tuple[int, int]]:
    return sorted(zip(found.distances.tolist(), found.sequences.tolist(), strict=True))


def brute_force(query: Codes, live: dict[int, Codes], limit: int) -> list[tuple[int, int]]:
    """(distance, sequence) of the `limit` nearest and all tied with the last, sorted."""
    codes = np.stack(list(live.values()))
    every = sorted(zip(hamming(query[None], codes)[0].tolist(), live, strict=True))
    return [pair for pair in every if pair[0] <= every[:limit][-1][0]]


def test_automatic_settings_reach_the_recall_that_is_told(centres: Codes) -> None:
    rng = np.random.default_rng(0)
    codes = clustered(rng, 12_000, centres)
    built = made(codes, IndexSettings("ivf")).state().ivf
    assert built is not None
    assert (built.lists, built.size, built.last, built.sample) == (128, 12_000, 12_000, 500)
    assert built.recall >= ivf.TARGET_RECALL
    # Of other queries than those it was measured on.
    queries = clustered(rng, 300, centres)
    distances = np.sort(hamming(queries, codes), axis=1)[:, :10]
    found = [near[:10] for near, _ in built.nearest(queries, 10)]
    shares = [np.count_nonzero(near <= tenth) / 10 for near, tenth in zip(found, distances[:, -1], strict=True)]
    assert abs(float(np.mean(shares)) - built.recall) < 0.03


def test_fewer_probes_find_less_and_the_recall_says_so(centres: Codes) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (10_000, BITS // 8), dtype=np.uint8)
    recalls = []
    for probes in (1, 8, 64):
        built = made(codes, IndexSettings("ivf", 64, probes)).state().ivf
        assert built is not None
        assert (built.lists, built.probes) == (64, probes)
        recalls.append(built.recall)
    assert recalls[0] < 0.3 < recalls[1] < 0.8
    assert recalls[2] == 1


@pytest.mark.parametrize("lists", [1, 2, 3, 15, 31])
def test_where_nothing_less_reaches_the_recall_all_lists_are_probed(lists: int) -> None:
    # Without clusters the neighbours are anywhere.
    codes = np.random.default_rng(6).integers(0, 256, (1500, BITS // 8), dtype=np.uint8)
    built = made(codes, IndexSettings("ivf", lists)).state().ivf
    assert built is not None
    assert (built.lists, built.probes, built.recall) == (lists, lists, 1)


def test_with_every_list_probed_it_is_brute_force_also_for_what_came_and_went_since(centres: Codes) -> None:
    rng = np.random.default_rng(2)
    codes = clustered(rng, 3000, centres)
    live = dict(enumerate(codes, 1))
    index = made(codes, IndexSettings("ivf", 16, 16))
    later = clustered(rng, 200, centres)
    index.append(np.arange(5000, 5200), later)
    live |= dict(enumerate(later, 5000))
    gone = rng.choice(list(live), 600, replace=False)
    index.remove(gone)
    live = {sequence: code for sequence, code in live.items() if sequence not in set(gone.tolist())}
    queries = clustered(rng, 40, centres)
    for _ in ("dead rows", "compacted"):
        snapshot = index.snapshot()
        assert snapshot.ivf is not None
        for limit in (1, 10, 500):
            for query, found in zip(queries, snapshot.nearest(queries, limit), strict=True):
                assert pairs(found)[:limit] == brute_force(query, live, limit)[:limit]
                assert [pairs(each) for each in snapshot.nearest(query[None], limit, exact=True)] == [
                    brute_force(query, live, limit)
                ]
        index.keep_up(no_ids)


def test_never_fewer_than_asked_for_though_the_probed_list_holds_less(centres: Codes) -> None:
    codes = clustered(np.random.default_rng(3), 2000, centres)
    snapshot = made(codes, IndexSettings("ivf", 32, 1)).snapshot()
    assert snapshot.ivf is not None
    for limit in (10, 1500, 2000, 3000):
        (found,) = snapshot.nearest(codes[:1], limit)
        assert len(found.sequences) >= min(limit, 2000)


def test_it_is_built_only_of_enough_items_and_built_again_when_many_are_new(centres: Codes) -> None:
    rng = np.random.default_rng(4)
    index = CollectionIndex(BITS, IndexSettings("ivf", 64))
    least = ivf.fewest(64)
    index.append(np.arange(1, least), clustered(rng, least - 1, centres))
    assert not index.wants_upkeep() or index.state().ivf is None
    index.keep_up(no_ids)
    assert index.state().ivf is None
    index.append(np.array([least]), clustered(rng, 1, centres))
    index.keep_up(no_ids)
    first = index.state().ivf
    assert first is not None and first.size == least
    index.append(np.arange(10_000, 14_000), clustered(rng, 4000, centres))
    index.keep_up(no_ids)
    assert index.state().ivf is first
    index.append(np.arange(20_000, 20_200), clustered(rng, 200, centres))
    index.keep_up(no_ids)
    second = index.state().ivf
    assert second is not None and second.size == least + 4200
    # Trained again, as there are more than twice as many; then not.
    assert second.trained_on == second.size
    index.append(np.arange(30_000, 34_200), clustered(rng, 4200, centres))
    index.keep_up(no_ids)
    third = index.state().ivf
    assert third is not None and (third.size, third.trained_on) == (second.size + 4200, second.size)


def test_settings_can_be_changed_to_and_fro(centres: Codes) -> None:
    codes = clustered(np.random.default_rng(5), 1000, centres)
    index = made(codes, IndexSettings())
    assert index.state().ivf is None
    index.configure(IndexSettings("ivf", 8, 8))
    assert index.wants_upkeep()
    index.keep_up(no_ids)
    assert index.snapshot().ivf is not None
    index.configure(IndexSettings())
    assert index.snapshot().ivf is None
    assert not index.wants_upkeep()


def test_auto_builds_above_its_size_and_gives_up_at_half_of_it(centres: Codes) -> None:
    codes = clustered(np.random.default_rng(6), 2000, centres)
    index = CollectionIndex(BITS, IndexSettings("auto", 8, 8, above=1000))
    came = gone = 0

    def kept_up(live: int) -> ivf.Ivf | None:
        """The index once so many items live, the oldest of those before removed, new ones come."""
        nonlocal came, gone
        while came - gone < live:
            index.append(np.array([came + 1]), codes[came : came + 1])
            came += 1
        index.remove(np.arange(gone + 1, came - live + 1))
        gone = came - live
        index.keep_up(no_ids)
        assert index.state().count == live and not index.wants_upkeep()
        return index.state().ivf

    assert kept_up(1000) is None
    built = kept_up(1001)
    assert built is not None and (built.size, built.lists) == (1001, 8)
    for live in (1000, 700, 1001, 500):
        assert kept_up(live) is built
    assert kept_up(499) is None
    # Growing again it is exact up to the size, and no sooner.
    assert kept_up(1000) is None
    assert kept_up(1001) is not None


@pytest.mark.parametrize(
    ("settings", "build", "keep"),
    [
        (IndexSettings(), None, None),
        (IndexSettings("ivf"), 10_000, 5000),
        (IndexSettings("ivf", 8), 312, 156),
        (IndexSettings("auto"), 1_000_001, 500_000),
        (IndexSettings("auto", above=50_000), 50_001, 25_000),
        # k-means has as little to go by as elsewhere.
        (IndexSettings("auto", above=50), 10_000, 5000),
        (IndexSettings("auto", 8, above=50), 312, 156),
    ],
)
def test_how_many_items_it_takes(settings: IndexSettings, build: int | None, keep: int | None) -> None:
    assert (sizes.least(settings, built=False), sizes.least(settings, built=True)) == (build, keep)


def test_what_lies_beyond_many_removed_is_found_though_farther_ones_came_since() -> None:
    rng = np.random.default_rng(4)
    query = np.zeros(BITS // 8, np.uint8)
    duplicates, near = np.tile(query, (200, 1)), np.tile(np.uint8([7, *[0] * 7]), (20, 1))
    codes = np.concatenate([rng.integers(0, 256, (10_000, BITS // 8), np.uint8), duplicates, near])
    index = made(codes, IndexSettings("ivf"))
    index.remove(np.arange(10_001, 10_201))
    index.append(np.arange(20_000, 20_050), rng.integers(0, 256, (50, BITS // 8), np.uint8))
    snapshot = index.snapshot()
    assert snapshot.ivf is not None
    (found,) = snapshot.nearest(query[None], 10)
    assert pairs(found)[:10] == [(3, sequence) for sequence in range(10_201, 10_211)]
