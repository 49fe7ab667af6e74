from pathlib import Path

import pytest

from models.card import CARD
from models.errors import InvalidInputError
from models.folder import DamagedHasherError, read_folder, write_folder

CARD_OF_DIGITS = {
    **{"name": "digits", "version": 1, "modality": "image", "bits": 64, "objective": "hashing"},
    "features": {"modality": "image"},
    "metrics": {"loss": 0.25},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "digits@1"
    write_folder(path, CARD_OF_DIGITS, {"a.onnx": b"graph", "b.bin": b"\x00\x01"})
    return path


def test_what_was_written_is_read(folder: Path) -> None:
    card, files = read_folder(folder)
    assert card["name"] == "digits"
    assert card["metrics"] == {"loss": 0.25}
    assert files == {"a.onnx": b"graph", "b.bin": b"\x00\x01"}
    assert [path.name for path in folder.parent.iterdir()] == ["digits@1"]


def test_every_flipped_bit_of_every_file_is_refused(folder: Path) -> None:
    for path in folder.iterdir():
        original = path.read_bytes()
        for at in range(len(original)):
            for bit in range(8):
                changed = bytearray(original)
                changed[at] ^= 1 << bit
                path.write_bytes(changed)
                with pytest.raises(DamagedHasherError, match=str(folder)):
                    read_folder(folder)
        path.write_bytes(original)
    read_folder(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "a.onnx").unlink()
    with pytest.raises(DamagedHasherError, match=r"a\.onnx cannot be read"):
        read_folder(folder)


def test_a_folder_is_never_written_over(folder: Path) -> None:
    before = (folder / CARD).read_bytes()
    with pytest.raises(FileExistsError):
        write_folder(folder, {}, {})
    assert (folder / CARD).read_bytes() == before


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    for card, files, message in (
        ({**CARD_OF_DIGITS, "bits": 8.0}, {}, r"bits: expected.*got 8\.0"),
        ({**CARD_OF_DIGITS, "name": "Digits"}, {}, "name: expected"),
        (CARD_OF_DIGITS, {"a b.onnx": b""}, "files/a b"),
        (CARD_OF_DIGITS, {CARD: b""}, "other files than hasher"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            write_folder(tmp_path / "x@1", card, files)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "x@1", CARD_OF_DIGITS, {"missing/part": b""})
    assert list(tmp_path.iterdir()) == []
