"""The section on searches: some queries, and the items whose codes are nearest."""

import numpy as np
from numpy.typing import NDArray

from models.codes import hamming
from models.features.pixels import PixelFeatures
from scripts.report.material import Drawn, Material, pick_shown, read_items
from scripts.report.parts import Picture, Section, Table, plain
from scripts.report.pictures import grid, item_tile

PICTURED = 8
LISTED = 5
NEAREST = 7
LABEL = 12


def neighbours_section(material: Material, base: Drawn, queries: Drawn) -> Section:
    """Images are drawn; texts are listed; of vectors, ids and labels are."""
    features, pictured = material.hasher.features, isinstance(material.hasher.features, PixelFeatures)
    shown = pick_shown(queries, PICTURED if pictured else LISTED)
    distances = hamming(queries.codes[shown], base.codes)
    near = np.argsort(distances, axis=1, kind="stable")[:, :NEAREST]
    items = len(material.split.base)
    among = f"all {items:,} items" if len(base.rows) == items else f"{len(base.rows):,} of {items:,} items"
    words = f"Queries that training never saw, and the nearest among {among} by code alone, nearest first."
    if isinstance(features, PixelFeatures):
        part: Picture | Table = _picture(features, base, queries, shown, near, distances)
    else:
        part = _table(material, base, queries, shown, near, distances)
    return Section("neighbours", "Nearest neighbours", words, [part])


def _picture(
    features: PixelFeatures,
    base: Drawn,
    queries: Drawn,
    shown: NDArray[np.intp],
    near: NDArray[np.intp],
    distances: NDArray[np.int32],
) -> Picture:
    labelled = base.labels is not None and queries.labels is not None
    tiles = []
    for place, found, far in zip(shown, near, distances, strict=True):
        label = _label(queries, place)
        row = [item_tile(features, queries.rows[place], f"query\n{label}".strip())]
        for other in found:
            right = _label(base, other) == label if labelled else None
            words = f"distance {far[other]}\n{_label(base, other)}".strip()
            row.append(item_tile(features, base.rows[other], words, right))
        tiles.append(row)
    framed = " A green frame: the same label as the query; an orange one: another." if labelled else ""
    caption = (
        "The first column is the query; above each item stand its Hamming distance and its label, if it has one."
        f"{framed} Good: items that you, too, would call alike, and distances that grow as they differ."
    )
    return Picture("neighbours.png", "Queries and what they find", caption, grid(tiles, 0.3), wide=True, chart=False)


def _table(
    material: Material,
    base: Drawn,
    queries: Drawn,
    shown: NDArray[np.intp],
    near: NDArray[np.intp],
    distances: NDArray[np.int32],
) -> Table:
    wanted = {int(queries.numbers[place]) for place in shown} | {int(base.numbers[other]) for other in near.flat}
    items = read_items(material.data, wanted)
    rows: list[tuple[str, ...]] = []

    def add(distance: str, number: int) -> None:
        item = items[number]
        text = (plain(item.document),) if isinstance(item.document, str) else ()
        rows.append((distance, plain(item.id, 60), plain(item.label, 40), *text))

    for place, found, far in zip(shown, near, distances, strict=True):
        add("query", int(queries.numbers[place]))
        for other in found:
            add(str(far[other]), int(base.numbers[other]))
    text = ("text",) if material.data.modality == "text" else ()
    caption = (
        "Each query in bold, under it what it finds, with Hamming distances. "
        "Good: items that you, too, would call alike, and distances that grow as they differ."
    )
    marked = tuple(number for number, row in enumerate(rows) if row[0] == "query")
    return Table("Queries and what they find", caption, ("distance", "id", "label", *text), rows, marked)


def _label(drawn: Drawn, place: int | np.intp) -> str:
    return "" if drawn.labels is None else plain(str(drawn.labels[place]), LABEL)
