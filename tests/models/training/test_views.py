import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from sklearn.datasets import load_digits

from models.evaluation.baselines import baselines
from models.features.ngrams import NgramFeatures
from models.features.pixels import PixelFeatures
from models.features.vector import VectorFeatures
from models.training.candidates import Training, encoder_of, train
from models.training.config import Config
from models.training.network import Autoencoder, binary_code
from models.training.objectives import DUPLICATES
from models.training.prepare import draw_sample
from models.training.sample import VIEWED
from models.training.terms.step import Data, Step
from models.training.terms.views import TEMPERATURE, Views
from models.training.views import PICTURE, TEXT, VIEWS, view, view_rows, views_of

torch.set_num_threads(1)
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody in the whole village has ever seen it happen twice."


@pytest.mark.parametrize("alter", TEXT)
def test_every_alteration_of_a_text_changes_it_and_leaves_most_of_it(alter) -> None:
    made = [alter(SENTENCE, random.Random(seed)) for seed in range(20)]
    assert made == [alter(SENTENCE, random.Random(seed)) for seed in range(20)]
    assert sum(text != SENTENCE for text in made) >= 15
    features = NgramFeatures()
    assert np.mean([features.row(text) @ features.row(SENTENCE) for text in made]) > 0.6
    for short in ("a", "two words"):
        assert alter(short, random.Random(0)).strip()


@pytest.mark.parametrize("change", PICTURE)
def test_every_alteration_of_a_picture_changes_it_and_leaves_most_of_it(change) -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 48), Image.Resampling.BICUBIC)
    features = PixelFeatures(16, 16, "RGB")
    clean = features.row(np.asarray(picture))
    for seed in range(5):
        made = change(picture.copy(), random.Random(seed))
        assert made.mode == "RGB"
        row = features.row(np.asarray(made))
        assert 0 < np.abs(row - clean).mean() < 0.35
        assert change(Image.new("RGB", (1, 1)), random.Random(seed)).mode == "RGB"


def test_views_are_drawn_by_the_seed_and_large_pictures_become_small() -> None:
    texts = [f"{SENTENCE} {number}" for number in range(70)]
    features = NgramFeatures()
    first, again, other = (np.concatenate(list(view_rows(features, texts, seed))) for seed in (1, 1, 2))
    assert first.shape == (70, VIEWS, features.dimension)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    large = np.full((900, 1200, 3), 200, np.uint8)
    assert max(np.asarray(view(large, "image", random.Random(3))).shape) < 400


def test_a_view_that_cannot_be_used_gives_way_to_its_document() -> None:
    features = NgramFeatures()
    features.limit(len(SENTENCE), 10**6)
    (rows,) = view_rows(features, [SENTENCE] * 20, 0)
    clean = features.row(SENTENCE)
    assert np.isfinite(rows).all()
    assert (rows == clean).all(axis=2).sum() > 5
    assert np.linalg.norm(rows, axis=2).min() > 0.9


def test_views_of_a_vector_are_the_vector_with_noise() -> None:
    vectors = (np.random.default_rng(0).standard_normal((64, 8)) * np.arange(1, 9)).astype(np.float32)
    for given, strength in (({}, 0.3), ({"vector_noise": 0.05}, 0.05)):
        (rows,) = view_rows(VectorFeatures(8), list(vectors), 0, number=50, **given)
        noise = rows - vectors[:, None]
        assert noise.std(axis=(0, 1)) == pytest.approx(strength * vectors.std(axis=0), rel=0.1)


def test_the_term_by_hand() -> None:
    network = Autoencoder(6, 8, 0, seed=0)
    clean, seen = torch.randn(4, 6), torch.randn(4, 6)
    clean[3] = clean[1]
    rows = torch.tensor([0, 1, 2, 1])
    logits = network.encoder(seen)
    sample = draw_sample(np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32), Config())
    term = Views(Data(sample, network, lambda: rows, torch.Generator()))
    found = float(term(Step(network, rows, clean, seen, logits, binary_code(logits))).detach())
    near = (binary_code(logits) @ binary_code(network.encoder(clean)).T / 8 / TEMPERATURE).detach().numpy()
    losses = []
    for own in range(4):
        others = [other for other in range(4) if other == own or rows[other] != rows[own]]
        losses.append(np.log(np.exp(near[own, others]).sum()) - near[own, own])
    assert found == pytest.approx(np.mean(losses), rel=1e-5)


def test_three_in_four_items_are_seen_as_one_of_their_views() -> None:
    features = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    sample = replace(draw_sample(features, Config()), views=torch.full((40, 3, 6), 7.0))
    seen = sample.view(torch.randint(40, (8000,)), torch.Generator().manual_seed(0))
    assert float((seen == 7).all(dim=1).float().mean()) == pytest.approx(VIEWED, abs=0.02)


def test_codes_of_altered_items_that_were_not_trained_on_stay_near() -> None:
    """Blurred more than in training, on items that were held out: the original at rank 1."""
    images = [(image * 15.9).astype(np.uint8) for image in load_digits().images[:700]]
    pictures = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)) for image in images]
    features = PixelFeatures(16, 16, "L")
    rows = features.rows(pictures).rows
    training = Training(views=views_of(features, pictures[:500], 0))
    kept = train(rows[:500], Config(64, DUPLICATES, epochs=12), training)
    edited = [np.asarray(Image.fromarray(one).filter(ImageFilter.BoxBlur(3)).rotate(7)) for one in pictures[500:]]
    queries = features.rows(edited).rows

    def at_rank_one(encode) -> float:
        base, wanted = (np.where(encode(some) > 0, 1, -1) for some in (rows[500:], queries))
        near = wanted @ base.T
        own = near.diagonal()[:, None]
        return float(np.mean((near > own).sum(axis=1) == 0))

    assert at_rank_one(encoder_of(kept.trained)) > at_rank_one(baselines(rows[:500], 64)["PCA-ITQ"]) + 0.03
