"""From an image to the numbers that a pretrained encoder takes: size, crop, scale and order of channels."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from models.errors import InvalidInputError
from models.features.base import CardSettings

LONGEST_SIDE = 4096
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# The steps of a preprocessor_config.json that are known here; another one that is on changes what the encoder sees.
STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"}


class Preprocessing(CardSettings):
    """An image is brought to (`height`, `width`), then each channel becomes `(pixel * scale - mean) / std`.

    `fit` is `stretch`: whatever its shape; `crop`: its shorter side becomes `shortest` and the middle is cut out; or
    `pad`: all of it, with white beside it.
    """

    height: Side
    width: Side
    fit: Literal["stretch", "crop", "pad"]
    shortest: Side | None = None
    resample: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"] = "bicubic"
    scale: Finite = 1 / 255
    mean: Annotated[list[Finite], Field(min_length=3, max_length=3)] = Field(default_factory=lambda: [0.0, 0.0, 0.0])
    std: Annotated[list[Positive], Field(min_length=3, max_length=3)] = Field(default_factory=lambda: [1.0, 1.0, 1.0])
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"

    def apply(self, image: Image.Image) -> NDArray[np.float32]:
        """The input (1, 3, height, width) float32 of an image, or (1, height, width, 3)."""
        pixels = np.asarray(self._fitted(image.convert("RGB")), np.float32)
        if self.channels == "BGR":
            pixels = pixels[..., ::-1]
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (pixels * np.float32(self.scale) - mean) / std
        return np.ascontiguousarray(values if self.layout == "NHWC" else values.transpose(2, 0, 1))[None]

    def _fitted(self, image: Image.Image) -> Image.Image:
        size, resample = (self.width, self.height), FILTERS[self.resample]
        if self.fit == "stretch":
            return image.resize(size, resample)
        if self.fit == "pad":
            ratio = min(self.width / image.width, self.height / image.height)
            inner = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
            padded = Image.new("RGB", size, "white")
            padded.paste(image.resize(inner, resample), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
            return padded
        # The part that is seen is cut before it is resized: a long image would become huge.
        ratio = min(image.size) / (self.shortest or min(size))
        width, height = min(self.width * ratio, image.width), min(self.height * ratio, image.height)
        left, top = (image.width - width) / 2, (image.height - height) / 2
        return image.resize(size, resample, (left, top, left + width, top + height))


def from_processor(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a preprocessor_config.json stands for; raises InvalidInputError for what is not known here."""
    on = {key for key, value in config.items() if key.startswith("do_") and value}
    if unknown := sorted(on - STEPS):
        raise InvalidInputError(f"expected {', '.join(sorted(STEPS))} in preprocessor_config.json, got {unknown[0]}")
    crop = _size(config.get("crop_size")) if config.get("do_center_crop") else None
    size = _size(config.get("size", config.get("crop_size")))
    if size is None:
        raise InvalidInputError("expected a size in preprocessor_config.json, got none")
    found: dict[str, Any] = {"fit": "stretch"}
    found["height"], found["width"] = crop or size
    if crop is not None:
        found |= {"fit": "crop", "shortest": min(size)}
    elif "crop_pct" in config:
        found |= {"fit": "crop", "shortest": round(min(size) / float(config["crop_pct"]))}
    elif _is_shortest(config.get("size")):
        # The shape would follow the image, which a graph of fixed size does not take.
        found |= {"fit": "crop", "shortest": min(size)}
    names = {value.value: name for name, value in FILTERS.items()}
    found["resample"] = names.get(config.get("resample", Image.Resampling.BICUBIC.value), "bicubic")
    found["scale"] = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    if config.get("do_normalize", True):
        for name, key in (("mean", "image_mean"), ("std", "image_std")):
            if key in config:
                found[name] = [float(each) for each in config[key]]
    return found


def _is_shortest(size: object) -> bool:
    return isinstance(size, dict) and "shortest_edge" in size


def _size(size: object) -> tuple[int, int] | None:
    """(height, width) of a size as it may be written: a number, a pair, or an object."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return int(size["shortest_edge"]), int(size["shortest_edge"])
        if {"height", "width"} <= size.keys():
            return int(size["height"]), int(size["width"])
    return None
