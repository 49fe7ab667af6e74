"""Make a folder of a pretrained encoder, for `scripts.train --encoder FOLDER`.

WHAT is minilm (texts), efficientnet-lite0 (images), or a folder with model.onnx: of a text encoder in the layout of
Sentence-Transformers, or of an image encoder with preprocessor_config.json or encoder.toml.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from models.errors import InvalidInputError
from models.features import Features
from models.features.encoder_folder import OWN, open_encoder
from models.versions import NAME, NAME_RULE
from scripts.console import run
from scripts.encoder import sources
from scripts.encoder.trial import Trial, run_trial

KNOWN = {"minilm": sources.minilm, "efficientnet-lite0": sources.efficientnet_lite0}


def main() -> None:
    """Make the folder, try the encoder, and say what it is; nothing is left where it fails."""
    parser = argparse.ArgumentParser(prog="python -m scripts.encoder", description=__doc__)
    commands = parser.add_subparsers(required=True)
    add = commands.add_parser("add", help="make a folder", description=__doc__)
    add.add_argument("what", metavar="WHAT", help="minilm, efficientnet-lite0, or a folder")
    add.add_argument(
        "--out", type=Path, default=Path("var/encoders"), help="directory of encoders (default var/encoders)"
    )
    add.add_argument("--name", help="of the new folder (default: WHAT's)")
    arguments = parser.parse_args()
    parts = KNOWN[arguments.what]() if arguments.what in KNOWN else sources.folder(Path(arguments.what))
    name = arguments.name or parts.name
    if not NAME.fullmatch(name):
        raise InvalidInputError(f"expected a name of {NAME_RULE}, got {name!r}: --name gives another")
    folder = arguments.out / name
    features, trial = write_encoder(folder, parts)
    print(described(parts, features, trial))
    print(f"wrote {folder}")


def write_encoder(folder: Path, parts: sources.Parts) -> tuple[Features, Trial]:
    """Write an encoder as a new folder, which appears once it was tried; raises where that fails."""
    if folder.exists():
        raise InvalidInputError(
            f"expected a folder that is not there yet, {folder} is: remove it, or give another --name"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    sibling = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in parts.files.items():
            (sibling / name).parent.mkdir(exist_ok=True)
            (sibling / name).write_bytes(content)
        if OWN not in parts.files:
            (sibling / OWN).write_text(own_file(parts))
        features = open_encoder(sibling)
        trial = run_trial(features)
        sibling.chmod(0o755)
        sibling.rename(folder)
    except BaseException:
        shutil.rmtree(sibling, ignore_errors=True)
        raise
    return features, trial


def own_file(parts: sources.Parts) -> str:
    """An `encoder.toml`: where the encoder is from, and settings that no other file of it has."""
    source = {
        "name": parts.name,
        "maker": "; ".join(each.maker for each in parts.origins if each.maker),
        "licence": "; ".join(dict.fromkeys(each.licence for each in parts.origins if each.licence)),
    }
    return "\n".join(_table(name, table) for name, table in {"source": source, **parts.own}.items())


def _table(name: str, table: Mapping[str, object]) -> str:
    return "".join([f"[{name}]\n", *(f"{key} = {_value(value)}\n" for key, value in table.items())])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is a TOML string, once what JSON leaves as it is and TOML does not is escaped.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")


def described(parts: sources.Parts, features: Features, trial: Trial) -> str:
    """What was found: origins with makers, licences and checksums, and how the trial went."""
    lines = []
    for origin in parts.origins:
        lines += [
            origin.name,
            f"  maker    {origin.maker or 'not said'}",
            f"  licence  {origin.licence or 'not said'}",
            f"  sha256   {origin.sha256}",
        ]
    settings = features.settings()
    if "batches" in settings:
        how = (
            "texts of equal length share runs" if settings["batches"] else "one text a run, as others change its bytes"
        )
        lines.append(
            f"{settings['tokens']} tokens at most, pooling {', '.join(settings['pooling']) or 'in the graph'}; {how}"
        )
    near, far = (", ".join(f"{each:.2f}" for each in cosines) for cosines in (trial.near, trial.far))
    lines.append(f"{features.modality} -> {features.dimension} numbers, {trial.rate:,.0f} items a second and core")
    lines.append(f"cosines of like items {near}; of others {far}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
