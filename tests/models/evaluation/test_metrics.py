from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.metrics import (
    TieGroups,
    average_precision,
    bit_entropy,
    distinct_share,
    precision_at,
    recall_at,
    tie_groups,
)


def _orders(distances: list[int]) -> list[tuple[int, ...]]:
    """Every order that the distances allow, each equally likely."""
    every = permutations(range(len(distances)))
    return [o for o in every if all(distances[a] <= distances[b] for a, b in pairwise(o))]


def _plain_average_precision(ranked: list[bool], total: int, depth: int) -> float:
    hits, value = 0, 0.0
    for rank, hit in enumerate(ranked[:depth], 1):
        hits += hit
        value += hits / rank if hit else 0.0
    return value / min(total, depth)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6).filter(
        lambda rows: any(r for _, r in rows)
    ),
    st.integers(1, 6),
)
def test_metrics_are_the_mean_over_every_order_of_the_ties(rows: list[tuple[int, bool]], k: int) -> None:
    k = min(k, len(rows))
    distances, relevant = [d for d, _ in rows], [r for _, r in rows]
    orders = _orders(distances)
    precision = np.mean([sum(relevant[i] for i in order[:k]) / k for order in orders])
    mean_ap = np.mean([_plain_average_precision([relevant[i] for i in o], sum(relevant), k) for o in orders])
    groups = tie_groups(np.array(distances), np.array(relevant))
    assert precision_at(groups, k) == pytest.approx(precision)
    assert recall_at(groups, k) == pytest.approx(precision * k / sum(relevant))
    assert average_precision(groups, k) == pytest.approx(mean_ap)


def test_recall_by_hand() -> None:
    # Neighbours 0 and 3: item 0 is nearest for sure, item 3 takes one of two places among three ties.
    groups = tie_groups(np.array([0, 1, 1, 1, 5]), np.array([True, False, False, True, False]))
    assert recall_at(groups, 3) == pytest.approx((1 + 2 / 3) / 2)


def test_empty_groups_and_unranked_items_count_as_what_they_are() -> None:
    histogram = TieGroups(np.array([1, 0, 3, 0]), np.array([1, 0, 1, 0]))
    groups = tie_groups(np.array([0, 2, 2, 2]), np.array([True, False, True, False]))
    assert precision_at(histogram, 2) == precision_at(groups, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert average_precision(histogram, 4) == average_precision(groups, 4)
    cut = tie_groups(np.array([0, 2]), np.array([True, False]), unranked=(2, 1))
    assert recall_at(cut, 2) == pytest.approx(1 / 2)
    assert average_precision(cut, 2) == pytest.approx(1 / 2)


def test_code_health_by_hand() -> None:
    codes = np.array([[0b0001], [0b0001], [0b0010], [0b0000]], np.uint8)
    one_quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert bit_entropy(codes) == pytest.approx((1.0 + one_quarter) / 8)
    assert distinct_share(codes) == 0.75
