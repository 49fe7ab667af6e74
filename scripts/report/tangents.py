"""The section on tangent directions: the changes of an item that its code notices most."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.features.pixels import PixelFeatures
from models.training.geometry import jacobians, saturated_share, singular_values, tangent_directions, values_that_hold
from models.training.loop import Trained
from scripts.report import figures
from scripts.report.material import Drawn, Material, pick_shown
from scripts.report.parts import Picture, Section, Table
from scripts.report.pictures import direction_tile, grid, item_tile

PICTURED = 6
DIRECTIONS = 6
MEASURED = 200
NUMBERS = 16_000_000
HELD = 0.9


def tangents_section(material: Material, queries: Drawn) -> Section:
    """The spectrum of the encoder's Jacobian; for images, its leading directions drawn beside the item."""
    trained, features = material.trained, material.hasher.features
    wide = material.hasher.bits * trained.projection.directions.shape[1]
    inputs = torch.from_numpy(trained.projection.forward(queries.rows[: max(1, min(MEASURED, NUMBERS // wide))]))
    values = singular_values(jacobians(trained.network.encoder, inputs))
    with torch.no_grad():
        saturated = saturated_share(torch.sigmoid(trained.network.encoder(inputs)))
    held = float(values_that_hold(values, HELD).double().mean())
    caption = (
        f"Singular values of the encoder's Jacobian at {len(inputs)} queries, largest first: how strongly the code "
        "answers to steps in each direction. Good: a steep fall, so few directions matter, the way data vary, "
        "and the rest is ignored."
    )
    parts: list[Picture | Table] = []
    if isinstance(features, PixelFeatures):
        parts.append(_picture(trained, features, queries))
    parts.append(Picture("spectrum.png", "Singular values of the Jacobian", caption, figures.spectrum(values.numpy())))
    words = (
        "Small steps in the tangent directions of an item change its code most. "
        f"Of {values.shape[1]}, {held:.0f} hold {HELD:.0%} of the sum of the singular values; "
        f"{saturated:.0%} of the code's units are saturated, and hardly answer to small steps."
    )
    if not isinstance(features, PixelFeatures):
        words += " Directions in the features of this data cannot be drawn; their strengths can."
    return Section("tangents", "Tangent directions", words, parts)


def feature_directions(
    trained: Trained, rows: NDArray[np.float32], number: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit tangent directions (m, number, d) at features (m, d), and their singular values (m, number)."""
    inputs = torch.from_numpy(trained.projection.forward(rows))
    directions, values = tangent_directions(jacobians(trained.network.encoder, inputs), number)
    # One scale for all inputs, so the orthonormal columns alone bring a direction back.
    back = directions.double().numpy() @ trained.projection.directions.T
    return back, values.double().numpy()


def _picture(trained: Trained, features: PixelFeatures, queries: Drawn) -> Picture:
    shown = pick_shown(queries, PICTURED)
    directions, values = feature_directions(trained, queries.rows[shown], DIRECTIONS)
    tiles = [
        [item_tile(features, row, "item")]
        + [direction_tile(features, *pair) for pair in zip(found, (f"{v:.2f}" for v in strength), strict=True)]
        for row, found, strength in zip(queries.rows[shown], directions, values, strict=True)
    ]
    caption = (
        "Beside each item the changes that its code notices most, with their singular values: red pixels get "
        "brighter while blue ones get darker, or the other way round. "
        "Good: strokes, edges and parts that move or grow, not noise."
    )
    return Picture("tangents.png", "Leading tangent directions", caption, grid(tiles, 0.3), wide=True, chart=False)
