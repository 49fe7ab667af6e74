"""The ONNX graph of a pretrained encoder, run by ONNX Runtime on the calling thread."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.graph import RunLimit, SlowGraphError, open_session
from models.onnx_file import require_self_contained

MODEL = "model.onnx"
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# A gigabyte is read and optimised in less; the longest text takes seconds.
LOAD_SECONDS, RUN_SECONDS = 120.0, 60.0


class EncoderGraph:
    """A graph with named inputs, of which the first output that `outputs` names is used; safe for many threads."""

    def __init__(self, content: bytes, outputs: tuple[str, ...]) -> None:
        """`outputs` are names to prefer, in order; otherwise the graph's first output is used.

        Raises InvalidInputError for a file that is no ONNX model or keeps tensors in other files. No code of the model
        is run: a graph is data, and operators of its own are refused, as no library of them is loaded.
        """
        require_self_contained(content)
        self._limit = RunLimit()
        try:
            self._session = open_session(content, LOAD_SECONDS, varying=True)
        except Exception as error:
            raise InvalidInputError(
                f"expected {MODEL} to be a graph that ONNX Runtime takes: {_short(error)}"
            ) from None
        self.inputs: dict[str, Any] = {}
        for each in self._session.get_inputs():
            if each.type not in INTEGERS | FLOATS:
                raise InvalidInputError(
                    f"expected inputs of integers or floats in {MODEL}, got {each.name} {each.type}"
                )
            self.inputs[each.name] = (INTEGERS | FLOATS)[each.type]
        names = [each.name for each in self._session.get_outputs()]
        self.output: str = next((name for name in outputs if name in names), names[0])

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The output (n, ...) float32 of inputs by name; raises InvalidInputError where the graph fails.

        Raises SlowGraphError where it takes too long.
        """
        typed = {name: feeds[name].astype(dtype, copy=False) for name, dtype in self.inputs.items()}
        try:
            with self._limit.within(RUN_SECONDS) as options:
                (result,) = self._session.run([self.output], typed, options)
        except Exception as error:
            if options.terminate:
                raise SlowGraphError(
                    f"expected {MODEL} to take at most {RUN_SECONDS:g} seconds, it took more"
                ) from None
            raise InvalidInputError(f"expected a document that the encoder takes: {_short(error)}") from None
        if not isinstance(result, np.ndarray) or result.dtype.kind != "f":
            raise InvalidInputError(f"expected floats from the output {self.output} of {MODEL}, got others")
        return result.astype(np.float32, copy=False)


def finite_row(pooled: NDArray[np.float64], unit: bool) -> NDArray[np.float32]:
    """A row (d,) float32, scaled to length 1 where `unit`; raises InvalidInputError for what is not finite or zero."""
    if not np.isfinite(pooled).all():
        raise InvalidInputError("expected finite features of a document, the encoder gave others")
    if unit:
        length = float(np.sqrt(np.square(pooled).sum()))
        if length == 0.0:
            raise InvalidInputError("expected features with a direction, the encoder gave all zeros")
        pooled = pooled / length
    with np.errstate(over="ignore"):
        row = pooled.astype(np.float32)
    if not np.isfinite(row).all():
        raise InvalidInputError("expected features within float32, the encoder gave larger ones")
    return row


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
