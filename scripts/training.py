"""One hasher from a sample: train, export, and the card that tells how it came to be."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.features import Features
from models.hasher import DECODER, ENCODER, Hasher
from models.training.config import Config
from models.training.export import export_decoder, export_encoder
from models.training.loop import Trained, fit
from models.training.sample import Sample
from scripts.console import track

Status = Callable[[], str]


@dataclass(frozen=True)
class Made:
    """A hasher, the graphs to write beside its card, and how training went."""

    hasher: Hasher
    files: dict[str, bytes]
    trained: Trained


def make_hasher(
    reference: str, features: Features, sample: Sample, config: Config, checkpoint: Path | None = None
) -> Made:
    """Train on a sample, with a progress bar; `reference` is the NAME@VERSION to be."""
    trained = fit(sample, config, lambda steps, status: track(steps, f"{config.bits} bits", status=status), checkpoint)
    encoder = export_encoder(trained.network, trained.projection)
    decoder = export_decoder(trained.network, trained.projection)
    name, version = reference.split("@")
    card: dict[str, Any] = {
        "name": name,
        "version": int(version),
        "modality": features.modality,
        "bits": config.bits,
        "objective": config.objective,
        "features": features.settings(),
        "training": config.card(),
        "losses": trained.history.final_losses(),
    }
    hasher = Hasher(card, features, encoder, decoder)
    return Made(hasher, {ENCODER: encoder, DECODER: decoder, **features.files()}, trained)
