"""Natural near-copies are the pairs that brute force finds."""

import numpy as np

from scripts.quality.natural import near_copies, shingles


def test_shingles_are_of_the_normalised_text() -> None:
    assert shingles("ABC  def") == {"abc d", "bc de", "c def"}
    assert shingles("ﬁx\nit") == {"fix i", "ix it"}
    assert shingles("ab") == {"ab"}


def test_a_pair_worked_by_hand() -> None:
    # abcdefgh has 4 shingles, abcdefgx shares 3 of them: 3 of 5.
    texts = ["abcdefgh", "zzzzzzzz", "abcdefgx"]
    assert near_copies(texts, 0.6).tolist() == [[0, 2]]
    assert near_copies(texts, 0.61).tolist() == []


def test_all_pairs_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), 4)) for _ in range(12)]
    texts = [" ".join(rng.choice(words, rng.integers(1, 12))) for _ in range(700)]
    sets = [shingles(text) for text in texts]
    expected = [
        [first, second]
        for first in range(len(texts))
        for second in range(first + 1, len(texts))
        if 2 * len(sets[first] & sets[second]) >= len(sets[first] | sets[second])
    ]
    assert len(expected) > 50
    assert near_copies(texts, 0.5).tolist() == expected
