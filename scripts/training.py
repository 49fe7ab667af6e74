"""One hasher from what training keeps: export, and the card that tells how it came to be."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.features import Features
from models.folder import write_folder
from models.hasher import DECODER, ENCODER, Hasher
from models.training.candidates import NETWORK, Kept
from models.training.config import Config
from models.training.export import export_decoder, export_encoder
from models.training.loop import Trained, fit
from models.training.sample import Sample
from models.versions import next_folder
from scripts.console import track


@dataclass(frozen=True)
class Made:
    """A hasher, the graphs to write beside its card, and how training went."""

    hasher: Hasher
    files: dict[str, bytes]
    trained: Trained


def progress_of(bits: int) -> Callable[[str], Callable[[Iterable[int], Callable[[], str]], Iterable[int]]]:
    """For a fit's name, what wraps its steps with a progress bar."""
    return lambda name: lambda steps, status: track(steps, f"{bits} bits, {name}", status=status)


def make_hasher(reference: str, features: Features, sample: Sample, config: Config) -> Made:
    """Train one network on a sample, as its config says, with a progress bar; `reference` is the NAME@VERSION to be."""
    trained = fit(sample, config, progress_of(config.bits)("network"))
    return export(reference, features, Kept(NETWORK, config, trained, None))


def export(reference: str, features: Features, kept: Kept) -> Made:
    """The hasher of what training kept, with the card that it will have."""
    trained, config = kept.trained, kept.config
    if trained is None:
        raise ValueError("expected a fit to export, got none")
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
    if kept.choice is not None:
        card["kept"] = asdict(kept.choice)
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
