"""Cards name their extractor and its settings; cards of the first release give the same features as ever."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from models.features import EXTRACTORS, load_features
from models.features.normalisation import Normalisation
from models.features.static import StaticFeatures

# Made by the code of the first release.
TEXTS = ("Delete  a Directory", "delete a directory", "ﬁne\u200b Über\u00a0e\u0301", "  x  ")
TEXT_ROWS = "b8b213021341dca65beffdb0b7ef8d0ac83a26c07971168925dc4ec763e6b8d2"
IMAGE_ROW = "412715e817e9cc8b0888701b06ef844a54836acd69ea5e072cfb419544f771c2"
VECTOR_ROW = "66cfd162d49b6fa21535639d884acb1ea49e454d486d9c7a841b0e61d2769d01"


def sha256(rows: np.ndarray) -> str:
    return hashlib.sha256(rows.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return StaticFeatures.pretrained().files()


def test_cards_of_the_first_release_give_the_same_bytes(files: dict[str, bytes]) -> None:
    text = load_features({"modality": "text", "dimension": 256}, files)
    assert sha256(text.rows(TEXTS).rows) == TEXT_ROWS
    png = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 12)).save(png, "PNG")
    image = load_features({"modality": "image", "width": 5, "height": 3, "mode": "RGB"}, {})
    assert sha256(image.row(png.getvalue())) == IMAGE_ROW
    vector = load_features({"modality": "vector", "dimension": 3, "scale": "unit"}, {})
    assert sha256(vector.row([1, 2, 3.5])) == VECTOR_ROW


def test_each_extractor_is_registered_once() -> None:
    known = [(each.modality, each.name) for each in EXTRACTORS]
    assert len(set(known)) == len(known)


VECTOR = {"extractor": "vector", "modality": "vector", "dimension": 3, "scale": "none"}
PIXELS = {"extractor": "pixels", "modality": "image", "width": 5, "height": 3, "mode": "L"}
STATIC = {
    "extractor": "static",
    "modality": "text",
    "dimension": 256,
    "normalisation": {"unicode": "NFKC", "invisible": "removed", "white_space": "one space", "case": "folded"},
}


@pytest.mark.parametrize("settings", [VECTOR, PIXELS, STATIC, {**STATIC, "normalisation": None}])
def test_settings_are_read_as_they_were_written(settings: dict[str, Any], files: dict[str, bytes]) -> None:
    found = load_features(settings, files).settings()
    assert found == {key: value for key, value in settings.items() if value is not None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "features/modality: expected vector, image, text, got None"),
        ({**VECTOR, "modality": "sound"}, "features/modality: expected vector, image, text, got 'sound'"),
        ({**VECTOR, "extractor": "pixels"}, r"features/extractor: expected one for vector \(vector\), got 'pixels'"),
        ({**VECTOR, "dimension": 0}, "features/dimension on the card: .*, got 0"),
        ({**VECTOR, "dimension": "3"}, "features/dimension on the card: .*, got '3'"),
        ({**VECTOR, "scale": "half"}, "features/scale on the card: .*, got 'half'"),
        ({**VECTOR, "extra": 1}, "features/extra on the card: .*, got 1"),
        ({**PIXELS, "width": True}, "features/width on the card: .*, got True"),
        ({**PIXELS, "mode": "CMYK"}, "features/mode on the card: .*, got 'CMYK'"),
        ({"modality": "image", "width": 5, "mode": "L"}, "features/height on the card: .*, got nothing"),
        ({**STATIC, "dimension": 255}, "features/dimension: expected 256, .*, got 255"),
        ({**STATIC, "normalisation": {"case": "upper"}}, "features/normalisation/case on the card: .*, got 'upper'"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], message: str, files: dict[str, bytes]) -> None:
    with pytest.raises(InvalidInputError, match=message):
        load_features(settings, files)


def test_a_change_of_normalisation_is_a_change_of_features(files: dict[str, bytes]) -> None:
    kept = StaticFeatures.pretrained(Normalisation(case="kept"))
    assert not np.array_equal(kept.row("Turing"), StaticFeatures.pretrained(Normalisation()).row("Turing"))
