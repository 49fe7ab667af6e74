"""Objectives by name: which terms are summed with which weights, over which kind of code and input."""

from collections.abc import Mapping
from dataclasses import dataclass

from models.training.corruption import Corruption


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms (`models.training.terms`)."""

    weights: Mapping[str, float]
    binary: bool = False
    """Whether decoder and terms see the code itself (straight-through) or the sigmoid before the cut."""
    corruption: Corruption | None = None
    """What is done to the inputs, which are then to be reconstructed clean."""
    full_decorrelation_at: int = 0
    """Items from which on the decorrelation has its full weight; below, its weight is in proportion to the items."""
    small_batches: bool = False
    """Whether few items make for small batches and networks."""
    few_steps: bool = False
    """Whether small corpora are trained on for fewer steps than 800."""
    components: int = 256
    """Principal components that the network sees, at most: what tells copies from neighbours lies in many."""


DUPLICATES = "duplicates"
"""The objective that sees views of the documents; all others see the documents alone."""
OBJECTIVES: dict[str, Objective] = {
    "hashing": Objective(
        {
            "reconstruction": 4.0,
            "similarity": 1.0,
            "smoothed_similarity": 2.7,
            "decorrelation": 20.0,
            "balance": 1.0,
        },
        binary=True,
        corruption=Corruption("manifold", 0.5),
        full_decorrelation_at=20_000,
        small_batches=True,
        few_steps=True,
    ),
    "duplicates": Objective(
        {"reconstruction": 4.0, "views": 1.0, "decorrelation": 20.0, "balance": 1.0},
        binary=True,
        small_batches=True,
        components=1024,
    ),
    "undercomplete": Objective({"reconstruction": 1.0}),
    "sparse": Objective({"reconstruction": 1.0, "sparsity": 1e-3}),
    "sparse-gaussian": Objective({"reconstruction": 1.0, "gaussian_sparsity": 1e-3}),
    "predictive-sparse": Objective({"prediction": 1.0}),
    "denoising": Objective({"reconstruction": 1.0}, corruption=Corruption("masking", 0.3)),
    "contractive": Objective({"reconstruction": 1.0, "contraction": 1e-3}),
}
