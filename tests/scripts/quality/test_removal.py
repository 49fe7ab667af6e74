"""Removals are judged as worked out by hand."""

import numpy as np
import pytest

from scripts.quality.removal import Removal, choose, join, judge, sweep


def pairs(*each: tuple[int, int]) -> np.ndarray:
    return np.array(each, np.intp).reshape(-1, 2)


def test_pairs_join_directly_and_through_others() -> None:
    groups = join(6, pairs((0, 3), (3, 5), (1, 2)))
    assert groups[0] == groups[3] == groups[5]
    assert groups[1] == groups[2]
    assert len({int(group) for group in groups}) == 3
    assert len(set(join(4, pairs()))) == 4


def test_a_group_of_two_true_pairs_is_one_wrong_removal() -> None:
    # 0-1 and 2-3 are near-copies, 4 is alone; the method puts 0, 1, 2 and 3 together: of its three removals, the two
    # that leave one of each pair are right.
    true = pairs((0, 1), (2, 3))
    removal = judge(np.array([0, 0, 0, 0, 1]), true, injected=true)
    assert removal.removed == 3
    assert removal.precision == pytest.approx(2 / 3)
    assert removal.recall == 1.0
    assert removal.largest == 4


def test_natural_pairs_are_right_and_do_not_count_as_copies_to_find() -> None:
    # 0-1 was injected, 2-3 is natural. Found: 2-3 alone.
    removal = judge(np.array([0, 1, 2, 2, 3]), pairs((0, 1), (2, 3)), injected=pairs((0, 1)))
    assert (removal.recall, removal.precision, removal.removed) == (0.0, 1.0, 1)
    assert removal.found.tolist() == [False]


def test_a_true_pair_whose_link_is_outside_the_group_does_not_make_it_right() -> None:
    # 0-1 and 1-2 are near-copies, 0-2 are not; the method joins 0 and 2 without 1.
    removal = judge(np.array([0, 1, 0]), pairs((0, 1), (1, 2)), injected=pairs((0, 1)))
    assert (removal.removed, removal.precision) == (1, 0.0)


def test_nothing_removed_is_nothing_wrong() -> None:
    removal = judge(np.arange(3), pairs((0, 1)), pairs((0, 1)))
    assert (removal.recall, removal.precision, removal.removed, removal.largest) == (0.0, 1.0, 0, 1)


def test_a_sweep_takes_distances_up_to_each_threshold_and_ends_with_half_in_one_group() -> None:
    near, apart = pairs((0, 1), (1, 2), (2, 3), (4, 5)), np.array([0.0, 1.0, 2.0, 1.0])
    found = list(sweep(6, near, apart, [0, 1, 2, 3]))
    assert [threshold for threshold, _ in found] == [0, 1, 2]
    assert [len(set(groups)) for _, groups in found] == [5, 3, 2]


def removal(recall: float, precision: float) -> Removal:
    return Removal(recall, precision, 0, 0, np.zeros(0, bool))


def test_the_threshold_has_the_most_recall_of_the_precise_ones() -> None:
    curve = [(0.0, removal(0.1, 1.0)), (1.0, removal(0.5, 0.98)), (2.0, removal(0.5, 0.99)), (3.0, removal(0.9, 0.9))]
    assert choose(curve) == 1.0
    assert choose(curve, precision=0.9) == 3.0


def test_where_none_is_precise_the_most_precise_is_chosen() -> None:
    assert choose([(0.0, removal(0.1, 0.7)), (1.0, removal(0.2, 0.9)), (2.0, removal(0.9, 0.5))]) == 1.0
