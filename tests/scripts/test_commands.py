"""The commands as a user runs them: one process each."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from models.hasher import Hasher
from scripts.datasets import open_dataset


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def hashers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hashers")
    done = run("scripts.train", "digits", "--modality", "image", "--epochs", 1, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "PCA-ITQ" in done.stdout
    assert "random projections" in done.stdout
    return folder


def test_encode_gives_the_codes_of_the_hasher(hashers: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes.npy"
    done = run("scripts.encode", hashers / "digits", "digits", "--out", out)
    assert done.returncode == 0, done.stderr
    documents = [item.document for item in open_dataset("digits").walk()]
    hasher = Hasher.load(hashers / "digits@1")
    assert np.array_equal(np.load(out), hasher.encode(documents))
    assert run("scripts.encode", hashers / "digits@1", "digits", "--out", out, "--logits").returncode == 0
    assert np.array_equal(np.load(out), hasher.logits(hasher.rows(documents)))


def test_a_training_that_was_killed_goes_on_to_the_same_codes(tmp_path: Path) -> None:
    options = ("digits", "--epochs", "6", "--bits", "16", "--hidden", "32")
    assert run("scripts.train", *options, "--out", tmp_path / "whole").returncode == 0
    killed = [*options, "--out", tmp_path / "killed", "--checkpoint-seconds", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.train", *map(str, killed)], stderr=subprocess.DEVNULL
    ) as process:
        while not (found := list((tmp_path / "killed").glob(".digits.*.checkpoint"))):
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
    there = [path for path in (tmp_path / "killed").iterdir() if path.suffix != ".new"]
    assert there == found
    done = run("scripts.train", *killed, "--bits", 24, "--resume")
    assert done.returncode == 1
    assert "expected a stopped run of this data and these options" in done.stderr
    done = run("scripts.train", *killed, "--resume")
    assert done.returncode == 0, done.stderr
    whole, resumed = (Hasher.load(tmp_path / name / "digits@1") for name in ("whole", "killed"))
    assert whole.card["files"] == resumed.card["files"]
    assert [path.name for path in (tmp_path / "killed").iterdir() if path.suffix != ".new"] == ["digits@1"]


def test_evaluate_repeats_the_table_of_training(hashers: Path) -> None:
    done = run("scripts.evaluate", hashers / "digits@1", "digits")
    assert done.returncode == 0, done.stderr
    metrics = Hasher.load(hashers / "digits@1").card["metrics"]["hashing"]
    assert f"{metrics['recall_10_at_10']:.4f}" in done.stdout


def test_errors_are_one_line_and_leave_nothing(hashers: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.ndjson"
    bad.write_text('{"id": "a", "vector": [1, 2]}\n[1]\n')
    words, empty, flipped = tmp_path / "words.ndjson", tmp_path / "empty.npz", tmp_path / "flipped.npz"
    words.write_text('{"id": "a", "vector": "abc"}\n')
    np.savez(empty, x=np.empty((0, 8), np.float32))
    np.savez(flipped, x=np.ones((20_000, 8), np.float32))
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "hammingway.sqlite").write_text("not a database " * 100)
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, message in (
        (("scripts.train", "nothing", "--out", tmp_path / "h"), "expected DATA to be digits, pydocs"),
        (("scripts.train", bad, "--out", tmp_path / "h"), "line 2: expected a JSON object, got list"),
        (("scripts.train", "digits", "--bits", 12, "--out", tmp_path / "h"), "multiple of 8"),
        (("scripts.train", "digits", "--modality", "text", "--out", tmp_path / "h"), "expected text items"),
        (("scripts.train", empty, "--out", tmp_path / "h"), "expected rows in x"),
        (("scripts.train", flipped, "--out", tmp_path / "h"), "Bad CRC-32"),
        (("scripts.train", words, "--out", tmp_path / "h"), "expected a vector of numbers"),
        (("scripts.train", "digits", "--hidden", -1, "--out", tmp_path / "h"), "0 or more hidden units"),
        (("scripts.train", "digits", "--weight", "balance=nan", "--out", tmp_path / "h"), "expected finite weights"),
        (("scripts.train", "digits", "--weight", "balance=1e39", "--out", tmp_path / "h"), "expected a finite loss"),
        (("scripts.train", "digits", "--size", 0, "--out", tmp_path / "h"), "expected a size of 1 x 1 or more"),
        (("scripts.index", "digits", "--url", "http://a\x01b/", "--collection", "c"), "expected a URL like"),
        (("scripts.index", "digits", "--url", "http://127.0.0.1:9", "--collection", "c"), "no answer from"),
        (("service", "--data", words), "expected --data to be a folder"),
        (("service", "--data", foreign, "--workers", 2), "to be Hammingway's database"),
        (("scripts.encode", hashers / "other", "digits", "--out", tmp_path / "c.npy"), "hashers in"),
        (("scripts.encode", hashers / "digits", bad, "--out", tmp_path / "c.npy"), "expected image items"),
    ):
        done = run(*arguments)
        assert done.returncode == 1, arguments
        assert message in done.stderr
        assert sum("error:" in line for line in done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "h").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_vectors_from_npz_and_ndjson_give_equal_codes(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((200, 12)).astype(np.float32)
    np.savez(tmp_path / "v.npz", x=vectors, y=np.arange(200) % 3)
    lines = (json.dumps({"id": str(i), "vector": row.tolist()}) for i, row in enumerate(vectors))
    (tmp_path / "v.jsonl").write_text("\n".join(lines))
    done = run("scripts.train", tmp_path / "v.npz", "--bits", 8, "--epochs", 1, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("v.npz", "v.jsonl"):
        done = run("scripts.encode", tmp_path / "v", tmp_path / name, "--out", tmp_path / f"{name}.npy")
        assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "v.npz.npy"), np.load(tmp_path / "v.jsonl.npy"))


def test_for_duplicates_texts_are_ngrams_and_copies_are_counted(tmp_path: Path) -> None:
    lines = (json.dumps({"id": str(i), "text": f"item {i} of {i % 9}: {i * i} words in a list"}) for i in range(80))
    (tmp_path / "t.ndjson").write_text("\n".join(lines))
    options = (tmp_path / "t.ndjson", "--for", "duplicates", "--bits", 16, "--epochs", 2, "--out", tmp_path)
    done = run("scripts.train", *options)
    assert done.returncode == 0, done.stderr
    card = Hasher.load(tmp_path / "t@1").card
    assert card["features"]["extractor"] == "ngrams"
    assert card["objective"] == "duplicates"
    shares = card["copies_at_rank_one"]
    assert set(shares) == {"duplicates", "PCA-ITQ", "PCA sign", "random projections"}
    assert 0.2 < shares["duplicates"] <= 1
    assert f"original is at rank 1: duplicates {shares['duplicates']:.4f}, PCA-ITQ" in done.stdout
    for own in (("--objective", "sparse"), ("--corruption", "masking=0.1")):
        refused = run("scripts.train", *options, *own)
        assert refused.returncode == 2
        assert "expected --for duplicates or an --objective and --corruption of your own, got both" in refused.stderr
