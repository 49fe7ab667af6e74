"""What is trained on, from the first process to the others, which need neither read data nor search neighbours."""

import torch
from safetensors.torch import load, save

from models.training.config import Config
from models.training.inputs import Projection
from models.training.ranks import Ranks
from models.training.sample import Sample


def share_sample(sample: Sample | None, config: Config, ranks: Ranks) -> Sample:
    """The first process's sample, to the bit, in every one; the others give None and wait for it.

    Bits and not the way to make them: another processor would draw another graph, and other batches from it.
    """
    if ranks.count == 1 and sample is not None:
        return sample
    content = ranks.from_first(None if sample is None else _pack(sample, config))
    if sample is not None:
        return sample
    if content is None:
        raise ValueError("expected the first process to have a sample, got none")
    return _unpack(content, config)


def _pack(sample: Sample, config: Config) -> bytes:
    tensors = {
        "features": sample.features.contiguous(),
        "inputs": sample.inputs.contiguous(),
        "mean": torch.from_numpy(sample.projection.mean),
        "directions": torch.from_numpy(sample.projection.directions).contiguous(),
        "scale": torch.tensor(sample.projection.scale, dtype=torch.float64),
    }
    if config.needs_graph:
        tensors["graph"] = sample.graph.contiguous()
    if sample.views is not None:
        tensors["views"] = sample.views.contiguous()
    return bytes(save(tensors))


def _unpack(content: bytes, config: Config) -> Sample:
    tensors = load(content)
    projection = Projection(tensors["mean"].numpy(), tensors["directions"].numpy(), float(tensors["scale"]))
    sample = Sample(
        tensors["features"], projection, tensors["inputs"], config.neighbours, config.seed, views=tensors.get("views")
    )
    if "graph" in tensors:
        # As if it had been asked for.
        vars(sample)["graph"] = tensors["graph"]
    return sample
