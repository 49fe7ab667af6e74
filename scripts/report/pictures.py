"""Rows of small images with words above each, as one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from models.features.pixels import PixelFeatures
from scripts.report.figures import GREEN, ORANGE, render

CELL = 0.95
TEXT_SIZE = 9


@dataclass(frozen=True)
class Tile:
    """Pixels (h, w) or (h, w, 3) with words above; a frame where `right` is given, green for True."""

    pixels: NDArray[np.float64]
    words: str
    right: bool | None = None


def item_tile(features: PixelFeatures, row: NDArray[np.float32], words: str, right: bool | None = None) -> Tile:
    """A row of features (d,) as the image it stands for."""
    pixels = np.asarray(features.image(row).convert("RGB"), np.float64) / 255
    return Tile(pixels, words, right)


def direction_tile(features: PixelFeatures, direction: NDArray[np.float64], words: str) -> Tile:
    """A direction (d,) in features space: red where it brightens, blue where it darkens, white where it does nothing.

    The channels of a coloured image are averaged. Its sign is arbitrary: the largest pixel is made positive.
    """
    pixels = direction.reshape(features.height, features.width, -1).mean(axis=2)
    largest = pixels.flat[np.abs(pixels).argmax()]
    scaled = pixels / largest if largest else pixels
    return Tile(colormaps["RdBu_r"]((scaled + 1) / 2)[..., :3], words)


def grid(tiles: Sequence[Sequence[Tile]], gap: float = 0.0) -> bytes:
    """Rows of tiles; `gap` is the room after the first column, in columns."""
    columns, words = max(len(row) for row in tiles), max(tile.words.count("\n") + 1 for row in tiles for tile in row)
    # All on one pair of axes: fifty of them would take seconds to lay out.
    pitch = 1.12
    height = pitch + 0.19 * words

    def draw(axes: Axes) -> None:
        for line, row in enumerate(tiles):
            for column, tile in enumerate(row):
                _draw_tile(axes, tile, column * pitch + (gap if column else 0.0), -line * height)
        axes.set(xlim=(-0.05, columns * pitch + gap), ylim=(-len(tiles) * height + 0.1, 0.19 * words + 0.1))
        axes.set_aspect("equal")
        axes.set_axis_off()

    return render(draw, (CELL * (columns * pitch + gap + 0.05), CELL * (len(tiles) * height + 0.19 * words)))


def _draw_tile(axes: Axes, tile: Tile, left: float, top: float) -> None:
    height, width = tile.pixels.shape[:2]
    scale = 1 / max(height, width)
    right, bottom = left + width * scale, top - height * scale
    axes.imshow(tile.pixels, extent=(left, right, bottom, top), interpolation="nearest", vmin=0, vmax=1)
    colour = "#bbbbbb" if tile.right is None else GREEN if tile.right else ORANGE
    frame = Rectangle((left, bottom), width * scale, height * scale, fill=False, edgecolor=colour,
                      linewidth=0.8 if tile.right is None else 2.2)  # fmt: skip
    axes.add_patch(frame)
    words = axes.text((left + right) / 2, top + 0.04, tile.words, ha="center", va="bottom", fontsize=TEXT_SIZE)
    # Long words may be cut off, but must not squeeze the images.
    words.set_in_layout(False)
