"""What one process or several make of the same configs: run by `torchrun -m tests.models.training.several FOLDER`."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from models.training.config import Config
from models.training.corruption import Corruption
from models.training.loop import fit
from models.training.prepare import draw_sample
from models.training.ranks import ALONE, Ranks, joined
from models.training.sharing import share_sample

SMALL = {"bits": 16, "epochs": 6, "hidden": 8}
CONFIGS = {
    "hashing": Config(**SMALL),
    "hashing tied": Config(**SMALL, tied=True),
    "contractive": Config(**SMALL, objective="contractive"),
    "linear contractive": Config(**{**SMALL, "hidden": 0}, objective="contractive"),
    "predictive": Config(**SMALL, objective="predictive-sparse"),
    "sparse": Config(**SMALL, objective="sparse", neighbours_a_seed=0),
    "gaussian": Config(**SMALL, objective="denoising", corruption=Corruption("gaussian", 0.2)),
    "salt": Config(**SMALL, objective="denoising", corruption=Corruption("salt-and-pepper", 0.2)),
    "decay": Config(**SMALL, objective="undercomplete", weights={"weight_decay": 1e-3, "gaussian_sparsity": 1e-2}),
}


def run(ranks: Ranks = ALONE) -> dict[str, torch.Tensor]:
    """The losses of every step and the weights at the end, by config; only the first process has the data."""
    torch.set_num_threads(1)
    rows = np.random.default_rng(0).standard_normal((400, 12)).astype(np.float32)
    found = {}
    for name, config in CONFIGS.items():
        sample = share_sample(draw_sample(rows, config) if ranks.first else None, config, ranks)
        trained = fit(sample, config, ranks=ranks)
        for term, losses in trained.history.losses.items():
            found[f"{name}.losses.{term}"] = torch.tensor(losses)
        found |= {f"{name}.weights.{key}": value for key, value in trained.network.state_dict().items()}
    return found


if __name__ == "__main__":
    with joined(torch.device("cpu")) as joint:
        tensors = run(joint)
        save_file(tensors, Path(sys.argv[1]) / f"{joint.rank}.safetensors")
