"""Shards of every kind of DATA: together what one run gives, each item once, in order, and the rest is not read."""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInputError
from scripts.datasets import open_dataset
from scripts.datasets.lines import Lines
from scripts.datasets.shard import WHOLE, Shard, shard
from scripts.index import open_source

ROWS = np.random.default_rng(0).standard_normal((157, 12)).astype(np.float32)
COUNTS = (1, 2, 3, 7, 200)


def ndjson(folder: Path) -> Path:
    path = folder / "items.ndjson"
    rows = ({"id": f"é{i}", "vector": row.tolist(), "payload": {"label": i % 3}} for i, row in enumerate(ROWS))
    # Lines of all lengths, blank ones among them, and none that ends the file.
    path.write_text("\n".join(json.dumps(row) + " " * (i % 50) + "\n" * (i % 4 == 0) for i, row in enumerate(rows)))
    return path


def npy(folder: Path) -> Path:
    np.save(folder / "items.npy", ROWS)
    return folder / "items.npy"


def npz(folder: Path) -> Path:
    np.savez(folder / "items.npz", x=ROWS, y=np.arange(len(ROWS)) % 3)
    return folder / "items.npz"


def table(start: int, stop: int) -> pa.Table:
    payloads = [{"label": str(i % 3), "price": None if i % 2 else i} for i in range(start, stop)]
    vectors = pa.array(list(ROWS[start:stop]), pa.list_(pa.float32()))
    ids = [f"é{i}" for i in range(start, stop)]
    return pa.table({"unused": ids, "vector": vectors, "payload": payloads, "id": ids})


def parquet(folder: Path) -> Path:
    pq.write_table(table(0, len(ROWS)), folder / "items.parquet", row_group_size=20)
    return folder / "items.parquet"


def parquet_folder(folder: Path) -> Path:
    for name, start, stop in (("b", 50, 51), ("a", 0, 50), ("c/d", 51, 51), ("c/e", 51, 157)):
        path = folder / "items" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(start, stop), path, row_group_size=30)
    return folder / "items"


KINDS = (ndjson, npy, npz, parquet, parquet_folder)


def walked(data: Path, part: Shard = WHOLE) -> list[tuple[str, bytes, object]]:
    dataset = open_dataset(str(data), shard=part)
    items = [(item.id, np.asarray(item.document).tobytes(), item.payload) for item in dataset.walk()]
    assert len(items) == dataset.size
    return items


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("count", COUNTS)
def test_shards_follow_one_another_to_the_whole(make: Callable[[Path], Path], count: int, tmp_path: Path) -> None:
    data = make(tmp_path)
    parts = [walked(data, Shard(number, count)) for number in range(1, count + 1)]
    assert list(chain(*parts)) == walked(data)
    assert len(list(chain(*parts))) == len(ROWS)
    if make is not ndjson:
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_dataset_by_name_is_cut_alike() -> None:
    parts = [walked(Path("digits"), Shard(number, 2)) for number in (1, 2)]
    assert [len(part) for part in parts] == [898, 899]
    assert list(chain(*parts)) == walked(Path("digits"))


@pytest.mark.parametrize("make", [parquet, parquet_folder])
def test_parquet_says_what_the_others_say(make: Callable[[Path], Path], tmp_path: Path) -> None:
    items = list(open_dataset(str(make(tmp_path))).walk())
    assert [item.id for item in items] == [f"é{i}" for i in range(len(ROWS))]
    assert np.array_equal(np.stack([item.document for item in items]), ROWS)
    assert [item.label for item in items] == [str(i % 3) for i in range(len(ROWS))]
    assert items[1].payload == {"label": "1"}
    assert items[2].payload == {"label": "2", "price": 2}


def test_of_an_npy_only_the_share_is_read(tmp_path: Path) -> None:
    """A file of 64 GB, all of it a hole: whoever reads it whole does not end in the time of a test."""
    rows = 2**30
    with (tmp_path / "large.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 16)}
        np.lib.format.write_array_header_1_0(file, header)
        os.ftruncate(file.fileno(), file.tell() + rows * 64)
    items = list(open_dataset(str(tmp_path / "large.npy"), shard=Shard(2**28, 2**28)).walk())
    assert [item.id for item in items] == [str(rows - left) for left in (4, 3, 2, 1)]


def test_of_a_text_only_the_share_is_read(tmp_path: Path) -> None:
    path = ndjson(tmp_path)
    content = path.read_bytes()
    half = content.index(b"\n", len(content) // 2) + 1
    # What is damaged in one part the others never see.
    path.write_bytes(content[:half] + content[half:].replace(b'"id"', b'"xx"'))
    assert walked(path, Shard(1, 3))
    with pytest.raises(InvalidInputError, match=r"line \d from byte \d+: expected an id") as raised:
        walked(path, Shard(3, 3))
    line, first = map(int, re.findall(r"line (\d) from byte (\d+):", str(raised.value))[0])
    assert path.read_bytes()[first:].splitlines()[line - 1].startswith(b'{"xx"')
    assert path.read_bytes()[first - 1 : first] == b"\n"


@given(st.lists(st.text("ab \u00e9", max_size=5).map(str.encode)), st.integers(1, 9))
def test_every_line_is_in_the_shard_where_it_begins(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], count: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    parts = [list(Lines(path, Shard(number, count))) for number in range(1, count + 1)]
    assert list(chain(*parts)) == lines


@pytest.mark.parametrize(
    "text", ["", "0/4", "5/4", "1", "1/", "/2", "-1/2", "1/0", "a/b", "1/2/3", "1.0/2", "\uff11/\uff12", " 1/2"]
)
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected I/N with I from 1 to N"):
        shard(text)


def test_files_of_shards_are_in_order_of_their_names() -> None:
    assert WHOLE.name(Path("a/codes.npy")) == Path("a/codes.npy")
    names = [str(Shard(number, 12).name(Path("a/codes.npy"))) for number in range(1, 13)]
    assert names == sorted(names)
    assert (names[1], names[11]) == ("a/codes-02-of-12.npy", "a/codes-12-of-12.npy")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.mark.parametrize("option", [(), ("--logits",)])
def test_encoded_shards_together_are_the_whole(option: tuple[str, ...], hashers: Path, tmp_path: Path) -> None:
    data = parquet(tmp_path)
    for part in ((), ("--shard", "1/2"), ("--shard", "2/2")):
        done = run("scripts.encode", hashers / "vectors", data, "--out", tmp_path / "codes.npy", *part, *option)
        assert done.returncode == 0, done.stderr
    parts = [np.load(tmp_path / f"codes-{number}-of-2.npy") for number in (1, 2)]
    whole = np.load(tmp_path / "codes.npy")
    assert (len(parts[0]), len(parts[1])) == (78, 79)
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole.dtype == (np.float32 if option else np.uint8)


def test_a_command_refuses_what_is_no_shard(tmp_path: Path) -> None:
    done = run("scripts.encode", "h", "digits", "--out", tmp_path / "c.npy", "--shard", "3/2")
    assert done.returncode == 2
    assert "argument --shard: expected I/N with I from 1 to N, as 2/8, got '3/2'" in done.stderr


def test_lines_to_index_are_cut_alike(tmp_path: Path) -> None:
    path = ndjson(tmp_path)
    whole = list(open_source(str(path), None).lines)
    sources = [open_source(str(path), None, Shard(number, 3)) for number in (1, 2, 3)]
    assert [line for source in sources for line in source.lines] == whole
    assert [source.size for source in sources] == [len(list(Lines(path, Shard(n, 3)))) for n in (1, 2, 3)]
    assert sources[1].origin.startswith(" from byte ")
    assert open_source(str(npy(tmp_path)), None, Shard(2, 3)).origin == " of shard 2/3"


def test_codes_in_parquet_are_indexed_as_hex(tmp_path: Path) -> None:
    codes = [bytes([i, 255 - i]) for i in range(4)]
    for name, kind in (("a", pa.binary()), ("b", pa.binary(2))):
        written = pa.table({"id": pa.array([7, 8, 9, 10]), "code": pa.array(codes, kind), "payload": ['{"a": 1}'] * 4})
        pq.write_table(written, tmp_path / f"{name}.parquet")
        lines = [json.loads(line) for line in open_source(str(tmp_path / f"{name}.parquet"), None).lines]
        assert lines[1] == {"id": "8", "code": "01fe", "payload": {"a": 1}}
        assert [line["code"] for line in lines] == [code.hex() for code in codes]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, "expected one column of vector, image, text, code"),
        ({"text": ["a"], "code": ["00"]}, "expected one column of"),
        ({"text": pa.array([], pa.string())}, "got no rows"),
        ({"text": ["a", None]}, "item 1: expected a text, got NoneType"),
        ({"text": [1]}, "item 0: expected a text, got int"),
        ({"vector": ["abc"]}, "item 0: expected a vector, got str"),
        ({"image": ["abc"]}, "item 0: expected a image, got str"),
        ({"text": ["a"], "id": pa.array([None], pa.string())}, "expected an id that is a string"),
        ({"text": ["a"], "id": [1.5]}, "expected an id that is a string"),
        ({"text": ["a"], "payload": ["{"]}, "expected a payload of JSON"),
        ({"text": ["a"], "payload": ["[1]"]}, "expected a payload that is an object, got list"),
        ({"text": ["a"], "payload": [3]}, "expected a payload that is an object, got int"),
    ],
)
def test_parquet_that_is_not_as_expected_says_so(columns: dict[str, object], message: str, tmp_path: Path) -> None:
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(InvalidInputError, match=message):
        walked(tmp_path / "x.parquet")


def test_damaged_parquet_says_so(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    content = path.read_bytes()
    for damaged in (b"", b"PAR1", content[:-20], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidInputError, match="to be a Parquet file"):
            walked(path)
    path.write_bytes(content)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "z.parquet")
    with pytest.raises(InvalidInputError, match=r"expected a column vector in .*z\.parquet"):
        walked(tmp_path)
