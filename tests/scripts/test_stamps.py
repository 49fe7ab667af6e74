"""The pictures of tuxpaint-stamps-default: read where the package puts them, with kinds and descriptions."""

import io
from pathlib import Path

import pytest
from PIL import Image

from models.errors import InvalidInputError
from scripts.datasets import open_dataset


def test_each_picture_has_its_kind_and_its_english_description(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "PNG")
    (tmp_path / "animals" / "birds").mkdir(parents=True)
    for name in ("hen", "owl"):
        (tmp_path / "animals" / "birds" / f"{name}.png").write_bytes(png.getvalue())
    (tmp_path / "animals" / "birds" / "hen.txt").write_text("A hen.\nde.utf8=Eine Henne.\n")
    data = open_dataset("stamps", tmp_path)
    hen, owl = data.walk()
    assert (data.name, data.size, data.modality) == ("stamps", 2, "image")
    assert (hen.id, hen.label, hen.payload) == (
        "animals/birds/hen.png",
        "animals",
        {"label": "animals", "text": "A hen."},
    )
    assert owl.payload == {"label": "animals"}


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"apt install tuxpaint-stamps-default.*--data-dir"):
        open_dataset("stamps", tmp_path / "none")
