"""Further versions of the session's hashers, in milliseconds: the same card and features, other random encoders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from models.folder import write_folder
from models.hasher import DECODER, ENCODER


def add_version(hashers: Path, like: str, version: int, bits: int = 64, **features: Any) -> str:
    """Write `name@version` beside `like`, with settings of its features changed; returns its reference."""
    folder = hashers / like
    card = json.loads((folder / "hasher.json").read_text())
    files = {name: (folder / name).read_bytes() for name in card["files"] if name not in (ENCODER, DECODER)}
    card = {name: value for name, value in card.items() if name not in ("sha256", "files", "format")}
    card |= {"version": version, "bits": bits, "features": card["features"] | features}
    dimension = _dimension(card["features"])
    rng = np.random.default_rng([version, bits])
    files |= {ENCODER: linear(rng, dimension, bits), DECODER: linear(rng, bits, dimension)}
    reference = f"{card['name']}@{version}"
    write_folder(hashers / reference, card, files)
    return reference


def _dimension(features: dict[str, Any]) -> int:
    return int(features.get("dimension") or features["width"] * features["height"])


def linear(rng: np.random.Generator, inputs: int, outputs: int) -> bytes:
    weights = numpy_helper.from_array(rng.standard_normal((inputs, outputs)).astype(np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["input", "weights"], ["output"])],
        "linear",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", outputs])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized
