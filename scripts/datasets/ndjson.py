"""`.ndjson` / `.jsonl`: one item a line, as the service takes them; a label is the payload's `label`."""

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from models.errors import InvalidInputError
from models.features import MODALITIES, Document
from scripts.datasets.dataset import Dataset, Item

SUFFIXES = (".ndjson", ".jsonl")


def load(path: Path) -> Dataset:
    """Lines are read as they are needed; the modality is that of the first item. Blank lines are passed over."""
    with path.open("rb") as file:
        size = sum(1 for line in file if line.strip())
    if size == 0:
        raise InvalidInputError(f"expected items in {path}, got an empty file")
    first = next(_objects(path))[1]
    present = [modality for modality in MODALITIES if modality in first]
    if len(present) != 1:
        raise InvalidInputError(f"expected one of {', '.join(MODALITIES)} in {path}, got {', '.join(sorted(first))}")
    modality = present[0]

    def walk() -> Iterator[Item]:
        for number, item in _objects(path):
            where = f"{path}, line {number}"
            if not isinstance(item.get("id"), str) or modality not in item:
                raise InvalidInputError(f"{where}: expected an id and a {modality}, got {', '.join(sorted(item))}")
            payload = item.get("payload")
            label = payload.get("label") if isinstance(payload, dict) else None
            document = _document(item[modality], modality, where)
            yield Item(item["id"], document, None if label is None else str(label), payload)

    return Dataset(path.stem, modality, size, walk)


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                item = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise InvalidInputError(f"{path}, line {number}: expected JSON: {error}") from None
            if not isinstance(item, dict):
                raise InvalidInputError(f"{path}, line {number}: expected a JSON object, got {type(item).__name__}")
            yield number, item


def _document(value: Any, modality: str, where: str) -> Document:
    if modality != "image":
        document: Document = value
        return document
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidInputError(f"{where}: expected an image as base64: {error}") from None
