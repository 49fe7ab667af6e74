"""The sections on the codes themselves: balance and correlation of the bits, distances of pairs."""

import numpy as np

from models.evaluation.metrics import bit_correlation, share_of_ones
from models.neighbours import nearest
from scripts.report import figures
from scripts.report.material import SEED, Drawn
from scripts.report.measures import pair_distances
from scripts.report.parts import Picture, Section

NEIGHBOURS = 10


def bits_section(base: Drawn) -> Section:
    """Share of ones of each bit, and the correlation of each two."""
    share, correlation = share_of_ones(base.codes), bit_correlation(base.codes)
    apart = np.abs(correlation[~np.eye(len(correlation), dtype=bool)])
    constant = int(np.sum((share == 0) | (share == 1)))
    return Section(
        "bits",
        "Bits",
        f"What each bit is worth, over {len(base.codes):,} items.",
        [
            Picture(
                "balance.png",
                "Balance of the bits",
                f"The share of items in which each bit is on, from {share.min():.2f} to {share.max():.2f} here; "
                f"{constant} of {len(share)} never change. Good: all near one half, where a bit tells most.",
                figures.balance(share),
            ),
            Picture(
                "correlation.png",
                "Correlation of the bits",
                "How much each two bits say the same (red) or the opposite (blue); off the diagonal "
                f"{apart.mean():.3f} on average, {apart.max():.2f} at most. Good: no strong colour off the diagonal.",
                figures.correlation(correlation),
            ),
        ],
    )


def distances_section(base: Drawn, queries: Drawn, items: int) -> Section:
    """Hamming distances between neighbours by features, and between random pairs."""
    near = nearest(queries.rows, base.rows, NEIGHBOURS)[0]
    repeated = np.repeat(queries.codes, near.shape[1], axis=0)
    close = pair_distances(repeated, base.codes[near.reshape(-1)])
    others = np.random.default_rng(SEED).integers(0, len(base.codes), len(repeated))
    random = pair_distances(repeated, base.codes[others])
    among = f"{len(base.rows):,} items" + (f" drawn from {items:,}" if len(base.rows) < items else "")
    return Section(
        "distances",
        "Distances",
        "Whether codes keep near what is near.",
        [
            Picture(
                "distances.png",
                "Neighbours and random pairs",
                f"Hamming distances of queries to their {near.shape[1]} nearest items by float features, among "
                f"{among}, and to random items: {close.mean():.1f} and {random.mean():.1f} on average. "
                "Good: two hills apart, neighbours at the left; what overlaps is confused by a search.",
                figures.distances(close, random),
            )
        ],
    )
