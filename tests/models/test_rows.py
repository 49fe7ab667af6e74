import numpy as np

from models.rows import Selection, blocks, draw

MATRIX = np.arange(60, dtype=np.float32).reshape(20, 3)


def test_a_selection_reads_like_the_rows_it_stands_for() -> None:
    numbers = np.array([1, 4, 5, 19])
    selection = Selection(MATRIX, numbers)
    assert (len(selection), selection.shape) == (4, (4, 3))
    assert np.array_equal(selection[1:3], MATRIX[[4, 5]])
    assert np.array_equal(selection[np.array([3, 0])], MATRIX[[19, 1]])


def test_blocks_are_all_rows_in_order() -> None:
    for rows, whole in ((MATRIX, MATRIX), (Selection(MATRIX, np.arange(2, 17)), MATRIX[2:17])):
        parts = list(blocks(rows, 4))
        assert max(map(len, parts)) == 4
        assert np.array_equal(np.concatenate(parts), whole)


def test_draw_takes_distinct_rows_in_order() -> None:
    assert np.array_equal(draw(MATRIX, 20, 0), MATRIX)
    drawn = draw(Selection(MATRIX, np.arange(10)), 6, 0)
    assert len(drawn) == 6
    assert bool((np.diff(drawn[:, 0]) > 0).all())
    assert drawn[-1, 0] < 30
    assert np.array_equal(drawn, draw(Selection(MATRIX, np.arange(10)), 6, 0))
