"""Everything that decides what training does; saved with the hasher."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.codes import LONGEST_CODE_BITS
from models.errors import InvalidInputError
from models.training.corruption import Corruption
from models.training.objectives import DUPLICATES, OBJECTIVES, Objective

# Enough for the default objective to settle, found on 1,400 to 60,000 items (docs/decisions/0003, 0007).
MINIMUM_STEPS = 800
MINIMUM_EPOCHS = 2
# Small corpora: more passes than this fit the items and not their neighbourhoods (docs/decisions/0030).
MOST_EPOCHS = 16
FEWEST_STEPS = 200
SEEDS_A_BATCH = 64
# Few items are as well served by small batches and networks, in a fifth of the time, and keep more of their neighbours:
# for fewer items than the first number, seeds a batch and hidden units.
FEW_ITEMS = ((1_000, 16, 256), (20_000, 32, 256))
HIDDEN = 512
CHECKPOINT_SECONDS = 20.0
"""Between two saves of a run, so that one that was stopped goes on from there."""
STARTS = ("pca-itq", "random")
VIEWED_STARTS = ("discriminants",)
"""Starts that need views."""


@dataclass(frozen=True)
class Config:
    """Same config, same features, same CPU: same codes."""

    bits: int = 64
    objective: str = "hashing"
    epochs: int | None = None
    """Passes over the items; None for what `steps` says."""
    hidden: int | None = None
    """Units of the residual branches; 0 for a linear encoder and decoder, None for 512, or 256 where items are few."""
    tied: bool = False
    """Whether the decoder shares the encoder's weights, transposed; its biases are its own."""
    start: str = "pca-itq"
    """Where the linear maps start: `pca-itq`, `random` to see what that is worth, or `discriminants` of views."""
    directions: int = 1
    """Directions a bit of the discriminants."""
    vector_noise: float = 0.3
    """Noise that makes a view of a vector, for near-duplicates: its standard deviation over that of each number."""
    components: int | None = None
    """Principal components that the network sees, at most; None for as many as the objective asks for."""
    sample: int = 100_000
    """Items that are trained on, at most; of more, so many are drawn at random."""
    neighbours: int = 10
    """Neighbours of each item in the graph that batches are drawn from."""
    seeds_a_batch: int | None = None
    """Items that a batch is built around; None for 64, or 16 or 32 where items are few."""
    neighbours_a_seed: int = 7
    """Neighbours that come into the batch with each seed; 0 for plain batches, which need no graph."""
    learning_rate: float = 2e-3
    seed: int = 0
    device: str = "auto"
    weights: dict[str, float] = field(default_factory=dict)
    """Weights of terms that differ from the objective's own."""
    corruption: Corruption | None = None
    """A corruption in place of the objective's own."""

    def __post_init__(self) -> None:
        if self.bits % 8 or not 8 <= self.bits <= LONGEST_CODE_BITS:
            raise InvalidInputError(
                f"expected bits to be a multiple of 8 from 8 to {LONGEST_CODE_BITS}, got {self.bits}"
            )
        if self.objective not in OBJECTIVES:
            raise InvalidInputError(f"expected an objective of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.epochs is not None and self.epochs < 0:
            raise InvalidInputError(f"expected epochs of 0 or more, got {self.epochs}")
        if self.weights:
            self._require_terms()
        if self.start not in (STARTS if self.objective != DUPLICATES else STARTS + VIEWED_STARTS):
            raise InvalidInputError(f"expected a start of {', '.join(STARTS)}, got {self.start!r}")
        if (self.hidden is not None and self.hidden < 0) or not 0 <= self.seed < 2**63:
            raise InvalidInputError(
                f"expected 0 or more hidden units and a seed from 0 to 2^63 - 1, got {self.hidden} and {self.seed}"
            )
        if self.neighbours_a_seed < 0:
            raise InvalidInputError(f"expected neighbours_a_seed of 0 or more, got {self.neighbours_a_seed}")
        if self.tied and self.hidden != 0 and self.resolved().weights.get("prediction"):
            raise InvalidInputError(
                "expected 0 hidden units for a tied decoder that is to predict sparse codes, which must be linear, "
                f"got {self.hidden}"
            )
        if bad := [name for name, weight in self.weights.items() if not 0 <= weight < math.inf]:
            raise InvalidInputError(f"expected finite weights of 0 or more, got {self.weights[bad[0]]} for {bad[0]}")
        if not any(self.resolved().weights.values()):
            raise InvalidInputError(f"expected a weight above 0, got 0 for all terms of {self.objective}")
        if not 0 < self.vector_noise < math.inf:
            raise InvalidInputError(f"expected vector_noise above 0 and finite, got {self.vector_noise}")
        for name in ("directions", "components", "sample", "neighbours", "seeds_a_batch"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InvalidInputError(f"expected {name} of 1 or more, got {value}")

    def _require_terms(self) -> None:
        from models.training.terms import TERMS  # with PyTorch, seconds to import

        if unknown := set(self.weights) - set(TERMS):
            raise InvalidInputError(f"expected weights for {', '.join(TERMS)}, got {', '.join(sorted(unknown))}")

    def resolved(self) -> Objective:
        """The objective with this config's own weights and corruption."""
        chosen = OBJECTIVES[self.objective]
        return replace(
            chosen, weights={**chosen.weights, **self.weights}, corruption=self.corruption or chosen.corruption
        )

    def weights_for(self, items: int) -> dict[str, float]:
        """The weights above 0 for so many items; decorrelation is weaker for few, where its estimate is noise."""
        objective = self.resolved()
        weights = {name: weight for name, weight in objective.weights.items() if weight}
        if "decorrelation" in weights and "decorrelation" not in self.weights and objective.full_decorrelation_at:
            weights["decorrelation"] *= min(1.0, items / objective.full_decorrelation_at)
        return weights

    @property
    def needs_graph(self) -> bool:
        """Whether training asks for the graph of nearest neighbours."""
        corruption = self.resolved().corruption
        return self.neighbours_a_seed > 0 or (corruption is not None and corruption.kind == "manifold")

    def units(self, items: int) -> int:
        """Hidden units of a network for so many items."""
        if self.hidden is not None:
            return self.hidden
        return self._sizes(items)[1]

    def seeds(self, items: int) -> int:
        """Items that a batch is built around, of so many."""
        if self.seeds_a_batch is not None:
            return self.seeds_a_batch
        return self._sizes(items)[0]

    def _sizes(self, items: int) -> tuple[int, int]:
        if self.resolved().small_batches:
            for most, seeds, units in FEW_ITEMS:
                if items < most:
                    return seeds, units
        return SEEDS_A_BATCH, HIDDEN

    def steps(self, items: int) -> int:
        """Number of optimiser steps for so many items."""
        if self.epochs is not None:
            return self.epochs * -(-items // self.seeds(items))
        an_epoch = -(-items // (self.seeds_a_batch or SEEDS_A_BATCH))
        least = MINIMUM_STEPS
        if self.resolved().few_steps:
            least = min(MINIMUM_STEPS, max(FEWEST_STEPS, MOST_EPOCHS * an_epoch))
        return max(least, MINIMUM_EPOCHS * an_epoch)

    def card(self) -> dict[str, Any]:
        """The config and its resolved objective as JSON."""
        return {**asdict(self), "resolved": asdict(self.resolved())}
