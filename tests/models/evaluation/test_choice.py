import numpy as np
import pytest

from models.evaluation.baselines import baselines
from models.evaluation.choice import choose
from models.evaluation.quality import Evaluation
from models.evaluation.similar import COLUMNS, LOSS, Clustering, SimilarTrial
from models.evaluation.split import Split


def _made(seed: int = 0) -> tuple[Split, SimilarTrial]:
    """Items of four clusters: a split whose labels are the clusters, and a trial with the same clustering twice."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 4, 460)
    features = (2 * rng.standard_normal((4, 9))[which] + rng.standard_normal((460, 9))).astype(np.float32)
    base, queries = features[60:], features[:60]
    names = which.astype(np.str_)
    split = Split(base, queries, names[60:], names[:60], np.arange(400), np.arange(60))
    clustering = Clustering(which[60:].astype(np.int32), which[:60].astype(np.int32))
    return split, SimilarTrial(queries, base, [clustering, clustering])


@pytest.mark.parametrize("bits", [8, 72])
def test_columns_are_those_of_the_quality_table(bits: int) -> None:
    split, trial = _made()
    for name, encode in baselines(split.base, bits).items():
        found = Evaluation(split).codes(name, encode)
        expected = (found.recall_10_at_10, found.recall_10_at_100, found.precision_at_10, found.precision_at_100)
        assert trial.columns(encode) == pytest.approx(dict(zip(COLUMNS, expected, strict=True)), abs=1e-9)


def test_several_clusterings_are_averaged() -> None:
    split, trial = _made()
    encode = baselines(split.base, 16)["PCA-ITQ"]
    one = np.zeros(400, np.int32)
    mixed = SimilarTrial(split.queries, split.base, [trial._clusterings[0], Clustering(one, one[:60])])
    found, alone = mixed.columns(encode), trial.columns(encode)
    for column in COLUMNS[2:]:
        assert found[column] == pytest.approx((1 + alone[column]) / 2)


def test_fewer_items_than_the_depth() -> None:
    split, trial = _made()
    few = SimilarTrial(
        split.queries, split.base[:40], [Clustering(trial._clusterings[0].base[:40], trial._clusterings[0].held_out)]
    )
    assert few.columns(baselines(split.base, 16)["PCA-ITQ"])["R 10@100"] == 1.0


def test_a_loss_counts_more_than_a_gain() -> None:
    _, trial = _made()
    reference = dict.fromkeys(COLUMNS, 0.5)
    assert trial.score(reference, reference) == 0
    own = {**reference, "R 10@10": 0.7, "clusters@100": 0.4}
    assert trial.score(own, reference) == pytest.approx((0.2 - LOSS * 0.1) / 4)


def test_the_best_is_kept_and_the_choice_says_why() -> None:
    split, trial = _made()
    candidates = baselines(split.base, 16)
    exact = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    # As many thresholds as there is room for: nearly the features themselves.
    steps = np.linspace(-4, 4, 40)
    fine = lambda rows: ((rows @ exact)[:, :, None] > steps).reshape(len(rows), -1).astype(np.float32) - 0.5  # noqa: E731
    found = {name: trial.columns(encode) for name, encode in {**candidates, "fine": fine}.items()}
    choice = choose(trial, found)
    assert choice.kept == choice.scores[0].name == "fine"
    assert [score.score for score in choice.scores] == sorted((s.score for s in choice.scores), reverse=True)
    assert {score.name: score.score for score in choice.scores}["PCA-ITQ"] == 0
    assert choice.why.startswith(f"score {choice.scores[0].score:+.4f} against PCA-ITQ on 60 held-out items; next")
    assert choice.scores[0].columns == found["fine"]
    assert "held-out" in choice.criterion
    noise = trial.columns(lambda rows: np.sin(1e4 * rows).repeat(2, axis=1)[:, :16])
    assert choose(trial, {"PCA-ITQ": found["PCA-ITQ"], "noise": noise}).kept == "PCA-ITQ"
