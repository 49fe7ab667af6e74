"""The contractive table: what each regulariser makes of one layer of 1,000 sigmoid units on Fashion-MNIST.

Rifai et al., "Contractive Auto-Encoders", ICML 2011, compare the same encoders on MNIST (their tables 1 and 2). Tied
weights, a random start and batches drawn at random, as there; other than there the decoder is linear and the loss the
squared error. What came out, and why, is in docs/decisions/0008.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.errors import InvalidInputError
from models.neighbours import nearest
from models.training import geometry
from models.training.config import Config
from models.training.corruption import Corruption
from models.training.loop import Trained, fit
from models.training.prepare import draw_sample
from models.training.terms.contraction import closed_form
from scripts.console import track
from scripts.datasets.fashion_mnist import DEBIAN_FOLDER, read_idx

UNITS = 1000
BATCH = 256
PLAIN = Config(
    bits=UNITS,
    objective="undercomplete",
    hidden=0,
    tied=True,
    start="random",
    seeds_a_batch=BATCH,
    neighbours_a_seed=0,
    learning_rate=3e-3,
)
SPECTRUM_IMAGES = 100
HELD = 0.9
QUERIES, BASE, NEIGHBOURS = 2000, 20_000, 10
VALIDATION = 10_000
STEPS = 1400
"""Rounded up to whole passes. With them the plain autoencoder's reconstruction error is 1 % of the variance."""
THREADS = 1
"""More would be little faster and change the last digits."""


@dataclass(frozen=True)
class Method:
    """One regulariser: how a strength becomes a config, the strengths tried, the one chosen, Rifai's MNIST figures.

    `paper` is the squared norm of the Jacobian, in a unit they do not state, and the share of saturated units.
    """

    name: str
    configure: Callable[[float], Config]
    tried: tuple[float, ...]
    chosen: float
    paper: tuple[float, float] | None


def weighted(term: str) -> Callable[[float], Config]:
    """A term whose strength is its weight."""
    return lambda strength: replace(PLAIN, weights={term: strength})


def corrupted(kind: str) -> Callable[[float], Config]:
    """A corruption of the pixels whose strength is its level."""
    return lambda strength: replace(PLAIN, corruption=Corruption(kind, strength))


METHODS = (
    Method("AE", lambda _: PLAIN, (0.0,), 0.0, (17.5e-4, 0.4990)),
    Method("AE + weight decay", weighted("weight_decay"), (3e-4, 8e-4, 1e-3), 8e-4, (5.00e-4, 0.1297)),
    Method("DAE-b (masking)", corrupted("masking"), (0.1, 0.2, 0.3), 0.2, (7.87e-4, 0.6819)),
    Method("DAE-g (Gaussian)", corrupted("gaussian"), (1.0, 1.5, 2.0), 1.5, (0.86e-4, 0.1777)),
    Method("CAE", weighted("contraction"), (1e-2, 2e-2, 3e-2, 1e-1), 3e-2, (0.73e-4, 0.8636)),
)
"""Each has the strongest of the strengths tried whose reconstruction error on validation images is at most 15 % of the
variance: a small norm is easily had by ignoring the input, so all are compared at the same price. Validation images are
the last 10,000 of the training images; the networks saw the first 20,000, for about as many steps as in the table."""


@dataclass(frozen=True)
class Row:
    """What was measured of one encoder on images that it was not trained on.

    `norm` is the mean of `|dh / dx|_F^2`, x being pixels in [0, 1]; `saturated` the share of units under 0.05 or over
    0.95; `values` how many singular values of the Jacobian hold nine tenths of their sum; `error` the squared error of
    the reconstruction over the variance; `precision` by label, of the 10 nearest by the units' Euclidean distance.
    """

    norm: float
    saturated: float
    values: float
    error: float
    precision: float


@dataclass(frozen=True)
class Images:
    """Pixels (n, 784) float32 in [0, 1], and labels (n,)."""

    pixels: NDArray[np.float32]
    labels: NDArray[np.uint8]

    def __getitem__(self, places: slice) -> "Images":
        return Images(self.pixels[places], self.labels[places])


def print_contractive_table(folder: Path | None, seed: int = 0, validation: bool = False) -> None:
    """Train every method and print what it comes to on the test images; with `validation`, all strengths tried."""
    torch.set_num_threads(THREADS)
    train = load(folder or DEBIAN_FOLDER, "train")
    if validation:
        base, seen = train[: len(train.pixels) - VALIDATION][:BASE], train[-VALIDATION:]
        if not len(base.pixels):
            raise InvalidInputError(f"expected more than {VALIDATION} training images, got {len(train.pixels)}")
    else:
        base, seen = train, load(folder or DEBIAN_FOLDER, "t10k")
    rows: list[tuple[str, Method, Row]] = []
    # All components: the network sees every pixel, only rotated.
    sample = draw_sample(base.pixels, replace(PLAIN, components=base.pixels.shape[1]))
    for name, method, config in runs(validation):
        trained = fit(
            sample,
            replace(config, seed=seed, epochs=-(-STEPS * BATCH // len(base.pixels))),
            lambda steps, status, name=name: track(steps, f"{name:24}", status=status),  # type: ignore[misc]
        )
        rows.append((name, method, measure(trained, base[:BASE], seen)))
    Console(width=130).print(table(rows))


def runs(validation: bool) -> Iterator[tuple[str, Method, Config]]:
    """What is to be trained: each method as chosen, or at all the strengths that were tried."""
    for method in METHODS:
        for strength in method.tried if validation else (method.chosen,):
            name = f"{method.name} {strength:g}" if strength else method.name
            yield name, method, method.configure(strength)


def load(folder: Path, part: str) -> Images:
    """`train` or `t10k`."""
    images, labels = read_idx(folder, f"{part}-images-idx3-ubyte"), read_idx(folder, f"{part}-labels-idx1-ubyte")
    return Images((images.reshape(len(images), -1) / 255).astype(np.float32), labels)


def measure(trained: Trained, base: Images, seen: Images) -> Row:
    """Measure a tied layer on the images `seen`; their neighbours are sought among `base`."""
    network, scale = trained.network, trained.projection.scale
    inputs = torch.from_numpy(trained.projection.forward(seen.pixels))
    with torch.no_grad():
        units = torch.sigmoid(network.encoder(inputs))
        others = torch.sigmoid(network.encoder(torch.from_numpy(trained.projection.forward(base.pixels))))
        error = float((network.decoder(2 * units - 1) - inputs).square().mean() / inputs.square().mean())
        # Inputs are the pixels, rotated and times one scale: derivatives by pixels are so many times larger.
        norm = float(closed_form(units, network.encoder.linear.weight)) * scale**2
    spectra = [
        geometry.singular_values(geometry.jacobians(network.encoder, block))
        for block in inputs[:SPECTRUM_IMAGES].split(10)  # type: ignore[no-untyped-call]
    ]
    values = geometry.values_that_hold(torch.cat(spectra), HELD)
    near, _ = nearest(units[:QUERIES].numpy(), others.numpy(), NEIGHBOURS)
    same = base.labels[near] == seen.labels[:QUERIES, None]
    return Row(norm, geometry.saturated_share(units), float(values.float().mean()), error, float(same.mean()))


def table(rows: list[tuple[str, Method, Row]]) -> Table:
    """One line a network; the first is the one that the others' norms are compared with, here and in the paper."""
    shown = Table(
        "", "|J|^2", "AE / it", "saturated", "values", "error", "P@10", "MNIST: |J|^2", "AE / it", "saturated"
    )
    _, plain, first = rows[0]
    for name, method, row in rows:
        ours = (f"{row.norm:.1f}", f"{first.norm / row.norm:.1f}", f"{row.saturated:.1%}", f"{row.values:.0f}")
        theirs = ("-", "-", "-")
        if method.paper is not None and plain.paper is not None:
            norm, saturated = method.paper
            theirs = (f"{norm:.2e}", f"{plain.paper[0] / norm:.1f}", f"{saturated:.1%}")
        shown.add_row(name, *ours, f"{row.error:.3f}", f"{row.precision:.3f}", *theirs)
    return shown
