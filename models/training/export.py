"""Export: the trained network as two ONNX graphs that go from features to logits and from codes to features.

The graphs are small and written out by hand: PyTorch's exporter would add seconds and a dependency. They compute
in double precision (docs/decisions/0002).
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from models.itq import Matrix
from models.training.inputs import Projection
from models.training.network import Autoencoder, Map

OPSET = 21


@dataclass(frozen=True)
class Dense:
    """`x W + b + relu(x V + c) U` in float64; V, c and U are None where there are no hidden units."""

    weight: Matrix
    bias: NDArray[np.float64]
    hidden_weight: Matrix | None = None
    hidden_bias: NDArray[np.float64] | None = None
    back: Matrix | None = None


def export_encoder(network: Autoencoder, projection: Projection) -> bytes:
    """ONNX: `input` (n, d) float32 features -> `output` (n, bits) float32 logits."""
    dense = _read(network.encoder)
    into = projection.directions * projection.scale
    folded = Dense(into @ dense.weight, dense.bias - projection.mean @ into @ dense.weight)
    if dense.hidden_weight is not None and dense.hidden_bias is not None:
        hidden = into @ dense.hidden_weight
        folded = Dense(folded.weight, folded.bias, hidden, dense.hidden_bias - projection.mean @ hidden, dense.back)
    return _graph("encoder", folded)


def export_decoder(network: Autoencoder, projection: Projection) -> bytes:
    """ONNX: `input` (n, bits) float32 of -1 and 1 -> `output` (n, d) float32 features."""
    dense = _read(network.decoder)
    out = projection.directions.T / projection.scale
    back = None if dense.back is None else dense.back @ out
    folded = Dense(dense.weight @ out, dense.bias @ out + projection.mean, dense.hidden_weight, dense.hidden_bias, back)
    return _graph("decoder", folded)


def _read(layer: Map) -> Dense:
    parts = layer.parts()
    weight, bias = _array(parts.weight).T, _array(parts.bias)
    if parts.branch is None:
        return Dense(weight, bias)
    return Dense(weight, bias, _array(parts.branch.into).T, _array(parts.branch.bias), _array(parts.branch.back).T)


def _array(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = tensor.detach().cpu().double().numpy()
    return array


def _graph(name: str, dense: Dense) -> bytes:
    constants = {"weight": dense.weight, "bias": dense.bias}
    nodes = [
        helper.make_node("Cast", ["input"], ["x"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["x", "weight"], ["xw"]),
        helper.make_node("Add", ["xw", "bias"], ["linear"]),
    ]
    last = "linear"
    if dense.hidden_weight is not None and dense.hidden_bias is not None and dense.back is not None:
        constants |= {"hidden_weight": dense.hidden_weight, "hidden_bias": dense.hidden_bias, "back": dense.back}
        nodes += [
            helper.make_node("MatMul", ["x", "hidden_weight"], ["xv"]),
            helper.make_node("Add", ["xv", "hidden_bias"], ["before"]),
            helper.make_node("Relu", ["before"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "back"], ["branch"]),
            helper.make_node("Add", ["linear", "branch"], ["sum"]),
        ]
        last = "sum"
    nodes.append(helper.make_node("Cast", [last], ["output"], to=TensorProto.FLOAT))
    width, outputs = dense.weight.shape
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(np.ascontiguousarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content
