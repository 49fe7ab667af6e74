"""A graph of a hasher, run by ONNX Runtime: from rows of one width to rows of another, within bounded time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import numpy as np
from numpy.typing import NDArray

# Read when ONNX Runtime is first imported, which only this module does: it would note every session in the home
# directory, to be sent to its makers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from models.errors import HammingwayError, InvalidInputError
from models.onnx_file import require_self_contained

INPUT = "input"
FLOAT32 = "tensor(float)"
# Rows of one run: as many as have so many numbers together, 8 MiB as float64, and not more than so many.
NUMBERS_A_RUN, ROWS_A_RUN = 2**20, 1024
# A run of so many rows takes milliseconds.
RUN_SECONDS = 60.0
# For one row when a graph is loaded, and to load it before that.
FIRST_RUN_SECONDS = 10.0
LOAD_SECONDS = 30.0
LOOK_SECONDS = 0.5


class GraphError(InvalidInputError):
    """A graph that cannot take these rows, or that does not do what its card says."""


class SlowGraphError(HammingwayError):
    """A graph that was ended, as it took too long."""

    status = 503
    title = "Slow hasher"


class Graph:
    """Takes float32 rows of `inputs` numbers and gives float32 rows of `outputs`; safe to use from many threads."""

    def __init__(self, content: bytes, inputs: int, outputs: int) -> None:
        """Raises InvalidInputError for a file that is no ONNX model, that names other files, or of other widths."""
        require_self_contained(content)
        self._inputs, self._outputs = inputs, outputs
        self._limit = RunLimit()
        self._session = open_session(content)
        self._require_widths()
        # Loops and wrong shapes show only when it runs.
        self._one_run(np.full((1, inputs), 0.5, np.float32), FIRST_RUN_SECONDS)

    @property
    def rows_a_run(self) -> int:
        """How many rows one run takes at most."""
        return max(1, min(ROWS_A_RUN, NUMBERS_A_RUN // max(self._inputs, self._outputs)))

    def run(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows (n, outputs) float32 of rows (n, inputs) float32; raises GraphError where it fails or gives NaN.

        Raises SlowGraphError where it takes too long.
        """
        result = np.empty((len(rows), self._outputs), np.float32)
        for start in range(0, len(rows), self.rows_a_run):
            some = slice(start, start + self.rows_a_run)
            result[some] = self._one_run(rows[some], RUN_SECONDS)
        return result

    def _one_run(self, rows: NDArray[np.float32], seconds: float) -> NDArray[np.float32]:
        try:
            with self._limit.within(seconds) as options:
                (result,) = self._session.run([self._output], {INPUT: rows}, options)
        except Exception as error:
            if options.terminate:
                raise SlowGraphError(
                    f"expected a graph to take at most {seconds:g} seconds for {len(rows)} rows, it took more"
                ) from None
            # Of ONNX Runtime: a class for each of its codes, none of which says more.
            raise GraphError(f"expected a graph that can be run: {str(error)[:500]}") from None
        expected = (len(rows), self._outputs)
        if not isinstance(result, np.ndarray) or result.shape != expected or result.dtype != np.float32:
            came = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
            raise GraphError(f"expected float32 {expected} of a graph, got {came}")
        if np.isnan(result).any():
            raise GraphError("expected numbers of a graph, got NaN")
        return result

    def _require_widths(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if [each.name for each in inputs] != [INPUT] or not outputs:
            came = [each.name for each in inputs][:8], [each.name for each in outputs][:8]
            raise GraphError(f"expected a graph with one input, {INPUT!r}, and an output, got {came[0]} and {came[1]}")
        self._output: str = outputs[0].name
        for each, width in ((inputs[0], self._inputs), (outputs[0], self._outputs)):
            if each.type != FLOAT32 or len(each.shape) != 2 or isinstance(each.shape[0], int) or each.shape[1] != width:
                raise GraphError(
                    f"expected a graph from {self._inputs} to {self._outputs} numbers, any number of rows of float32, "
                    f"got {each.name!r} of {each.type} {each.shape}"
                )


def open_session(content: bytes, seconds: float = LOAD_SECONDS, varying: bool = False) -> onnxruntime.InferenceSession:
    """A session that runs an ONNX model on the calling thread; raises where it cannot be loaded in so many seconds.

    `varying`: inputs come in many shapes, for each of which a plan of memory would be kept for good.
    """
    options = onnxruntime.SessionOptions()
    # One thread a call: the callers are the threads, and more of them than cores is slower, not faster.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_mem_pattern = not varying
    # It would take its own format, too, which was not looked at.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # What is constant in a graph is computed when it is loaded.
    timer = threading.Timer(seconds, options.set_load_cancellation_flag, (True,))
    timer.daemon = True
    timer.start()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    finally:
        timer.cancel()


class RunLimit:
    """Ends runs that take too long; a thread looks after them while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ends: dict[onnxruntime.RunOptions, float] = {}
        self._thread: threading.Thread | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[onnxruntime.RunOptions]:
        """Options for one run, which fails soon after so many seconds, between two nodes of the graph."""
        options = onnxruntime.RunOptions()
        # What it would log is in the error.
        options.log_severity_level = 4
        with self._changed:
            self._ends[options] = monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="run limit", daemon=True)
                self._thread.start()
        try:
            yield options
        finally:
            with self._changed:
                del self._ends[options]

    def _look(self) -> None:
        with self._changed:
            while self._ends:
                now = monotonic()
                for options, end in self._ends.items():
                    if end <= now:
                        options.terminate = True
                self._changed.wait(LOOK_SECONDS)
            self._thread = None
