"""Pictures, and other documents, that somebody damaged or built: each is a row of features or a documented error.

Any exception of a decoder is that document's fault, wherever it comes in: its place is named, and the rest goes on.
"""

import base64
import gzip
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFile
from tokenizers import Tokenizer

from models.errors import InvalidInputError
from models.features import image as decoding
from models.features.image import open_image
from models.features.pixels import PixelFeatures
from models.features.static import StaticFeatures
from models.features.vector import VectorFeatures
from scripts.datasets import Dataset, Item
from scripts.rows import read_rows
from tests.attack.mutating import MOST_BYTES, MOST_SECONDS, chunk, corpus, mutants

SHORT, LONG = 10, 600
NO_DATA = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IEND", b"")
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.mark.timeout(LONG + 300)
def test_mutants_of_every_format_are_rows_or_documented_errors(long: bool, seed: int, tmp_path: Path) -> None:
    seconds = LONG if long else SHORT
    notes = tmp_path / "notes"
    command = [sys.executable, "-m", "tests.attack.mutating", str(seed), str(seconds), str(notes)]
    done = subprocess.run(command, capture_output=True, text=True)
    at = notes.read_text() if notes.exists() else "nothing"
    assert done.returncode == 0, f"seed {seed}, mutant {at}: {done.stdout[-8000:]} {done.stderr[-2000:]}"
    # Nor does a decoder write what a client could fill a log with.
    assert "Decode:" not in done.stderr and "TIFF" not in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    print(f"seed {seed}: {told}")
    assert told["slowest"][0] < MOST_SECONDS and told["grown"] < MOST_BYTES
    # Some are still pictures, and most are not: both ways are tried.
    assert told["mutants"] > 10 * seconds
    assert told["came"]["row"] > told["mutants"] // 20 and told["came"]["Invalid input"] > told["mutants"] // 5


def test_the_same_seed_makes_the_same_mutants() -> None:
    one, other = mutants(7), mutants(7)
    assert [next(one) for _ in range(50)] == [next(other) for _ in range(50)]


def test_every_picture_that_is_mutated_is_good_itself() -> None:
    refused = set()
    for name, content in corpus().items():
        try:
            row = PixelFeatures(8, 8, "RGB").row(content)
            assert row.max() > 0
        except InvalidInputError as error:
            assert "got mode" in str(error)
            refused.add(name)
    assert refused == {"tiff floats", "tiff wholes"}


class Panic(BaseException):
    """As libraries in Rust raise it."""


ERRORS: list[BaseException] = [
    IndexError("list index out of range"),
    KeyError("x"),
    AssertionError(),
    RuntimeError("broken"),
    ZeroDivisionError(),
    AttributeError("x"),
    NotImplementedError(),
    RecursionError(),
    SystemError("x"),
    BufferError(),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
    OSError("x"),
    EOFError(),
    struct.error(),
    zlib.error(),
    StopIteration(),
    UserWarning("x"),
    Image.DecompressionBombWarning(),
    ExceptionGroup("x", [ValueError()]),
    Panic("panicked"),
]


def _raising(error: BaseException) -> Callable[..., Any]:
    def fail(*given: object, **named: object) -> Any:
        raise error

    return fail


PLACES: list[tuple[Any, str]] = [
    (Image, "open"),
    (ImageFile.ImageFile, "verify"),
    (ImageFile.ImageFile, "load"),
    (Image.Image, "convert"),
    (Image.Image, "resize"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_exception_of_a_decoder_is_that_documents_fault(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    jpeg = corpus()["jpeg"]
    for owner, name in PLACES:
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, _raising(error))
            with pytest.raises(InvalidInputError, match="expected an image"):
                PixelFeatures(8, 8).row(jpeg)
    text = StaticFeatures.pretrained()
    with monkeypatch.context() as patched:
        patched.setattr(text, "_sum", _raising(error))
        with pytest.raises(InvalidInputError, match="expected a text that can be tokenized"):
            text.row("words")
    # What says how a picture stands is no part of the picture.
    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "getexif", _raising(error))
        if isinstance(error, Exception):
            assert np.array_equal(PixelFeatures(8, 8).row(jpeg), PixelFeatures(8, 8).row(jpeg))


def test_a_picture_for_which_there_is_no_memory_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", _raising(MemoryError()))
    with pytest.raises(decoding.ImageTooLargeError, match="more memory than there is"):
        PixelFeatures(8, 8).row(corpus()["png"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit()])
def test_what_ends_the_program_is_nobodys_fault(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", _raising(error))
    with pytest.raises(type(error)):
        PixelFeatures(8, 8).row(corpus()["png"])


def test_warnings_are_ignored_by_all_threads_and_filters_are_as_they_were(recwarn: pytest.WarningsRecorder) -> None:
    import threading
    import warnings

    before = list(warnings.filters)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new("L", (9, 9)).save(content, "TIFF", exif=exif)
    # A tag of more data than the file has: Pillow warns of it.
    broken = content.getvalue().replace(struct.pack("<HHI", 258, 3, 1), struct.pack("<HHI", 999, 2, 10**6))
    threads = [threading.Thread(target=lambda: [_row_or_none(broken) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
    assert not recwarn.list


def _row_or_none(content: bytes) -> np.ndarray | None:
    try:
        return PixelFeatures(8, 8).row(content)
    except InvalidInputError:
        return None


def _tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"") -> bytes:
    told = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + told + bytes(4) + rest


TIFF = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
STRIPS = [(273, 4, 1, 8), (278, 3, 1, 64), (279, 4, 1, 4096)]
PARTS = 1_000_000


def _in_png(parts: bytes) -> bytes:
    png = corpus()["png"]
    return png[:33] + parts + png[33:]


def _in_gif(parts: bytes) -> bytes:
    gif = corpus()["gif"]
    return gif[: (at := gif.index(b"\x21\xfe"))] + parts + gif[at:]


def _in_jpeg(parts: bytes) -> bytes:
    return b"\xff\xd8" + parts + corpus()["jpeg"][2:]


def _tiff_with(tag: int) -> bytes:
    """A directory beside the first one, with an array of a million numbers."""
    at = 10 + 12 * (len(TIFF) + len(STRIPS) + 1) + 4
    beside = struct.pack("<HHHIII", 1, 0x9000, 3, PARTS, at + 18, 0)
    return _tiff([*TIFF, *STRIPS, (tag, 4, 1, at)], beside + b"\x34\x12" * PARTS)


# Few bytes once compressed, and objects without end for who reads them part by part.
BUILT: dict[str, Callable[[], bytes]] = {
    "PNG of many chunks": lambda: _in_png(chunk(b"tIMe", b"") * PARTS),
    "PNG of many empty parts": lambda: _in_png(chunk(b"IDAT", b"") * PARTS),
    "GIF of many blocks": lambda: _in_gif(b"\x21\xfe" + b"\x01c" * PARTS + b"\0"),
    "GIF of many comments": lambda: _in_gif(b"\x21\xfe\x01c\0" * PARTS),
    "GIF of nothing": lambda: _in_gif(b"\0" * PARTS),
    "JPEG of many markers": lambda: _in_jpeg(b"\xff\xfe\x00\x02" * PARTS),
    "JPEG of fill": lambda: _in_jpeg(b"\xff" * PARTS),
    "TIFF of many tiles": lambda: _tiff(
        [*TIFF, (322, 3, 1, 1), (323, 3, 1, 1), (324, 4, PARTS, 130), (325, 4, PARTS, 130)],
        struct.pack("<I", 8) * PARTS,
    ),
    "TIFF of many strips": lambda: _tiff(
        [*TIFF, (273, 4, PARTS, 120), (278, 3, 1, 1), (279, 4, PARTS, 120)], struct.pack("<I", 8) * PARTS
    ),
    "TIFF of a large EXIF": lambda: _tiff_with(34665),
    "TIFF of a large GPS": lambda: _tiff_with(34853),
    "TIFF of many tags": lambda: b"II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 900, 3, 1, 1) * 65535,
    "a side without end": lambda: _png_of(40_000_000, 1),
    "another side without end": lambda: _png_of(1, 40_000_000),
    "pixels without end": lambda: _png_of(2**31 - 1, 2**31 - 1),
}


def _png_of(width: int, height: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", BUILT)
def test_pictures_of_more_parts_than_can_be_meant_are_refused_before_these_are_read(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    content = BUILT[name]()
    assert len(gzip.compress(content)) < 2**17
    if "without end" not in name:
        # Pillow sees none of it.
        monkeypatch.setattr(Image, "open", _raising(AssertionError("opened")))
    with pytest.raises(InvalidInputError, match=r"more than|values of|tags|at most|fewer pixels"):
        open_image(content)


def test_metadata_that_is_long_or_broken_keeps_no_picture_out() -> None:
    rows = [PixelFeatures(8, 8).row(corpus()["jpeg"])]
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0" + b"x" * 60_000,
    ):
        rows.append(PixelFeatures(8, 8).row(_in_jpeg(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif)))
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", 60_002) + bytes(60_000) for _ in range(50))
    rows.append(PixelFeatures(8, 8).row(_in_jpeg(comments)))
    assert all(np.array_equal(row, rows[0]) for row in rows)


def test_what_follows_a_picture_in_its_file_is_ignored() -> None:
    # As cameras append films, and disks zeros.
    random = np.random.default_rng(0)
    for name, content in corpus().items():
        row = _row_or_none(content)
        for rest in (bytes(2**21), random.bytes(2**21), b"!\xf9" * 2**20):
            after = _row_or_none(content + rest)
            assert (row is None and after is None) or np.array_equal(row, after), (name, rest[:2])


@pytest.fixture(scope="module", autouse=True)
def collections(client: httpx.Client) -> Iterator[None]:
    for name in ("digits", "pydocs", "vectors"):
        assert client.put(f"/v1/collections/{name}", json={"hasher": name, "keep_documents": True}).status_code == 201
    yield


def _image(content: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(content).decode()}


GOOD = corpus()["png"]
BAD = {
    "no data": NO_DATA,
    "a GIF without an image": b"GIF89a\x01\0\x01\0\0\0\0;",
    "a TIFF without tags": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    "a BMP without rows": b"BM" + bytes(60),
    "a JPEG without a frame": b"\xff\xd8\xff\xd9",
    "a WebP of nothing": b"RIFF\x04\0\0\0WEBP",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_named_by_its_place_wherever_it_comes_in(client: httpx.Client, name: str) -> None:
    good, bad = _image(GOOD), _image(BAD[name])

    def where(reply: httpx.Response) -> list[str]:
        assert reply.status_code == 422, reply.text
        return [each["where"] for each in reply.json()["errors"]]

    assert where(client.post("/v1/encode", json={"hasher": "digits", "inputs": [good, bad]})) == ["inputs/1/image"]
    path = "/v1/collections/digits"
    items = [{"id": "a", **good}, {"id": "b", **bad}, {"id": "c", **good}]
    assert where(client.post(f"{path}/index", json={"items": items})) == ["items/1/image"]
    kept = [{"id": "a", "code": "00" * 8, "document": bad}]
    assert where(client.post(f"{path}/index", json={"items": kept})) == ["items/0/document"]
    assert where(client.post(f"{path}/search", json={"query": bad})) == ["query/image"]
    assert where(client.post(f"{path}/search", json={"queries": [good, bad]})) == ["queries/1/image"]
    assert where(client.post(f"{path}/compare", json={"a": good, "b": bad})) == ["b/image"]
    assert where(client.post(f"{path}/search", files={"image": BAD[name]})) == ["image"]
    assert where(client.post(f"{path}/index", files={"a": GOOD, "b": BAD[name]})) == ["parts/b"]
    reply = client.post(f"{path}/index", content="\n".join(map(json.dumps, items)), headers=NDJSON)
    assert reply.status_code == 200
    assert reply.json()["indexed"] == 2 and [each["line"] for each in reply.json()["rejected"]] == [2]
    client.post(f"{path}/delete", json={"ids": ["a", "c"]})


def test_a_tokenizer_that_panics_ends_no_import(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = StaticFeatures._tokens

    def panicking(features: StaticFeatures, document: str) -> list[int]:
        if "panic" in document:
            raise Panic("called `Option::unwrap()` on a `None` value")
        return tokens(features, document)

    monkeypatch.setattr(StaticFeatures, "_tokens", panicking)
    lines = "\n".join(json.dumps({"id": text, "text": text}) for text in ("one", "panic", "two"))
    reply = client.post("/v1/collections/pydocs/index", content=lines, headers=NDJSON)
    assert reply.status_code == 200, reply.text
    assert reply.json()["indexed"] == 2 and [each["line"] for each in reply.json()["rejected"]] == [2]
    reply = client.post("/v1/collections/pydocs/search", json={"query": {"text": "panic"}})
    assert reply.status_code == 422 and "expected a text that can be tokenized" in reply.json()["detail"]


def test_texts_of_every_kind_are_rows_or_documented_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    text = StaticFeatures.pretrained()
    pieces = [
        "\0",
        "\ud800",
        "\u200d",
        "\ufeff",
        "a\u0301",
        "\U0010ffff",
        "\u202e",
        "word",
        " ",
        "\n",
        "😀",
        "ﷺ",
        "\x7f",
        "<s>",
        "</s>",
    ]
    for turn in range(300):
        document = "".join(rng.choice(pieces, int(rng.integers(0, 40))))
        try:
            row = text.row(document)
        except InvalidInputError as error:
            assert str(error).startswith("expected"), turn
        else:
            assert abs(float(np.linalg.norm(row)) - 1) < 1e-5
    for long in ("😀" * 20_000, "a" * 99_999, "\u4e00" * 5000):
        # Token by token, and all at once: the same bytes.
        tokens = text._tokens(long)
        once = text._matrix[tokens].sum(axis=0, dtype=np.float64)
        assert np.array_equal(text._sum(tokens), once)
        encoded = Tokenizer.from_str(text.files()["tokenizer.json"].decode())
        assert tokens == encoded.encode(long, add_special_tokens=False).ids


@pytest.mark.parametrize(
    "document",
    [
        [],
        [10**400, 0, 0],
        [2**70, 1, 1],
        [True, False, True],
        ["1", "2", "3"],
        [None, 1, 2],
        [[1.0], [2.0], [3.0]],
        [1e39, 0, 0],
        [float("nan"), 0, 0],
        [{"a": 1}, 2, 3],
        "abc",
        b"abc",
        {"a": 1},
        None,
        7,
        np.array([1, 2, 3], dtype="datetime64[s]"),
        np.array([1, 2, 3j]),
        np.zeros((3, 0)),
        object(),
    ],
    ids=lambda document: str(type(document).__name__) + str(document)[:20],
)
def test_vectors_of_every_kind_are_rows_or_documented_errors(document: object) -> None:
    with pytest.raises(InvalidInputError, match="expected"):
        VectorFeatures(3).row(document)
    with pytest.raises(InvalidInputError, match="expected"):
        VectorFeatures(3, "unit").row(document)


def test_training_names_the_picture_that_cannot_be_read(tmp_path: Path) -> None:
    class Two(Dataset):
        """Two pictures, one of them bad."""

        name, modality, size = "two", "image", 2
        array = labels = checksum = None

        def __init__(self) -> None:
            pass

        def walk(self, skip: int = 0) -> Iterator[Item]:
            yield Item("good", GOOD)
            yield Item("bad", NO_DATA)

        def require(self, modality: str) -> None:
            pass

    with pytest.raises(InvalidInputError, match="item 'bad' of two: expected an image"):
        read_rows(Two(), PixelFeatures(8, 8))
