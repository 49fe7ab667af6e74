import numpy as np
import pytest

from models.errors import InvalidInputError
from models.itq import fit_itq, fit_pca_sign, principal_directions


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


def test_principal_directions_diagonalise_the_covariance() -> None:
    features = _features()
    mean, variances, directions = principal_directions(features)
    covariance = np.cov((features - mean).T, bias=True)
    np.testing.assert_allclose(directions.T @ covariance @ directions, np.diag(variances), atol=1e-5)
    assert np.all(np.diff(variances) <= 0)


def test_same_seed_same_projection() -> None:
    np.testing.assert_array_equal(fit_itq(_features(), 8, 3).projection, fit_itq(_features(), 8, 3).projection)


def test_more_principal_signs_than_features_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at most 12 bits"):
        fit_pca_sign(_features(), 16)
