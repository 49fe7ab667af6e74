"""Codes by the workers of a local Ray are those of `scripts.encode`, to the bit, and a run that was stopped goes on."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.errors import InvalidInputError
from models.hasher import Hasher
from scripts.coded import ParquetFolder, ParquetShards, coded
from scripts.datasets import open_dataset
from scripts.datasets.shard import Shard
from scripts.encode_ray import Encoder, size_of
from scripts.index import open_source

ROOT = Path(__file__).parents[2]
RAY = ROOT / ".venv-ray" / "bin" / "python"
ROWS = np.random.default_rng(1).standard_normal((301, 12)).astype(np.float32)


def run(python: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [json.dumps({"id": f"é{i}", "vector": row.tolist(), "payload": {"n": i}}) for i, row in enumerate(ROWS)]
    (tmp_path / "items.ndjson").write_text("\n".join(lines))
    return tmp_path / "items.ndjson"


def codes(folder: Path) -> np.ndarray:
    table = pq.read_table(folder)
    return np.frombuffer(b"".join(table["code"].to_pylist()), np.uint8).reshape(len(table), -1)


@pytest.mark.timeout(600)
def test_two_workers_of_ray_give_the_codes_of_encode(data: Path, hashers: Path, tmp_path: Path) -> None:
    assert RAY.exists(), "expected .venv-ray: scripts/install-ray makes it"
    command = ("scripts.encode_ray", hashers / "vectors", data, "--out", tmp_path / "codes", "--shards", 3)
    # As a run that was stopped has left it.
    sink = ParquetShards(ParquetFolder(tmp_path / "codes", "vectors@1", 64), hashers / "vectors@1")
    Encoder(sink, str(data), None, 3)({"number": np.array([1])})
    before = (tmp_path / "codes" / "codes-1-of-3.parquet").stat().st_mtime_ns
    done = run(RAY, *command)
    assert done.returncode == 0, done.stderr
    assert "301 items in 3 files, 64 bits by vectors@1" in done.stdout
    assert (tmp_path / "codes" / "codes-1-of-3.parquet").stat().st_mtime_ns == before
    encoded = run(Path(sys.executable), "scripts.encode", hashers / "vectors", data, "--out", tmp_path / "codes.npy")
    assert encoded.returncode == 0, encoded.stderr
    assert np.array_equal(codes(tmp_path / "codes"), np.load(tmp_path / "codes.npy"))
    lines = [json.loads(line) for line in open_source(str(tmp_path / "codes"), None).lines]
    assert [line["id"] for line in lines] == [f"é{i}" for i in range(301)]
    assert lines[7]["payload"] == {"n": 7}
    assert bytes.fromhex(lines[7]["code"]) == np.load(tmp_path / "codes.npy")[7].tobytes()
    assert sorted(path.name for path in (tmp_path / "codes").iterdir()) == [
        f"codes-{i}-of-3.parquet" for i in (1, 2, 3)
    ]


def test_a_shard_that_comes_twice_is_there_once(data: Path, hashers: Path, tmp_path: Path) -> None:
    hasher, sink = Hasher.load(hashers / "vectors@1"), ParquetFolder(tmp_path / "out", "vectors@1", 64)
    whole = hasher.encode(list(ROWS))
    for number in (2, 1, 2):
        part = Shard(number, 2)
        sink.write(part, coded(open_dataset(str(data), shard=part), hasher))
    assert np.array_equal(codes(tmp_path / "out"), whole)
    sizes = sink.sizes(2)
    assert None not in sizes and sum(size or 0 for size in sizes) == 301
    (tmp_path / "out" / "codes-1-of-2.parquet").unlink()
    assert sink.sizes(2) == [None, sizes[1]]
    with pytest.raises(InvalidInputError, match=r"expected nothing but 3 shards in .*, got codes-2-of-2.parquet"):
        sink.sizes(3)
    with pytest.raises(InvalidInputError, match=r"expected .*codes-2-of-2.parquet to be by vectors@2, got vectors@1"):
        ParquetFolder(tmp_path / "out", "vectors@2", 64).sizes(2)
    (tmp_path / "out" / "codes-1-of-2.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidInputError, match="to be a Parquet file"):
        sink.sizes(2)


def test_a_shard_with_a_bad_item_leaves_nothing(hashers: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"vector": [[1.0] * 12, [1.0]]}), tmp_path / "bad.parquet")
    sink = ParquetShards(ParquetFolder(tmp_path / "out", "vectors@1", 64), hashers / "vectors@1")
    encoder = Encoder(sink, str(tmp_path / "bad.parquet"), None, 1)
    told = encoder({"number": np.array([1])})
    assert told["size"] == [0]
    with pytest.raises(InvalidInputError, match="document 1"):
        size_of({"size": 0, "wrong": told["wrong"][0]})
    assert size_of({"size": np.int64(3), "wrong": ""}) == 3
    assert "items from '0' of bad: document 1: expected a vector of 12 numbers" in told["wrong"][0]
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_is_refused_before_ray_is_started(data: Path, hashers: Path, tmp_path: Path) -> None:
    command = ("scripts.encode_ray", hashers / "digits", data, "--out", tmp_path / "codes")
    for arguments, code, message in (
        (command, 1, "expected image items, got vector items"),
        ((*command, "--workers", 0), 2, "expected 1 or more, got 0"),
        (("scripts.encode_ray", hashers / "vectors", data, "--out", data), 1, "to be a folder"),
        ((*command[:-2], "--into", "c", "--out", tmp_path), 2, "not allowed with argument"),
        (command[:-2], 2, "one of the arguments --out --into is required"),
        ((*command, "--create"), 2, "expected --store and --create with --into, got --out"),
        (
            ("scripts.encode_ray", hashers / "vectors", data, "--into", "c"),
            1,
            "expected a Milvus, as --store milvus://",
        ),
        (("scripts.encode_ray", hashers / "vectors", data, "--into", "c", "--store", "x"), 1, "milvus(\\+tls)?://"),
        # Ray is not in this environment.
        (("scripts.encode_ray", hashers / "vectors", data, "--out", tmp_path / "codes"), 1, "'.[ray]'"),
    ):
        done = run(Path(sys.executable), *arguments)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "codes").exists()


def test_the_environment_of_ray_is_the_pinned_one() -> None:
    script = (
        "from importlib.metadata import version as v; print(*(f'{n}=={v(n)}' for n in ('msgpack', 'pandas', 'ray')))"
    )
    printed = subprocess.run([RAY, "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(printed.split()) <= set((ROOT / "constraints.txt").read_text().split())
