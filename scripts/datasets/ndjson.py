"""`.ndjson` / `.jsonl`: one item a line, as the service takes them; a label is the payload's `label`."""

import base64
import binascii
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from models.errors import InvalidInputError
from models.features import MODALITIES, Document
from scripts.datasets.dataset import Dataset, Item
from scripts.datasets.lines import Lines
from scripts.datasets.shard import WHOLE, Shard

SUFFIXES = (".ndjson", ".jsonl")


def load(path: Path, shard: Shard = WHOLE) -> Dataset:
    """Lines are read as they are needed; the modality is that of the file's first item. Blank lines are passed over.

    Shards are equal by bytes, so that none needs to read what belongs to another.
    """
    _, first = next(_objects(Lines(path)), ("", None))
    if first is None:
        raise InvalidInputError(f"expected items in {path}, got an empty file")
    present = [modality for modality in MODALITIES if modality in first]
    if len(present) != 1:
        raise InvalidInputError(f"expected one of {', '.join(MODALITIES)} in {path}, got {', '.join(sorted(first))}")
    modality, lines = present[0], Lines(path, shard)

    def walk() -> Iterator[Item]:
        for where, item in _objects(lines):
            if not isinstance(item.get("id"), str) or modality not in item:
                raise InvalidInputError(f"{where}: expected an id and a {modality}, got {', '.join(sorted(item))}")
            payload = item.get("payload")
            label = payload.get("label") if isinstance(payload, dict) else None
            document = _document(item[modality], modality, where)
            yield Item(item["id"], document, None if label is None else str(label), payload)

    return Dataset(path.stem, modality, sum(1 for line in lines if line.strip()), walk)


def _objects(lines: Lines) -> Iterator[tuple[str, dict[str, Any]]]:
    origin = lines.origin
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{lines.path}, line {number}{origin}"
        try:
            # A byte order mark, as Windows puts it before a text, is passed over.
            item = orjson.loads(line.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError as error:
            raise InvalidInputError(f"{where}: expected JSON: {error}") from None
        if not isinstance(item, dict):
            raise InvalidInputError(f"{where}: expected a JSON object, got {type(item).__name__}")
        yield where, item


def _document(value: Any, modality: str, where: str) -> Document:
    if modality != "image":
        document: Document = value
        return document
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidInputError(f"{where}: expected an image as base64: {error}") from None
