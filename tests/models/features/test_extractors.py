import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from models.features.image import ImageTooLargeError
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.text import TextTooLongError
from models.features.vector import VectorFeatures


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def text() -> StaticFeatures:
    return StaticFeatures.pretrained()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1.0, 2.0], "expected a vector of 3 numbers, got 2"),
        ([1.0, float("nan"), 2.0], "finite float32 numbers, got nan at place 1"),
        ([1.0, 2.0, 1e300], "finite float32 numbers, got 1e\\+300 at place 2"),
        ([[1.0], [2.0, 3.0], [4.0]], "got a nested list"),
        (["a", "b", "c"], "got values of type"),
        ([True, False, True], "got values of type bool"),
        ("text", "got an array of shape"),
    ],
)
def test_vector_says_what_is_wrong(document: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        VectorFeatures(3).row(document)


def test_unit_scale_survives_numbers_whose_square_overflows() -> None:
    assert VectorFeatures(2, "unit").row([3e38, 0.0]).tolist() == [1.0, 0.0]
    with pytest.raises(InvalidInputError, match="all zeros"):
        VectorFeatures(2, "unit").row([0.0, 0.0])


def test_an_image_is_the_same_as_its_png_and_comes_back() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    features = PixelFeatures(8, 8)
    assert np.array_equal(features.row(pixels), pixels.reshape(-1) / np.float32(255))
    assert np.array_equal(features.row(png(pixels)), features.row(pixels))
    assert np.array_equal(np.asarray(features.image(features.row(pixels))), pixels)


def test_sixteen_bits_and_transparency_are_scaled_not_clipped() -> None:
    deep = np.full((4, 4), 0x8000, np.uint16)
    assert PixelFeatures(4, 4).row(png(deep))[0] == pytest.approx(128 / 255)
    clear = np.zeros((4, 4, 4), np.uint8)
    assert PixelFeatures(4, 4).row(png(clear))[0] == 1.0


@pytest.mark.parametrize(("mode", "shape"), [("L", (5, 7)), ("RGB", (5, 7, 3))])
def test_a_row_as_png_is_the_same_row_again_cut_to_what_pixels_can_be(mode: str, shape: tuple[int, ...]) -> None:
    features = PixelFeatures(7, 5, mode)
    pixels = np.random.default_rng(4).integers(0, 256, shape, dtype=np.uint8)
    row = features.row(png(pixels))
    encoded = features.png(row)
    assert Image.open(io.BytesIO(encoded)).format == "PNG"
    assert np.array_equal(features.row(encoded), row)
    # A decoder's rows may lie beyond black and white.
    beyond = row * 2 - np.float32(0.5)
    again = features.row(features.png(beyond))
    assert np.abs(again - np.clip(beyond, 0, 1)).max() <= 0.5 / 255 + 1e-6
    assert again.min() == 0 and again.max() == 1


def test_image_says_what_is_wrong() -> None:
    features = PixelFeatures(8, 8, max_pixels=10_000)
    whole = png(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    with pytest.raises(InvalidInputError, match="none of these"):
        features.row(b"not an image")
    with pytest.raises(InvalidInputError, match="damaged or truncated"):
        features.row(whole[: len(whole) // 2])
    with pytest.raises(ImageTooLargeError, match="at most 10000 pixels, got 200 x 100"):
        features.row(png(np.zeros((100, 200), np.uint8)))


def test_every_truncation_of_a_png_is_refused_and_no_flipped_byte_changes_a_row() -> None:
    whole = png(np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8))
    features = PixelFeatures(16, 16)
    expected = features.row(whole)
    for length in range(len(whole)):
        with pytest.raises(InvalidInputError):
            features.row(whole[:length])
        with contextlib.suppress(InvalidInputError):
            flipped = whole[:length] + bytes([whole[length] ^ 1]) + whole[length + 1 :]
            assert np.array_equal(features.row(flipped), expected)


def test_text_of_like_meaning_is_nearer(text: StaticFeatures) -> None:
    query = text.row("delete a directory and everything in it")
    near = text.row("Recursively remove a folder tree")
    far = text.row("Return the hyperbolic cosine of x")
    assert np.linalg.norm(query) == pytest.approx(1, abs=1e-6)
    assert query @ near > query @ far + 0.1


def test_text_is_restored_from_its_files(text: StaticFeatures) -> None:
    again = StaticFeatures.load(text.settings(), text.files())
    assert np.array_equal(again.row("the same text"), text.row("the same text"))


@pytest.mark.parametrize("empty", ["", "  \n\t"])
def test_text_says_what_is_wrong(text: StaticFeatures, empty: str) -> None:
    with pytest.raises(InvalidInputError, match="got an empty one"):
        text.row(empty)
    with pytest.raises(InvalidInputError, match="lone surrogate"):
        text.row("\ud800")
    with pytest.raises(InvalidInputError, match="expected a text, got bytes"):
        text.row(b"bytes")
    with pytest.raises(TextTooLongError, match="at most 100000 characters, got 100001"):
        text.row("a" * 100_001)
