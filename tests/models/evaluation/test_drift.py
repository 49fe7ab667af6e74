"""Fingerprints and drift: by hand, by trained hashers, and no more false alarms than were promised."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from models.codes import pack
from models.evaluation.drift import Drift, Shift, drift
from models.evaluation.fingerprint import Fingerprint, reconstruction_errors, take_fingerprint
from models.features.vector import VectorFeatures
from models.hasher import Hasher
from models.itq import fit_pca_sign, principal_directions
from models.training.candidates import as_network
from models.training.config import Config
from models.training.export import export_decoder, export_encoder
from tests.conftest import DIMENSION


@pytest.fixture(scope="module")
def hasher(hashers: Path) -> Hasher:
    """Trained on standard normal vectors."""
    return Hasher.load(hashers / "vectors@1")


def normal(seed: int, items: int = 1000) -> np.ndarray:
    return np.random.default_rng((5, seed)).standard_normal((items, DIMENSION)).astype(np.float32)


def seen(hasher: Hasher, rows: np.ndarray, with_errors: bool = True) -> Drift:
    fingerprint = Fingerprint.of_card(hasher.card)
    assert fingerprint is not None
    codes = pack(hasher.logits(rows))
    return drift(fingerprint, codes, reconstruction_errors(hasher, codes, rows) if with_errors else None)


def test_training_writes_the_fingerprint_of_the_items_it_held_out(hasher: Hasher) -> None:
    # As tests/conftest.py makes them, and scripts/train.py splits them.
    vectors = np.random.default_rng(0).standard_normal((400, DIMENSION)).astype(np.float32)
    held = np.sort(np.random.default_rng(0).permutation(400)[:80])
    taken = take_fingerprint(hasher, vectors[held])
    assert Fingerprint.of_card(hasher.card) == taken
    bits = hasher.logits(vectors[held]) > 0
    assert taken.share_of_ones == bits.mean(axis=0).tolist()
    errors = ((hasher.decode(pack(bits)).astype(float) - vectors[held]) ** 2).mean(axis=1)
    assert taken.mean_error == pytest.approx(errors.mean())
    # The 0.25, 0.5, 0.75 and 0.95 quantiles of 80.
    assert taken.above == [0.75, 0.5, 0.25, 0.05]
    assert taken.errors[1] == pytest.approx(np.median(errors))


def test_hashers_of_before_have_none() -> None:
    assert Fingerprint.of_card({"name": "old"}) is None


@pytest.mark.parametrize("items", [60, 1000])
def test_the_same_distribution_is_no_drift(hasher: Hasher, items: int) -> None:
    assert {seen(hasher, normal(seed, items)).verdict for seed in range(20)} == {"as in training"}


def test_other_distributions_are(hasher: Hasher) -> None:
    moved = seen(hasher, normal(0) + 1)
    assert moved.drifting and moved.bits and moved.bits.drifted > 5
    assert moved.verdict.startswith(
        f"drifting: {moved.bits.drifted} of 64 bits are set more or less often than in training"
    )
    # What the decoder made itself, it makes again.
    remembered = hasher.decode(pack(hasher.logits(normal(2))))
    assert "items lose less in reconstruction than in training" in seen(hasher, remembered).verdict


def test_where_every_bit_is_set_as_often_as_before_reconstruction_tells() -> None:
    rows = normal(3)
    principal = principal_directions(rows)
    trained = as_network(fit_pca_sign(rows, 8, principal), rows, principal, Config(8))
    encoder, decoder = (graph(trained.network, trained.projection) for graph in (export_encoder, export_decoder))
    hasher = Hasher({"name": "t", "version": 1, "bits": 8}, VectorFeatures(DIMENSION), encoder, decoder)
    hasher.card["fingerprint"] = asdict(take_fingerprint(hasher, normal(4)))
    wider = normal(1) * 4
    assert seen(hasher, wider, with_errors=False).verdict == "as in training"
    told = seen(hasher, wider)
    assert told.verdict.startswith("drifting: items lose more in reconstruction than in training")
    assert told.error_ratio and told.error_ratio > 5


def test_a_shift_by_hand() -> None:
    # 8 bits, all set in half of 100 items; now 100 items with bit 0 always set, bits 1 to 7 in half of them.
    fingerprint = Fingerprint(100, [0.5] * 8, 2.0, [1.0, 2.0, 3.0, 4.0], [0.75, 0.5, 0.25, 0.05])
    codes = np.where(np.arange(100)[:, None] % 2, 0xFF, 0x01).astype(np.uint8)
    told = drift(fingerprint, codes, np.full(100, 2.5))
    # Of all 200, bit 0 is set in three quarters: sqrt(3 / 16 * 2 / 100).
    assert told.bits == Shift(1, 8, 0, 0.5, 1.0, pytest.approx(0.0612372))
    assert told.errors == Shift(3, 4, 1, 0.5, 1.0, pytest.approx(0.0612372))
    assert told.error_ratio == 1.25
    assert told.verdict == (
        "drifting: 1 of 8 bits are set more or less often than in training (bit 0 in 100% of the items instead of "
        "50%); "
        "items lose more in reconstruction than in training (100% of the errors are above what 50% were above)"
    )
    # What is within chance of 100 items would not be of 10,000.
    slightly = np.where(np.arange(10_000) % 100 < 58, 0xFF, 0x00).astype(np.uint8)[:, None]
    assert drift(fingerprint, slightly, None).verdict == "as in training"
    many = Fingerprint(10_000, [0.5] * 8, 2.0, [1.0], [0.5])
    assert drift(many, slightly, None).bits == Shift(8, 8, 0, 0.5, 0.58, pytest.approx(0.00704840))


def test_too_few_to_tell() -> None:
    few, enough = Fingerprint(49, [0.5] * 8, 1.0, [1.0], [0.5]), Fingerprint(50, [0.5] * 8, 1.0, [1.0], [0.5])
    codes = np.zeros((50, 1), np.uint8)
    assert drift(few, codes, None) == Drift(
        "too few items held out in training to tell: 49, expected at least 50", None
    )
    assert drift(enough, codes[:49], None) == Drift("too few items to tell: 49, expected at least 50", None)
    assert drift(enough, codes, None).drifting is True
    # A bit that is never set, before and now.
    assert drift(Fingerprint(50, [0.0] * 8, 1.0, [1.0], [0.5]), codes, None).verdict == "as in training"
