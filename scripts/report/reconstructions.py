"""The section on reconstructions: what the decoder remembers of an item from its code."""

import numpy as np
from numpy.typing import NDArray

from models.features.pixels import PixelFeatures
from models.neighbours import nearest
from scripts.report import figures
from scripts.report.material import Drawn, Material, pick_shown, read_items
from scripts.report.measures import cosines, variance_explained
from scripts.report.parts import Picture, Section, Table, plain
from scripts.report.pictures import grid, item_tile

PICTURED = 10
LISTED = 6


def reconstructions_section(material: Material, base: Drawn, queries: Drawn) -> Section:
    """Images side by side, or the cosine similarity of the rest; of texts also the nearest text to what is decoded."""
    hasher = material.hasher
    decoded = hasher.decode(queries.codes)
    explained = variance_explained(queries.rows, decoded, base.rows.mean(axis=0, dtype=np.float64))
    words = (
        f"What the decoder makes of {hasher.bits} bits, held to the features they came from, over "
        f"{len(queries.rows):,} queries: {explained:.0%} of the variance is explained "
        "(100% is exact, 0% no better than the mean item)."
    )
    similar = cosines(queries.rows, decoded)
    parts: list[Picture | Table] = []
    if isinstance(hasher.features, PixelFeatures):
        shown = pick_shown(queries, PICTURED)
        tiles = [
            [item_tile(hasher.features, row[place], words) for place in shown]
            for row, words in ((queries.rows, "item"), (decoded, "from code"))
        ]
        caption = (
            f"Above the items, below what is decoded from their {hasher.bits} bits. "
            "Good: the kind of item is plain to see, though details are lost: so few bits cannot hold them."
        )
        parts.append(Picture("reconstructions.png", "Items and their codes", caption, grid(tiles), True, False))
    parts.append(
        Picture(
            "cosines.png",
            "Cosine similarity",
            "How alike items and their reconstructions point, 1 being the same direction. "
            "Good: a hill near 1 without a long tail to the left.",
            figures.histogram(similar, "cosine similarity of item and reconstruction", "queries"),
        )
    )
    if material.data.modality == "text":
        parts.append(_nearest_texts(material, base, queries, decoded, similar))
    return Section("reconstructions", "Reconstructions", words, parts)


def _nearest_texts(
    material: Material,
    base: Drawn,
    queries: Drawn,
    decoded: NDArray[np.float32],
    similar: NDArray[np.float64],
) -> Table:
    shown = pick_shown(queries, LISTED)
    unit = decoded[shown] / np.maximum(np.linalg.norm(decoded[shown], axis=1, keepdims=True), 1e-12)
    found = nearest(unit, base.rows, 1)[0][:, 0]
    asked, near = queries.numbers[shown], base.numbers[found]
    items = read_items(material.data, {int(number) for number in (*asked, *near)})
    rows: list[tuple[str, ...]] = [
        (plain(str(items[int(one)].document)), f"{similar[place]:.2f}", plain(str(items[int(other)].document)))
        for place, one, other in zip(shown, asked, near, strict=True)
    ]
    caption = (
        "Texts, the cosine similarity of their features to what is decoded, and the text of the training data that is "
        "nearest to that. Good: a text on the same matter."
    )
    headings = ("text", "cosine", "nearest text to its reconstruction")
    return Table("What the code remembers of a text", caption, headings, rows)
