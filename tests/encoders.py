"""Small encoders, made in milliseconds: graphs whose output is known, and hashers of any features."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from models.features import Features
from models.features.encoder_graph import MODEL
from models.features.tokenizing import TOKENIZER
from models.folder import write_folder
from models.hasher import DECODER, ENCODER
from tests.recoding.made import linear

WORDS = ("[UNK]", "query", "passage", ":", *(f"word{number}" for number in range(60)))
WIDTH = 8
EMBEDDING = np.random.default_rng(7).standard_normal((len(WORDS), WIDTH)).astype(np.float32)


def tokenizer() -> bytes:
    """A tokenizer of WORDS."""
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return str(made.to_str()).encode()


def text_graph(kind: str = "float32") -> bytes:
    """A graph from tokens to (n, tokens, WIDTH): each token's embedding plus what it attends to.

    `kind`: `float16` has such an output; `dynamic` quantises by the largest number of all texts; `random` adds noise.
    """
    last = "attended"
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["e"]),
        helper.make_node("Transpose", ["e"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["e", "turned"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "e"], ["values"]),
        helper.make_node("Add", ["values", "e"], ["attended"]),
    ]
    constants = [numpy_helper.from_array(EMBEDDING, "embedding")]
    if kind == "dynamic":
        weights = np.random.default_rng(8).integers(-127, 128, (WIDTH, WIDTH), np.int8)
        constants += [numpy_helper.from_array(weights, "w8"), numpy_helper.from_array(np.int8(0), "zero8")]
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["attended"], ["q", "scale", "zero"]),
            helper.make_node("MatMulInteger", ["q", "w8", "zero", "zero8"], ["whole"]),
            helper.make_node("Cast", ["whole"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        ]
        last = "scaled"
    if kind == "random":
        nodes += [
            helper.make_node("RandomNormalLike", [last], ["noise"], dtype=TensorProto.FLOAT),
            helper.make_node("Add", [last, "noise"], ["noisy"]),
        ]
        last = "noisy"
    out = TensorProto.FLOAT16 if kind == "float16" else TensorProto.FLOAT
    nodes.append(helper.make_node("Cast", [last], ["last_hidden_state"], to=out))
    tokens = ["n", "tokens"]
    return model(
        nodes,
        [helper.make_tensor_value_info(name, TensorProto.INT64, tokens) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("last_hidden_state", out, [*tokens, WIDTH])],
        constants,
    )


def attended(ids: Sequence[int]) -> np.ndarray:
    """What `text_graph` computes of one text, (tokens, WIDTH) float64."""
    e = EMBEDDING[list(ids)].astype(np.float64)
    scores = e @ e.T
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e + (weights / weights.sum(axis=1, keepdims=True)) @ e


def image_graph(side: int = 16, half: bool = False) -> bytes:
    """A graph from (n, 3, side, side) to (n, WIDTH): a convolution, and the mean over places."""
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    kernel = np.random.default_rng(9).standard_normal((WIDTH, 3, 3, 3)).astype(np.float16 if half else np.float32)
    return model(
        [
            helper.make_node("Conv", ["pixels", "kernel"], ["filtered"]),
            helper.make_node("Relu", ["filtered"], ["positive"]),
            helper.make_node("ReduceMean", ["positive"], ["features"], axes=[2, 3], keepdims=0),
        ],
        [helper.make_tensor_value_info("pixels", kind, ["n", 3, side, side])],
        [helper.make_tensor_value_info("features", kind, ["n", WIDTH])],
        [numpy_helper.from_array(kernel, "kernel")],
    )


def model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> bytes:
    """An ONNX file of these parts."""
    graph = helper.make_graph(nodes, "made", inputs, outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = made.SerializeToString()
    return content


def write_text_encoder(folder: Path, graph: bytes | None = None, **files: object) -> Path:
    """A folder of a text encoder; `files` are more of its JSON files, by name without the suffix."""
    folder.mkdir(parents=True)
    (folder / MODEL).write_bytes(graph or text_graph())
    (folder / TOKENIZER).write_bytes(tokenizer())
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def write_image_encoder(folder: Path, graph: bytes | None = None, side: int = 16, **processor: object) -> Path:
    """A folder of an image encoder; `processor` is what else its preprocessor_config.json says."""
    folder.mkdir(parents=True)
    (folder / MODEL).write_bytes(graph or image_graph(side))
    config = {"size": {"height": side, "width": side}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


def write_hasher(hashers: Path, name: str, features: Features, bits: int = 64, version: int = 1) -> Path:
    """A hasher of these features with a random linear network; returns its folder."""
    rng = np.random.default_rng(bits)
    card = {
        "name": name,
        "version": version,
        "modality": features.modality,
        "bits": bits,
        "objective": "hashing",
        "features": features.settings(),
    }
    graphs = {ENCODER: linear(rng, features.dimension, bits), DECODER: linear(rng, bits, features.dimension)}
    write_folder(hashers / f"{name}@{version}", card, {**graphs, **features.files()})
    return hashers / f"{name}@{version}"
