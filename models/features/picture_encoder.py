"""Features of images from a pretrained encoder: any ONNX graph from one image of fixed size to a row or to rows."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.features.base import MAX_PIXELS, CardSettings, Dimension, Document, Features, Files, Source, parse_settings
from models.features.encoder_graph import FLOATS, MODEL, EncoderGraph, finite_row
from models.features.image import decoding, open_image
from models.features.preprocessing import Preprocessing

OUTPUTS = ("image_embeds", "embeddings", "pooler_output", "features", "last_hidden_state")
# The keys of a folder's settings that are the card's own; all others are of the preprocessing.
_KEYS = {"pooling", "unit", "source"}


class PictureEncoderSettings(CardSettings):
    """`pooling` of an output (1, tokens, d): its first token, or their mean; of (1, d, h, w): the mean over places."""

    extractor: Literal["encoder"] = "encoder"
    modality: Literal["image"] = "image"
    dimension: Dimension
    pooling: Literal["none", "cls", "mean", "places"]
    unit: bool
    preprocessing: Preprocessing
    source: Source


class PictureEncoder(Features):
    """Rows of a pretrained encoder, one image a run: a run of several gains nothing on one thread."""

    name = "encoder"
    modality = "image"

    def __init__(self, model: bytes, settings: PictureEncoderSettings, max_pixels: int = MAX_PIXELS) -> None:
        """Raises InvalidInputError where graph and settings do not fit together."""
        self._files = {MODEL: model}
        self._settings = settings
        self.dimension = settings.dimension
        self.max_pixels = max_pixels
        self._graph = EncoderGraph(model, OUTPUTS)
        self._input = _only_input(self._graph)
        width = len(self._row(self._blank()))
        if width != self.dimension:
            raise InvalidInputError(f"features/dimension: expected {width}, as {MODEL} gives, got {self.dimension}")

    @classmethod
    def measured(cls, model: bytes, settings: Mapping[str, Any]) -> "PictureEncoder":
        """A new extractor: `dimension` is found by running the graph, and `pooling` where the settings name none.

        Raises InvalidInputError where it does not give the same row for the same image each time.
        """
        preprocessing = {key: value for key, value in settings.items() if key not in _KEYS}
        given = {
            "unit": settings.get("unit", True),
            "source": settings.get("source", {}),
            "preprocessing": preprocessing,
            "pooling": settings.get("pooling", "none"),
            "dimension": 1,
        }
        found = parse_settings(PictureEncoderSettings, given)
        graph = EncoderGraph(model, OUTPUTS)
        noise = np.random.default_rng(0).standard_normal(_shape(found.preprocessing)).astype(np.float32)
        output = graph.run({_only_input(graph): noise})
        if "pooling" not in settings:
            found = found.model_copy(update={"pooling": {2: "none", 3: "cls", 4: "places"}.get(output.ndim, "none")})
        width = output.shape[1] if output.ndim != 3 else output.shape[2]
        made = cls(model, found.model_copy(update={"dimension": width}))
        if not np.array_equal(made._row(noise), made._row(noise)):
            raise InvalidInputError(f"expected {MODEL} to give the same row for the same image, it gives others")
        return made

    @classmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> "PictureEncoder":
        """Restore from a card's settings and the files of its folder."""
        if MODEL not in files:
            raise InvalidInputError(f"expected the file {MODEL} of an image encoder, found none")
        return cls(files[MODEL], parse_settings(PictureEncoderSettings, settings))

    def limit(self, max_characters: int, max_pixels: int) -> None:
        """Refuse larger images than this."""
        self.max_pixels = max_pixels

    def row(self, document: Document, query: bool = False) -> NDArray[np.float32]:
        """Features (dimension,) float32 of one encoded image, or of pixels (h, w) or (h, w, 3) uint8."""
        with decoding(document):
            pixels = self._settings.preprocessing.apply(open_image(document, self.max_pixels))
        return self._row(pixels)

    def check(self, document: Document) -> None:
        """Raise InvalidInputError where the image cannot be decoded; does not run the graph."""
        open_image(document, self.max_pixels)

    def settings(self) -> dict[str, Any]:
        """Everything but the graph."""
        return self._settings.model_dump()

    def files(self) -> dict[str, bytes]:
        """The graph."""
        return self._files

    def _blank(self) -> NDArray[np.float32]:
        return np.full(_shape(self._settings.preprocessing), 0.5, np.float32)

    def _row(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        output = self._graph.run({self._input: pixels}).astype(np.float64)
        axes = {"none": 2, "cls": 3, "mean": 3, "places": 4}[self._settings.pooling]
        if output.ndim != axes or len(output) != 1:
            raise InvalidInputError(f"expected an output (1, ...) of {axes} axes from {MODEL}, got {output.shape}")
        (only,) = output
        pooled = {
            "none": lambda: only,
            "cls": lambda: only[0],
            "mean": lambda: only.mean(axis=0),
            "places": lambda: only.reshape(len(only), -1).mean(axis=1),
        }[self._settings.pooling]()
        return finite_row(pooled, self._settings.unit)


def _only_input(graph: EncoderGraph) -> str:
    if len(graph.inputs) != 1 or next(iter(graph.inputs.values())) not in FLOATS.values():
        raise InvalidInputError(f"expected {MODEL} to take one input of floats, got {', '.join(graph.inputs)}")
    return next(iter(graph.inputs))


def _shape(preprocessing: Preprocessing) -> tuple[int, ...]:
    height, width = preprocessing.height, preprocessing.width
    return (1, 3, height, width) if preprocessing.layout == "NCHW" else (1, height, width, 3)
