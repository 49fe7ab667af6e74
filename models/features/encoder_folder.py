"""Folders of pretrained encoders: what each of their configuration files says, as settings of an extractor.

Text: `model.onnx` and `tokenizer.json`, with the files of Sentence-Transformers for pooling, scaling, maximal length
and prefixes where they are there. Images: `model.onnx` and `preprocessor_config.json`. An `encoder.toml` of our own
wins over all of them. Only these files are read; no code is run.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InvalidInputError
from models.features.base import Features
from models.features.encoder_graph import MODEL
from models.features.picture_encoder import PictureEncoder
from models.features.preprocessing import from_processor
from models.features.text_encoder import TextEncoder
from models.features.tokenizing import TOKENIZER

OWN = "encoder.toml"
PROCESSOR = "preprocessor_config.json"
GRAPHS = (MODEL, f"onnx/{MODEL}")
DEFAULT_TOKENS = 512
# Sentence-Transformers' names of pooling, old ones (flags) and new ones.
POOLING = {
    "pooling_mode_cls_token": "cls",  # nosec B105  # a way to pool
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_length",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
}
MODES = {"cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt_length",
         "weightedmean": "weighted_mean", "lasttoken": "last"}  # fmt: skip
# What a module of Sentence-Transformers may be beside the transformer itself, whose graph is model.onnx.
MODULES = {"Transformer", "Pooling", "Normalize"}
TEXT_KEYS = {"tokens", "pooling", "unit", "lower_case", "query_prefix", "document_prefix", "normalisation"}


def open_encoder(folder: Path) -> Features:
    """The extractor of a folder, its graph run once; raises InvalidInputError that names the file at fault."""
    graph = next((folder / name for name in GRAPHS if (folder / name).is_file()), None)
    if graph is None:
        raise InvalidInputError(f"expected {MODEL} in {folder}, found none")
    own = _own(folder)
    if (folder / TOKENIZER).is_file():
        settings = text_settings(folder, own)
        return TextEncoder.measured(graph.read_bytes(), (folder / TOKENIZER).read_bytes(), settings)
    if (folder / PROCESSOR).is_file() or "image" in own:
        settings = image_settings(folder, own)
        return PictureEncoder.measured(graph.read_bytes(), settings)
    raise InvalidInputError(f"expected {TOKENIZER}, {PROCESSOR} or {OWN} with [image] in {folder}, found none")


def text_settings(folder: Path, own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a text encoder, but for what its graph tells."""
    found: dict[str, Any] = {"pooling": ["mean"], "unit": True, "query_prefix": "", "document_prefix": ""}
    transformer = _json(folder, "sentence_bert_config.json")
    found["tokens"] = _tokens(folder, transformer)
    found["lower_case"] = bool(transformer.get("do_lower_case", False))
    found |= _modules(folder)
    found |= _prefixes(_json(folder, "config_sentence_transformers.json"))
    # A tokenizer folds case itself where its model was trained so.
    found["normalisation"] = {"case": "kept"}
    written = own.get("text", {})
    if unknown := sorted(written.keys() - TEXT_KEYS):
        raise InvalidInputError(f"expected {', '.join(sorted(TEXT_KEYS))} in [text] of {OWN}, got {unknown[0]}")
    return {**found, **written, "source": own.get("source", {})}


def image_settings(folder: Path, own: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an image encoder, but for what its graph tells."""
    written = own.get("image", {})
    processor = _json(folder, PROCESSOR)
    found = from_processor(processor) if processor else {}
    return {**found, **written, "source": own.get("source", {})}


def _modules(folder: Path) -> dict[str, Any]:
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    found: dict[str, Any] = {"unit": False}
    modules = _read_json(path)
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise InvalidInputError(f"expected {path} to hold a list of modules, got {type(modules).__name__}")
    for module in modules:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in MODULES:
            raise InvalidInputError(
                f"expected modules {', '.join(sorted(MODULES))} in {path}, got {kind}: export it all as one graph"
            )
        if kind == "Normalize":
            found["unit"] = True
        if kind == "Pooling":
            found["pooling"] = _pooling(folder / str(module.get("path", "")) / "config.json")
    return found


def _pooling(path: Path) -> list[str]:
    config = _json(path.parent, path.name)
    if config.get("include_prompt", True) is False:
        raise InvalidInputError(f"expected include_prompt to be true in {path}: tokens of a prefix are pooled, too")
    mode = config.get("pooling_mode")
    if mode is not None:
        modes = [mode] if isinstance(mode, str) else list(mode)
    else:
        modes = [key for key in POOLING if config.get(key)]
    known = POOLING | MODES
    if not modes or any(each not in known for each in modes):
        raise InvalidInputError(f"expected a pooling of {', '.join(sorted(MODES))} in {path}, got {modes}")
    return [known[each] for each in modes]


def _tokens(folder: Path, transformer: Mapping[str, Any]) -> int:
    """The maximal length: as Sentence-Transformers says, or the tokenizer, or the model, and 512 at most by default."""
    tokenizer, model = _json(folder, "tokenizer_config.json"), _json(folder, "config.json")
    said = transformer.get("max_seq_length")
    if isinstance(said, int) and said > 0:
        return said
    limits = [tokenizer.get("model_max_length"), model.get("max_position_embeddings"), DEFAULT_TOKENS]
    return min(int(each) for each in limits if isinstance(each, int | float) and 1 < each < float("inf"))


def _prefixes(config: Mapping[str, Any]) -> dict[str, str]:
    prompts = config.get("prompts") or {}
    default = prompts.get(config.get("default_prompt_name"), "")
    document = next((prompts[name] for name in ("document", "passage") if name in prompts), default)
    return {"query_prefix": prompts.get("query", default), "document_prefix": document}


def _own(folder: Path) -> dict[str, Any]:
    path = folder / OWN
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"expected {path} to be TOML: {error}") from None
    if unknown := sorted(found.keys() - {"source", "text", "image", "files"}):
        raise InvalidInputError(f"expected [source], [text], [image] and [files] in {path}, got {unknown[0]}")
    return found


def _json(folder: Path, name: str) -> dict[str, Any]:
    """The object of a file, empty where there is none."""
    path = folder / name
    if not path.is_file():
        return {}
    found = _read_json(path)
    if not isinstance(found, dict):
        raise InvalidInputError(f"expected {path} to hold an object of JSON, got {type(found).__name__}")
    return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"expected {path} to be JSON: {error}") from None
