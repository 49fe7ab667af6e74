import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from scripts.datasets import open_dataset


def test_digits_are_whole() -> None:
    data = open_dataset("digits")
    items = list(data.walk())
    assert data.size == len(items) == 1797
    assert len({item.id for item in items}) == 1797
    assert {item.label for item in items} == set("0123456789")


def test_pydocs_are_many_and_distinct() -> None:
    data = open_dataset("pydocs")
    items = {item.id: item for item in data.walk()}
    assert data.size == len(items) > 4000
    assert items["threading.Timer"].label == "threading"
    assert items["threading.Timer"].document.startswith("threading.Timer: Call a function after a specified number")
    assert items["sched"].label == "sched"


def test_fashion_mnist_is_read_from_idx_files(tmp_path) -> None:
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (size, 4, 3), np.uint8) for part, size in (("train", 5), ("t10k", 2))}
    for part, pixels in images.items():
        content = b"\0\0\x08\3" + struct.pack(">3I", *pixels.shape) + pixels.tobytes()
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        labels = b"\0\0\x08\1" + struct.pack(">I", len(pixels)) + bytes(range(len(pixels)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    items = list(open_dataset("fashion-mnist", tmp_path).walk())
    assert [item.label for item in items] == ["0", "1", "2", "3", "4", "0", "1"]
    assert np.array_equal(items[6].document, images["t10k"][1])
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\2\1")
    with pytest.raises(InvalidInputError, match="damaged"):
        open_dataset("fashion-mnist", tmp_path)


def test_missing_fashion_mnist_says_how_to_get_it(tmp_path) -> None:
    with pytest.raises(InvalidInputError, match=r"apt install dataset-fashion-mnist.*--data-dir"):
        open_dataset("fashion-mnist", tmp_path)


def test_a_folder_of_images(tmp_path) -> None:
    for name in ("b/2.png", "a/1.png", "0.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 3)).save(tmp_path / name)
    items = list(open_dataset(str(tmp_path)).walk())
    assert [(item.id, item.label) for item in items] == [("0.jpg", None), ("a/1.png", "a"), ("b/2.png", "b")]


def test_npz_that_is_not_as_expected_says_so(tmp_path) -> None:
    path = tmp_path / "x.npz"
    for arrays, message in (
        ({"x": np.zeros((3, 4), np.int64)}, "expected x .* got \\(3, 4\\) int64"),
        ({"z": np.zeros(3)}, "array x"),
        ({"x": np.zeros((3, 4)), "y": np.zeros(2)}, "one label a row"),
        ({"x": np.asfortranarray(np.ones((3, 4)))}, "Fortran order"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(InvalidInputError, match=message):
            open_dataset(str(path))
