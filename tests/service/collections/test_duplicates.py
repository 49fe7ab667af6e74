"""Groups of near-duplicates against naive single linkage, and the parts that make them exact."""

import re
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.codes import Codes, hamming
from models.errors import InvalidInputError
from service.index.duplicates import buckets, chunks, forest, groups, steps
from service.index.duplicates.buckets import Pairs, as_words

Naive = list[list[tuple[int, int | None, int]]]


def nothing() -> None:
    """Go on."""


def naive(codes: Codes, distance: int) -> Naive:
    """Prim's algorithm over all pairs, by their definition: (distance, smaller number, larger number)."""
    apart = hamming(codes, codes)
    left, found = set(range(len(codes))), []
    while left:
        first = min(left)
        left.remove(first)
        group: list[tuple[int, int | None, int]] = [(first, None, 0)]
        while near := [
            (int(apart[of, item]), min(of, item), max(of, item), of, item)
            for of, _, _ in group
            for item in left
            if apart[of, item] <= distance
        ]:
            nearest, _, _, of, item = min(near)
            left.remove(item)
            group.append((item, of, nearest))
        if len(group) > 1:
            found.append(group)
    return found


def found(codes: Codes, distance: int) -> Naive:
    made = groups.find(codes, distance, nothing)
    return [[tuple(item) for item in made.members(number)] for number in range(len(made))]


@st.composite
def near_codes(draw: st.DrawFn) -> Codes:
    """Few codes of few kinds, short or of a word and more, near to each other: chains, ties and equal ones occur."""
    width = draw(st.sampled_from([1, 2, 3, 8, 12, 16]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = rng.integers(0, 256, (draw(st.integers(1, 4)), width), np.uint8)
    items = centres[rng.integers(0, len(centres), draw(st.integers(0, 30)))]
    flipped = draw(st.sampled_from([0.0, 0.01, 0.05, 0.2]))
    return items ^ np.packbits(rng.random((len(items), width * 8)) < flipped, axis=1)


@settings(max_examples=150, deadline=None)
@given(near_codes(), st.integers(0, 12))
def test_groups_are_those_of_naive_single_linkage(codes: Codes, distance: int) -> None:
    assert found(codes, distance) == naive(codes, distance)


@pytest.mark.parametrize("distance", range(9))
def test_every_distance_of_one_byte(distance: int) -> None:
    codes = np.random.default_rng(distance).integers(0, 256, (25, 1), np.uint8)
    assert found(codes, distance) == naive(codes, distance)


def test_a_chain_by_hand() -> None:
    # 0 - 1 - 3 - 7, each a bit from the next; 7 twice; 240 alone at a distance of 2.
    codes = np.array([[7], [240], [0], [3], [7], [1]], np.uint8)
    assert found(codes, 0) == [[(0, None, 0), (4, 0, 0)]]
    assert found(codes, 1) == [[(0, None, 0), (4, 0, 0), (3, 0, 1), (5, 3, 1), (2, 5, 1)]]
    assert found(codes[1:4], 0) == []


@pytest.mark.parametrize(
    ("bits", "distance", "agreeing"), [(64, 3, 1), (64, 3, 2), (128, 5, 2), (40, 2, 3), (64, 3, 0)]
)
def test_each_scheme_finds_every_pair(bits: int, distance: int, agreeing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(bits + agreeing)
    centres = rng.integers(0, 256, (40, bits // 8), np.uint8)
    codes = centres[rng.integers(0, 40, 1500)] ^ np.packbits(rng.random((1500, bits)) < 0.03, axis=1)
    masks = chunks._masks(bits, distance + agreeing, agreeing)
    assert len(masks) == comb(distance + agreeing, agreeing)
    # Blocks so small that buckets are cut, in both ways of comparing.
    monkeypatch.setattr(buckets, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(buckets, "PAIRS_AT_ONCE", 100)
    monkeypatch.setattr(buckets, "FEW", 20)
    apart = hamming(codes, codes)
    true = {(a, b, int(apart[a, b])) for a, b in combinations(range(1500), 2) if apart[a, b] <= distance}
    assert len(true) > 1000
    seen = set()
    for block in chunks.near_pairs(codes, distance, chunks.Scheme(masks, 0)):
        seen |= set(zip(*(column.tolist() for column in block), strict=True))
    assert seen == true


def test_the_forest_stays_the_same_whatever_order_pairs_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    first, second = np.sort(rng.integers(0, 60, (2, 900)), axis=0)
    # Many ties, and of distances that are looked up.
    apart = rng.integers(10, 13, 900).astype(np.int32)
    unlike = first < second
    # One distance for each pair.
    _, places = np.unique(first[unlike] * 60 + second[unlike], return_index=True)
    pairs = Pairs(first[unlike], second[unlike], apart[unlike]).take(places)
    # Kruskal's algorithm.
    trees, expected = list(range(60)), []
    for distance, a, b in sorted(
        zip(pairs.distances.tolist(), pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ):
        if trees[a] != trees[b]:
            expected.append((distance, a, b))
            trees = [trees[a] if tree == trees[b] else tree for tree in trees]
    monkeypatch.setattr(forest, "PENDING", 50)
    for _ in range(5):
        made = forest.Forest(60, 12)
        order = rng.permutation(np.tile(np.arange(len(pairs.first)), 2))
        for some in np.array_split(order, 20):
            made.add(pairs.take(some))
        edges = made.edges()
        assert (
            list(zip(*(column.tolist() for column in (edges.distances, edges.first, edges.second)), strict=True))
            == expected
        )


def test_all_pairs_are_compared_where_chunks_tell_nothing() -> None:
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, 256, (30_000, 8), np.uint8)
    assert len(chunks.choose(uniform, 2).masks) == 3
    assert not chunks.choose(uniform, 30).masks.any()
    assert chunks.choose(uniform, 2).cost < chunks.choose(uniform, 8).cost < chunks.choose(uniform, 30).cost


def dense(items: int, bits: int, flips: int) -> Codes:
    """Codes that differ from one centre in a few bits, so that most pairs are near, and some from one far from it."""
    rng = np.random.default_rng(items)
    flipped = np.argsort(rng.random((items, bits)), axis=1)[:, :flips]
    codes = np.zeros((items, bits), np.uint8)
    np.put_along_axis(codes, flipped, 1, axis=1)
    codes[: items // 10] ^= 1
    return np.packbits(codes, axis=1)


@pytest.mark.parametrize("distance", [4, 6, 9, 12])
def test_steps_find_the_forest_of_all_pairs(distance: int, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.unique(dense(400, 32, 4), axis=0)
    apart = hamming(codes, codes)
    first, second = np.triu_indices(len(codes), 1)
    near = apart[first, second] <= distance
    true = forest.spanning(len(codes), Pairs(first[near], second[near], apart[first, second][near].astype(np.int32)))
    # Each distance a step of its own; blocks so small that components are cut, in both ways of comparing.
    taken = []
    monkeypatch.setattr(steps, "FOUND", 1e6)
    monkeypatch.setattr(steps, "MOST_COST", 1e30)
    monkeypatch.setattr(steps, "ADDED", 1e20)
    monkeypatch.setattr(steps, "Forest", lambda *given: taken.append(given[1]) or forest.Forest(*given))
    for few in (0, 20, 1000):
        monkeypatch.setattr(buckets, "FEW", few)
        monkeypatch.setattr(buckets, "ROWS_AT_ONCE", 7)
        monkeypatch.setattr(buckets, "PAIRS_AT_ONCE", 100)
        made = steps.forest(codes, distance, nothing)
        for column, expected in zip(made, true, strict=True):
            np.testing.assert_array_equal(column, expected)
    steps_each = len(taken) // 3
    assert taken == taken[:steps_each] * 3
    assert taken[:3] == [1, 2, 3]
    assert len(set(taken)) == steps_each


def test_among_dense_codes_few_pairs_are_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # All numbers of 12 bits: of 8,386,560 pairs 7,776,000 are within 8, but a step connects all.
    codes = np.zeros((4096, 8), np.uint8)
    codes[:, :2] = np.arange(4096, dtype=">u2").view(np.uint8).reshape(-1, 2)
    taken = []
    monkeypatch.setattr(
        steps,
        "near_pairs",
        lambda *given: (taken.append(len(pairs.first)) or pairs for pairs in chunks.near_pairs(*given)),
    )
    made = steps.forest(codes, 8, nothing)
    # By hand: each number and that with its lowest bit that is 1 taken off, which is smaller, differ in a bit.
    assert (made.distances == 1).all()
    assert len(made.first) == 4095
    assert sum(taken) < 500_000
    assert sorted(zip(made.first.tolist(), made.second.tolist(), strict=True)) == sorted(
        {min((number ^ 1 << bit, number) for bit in range(12) if number >> bit & 1) for number in range(1, 4096)}
    )


def test_components_are_not_compared_within() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (600, 2), np.uint8)
    labels = np.random.default_rng(1).integers(0, 3, 600)
    apart = hamming(codes, codes)
    true = {
        (a, b, int(apart[a, b])) for a, b in combinations(range(600), 2) if apart[a, b] <= 5 and labels[a] != labels[b]
    }
    for scheme in (chunks.Scheme(chunks._masks(16, 5 + agreeing, agreeing), 0) for agreeing in (0, 1)):
        seen = set()
        for block in chunks.near_pairs(codes, 5, scheme, labels):
            seen |= set(zip(*(column.tolist() for column in block), strict=True))
        assert seen == true


def test_estimates_and_what_they_are_within() -> None:
    within = []
    for seed in range(20):
        codes = np.random.default_rng(seed).integers(0, 256, (1000, 8), np.uint8)
        true = int((hamming(codes, codes)[np.triu_indices(1000, 1)] <= 28).sum())
        judged = steps.estimate(codes, 40, None)
        low, high = judged.interval(28)
        assert low < judged.near(28) < high
        assert high - low < 0.05 * true
        within.append(low < true < high)
    assert sum(within) >= 17
    # None of 262,144 was near: there may be some all the same, 3.84 times what one drawn stands for.
    assert judged.near(0) == 0
    assert judged.interval(0) == (0, pytest.approx(500_000 * 3.84 / 2**18, rel=0.01))


def test_what_would_take_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (3000, 8), np.uint8)
    monkeypatch.setattr(steps, "MOST_COST", 6e6)
    told = (
        r"max_distance: expected one that takes about 6\.0e\+06 .* got 24, .* among 3000 different codes, "
        r"(\S+) to (\S+) pairs of which are near \(95 % confidence, by a sample\); (\d+) would do"
    )
    with pytest.raises(InvalidInputError, match=told) as refused:
        groups.find(codes, 24, nothing)
    low, high, would_do = re.search(told, str(refused.value)).groups()  # type: ignore[union-attr]
    assert float(low) < np.triu(hamming(codes, codes) <= 24, 1).sum() < float(high)
    assert len(groups.find(codes, int(would_do), nothing))
    with pytest.raises(InvalidInputError, match=f"got {int(would_do) + 1}, "):
        groups.find(codes, int(would_do) + 1, nothing)
    # Equal codes are not compared.
    assert len(groups.find(np.repeat(codes, 2, axis=0), 0, nothing)) == 3000


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is what all is judged by, and may be wrong."""
    codes = dense(2000, 64, 4)
    monkeypatch.setattr(steps, "MOST_COST", 1e7)
    monkeypatch.setattr(steps.Estimate, "near", lambda *given: 0.0)
    with pytest.raises(InvalidInputError, match=r"got 8, .* (\d) would do"):
        groups.find(codes, 8, nothing)


def test_it_stops_when_it_is_told_to() -> None:
    codes = np.random.default_rng(0).integers(0, 256, (50_000, 8), np.uint8)
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        groups.find(codes, 16, stop)
    assert len(calls) == 3


def test_words_are_filled_up_with_zeros() -> None:
    codes = np.arange(20, dtype=np.uint8).reshape(2, 10)
    assert as_words(codes).shape == (2, 2)
    assert as_words(codes)[:, 1].tolist() == [0x11100F0E0D0C0B0A, 0x1312]
