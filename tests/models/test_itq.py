import numpy as np
import pytest

from models.errors import InvalidInputError
from models.itq import fit_itq, fit_pca_sign, fit_signs, principal_directions


def _features(n: int = 500, d: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, d)) * np.linspace(3, 0.5, d) + 7).astype(np.float32)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_projection_is_a_rotation_or_a_frame(bits: int) -> None:
    projection = fit_itq(_features(), bits).projection
    gram = projection.T @ projection if bits <= 12 else projection @ projection.T
    np.testing.assert_allclose(gram, np.eye(min(bits, 12)), atol=1e-9)


def test_itq_quantises_better_than_the_principal_directions() -> None:
    features = _features()

    def error(logits: np.ndarray) -> float:
        return float(np.sum((np.abs(logits) - 1) ** 2))

    assert error(fit_itq(features, 8).logits(features)) < error(fit_pca_sign(features, 8).logits(features))


@pytest.mark.parametrize("items", [500, 12, 7])
def test_principal_directions_diagonalise_the_covariance(items: int) -> None:
    features = _features(items)
    mean, variances, directions = principal_directions(features)
    covariance = np.cov((features - mean).T, bias=True)
    np.testing.assert_allclose(directions.T @ covariance @ directions, np.diag(variances), atol=1e-5)
    np.testing.assert_allclose(directions.T @ directions, np.eye(12), atol=1e-9)
    assert np.all(np.diff(variances) <= 0)


def test_same_seed_same_projection() -> None:
    np.testing.assert_array_equal(fit_itq(_features(), 8, 3).projection, fit_itq(_features(), 8, 3).projection)


def test_more_principal_signs_than_features_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at most 12 bits"):
        fit_pca_sign(_features(), 16)


def test_unrotated_signs_cut_each_feature_at_its_quantiles() -> None:
    features = _features()
    ones = (fit_signs(features, 32).logits(features) > 0).mean(axis=0)
    # 12 features, the first ones have the largest variance: 8 of them have 3 bits, the others 2.
    expected = [1 - 1 / 4] * 8 + [1 - 1 / 3] * 4 + [1 - 2 / 4] * 8 + [1 - 2 / 3] * 4 + [1 - 3 / 4] * 8
    np.testing.assert_allclose(ones, expected, atol=0.004)
    projection = fit_signs(features, 12).projection
    np.testing.assert_array_equal(projection, np.eye(12)[:, np.argsort(-features.var(axis=0), kind="stable")].T)
    with pytest.raises(InvalidInputError, match="at least 12 bits"):
        fit_signs(features, 8)
