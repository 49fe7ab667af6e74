"""One hasher from a sample: train, export, and the card that tells how it came to be."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.features import Features
from models.folder import write_folder
from models.hasher import DECODER, ENCODER, Hasher
from models.training.config import CHECKPOINT_SECONDS, Config
from models.training.export import export_decoder, export_encoder
from models.training.loop import Trained, fit
from models.training.ranks import ALONE, Ranks
from models.training.sample import Sample
from models.versions import next_folder
from scripts.console import track


@dataclass(frozen=True)
class Made:
    """A hasher, the graphs to write beside its card, and how training went."""

    hasher: Hasher
    files: dict[str, bytes]
    trained: Trained


def make_hasher(
    reference: str,
    features: Features,
    sample: Sample,
    config: Config,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ranks: Ranks = ALONE,
) -> Made:
    """Train on a sample, with a progress bar, as the first of the ranks; `reference` is the NAME@VERSION to be."""

    def bar(steps: Iterable[int], status: Callable[[], str]) -> Iterable[int]:
        return track(steps, f"{config.bits} bits", status=status)

    trained = fit(sample, config, bar, checkpoint, checkpoint_seconds, ranks)
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
    if ranks.count > 1:
        card["processes"] = ranks.count
    hasher = Hasher(card, features, encoder, decoder)
    return Made(hasher, {ENCODER: encoder, DECODER: decoder, **features.files()}, trained)


def write_next(directory: Path, card: dict[str, Any], files: dict[str, bytes]) -> Path:
    """Write a hasher as the next version there is by now: another training may have ended meanwhile."""
    while True:
        folder = next_folder(directory, card["name"])
        card["version"] = int(folder.name.split("@")[1])
        try:
            write_folder(folder, card, files)
        except FileExistsError:
            continue
        return folder
