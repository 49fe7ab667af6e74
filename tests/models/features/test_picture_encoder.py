"""Image encoders: what a folder says of preprocessing is what the graph sees."""

import io
import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from models.features import load_features
from models.features.encoder_folder import image_settings, open_encoder
from models.features.image import ImageTooLargeError
from models.features.picture_encoder import PictureEncoder
from models.features.preprocessing import Preprocessing
from tests.encoders import WIDTH, image_graph, write_image_encoder

NOISE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def preprocessing(**settings: Any) -> Preprocessing:
    return Preprocessing(**{"height": 16, "width": 16, "fit": "stretch", **settings})


def picture(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_pixels_are_scaled_centred_and_laid_out_as_the_settings_say() -> None:
    pixels = NOISE[:16, :16]
    image = Image.fromarray(pixels)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    expected = ((pixels / 255 - mean) / std).astype(np.float32)
    found = preprocessing(mean=mean, std=std, layout="NHWC").apply(image)
    np.testing.assert_allclose(found, expected[None], atol=1e-5)
    found = preprocessing(mean=mean, std=std).apply(image)
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1)[None], atol=1e-5)
    found = preprocessing(scale=1.0, channels="BGR").apply(image)
    np.testing.assert_allclose(found, pixels[..., ::-1].transpose(2, 0, 1)[None])
    grey = preprocessing(scale=1.0).apply(Image.fromarray(pixels[..., 0]))
    np.testing.assert_allclose(grey[0], np.broadcast_to(pixels[..., 0], (3, 16, 16)))


def test_a_crop_is_that_of_the_resized_image_and_padding_is_white() -> None:
    image = Image.fromarray(NOISE)
    # 60 x 90 to a shorter side of 20: 20 x 30, of which the middle 16 x 16 is columns 7 to 23, rows 2 to 18.
    whole = np.asarray(image.resize((30, 20), Image.Resampling.BILINEAR), np.float32)
    found = preprocessing(fit="crop", shortest=20, scale=1.0, resample="bilinear").apply(image)[0]
    assert np.abs(found - whole[2:18, 7:23].transpose(2, 0, 1)).max() <= 1
    padded = preprocessing(fit="pad", scale=1.0).apply(image)[0]
    # 16 wide is 11 high: white above and below.
    assert (padded[:, :2] == 255).all() and (padded[:, -3:] == 255).all() and padded[:, 2:13].min() < 200


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1, 3_000_000), (3_000_000, 1), (1, 1)])
def test_long_images_take_no_more_memory_than_others(fit: str, size: tuple[int, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = preprocessing(fit=fit, shortest=20 if fit == "crop" else None).apply(Image.new("RGB", size, "red"))
    assert found.shape == (1, 3, 16, 16) and np.isfinite(found).all()
    # Resized as a whole, to 20 x 60,000,000, one would take 3.6 GB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        # As CLIP, ViT and ConvNeXT write it.
        (
            {
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "size": {"shortest_edge": 256},
                "resample": 3,
            },
            {"fit": "crop", "shortest": 256, "height": 224, "width": 224, "resample": "bicubic"},
        ),
        ({"size": 224, "resample": 2}, {"fit": "stretch", "height": 224, "width": 224, "resample": "bilinear"}),
        ({"size": {"height": 192, "width": 256}}, {"fit": "stretch", "height": 192, "width": 256}),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"fit": "crop", "shortest": 256, "height": 224}),
        ({"size": 8, "do_normalize": True, "image_mean": [0, 0, 1], "image_std": [1, 2, 3]}, {"mean": [0.0, 0.0, 1.0]}),
        ({"size": 8, "do_normalize": False, "image_mean": [9, 9, 9]}, {}),
        ({"size": 8, "do_rescale": False}, {"scale": 1.0}),
        ({"size": 8, "rescale_factor": 0.5}, {"scale": 0.5}),
    ],
)
def test_processors_of_transformers_are_read(
    tmp_path: Path, processor: dict[str, Any], expected: dict[str, Any]
) -> None:

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    found = image_settings(tmp_path, {})
    assert {key: found[key] for key in expected} == expected
    assert ("mean" in found) == (processor.get("do_normalize", True) and "image_mean" in processor)


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        ({"do_pad": True}, "in preprocessor_config.json, got do_pad"),
        ({"size": None}, "expected a size in preprocessor_config.json, got none"),
        ({"image_std": [0, 1, 1]}, "features/preprocessing/std/0 on the card: .*, got 0.0"),
        ({"image_mean": [0.5]}, "features/preprocessing/mean on the card"),
    ],
)
def test_what_a_processor_does_that_is_not_known_here_is_refused(
    tmp_path: Path, processor: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        open_encoder(write_image_encoder(tmp_path / "encoder", **processor))


@pytest.mark.parametrize("half", [False, True])
def test_a_row_is_the_convolution_by_hand_and_the_same_alone_and_among_many(tmp_path: Path, half: bool) -> None:
    made = open_encoder(write_image_encoder(tmp_path / "encoder", image_graph(half=half)))
    assert isinstance(made, PictureEncoder) and made.dimension == WIDTH
    kernel = np.random.default_rng(9).standard_normal((WIDTH, 3, 3, 3))
    pixels = NOISE[:16, :16]
    seen = (pixels.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    windows = np.lib.stride_tricks.sliding_window_view(seen, (3, 3), axis=(1, 2))
    expected = np.maximum(np.einsum("cijkl,ockl->oij", windows, kernel), 0).mean(axis=(1, 2))
    row = made.row(picture(pixels))
    np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=5e-3 if half else 1e-5)
    many = [NOISE[at : at + 20, at : at + 30] for at in range(40)]
    rows, faults = made.rows([*many, b"no image"])
    assert list(faults) == [40]
    assert all(np.array_equal(made.row(image), row) for image, row in zip(many, rows, strict=False))
    loaded = load_features(made.settings(), made.files())
    assert np.array_equal(loaded.rows(many).rows, rows[:40])


def test_limits_and_cards_are_checked(tmp_path: Path) -> None:
    made = open_encoder(write_image_encoder(tmp_path / "encoder"))
    made.limit(max_characters=1, max_pixels=100)
    with pytest.raises(ImageTooLargeError):
        made.check(picture(NOISE))
    settings = made.settings()
    for wrong, message in (
        ({"dimension": 9}, f"features/dimension: expected {WIDTH}"),
        ({"pooling": "cls"}, "of 3 axes"),
        ({"preprocessing": {**settings["preprocessing"], "fit": "tile"}}, "features/preprocessing/fit on the card"),
        ({"preprocessing": {**settings["preprocessing"], "height": 17}}, "expected a document that the encoder takes"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            load_features({**settings, **wrong}, made.files())


def test_whatever_a_resampling_raises_is_that_image_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = open_encoder(write_image_encoder(tmp_path / "encoder"))

    def fail(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "resize", fail)
    _, faults = made.rows([picture(NOISE[:20, :30]), NOISE[:20, :30]])
    assert list(faults) == [0, 1]
    assert all("more memory than there is" in str(fault) for fault in faults.values())
