"""The noise table: what noise along the differences between neighbours does to the encoder, beside other objectives."""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from models.rows import draw
from models.training import geometry
from models.training.config import Config
from models.training.corruption import Corruption
from models.training.loop import fit
from models.training.prepare import draw_sample
from models.training.sample import Sample
from scripts.console import track
from scripts.datasets import open_dataset
from scripts.features import pick_features
from scripts.rows import read_rows

BITS = 32
EPOCHS = 20
ITEMS = 2000
MEASURED = 200
ACROSS = 0.1
"""Across: the directions that together hold this share of what neighbours differ by."""
HELD = 0.9
NO_NOISE, NOISE = Corruption("manifold", 0.0), Corruption("manifold", 0.5)
CONFIGS = {
    "plain (undercomplete)": Config(BITS, "undercomplete", EPOCHS),
    "contractive": Config(BITS, "contractive", EPOCHS),
    "denoising, Gaussian 0.3": Config(BITS, "denoising", EPOCHS, corruption=Corruption("gaussian", 0.3)),
    "plain, manifold 0.5": Config(BITS, "undercomplete", EPOCHS, corruption=NOISE),
    "hashing without noise": Config(BITS, epochs=EPOCHS, corruption=NO_NOISE),
    "hashing (manifold 0.5)": Config(BITS, epochs=EPOCHS, corruption=NOISE),
}


@dataclass(frozen=True)
class Row:
    """One encoder at some items, J being the Jacobian of its units.

    `along` and `across` are `E |J e|^2 / E |e|^2` for steps e between neighbours and across them; `norm` is the mean
    squared norm of J, `saturated` the share of such units, `values` how many singular values hold 90 % of their sum.
    """

    along: float
    across: float
    norm: float
    saturated: float
    values: float


def print_noise_table(arguments: argparse.Namespace) -> None:
    """Train each on 2,000 items of the data at most, and print its figures."""
    torch.set_num_threads(arguments.threads)
    data = open_dataset(arguments.noise_table, arguments.data_dir)
    rows, _ = read_rows(data, pick_features(data, arguments))
    sample = draw_sample(draw(rows, ITEMS, 0), Config())
    shown = Table("", "along", "across", "|J|^2", "saturated", "values")
    for name, config in CONFIGS.items():
        trained = fit(sample, config, lambda steps, status, name=name: track(steps, f"{name:24}", status=status))  # type: ignore[misc]
        row = measure(trained.network.encoder, sample)
        shown.add_row(
            name,
            f"{row.along:.4f}",
            f"{row.across:.4f}",
            f"{row.norm:.2f}",
            f"{row.saturated:.1%}",
            f"{row.values:.0f}",
        )
    print(f"{data.name}: {len(sample.inputs)} items, {sample.inputs.shape[1]} inputs, {BITS} bits")
    Console(width=130).print(shown)


def measure(encoder: torch.nn.Module, sample: Sample) -> Row:
    """The figures of an encoder at the first 200 items."""
    variances, directions = difference_directions(sample)
    with torch.no_grad():
        saturated = geometry.saturated_share(torch.sigmoid(encoder(sample.inputs)))
    jacobian = geometry.jacobians(encoder, sample.inputs[:MEASURED])
    turned = (jacobian @ directions).square().sum(dim=1).mean(dim=0)
    across = variances.cumsum(0) < ACROSS * variances.sum()
    values = geometry.values_that_hold(geometry.singular_values(jacobian), HELD)
    return Row(
        float((turned * variances).sum() / variances.sum()),
        float(turned[across].mean()),
        geometry.mean_squared_norm(jacobian),
        saturated,
        float(np.mean(values.numpy())),
    )


def difference_directions(sample: Sample) -> tuple[Tensor, Tensor]:
    """Variances (r,) of the differences between neighbours, least first, and their directions (r, r), one a column."""
    differences = (sample.inputs[:, None] - sample.inputs[sample.graph]).reshape(-1, sample.inputs.shape[1])
    variances, directions = torch.linalg.eigh(differences.T @ differences / len(differences))
    return variances, directions
