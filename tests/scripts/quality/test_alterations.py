"""Every alteration makes another picture that is the same for the same seed, and takes any size."""

import numpy as np
import pytest
from PIL import Image

from scripts.quality.alterations import ALTERATIONS, Alteration, encoded


def picture(width: int, height: int) -> Image.Image:
    across = np.linspace(0, 255, width)[None, :, None] * np.array([1, 0.5, 0.2])
    down = np.linspace(0, 120, height)[:, None, None] * np.array([0.0, 1.0, 0.5])
    return Image.fromarray(np.clip(across + down, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=lambda each: each.name)
def test_it_changes_a_picture_the_same_way_for_the_same_seed(alteration: Alteration) -> None:
    original = picture(60, 40)
    first, again = (alteration.apply(original, np.random.default_rng(1)) for _ in range(2))
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != original.tobytes()
    # Still the same picture: at 8 x 8 pixels it is nearer to the original than the original turned round is.
    small, other, upset = (
        np.asarray(each.resize((8, 8), Image.Resampling.BOX), float)
        for each in (first, original, original.transpose(Image.Transpose.ROTATE_180))
    )
    assert np.abs(small - other).mean() < np.abs(upset - other).mean()


@pytest.mark.parametrize("alteration", ALTERATIONS, ids=lambda each: each.name)
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (28, 28)], ids=str)
def test_it_takes_any_size(alteration: Alteration, size: tuple[int, int]) -> None:
    altered = alteration.apply(picture(*size), np.random.default_rng(0))
    assert min(altered.size) >= 1


def test_an_encoded_picture_keeps_every_pixel() -> None:
    import io

    original = picture(20, 10)
    assert Image.open(io.BytesIO(encoded(original))).tobytes() == original.tobytes()
