"""Parquet: a file, or a folder of files, whose columns are the members of an NDJSON item."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.errors import InvalidInputError
from models.features import MODALITIES, Document
from scripts.datasets.dataset import Dataset, Item
from scripts.datasets.shard import WHOLE, Shard

SUFFIX = ".parquet"
KINDS = (*MODALITIES, "code")
ROWS = 1024


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, or a folder that holds one, at any depth."""
    return path.suffix == SUFFIX if path.is_file() else any(path.rglob(f"*{SUFFIX}"))


def load(path: Path, shard: Shard = WHOLE) -> Dataset:
    """Columns `id` (missing: row numbers), one of `text`, `vector`, `image` or `code`, and `payload`; others are left.

    A folder's files follow one another in the order of their paths. Row groups outside the shard are not read.
    """
    files = [path] if path.is_file() else sorted(path.rglob(f"*{SUFFIX}"))
    starts = [0]
    for file in files:
        with _opened(file) as opened:
            starts.append(starts[-1] + opened.metadata.num_rows)
    with _opened(files[0]) as opened:
        names = opened.schema_arrow.names
    present = [kind for kind in KINDS if kind in names]
    if len(present) != 1:
        raise InvalidInputError(f"expected one column of {', '.join(KINDS)} in {path}, got {', '.join(names)}")
    if starts[-1] == 0:
        raise InvalidInputError(f"expected items in {path}, got no rows")
    start, stop = shard.bounds(starts[-1])

    def walk() -> Iterator[Item]:
        for file, first, after in zip(files, starts, starts[1:], strict=False):
            if first < stop and after > start:
                with _opened(file) as opened:
                    yield from _items(opened, file, present[0], first, max(start, first), min(stop, after))

    return Dataset(path.stem, present[0], stop - start, walk)


def _items(opened: Any, file: Path, kind: str, first: int, start: int, stop: int) -> Iterator[Item]:
    """Items `start` to `stop` of all, from a file whose first row is item `first`."""
    names = opened.schema_arrow.names
    if kind not in names:
        raise InvalidInputError(f"expected a column {kind} in {file}, as in the files before, got {', '.join(names)}")
    columns = [name for name in ("id", kind, "payload") if name in names]
    place = first
    for group in range(opened.num_row_groups):
        size = opened.metadata.row_group(group).num_rows
        if place >= stop or place + size <= start:
            place += size
            continue
        for rows in opened.iter_batches(ROWS, [group], columns):
            low, high = max(start - place, 0), min(stop - place, len(rows))
            if low < high:
                yield from _of(rows.slice(low, high - low), place + low, kind, file)
            place += len(rows)


def _of(rows: Any, place: int, kind: str, file: Path) -> Iterator[Item]:
    """The items of a batch whose first row is item `place`."""
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    size = len(rows)
    numbers = [str(number) for number in range(place, place + size)]
    ids = columns["id"].to_pylist() if "id" in columns else numbers
    payloads = columns["payload"].to_pylist() if "payload" in columns else [None] * size
    documents = _vectors(columns[kind]) if kind == "vector" else columns[kind].to_pylist()
    for number, id_, document, payload in zip(numbers, ids, documents, payloads, strict=True):
        where = f"{file}, item {number}"
        if not isinstance(id_, str | int):
            raise InvalidInputError(f"{where}: expected an id that is a string or a whole number, got {id_!r}")
        made = _payload(payload, where)
        label = None if made is None else made.get("label")
        yield Item(str(id_), _document(document, kind, where), None if label is None else str(label), made)


def _vectors(column: Any) -> list[Any]:
    """Each list of numbers as an array; None where there is none, what it is where it is no list of numbers."""
    import pyarrow.compute
    import pyarrow.types as types

    kind = column.type
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not lists or column.null_count or not types.is_floating(kind.value_type):
        return list(column.to_pylist())
    ends = np.cumsum(pyarrow.compute.list_value_length(column).to_numpy())
    return list(np.split(column.flatten().to_numpy(zero_copy_only=False), ends[:-1]))


def _document(value: Any, kind: str, where: str) -> Document:
    if kind == "code" and isinstance(value, bytes):
        return value.hex()
    expected = {"text": str, "image": bytes, "code": str, "vector": (list, np.ndarray)}[kind]
    if not isinstance(value, expected):  # type: ignore[arg-type]
        raise InvalidInputError(f"{where}: expected a {kind}, got {type(value).__name__}")
    document: Document = value
    return document


def _payload(value: Any, where: str) -> dict[str, Any] | None:
    """A struct without the members that are null, or JSON text."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise InvalidInputError(f"{where}: expected a payload of JSON: {error}") from None
        if isinstance(value, dict):
            return value
    elif isinstance(value, dict):
        return {name: member for name, member in value.items() if member is not None}
    if value is not None:
        raise InvalidInputError(f"{where}: expected a payload that is an object, got {type(value).__name__}")
    return None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A Parquet file to read; raises InvalidInputError where it is none, or is damaged."""
    try:
        import pyarrow.parquet  # an extra, and a third of a second to import
    except ImportError:
        raise InvalidInputError(
            "expected pyarrow, to read Parquet with: pip install -c constraints.txt '.[parquet]'"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(path) as opened:
            yield opened
    except (pyarrow.ArrowException, OSError) as error:
        # Arrow tells of damage as an OSError without a number; those of the system have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidInputError(f"expected {path} to be a Parquet file: {error}") from None
