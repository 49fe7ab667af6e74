from pathlib import Path

import pytest

from models.folder import CARD, DamagedHasherError, read_folder, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "digits@1"
    write_folder(path, {"name": "digits", "metrics": {"loss": 0.25}}, {"a.onnx": b"graph", "b.bin": b"\x00\x01"})
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


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_folder(tmp_path / "x@1", {}, {"missing/part": b""})
    assert list(tmp_path.iterdir()) == []
